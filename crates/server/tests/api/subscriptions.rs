//! Machines that are kept for somebody, over HTTP: bound at once, told why not, let go, and nobody else's.

use crate::bench::{Bench, Who, on_both, on_both_at};
use crate::machines::{fleet, machine, make, pool, until};
use axum::http::StatusCode;
use muster_api::time::Time;
use muster_engine::{clock::Clock, reservation};
use muster_store::{
    params,
    tables::{machines, servers},
};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use uuid::Uuid;

const URL: &str = "/1.0/subscriptions";

/// A server type; its id is its label.
pub async fn server_type(bench: &Bench, label: &'static str) {
    let write = bench.engine.store().write(move |tx| {
        let sql =
            "INSERT INTO server_types (id, label, description, specification, created_at) VALUES ($1, $2, '', '{}', 1)";
        tx.execute(sql, params![format!("type-{label}"), label]).map(drop)
    });
    write.await.unwrap();
}

/// Available machines of a type that answer; their ids in order.
pub async fn stock(bench: &Bench, label: &'static str, count: usize) -> Vec<String> {
    let ids: Vec<String> = (0..count).map(|_| Uuid::now_v7().to_string()).collect();
    let made = ids.clone();
    let write = bench.engine.store().write(move |tx| {
        for id in &made {
            let machine = machines::Machine {
                id: id.clone(),
                lifecycle: "available".into(),
                media: "clean".into(),
                server_type: format!("type-{label}"),
                flags:
                    json!({"flags": {"retire": false, "hold": false, "protected": false, "requires_re_register": false},
                    "type_match": "matched"})
                    .to_string(),
                alerts: json!({"prevent_allocation": false, "blocking": false}).to_string(),
                inventory: "{}".into(),
                created_at: 1,
                since: 1,
                ..machines::Machine::default()
            };
            machines::insert(tx, &machine)?;
            let server = servers::Server {
                id: Uuid::now_v7().to_string(),
                machine_id: id.clone(),
                name: id.clone(),
                server_type: "incus".into(),
                connection_url: "https://127.0.0.1:1".into(),
                channel: "stable".into(),
                bmc: "{}".into(),
                status: "ready".into(),
                hardware_data: "{}".into(),
                os_data: "{}".into(),
                version_data: "{}".into(),
                bmc_data: "{}".into(),
                ..servers::Server::default()
            };
            servers::insert(tx, &server)?;
        }
        Ok(())
    });
    write.await.unwrap();
    ids
}

pub async fn subscribe(bench: &Bench, body: Value) -> String {
    let (status, answer) = bench.ask(Who::Unix, "POST", URL, body.to_string()).await;
    assert_eq!(status, StatusCode::CREATED, "{answer}");
    answer["metadata"]["id"].as_str().unwrap().to_owned()
}

pub async fn get(bench: &Bench, path: &str) -> Value {
    let (status, answer) = bench.ask(Who::Unix, "GET", path, "").await;
    assert_eq!(status, StatusCode::OK, "{path}: {answer}");
    answer["metadata"].clone()
}

async fn show(bench: &Bench, id: &str) -> Value {
    get(bench, &format!("{URL}/{id}")).await
}

/// The ids of the machines that it has.
async fn has(bench: &Bench, id: &str) -> BTreeSet<String> {
    let machines = show(bench, id).await["machines"].clone();
    machines.as_array().unwrap().iter().map(|m| m["id"].as_str().unwrap().to_owned()).collect()
}

fn set(ids: &[String]) -> BTreeSet<String> {
    ids.iter().cloned().collect()
}

async fn ok(bench: &Bench, method: &str, path: &str, body: Value) {
    let (status, answer) = bench.ask(Who::Unix, method, path, body.to_string()).await;
    assert_eq!(status, StatusCode::OK, "{method} {path}: {answer}");
}

async fn refused(bench: &Bench, method: &str, path: &str, body: Value) -> String {
    let (status, answer) = bench.ask(Who::Unix, method, path, body.to_string()).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{method} {path} {body}: {answer}");
    answer["error"].as_str().unwrap().to_owned()
}

