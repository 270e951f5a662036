//! The whole life of a machine over HTTP: simulated machines that are taken, given back, cleaned and lost.

use crate::bench::{Bench, Who, on_both};
use axum::http::StatusCode;
use muster_sim::{
    fault::Fault,
    fleet::{CenterOptions, Fleet, FleetOptions},
};
use serde_json::{Value, json};
use std::time::{Duration, Instant, SystemTime};

const MACHINES: &str = "/1.0/machines";
/// Nothing here takes longer.
const PATIENCE: Duration = Duration::from_secs(60);

pub async fn fleet(bench: &Bench, url: &str, count: usize) -> Fleet {
    // What a machine that resets itself is told to come back to.
    let network = json!({"address": url, "rest_server_address": "127.0.0.1:0"});
    let (status, answer) = bench.ask(Who::Unix, "PUT", "/1.0/system/network", network.to_string()).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    let mut options = FleetOptions::new(count, 1, SystemTime::now());
    let certificate = bench.engine.identities().server.certificate_pem.clone();
    options.center =
        Some(CenterOptions { url: url.into(), certificate_pem: Some(certificate), token: bench.token(100).await });
    Fleet::start(options).await.unwrap()
}

pub async fn machine(bench: &Bench, id: &str) -> Value {
    let (status, answer) = bench.ask(Who::Unix, "GET", &format!("{MACHINES}/{id}"), "").await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    answer["metadata"].clone()
}

async fn machines(bench: &Bench, query: &str) -> Vec<Value> {
    let (status, answer) = bench.ask(Who::Unix, "GET", &format!("{MACHINES}{query}"), "").await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    answer["metadata"].as_array().unwrap().clone()
}

