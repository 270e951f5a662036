//! Channels that follow others, and frozen ones: what enters by itself, when, and what an operator reads of it.

use crate::bench::{Bench, Who, on_both, on_both_at};
use crate::updates::{Package, Signer, URL, get, package, upload};
use axum::http::StatusCode;
use muster_engine::{clock::Clock, promotion};
use serde_json::{Value, json};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio_util::sync::CancellationToken;

const CHANNELS: &str = "/1.0/provisioning/channels";
const DAY: i64 = 86_400_000_000;

/// A little later, and it stands still: certificates are valid, delays end when the test says so.
fn standing() -> Clock {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() + Duration::from_secs(3600);
    Clock::at(i64::try_from(now.as_micros()).unwrap())
}

async fn ok(bench: &Bench, method: &str, path: &str, body: Value) -> Value {
    let (status, answer) = bench.ask(Who::Unix, method, path, body.to_string()).await;
    assert!(status.is_success(), "{method} {path}: {answer}");
    answer["metadata"].clone()
}

async fn refused(bench: &Bench, method: &str, path: &str, body: Value, says: &[&str]) {
    let (status, answer) = bench.ask(Who::Unix, method, path, body.to_string()).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{method} {path} {body}: {answer}");
    for says in says {
        assert!(answer["error"].as_str().unwrap().contains(says), "{says:?} is not in {answer}");
    }
}

async fn channel(bench: &Bench, name: &str) -> Value {
    ok(bench, "GET", &format!("{CHANNELS}/{name}"), Value::Null).await
}

/// The entries of the audit with this action.
async fn audited(bench: &Bench, action: &str) -> Vec<Value> {
    let all = ok(bench, "GET", "/1.0/audit", Value::Null).await;
    all.as_array().unwrap().iter().filter(|entry| entry["action"] == action).cloned().collect()
}

async fn channels_of(bench: &Bench, path: &str) -> Value {
    get(bench, path).await["channels"].clone()
}

fn urgent(version: &str) -> Package {
    let mut package = package(version, &[]);
    package.description["severity"] = json!("critical");
    package
}

#[test]
fn an_update_enters_after_its_delay_once_and_an_urgent_one_at_once() {
    let clock = standing();
    on_both_at(clock.clone(), |bench: Bench| {
        let clock = clock.clone();
        async move {
            let rule = r#""late" follows "stable" after 7 days, severity critical at once"#;
            ok(&bench, "POST", CHANNELS, json!({"name": "late", "follow": rule})).await;
            ok(&bench, "POST", CHANNELS, json!({"name": "later", "follow": {"channel": "late", "after": 86_400}}))
                .await;
            let signer = Signer::trusted_by(&bench).await;
            let path = upload(&bench, signer.tar(&package("1", &[]))).await;
            let uuid = path.rsplit('/').next().unwrap();
            promotion::once(&bench.engine).await.unwrap();
            assert_eq!(channels_of(&bench, &path).await, json!(["stable"]));
            let late = channel(&bench, "late").await;
            assert_eq!(
                late["follow"],
                json!({"channel": "stable", "after": 604_800, "at_once": "critical", "rule": rule})
            );
            let awaited = &late["awaits"][0];
            assert_eq!((&awaited["uuid"], &awaited["version"]), (&json!(uuid), &json!("1")));
            assert_eq!(awaited["reason"], "its delay");
            assert_eq!(channel(&bench, "later").await["awaits"], json!([]));

            clock.advance(7 * DAY - 1);
            promotion::once(&bench.engine).await.unwrap();
            assert_eq!(channels_of(&bench, &path).await, json!(["stable"]));
            clock.advance(1);
            let next = promotion::once(&bench.engine).await.unwrap().unwrap();
            assert_eq!(channels_of(&bench, &path).await, json!(["late", "stable"]));
            assert_eq!(next.micros(), bench.engine.clock().micros() + DAY, "the next in the chain");
            clock.advance(DAY);
            assert_eq!(promotion::once(&bench.engine).await.unwrap(), None);
            assert_eq!(channels_of(&bench, &path).await, json!(["late", "later", "stable"]));

            let entry = &audited(&bench, "update.promote").await[0];
            assert_eq!((&entry["actor"], &entry["object"]), (&json!("system"), &json!(uuid)));
            assert_eq!(
                (&entry["from"], &entry["to"], &entry["reason"]),
                (&json!("stable"), &json!("late"), &json!(rule))
            );
            let events = bench.stream("/1.0/events?after=0", "update.promote").await;
            assert!(events.contains(uuid), "{events}");

            ok(&bench, "PUT", &path, json!({"channels": ["stable"]})).await;
            promotion::once(&bench.engine).await.unwrap();
            assert_eq!(channels_of(&bench, &path).await, json!(["stable"]), "a rule does not argue with an operator");
            let path = upload(&bench, signer.tar(&urgent("2"))).await;
            promotion::once(&bench.engine).await.unwrap();
            assert_eq!(channels_of(&bench, &path).await, json!(["late", "stable"]));
            assert_eq!(audited(&bench, "update.promote").await.len(), 3);
        }
    });
}

