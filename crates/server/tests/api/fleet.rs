//! Simulated machines over real TLS: from the token to ready, and what they cannot do.

use crate::bench::{Bench, Who, machine_identity, on_both};
use axum::http::StatusCode;
use muster_clients::{
    center::{Center, CenterError},
    tls::Trust,
};
use muster_sim::fleet::{CenterOptions, Fleet, FleetOptions};
use serde_json::{Value, json};
use std::time::{Duration, Instant, SystemTime};

const SERVERS: &str = "/1.0/provisioning/servers";

async fn servers(bench: &Bench) -> Vec<Value> {
    let (_, list) = bench.ask(Who::Unix, "GET", &format!("{SERVERS}?recursion=1"), "").await;
    list["metadata"].as_array().unwrap().clone()
}

async fn until_ready(bench: &Bench, count: usize) -> Vec<Value> {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        let all = servers(bench).await;
        if all.iter().filter(|s| s["server_status"] == "ready").count() == count {
            return all;
        }
        assert!(Instant::now() < end, "not ready: {all:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn fleet(bench: &Bench, url: &str, count: usize) -> Fleet {
    let mut options = FleetOptions::new(count, 1, SystemTime::now());
    let certificate = bench.engine.identities().server.certificate_pem.clone();
    options.center =
        Some(CenterOptions { url: url.into(), certificate_pem: Some(certificate), token: bench.token(100).await });
    Fleet::start(options).await.unwrap()
}

async fn post(bench: &Bench, url: &str, name: &str, token: &str, body: Value) -> Result<(), CenterError> {
    let trust = Trust::pinned(&bench.engine.identities().server.certificate_pem).unwrap();
    let center = Center::https(url, &trust, Some(&machine_identity(name))).unwrap();
    center.call("POST".parse().unwrap(), &format!("{SERVERS}?token={token}"), Some(&body)).await.map(drop)
}

#[test]
fn machines_register_become_ready_and_are_machines_of_the_pool() {
    on_both(|bench: Bench| async move {
        let (_listeners, url) = bench.listen().await;
        let _fleet = fleet(&bench, &url, 3).await;
        for server in until_ready(&bench, 3).await {
            assert_eq!(server["server_type"], "incus", "{server}");
            assert_eq!(server["update_status"], "up to date");
            let text = server.to_string();
            assert!(text.contains("********"), "recovery keys are masked");
        }
        let (_, audit) = bench.ask(Who::Unix, "GET", "/1.0/audit", "").await;
        let edges: Vec<_> = audit["metadata"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|e| e["action"] == "machine.transition")
            .map(|e| e["to"].as_str().unwrap().to_owned())
            .collect();
        for state in ["registering", "unavailable", "available"] {
            assert_eq!(edges.iter().filter(|e| *e == state).count(), 3, "{edges:?}");
        }
        let (_, verdict) = bench.ask(Who::Unix, "POST", "/1.0/audit/:verify", "").await;
        assert_eq!(verdict["metadata"]["intact"], true);
        bench.engine.stop().await;
    });
}

#[test]
fn a_token_and_a_known_uuid_do_not_take_a_living_server_over() {
    on_both(|bench: Bench| async move {
        let (_listeners, url) = bench.listen().await;
        let _fleet = fleet(&bench, &url, 1).await;
        let victim = until_ready(&bench, 1).await.remove(0);
        let token = bench.token(5).await;
        let body =
            json!({"name": "taker", "connection_url": "https://127.0.0.1:1", "system_uuid": victim["system_uuid"]});
        let refused = post(&bench, &url, "taker", &token, body).await.unwrap_err();
        assert!(matches!(refused, CenterError::Forbidden { .. }), "{refused:?}");
        let after = servers(&bench).await.remove(0);
        assert_eq!(
            (&after["certificate"], &after["connection_url"]),
            (&victim["certificate"], &victim["connection_url"])
        );
        let (_, left) = bench.ask(Who::Unix, "GET", &format!("/1.0/provisioning/tokens/{token}"), "").await;
        assert_eq!(left["metadata"]["uses_remaining"], 5, "no use of the token is lost");
        let (_, audit) = bench.ask(Who::Unix, "GET", "/1.0/audit", "").await;
        assert!(audit.to_string().contains("registration.takeover"));
        assert!(!audit.to_string().contains(&token), "the token is a secret");
        bench.engine.stop().await;
    });
}

#[test]
fn a_token_for_four_serves_four_of_forty_at_once() {
    on_both(|bench: Bench| async move {
        let (_listeners, url) = bench.listen().await;
        let token = bench.token(4).await;
        let tries = (0..40).map(|n| {
            let (bench, url, token) = (&bench, &url, &token);
            async move {
                let name = format!("m{n}");
                let body =
                    json!({"name": name, "connection_url": "https://127.0.0.1:1", "system_uuid": format!("u{n}")});
                post(bench, url, &name, token, body).await.is_ok()
            }
        });
        let won = futures_util::future::join_all(tries).await.into_iter().filter(|won| *won).count();
        assert_eq!((won, servers(&bench).await.len()), (4, 4));
        bench.engine.stop().await;
    });
}

#[test]
fn a_deleted_server_leaves_a_tombstone_and_comes_back_as_its_successor() {
    on_both(|bench: Bench| async move {
        let (_listeners, url) = bench.listen().await;
        let token = bench.token(9).await;
        let body = json!({"name": "m1", "connection_url": "https://127.0.0.1:1", "system_uuid": "U1"});
        post(&bench, &url, "m1", &token, body.clone()).await.unwrap();
        let (status, answer) = bench.ask(Who::Unix, "DELETE", &format!("{SERVERS}/m1"), "").await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        post(&bench, &url, "m1", &token, body).await.unwrap();
        let lifecycles = bench
            .engine
            .store()
            .read(|tx| muster_store::tables::machines::list(tx, &Default::default(), 100))
            .await
            .unwrap();
        let mut states: Vec<_> = lifecycles.iter().map(|m| (m.lifecycle.as_str(), m.successor_of.is_some())).collect();
        states.sort_unstable();
        assert_eq!(states, [("decommissioned", false), ("registering", true)]);
        bench.engine.stop().await;
    });
}

#[test]
fn a_machine_that_is_away_hears_of_the_new_address_when_it_is_back() {
    on_both(|bench: Bench| async move {
        let (_listeners, url) = bench.listen().await;
        let fleet = fleet(&bench, &url, 2).await;
        until_ready(&bench, 2).await;
        let [here, away] = fleet.machines() else { panic!("two machines") };
        away.set_fault(Some(muster_sim::fault::Fault::Refuse));
        let network = json!({"address": "https://new.example.test", "rest_server_address": "127.0.0.1:0"});
        let (status, answer) = bench.ask(Who::Unix, "PUT", "/1.0/system/network", network.to_string()).await;
        assert_eq!(status, StatusCode::OK, "one machine that is away keeps nobody from it: {answer}");
        let told = |asked: Vec<String>| asked.iter().filter(|a| a.contains("PUT /os/1.0/system/provider")).count();
        assert_eq!(told(here.asked()), 1);
        let ours = |list: &Value, status: &str| {
            let list = list["metadata"].as_array().unwrap();
            list.iter().filter(|o| o["kind"] == "configure-provider" && o["status"] == status).count()
        };
        let (_, list) = bench.ask(Who::Unix, "GET", "/1.0/operations?recursion=1", "").await;
        assert_eq!((ours(&list, "succeeded"), ours(&list, "waiting")), (1, 1), "{list}");

        away.set_fault(None);
        let end = Instant::now() + Duration::from_secs(60);
        while told(away.asked()) == 0 {
            assert!(Instant::now() < end, "never told");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        bench.engine.stop().await;
    });
}

#[test]
fn the_registration_scriptlet_names_and_configures_a_server_before_it_is_ready() {
    on_both(|bench: Bench| async move {
        let source = "def server_registration(candidate):\n  \
            server.set_name('rack-' + candidate.hardware_data.system.serial)\n  \
            server.set_description(candidate.type)\n  \
            incusos.set_system('provider', {'config': incusos.get_system('provider')['config']})\n  \
            server.set_update_channel('none such')\n  \
            server.set_name(candidate.name + 1)\n";
        let settings = json!({"server_registration_scriptlet": source}).to_string();
        let (status, answer) = bench.ask(Who::Unix, "PUT", "/1.0/system/settings", settings).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        let (_listeners, url) = bench.listen().await;
        let fleet = fleet(&bench, &url, 1).await;
        let server = until_ready(&bench, 1).await.remove(0);
        let serial = server["hardware_data"]["system"]["serial"].as_str().unwrap().to_owned();
        assert_eq!(server["name"], format!("rack-{serial}"));
        assert_eq!((&server["description"], &server["channel"]), (&json!("incus"), &json!("stable")));
        let asked = fleet.machines()[0].asked();
        assert_eq!(asked.iter().filter(|a| a.contains("PUT /os/1.0/system/provider")).count(), 1, "{asked:?}");
        let (_, warnings) = bench.ask(Who::Unix, "GET", "/1.0/warnings?recursion=1", "").await;
        let text = warnings.to_string();
        for part in ["server_registration:6:19", "there is no channel", "rack-"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        let (_, audit) = bench.ask(Who::Unix, "GET", "/1.0/audit", "").await;
        assert!(audit.to_string().contains("server.scriptlet"));
        bench.engine.stop().await;
    });
}

#[test]
fn a_synchronous_answer_names_the_operation_behind_it() {
    on_both(|bench: Bench| async move {
        let (_listeners, url) = bench.listen().await;
        let _fleet = fleet(&bench, &url, 1).await;
        let name = until_ready(&bench, 1).await[0]["name"].as_str().unwrap().to_owned();
        let path = format!("{SERVERS}/{name}/system/:reboot");
        let (status, headers, answer) = bench.ask_whole(Who::Unix, "POST", &path, "").await;
        assert_eq!((status, &answer["metadata"], &answer["operation"]), (StatusCode::OK, &json!({}), &json!("")));
        let id = headers["muster-operation"].to_str().unwrap();
        let listed = |kind: &'static str| {
            let path = format!("/1.0/operations?target={name}&kind=reboot&target_kind={kind}");
            let bench = &bench;
            async move { bench.ask(Who::Unix, "GET", &path, "").await.1["metadata"].clone() }
        };
        assert_eq!(listed("server").await[0]["id"], id);
        assert_eq!(listed("cluster").await, json!([]));
        bench.engine.stop().await;
    });
}

#[test]
fn the_kind_of_error_stands_behind_its_text() {
    on_both(|bench: Bench| async move {
        for path in [format!("{SERVERS}/none"), "/1.0/operations/none".into(), "/1.0/provisioning/channels/none".into()]
        {
            let (status, answer) = bench.ask(Who::Unix, "GET", &path, "").await;
            assert_eq!(status, StatusCode::NOT_FOUND);
            let text = answer["error"].as_str().unwrap();
            assert!(text.ends_with(": Not found") && !text.starts_with("Not found"), "{text}");
        }
        bench.engine.stop().await;
    });
}
