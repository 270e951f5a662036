//! Lists a page at a time: nothing twice, nothing left out, whatever comes and goes meanwhile.

use crate::bench::{Bench, Who, on_both};
use axum::http::StatusCode;
use muster_store::tables::{events, warnings};
use serde_json::{Value, json};

async fn get(bench: &Bench, path: &str) -> Vec<Value> {
    let (status, body) = bench.ask(Who::Unix, "GET", path, "").await;
    assert_eq!(status, StatusCode::OK, "{path}: {body}");
    body["metadata"].as_array().unwrap().clone()
}

async fn refused(bench: &Bench, path: &str) -> String {
    let (status, body) = bench.ask(Who::Unix, "GET", path, "").await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{path}: {body}");
    body["error"].as_str().unwrap().to_owned()
}

/// A list, the query that makes objects of it, and the key of an object.
const LISTS: [(&str, &str, &str); 3] = [
    ("/1.0/provisioning/tokens", "recursion=1&", "uuid"),
    ("/1.0/provisioning/channels", "recursion=1&", "name"),
    ("/1.0/warnings", "", "uuid"),
];

/// Seven items in each of the lists.
async fn fill(bench: &Bench) {
    for number in 0..7 {
        bench.token(1).await;
        let channel = json!({"name": format!("c{number}"), "description": ""}).to_string();
        // The eighth is `stable`, which every center has.
        if number < 6 {
            bench.ask(Who::Unix, "POST", "/1.0/provisioning/channels", channel).await;
        }
        let emitted = warnings::Emitted {
            kind: "k".into(),
            scope: "s".into(),
            entity_type: "server".into(),
            entity: format!("m{number}"),
            messages: vec!["text".into()],
        };
        let id = uuid::Uuid::now_v7().to_string();
        bench.engine.store().write(move |tx| warnings::emit(tx, &emitted, &id, 1)).await.unwrap();
    }
}

#[test]
fn pages_are_the_whole_list_in_a_stable_order() {
    on_both(|bench: Bench| async move {
        fill(&bench).await;
        for (path, objects, key) in LISTS {
            let whole = get(&bench, &format!("{path}?{objects}")).await;
            let keys: Vec<&str> = whole.iter().map(|item| item[key].as_str().unwrap()).collect();
            assert_eq!(keys.len(), 7, "{path}");
            assert!(keys.is_sorted(), "{path}: {keys:?}");
            let mut paged = Vec::new();
            while paged.len() < 20 {
                let after = paged.last().map(|item: &Value| item[key].as_str().unwrap()).unwrap_or_default();
                let page = get(&bench, &format!("{path}?{objects}limit=3&cursor={after}")).await;
                if page.is_empty() {
                    break;
                }
                assert!(page.len() <= 3);
                paged.extend(page);
            }
            assert_eq!(paged, whole, "{path}");
        }
        let names = get(&bench, "/1.0/warnings").await;
        let order: Vec<&str> = names.iter().map(|w| w["scope"]["entity"].as_str().unwrap()).collect();
        assert_eq!(order, ["m0", "m1", "m2", "m3", "m4", "m5", "m6"], "the longest known first");
    });
}

#[test]
fn lists_of_urls_take_a_url_for_a_cursor() {
    on_both(|bench: Bench| async move {
        fill(&bench).await;
        for path in ["/1.0/provisioning/tokens", "/1.0/provisioning/channels"] {
            let whole = get(&bench, path).await;
            let second = whole[1].as_str().unwrap();
            assert_eq!(get(&bench, &format!("{path}?limit=2&cursor={second}")).await, whole[2..4], "{path}");
        }
    });
}

#[test]
fn a_cursor_outlives_its_item() {
    on_both(|bench: Bench| async move {
        fill(&bench).await;
        let path = "/1.0/provisioning/channels";
        bench.ask(Who::Unix, "DELETE", &format!("{path}/c2"), "").await;
        let left = get(&bench, &format!("{path}?cursor=c2&limit=2")).await;
        assert_eq!(left, [format!("{path}/c3"), format!("{path}/c4")]);
    });
}

