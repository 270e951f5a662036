//! The audit's proof: its chain, its signed head, and that machines are where their transitions lead.

use crate::bench::{Bench, Who, on_both};
use axum::http::StatusCode;
use muster_api::audit::{AuditEntry, AuditHead, AuditVerdict};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

async fn get<T: DeserializeOwned>(bench: &Bench, path: &str) -> T {
    let (status, answer) = bench.ask(Who::Unix, "GET", path, "").await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    serde_json::from_value(answer["metadata"].clone()).unwrap()
}

async fn verify(bench: &Bench, body: &str) -> AuditVerdict {
    let (status, answer) = bench.ask(Who::Unix, "POST", "/1.0/audit/:verify", body.to_owned()).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    serde_json::from_value(answer["metadata"].clone()).unwrap()
}

/// Machines of this bench, born over the API.
async fn machine(bench: &Bench, serial: &str) -> String {
    let body = json!({"system_uuid": format!("uuid-{serial}"), "serial": serial, "vendor": "ACME"}).to_string();
    let (status, answer) = bench.ask(Who::Unix, "POST", "/1.0/machines", body).await;
    assert_eq!(status, StatusCode::CREATED, "{answer}");
    answer["metadata"]["id"].as_str().unwrap().to_owned()
}

async fn sql(bench: &Bench, text: &'static str) {
    bench.engine.store().write(move |tx| tx.execute(text, &[]).map(drop)).await.unwrap();
}

#[test]
fn an_entry_carries_all_that_its_hash_is_made_of() {
    on_both(|bench: Bench| async move {
        bench.token(1).await;
        machine(&bench, "S1").await;
        let entries: Vec<AuditEntry> = get(&bench, "/1.0/audit").await;
        assert!(entries.len() > 1);
        let (mut text, mut prev_hash) = (Vec::new(), String::new());
        for entry in entries {
            assert_eq!(entry.prev_hash, prev_hash);
            entry.link().write(&mut text);
            assert_eq!(entry.hash, hex::encode(Sha256::digest(&text)));
            prev_hash = entry.hash;
        }
        let head: AuditHead = get(&bench, "/1.0/audit/head").await;
        assert_eq!(head.hash, prev_hash);
    });
}

