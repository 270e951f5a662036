//! Images with a seed in them: what is in them, how they are downloaded and taken up again, and when there is none.

use crate::bench::{Bench, Who};
use crate::updates::{self, Package, Signer, package};
use axum::http::{HeaderMap, StatusCode};
use flate2::{Compression, bufread::GzDecoder, write::GzEncoder};
use muster_engine::{Engine, clock::Clock, images::Layout};
use muster_store::{Store, testing};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::io::{Read, Write};
use std::time::{Duration, Instant};

const TOKENS: &str = "/1.0/provisioning/tokens";
/// A small image has its place of the seed here.
const OFFSET: usize = 100_000;
const LAYOUT: Layout = Layout { offset: OFFSET as u64, piece: 4096, pieces: 8 };
const MINUTE: i64 = 60_000_000;

/// A clock that the certificates of this test have begun by, whatever they are rounded to.
fn a_minute_ahead() -> Clock {
    Clock::at(Clock::system().micros() + MINUTE)
}

fn small(engine: Engine) -> Engine {
    engine.with_image_layout(LAYOUT)
}

async fn bench(store: Store, clock: Clock) -> Bench {
    Bench::with(store, clock, tempfile::tempdir().unwrap(), small).await
}

fn image(mark: u8, size: usize) -> Vec<u8> {
    (0..size as u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 27) as u8 | mark).collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(bytes).unwrap();
    gzip.finish().unwrap()
}

/// An update with images for x86_64.
fn with_images(version: &str, iso: &[u8], raw: &[u8]) -> Package {
    let more = [("x86_64/IncusOS.iso.gz", gzip(iso)), ("x86_64/IncusOS.img.gz", gzip(raw))];
    let mut package = package(version, &more);
    for file in package.description["files"].as_array_mut().unwrap() {
        for (ending, kind) in [(".iso.gz", "image-iso"), (".img.gz", "image-raw")] {
            if file["filename"].as_str().unwrap().ends_with(ending) {
                file["type"] = kind.into();
                file["component"] = "os".into();
            }
        }
    }
    package
}

async fn upload(bench: &Bench, package: &Package) {
    let signer = Signer::trusted_by(bench).await;
    updates::upload(bench, signer.tar(package)).await;
    let network = json!({"address": "https://oc.example.test:7443", "rest_server_address": "127.0.0.1:7443"});
    let network = network.to_string();
    let (status, answer) = bench.ask(Who::Unix, "PUT", "/1.0/system/network", network).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
}

fn seeds() -> Value {
    json!({"applications": {"version": "1", "applications": [{"name": "migration-manager"}]},
        "install": {"version": "1", "force_reboot": true}})
}

async fn prepare(bench: &Bench, token: &str, kind: &str, seeds: Value) -> String {
    let body = json!({"type": kind, "architecture": "x86_64", "seeds": seeds}).to_string();
    let (status, answer) = bench.ask(Who::Unix, "POST", &format!("{TOKENS}/{token}/image"), body).await;
    assert_eq!(status, StatusCode::CREATED, "{answer}");
    answer["metadata"]["image"].as_str().unwrap().to_owned()
}

async fn get(bench: &Bench, path: &str, headers: &[(&str, &str)]) -> (StatusCode, HeaderMap, Vec<u8>) {
    let (status, headers, body) = bench.ask_bytes(Who::Unix, "GET", path, headers, "").await;
    (status, headers, body.to_vec())
}

/// What is in the only member of a gzip file.
fn gunzip(bytes: &[u8]) -> Vec<u8> {
    let (mut out, mut member) = (Vec::new(), GzDecoder::new(bytes));
    member.read_to_end(&mut out).unwrap();
    assert!(member.into_inner().is_empty(), "browsers read one member only");
    out
}

