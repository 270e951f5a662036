//! Updates that are carried in by hand: what is visible when, what machines load, and what stays on the disk.

use crate::bench::{Bench, Who, on_both};
use axum::{body::Body, http::StatusCode};
use flate2::{Compression, write::GzEncoder};
use muster_sim::publisher::{Authority, Encoding};
use muster_store::tables::{updates, updates::Update};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::{io::Write, time::SystemTime};

pub const URL: &str = "/1.0/provisioning/updates";

pub fn gzip(text: &str) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(text.as_bytes()).unwrap();
    gzip.finish().unwrap()
}

/// An update: what its description says, and its files.
#[derive(Clone)]
pub struct Package {
    pub description: Value,
    pub files: Vec<(String, Vec<u8>)>,
}

/// One with an application and a manifest for it.
pub fn package(version: &str, more: &[(&str, Vec<u8>)]) -> Package {
    let manifest = json!({"packages": [{"name": "incusd", "version": version}, {"name": "base", "version": "1"}]});
    let mut files = vec![
        ("x86_64/incus.raw.gz".to_owned(), gzip(&format!("incus {version}"))),
        ("x86_64/incus.manifest.json.gz".to_owned(), gzip(&manifest.to_string())),
        ("x86_64/shared.raw.gz".to_owned(), gzip("the same in every version")),
    ];
    files.extend(more.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.clone())));
    let listed: Vec<Value> = files
        .iter()
        .map(|(name, bytes)| {
            let kind = if name.contains("manifest") { "image-manifest" } else { "application" };
            json!({"filename": name, "size": bytes.len(), "sha256": hex::encode(Sha256::digest(bytes)),
                   "component": "incus", "type": kind, "architecture": "x86_64"})
        })
        .collect();
    let description = json!({"format": "1.0", "version": version, "origin": "sim", "severity": "none",
        "published_at": "2025-11-20T10:00:00+02:00", "channels": ["stable"], "files": listed});
    Package { description, files }
}

/// Whom the center trusts to sign.
pub struct Signer(Authority);

impl Signer {
    pub async fn trusted_by(bench: &Bench) -> Self {
        let signer = Self::unknown();
        signer.trust(bench).await;
        signer
    }

    pub async fn trust(&self, bench: &Bench) {
        let settings = json!({"source": "", "signature_verification_root_ca": self.0.root_pem()}).to_string();
        let (status, answer) = bench.ask(Who::Unix, "PUT", "/1.0/system/updates", settings).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
    }

    pub fn unknown() -> Self {
        Self(Authority::new(SystemTime::now()).unwrap())
    }

    pub fn sign(&self, text: &str) -> Vec<u8> {
        self.0.sign(text, Encoding::Clear, SystemTime::now()).unwrap()
    }

    pub fn tar(&self, package: &Package) -> Vec<u8> {
        let mut tar = tar::Builder::new(Vec::new());
        add(&mut tar, "update.sjson", &self.sign(&package.description.to_string()));
        for (name, bytes) in &package.files {
            add(&mut tar, name, bytes);
        }
        tar.into_inner().unwrap()
    }
}

pub fn add(tar: &mut tar::Builder<Vec<u8>>, name: &str, bytes: &[u8]) {
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes.len() as u64);
    header.set_mode(0o644);
    tar.append_data(&mut header, name, bytes).unwrap();
}

pub async fn upload(bench: &Bench, tar: Vec<u8>) -> String {
    let (status, headers, answer) = bench.ask_whole(Who::Unix, "POST", URL, tar).await;
    assert_eq!(status, StatusCode::CREATED, "{answer}");
    assert_eq!((&answer["status_code"], &answer["metadata"]), (&json!(200), &Value::Null));
    headers["location"].to_str().unwrap().to_owned()
}

pub async fn get(bench: &Bench, path: &str) -> Value {
    let (status, answer) = bench.ask(Who::Stranger, "GET", path, "").await;
    assert_eq!(status, StatusCode::OK, "{path}: {answer}");
    answer["metadata"].clone()
}

