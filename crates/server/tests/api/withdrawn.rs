//! Withdrawn updates: what machines are told, what servers show, and what outlives a deletion.

use crate::bench::{Bench, Who, on_both};
use crate::updates::{Package, Signer, URL, get, gzip, package, upload};
use axum::http::StatusCode;
use muster_store::tables::{machines, servers};
use serde_json::{Value, json};

async fn post(bench: &Bench, path: &str, body: Value) -> (StatusCode, String) {
    let (status, answer) = bench.ask(Who::Unix, "POST", path, body.to_string()).await;
    (status, answer["error"].as_str().unwrap().to_owned())
}

/// With an image of the system.
fn whole(version: &str) -> Package {
    package(version, &[(&format!("x86_64/IncusOS_{version}.img.gz"), gzip(&format!("system {version}")))])
}

/// A ready server in `stable` that runs this version.
async fn server(bench: &Bench, name: &'static str, version: &'static str) {
    let row = servers::Server {
        id: name.into(),
        machine_id: name.into(),
        name: name.into(),
        server_type: "incus".into(),
        connection_url: format!("https://{name}:8443"),
        channel: "stable".into(),
        bmc: "{}".into(),
        status: "ready".into(),
        hardware_data: json!({"cpu": {"architecture": "x86_64"}}).to_string(),
        os_data: "{}".into(),
        version_data: json!({"os": {"name": "IncusOS", "version": version},
            "applications": [{"name": "incus", "version": version}]})
        .to_string(),
        bmc_data: "{}".into(),
        ..servers::Server::default()
    };
    let machine = machines::Machine {
        id: name.into(),
        lifecycle: "available".into(),
        media: "unknown".into(),
        flags: "[]".into(),
        alerts: "[]".into(),
        inventory: "{}".into(),
        ..machines::Machine::default()
    };
    let written = bench.engine.store().write(move |tx| {
        machines::insert(tx, &machine)?;
        servers::insert(tx, &row)
    });
    written.await.unwrap();
}

async fn shown(bench: &Bench, name: &str) -> Value {
    let (status, answer) = bench.ask(Who::Unix, "GET", &format!("/1.0/provisioning/servers/{name}"), "").await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    answer["metadata"].clone()
}