async fn actions(bench: &Bench, object: &str) -> Vec<String> {
    let entries = get(bench, "/1.0/audit").await;
    let of = entries.as_array().unwrap().iter().filter(|e| e["object"] == object);
    of.map(|e| e["action"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn machines_are_bound_at_once_and_the_rest_is_told() {
    on_both(|bench: Bench| async move {
        server_type(&bench, "big").await;
        let stock = stock(&bench, "big", 3).await;
        let ann =
            subscribe(&bench, json!({"holder": "ann", "server_type": "big", "quantity": 2, "description": "d"})).await;
        let bob = subscribe(&bench, json!({"holder": "bob", "server_type": "type-big", "quantity": 2})).await;
        assert_eq!((has(&bench, &ann).await, has(&bench, &bob).await), (set(&stock[..2]), set(&stock[2..])));
        let shown = show(&bench, &bob).await;
        assert_eq!(
            (&shown["bound"], &shown["in_use"], &shown["missing"], &shown["running"], &shown["server_type_label"]),
            (&json!(1), &json!(0), &json!(1), &json!(true), &json!("big"))
        );
        assert_eq!(shown["unfulfilled"], "1 of 2 missing: of this type, 2 are reserved for others");
        let reserved = machine(&bench, &stock[0]).await;
        assert_eq!(
            (&reserved["lifecycle"], &reserved["reservation"]["holder"]),
            (&json!("available_reserved"), &json!("ann"))
        );
        let warnings = get(&bench, "/1.0/warnings").await;
        assert_eq!(warnings.as_array().unwrap().len(), 1, "{warnings}");
        assert_eq!(warnings[0]["scope"]["entity"], bob);
        assert!(warnings[0]["messages"][0].as_str().unwrap().contains("of bob: 1 of 2 missing"), "{warnings}");
        assert_eq!(actions(&bench, &bob).await, ["subscription.create", "subscription.unfulfilled"]);

        // A machine that is reserved is the holder's alone.
        let (status, answer) = make(&bench, &stock[0], "allocate", json!({"owner": "bob"})).await;
        assert_eq!(status, StatusCode::CONFLICT, "{answer}");

        // Pages, by age; and by status and holder.
        let page = get(&bench, &format!("{URL}?limit=1&cursor={ann}")).await;
        assert_eq!((page.as_array().unwrap().len(), &page[0]["id"]), (1, &json!(bob)));
        assert_eq!(page[0]["bound"], 1);
        assert_eq!(get(&bench, &format!("{URL}?holder=ann&status=active")).await[0]["id"], json!(ann));
        assert_eq!(get(&bench, &format!("{URL}?status=stopped")).await, json!([]));

        // What one lets go, the other gets in the same call.
        ok(&bench, "POST", &format!("{URL}/{ann}/:stop"), json!(null)).await;
        assert_eq!(has(&bench, &ann).await, BTreeSet::new());
        assert_eq!(show(&bench, &bob).await["missing"], 0);
        assert_eq!(get(&bench, "/1.0/warnings").await, json!([]));
        assert_eq!(actions(&bench, &bob).await.last().unwrap(), "subscription.fulfilled");
        ok(&bench, "POST", &format!("{URL}/{ann}/:stop"), json!(null)).await;
        assert_eq!(actions(&bench, &ann).await, ["subscription.create", "subscription.stop"], "stopped once");
        let why = refused(&bench, "DELETE", &format!("{URL}/{bob}"), json!(null)).await;
        assert!(why.contains("stop it first"), "{why}");
        ok(&bench, "DELETE", &format!("{URL}/{ann}"), json!(null)).await;
        let (status, _) = bench.ask(Who::Unix, "GET", &format!("{URL}/{ann}"), "").await;
        assert_eq!(status, StatusCode::NOT_FOUND);
    });
}

#[test]
fn a_machine_that_comes_into_the_pool_is_bound_before_anybody_sees_it() {
    on_both(|bench: Bench| async move {
        server_type(&bench, "big").await;
        let stock = stock(&bench, "big", 2).await;
        let ann = subscribe(&bench, json!({"holder": "ann", "server_type": "big", "quantity": 2})).await;
        let (status, answer) = make(&bench, &stock[0], "set-unavailable", json!({})).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        assert_eq!(has(&bench, &ann).await, set(&stock[1..]));
        assert_eq!(show(&bench, &ann).await["unfulfilled"], "1 of 2 missing: of this type, 1 is unavailable");
        make(&bench, &stock[0], "set-available", json!({})).await;
        assert_eq!(machine(&bench, &stock[0]).await["lifecycle"], "available_reserved");
        // On hold it stays until another one stands in.
        make(&bench, &stock[0], "hold", json!({})).await;
        let shown = show(&bench, &ann).await;
        assert_eq!((&shown["bound"], &shown["missing"]), (&json!(2), &json!(1)), "{shown}");
        let more = self::stock(&bench, "big", 1).await;
        reservation::once(&bench.engine).await.unwrap();
        assert_eq!(has(&bench, &ann).await, set(&[stock[1].clone(), more[0].clone()]));
        assert_eq!(machine(&bench, &stock[0]).await["lifecycle"], "available");
        let (_, history) = bench.ask(Who::Unix, "GET", &format!("/1.0/machines/{}/history", stock[0]), "").await;
        let last = history["metadata"].as_array().unwrap().last().unwrap().clone();
        assert_eq!((&last["to"], &last["actor"]), (&json!("available"), &json!("system")));
        assert!(last["reason"].as_str().unwrap().contains("another machine stands in for it"), "{last}");
        let (_, verdict) = bench.ask(Who::Unix, "POST", "/1.0/audit/:verify", "").await;
        assert_eq!(verdict["metadata"]["intact"], true, "{verdict}");
    });
}

#[test]
fn the_term_begins_goes_on_and_ends_by_itself() {
    let start: jiff::Timestamp = "2026-01-31T00:00:00Z".parse().unwrap();
    let clock = Clock::at(start.as_microsecond());
    let moved = clock.clone();
    on_both_at(clock, move |bench: Bench| {
        let clock = moved.clone();
        async move {
            let to = |text: &str| {
                let at: jiff::Timestamp = text.parse().unwrap();
                clock.advance(at.as_microsecond() - clock.micros());
            };
            to("2026-01-31T00:00:00Z");
            server_type(&bench, "big").await;
            let stock = stock(&bench, "big", 1).await;
            let body = json!({"holder": "ann", "server_type": "big", "starts": "2026-02-10T00:00:00Z", "ends": "2026-02-20T00:00:00Z"});
            let once = subscribe(&bench, body).await;
            let monthly = json!({"holder": "bob", "server_type": "big", "cycle_months": 1, "renew": true});
            let monthly = subscribe(&bench, monthly).await;
            assert_eq!(show(&bench, &monthly).await["ends"], "2026-02-28T00:00:00Z");
            assert_eq!(has(&bench, &monthly).await, set(&stock));
            assert_eq!(show(&bench, &once).await["running"], false);
            assert_eq!(show(&bench, &once).await["missing"], 0, "not before it begins");
            to("2026-02-10T00:00:00Z");
            reservation::once(&bench.engine).await.unwrap();
            assert_eq!(show(&bench, &once).await["missing"], 1);
            to("2026-03-01T00:00:00Z");
            reservation::once(&bench.engine).await.unwrap();
            let ended = show(&bench, &once).await;
            assert_eq!(
                (&ended["status"], &ended["missing"], &ended["unfulfilled"]),
                (&json!("ended"), &json!(0), &json!(""))
            );
            assert_eq!(show(&bench, &monthly).await["ends"], "2026-03-31T00:00:00Z");
            assert_eq!(has(&bench, &monthly).await, set(&stock), "nothing moves at a renewal");
            assert_eq!(get(&bench, "/1.0/warnings").await, json!([]));
            assert_eq!(
                actions(&bench, &once).await,
                ["subscription.create", "subscription.unfulfilled", "subscription.end"]
            );
            assert_eq!(actions(&bench, &monthly).await, ["subscription.create", "subscription.renew"]);
            let why = refused(&bench, "PUT", &format!("{URL}/{once}"), json!({"quantity": 2})).await;
            assert!(why.contains("ended"), "{why}");
            ok(&bench, "DELETE", &format!("{URL}/{once}"), json!(null)).await;
        }
    });
}

#[test]
fn an_edit_takes_effect_at_once_and_only_on_what_was_seen() {
    on_both(|bench: Bench| async move {
        server_type(&bench, "big").await;
        let stock = stock(&bench, "big", 3).await;
        let ann = subscribe(&bench, json!({"holder": "ann", "server_type": "big"})).await;
        let path = format!("{URL}/{ann}");
        let (_, headers, _) = bench.ask_whole(Who::Unix, "GET", &path, "").await;
        let tag = headers["etag"].to_str().unwrap().to_owned();
        let put = async |tag: &str, body: Value| {
            bench.ask_bytes(Who::Unix, "PUT", &path, &[("if-match", tag)], body.to_string()).await.0
        };
        assert_eq!(put(&tag, json!({"quantity": 3, "description": "more"})).await, StatusCode::OK);
        assert_eq!(has(&bench, &ann).await, set(&stock));
        assert_eq!(put(&tag, json!({"quantity": 1})).await, StatusCode::PRECONDITION_FAILED);
        ok(&bench, "PUT", &path, json!({"quantity": 1})).await;
        assert_eq!(has(&bench, &ann).await, set(&stock[..1]));
        assert_eq!(show(&bench, &ann).await["description"], "more", "what is absent stays");
        // What it lacks is observed, and makes nobody's edit fail.
        let (_, headers, _) = bench.ask_whole(Who::Unix, "GET", &path, "").await;
        let tag = headers["etag"].to_str().unwrap().to_owned();
        for id in &stock {
            make(&bench, id, "set-unavailable", json!({})).await;
        }
        assert_eq!(show(&bench, &ann).await["missing"], 1);
        assert_eq!(put(&tag, json!({"ends": "2099-01-01T00:00:00Z"})).await, StatusCode::OK);
        assert_eq!(show(&bench, &ann).await["ends"], "2099-01-01T00:00:00Z");
        ok(&bench, "PUT", &path, json!({"ends": null})).await;
        assert_eq!(show(&bench, &ann).await["ends"], Value::Null);
    });
}

#[test]
fn what_makes_no_sense_is_refused_by_field() {
    on_both(|bench: Bench| async move {
        server_type(&bench, "big").await;
        let stock = stock(&bench, "big", 1).await;
        let big = |more: Value| {
            let mut body = json!({"holder": "ann", "server_type": "big"});
            body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            body
        };
        for (body, says) in [
            (json!({}), "server_type or machine"),
            (json!({"server_type": "big"}), "holder"),
            (big(json!({"holder": "  "})), "holder"),
            (big(json!({"holder": "a\nb"})), "holder"),
            (big(json!({"holder": "x".repeat(129)})), "holder"),
            (big(json!({"holder": 7})), "holder"),
            (big(json!({"machine": stock[0]})), "exclude each other"),
            (big(json!({"quantity": 0})), "quantity 0"),
            (big(json!({"quantity": -1})), "quantity -1"),
            (big(json!({"quantity": 10_001})), "quantity 10001"),
            (big(json!({"quantity": i64::MAX})), "quantity"),
            (big(json!({"quantity": "1"})), "quantity"),
            (big(json!({"site": "x".repeat(129)})), "site"),
            (big(json!({"description": "x".repeat(4097)})), "description"),
            (big(json!({"description": "a\u{0}b"})), "NUL"),
            (big(json!({"renew": true})), "renew needs cycle_months"),
            (big(json!({"cycle_months": 121})), "cycle_months 121"),
            (big(json!({"cycle_months": i64::MIN})), "cycle_months"),
            (big(json!({"starts": "yesterday"})), "starts"),
            (big(json!({"starts": "0001-01-01T00:00:00Z"})), "starts"),
            (big(json!({"starts": "2099-01-01T00:00:00Z", "ends": "2098-01-01T00:00:00Z"})), "must be after"),
            (big(json!({"starts": "2020-01-01T00:00:00Z", "ends": "2021-01-01T00:00:00Z"})), "has passed"),
            (big(json!({"starts": "9999-12-01T00:00:00Z", "cycle_months": 12})), "9999"),
            (big(json!({"color": "red"})), "color"),
            (json!({"holder": "ann", "server_type": "none"}), "\"none\""),
            (json!({"holder": "ann", "server_type": "x".repeat(1 << 20)}), "server_type is longer"),
            (json!({"holder": "ann", "machine": "none"}), "\"none\""),
            (json!({"holder": "ann", "machine": stock[0], "quantity": 2}), "quantity 2 must be 1"),
        ] {
            let why = refused(&bench, "POST", URL, body).await;
            assert!(why.contains(says) && why.len() < 600, "{says}: {why}");
        }
        assert_eq!(get(&bench, URL).await, json!([]));
        let id = subscribe(&bench, big(json!({}))).await;
        for (body, says) in [
            (json!({"holder": "bob"}), "holder"),
            (json!({"quantity": 0}), "quantity"),
            (json!({"starts": "2099-01-01T00:00:00Z"}), "can not be moved"),
            (json!({"ends": "2020-01-01T00:00:00Z"}), "ends"),
            (json!({"renew": true}), "renew needs"),
        ] {
            let why = refused(&bench, "PUT", &format!("{URL}/{id}"), body).await;
            assert!(why.contains(says), "{says}: {why}");
        }
        for query in ["status=asleep", "holder=%00", "cursor=x", "limit=-1"] {
            let why = refused(&bench, "GET", &format!("{URL}?{query}"), json!(null)).await;
            assert!(why.contains(query.split('=').next().unwrap()), "{why}");
        }
        for (method, path) in [("GET", "/x"), ("PUT", "/x"), ("DELETE", "/%00"), ("POST", "/x/:stop")] {
            let (status, _) = bench.ask(Who::Unix, method, &format!("{URL}{path}"), "{}").await;
            assert_eq!(status, StatusCode::BAD_REQUEST, "{method} {path}");
        }
        let nobody = Uuid::now_v7();
        for (method, path) in [("GET", ""), ("PUT", ""), ("DELETE", ""), ("POST", "/:stop")] {
            let (status, _) = bench.ask(Who::Unix, method, &format!("{URL}/{nobody}{path}"), "{}").await;
            assert_eq!(status, StatusCode::NOT_FOUND, "{method} {path}");
        }
    });
}

#[test]
fn a_holder_takes_gives_back_and_keeps() {
    on_both(|bench: Bench| async move {
        let (_listeners, url) = bench.listen().await;
        let _fleet = fleet(&bench, &url, 1).await;
        let ids = pool(&bench, 1).await;
        let id = ids[0].as_str();
        let ann = subscribe(&bench, json!({"holder": "ann", "machine": id})).await;
        assert_eq!(machine(&bench, id).await["reservation"]["subscription"], json!(ann));
        let (status, answer) = make(&bench, id, "allocate", json!({"owner": "ann", "reference": "web"})).await;
        assert!(status.is_success(), "{answer}");
        let used = until(&bench, id, |m| m["lifecycle"] == "used").await;
        assert_eq!(used["allocation"]["subscription"], json!(ann));
        let shown = show(&bench, &ann).await;
        assert_eq!((&shown["bound"], &shown["in_use"], &shown["missing"]), (&json!(0), &json!(1), &json!(0)));
        ok(&bench, "PUT", &format!("{URL}/{ann}"), json!({"description": "in use"})).await;
        let (status, answer) = make(&bench, id, "release", json!({})).await;
        assert!(status.is_success(), "{answer}");
        // It comes back, and is never seen available to others on the way.
        until(&bench, id, |m| {
            assert_ne!(m["lifecycle"], "available");
            m["lifecycle"] == "available_reserved"
        })
        .await;
        let shown = show(&bench, &ann).await;
        assert_eq!((&shown["bound"], &shown["in_use"], &shown["missing"]), (&json!(1), &json!(0), &json!(0)));
        assert_eq!(
            actions(&bench, &ann).await,
            ["subscription.create", "subscription.edit", "subscription.unfulfilled", "subscription.fulfilled"]
        );
        // What is in use stays with its holder when the subscription stops, and keeps the record of it.
        make(&bench, id, "allocate", json!({"owner": "ann"})).await;
        until(&bench, id, |m| m["lifecycle"] == "used").await;
        ok(&bench, "POST", &format!("{URL}/{ann}/:stop"), json!(null)).await;
        assert_eq!(machine(&bench, id).await["lifecycle"], "used");
        let why = refused(&bench, "DELETE", &format!("{URL}/{ann}"), json!(null)).await;
        assert!(why.contains("1 in use"), "{why}");
    });
}

#[test]
fn the_background_run_sees_to_what_time_brings() {
    on_both(|bench: Bench| async move {
        server_type(&bench, "big").await;
        let stock = stock(&bench, "big", 1).await;
        let stop = tokio_util::sync::CancellationToken::new();
        let run = tokio::spawn(reservation::run(bench.engine.clone(), stop.clone()));
        let soon = Time::from_micros(bench.engine.clock().micros() + 1_500_000);
        let ann = subscribe(&bench, json!({"holder": "ann", "server_type": "big", "starts": soon})).await;
        assert_eq!(has(&bench, &ann).await, BTreeSet::new());
        let end = std::time::Instant::now() + std::time::Duration::from_secs(60);
        while has(&bench, &ann).await != set(&stock) {
            assert!(std::time::Instant::now() < end, "never began");
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        while bench.engine.subscribed().wanted() != 1 {
            assert!(std::time::Instant::now() < end, "never counted");
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        let (_, _, text) = bench.ask_bytes(Who::Unix, "GET", "/1.0/metrics", &[], "").await;
        let text = String::from_utf8(text.to_vec()).unwrap();
        assert!(text.contains("muster_subscriptions_missing_machines 0"), "{text}");
        stop.cancel();
        run.await.unwrap();
    });
}