/// Waits until `wanted` holds of a machine.
pub async fn until(bench: &Bench, id: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let end = Instant::now() + PATIENCE;
    loop {
        let machine = machine(bench, id).await;
        if wanted(&machine) {
            return machine;
        }
        assert!(Instant::now() < end, "never so: {machine}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

pub async fn make(bench: &Bench, id: &str, name: &str, body: Value) -> (StatusCode, Value) {
    bench.ask(Who::Unix, "POST", &format!("{MACHINES}/{id}/:{name}"), body.to_string()).await
}

async fn made(bench: &Bench, id: &str, name: &str, body: Value) -> Value {
    let (status, answer) = make(bench, id, name, body).await;
    assert!(status.is_success(), "{name}: {status} {answer}");
    answer["metadata"].clone()
}

/// The number of the reason why not.
async fn refused(bench: &Bench, id: &str, name: &str, body: Value) -> Value {
    let (status, answer) = make(bench, id, name, body).await;
    assert_eq!(status, StatusCode::CONFLICT, "{name}: {answer}");
    let detail = &answer["metadata"];
    for key in ["rule", "way_out", "from"] {
        assert!(detail[key].as_str().is_some_and(|text| !text.is_empty()), "{key}: {answer}");
    }
    assert!(answer["error"].as_str().unwrap().contains(detail["rule"].as_str().unwrap()), "{answer}");
    detail["reason"].clone()
}

async fn operation(bench: &Bench, id: &str) -> Value {
    let end = Instant::now() + PATIENCE;
    loop {
        let (_, answer) = bench.ask(Who::Unix, "GET", &format!("/1.0/operations/{id}"), "").await;
        let operation = answer["metadata"].clone();
        if operation["finished_at"].is_string() {
            return operation;
        }
        assert!(Instant::now() < end, "never over: {operation}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn open(machine: &Value, name: &str) -> bool {
    let moves = machine["moves"].as_array().unwrap();
    let shown = moves.iter().find(|m| m["name"] == name).unwrap();
    let why = shown["why"].as_str().unwrap_or_default();
    assert_eq!(shown["open"] == true, why.is_empty(), "what is closed says why: {shown}");
    shown["open"] == true
}

/// Ids of the machines in the pool, once there are so many.
pub async fn pool(bench: &Bench, count: usize) -> Vec<String> {
    let end = Instant::now() + PATIENCE;
    loop {
        let found = machines(bench, "?lifecycle=available").await;
        if found.len() == count {
            return found.iter().map(|m| m["id"].as_str().unwrap().to_owned()).collect();
        }
        assert!(Instant::now() < end, "{found:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[test]
fn a_machine_is_taken_given_back_and_comes_back_clean() {
    on_both(|bench: Bench| async move {
        let (_listeners, url) = bench.listen().await;
        let _fleet = fleet(&bench, &url, 1).await;
        let id = pool(&bench, 1).await.remove(0);
        let certificate = async |bench: &Bench| {
            let (_, list) = bench.ask(Who::Unix, "GET", "/1.0/provisioning/servers?recursion=1", "").await;
            list["metadata"][0]["certificate"].as_str().unwrap_or_default().to_owned()
        };
        let free = machine(&bench, &id).await;
        assert_eq!((&free["obstacles"], &free["allocation"]), (&json!([]), &Value::Null));
        assert!(open(&free, "allocate") && open(&free, "set-unavailable"));
        assert!(!open(&free, "release") && !open(&free, "decommission") && !open(&free, "unhold"));

        let begun = made(&bench, &id, "allocate", json!({"owner": "anna", "reference": "web"})).await;
        assert_eq!(begun["steps"][0]["to"], "used");
        assert_eq!(operation(&bench, begun["operation"].as_str().unwrap()).await["status"], "succeeded");
        let used = until(&bench, &id, |m| m["lifecycle"] == "used").await;
        assert_eq!((&used["allocation"]["owner"], &used["media"]), (&json!("anna"), &json!("dirty")));
        assert_eq!(refused(&bench, &id, "set-available", json!({})).await, 2);
        assert_eq!(refused(&bench, &id, "set-defective", json!({})).await, 3);
        assert_eq!(refused(&bench, &id, "decommission", json!({})).await, 8);
        assert_eq!(refused(&bench, &id, "allocate", json!({"owner": "ben"})).await, Value::Null);

        // What would happen, and what is lost: nothing of it happens.
        let path = format!("{MACHINES}/{id}/:release?dry_run=true");
        let (_, plan) = bench.ask(Who::Unix, "POST", &path, "{}").await;
        assert_eq!((&plan["metadata"]["dry_run"], &plan["metadata"]["operation"]), (&json!(true), &json!("")));
        let lost = plan["metadata"]["loses"].to_string();
        assert!(lost.contains("anna") && lost.contains("operating system"), "{lost}");
        assert_eq!(machine(&bench, &id).await["lifecycle"], "used");

        let before = certificate(&bench).await;
        let (_, wrong) = make(&bench, &id, "clean", json!({"problem": "a fan"})).await;
        assert!(wrong["error"].as_str().unwrap().contains("problem: is nothing that clean takes"), "{wrong}");
        let body = json!({"note": "project is over", "problem": "a fan is loud"});
        let begun = made(&bench, &id, "release", body).await;
        let over = operation(&bench, begun["operation"].as_str().unwrap()).await;
        assert_eq!((&over["status"], &over["target_kind"]), (&json!("succeeded"), &json!("machine")), "{over}");
        let back = until(&bench, &id, |m| m["lifecycle"] == "available").await;
        assert_eq!((&back["allocation"], &back["media"]), (&Value::Null, &json!("clean")));
        assert_eq!(back["erased"]["level"], "os_reset", "nothing more is claimed than was done");
        assert_ne!(certificate(&bench).await, before, "it is another operating system");
        // What its user found wrong with it keeps it from the next one.
        assert_eq!((&back["comment"], &back["alerts"]["prevent_allocation"]), (&json!("a fan is loud"), &json!(true)));
        assert!(!open(&back, "allocate"));
        let alert = format!("{MACHINES}/{id}/alerts/release/problem");
        assert_eq!(bench.ask(Who::Unix, "DELETE", &alert, "").await.0, StatusCode::OK);
        assert!(open(&machine(&bench, &id).await, "allocate"));

        let (_, history) = bench.ask(Who::Unix, "GET", &format!("{MACHINES}/{id}/history"), "").await;
        let history = history["metadata"].as_array().unwrap();
        let states: Vec<_> =
            history.iter().filter(|h| h["action"] == "machine.transition").map(|h| h["to"].as_str().unwrap()).collect();
        assert_eq!(states, ["registering", "unavailable", "available", "used", "cleaning", "available"]);
        let erased = history.iter().find(|h| h["action"] == "machine.erased").unwrap();
        assert_eq!(erased["reason"], "os_reset");
        let release = history.iter().find(|h| h["to"] == "cleaning").unwrap();
        assert_eq!(release["operation"], begun["operation"]);
        // The token that it came back with was for one use, and is gone.
        let (_, tokens) = bench.ask(Who::Unix, "GET", "/1.0/provisioning/tokens?recursion=1", "").await;
        assert_eq!(tokens["metadata"].as_array().unwrap().len(), 1, "{tokens}");
        let (_, verdict) = bench.ask(Who::Unix, "POST", "/1.0/audit/:verify", "").await;
        assert_eq!(verdict["metadata"]["intact"], true);
        bench.engine.stop().await;
    });
}

#[test]
fn a_release_can_be_thought_better_of_and_a_lost_machine_is_given_up() {
    on_both(|bench: Bench| async move {
        let (_listeners, url) = bench.listen().await;
        let fleet = fleet(&bench, &url, 1).await;
        let id = pool(&bench, 1).await.remove(0);
        let begun = made(&bench, &id, "allocate", json!({"owner": "anna"})).await;
        operation(&bench, begun["operation"].as_str().unwrap()).await;

        let begun = made(&bench, &id, "release", json!({"grace_seconds": 600, "problem": "a fan"})).await;
        let id_of = begun["operation"].as_str().unwrap().to_owned();
        let again = make(&bench, &id, "release", json!({})).await;
        assert!(again.1["error"].as_str().unwrap().contains(&id_of), "{}", again.1);
        let end = Instant::now() + PATIENCE;
        loop {
            let (_, waiting) = bench.ask(Who::Unix, "GET", &format!("/1.0/operations/{id_of}"), "").await;
            if waiting["metadata"]["reason"].as_str().unwrap().contains("nothing is done before") {
                break;
            }
            assert!(Instant::now() < end, "{waiting}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let (status, _) = bench.ask(Who::Unix, "POST", &format!("/1.0/operations/{id_of}/:cancel"), "").await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(operation(&bench, &id_of).await["status"], "cancelled");
        assert_eq!(machine(&bench, &id).await["lifecycle"], "used", "nothing has happened");
        let begun = made(&bench, &id, "release", json!({"grace_seconds": 600, "problem": "a disk"})).await;
        let pending = machine(&bench, &id).await;
        let (_, alerts) = bench.ask(Who::Unix, "GET", &format!("{MACHINES}/{id}/alerts"), "").await;
        let alerts: Vec<_> =
            alerts["metadata"].as_array().unwrap().iter().map(|a| (&a["name"], &a["message"])).collect();
        let each = [(&json!("problem"), &json!("a fan")), (&json!("problem-2"), &json!("a disk"))];
        assert_eq!(alerts, each, "what is said of a machine is not lost by what is said later");
        assert_eq!((&pending["work"][0]["id"], open(&pending, "cancel")), (&begun["operation"], true));
        made(&bench, &id, "cancel", json!({})).await;
        assert_eq!(operation(&bench, begun["operation"].as_str().unwrap()).await["status"], "cancelled");
        assert_eq!(refused(&bench, &id, "cancel", json!({})).await, Value::Null);

        // It does not answer any more: the release says so and changes nothing; giving it up is another thing.
        fleet.machines()[0].set_fault(Some(Fault::Refuse));
        let (status, answer) = make(&bench, &id, "release", json!({})).await;
        let failed = match status {
            StatusCode::ACCEPTED => operation(&bench, answer["metadata"]["operation"].as_str().unwrap()).await,
            _ => json!({"status": "failed", "error": answer["error"]}),
        };
        assert_eq!(failed["status"], "failed", "{failed}");
        let still = machine(&bench, &id).await;
        assert_eq!((&still["lifecycle"], &still["allocation"]["owner"]), (&json!("used"), &json!("anna")));
        made(&bench, &id, "release", json!({"unreachable": true, "note": "burnt"})).await;
        let lost = machine(&bench, &id).await;
        assert_eq!((&lost["lifecycle"], &lost["operation"]["phase"]), (&json!("cleaning"), &json!("failed")));
        assert_eq!((&lost["server"], &lost["allocation"]), (&json!(""), &Value::Null));
        made(&bench, &id, "set-unavailable", json!({})).await;
        let given_up = machine(&bench, &id).await;
        assert_eq!((&given_up["media"], &given_up["needs_manual_cleaning"]), (&json!("dirty"), &json!(true)));
        let (status, answer) = make(&bench, &id, "set-available", json!({})).await;
        assert_eq!(status, StatusCode::CONFLICT, "dirty disks stay out of the pool: {answer}");
        let (status, answer) = make(&bench, &id, "waive", json!({})).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{answer}");
        made(&bench, &id, "waive", json!({"note": "the disks are new"})).await;
        made(&bench, &id, "set-available", json!({})).await;
        let (_, notes) = bench.ask(Who::Unix, "GET", &format!("{MACHINES}/{id}/notes"), "").await;
        assert_eq!(notes["metadata"][0]["kind"], "waiver", "{notes}");
        assert_eq!(machine(&bench, &id).await["erased"]["level"], "waived");
        bench.engine.stop().await;
    });
}

#[test]
fn a_token_may_accept_what_is_on_the_disks() {
    on_both(|bench: Bench| async move {
        let (_listeners, url) = bench.listen().await;
        let first = fleet(&bench, &url, 1).await;
        let id = pool(&bench, 1).await.remove(0);
        let begun = made(&bench, &id, "allocate", json!({"owner": "anna"})).await;
        operation(&bench, begun["operation"].as_str().unwrap()).await;
        first.machines()[0].set_fault(Some(Fault::Refuse));
        made(&bench, &id, "release", json!({"unreachable": true})).await;
        made(&bench, &id, "set-unavailable", json!({})).await;
        drop(first);

        // The same hardware, reinstalled by hand: what was on its disks may still be there.
        let second = fleet(&bench, &url, 1).await;
        let back = until(&bench, &id, |m| m["server"] != "" && m["work"] == json!([])).await;
        assert_eq!((&back["lifecycle"], &back["media"]), (&json!("unavailable"), &json!("dirty")), "{back}");
        made(&bench, &id, "decommission", json!({})).await;
        drop(second);

        // Its successor comes with a token that somebody answers for.
        let token = json!({"uses_remaining": 1, "expire_at": "2099-01-01T00:00:00Z", "accept_existing_data": true});
        let (status, answer) = bench.ask(Who::Unix, "POST", "/1.0/provisioning/tokens", token.to_string()).await;
        assert_eq!(status, StatusCode::CREATED, "{answer}");
        let (_, tokens) = bench.ask(Who::Unix, "GET", "/1.0/provisioning/tokens?recursion=1", "").await;
        let accepting: Vec<&Value> =
            tokens["metadata"].as_array().unwrap().iter().filter(|t| t["accept_existing_data"] == true).collect();
        let [token] = accepting[..] else { panic!("one accepts: {tokens}") };
        let mut options = FleetOptions::new(1, 1, SystemTime::now());
        let certificate_pem = Some(bench.engine.identities().server.certificate_pem.clone());
        let token = token["uuid"].as_str().unwrap().to_owned();
        options.center = Some(CenterOptions { url, certificate_pem, token });
        let _third = Fleet::start(options).await.unwrap();
        let end = Instant::now() + PATIENCE;
        let new = loop {
            let new = machines(&bench, "").await.into_iter().find(|m| m["successor_of"] == json!(id));
            if let Some(new) = new.filter(|m| m["lifecycle"] == "available") {
                break new;
            }
            assert!(Instant::now() < end, "it does not enter the pool");
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        assert_eq!((&new["media"], &new["erased"]["level"]), (&json!("clean"), &json!("waived")));
        let path = format!("{MACHINES}/{}/notes", new["id"].as_str().unwrap());
        let (_, notes) = bench.ask(Who::Unix, "GET", &path, "").await;
        let note = &notes["metadata"][0];
        assert_eq!(note["kind"], "waiver", "{notes}");
        assert!(note["note"].as_str().unwrap().contains("its token accepts the data"), "{notes}");
        bench.engine.stop().await;
    });
}

#[test]
fn a_fault_is_noted_repaired_and_the_hardware_retires() {
    on_both(|bench: Bench| async move {
        let (_listeners, url) = bench.listen().await;
        let _fleet = fleet(&bench, &url, 1).await;
        let id = pool(&bench, 1).await.remove(0);
        let (status, answer) = make(&bench, &id, "set-defective", json!({})).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{answer}");
        assert!(answer["error"].as_str().unwrap().contains("note: is missing"), "{answer}");
        made(&bench, &id, "set-defective", json!({"note": "fan 3 is dead"})).await;
        assert_eq!(machine(&bench, &id).await["comment"], "fan 3 is dead");
        let (status, _) =
            bench.ask(Who::Unix, "POST", &format!("{MACHINES}/{id}/notes"), r#"{"note": "fan is ordered"}"#).await;
        assert_eq!(status, StatusCode::CREATED);
        assert_eq!(refused(&bench, &id, "allocate", json!({"owner": "anna"})).await, 4);
        made(&bench, &id, "set-available", json!({"note": "fan 3 is new"})).await;

        made(&bench, &id, "hold", json!({"note": "burn-in"})).await;
        let (status, answer) = make(&bench, &id, "allocate", json!({"owner": "anna"})).await;
        assert_eq!(status, StatusCode::CONFLICT);
        assert!(answer["error"].as_str().unwrap().contains("on hold"), "{answer}");
        made(&bench, &id, "unhold", json!({})).await;

        assert_eq!(refused(&bench, &id, "re-register", json!({})).await, 6);
        made(&bench, &id, "set-unavailable", json!({})).await;
        let begun = made(&bench, &id, "re-register", json!({})).await;
        assert_eq!(operation(&bench, begun["operation"].as_str().unwrap()).await["status"], "succeeded");
        assert_eq!(machine(&bench, &id).await["lifecycle"], "unavailable");
        let begun = made(&bench, &id, "clean", json!({})).await;
        assert_eq!(operation(&bench, begun["operation"].as_str().unwrap()).await["status"], "succeeded");
        until(&bench, &id, |m| m["lifecycle"] == "available").await;

        made(&bench, &id, "set-unavailable", json!({})).await;
        made(&bench, &id, "protect", json!({})).await;
        let (status, answer) = make(&bench, &id, "decommission", json!({})).await;
        assert_eq!(status, StatusCode::CONFLICT, "{answer}");
        made(&bench, &id, "unprotect", json!({})).await;
        made(&bench, &id, "decommission", json!({"note": "sold"})).await;
        assert_eq!(machine(&bench, &id).await["lifecycle"], "decommissioned");
        assert_eq!(refused(&bench, &id, "set-available", json!({})).await, 11);
        assert_eq!(machines(&bench, "").await, Vec::<Value>::new(), "hidden unless asked for");
        assert_eq!(machines(&bench, "?all=true").await.len(), 1);
        let (_, servers) = bench.ask(Who::Unix, "GET", "/1.0/provisioning/servers", "").await;
        assert_eq!(servers["metadata"], json!([]));
        bench.engine.stop().await;
    });
}

#[test]
fn machines_are_named_in_advance_found_and_edited() {
    on_both(|bench: Bench| async move {
        let (_listeners, url) = bench.listen().await;
        let body = json!({"system_uuid": "", "vendor": "ACME", "asset": {"rack": "", "lower_unit": 2}});
        let (status, answer) = bench.ask(Who::Unix, "POST", MACHINES, body.to_string()).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        for field in ["asset.rack", "serial", "system_uuid"] {
            assert!(answer["error"].as_str().unwrap().contains(field), "{field}: {answer}");
        }
        let (status, answer) = bench.ask(Who::Unix, "POST", MACHINES, r#"{"colour": "red"}"#).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert!(answer["error"].as_str().unwrap().contains("colour"), "{answer}");

        let bmc = json!({"endpoint": "https://198.51.100.9", "username": "root", "password": "calvin", "mac": "52-54-00-00-00-09"});
        let body = json!({"system_uuid": "4C4C4544-0001", "serial": "S9", "vendor": "ACME", "bmc": bmc,
            "asset": {"site": "berlin", "rack": "r7", "lower_unit": 3, "tags": ["gpu"]}, "note": "on its way"});
        let (status, answer) = bench.ask(Who::Unix, "POST", MACHINES, body.to_string()).await;
        assert_eq!(status, StatusCode::CREATED, "{answer}");
        let id = answer["metadata"]["id"].as_str().unwrap().to_owned();
        let (status, twin) = bench.ask(Who::Unix, "POST", MACHINES, body.to_string()).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert!(twin["error"].as_str().unwrap().contains(&id), "{twin}");

        let named = machine(&bench, &id).await;
        assert_eq!((&named["lifecycle"], &named["operation"]["phase"]), (&json!("registering"), &json!("waiting")));
        assert_eq!(named["bmc"]["password"], "********");
        assert!(!named.to_string().contains("calvin"));
        let found =
            machines(&bench, "?filter=asset.rack%20%3D%3D%20%22r7%22%20and%20%22gpu%22%20in%20asset.tags").await;
        assert_eq!(found.len(), 1);
        assert_eq!(machines(&bench, "?filter=allocation.owner%20%3D%3D%20%22anna%22").await, Vec::<Value>::new());
        let (status, answer) = bench.ask(Who::Unix, "GET", &format!("{MACHINES}?filter=rakc%20%3D%3D%201"), "").await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{answer}");

        let path = format!("{MACHINES}/{id}");
        let (_, headers, _) = bench.ask_whole(Who::Unix, "GET", &path, "").await;
        let tag = headers["etag"].to_str().unwrap().to_owned();
        let put = json!({"asset": {"rack": "r8"}, "bmc": {"endpoint": "https://198.51.100.9", "password": "********"}});
        let headers = [("if-match", tag.as_str())];
        let (status, ..) = bench.ask_bytes(Who::Unix, "PUT", &path, &headers, put.to_string()).await;
        assert_eq!(status, StatusCode::OK);
        let (status, ..) = bench.ask_bytes(Who::Unix, "PUT", &path, &headers, put.to_string()).await;
        assert_eq!(status, StatusCode::PRECONDITION_FAILED, "it was changed since");
        let password = {
            let id = id.clone();
            bench.engine.store().read(move |tx| muster_store::tables::machines::bmc_password(tx, &id)).await.unwrap()
        };
        assert_eq!(password.unwrap().expose(), "calvin", "the mask keeps what is stored");

        // What does not come is given up: only then another state can be set by hand.
        assert_eq!(refused(&bench, &id, "set-defective", json!({"note": "dead on arrival"})).await, 12);
        let body = json!({"system_uuid": "lost-1"}).to_string();
        let (_, answer) = bench.ask(Who::Unix, "POST", MACHINES, body).await;
        let lost = answer["metadata"]["id"].as_str().unwrap().to_owned();
        made(&bench, &lost, "cancel", json!({"note": "lost in the post"})).await;
        assert_eq!(machine(&bench, &lost).await["operation"]["phase"], "failed");
        made(&bench, &lost, "decommission", json!({})).await;

        // Its operating system registers: the same record goes on.
        let token = bench.token(1).await;
        let trust = muster_clients::tls::Trust::pinned(&bench.engine.identities().server.certificate_pem).unwrap();
        let identity = crate::bench::machine_identity("m9");
        let center = muster_clients::center::Center::https(&url, &trust, Some(&identity)).unwrap();
        let body = json!({"name": "m9", "connection_url": "https://127.0.0.1:1", "system_uuid": "4c4c4544-0001"});
        let path = format!("/1.0/provisioning/servers?token={token}");
        center.call("POST".parse().unwrap(), &path, Some(&body)).await.unwrap();
        let here = machine(&bench, &id).await;
        assert_eq!((&here["server"], &here["asset"]["rack"]), (&json!("m9"), &json!("r8")));
        bench.engine.stop().await;
    });
}

/// A registration with a valid token, by somebody with this UUID.
async fn register(bench: &Bench, url: &str, token: &str, name: &str, uuid: &str) -> bool {
    let trust = muster_clients::tls::Trust::pinned(&bench.engine.identities().server.certificate_pem).unwrap();
    let identity = crate::bench::machine_identity(name);
    let center = muster_clients::center::Center::https(url, &trust, Some(&identity)).unwrap();
    let body = json!({"name": name, "connection_url": "https://127.0.0.1:1", "system_uuid": uuid});
    let path = format!("/1.0/provisioning/servers?token={token}");
    center.call("POST".parse().unwrap(), &path, Some(&body)).await.is_ok()
}

#[test]
fn a_valid_token_takes_no_machine_from_anybody() {
    on_both(|bench: Bench| async move {
        let (_listeners, url) = bench.listen().await;
        let fleet = fleet(&bench, &url, 2).await;
        let ids = pool(&bench, 2).await;
        let token = bench.token(9).await;
        let uuid = async |id: &str| machine(&bench, id).await["system_uuid"].as_str().unwrap().to_owned();
        let (used, gone) = (&ids[0], &ids[1]);
        let (used_uuid, gone_uuid) = (uuid(used).await, uuid(gone).await);

        // In use, and even found unresponsive: nobody else becomes it.
        let begun = made(&bench, used, "allocate", json!({"owner": "anna"})).await;
        operation(&bench, begun["operation"].as_str().unwrap()).await;
        let server = machine(&bench, used).await["server"].as_str().unwrap().to_owned();
        for machine in fleet.machines() {
            machine.set_fault(Some(Fault::Refuse));
        }
        bench.ask(Who::Unix, "POST", &format!("/1.0/provisioning/servers/{server}/:resync"), "").await;
        let (_, shown) = bench.ask(Who::Unix, "GET", &format!("/1.0/provisioning/servers/{server}"), "").await;
        assert_eq!(shown["metadata"]["server_status"], "offline", "{shown}");
        assert!(!register(&bench, &url, &token, "taker", &used_uuid).await);
        assert_eq!(machine(&bench, used).await["server"], json!(server));

        // Off the rack: nobody watched it.
        made(&bench, gone, "remove-from-rack", json!({"note": "sold"})).await;
        assert!(!register(&bench, &url, &token, "back", &gone_uuid).await);
        assert_eq!(machine(&bench, gone).await["lifecycle"], "removed_from_rack");
        let (_, warnings) = bench.ask(Who::Unix, "GET", "/1.0/warnings?recursion=1", "").await;
        let refused: Vec<&Value> = warnings["metadata"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|w| w["type"] == "Registration refused")
            .map(|w| &w["scope"]["entity"])
            .collect();
        assert!(refused.contains(&&json!(server)) && refused.contains(&&json!(gone)), "{warnings}");
        let (_, left) = bench.ask(Who::Unix, "GET", &format!("/1.0/provisioning/tokens/{token}"), "").await;
        assert_eq!(left["metadata"]["uses_remaining"], 9, "no use of the token is lost");

        // Decommissioned: a new record begins, linked to the old one.
        made(&bench, gone, "decommission", json!({})).await;
        assert!(register(&bench, &url, &token, "new", &gone_uuid).await);
        let all = machines(&bench, "?all=true").await;
        let new = all.iter().find(|m| m["successor_of"] == json!(gone)).unwrap();
        assert_eq!((&new["lifecycle"], &new["system_uuid"]), (&json!("registering"), &json!(gone_uuid)));
        bench.engine.stop().await;
    });
}

#[test]
fn a_machine_in_production_is_adopted_untouched() {
    on_both(|bench: Bench| async move {
        let (_listeners, url) = bench.listen().await;
        let body = json!({"system_uuid": "U-7", "adopt": {"owner": "anna", "reference": "mail"}});
        let (status, answer) = bench.ask(Who::Unix, "POST", MACHINES, body.to_string()).await;
        assert_eq!(status, StatusCode::CREATED, "{answer}");
        let id = answer["metadata"]["id"].as_str().unwrap().to_owned();
        let adopted = machine(&bench, &id).await;
        assert_eq!((&adopted["lifecycle"], &adopted["media"]), (&json!("used_registering"), &json!("dirty")));
        assert_eq!(adopted["allocation"]["owner"], "anna");
        assert_eq!(refused(&bench, &id, "clean", json!({})).await, 12);
        let token = bench.token(2).await;
        assert!(register(&bench, &url, &token, "mail", "u-7").await);
        assert!(
            !register(&bench, &url, &token, "taker", "u-7").await || machine(&bench, &id).await["server"] == "mail"
        );
        assert_eq!(machine(&bench, &id).await["allocation"]["reference"], "mail");
        bench.engine.stop().await;
    });
}

#[test]
fn where_a_person_opens_machines_they_wait_for_that() {
    on_both(|bench: Bench| async move {
        let (_listeners, url) = bench.listen().await;
        let path = "/1.0/system/settings";
        let put = json!({"log_level": "WARN", "registered_machines_available": false}).to_string();
        let (status, answer) = bench.ask(Who::Unix, "PUT", path, put).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        // Whoever does not know of it changes nothing of it.
        bench.ask(Who::Unix, "PUT", path, json!({"log_level": "INFO"}).to_string()).await;
        let (_, kept) = bench.ask(Who::Unix, "GET", path, "").await;
        assert_eq!(kept["metadata"]["registered_machines_available"], false, "{kept}");
        let _fleet = fleet(&bench, &url, 1).await;
        let end = Instant::now() + PATIENCE;
        let id = loop {
            if let [machine] = machines(&bench, "?lifecycle=unavailable").await.as_slice() {
                break machine["id"].as_str().unwrap().to_owned();
            }
            assert!(Instant::now() < end, "never there");
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        assert_eq!(refused(&bench, &id, "allocate", json!({"owner": "anna"})).await, 1);
        made(&bench, &id, "set-available", json!({"note": "disks and switch ports are right"})).await;
        let (_, history) = bench.ask(Who::Unix, "GET", &format!("{MACHINES}/{id}/history"), "").await;
        let opened = history["metadata"].as_array().unwrap().iter().find(|h| h["to"] == "available").unwrap();
        assert_eq!(opened["actor"], "unix");
        assert!(history.to_string().contains("machine.versions"), "what it runs is a part of its history: {history}");
        bench.engine.stop().await;
    });
}
