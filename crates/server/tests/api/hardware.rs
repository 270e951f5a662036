//! Hardware of simulated machines that changes: what each change asks for, from the poll that sees it to the end of what follows.

use crate::bench::{Bench, Who, on_both};
use crate::machines::fleet;
use axum::http::StatusCode;
use muster_sim::{fleet::Simulated, parts::Alteration};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// The only label that simulated machines have from the factory.
const LABEL: &str = "M.8C.128G.5xNVME-1.9T";

pub async fn get(bench: &Bench, path: &str) -> Value {
    let (status, body) = bench.ask(Who::Unix, "GET", path, "").await;
    assert_eq!(status, StatusCode::OK, "{path}: {body}");
    body["metadata"].clone()
}

pub async fn send(bench: &Bench, method: &str, path: &str, body: Value) -> Value {
    let (status, answer) = bench.ask(Who::Unix, method, path, body.to_string()).await;
    assert!(status.is_success(), "{method} {path}: {answer}");
    answer["metadata"].clone()
}

/// The machine behind a simulated one, as soon as it is as it should be.
pub async fn until(bench: &Bench, machine: &Simulated, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        let all = get(bench, "/1.0/machines").await;
        let found = all.as_array().unwrap().iter().find(|m| m["server"] == machine.name().as_str());
        if let Some(found) = found.filter(|found| holds(found)) {
            return found.clone();
        }
        assert!(Instant::now() < end, "never {what}: {found:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn is_available(bench: &Bench, machine: &Simulated) -> String {
    let found = until(bench, machine, "available", |m| m["lifecycle"] == "available").await;
    found["id"].as_str().unwrap().to_owned()
}

/// Changes a machine and polls it; the machine as it is then.
async fn altered(bench: &Bench, machine: &Simulated, id: &str, alteration: Alteration) -> Value {
    machine.alter(alteration);
    let path = format!("/1.0/provisioning/servers/{}/:resync", machine.name());
    send(bench, "POST", &path, json!({})).await;
    get(bench, &format!("/1.0/machines/{id}")).await
}

async fn alerts(bench: &Bench, id: &str) -> Vec<String> {
    let found = get(bench, &format!("/1.0/machines/{id}/alerts")).await;
    found.as_array().unwrap().iter().map(|a| a["name"].as_str().unwrap().to_owned()).collect()
}

async fn warning(bench: &Bench, id: &str) -> String {
    let found = get(bench, "/1.0/warnings").await;
    let found =
        found.as_array().unwrap().iter().find(|w| w["scope"]["entity"] == id && w["type"] == "Hardware changed");
    found.map(|w| w["messages"][0].as_str().unwrap().to_owned()).unwrap_or_default()
}

#[test]
fn each_change_of_hardware_asks_for_what_it_has_to() {
    on_both(|bench: Bench| async move {
        let (_listeners, url) = bench.listen().await;
        let fleet = fleet(&bench, &url, 5).await;
        let mut ids = Vec::new();
        for machine in fleet.machines() {
            ids.push(is_available(&bench, machine).await);
        }
        let types = get(&bench, "/1.0/server-types").await;
        assert_eq!((types.as_array().unwrap().len(), &types[0]["label"]), (1, &json!(LABEL)));
        assert_eq!(types[0]["machines"], json!({"available": 5}));
        let machine = |n: usize| (fleet.machine(n).unwrap(), ids[n - 1].as_str());

        let (disk, id) = machine(1);
        let found = altered(&bench, disk, id, Alteration::OtherDisk).await;
        assert_eq!((&found["flags"]["requires_re_register"], &found["obstacles"]), (&json!(false), &json!([])));
        assert!(warning(&bench, id).await.ends_with("registering it again is advised"));
        let changes = get(&bench, &format!("/1.0/machines/{id}/hardware/changes")).await;
        assert_eq!((&changes[0]["source"], &changes[1]["source"]), (&json!("poll"), &json!("registration")));
        assert!(changes[0]["changes"][0].as_str().unwrap().contains(" is now the NVME disk"), "{changes}");

        let (memory, id) = machine(2);
        let found = altered(&bench, memory, id, Alteration::MoreMemory).await;
        assert_eq!(
            (&found["type_match"], alerts(&bench, id).await),
            (&json!("mismatch"), vec!["server-type".to_owned()])
        );
        assert_eq!(found["flags"]["requires_re_register"], true);
        let (status, refused) =
            bench.ask(Who::Unix, "POST", &format!("/1.0/machines/{id}/:allocate"), r#"{"owner": "anna"}"#).await;
        assert_eq!(status, StatusCode::CONFLICT, "{refused}");
        assert!(warning(&bench, id).await.contains("the memory was 128 GiB and is 256 GiB"));
        // Registered again it is of another type, and may be given away.
        send(&bench, "POST", &format!("/1.0/machines/{id}/:set-unavailable"), json!({})).await;
        send(&bench, "POST", &format!("/1.0/machines/{id}/:re-register"), json!({})).await;
        let found = until(&bench, memory, "registered again", |m| m["lifecycle"] == "unavailable").await;
        assert_eq!((&found["type_match"], &found["flags"]["requires_re_register"]), (&json!("matched"), &json!(false)));
        let hardware = get(&bench, &format!("/1.0/machines/{id}/hardware")).await;
        assert_eq!(
            (&hardware["label"], &hardware["inventory"]["memory_gib"]),
            (&json!("M.8C.256G.5xNVME-1.9T"), &json!(256))
        );
        assert_eq!((alerts(&bench, id).await, warning(&bench, id).await), (vec![], String::new()));

        // What is seen by a resync of a machine that nobody uses is registered with it.
        let found = altered(&bench, memory, id, Alteration::FewerDisks).await;
        assert_eq!((&found["type_match"], &found["flags"]["requires_re_register"]), (&json!("matched"), &json!(false)));
        let hardware = get(&bench, &format!("/1.0/machines/{id}/hardware")).await;
        assert_eq!((&hardware["label"], warning(&bench, id).await), (&json!("M.8C.256G.4xNVME-1.9T"), String::new()));

        let (card, id) = machine(3);
        let found = altered(&bench, card, id, Alteration::OtherCard).await;
        assert_eq!((&found["type_match"], &found["flags"]["requires_re_register"]), (&json!("matched"), &json!(true)));
        assert!(warning(&bench, id).await.contains("the network card"));

        let (board, id) = machine(4);
        let found = altered(&bench, board, id, Alteration::OtherBoard).await;
        assert_eq!(
            (&found["alerts"]["blocking"], alerts(&bench, id).await),
            (&json!(true), vec!["hardware-identity".to_owned()])
        );
        assert!(warning(&bench, id).await.ends_with("decommission it and add the hardware again"));

        let (foreign, id) = machine(5);
        let found = altered(&bench, foreign, id, Alteration::ForeignSerial).await;
        assert_eq!(found["alerts"]["blocking"], true);
        assert_eq!(alerts(&bench, id).await, ["hardware-identity", "identity-conflict"]);
        let of_first = get(&bench, &format!("/1.0/machines/{}", ids[0])).await;
        assert_ne!(found["serial"], of_first["serial"], "the record stays who it was");
        let (_, verdict) = bench.ask(Who::Unix, "POST", "/1.0/audit/:verify", "").await;
        assert_eq!(verdict["metadata"]["intact"], true);
        bench.engine.stop().await;
    });
}

#[test]
fn a_machine_that_comes_back_from_a_reset_with_less_is_kept_back() {
    on_both(|bench: Bench| async move {
        let (_listeners, url) = bench.listen().await;
        let fleet = fleet(&bench, &url, 2).await;
        let (less, board) = (fleet.machine(1).unwrap(), fleet.machine(2).unwrap());
        less.set_at_reset(Some(Alteration::FewerDisks));
        board.set_at_reset(Some(Alteration::OtherBoard));
        let mut ids = Vec::new();
        for machine in [less, board] {
            let id = is_available(&bench, machine).await;
            send(&bench, "POST", &format!("/1.0/machines/{id}/:set-unavailable"), json!({})).await;
            send(&bench, "POST", &format!("/1.0/machines/{id}/:clean"), json!({})).await;
            ids.push(id);
        }
        let found = until(&bench, less, "back", |m| m["lifecycle"] == "available").await;
        assert_eq!((&found["id"], &found["type_match"]), (&json!(ids[0]), &json!("mismatch")));
        assert_eq!((&found["media"], &found["alerts"]["prevent_allocation"]), (&json!("clean"), &json!(true)));
        assert_eq!(alerts(&bench, &ids[0]).await, ["server-type"]);
        let types = get(&bench, "/1.0/server-types").await;
        assert_eq!(types.as_array().unwrap().len(), 1, "it keeps its type: {types}");
        // It is recognised by what the board does not hold, and kept back.
        let found = until(&bench, board, "back", |m| m["lifecycle"] == "available").await;
        assert_eq!((&found["id"], &found["alerts"]["blocking"]), (&json!(ids[1]), &json!(true)));
        bench.engine.stop().await;
    });
}

#[test]
fn types_are_named_merged_and_removed() {
    on_both(|bench: Bench| async move {
        let (_listeners, url) = bench.listen().await;
        let fleet = fleet(&bench, &url, 2).await;
        let more = fleet.machine(2).unwrap();
        let first = is_available(&bench, fleet.machine(1).unwrap()).await;
        let second = is_available(&bench, more).await;
        let of = async |id: &str| {
            get(&bench, &format!("/1.0/machines/{id}")).await["server_type"].as_str().unwrap().to_owned()
        };
        let small = of(&first).await;
        altered(&bench, more, &second, Alteration::MoreMemory).await;
        send(&bench, "POST", &format!("/1.0/machines/{second}/:set-unavailable"), json!({})).await;
        send(&bench, "POST", &format!("/1.0/machines/{second}/:re-register"), json!({})).await;
        until(&bench, more, "of another type", |m| {
            m["lifecycle"] == "unavailable" && m["server_type"] != small.as_str()
        })
        .await;
        let large = of(&second).await;

        let path = format!("/1.0/server-types/{small}");
        let (_, headers, shown) = bench.ask_whole(Who::Unix, "GET", &path, "").await;
        assert_eq!(shown["metadata"]["specification"]["memory_gib"], 128);
        let tag = headers["etag"].to_str().unwrap().to_owned();
        let put = |label: &str| json!({"label": label, "description": "for the web"}).to_string();
        let tagged = [("if-match", tag.as_str())];
        let (status, _, _) = bench.ask_bytes(Who::Unix, "PUT", &path, &tagged, put("web")).await;
        assert_eq!(status, StatusCode::OK);
        let (status, _, _) = bench.ask_bytes(Who::Unix, "PUT", &path, &tagged, put("other")).await;
        assert_eq!(status, StatusCode::PRECONDITION_FAILED);
        let refused = async |method: &str, path: String, body: Value, text: &str| {
            let (status, answer) = bench.ask(Who::Unix, method, &path, body.to_string()).await;
            assert!(status.is_client_error() && answer["error"].as_str().unwrap().contains(text), "{path}: {answer}");
        };
        refused("PUT", format!("/1.0/server-types/{large}"), json!({"label": "web"}), "has the label").await;
        refused("PUT", path.clone(), json!({"label": " "}), "label: is missing").await;
        refused("PUT", path.clone(), json!({"label": "x", "colour": 1}), "colour").await;
        refused("DELETE", path.clone(), json!({}), "merge it into another type").await;
        refused("POST", format!("{path}/:merge"), json!({"into": small}), "another server type").await;
        refused("POST", format!("{path}/:merge"), json!({"into": "x"}), "into: there is no server type").await;
        refused("DELETE", "/1.0/server-types/x".into(), json!({}), "Not found").await;

        // A machine of the one that changed into the other matches as soon as both are one.
        let found = altered(&bench, fleet.machine(1).unwrap(), &first, Alteration::MoreMemory).await;
        assert_eq!(found["type_match"], "mismatch");
        let merged = send(&bench, "POST", &format!("/1.0/server-types/{large}/:merge"), json!({"into": small})).await;
        assert_eq!(merged, json!({"machines": 1, "matched": 1}));
        let left = get(&bench, "/1.0/server-types").await;
        assert_eq!((left.as_array().unwrap().len(), &left[0]["label"]), (1, &json!("web")));
        assert_eq!(left[0]["fingerprints"].as_array().unwrap().len(), 2);
        assert_eq!(left[0]["machines"], json!({"available": 1, "unavailable": 1}));
        let found = get(&bench, &format!("/1.0/machines/{first}")).await;
        assert_eq!((&found["type_match"], alerts(&bench, &first).await), (&json!("matched"), vec![]));
        bench.engine.stop().await;
    });
}