#[test]
fn a_head_that_was_kept_elsewhere_shows_a_log_that_was_made_anew() {
    on_both(|bench: Bench| async move {
        bench.token(1).await;
        let head: Value = get(&bench, "/1.0/audit/head").await;
        bench.token(1).await;
        let with = |head: &Value| json!({"head": head}).to_string();
        let good = verify(&bench, &with(&head)).await;
        assert_eq!((good.intact, good.head), (true, None));
        assert_eq!(verify(&bench, "").await.head, None);
        // One that nobody signed.
        let mut forged = head.clone();
        forged["hash"] = json!("00");
        let told = verify(&bench, &with(&forged)).await.head.unwrap();
        assert!(told.contains("not what was signed"), "{told}");
        // A chain that is sound, and another one.
        sql(&bench, "DELETE FROM audit").await;
        sql(&bench, "UPDATE audit_head SET seq = 0, hash = ''").await;
        let gone = verify(&bench, &with(&head)).await;
        assert!(gone.intact && gone.head.unwrap().contains("ends before entry"));
        for _ in 0..9 {
            bench.token(1).await;
        }
        let anew = verify(&bench, &with(&head)).await;
        assert!(anew.intact && anew.head.unwrap().contains("is another one"));
        let (status, _) = bench.ask(Who::Unix, "POST", "/1.0/audit/:verify", r#"{"head": 3}"#).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
    });
}

#[test]
fn a_machine_that_was_put_elsewhere_by_hand_is_named() {
    on_both(|bench: Bench| async move {
        let (one, other) = (machine(&bench, "S1").await, machine(&bench, "S2").await);
        let good = verify(&bench, "").await;
        assert_eq!((good.intact, good.machines, good.differing_count), (true, 2, 0), "{good:?}");
        sql(&bench, "UPDATE machines SET lifecycle = 'used' WHERE serial = 'S2'").await;
        let told = verify(&bench, "").await;
        let named: Vec<_> = told.differing.iter().map(|d| (d.machine.as_str(), d.stored.as_deref())).collect();
        assert_eq!((told.intact, named), (true, vec![(other.as_str(), Some("used"))]));
        assert_ne!(one, other);
    });
}

async fn report(bench: &Bench, query: &str) -> Value {
    get(bench, &format!("/1.0/reports/utilisation{query}")).await
}

#[test]
fn a_report_counts_every_record_once_whatever_its_rows_are() {
    on_both(|bench: Bench| async move {
        let mut ids = Vec::new();
        for (serial, site) in [("S1", "berlin"), ("S2", "berlin"), ("S3", "")] {
            let body = json!({"system_uuid": format!("uuid-{serial}"), "serial": serial, "vendor": "ACME", "asset": {"site": site}}).to_string();
            let (status, answer) = bench.ask(Who::Unix, "POST", "/1.0/machines", body).await;
            assert_eq!(status, StatusCode::CREATED, "{answer}");
            ids.push(answer["metadata"]["id"].as_str().unwrap().to_owned());
        }
        for by in ["type", "ram", "product", "owner", "cluster", "site"] {
            let report = report(&bench, &format!("?by={by}")).await;
            assert_eq!((&report["by"], &report["total"]["count"]), (&json!(by), &json!(3)), "{report}");
        }
        let sites = report(&bench, "?by=site&ids=true").await;
        let rows: Vec<_> = sites["groups"].as_array().unwrap().iter().map(|g| (&g["name"], &g["count"])).collect();
        assert_eq!(rows, [(&json!(""), &json!(1)), (&json!("berlin"), &json!(2))]);
        let mut named: Vec<_> = [0, 1]
            .iter()
            .flat_map(|n: &usize| sites["groups"][n]["states"]["registering"]["ids"].as_array().unwrap().clone())
            .map(|id| id.as_str().unwrap().to_owned())
            .collect();
        named.sort();
        ids.sort();
        assert_eq!(named, ids);

        // One that somebody has had for two days, as the audit tells it.
        let machine = ids[0].clone();
        let entry = move |days: i64, to: &str, detail: Value| muster_store::tables::audit::Entry {
            at: muster_engine::clock::Clock::system().micros() - days * 86_400_000_000,
            actor: "unix".into(),
            action: "machine.transition".into(),
            object_kind: "machine".into(),
            object: machine.clone(),
            to_state: Some(to.into()),
            detail: detail.to_string(),
            ..Default::default()
        };
        let entries = [entry(3, "used", json!({"edge": 1, "owner": "anna"})), entry(1, "cleaning", json!({"edge": 2}))];
        let written = bench.engine.store().write(move |tx| {
            entries.iter().try_for_each(|entry| muster_store::tables::audit::append(tx, entry).map(drop))
        });
        written.await.unwrap();
        let used = report(&bench, "?usage=true").await;
        let used = used["usage"].as_array().unwrap();
        assert!(used.iter().all(|row| row["owner"] == "anna" && row["server_type"] == ""), "{used:?}");
        let hours: f64 = used.iter().map(|row| row["hours"].as_f64().unwrap()).sum();
        assert!((hours - 48.0).abs() < 0.1, "{hours}");

        let (status, headers, csv) =
            bench.ask_bytes(Who::Unix, "GET", "/1.0/reports/utilisation?by=site&format=csv", &[], "").await;
        let csv = String::from_utf8(csv.to_vec()).unwrap();
        assert_eq!((status, &headers["content-type"]), (StatusCode::OK, &"text/csv; charset=utf-8".parse().unwrap()));
        let lines: Vec<_> = csv.lines().collect();
        assert!(lines[0].starts_with("site,count,available,") && lines.len() == 4, "{csv}");
        assert!(lines[2].starts_with("berlin,2,") && lines[3].starts_with("total,3,"), "{csv}");
        for query in ["?by=colour", "?format=xml"] {
            let path = format!("/1.0/reports/utilisation{query}");
            assert_eq!(bench.ask(Who::Unix, "GET", &path, "").await.0, StatusCode::BAD_REQUEST, "{query}");
        }
        assert_eq!(bench.ask(Who::Stranger, "GET", "/1.0/reports/utilisation", "").await.0, StatusCode::UNAUTHORIZED);
    });
}
