//! Uploads that break off: what came whole is not sent again, and nothing of it stays for good.

use crate::bench::{Bench, Who, on_both};
use crate::updates::{Package, Signer, URL, add, digests, get, gzip, package, stored};
use axum::{
    body::{Body, Bytes},
    http::StatusCode,
};
use futures_util::stream;
use muster_engine::{Engine, clock::Clock, upkeep};
use serde_json::{Value, json};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio_util::sync::CancellationToken;

fn kept(bench: &Bench) -> Vec<String> {
    let entries = std::fs::read_dir(bench.directory.path().join("updates/kept")).unwrap();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Sends only the beginning of an archive.
async fn broken_off(bench: &Bench, tar: &[u8], after: usize) {
    let pieces = [Ok(Bytes::copy_from_slice(&tar[..after])), Err(std::io::Error::other("the cable was pulled"))];
    let (status, answer) = bench.ask(Who::Unix, "POST", URL, Body::from_stream(stream::iter(pieces))).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{answer}");
    assert!(answer["error"].as_str().unwrap().contains("broke off"), "{answer}");
}

async fn missing(bench: &Bench, signer: &Signer, package: &Package) -> (Vec<Value>, Vec<Value>) {
    let document = signer.sign(&package.description.to_string());
    let (status, answer) = bench.ask(Who::Unix, "POST", &format!("{URL}/:missing"), document).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    let names = |key: &str| answer["metadata"][key].as_array().unwrap().clone();
    (names("missing"), names("held"))
}

fn without(signer: &Signer, package: &Package, names: &[Value]) -> Vec<u8> {
    let mut rest = package.clone();
    rest.files.retain(|(name, _)| !names.contains(&json!(name)));
    let mut tar = tar::Builder::new(Vec::new());
    add(&mut tar, "update.sjson", &signer.sign(&package.description.to_string()));
    for (name, bytes) in &rest.files {
        add(&mut tar, name, bytes);
    }
    tar.into_inner().unwrap()
}

#[test]
fn what_came_whole_is_not_sent_again_and_what_other_updates_have_is_not_either() {
    on_both(|bench: Bench| async move {
        let signer = Signer::trusted_by(&bench).await;
        let large: Vec<u8> = (0..400_000u32).map(|n| (n % 241) as u8).collect();
        let package = package("1", &[("x86_64/zlarge.raw.gz", large)]);
        assert_eq!(missing(&bench, &signer, &package).await.1, [Value::Null; 0]);
        let tar = signer.tar(&package);
        broken_off(&bench, &tar, tar.len() - 200_000).await;
        let (rest, held) = missing(&bench, &signer, &package).await;
        assert_eq!((&rest[..], held.len()), (&[json!("x86_64/zlarge.raw.gz")][..], 3));
        assert_eq!((stored(&bench).len(), kept(&bench).len()), (0, 3), "nothing is visible");
        assert_eq!(get(&bench, URL).await, json!([]));

        let spared = without(&signer, &package, &held);
        assert!(spared.len() > 400_000 && spared.len() < 420_000, "{}", spared.len());
        let (status, headers, answer) =
            bench.ask_whole(Who::Unix, "POST", &format!("{URL}?sparing=true"), spared.clone()).await;
        assert_eq!(status, StatusCode::CREATED, "{answer}");
        let path = headers["location"].to_str().unwrap().to_owned();
        assert_eq!(get(&bench, &format!("{path}/files")).await, package.description["files"]);
        assert_eq!((stored(&bench), kept(&bench)), (digests(&[&package]), Vec::new()));
        let first = get(&bench, &format!("{path}/changelog")).await;
        assert_eq!(first["components"]["incus"]["added"][0], "incusd version 1", "its manifest was a kept one");

        let next = crate::updates::package("2", &[]);
        let (_, held) = missing(&bench, &signer, &next).await;
        assert_eq!(held, [json!("x86_64/shared.raw.gz")]);
        let tar = without(&signer, &next, &held);
        let (status, headers, answer) = bench.ask_whole(Who::Unix, "POST", &format!("{URL}?sparing=true"), tar).await;
        assert_eq!(status, StatusCode::CREATED, "{answer}");
        let path = headers["location"].to_str().unwrap().to_owned();
        assert_eq!(get(&bench, &format!("{path}/files")).await, next.description["files"]);
    });
}

#[test]
fn only_what_a_trusted_description_lists_is_kept_and_not_what_was_refused() {
    on_both(|bench: Bench| async move {
        let signer = Signer::trusted_by(&bench).await;
        let package = package("1", &[("x86_64/z.raw.gz", gzip("last"))]);
        let unknown = Signer::unknown();
        let tar = unknown.tar(&package);
        let (status, _) = bench.ask(Who::Unix, "POST", URL, tar).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        // The description comes last: nobody knows what the rest is.
        let mut late = tar::Builder::new(Vec::new());
        for (name, bytes) in &package.files {
            add(&mut late, name, bytes);
        }
        let late = late.into_inner().unwrap();
        broken_off(&bench, &late, late.len() - 1024).await;
        // The last file is another one.
        let mut damaged = package.clone();
        damaged.files.last_mut().unwrap().1 = gzip("tsal");
        let (status, answer) = bench.ask(Who::Unix, "POST", URL, signer.tar(&damaged)).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{answer}");
        assert_eq!((stored(&bench), kept(&bench)), (Vec::new(), Vec::new()));

        let document = unknown.sign(&package.description.to_string());
        let (status, answer) = bench.ask(Who::Unix, "POST", &format!("{URL}/:missing"), document).await;
        assert!(status == StatusCode::BAD_REQUEST && answer["error"].as_str().unwrap().contains("signer"), "{answer}");
        let (status, _) = bench.ask(Who::Unix, "POST", &format!("{URL}/:missing"), "no message").await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
    });
}

#[test]
fn what_nobody_sends_for_is_forgotten_after_a_day() {
    on_both(|bench: Bench| async move {
        let signer = Signer::trusted_by(&bench).await;
        let tar = signer.tar(&package("1", &[]));
        broken_off(&bench, &tar, tar.len() - 2000).await;
        assert!(!kept(&bench).is_empty());
        let later = |hours: u64| {
            let then = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() + Duration::from_secs(hours * 3600);
            Clock::at(i64::try_from(then.as_micros()).unwrap())
        };
        let (store, folder) = (bench.engine.store().clone(), bench.directory.path().to_owned());
        let start = move || Engine::start(store, later(25), folder).unwrap();
        let engine = tokio::task::spawn_blocking(start).await.unwrap();
        assert!(!kept(&bench).is_empty(), "a start within the day keeps it");
        let stop = CancellationToken::new();
        let tidying = tokio::spawn(upkeep::run(engine, stop.clone()));
        let end = Instant::now() + Duration::from_secs(60);
        while !kept(&bench).is_empty() {
            assert!(Instant::now() < end, "never forgotten");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        stop.cancel();
        tidying.await.unwrap();
    });
}