/// Names in the folders of stored files and of parts.
pub fn stored(bench: &Bench) -> Vec<String> {
    let mut names = Vec::new();
    for folder in ["files", "parts"] {
        let entries = std::fs::read_dir(bench.directory.path().join("updates").join(folder)).unwrap();
        names.extend(entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()));
    }
    names.sort();
    names
}

pub fn digests(packages: &[&Package]) -> Vec<String> {
    let all = packages.iter().flat_map(|package| &package.files).map(|(_, bytes)| hex::encode(Sha256::digest(bytes)));
    all.collect::<std::collections::BTreeSet<_>>().into_iter().collect()
}

#[test]
fn an_upload_is_listed_newest_first_and_a_shared_file_is_stored_once() {
    on_both(|bench: Bench| async move {
        let signer = Signer::trusted_by(&bench).await;
        let (old, new) = (package("202511010000", &[]), package("202511020000", &[]));
        let first = upload(&bench, signer.tar(&old)).await;
        assert_eq!(get(&bench, &format!("{URL}?recursion=1")).await.as_array().unwrap().len(), 1);
        let second = upload(&bench, signer.tar(&new)).await;
        let listed = get(&bench, &format!("{URL}?recursion=1")).await;
        let versions: Vec<&str> = listed.as_array().unwrap().iter().map(|u| u["version"].as_str().unwrap()).collect();
        assert_eq!(versions, ["202511020000", "202511010000"]);
        assert_eq!(
            get(&bench, &first).await,
            json!({"channels": ["stable"], "uuid": first.rsplit('/').next().unwrap(), "version": "202511010000",
                "published_at": "2025-11-20T10:00:00+02:00", "severity": "none", "origin": "sim (local)", "url": "",
                "upstream_channels": ["stable"], "update_status": "ready"})
        );
        assert_eq!(stored(&bench), digests(&[&old, &new]));
        assert_eq!(digests(&[&old, &new]).len(), 5, "one of six is shared");
        for (path, package) in [(&first, &old), (&second, &new)] {
            assert_eq!(get(&bench, &format!("{path}/files")).await, package.description["files"]);
            for (name, bytes) in &package.files {
                let path = format!("{path}/files/{name}");
                let (status, _, found) = bench.ask_bytes(Who::Stranger, "GET", &path, &[], "").await;
                assert_eq!((status, &found[..]), (StatusCode::OK, &bytes[..]), "{path}");
            }
        }
    });
}

#[test]
fn a_file_is_answered_whole_in_parts_or_not_at_all() {
    on_both(|bench: Bench| async move {
        let signer = Signer::trusted_by(&bench).await;
        // Larger than what is read at once.
        let large: Vec<u8> = (0..3_000_000u32).map(|n| (n % 251) as u8).collect();
        let package = package("1", &[("x86_64/large.raw.gz", large.clone())]);
        let path = format!("{}/files/x86_64/large.raw.gz", upload(&bench, signer.tar(&package)).await);
        let ask =
            async |method: &str, headers: &[(&str, &str)]| bench.ask_bytes(Who::Unix, method, &path, headers, "").await;
        let (status, headers, whole) = ask("GET", &[]).await;
        assert_eq!((status, whole == large), (StatusCode::OK, true));
        let tag = headers["etag"].to_str().unwrap().to_owned();
        assert_eq!(tag, format!("\"{}\"", hex::encode(Sha256::digest(&large))));
        assert_eq!(headers["content-length"], "3000000");
        assert_eq!(headers["content-type"], "application/octet-stream");
        assert_eq!(headers["content-disposition"], "attachment; filename=\"x86_64/large.raw.gz\"");
        assert!(!headers.contains_key("content-encoding"));

        let (status, headers, part) =
            ask("GET", &[("range", "bytes=600000-2999998"), ("accept-encoding", "gzip")]).await;
        assert_eq!((status, part == large[600_000..2_999_999]), (StatusCode::PARTIAL_CONTENT, true));
        assert_eq!(headers["content-range"], "bytes 600000-2999998/3000000");
        assert_eq!(headers["content-length"], "2399999");
        let (status, _, part) = ask("GET", &[("range", "bytes=-2"), ("if-range", &tag)]).await;
        assert_eq!((status, &part[..]), (StatusCode::PARTIAL_CONTENT, &large[2_999_998..]));
        let (status, _, part) = ask("GET", &[("range", "bytes=-2"), ("if-range", "\"another\"")]).await;
        assert_eq!((status, part.len()), (StatusCode::OK, 3_000_000), "the file is another one now: all of it");
        let (status, headers, _) = ask("GET", &[("range", "bytes=3000000-")]).await;
        assert_eq!(status, StatusCode::RANGE_NOT_SATISFIABLE);
        assert_eq!(headers["content-range"], "bytes */3000000");
        let (status, _, body) = ask("GET", &[("if-none-match", &tag)]).await;
        assert_eq!((status, body.len()), (StatusCode::NOT_MODIFIED, 0));
        let (status, headers, body) = ask("HEAD", &[]).await;
        assert_eq!((status, body.len()), (StatusCode::OK, 0));
        assert_eq!(headers["content-length"], "3000000");

        for name in ["update.sjson", "x86_64", "..%2f..%2fmuster.key", "x86_64/none"] {
            let path = path.replace("x86_64/large.raw.gz", name);
            let (status, answer) = bench.ask(Who::Stranger, "GET", &path, "").await;
            assert_eq!(status, StatusCode::NOT_FOUND, "{path}: {answer}");
        }
    });
}

