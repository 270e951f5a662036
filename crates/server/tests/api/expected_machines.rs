//! Machines that are written down before they arrive: one by one, by the file, and met when they show up.

use crate::bench::{Bench, Who, on_both};
use crate::hardware::{get, send, until};
use crate::machines::fleet;
use axum::http::StatusCode;
use muster_sim::spec::Spec;
use serde_json::{Value, json};

const LIST: &str = "/1.0/expected-machines";

async fn import(bench: &Bench, query: &str, file: &str) -> (StatusCode, Value) {
    bench.ask(Who::Unix, "POST", &format!("{LIST}/:import?{query}"), file.to_owned()).await
}

#[test]
fn a_file_is_taken_whole_or_not_at_all() {
    on_both(|bench: Bench| async move {
        let file = "serial,mac,rack,lower_unit,bmc_endpoint,bmc_password\n\
                    A1,,r7,1,https://198.51.100.1,calvin\n\
                    ,52:54:00:00:00:01,r7,2,,\n\
                    A1,,r7,3,,\n\
                    ,52:54,r7,4,http://198.51.100.1,\n";
        let (status, dry) = import(&bench, "format=csv&dry_run=true", file).await;
        assert_eq!(status, StatusCode::OK, "{dry}");
        let (rows, results) = (&dry["metadata"]["rows"], |n: usize| dry["metadata"]["rows"][n]["result"].clone());
        assert_eq!(
            [results(0), results(1), results(2), results(3)],
            ["importable", "importable", "refused", "refused"]
        );
        assert_eq!(
            rows[2]["faults"],
            json!([{"field": "serial", "why": "\"A1\" is in row 1 already; leave one of them out"}])
        );
        let fields: Vec<&str> =
            rows[3]["faults"].as_array().unwrap().iter().map(|f| f["field"].as_str().unwrap()).collect();
        assert_eq!(fields, ["bmc.endpoint", "mac"]);
        assert_eq!((&dry["metadata"]["imported"], &dry["metadata"]["refused"]), (&json!(0), &json!(2)));

        let (status, refused) = import(&bench, "format=csv", file).await;
        let text = refused["error"].as_str().unwrap();
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert!(
            text.contains("nothing was imported: row 3: serial: ") && text.contains("row 4: bmc.endpoint: "),
            "{text}"
        );
        assert_eq!(get(&bench, LIST).await, json!([]));

        let (status, done) = import(&bench, "format=csv&skip_faulty=true", file).await;
        assert_eq!((status, &done["metadata"]["imported"]), (StatusCode::OK, &json!(2)));
        let list = get(&bench, LIST).await;
        assert_eq!(
            (list.as_array().unwrap().len(), &list[0]["serial"], &list[0]["asset"]["rack"]),
            (2, &json!("A1"), &json!("r7"))
        );
        assert!(!list.to_string().contains("calvin") && list[0]["bmc"]["password"] != "");
        assert_eq!(list[0]["id"], done["metadata"]["rows"][0]["id"]);
        // Once is enough.
        let (_, again) = import(&bench, "format=json&dry_run=1", r#"[{"serial": "a1"}]"#).await;
        assert!(
            again["metadata"]["rows"][0]["faults"][0]["why"].as_str().unwrap().contains("is expected already"),
            "{again}"
        );
        let (_, audit) = bench.ask(Who::Unix, "GET", "/1.0/audit", "").await;
        assert!(!audit.to_string().contains("calvin"));

        for (query, file, text) in [
            ("format=xml", "", "csv, yaml, json"),
            ("format=csv", "colour\nred", "no field \"colour\""),
            ("", "{}", "has to be a list"),
            ("dry_run=maybe", "[]", "dry_run"),
            ("", r#"[{"asset": {"rack": "r1"}}]"#, "row 1: serial: is missing; give system_uuid, serial or mac"),
            ("", r#"[{"serial": "To be filled by O.E.M."}]"#, "leave it out"),
            ("format=yaml", "- system_uuid: x", "row 1: system_uuid: \"x\" is no UUID"),
        ] {
            let (status, answer) = import(&bench, query, file).await;
            assert_eq!(status, StatusCode::BAD_REQUEST, "{query} {file}");
            assert!(answer["error"].as_str().unwrap().contains(text), "{query} {file}: {answer}");
        }
        let (status, _) = import(&bench, "", &" ".repeat(5 << 20)).await;
        assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
        send(&bench, "DELETE", &format!("{LIST}/{}", list[0]["id"].as_str().unwrap()), json!({})).await;
        assert_eq!(get(&bench, LIST).await.as_array().unwrap().len(), 1);
    });
}

#[test]
fn machines_that_were_expected_get_what_was_written_about_them() {
    on_both(|bench: Bench| async move {
        let spec = |number| Spec::new(1, number, "127.0.0.1:1".parse().unwrap(), "", "stable", 0);
        let asset = |unit: u16| json!({"rack": "r7", "lower_unit": unit});
        let bmc = json!({"endpoint": "https://198.51.100.1", "username": "root", "password": "calvin"});
        let first = json!({"system_uuid": spec(1).system_uuid, "asset": asset(1), "bmc": bmc, "server_type": "large"});
        let second = json!({"serial": spec(2).serial().to_lowercase(), "asset": asset(2)});
        let third = json!({"mac": spec(3).mac(2), "asset": asset(3)});
        for body in [first, second, third] {
            send(&bench, "POST", LIST, body).await;
        }
        let (status, twice) = bench.ask(Who::Unix, "POST", LIST, json!({"mac": spec(3).mac(2)}).to_string()).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{twice}");

        let (_listeners, url) = bench.listen().await;
        let fleet = fleet(&bench, &url, 4).await;
        for (unit, machine) in fleet.machines().iter().take(3).enumerate() {
            let found = until(&bench, machine, "available", |m| m["lifecycle"] == "available").await;
            assert_eq!((&found["asset"]["rack"], &found["asset"]["lower_unit"]), (&json!("r7"), &json!(unit + 1)));
        }
        let found = until(&bench, fleet.machine(1).unwrap(), "known", |m| !m["bmc"].is_null()).await;
        assert_eq!((&found["bmc"]["username"], &found["alerts"]["prevent_allocation"]), (&json!("root"), &json!(true)));
        assert!(!found.to_string().contains("calvin"));
        let alerts = get(&bench, &format!("/1.0/machines/{}/alerts", found["id"].as_str().unwrap())).await;
        assert!(alerts[0]["message"].as_str().unwrap().contains("expected to be of type \"large\""), "{alerts}");
        let other = until(&bench, fleet.machine(4).unwrap(), "available", |m| m["lifecycle"] == "available").await;
        assert!(other["asset"].get("rack").is_none_or(|rack| rack == ""), "{other}");

        assert_eq!(get(&bench, LIST).await, json!([]));
        let all = get(&bench, &format!("{LIST}?all=true")).await;
        assert_eq!(all[0]["machine"], found["id"]);
        assert!(!all[0]["seen_at"].is_null());
        let history = get(&bench, &format!("/1.0/machines/{}/history", found["id"].as_str().unwrap())).await;
        let met = history.as_array().unwrap().iter().find(|e| e["action"] == "machine.expected").unwrap();
        assert_eq!(met["reason"], "expected by unix, recognised by its system_uuid");
        bench.engine.stop().await;
    });
}
