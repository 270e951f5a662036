//! Real Incus servers and the real daemon, each in namespaces of this machine (`testbed/incus/bed`): what simulated machines
//! cannot prove. Where no bed can stand, these tests are counted as skipped.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![expect(clippy::disallowed_methods, reason = "certificates of test machines are valid from now")]

mod bed;
mod daemon;
mod machine;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bed::Bed;
use daemon::{Daemon, SERVERS};
use machine::{Machine, Manner};
use muster_clients::tls::{Curve, Identity, Kind};
use serde_json::Value;

/// Runs a test in the network of a bed of its own.
fn with_bed(test: &str, count: usize, incusos: bool, body: impl AsyncFnOnce(Arc<Bed>)) {
    let Some(bed) = Bed::up(test, count, incusos) else { return };
    let netns = bed.netns().to_owned();
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.worker_threads(2).enable_all().on_thread_start({
        let netns = netns.clone();
        move || bed::enter(&netns)
    });
    let runtime = runtime.build().unwrap();
    bed::enter(&netns);
    let bed = Arc::new(bed);
    runtime.block_on(body(bed.clone()));
    // The machines' tasks hold the bed: they end first.
    drop(runtime);
}

/// All machines of a bed, registered with one token that is good for each of them once, and ready.
async fn fleet(bed: &Arc<Bed>, daemon: &Daemon, manners: &[Manner]) -> (Vec<Arc<Machine>>, String) {
    let token = daemon.token(manners.len()).await;
    let start = |(at, manner): (usize, &Manner)| Machine::start(bed, at, daemon, &token, *manner);
    let machines: Vec<_> = manners.iter().enumerate().map(start).collect();
    for machine in &machines {
        let there = async || daemon.call("GET", &format!("{SERVERS}/{}", machine.name()), None).await.ok();
        daemon.until("the machine has registered", there).await;
        daemon.until_state(machine.name(), "ready").await;
    }
    (machines, token)
}

fn another_identity(name: &str, address: &str) -> Identity {
    let kind = Kind::Machine { names: vec![name.into(), address.into()] };
    Identity::generate(&kind, Curve::P384, &format!("root@{name}"), SystemTime::now()).unwrap()
}

/// The newest operation of a kind on a server, once it is over.
async fn operation(daemon: &Daemon, server: &str, kind: &str) -> Value {
    let path = format!("/1.0/operations?target={server}&kind={kind}");
    let over = async || Some(daemon.get(&path).await[0].take()).filter(|o| o["finished_at"].is_string());
    daemon.until(&format!("{kind} of {server} is over"), over).await
}

/// Every step says when it began and when it ended, one after the other, within the operation.
fn assert_steps_tell_their_times(operation: &Value) {
    let steps = operation["steps"].as_array().unwrap();
    assert!(!steps.is_empty(), "{operation:#}");
    // Times of one format and zone compare as texts.
    let mut times = vec![operation["created_at"].as_str().unwrap()];
    for step in steps {
        assert_eq!(step["status"], "done", "{operation:#}");
        for key in ["started_at", "finished_at"] {
            times.push(step[key].as_str().unwrap_or_else(|| panic!("a step without {key}: {operation:#}")));
        }
    }
    times.push(operation["finished_at"].as_str().unwrap());
    let parsed: Vec<jiff::Timestamp> = times.iter().map(|t| t.parse().unwrap()).collect();
    assert!(parsed.is_sorted(), "{operation:#}");
}

#[test]
fn three_machines_register_with_one_token_and_become_ready_by_polls() {
    with_bed("register", 3, true, async |bed| {
        let daemon = Daemon::start().await;
        let (machines, token) = fleet(&bed, &daemon, &[Manner::INCUSOS, Manner::INCUSOS, Manner::SILENT]).await;
        for machine in &machines {
            let server = daemon.server(machine.name()).await;
            assert_eq!(server["fingerprint"], machine.identity().fingerprint().unwrap().as_str());
            assert_eq!(server["connection_url"], format!("https://{}", machine.member.address).as_str());
            assert_eq!(server["server_type"], "incus");
            assert_eq!(server["hardware_data"]["system"]["uuid"], machine.system_uuid().as_str());
            assert_eq!(server["version_data"]["os"]["name"], "IncusOS");
            assert!(machine.asked().contains(&"GET /1.0/system/resources".to_owned()), "asked through the real proxy");
            assert_eq!(machine.boots(), 1);
            let register = operation(&daemon, machine.name(), "register").await;
            assert_eq!(register["status"], "succeeded", "{register:#}");
            assert_steps_tell_their_times(&register);
        }
        assert_eq!(daemon.get(&format!("/1.0/provisioning/tokens/{token}")).await["uses_remaining"], 0);
        let other = another_identity("newcomer", "198.51.100.99");
        let refused = machine::newcomer(&daemon, &token, &other).await.unwrap_err().to_string();
        assert!(refused.contains("Consume token"), "a fourth machine: {refused}");
    });
}