#[test]
fn machines_and_servers_find_the_one_before_and_the_channels_are_kept() {
    on_both(|bench: Bench| async move {
        let signer = Signer::trusted_by(&bench).await;
        upload(&bench, signer.tar(&whole("202511010000"))).await;
        let path = upload(&bench, signer.tar(&whole("202511020000"))).await;
        server(&bench, "old", "202511010000").await;
        server(&bench, "new", "202511020000").await;
        let available = async |name: &str| {
            let server = shown(&bench, name).await;
            let os = &server["version_data"]["os"];
            (os["available_version"].clone(), os["needs_update"].clone(), server["update_status"].clone())
        };
        let (version, needs, state) = available("old").await;
        assert_eq!((version, needs), (json!("202511020000"), json!(true)));
        assert_ne!(state, "up to date");

        let withdraw = format!("{path}/:withdraw");
        let (status, text) = post(&bench, &withdraw, json!({})).await;
        assert!(status == StatusCode::BAD_REQUEST && text.contains("reason"), "{text}");
        let (status, text) = post(&bench, &withdraw, json!({"reason": "does not boot"})).await;
        assert_eq!(status, StatusCode::OK, "{text}");
        let (status, text) = post(&bench, &withdraw, json!({"reason": "again"})).await;
        assert!(status == StatusCode::BAD_REQUEST && text.contains("by unix: does not boot"), "{text}");

        // What a machine reads: the first that has its channel.
        let listed = get(&bench, &format!("{URL}?recursion=1")).await;
        assert_eq!((&listed[0]["version"], &listed[0]["channels"]), (&json!("202511020000"), &json!([])));
        assert_eq!((&listed[1]["version"], &listed[1]["channels"]), (&json!("202511010000"), &json!(["stable"])));
        assert_eq!(listed[0]["withdrawn"]["reason"], "does not boot");
        assert_eq!(listed[0]["withdrawn"]["channels"], json!(["stable"]));
        assert_eq!(listed[1].get("withdrawn"), None);
        assert_eq!(available("old").await, (json!("202511010000"), json!(false), json!("up to date")));
        assert_eq!(available("new").await, (json!("202511010000"), json!(false), json!("up to date")));

        // It enters no channel, and can be taken out.
        bench.ask(Who::Unix, "POST", "/1.0/provisioning/channels", r#"{"name": "late"}"#).await;
        let (status, answer) = bench.ask(Who::Unix, "PUT", &path, r#"{"channels": ["stable", "late"]}"#).await;
        let text = answer["error"].as_str().unwrap();
        assert!(status == StatusCode::BAD_REQUEST && text.contains("does not boot"), "{text}");
        let (status, _) = bench.ask(Who::Unix, "PUT", &path, r#"{"channels": ["stable"]}"#).await;
        assert_eq!(status, StatusCode::OK);

        let (status, text) = post(&bench, &format!("{path}/:restore"), json!({})).await;
        assert_eq!(status, StatusCode::OK, "{text}");
        assert_eq!(get(&bench, &path).await["channels"], json!(["stable"]));
        assert_eq!(available("old").await.0, "202511020000");
        let (status, text) = post(&bench, &format!("{path}/:restore"), json!({})).await;
        assert!(status == StatusCode::BAD_REQUEST && text.contains("not withdrawn"), "{text}");
        let (_, audit) = bench.ask(Who::Unix, "GET", "/1.0/audit", "").await;
        let told: Vec<(&Value, &Value)> = audit["metadata"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|entry| matches!(entry["action"].as_str(), Some("update.withdraw" | "update.restore")))
            .map(|entry| (&entry["action"], &entry["reason"]))
            .collect();
        assert_eq!(
            told,
            [(&json!("update.withdraw"), &json!("does not boot")), (&json!("update.restore"), &Value::Null)]
        );
    });
}

#[test]
fn a_withdrawn_update_that_comes_back_is_still_withdrawn() {
    on_both(|bench: Bench| async move {
        let signer = Signer::trusted_by(&bench).await;
        let package = package("1", &[]);
        let path = upload(&bench, signer.tar(&package)).await;
        post(&bench, &format!("{path}/:withdraw"), json!({"reason": "bad"})).await;
        bench.ask(Who::Unix, "DELETE", URL, "").await;
        let all = async || {
            let (_, answer) = bench.ask(Who::Unix, "GET", &format!("{URL}/:withdrawn"), "").await;
            answer["metadata"].clone()
        };
        let gone = all().await;
        assert_eq!((&gone[0]["version"], &gone[0]["here"]), (&json!("1"), &json!(false)));
        assert_eq!(upload(&bench, signer.tar(&package)).await, path);
        assert_eq!(all().await[0]["here"], true);
        let found = get(&bench, &path).await;
        assert_eq!((&found["channels"], &found["withdrawn"]["reason"]), (&json!([]), &json!("bad")));
        bench.ask(Who::Unix, "DELETE", URL, "").await;
        let (status, text) = post(&bench, &format!("{path}/:restore"), json!({})).await;
        assert_eq!(status, StatusCode::OK, "{text}");
        assert_eq!(all().await, json!([]));
        for verb in [":restore", ":withdraw"] {
            let (status, _) = post(&bench, &format!("{path}/{verb}"), json!({"reason": "r"})).await;
            assert_eq!(status, StatusCode::NOT_FOUND, "{verb}");
        }
        upload(&bench, signer.tar(&package)).await;
        assert_eq!(get(&bench, &path).await["channels"], json!(["stable"]));
    });
}

#[test]
fn the_changelog_of_a_server_is_what_it_would_get() {
    on_both(|bench: Bench| async move {
        let signer = Signer::trusted_by(&bench).await;
        let mut paths = Vec::new();
        for version in ["202511010000", "202511020000", "202511030000"] {
            paths.push(upload(&bench, signer.tar(&whole(version))).await);
        }
        server(&bench, "old", "202511010000").await;
        server(&bench, "new", "202511030000").await;
        server(&bench, "lost", "202510010000").await;
        let changelog = async |name: &str| {
            let path = format!("/1.0/provisioning/servers/{name}/changelog");
            let (status, answer) = bench.ask(Who::Unix, "GET", &path, "").await;
            assert_eq!(status, StatusCode::OK, "{name}: {answer}");
            answer["metadata"].clone()
        };
        let between = |to: &str| {
            json!({"current_version": to, "prior_version": "202511010000", "channel": "stable", "components":
                {"incus": {"updated": [format!("incusd version 202511010000 to version {to}")]}}})
        };
        assert_eq!(changelog("old").await, between("202511030000"), "all at once, not step by step");
        assert_eq!(changelog("new").await["current_version"], "");
        let lost = changelog("lost").await;
        assert_eq!((&lost["current_version"], &lost["components"]), (&json!("202511030000"), &Value::Null));
        post(&bench, &format!("{}/:withdraw", paths[2]), json!({"reason": "bad"})).await;
        assert_eq!(changelog("old").await, between("202511020000"));
        let (status, _) = bench.ask(Who::Unix, "GET", "/1.0/provisioning/servers/none/changelog", "").await;
        assert_eq!(status, StatusCode::NOT_FOUND);
    });
}
