//! Health alerts over HTTP: what tools report, what that forbids, and what people answer for.

use crate::bench::{Bench, Who, on_both_at};
use crate::hardware::{get, send};
use axum::http::StatusCode;
use muster_engine::{clock::Clock, services::machine_alert};
use serde_json::{Value, json};

const UUID: &str = "4c4c4544-0051-3610-8052-b7c04f4e3732";

async fn machine(bench: &Bench) -> String {
    let made = send(bench, "POST", "/1.0/machines", json!({"system_uuid": UUID})).await;
    format!("/1.0/machines/{}", made["id"].as_str().unwrap())
}

fn report(source: &str, names: &[&str], class: &str) -> Value {
    let alerts: Vec<Value> =
        names.iter().map(|name| json!({"name": name, "classes": [class], "message": "it is hot"})).collect();
    json!({"source": source, "alerts": alerts})
}

async fn names(bench: &Bench, machine: &str) -> Vec<String> {
    let found = get(bench, &format!("{machine}/alerts")).await;
    let name = |a: &Value| format!("{}/{}", a["source"].as_str().unwrap(), a["name"].as_str().unwrap());
    found.as_array().unwrap().iter().map(name).collect()
}

#[test]
fn tools_report_and_people_answer() {
    let clock = Clock::at(1_900_000_000_000_000);
    on_both_at(clock.clone(), |bench: Bench| {
        let clock = clock.clone();
        async move {
            let machine = machine(&bench).await;
            let alerts = format!("{machine}/alerts");
            send(&bench, "PUT", &alerts, report("snmp", &["fan", "psu"], "prevent_allocations")).await;
            send(&bench, "POST", &alerts, report("smart", &["disk"], "exclude_from_sla")).await;
            assert_eq!(names(&bench, &machine).await, ["smart/disk", "snmp/fan", "snmp/psu"]);
            send(&bench, "PUT", &alerts, report("snmp", &["fan"], "prevent_allocations")).await;
            assert_eq!(names(&bench, &machine).await, ["smart/disk", "snmp/fan"]);
            let shown = get(&bench, &machine).await;
            assert_eq!(
                shown["alerts"],
                json!({"prevent_allocation": true, "prevent_state_changes": false, "blocking": false})
            );
            let history = get(&bench, &format!("{machine}/history")).await;
            let told = |h: &Value| h.as_array().unwrap().iter().filter(|e| e["action"] == "machine.alerts").count();
            assert_eq!(told(&history), 3);
            // The same again is nothing new.
            send(&bench, "PUT", &alerts, report("snmp", &["fan"], "prevent_allocations")).await;
            assert_eq!(told(&get(&bench, &format!("{machine}/history")).await), 3);

            let until = jiff::Timestamp::from_microsecond(clock.micros() + 60_000_000).unwrap().to_string();
            let fan = format!("{alerts}/snmp/fan");
            send(&bench, "PUT", &format!("{fan}/override"), json!({"reason": "ordered", "expires_at": until})).await;
            assert_eq!(get(&bench, &machine).await["alerts"]["prevent_allocation"], false);
            let shown = get(&bench, &alerts).await;
            assert_eq!((&shown[1]["counts"], &shown[1]["overridden"]["reason"]), (&json!(false), &json!("ordered")));
            assert_eq!(machine_alert::expire(&bench.engine).await.unwrap(), 0);
            clock.advance(60_000_000);
            assert_eq!(machine_alert::expire(&bench.engine).await.unwrap(), 1);
            assert_eq!(get(&bench, &machine).await["alerts"]["prevent_allocation"], true);
            send(&bench, "PUT", &format!("{fan}/override"), json!({"reason": "ordered"})).await;
            send(&bench, "DELETE", &format!("{fan}/override"), json!({})).await;
            assert_eq!(get(&bench, &machine).await["alerts"]["prevent_allocation"], true);
            send(&bench, "DELETE", &fan, json!({})).await;
            assert_eq!(names(&bench, &machine).await, ["smart/disk"]);

            // One that ends by itself.
            let soon = jiff::Timestamp::from_microsecond(clock.micros() + 1_000_000).unwrap().to_string();
            let mut short = report("snmp", &["fan"], "prevent_state_changes");
            short["alerts"][0]["expires_at"] = json!(soon);
            send(&bench, "PUT", &alerts, short).await;
            assert_eq!(get(&bench, &machine).await["alerts"]["prevent_state_changes"], true);
            clock.advance(1_000_000);
            assert_eq!(names(&bench, &machine).await, ["smart/disk"]);
            machine_alert::expire(&bench.engine).await.unwrap();
            assert_eq!(get(&bench, &machine).await["alerts"]["prevent_state_changes"], false);
        }
    });
}

#[test]
fn what_is_no_report_is_refused_by_its_field() {
    on_both_at(Clock::at(1_900_000_000_000_000), |bench: Bench| async move {
        let machine = machine(&bench).await;
        let alerts = format!("{machine}/alerts");
        let refused = async |method: &str, path: &str, body: Value| {
            let (status, answer) = bench.ask(Who::Unix, method, path, body.to_string()).await;
            assert!(status.is_client_error(), "{method} {path}: {answer}");
            (status, answer["error"].as_str().unwrap().to_owned())
        };
        let text = async |body: Value| refused("PUT", &alerts, body).await.1;
        assert!(text(report("muster", &["x"], "blocking")).await.contains("source: \"muster\" is the center itself"));
        assert!(text(report("", &["x"], "blocking")).await.contains("source: "));
        assert!(text(report("snmp", &["x", "x"], "blocking")).await.contains("alerts[1].name: \"x\" is there twice"));
        assert!(text(report("snmp", &["x"], "fatal")).await.contains("alerts[0].classes: \"fatal\" is no class"));
        assert!(text(json!({"source": "snmp", "alerts": [{"name": "x"}]})).await.contains("alerts[0].message"));
        assert!(text(json!({"source": "snmp", "colour": 1})).await.contains("colour"));
        let many: Vec<String> = (0..300).map(|n| n.to_string()).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert!(text(report("snmp", &many, "blocking")).await.contains("at most 256"));
        send(&bench, "POST", &alerts, report("a", &many[..200], "exclude_from_sla")).await;
        let (_, over) = refused("POST", &alerts, report("b", &many[..200], "exclude_from_sla")).await;
        assert!(over.contains("would have 400 alerts, at most 256"), "{over}");

        let none = "/1.0/machines/00000000-0000-4000-8000-000000000000/alerts";
        assert_eq!(refused("PUT", none, report("snmp", &["x"], "blocking")).await.0, StatusCode::NOT_FOUND);
        assert_eq!(refused("GET", none, json!({})).await.0, StatusCode::NOT_FOUND);
        assert_eq!(refused("DELETE", &format!("{alerts}/snmp/x"), json!({})).await.0, StatusCode::NOT_FOUND);
        let (_, own) = refused("DELETE", &format!("{alerts}/muster/server-type"), json!({})).await;
        assert!(own.contains("override it instead"), "{own}");
        let (_, reason) = refused("PUT", &format!("{alerts}/a/1/override"), json!({"reason": ""})).await;
        assert!(reason.contains("reason: is missing"), "{reason}");
        let past = json!({"reason": "x", "expires_at": "2020-01-01T00:00:00Z"});
        assert!(refused("PUT", &format!("{alerts}/a/1/override"), past).await.1.contains("expires_at: is over"));
    });
}