/// The documents in an image, of which nothing else differs from the stored one.
fn documents(answer: &[u8], stored: &[u8]) -> Vec<(String, String)> {
    let image = gunzip(answer);
    assert_eq!(image.len(), stored.len());
    let mut archive = tar::Archive::new(&image[OFFSET..]);
    let mut length = 1024;
    let documents = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        length += 512 + text.len().next_multiple_of(512);
        (entry.path().unwrap().to_str().unwrap().to_owned(), text)
    });
    let documents = documents.collect();
    assert!(image[..OFFSET] == stored[..OFFSET], "before the seed");
    assert!(image[OFFSET + length..] == stored[OFFSET + length..], "behind the seed");
    documents
}

fn prepared_images(bench: &Bench) -> usize {
    std::fs::read_dir(bench.directory.path().join("updates/images")).unwrap().count()
}

/// Runs a test on a daemon of each database whose images are small.
fn on_small<F: Future<Output = ()>>(test: impl Fn(Bench, Clock) -> F) {
    testing::stores(|test_store| {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let clock = a_minute_ahead();
            test(bench(test_store.store.clone(), clock.clone()).await, clock).await;
        });
    });
}

#[test]
fn a_prepared_image_has_the_seed_in_its_place_and_is_good_for_one_download() {
    on_small(|bench, _| async move {
        let (iso, raw) = (image(0, 200_000), image(64, 250_000));
        upload(&bench, &with_images("202511010000", &iso, &raw)).await;
        let token = bench.token(1).await;
        for (kind, stored) in [("iso", &iso), ("raw", &raw)] {
            let path = prepare(&bench, &token, kind, seeds()).await;
            let (status, headers, body) = get(&bench, &path, &[]).await;
            assert_eq!(status, StatusCode::OK, "{}", String::from_utf8_lossy(&body));
            assert_eq!(headers["content-type"], "application/gzip");
            assert_eq!(headers["content-disposition"], format!("attachment; filename=\"pre-seed-{token}.{kind}.gz\""));
            assert_eq!(headers["content-length"], body.len().to_string().as_str());
            assert!(!headers.contains_key("content-encoding"));
            let documents = documents(&body, stored);
            let names: Vec<&str> = documents.iter().map(|(name, _)| name.as_str()).collect();
            let stems =
                "applications incus install migration-manager network operations-center provider security update";
            assert_eq!(names, stems.split(' ').map(|stem| format!("{stem}.yaml")).collect::<Vec<_>>());
            assert_eq!(documents[0].1, "version: \"1\"\napplications:\n  - name: \"migration-manager\"\n");
            assert!(documents[2].1.contains("force_reboot: true"), "{}", documents[2].1);
            let provider = &documents[6].1;
            for part in [&token, "https://oc.example.test:7443", "-----BEGIN CERTIFICATE-----"] {
                assert!(provider.contains(part), "{provider}");
            }
            assert!(documents[8].1.contains("channel: \"stable\""), "{}", documents[8].1);

            let (status, _, body) = get(&bench, &path, &[]).await;
            assert_eq!(status, StatusCode::NOT_FOUND, "{}", String::from_utf8_lossy(&body));
        }
        assert_eq!(prepared_images(&bench), 2);
        // Gone with the update that it was made of.
        bench.ask(Who::Unix, "DELETE", updates::URL, "").await;
        assert_eq!(prepared_images(&bench), 0);
    });
}