#[test]
fn limits_and_cursors_that_are_none_are_refused_by_name() {
    on_both(|bench: Bench| async move {
        fill(&bench).await;
        let token = get(&bench, "/1.0/provisioning/tokens").await[0].as_str().unwrap().to_owned();
        for (path, _, _) in LISTS {
            assert_eq!(get(&bench, &format!("{path}?limit=0")).await, Vec::<Value>::new());
            assert_eq!(get(&bench, &format!("{path}?limit={}", i64::MAX)).await.len(), 7);
            for limit in ["-1", "x", "9223372036854775808", "1.5"] {
                let error = refused(&bench, &format!("{path}?limit={limit}")).await;
                assert!(error.contains("limit") && error.contains(limit), "{error}");
            }
            let foreign = if path.ends_with("tokens") { "/1.0/provisioning/channels/stable" } else { token.as_str() };
            let error = refused(&bench, &format!("{path}?cursor={foreign}")).await;
            assert!(error.contains(foreign) && error.contains(path) && error.contains("last one seen"), "{error}");
        }
        for (path, cursor) in [
            ("/1.0/provisioning/tokens", "stable"),
            ("/1.0/warnings", "17"),
            ("/1.0/provisioning/channels", "a%00b"),
            ("/1.0/provisioning/servers", token.as_str()),
            ("/1.0/machines", "m1"),
            ("/1.0/operations", "m1"),
            ("/1.0/audit", "m1"),
            ("/1.0/audit", "-1"),
        ] {
            let error = refused(&bench, &format!("{path}?cursor={cursor}")).await;
            assert!(error.contains("cursor") && error.contains(path), "{error}");
        }
    });
}

#[test]
fn who_resumes_behind_dropped_events_is_told_first() {
    on_both(|bench: Bench| async move {
        for number in 0..5 {
            bench.engine.store().write(move |tx| events::append(tx, number, "k", "o", "{}")).await.unwrap();
        }
        bench.engine.store().write(|tx| events::prune(tx, 2, 0, 100)).await.unwrap();
        let floor = bench.engine.store().read(events::floor).await.unwrap();
        let kinds = async |path: &str| {
            let found = get(&bench, path).await;
            found
                .iter()
                .map(|e| (e["seq"].as_i64().unwrap(), e["kind"].as_str().unwrap().to_owned()))
                .collect::<Vec<_>>()
        };
        let rest = [(floor + 1, "k".to_owned()), (floor + 2, "k".to_owned())];
        let told = kinds("/1.0/events?after=1").await;
        assert_eq!(told[0], (floor, "events.dropped".to_owned()));
        assert_eq!(told[1..], rest);
        assert_eq!(kinds(&format!("/1.0/events?after={floor}")).await, rest, "nothing was missed");
        assert_eq!(kinds("/1.0/events").await, rest, "who does not resume misses nothing");
        let stream = bench.stream("/1.0/events?after=1", "events.dropped").await;
        assert!(stream.contains(&format!("id: {floor}\n")), "{stream}");
    });
}

#[test]
fn the_key_of_the_site_is_shown_by_its_id_and_changed_where_it_can_be() {
    on_both(|bench: Bench| async move {
        let (status, shown) = bench.ask(Who::Unix, "GET", "/1.0/system/key", "").await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(shown["metadata"]["origin"], "environment");
        assert_eq!(shown["metadata"]["id"], bench.engine.store().keys().current_id());
        assert_eq!(shown["metadata"]["change"], Value::Null);
        let (status, refused) = bench.ask(Who::Unix, "POST", "/1.0/system/key/:rekey", "").await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{refused}");
        assert!(refused["error"].as_str().unwrap().contains("MUSTER_KEY_OLD"), "{refused}");
    });
}