#[test]
fn a_client_that_does_not_know_of_rules_keeps_them_and_bad_ones_are_named() {
    on_both(|bench: Bench| async move {
        for name in ["a", "b"] {
            ok(&bench, "POST", CHANNELS, json!({"name": name})).await;
        }
        let (a, b) = (format!("{CHANNELS}/a"), format!("{CHANNELS}/b"));
        ok(&bench, "PUT", &a, json!({"description": "d", "follow": {"channel": "stable", "after": 60}})).await;
        ok(&bench, "PUT", &b, json!({"follow": r#""b" follows "a""#})).await;
        // As the official command line and console send it.
        ok(&bench, "PUT", &a, json!({"description": "another"})).await;
        let found = channel(&bench, "a").await;
        assert_eq!((&found["description"], &found["follow"]["channel"]), (&json!("another"), &json!("stable")));

        let (_, headers, body) = bench.ask_whole(Who::Unix, "GET", &a, "").await;
        let tag = headers["etag"].to_str().unwrap().to_owned();
        ok(&bench, "PUT", &a, body["metadata"].clone()).await;
        assert_eq!(channel(&bench, "a").await["follow"], found["follow"], "what was read can be sent back");
        let late = bench.ask_bytes(Who::Unix, "PUT", &a, &[("if-match", &tag)], r#"{"follow": null}"#).await.0;
        assert_eq!(late, StatusCode::PRECONDITION_FAILED);

        let put = |follow: Value| json!({"follow": follow});
        for (follow, says) in [
            (json!({"channel": "none"}), "no channel \"none\""),
            (json!({"channel": "b"}), "circle"),
            (json!({"channel": "a"}), "itself"),
            (json!({"after": 60}), "missing"),
            (json!({"channel": "stable", "after": -1}), "seconds"),
            (json!({"channel": "stable", "after": 31_622_401}), "seconds"),
            (json!({"channel": "stable", "at_once": "now"}), "or critical"),
            (json!(r#""b" follows "stable""#), "of channel \"b\""),
            (json!(r#""a" follows "stable" after 400 days"#), "366 days"),
            (json!(7), "follow: "),
        ] {
            refused(&bench, "PUT", &a, put(follow), &[says]).await;
        }
        refused(&bench, "POST", CHANNELS, json!({"name": "c", "follow": {"channel": "c"}}), &["itself"]).await;
        refused(&bench, "POST", CHANNELS, json!({"name": "c", "follow": {"channel": "none"}}), &["\"none\""]).await;
        let listed = ok(&bench, "GET", &format!("{CHANNELS}?recursion=1"), Value::Null).await;
        assert_eq!(listed.as_array().unwrap().len(), 3, "a refused one is not there");
        refused(&bench, "DELETE", &a, Value::Null, &["followed by", "\"b\""]).await;
        ok(&bench, "PUT", &b, put(Value::Null)).await;
        assert_eq!(channel(&bench, "b").await["follow"], Value::Null);
        ok(&bench, "DELETE", &a, Value::Null).await;
        let changes = audited(&bench, "channel.update").await;
        assert_eq!((&changes[1]["from"], &changes[1]["to"]), (&Value::Null, &json!(r#""b" follows "a""#)));
    });
}

#[test]
fn nothing_enters_a_frozen_channel_and_the_refusal_says_who_and_why() {
    on_both(|bench: Bench| async move {
        let late = format!("{CHANNELS}/late");
        ok(&bench, "POST", CHANNELS, json!({"name": "late", "follow": {"channel": "stable"}})).await;
        refused(&bench, "POST", &format!("{late}/:freeze"), json!({"reason": " "}), &["reason"]).await;
        refused(&bench, "POST", &format!("{late}/:freeze"), json!({"reason": "a\nb"}), &["one line"]).await;
        refused(&bench, "POST", &format!("{late}/:thaw"), json!({}), &["not frozen"]).await;
        let (status, _) = bench.ask(Who::Unix, "POST", &format!("{CHANNELS}/none/:freeze"), r#"{"reason": "r"}"#).await;
        assert_eq!(status, StatusCode::NOT_FOUND);
        ok(&bench, "POST", &format!("{late}/:freeze"), json!({"reason": "an incident"})).await;
        refused(&bench, "POST", &format!("{late}/:freeze"), json!({"reason": "again"}), &["already", "incident"]).await;
        let frozen = channel(&bench, "late").await["frozen"].clone();
        assert_eq!((&frozen["by"], &frozen["reason"]), (&json!("unix"), &json!("an incident")));

        let signer = Signer::trusted_by(&bench).await;
        let path = upload(&bench, signer.tar(&package("1", &[]))).await;
        promotion::once(&bench.engine).await.unwrap();
        assert_eq!(channels_of(&bench, &path).await, json!(["stable"]));
        let awaited = channel(&bench, "late").await["awaits"][0].clone();
        assert!(awaited["reason"].as_str().unwrap().contains("thawed"), "{awaited}");
        let both = json!({"channels": ["late", "stable"]});
        refused(&bench, "PUT", &path, both.clone(), &["\"late\" is frozen since", "by unix: an incident", "thaw"])
            .await;
        ok(&bench, "PUT", &late, json!({"description": "still", "frozen": null})).await;
        refused(&bench, "PUT", &path, both.clone(), &["frozen"]).await;

        ok(&bench, "POST", &format!("{late}/:thaw"), json!({})).await;
        promotion::once(&bench.engine).await.unwrap();
        assert_eq!(channels_of(&bench, &path).await, both["channels"]);
        ok(&bench, "POST", &format!("{late}/:freeze"), json!({"reason": "again"})).await;
        ok(&bench, "PUT", &path, both).await;
        ok(&bench, "PUT", &path, json!({"channels": []})).await;

        // An upload does not enter it either; it is here all the same.
        ok(&bench, "POST", &format!("{CHANNELS}/stable/:freeze"), json!({"reason": "audit"})).await;
        let path = upload(&bench, signer.tar(&package("2", &[]))).await;
        assert_eq!(channels_of(&bench, &path).await, json!([]));
        let uploads = audited(&bench, "update.upload").await;
        assert!(uploads[1]["reason"].as_str().unwrap().contains("\"stable\" is frozen"), "{uploads:?}");
        let told: Vec<Value> = audited(&bench, "channel.freeze").await.iter().map(|e| e["reason"].clone()).collect();
        assert_eq!(told, [json!("an incident"), json!("again"), json!("audit")]);
        assert_eq!(audited(&bench, "channel.thaw").await.len(), 1);
    });
}

#[test]
fn the_promoter_wakes_by_itself() {
    on_both(|bench: Bench| async move {
        let stop = CancellationToken::new();
        let promoter = tokio::spawn(promotion::run(bench.engine.clone(), stop.clone()));
        let signer = Signer::trusted_by(&bench).await;
        let path = upload(&bench, signer.tar(&package("1", &[]))).await;
        ok(&bench, "POST", CHANNELS, json!({"name": "late", "follow": {"channel": "stable", "after": 1}})).await;
        let end = Instant::now() + Duration::from_secs(60);
        while channels_of(&bench, &path).await != json!(["late", "stable"]) {
            assert!(Instant::now() < end, "never promoted");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        stop.cancel();
        promoter.await.unwrap();
    });
}

#[test]
fn two_daemons_promote_once() {
    let Some(test_store) = muster_store::testing::postgres() else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    runtime.block_on(async {
        let first = Bench::new(test_store.store.clone()).await;
        let location = test_store.location.clone();
        let open = move || muster_store::Store::open(&location, muster_store::testing::keys()).unwrap();
        let second = Bench::new(tokio::task::spawn_blocking(open).await.unwrap()).await;
        let signer = Signer::trusted_by(&first).await;
        for version in 1..=8 {
            upload(&first, signer.tar(&package(&version.to_string(), &[]))).await;
        }
        ok(&first, "POST", CHANNELS, json!({"name": "late", "follow": {"channel": "stable"}})).await;
        let tries = (0..6).map(|n| {
            let engine = if n % 2 == 0 { first.engine.clone() } else { second.engine.clone() };
            tokio::spawn(async move { promotion::once(&engine).await })
        });
        for tried in futures_util::future::join_all(tries).await {
            tried.unwrap().unwrap();
        }
        let promoted = audited(&first, "update.promote").await;
        assert_eq!(promoted.len(), 8, "{promoted:?}");
        let listed = get(&first, &format!("{URL}?recursion=1")).await;
        assert!(listed.as_array().unwrap().iter().all(|u| u["channels"] == json!(["late", "stable"])), "{listed}");
    });
}