#[test]
fn a_download_is_taken_up_again_where_it_broke_off() {
    on_small(|bench, clock| async move {
        let iso = image(0, 200_000);
        upload(&bench, &with_images("202511010000", &iso, &iso)).await;
        let token = bench.token(1).await;
        let path = prepare(&bench, &token, "iso", seeds()).await;
        let (status, head, body) = bench.ask_bytes(Who::Unix, "HEAD", &path, &[], "").await;
        assert_eq!((status, body.len()), (StatusCode::OK, 0));
        let tag = head["etag"].to_str().unwrap().to_owned();
        let size: usize = head["content-length"].to_str().unwrap().parse().unwrap();

        let (status, headers, first) = get(&bench, &path, &[("range", "bytes=0-999")]).await;
        assert_eq!((status, first.len()), (StatusCode::PARTIAL_CONTENT, 1000));
        assert_eq!(headers["content-range"], format!("bytes 0-999/{size}"));
        // Longer than it could have been begun; but it was.
        clock.advance(30 * MINUTE);
        let (status, _, middle) =
            get(&bench, &path, &[("range", &format!("bytes=1000-{}", size - 11)), ("if-range", &tag)]).await;
        assert_eq!(status, StatusCode::PARTIAL_CONTENT);
        let (status, _, end) = get(&bench, &path, &[("range", "bytes=-10"), ("if-range", &tag)]).await;
        assert_eq!(status, StatusCode::PARTIAL_CONTENT);
        let whole = [first, middle, end].concat();
        assert_eq!(documents(&whole, &iso).len(), 9);

        // Used up; who has all but its end, and so its tag, may still be waiting for that.
        let (status, ..) = get(&bench, &path, &[]).await;
        assert_eq!(status, StatusCode::NOT_FOUND);
        let (status, _, end) = get(&bench, &path, &[("range", "bytes=-10"), ("if-range", &tag)]).await;
        assert_eq!((status, &end[..]), (StatusCode::PARTIAL_CONTENT, &whole[size - 10..]));
        let (status, ..) = get(&bench, &path, &[("range", "bytes=-10"), ("if-range", "\"another\"")]).await;
        assert_eq!(status, StatusCode::NOT_FOUND);
        let (status, ..) = get(&bench, &path, &[("range", "bytes=-10")]).await;
        assert_eq!(status, StatusCode::NOT_FOUND);
        clock.advance(61 * MINUTE);
        let (status, ..) = get(&bench, &path, &[("range", "bytes=-10"), ("if-range", &tag)]).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "an hour later nobody is waiting");
    });
}

#[test]
fn a_prepared_image_survives_a_restart_and_a_newer_update_but_not_its_time() {
    testing::stores(|test_store| {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let (store, clock) = (test_store.store.clone(), a_minute_ahead());
            let first = bench(store.clone(), clock.clone()).await;
            let old = image(0, 200_000);
            upload(&first, &with_images("202511010000", &old, &old)).await;
            let token = first.token(1).await;
            let path = prepare(&first, &token, "iso", seeds()).await;
            let late = prepare(&first, &token, "iso", seeds()).await;
            let (_, headers, _) = get(&first, &path, &[("range", "bytes=0-9")]).await;

            let second = Bench::with(store, clock.clone(), first.directory, small).await;
            assert_eq!(prepared_images(&second), 1, "it is not prepared again");
            let new = image(64, 200_000);
            upload(&second, &with_images("202511020000", &new, &new)).await;
            let (status, again, body) = get(&second, &path, &[]).await;
            assert_eq!((status, &again["etag"]), (StatusCode::OK, &headers["etag"]));
            documents(&body, &old);

            clock.advance(5 * MINUTE + 1);
            let (status, _, body) = get(&second, &late, &[]).await;
            assert_eq!(status, StatusCode::NOT_FOUND, "{}", String::from_utf8_lossy(&body));
        });
    });
}