#[test]
fn channels_are_assigned_by_name_and_by_who_saw_the_newest_state() {
    on_both(|bench: Bench| async move {
        let signer = Signer::trusted_by(&bench).await;
        let path = upload(&bench, signer.tar(&package("1", &[]))).await;
        bench.ask(Who::Unix, "POST", "/1.0/provisioning/channels", r#"{"name": "testing"}"#).await;
        let (_, headers, _) = bench.ask_whole(Who::Unix, "GET", &path, "").await;
        let tag = headers["etag"].to_str().unwrap().to_owned();
        let put = async |channels: Value, tag: &str| {
            let body = json!({"channels": channels}).to_string();
            let (status, _, answer) = bench.ask_bytes(Who::Unix, "PUT", &path, &[("if-match", tag)], body).await;
            (status, String::from_utf8(answer.to_vec()).unwrap())
        };
        assert_eq!(put(json!(["testing", "stable"]), &tag).await.0, StatusCode::OK);
        assert_eq!(get(&bench, &path).await["channels"], json!(["stable", "testing"]));
        assert_eq!(put(json!([]), &tag).await.0, StatusCode::PRECONDITION_FAILED);
        let (status, text) = put(json!(["none"]), "").await;
        assert!(status == StatusCode::NOT_FOUND && text.contains("none"), "{text}");
        let (status, text) = put(json!(["stable", "stable"]), "").await;
        assert!(status == StatusCode::BAD_REQUEST && text.contains("twice"), "{text}");
        let (status, answer) = bench.ask(Who::Unix, "DELETE", "/1.0/provisioning/channels/testing", "").await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{answer}");
        assert_eq!(put(Value::Null, "").await.0, StatusCode::OK);
        assert_eq!(get(&bench, &format!("{URL}?recursion=1")).await[0]["channels"], json!([]));
        let (_, audit) = bench.ask(Who::Unix, "GET", "/1.0/audit", "").await;
        let told: Vec<(&str, &str)> = audit["metadata"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|entry| entry["action"] == "update.assign")
            .map(|entry| (entry["from"].as_str().unwrap(), entry["to"].as_str().unwrap()))
            .collect();
        assert_eq!(told, [("stable", "testing, stable"), ("stable, testing", "")]);
    });
}

#[test]
fn changelogs_compare_each_update_with_the_one_before() {
    on_both(|bench: Bench| async move {
        let signer = Signer::trusted_by(&bench).await;
        let mut paths = Vec::new();
        for version in ["202511010000", "202511020000", "202511030000"] {
            paths.push(upload(&bench, signer.tar(&package(version, &[]))).await);
        }
        let updated = |from: &str, to: &str| {
            json!({"current_version": to, "prior_version": from, "channel": "stable",
            "components": {"incus": {"updated": [format!("incusd version {from} to version {to}")]}}})
        };
        let (third, second) = (updated("202511020000", "202511030000"), updated("202511010000", "202511020000"));
        assert_eq!(get(&bench, &format!("{}/changelog", paths[2])).await, third);
        assert_eq!(get(&bench, &format!("{}/changelog?upstream=true&architecture=m68k", paths[1])).await, second);
        let first = get(&bench, &format!("{}/changelog", paths[0])).await;
        assert_eq!(first["components"]["incus"]["added"][0], "incusd version 202511010000");
        let arm = get(&bench, &format!("{}/changelog?architecture=aarch64", paths[2])).await;
        assert_eq!(arm["components"], json!({}));
        let (_, history) = bench.ask(Who::Unix, "GET", "/1.0/provisioning/channels/stable/changelog", "").await;
        assert_eq!(history["metadata"], json!([third, second]));
        bench.ask(Who::Unix, "PUT", &paths[1], r#"{"channels": []}"#).await;
        let (_, history) = bench.ask(Who::Unix, "GET", "/1.0/provisioning/channels/stable/changelog", "").await;
        assert_eq!(history["metadata"], json!([updated("202511010000", "202511030000")]));
        let (status, _) = bench.ask(Who::Unix, "GET", &format!("{}/changelog", paths[1]), "").await;
        assert_eq!(status, StatusCode::NOT_FOUND);
    });
}

#[test]
fn an_update_that_is_here_is_completed_and_healed_and_refused_otherwise() {
    on_both(|bench: Bench| async move {
        let signer = Signer::trusted_by(&bench).await;
        let whole = package("1", &[]);
        let mut partial = whole.clone();
        partial.files.truncate(2);
        let path = upload(&bench, signer.tar(&partial)).await;
        assert_eq!(get(&bench, &format!("{path}/files")).await.as_array().unwrap().len(), 2);
        let (status, answer) = bench.ask(Who::Unix, "POST", URL, signer.tar(&partial)).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert!(answer["error"].as_str().unwrap().starts_with("Update already existing"), "{answer}");

        bench.ask(Who::Unix, "PUT", &path, r#"{"channels": []}"#).await;
        assert_eq!(upload(&bench, signer.tar(&whole)).await, path);
        assert_eq!(get(&bench, &format!("{path}/files")).await, whole.description["files"]);
        assert_eq!(get(&bench, &path).await["channels"], json!([]), "who gets it stays as it was set");

        // As after a backup that has no updates in it.
        let lost = digests(&[&whole])[0].clone();
        std::fs::remove_file(bench.directory.path().join("updates/files").join(&lost)).unwrap();
        let (name, bytes) = whole.files.iter().find(|(_, bytes)| hex::encode(Sha256::digest(bytes)) == lost).unwrap();
        let file = format!("{path}/files/{name}");
        let (status, answer) = bench.ask(Who::Stranger, "GET", &file, "").await;
        assert!(status == StatusCode::NOT_FOUND && answer["error"].as_str().unwrap().contains("upload"), "{answer}");
        upload(&bench, signer.tar(&whole)).await;
        let (_, _, found) = bench.ask_bytes(Who::Stranger, "GET", &file, &[], "").await;
        assert_eq!(&found[..], &bytes[..]);

        let mut other = package("1", &[]);
        other.files[0].1 = gzip("another content");
        other.description["files"][0]["size"] = json!(other.files[0].1.len());
        other.description["files"][0]["sha256"] = json!(hex::encode(Sha256::digest(&other.files[0].1)));
        let (status, answer) = bench.ask(Who::Unix, "POST", URL, signer.tar(&other)).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{answer}");
        assert_eq!(stored(&bench), digests(&[&whole]), "nothing of a refused upload stays");
    });
}

#[test]
fn deleting_all_leaves_neither_rows_nor_files() {
    on_both(|bench: Bench| async move {
        let signer = Signer::trusted_by(&bench).await;
        let package = package("1", &[]);
        let path = upload(&bench, signer.tar(&package)).await;
        let (status, answer) = bench.ask(Who::Unix, "DELETE", URL, "").await;
        assert_eq!((status, &answer["metadata"]), (StatusCode::OK, &json!({})));
        assert_eq!(get(&bench, URL).await, json!([]));
        assert_eq!(stored(&bench), [""; 0]);
        assert_eq!(upload(&bench, signer.tar(&package)).await, path);
        assert_eq!(stored(&bench), digests(&[&package]));
    });
}

#[test]
fn a_start_removes_what_a_crash_left_and_nothing_else() {
    on_both(|bench: Bench| async move {
        let signer = Signer::trusted_by(&bench).await;
        let package = package("1", &[]);
        upload(&bench, signer.tar(&package)).await;
        let updates = bench.directory.path().join("updates");
        std::fs::write(updates.join("parts/left"), "half").unwrap();
        std::fs::write(updates.join("files").join("0".repeat(64)), "renamed, and no row").unwrap();
        let (store, folder) = (bench.engine.store().clone(), bench.directory.path().to_owned());
        let clock = bench.engine.clock().clone();
        let start = move || muster_engine::Engine::start(store, clock, folder).unwrap();
        tokio::task::spawn_blocking(start).await.unwrap();
        assert_eq!(stored(&bench), digests(&[&package]));
    });
}

#[test]
fn the_list_in_memory_follows_what_another_daemon_writes() {
    on_both(|bench: Bench| async move {
        let all = format!("{URL}?recursion=1");
        assert_eq!(get(&bench, &all).await, json!([]));
        let row = Update {
            uuid: uuid::Uuid::from_u128(7).to_string(),
            version: "7".into(),
            published_at: "2025-11-20T10:00:00Z".into(),
            upstream_channels: "[]".into(),
            files: "[]".into(),
            status: "pending".into(),
            ..Update::default()
        };
        // Past this daemon's services, as another daemon's commit comes.
        bench.engine.store().write(move |tx| updates::upsert(tx, &row)).await.unwrap();
        assert_eq!(get(&bench, &all).await[0]["version"], "7");
        assert_eq!(get(&bench, &format!("{all}&status=pending")).await.as_array().unwrap().len(), 1);
        assert_eq!(get(&bench, &format!("{URL}?status=ready")).await, json!([]));
        // Machines must not be sent to what is not here in full.
        let path = format!("{URL}/{}", uuid::Uuid::from_u128(7));
        let (status, answer) = bench.ask(Who::Unix, "PUT", &path, r#"{"channels": ["stable"]}"#).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{answer}");
        // A statement that goes past everything.
        let (status, _) =
            bench.ask(Who::Unix, "POST", "/1.0/internal/sql", r#"{"query": "UPDATE updates SET version = '8'"}"#).await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(get(&bench, &all).await[0]["version"], "8");
    });
}

/// The list of a second daemon on the same PostgreSQL.
#[test]
fn a_second_daemon_lists_what_the_first_one_took_in() {
    let Some(test_store) = muster_store::testing::postgres() else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let first = Bench::new(test_store.store.clone()).await;
        let location = test_store.location.clone();
        let open = move || muster_store::Store::open(&location, muster_store::testing::keys()).unwrap();
        let second = Bench::new(tokio::task::spawn_blocking(open).await.unwrap()).await;
        assert_eq!(get(&second, &format!("{URL}?recursion=1")).await, json!([]));
        let mut ticks = second.engine.store().changed();
        ticks.borrow_and_update();
        let signer = Signer::trusted_by(&first).await;
        let path = upload(&first, signer.tar(&package("1", &[]))).await;
        loop {
            let listed = get(&second, &format!("{URL}?recursion=1")).await;
            if listed.as_array().unwrap().len() == 1 {
                break;
            }
            ticks.changed().await.unwrap();
        }
        assert_eq!(get(&second, &path).await["version"], "1");
        // The file lies with the first daemon; that is said, and not taken for an update without it.
        let file = format!("{path}/files/x86_64/incus.raw.gz");
        let (status, answer) = second.ask(Who::Stranger, "GET", &file, "").await;
        assert!(
            status == StatusCode::NOT_FOUND && answer["error"].as_str().unwrap().contains("stored here"),
            "{answer}"
        );
        // Uploaded there too, it is there too.
        signer.trust(&second).await;
        upload(&second, signer.tar(&package("1", &[]))).await;
        let (status, _, _) = second.ask_bytes(Who::Stranger, "GET", &file, &[], Body::empty()).await;
        assert_eq!(status, StatusCode::OK);
    });
}