#[test]
fn a_reboot_takes_the_server_offline_and_ends_with_the_new_boot() {
    with_bed("reboot", 2, true, async |bed| {
        let daemon = Daemon::start().await;
        // The second takes the call and does not go down until we say so, and never tells anything.
        let lingering = Manner { lingers: Duration::from_secs(3600), ..Manner::SILENT };
        let (machines, _) = fleet(&bed, &daemon, &[Manner::INCUSOS, lingering]).await;
        for machine in &machines {
            daemon.call("POST", &format!("{SERVERS}/{}/system/:reboot", machine.name()), None).await.unwrap();
        }
        assert_eq!(daemon.state("m2").await, "offline/rebooting");
        for _ in 0..2 {
            let refused = daemon.resync("m2").await.unwrap_err().to_string();
            assert!(refused.contains("still rebooting"), "{refused}");
            assert_eq!(daemon.state("m2").await, "offline/rebooting", "the boot of before answers: it is no new one");
        }
        machines[1].shut_down().await;
        let away = daemon.resync("m2").await.unwrap_err().to_string();
        assert!(away.contains("still rebooting"), "{away}");
        machines[1].power_on();
        let back = async || daemon.resync("m2").await.ok();
        daemon.until("m2 answers with its new boot", back).await;

        for machine in &machines {
            daemon.until_state(machine.name(), "ready").await;
            assert_eq!(machine.boots(), 2);
            let reboot = operation(&daemon, machine.name(), "reboot").await;
            assert_eq!(reboot["status"], "succeeded", "{reboot:#}");
            assert_steps_tell_their_times(&reboot);
        }
    });
}

#[test]
fn a_power_cut_makes_a_server_unresponsive_and_polls_bring_it_back() {
    with_bed("crash", 2, true, async |bed| {
        let daemon = Daemon::start().await;
        let (machines, _) = fleet(&bed, &daemon, &[Manner::SILENT, Manner::INCUSOS]).await;
        machines[0].crash().await;
        daemon.resync("m1").await.unwrap();
        assert_unresponsive(&daemon, "m1", "GET https://198.51.100.11:8443/: ").await;
        machines[0].power_on();
        // Nobody asks for it from here on, and it tells nothing.
        daemon.until_state("m1", "ready").await;
        assert_eq!(daemon.server("m1").await["status_reason"], "");
        assert_eq!(machines[0].boots(), 2);
        assert_eq!(daemon.state("m2").await, "ready");
    });
}

#[test]
fn a_server_cut_from_the_network_says_which_call_failed_and_comes_back() {
    with_bed("cut", 2, true, async |bed| {
        let daemon = Daemon::start().await;
        let (machines, _) = fleet(&bed, &daemon, &[Manner::INCUSOS, Manner::INCUSOS]).await;
        bed.command(&["cut", "m1"]).await;
        daemon.resync("m1").await.unwrap();
        assert_unresponsive(&daemon, "m1", "GET https://198.51.100.11:8443/: ").await;
        daemon.resync("m2").await.unwrap();
        assert_eq!(daemon.state("m2").await, "ready", "one that is away costs the others nothing");
        bed.command(&["heal", "m1"]).await;
        daemon.until_state("m1", "ready").await;
        assert_eq!(machines[0].boots(), 1, "it was there all the time");
    });
}

#[test]
fn a_server_with_another_certificate_is_refused() {
    with_bed("certificate", 1, true, async |bed| {
        let daemon = Daemon::start().await;
        let (machines, _) = fleet(&bed, &daemon, &[Manner::SILENT]).await;
        let machine = &machines[0];
        let own = machine.identity();
        let other = another_identity("m1", "198.51.100.11");

        machine.shut_down().await;
        machine.present(&other);
        machine.power_on();
        daemon.until("the impostor runs", async || (machine.boots() == 2).then_some(())).await;
        machine.asked();
        daemon.resync("m1").await.unwrap();
        assert_unresponsive(&daemon, "m1", "GET https://198.51.100.11:8443/: certificate not accepted: ").await;
        assert_eq!(machine.asked(), Vec::<String>::new(), "it was told nothing");
        let refused = machine.tell(&daemon, "system-is-ready").await.unwrap_err().to_string();
        assert!(refused.contains("certificate"), "{refused}");
        assert_eq!(daemon.state("m1").await, "offline/unresponsive");

        machine.shut_down().await;
        machine.present(&own);
        machine.power_on();
        daemon.until_state("m1", "ready").await;
        assert_eq!(machine.boots(), 3);
    });
}

#[test]
fn an_incus_without_incusos_is_not_taken_for_a_server() {
    with_bed("plain", 1, false, async |bed| {
        let daemon = Daemon::start().await;
        let token = daemon.token(1).await;
        let machine = Machine::start(&bed, 0, &daemon, &token, Manner::SILENT);
        let asked = async || daemon.call("GET", &format!("{SERVERS}/m1"), None).await.ok();
        daemon.until("it has registered", asked).await;
        // Until it trusts the center it answers 403, which says nothing yet.
        let found_out = async || {
            daemon.resync("m1").await.ok();
            daemon.server("m1").await["status_reason"].to_string().contains("without IncusOS").then_some(())
        };
        daemon.until("the reason is known", found_out).await;
        assert_eq!(daemon.state("m1").await, "pending/registering");
        assert_eq!(machine.asked(), Vec::<String>::new(), "Incus does not proxy");
    });
}

async fn assert_unresponsive(daemon: &Daemon, server: &str, reason: &str) {
    assert_eq!(daemon.state(server).await, "offline/unresponsive");
    let told = daemon.server(server).await["status_reason"].to_string();
    assert!(told.contains(reason), "the reason does not name {reason:?}: {told}");
}