#[test]
fn images_are_prepared_before_they_are_asked_for_and_only_those_that_can_be() {
    on_small(|bench, _| async move {
        let parts = bench.directory.path().join("updates/images");
        let prepared = async |count: u64, expected: &[&[u8]]| {
            let mut expected: Vec<_> = expected.iter().map(|image| hex::encode(Sha256::digest(gzip(image)))).collect();
            expected.sort();
            let end = Instant::now() + Duration::from_secs(60);
            loop {
                let names = std::fs::read_dir(&parts).unwrap();
                let mut names: Vec<_> = names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
                names.sort();
                let splitting = bench.engine.splitting();
                if names == expected && splitting.done() == count && splitting.unprepared() == 0 {
                    return;
                }
                assert!(Instant::now() < end, "{names:?}, not {expected:?}; {splitting:?}");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let (iso, raw) = (image(0, 200_000), image(64, 250_000));
        upload(&bench, &with_images("202511010000", &iso, &raw)).await;
        tokio::spawn(muster_engine::images::run(bench.engine.clone(), bench.shutdown.clone()));
        prepared(2, &[&iso, &raw]).await;
        let token = bench.token(1).await;
        let path = prepare(&bench, &token, "iso", seeds()).await;
        let (status, _, body) = get(&bench, &path, &[]).await;
        assert_eq!(status, StatusCode::OK);
        documents(&body, &iso);
        // A broken download of the older one can be gone on with.
        let broken = prepare(&bench, &token, "raw", seeds()).await;
        get(&bench, &broken, &[("range", "bytes=0-9")]).await;
        let (new_iso, new_raw) = (image(32, 200_000), image(96, 250_000));
        upload(&bench, &with_images("202511020000", &new_iso, &new_raw)).await;
        prepared(4, &[&new_iso, &new_raw, &raw]).await;
        let listed = updates::get(&bench, &format!("{}?recursion=1", updates::URL)).await;
        let newest = format!("{}/{}/:withdraw", updates::URL, listed[0]["uuid"].as_str().unwrap());
        bench.ask(Who::Unix, "POST", &newest, r#"{"reason": "does not boot"}"#).await;
        prepared(5, &[&iso, &raw]).await;
        // One that takes no seed is tried, told and left alone.
        upload(&bench, &with_images("202511030000", &image(0, 10), &raw)).await;
        let end = Instant::now() + Duration::from_secs(60);
        while bench.engine.splitting().failed() == 0 {
            assert!(Instant::now() < end, "{:?}", bench.engine.splitting());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(bench.engine.splitting().unprepared(), 1);
        bench.shutdown.cancel();
    });
}

#[test]
fn nothing_is_installed_from_a_withdrawn_update() {
    on_small(|bench, _| async move {
        let (old, new) = (image(0, 200_000), image(64, 200_000));
        upload(&bench, &with_images("202511010000", &old, &old)).await;
        upload(&bench, &with_images("202511020000", &new, &new)).await;
        let token = bench.token(1).await;
        let path = prepare(&bench, &token, "iso", seeds()).await;
        let (_, headers, _) = get(&bench, &path, &[("range", "bytes=0-9")]).await;
        let listed = updates::get(&bench, &format!("{}?recursion=1", updates::URL)).await;
        let newest = format!("{}/{}/:withdraw", updates::URL, listed[0]["uuid"].as_str().unwrap());
        let (status, answer) = bench.ask(Who::Unix, "POST", &newest, r#"{"reason": "does not boot"}"#).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        // Not the rest of it either.
        let resumed = [("range", "bytes=10-"), ("if-range", headers["etag"].to_str().unwrap())];
        let (status, _, body) = get(&bench, &path, &resumed).await;
        assert_eq!(status, StatusCode::OK);
        documents(&body, &old);
    });
}

#[test]
fn a_named_seed_makes_the_same_image_each_time_for_those_who_may_read_it() {
    on_small(|bench, _| async move {
        let (iso, raw) = (image(0, 200_000), image(64, 250_000));
        upload(&bench, &with_images("202511010000", &iso, &raw)).await;
        bench.ask(Who::Unix, "POST", "/1.0/provisioning/channels", r#"{"name": "testing"}"#).await;
        let token = bench.token(1).await;
        let url = format!("{TOKENS}/{token}/seeds");
        for (name, public) in [("a/ü", true), ("private", false)] {
            let body = json!({"name": name, "public": public, "seeds": seeds()}).to_string();
            assert_eq!(bench.ask(Who::Unix, "POST", &url, body).await.0, StatusCode::CREATED);
        }
        let path = format!("{url}/a%2F%C3%BC?type=raw&architecture=x86_64");
        let (status, headers, body) = bench.ask_bytes(Who::Stranger, "GET", &path, &[], "").await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(
            headers["content-disposition"],
            "attachment; filename=\"pre-seed-a__.raw.gz\"; filename*=UTF-8''pre%2Dseed%2Da%5F%C3%BC%2Eraw%2Egz"
        );
        assert_eq!(documents(&body, &raw).len(), 9);
        let asked = [("accept-encoding", "br, gzip")];
        let (status, packed, again) = bench.ask_bytes(Who::Stranger, "GET", &path, &asked, "").await;
        assert_eq!((status, body == again), (StatusCode::OK, true));
        assert_eq!(packed["content-encoding"], "gzip");
        assert_eq!(packed["content-type"], "application/octet-stream");
        assert!(packed["content-disposition"].to_str().unwrap().contains("\"pre-seed-a__.raw\""));
        assert_eq!((&packed["etag"], &packed["vary"]), (&headers["etag"], &"Accept-Encoding".parse().unwrap()));
        let tag = headers["etag"].to_str().unwrap();
        let (status, ..) = bench.ask_bytes(Who::Stranger, "GET", &path, &[("if-none-match", tag)], "").await;
        assert_eq!(status, StatusCode::NOT_MODIFIED);

        let refused = async |path: &str| bench.ask(Who::Stranger, "GET", path, "").await.0;
        assert_eq!(refused(&format!("{url}/private?type=raw&architecture=x86_64")).await, StatusCode::FORBIDDEN);
        for query in ["type=raw&architecture=aarch64", "type=raw", "type=iso&architecture=x86_64&channel=testing"] {
            assert_eq!(refused(&format!("{url}/a%2F%C3%BC?{query}")).await, StatusCode::NOT_FOUND, "{query}");
        }
        assert_eq!(refused(&format!("{url}/a%2F%C3%BC?type=vhd")).await, StatusCode::BAD_REQUEST);
    });
}

/// Defect 13: the image follows the token's channel, as the machine does once it is registered.
#[test]
fn the_image_of_a_named_seed_follows_the_channel_of_its_token() {
    on_small(|bench, _| async move {
        let (iso, raw) = (image(0, 200_000), image(64, 250_000));
        upload(&bench, &with_images("202511010000", &iso, &raw)).await;
        bench.ask(Who::Unix, "POST", "/1.0/provisioning/channels", r#"{"name": "testing"}"#).await;
        let listed = updates::get(&bench, &format!("{}?recursion=1", updates::URL)).await;
        let update = format!("{}/{}", updates::URL, listed[0]["uuid"].as_str().unwrap());
        let (status, answer) = bench.ask(Who::Unix, "PUT", &update, r#"{"channels": ["testing"]}"#).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        let body = json!({"uses_remaining": 1, "expire_at": "2099-01-01T00:00:00Z", "channel": "testing"}).to_string();
        let (_, headers, _) = bench.ask_whole(Who::Unix, "POST", TOKENS, body).await;
        let token = headers["location"].to_str().unwrap().to_owned();
        bench.ask(Who::Unix, "POST", &format!("{token}/seeds"), r#"{"name": "s"}"#).await;
        let (status, _, body) = get(&bench, &format!("{token}/seeds/s?type=iso&architecture=x86_64"), &[]).await;
        assert_eq!(status, StatusCode::OK, "{}", String::from_utf8_lossy(&body));
        let documents = documents(&body, &iso);
        assert!(documents[8].1.contains("channel: \"testing\""), "{}", documents[8].1);
        assert!(documents[0].1.contains("name: \"incus\""), "the default: {}", documents[0].1);
    });
}

#[test]
fn no_image_for_a_token_that_lets_nobody_in() {
    on_small(|bench, clock| async move {
        let iso = image(0, 200_000);
        upload(&bench, &with_images("202511010000", &iso, &iso)).await;
        let token = bench.token(1).await;
        bench.ask(Who::Unix, "POST", &format!("{TOKENS}/{token}/seeds"), r#"{"name": "s", "public": true}"#).await;
        let path = prepare(&bench, &token, "iso", json!({})).await;
        let put = async |uses: i64, expire_at: &str| {
            let body = json!({"uses_remaining": uses, "expire_at": expire_at, "channel": "stable"}).to_string();
            let (status, answer) = bench.ask(Who::Unix, "PUT", &format!("{TOKENS}/{token}"), body).await;
            assert_eq!(status, StatusCode::CREATED, "{answer}");
        };
        let refused = async |why: &str| {
            let post = json!({"type": "iso", "architecture": "x86_64"}).to_string();
            let named = format!("{TOKENS}/{token}/seeds/s?type=iso&architecture=x86_64");
            for answer in [
                bench.ask(Who::Unix, "POST", &format!("{TOKENS}/{token}/image"), post).await,
                bench.ask(Who::Unix, "GET", &path, "").await,
                bench.ask(Who::Stranger, "GET", &named, "").await,
            ] {
                assert_eq!(answer.0, StatusCode::BAD_REQUEST, "{}", answer.1);
                assert!(answer.1["error"].as_str().unwrap().contains(why), "{}", answer.1);
            }
        };
        put(0, "2099-01-01T00:00:00Z").await;
        refused("no uses left").await;
        let soon = jiff::Timestamp::from_microsecond(clock.micros() + MINUTE).unwrap();
        put(1, &soon.to_string()).await;
        clock.advance(2 * MINUTE);
        refused("has expired").await;
        put(1, "2099-01-01T00:00:00Z").await;
        assert_eq!(get(&bench, &path, &[]).await.0, StatusCode::OK);

        let path = prepare(&bench, &token, "iso", json!({})).await;
        let other = bench.token(1).await;
        assert_eq!(get(&bench, &path.replace(&token, &other), &[]).await.0, StatusCode::BAD_REQUEST);
        bench.ask(Who::Unix, "DELETE", &format!("{TOKENS}/{token}"), "").await;
        assert_eq!(get(&bench, &path, &[]).await.0, StatusCode::NOT_FOUND, "revoked");
    });
}

#[test]
fn what_takes_no_seed_is_said_to_take_none() {
    on_small(|bench, _| async move {
        upload(&bench, &with_images("202511010000", &image(0, OFFSET), &image(0, OFFSET + 8192))).await;
        let token = bench.token(1).await;
        for (kind, status, why) in [
            ("iso", StatusCode::INTERNAL_SERVER_ERROR, "ends before the place of the seed"),
            ("raw", StatusCode::BAD_REQUEST, "room for 8192"),
        ] {
            let path = prepare(&bench, &token, kind, json!({})).await;
            let (found, answer) = bench.ask(Who::Unix, "GET", &path, "").await;
            assert_eq!(found, status, "{answer}");
            assert!(answer["error"].as_str().unwrap().contains(why), "{answer}");
        }
        let left: Vec<_> = std::fs::read_dir(bench.directory.path().join("updates/parts")).unwrap().collect();
        assert!(left.is_empty(), "{left:?}");
    });
}

#[test]
fn a_damaged_image_is_told_and_a_damaged_split_is_made_again() {
    on_small(|bench, _| async move {
        let iso = image(0, 200_000);
        upload(&bench, &with_images("202511010000", &iso, &iso)).await;
        let token = bench.token(1).await;
        bench.ask(Who::Unix, "POST", &format!("{TOKENS}/{token}/seeds"), r#"{"name": "s"}"#).await;
        let path = format!("{TOKENS}/{token}/seeds/s?type=iso&architecture=x86_64");
        let (_, headers, body) = get(&bench, &path, &[]).await;
        let folder = bench.directory.path().join("updates/images");
        let split = std::fs::read_dir(folder).unwrap().next().unwrap().unwrap().path();
        std::fs::write(&split, b"something else").unwrap();
        let (status, again, healed) = get(&bench, &path, &[]).await;
        assert_eq!((status, &again["etag"], healed == body), (StatusCode::OK, &headers["etag"], true));

        let stored = bench.directory.path().join("updates/files").join(split.file_name().unwrap());
        let mut bytes = std::fs::read(&stored).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&stored, bytes).unwrap();
        std::fs::remove_file(&split).unwrap();
        let (status, answer) = bench.ask(Who::Unix, "GET", &path, "").await;
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR, "{answer}");
        assert!(answer["error"].as_str().unwrap().contains("is damaged"), "{answer}");
        assert_eq!(prepared_images(&bench), 0);
    });
}
