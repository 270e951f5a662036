//! Updates are uploaded, fetched and removed although the daemon dies in the middle of it: never half of one is visible,
//! no file is left over, nothing is stuck.

use crate::{
    daemon::{Crash, Daemon, PAUSE},
    site::{Database, Site},
    stories::Told,
};
use http::Method;
use muster_clients::center::CenterError;
use muster_sim::publisher::{Encoding, Options, Publisher, Release};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::{
    collections::BTreeSet,
    path::Path,
    time::{Duration, Instant, SystemTime},
};

const UPDATES: &str = "/1.0/provisioning/updates";
const V: [&str; 5] = ["202511010000", "202511020000", "202511030000", "202511040000", "202511050000"];
/// What is carried in by hand.
const OWN: &str = "202510010000";
/// A story that takes longer is stuck.
const STUCK: Duration = Duration::from_secs(120);

/// What is done, one after the other, each until it has happened.
enum Deed {
    Upload(Vec<u8>),
    Refresh(&'static [&'static str]),
}

/// Tells the story to a daemon that dies at point `at`.
pub async fn tell(database: Database, at: u64) -> Result<Told, String> {
    let Some(site) = tokio::task::spawn_blocking(move || Site::new(database)).await.unwrap() else {
        return Ok(Told::Skipped);
    };
    let when = site.dir.path().join("count");
    let mut daemon = site.start("a", Some(&Crash { at, when: when.clone() })).await;
    let source = site.dir.path().join("source");
    std::fs::create_dir(&source).unwrap();
    let options = Options { directory: source, encoding: Encoding::Opaque, plain: true, now: SystemTime::now() };
    let publisher = Publisher::start(options).await.unwrap();
    for version in V.iter().chain([&OWN]) {
        publisher.add(&small(version)).unwrap();
    }
    publisher.publish(&[], signed(0)).unwrap();
    let settings =
        json!({"source": publisher.url(), "signature_verification_root_ca": publisher.authority().root_pem()});
    daemon.call(Method::PUT, "/1.0/system/updates", Some(&settings)).await.unwrap();
    std::fs::write(&when, "").unwrap();

    let mut died = None;
    let end = Instant::now() + STUCK;
    let deeds =
        [Deed::Upload(tar(&publisher)), Deed::Refresh(&[V[1], V[0]]), Deed::Refresh(&[V[4], V[3], V[2], V[1], V[0]])];
    for (n, deed) in deeds.iter().enumerate() {
        if let Deed::Refresh(versions) = deed {
            publisher.publish(versions, signed(n as u64 + 1)).unwrap();
        }
        while !attempt(&daemon, deed).await {
            if Instant::now() > end {
                let operations = daemon.get("/1.0/operations?recursion=1").await;
                return Err(format!("stuck at deed {n}, killed at {died:?}: {operations:?}\n{}", daemon.tail()));
            }
            tokio::time::sleep(PAUSE).await;
            if !daemon.lives() {
                if died.is_some() {
                    return Err(format!("died twice:\n{}", daemon.tail()));
                }
                died = Some(daemon.died_at());
                daemon = site.start("a", None).await;
                half_visible(&daemon).await.map_err(|why| format!("killed at {died:?}: {why}"))?;
            }
        }
    }
    // What is done after the good end (a lease given back) is part of it.
    tokio::time::sleep(Duration::from_millis(500)).await;
    std::fs::remove_file(&when).unwrap();
    tokio::time::sleep(PAUSE).await;
    if !daemon.lives() {
        died = Some(daemon.died_at());
        daemon = site.start("a", None).await;
    }
    let wrong = check(&daemon, &site.dir.path().join("a/updates")).await;
    if !wrong.is_empty() {
        return Err(format!("killed at {died:?}: {}\n{}", wrong.join("; "), daemon.tail()));
    }
    Ok(died.map_or(Told::Through, Told::Died))
}

/// One of two files: a story shall not have hundreds of points.
fn small(version: &str) -> Release {
    Release { os: false, applications: vec!["incus".to_owned()], ..Release::new(version) }
}

/// Indexes are signed to the second; the later ones shall be later.
fn signed(nth: u64) -> SystemTime {
    SystemTime::now() - Duration::from_secs(1000) + Duration::from_secs(10 * nth)
}

fn tar(publisher: &Publisher) -> Vec<u8> {
    let description = std::fs::read_to_string(publisher.path(&format!("{OWN}/update.json")));
    let description = description.unwrap_or_else(|_| {
        publisher.publish(&[OWN], signed(0)).unwrap();
        let text = std::fs::read_to_string(publisher.path(&format!("{OWN}/update.json"))).unwrap();
        publisher.publish(&[], signed(0)).unwrap();
        text
    });
    let listed: Value = serde_json::from_str(&description).unwrap();
    let mut names = vec!["update.sjson".to_owned()];
    names.extend(listed["files"].as_array().unwrap().iter().map(|f| f["filename"].as_str().unwrap().to_owned()));
    let mut tar = tar::Builder::new(Vec::new());
    for name in names {
        let bytes = std::fs::read(publisher.path(&format!("{OWN}/{name}"))).unwrap();
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        tar.append_data(&mut header, &name, bytes.as_slice()).unwrap();
    }
    tar.into_inner().unwrap()
}

/// Whether it has happened. An operation that a dead daemon left is not asked for again before it is over.
async fn attempt(daemon: &Daemon, deed: &Deed) -> bool {
    match deed {
        Deed::Upload(bytes) => match daemon.send(UPDATES, bytes.clone()).await {
            Ok(_) => true,
            Err(CenterError::Unreachable(_)) => false,
            Err(error) => error.to_string().contains("already existing"),
        },
        Deed::Refresh(_) => {
            let Some(operations) = daemon.list("/1.0/operations?recursion=1").await else { return false };
            if operations.iter().any(|operation| operation["finished_at"].is_null()) {
                return false;
            }
            daemon.call(Method::POST, &format!("{UPDATES}/:refresh?wait=true"), None).await.is_ok()
        }
    }
}

/// Every update that machines are offered is here in full.
async fn half_visible(daemon: &Daemon) -> Result<Vec<Value>, String> {
    let updates = daemon.list(&format!("{UPDATES}?recursion=1")).await.ok_or("the daemon does not answer")?;
    for update in updates.iter().filter(|update| update["update_status"] == "ready") {
        let uuid = update["uuid"].as_str().unwrap();
        for file in daemon.list(&format!("{UPDATES}/{uuid}/files")).await.ok_or("the daemon does not answer")? {
            let name = file["filename"].as_str().unwrap();
            let bytes = daemon.bytes(&format!("{UPDATES}/{uuid}/files/{name}")).await;
            let digest = bytes.map(|bytes| hex::encode(Sha256::digest(bytes))).unwrap_or_default();
            if file["sha256"] != digest.as_str() {
                return Err(format!("{name} of {} is offered and not here", update["version"]));
            }
        }
    }
    let channels = |update: &&Value| update["update_status"] != "ready" && update["channels"] != json!([]);
    match updates.iter().find(channels) {
        Some(update) => Err(format!("{} is offered before it is here", update["version"])),
        None => Ok(updates),
    }
}

/// What is wrong at the end.
async fn check(daemon: &Daemon, files: &Path) -> Vec<String> {
    let mut wrong = Vec::new();
    let updates = match half_visible(daemon).await {
        Ok(updates) => updates,
        Err(why) => return vec![why],
    };
    let short = |u: &Value| format!("{} {} {}", u["version"], u["update_status"], u["channels"]);
    let there: Vec<String> = updates.iter().map(short).collect();
    let expected = [V[4], V[3], V[2]].map(|version| format!("\"{version}\" \"ready\" [\"stable\"]"));
    if there != expected {
        wrong.push(format!("there is {there:?}"));
    }
    let mut digests = BTreeSet::new();
    for update in &updates {
        let uuid = update["uuid"].as_str().unwrap();
        let listed = daemon.list(&format!("{UPDATES}/{uuid}/files")).await.unwrap_or_default();
        digests.extend(listed.iter().map(|file| file["sha256"].as_str().unwrap().to_owned()));
    }
    for (folder, named) in [("files", digests), ("parts", BTreeSet::new()), ("downloads", BTreeSet::new())] {
        let names = std::fs::read_dir(files.join(folder)).unwrap();
        let names: BTreeSet<String> = names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        if names != named {
            wrong.push(format!("{folder} has {} files, {} are named", names.len(), named.len()));
        }
    }
    let operations = daemon.list("/1.0/operations?recursion=1").await.unwrap_or_default();
    wrong.extend(operations.iter().filter(|o| o["finished_at"].is_null()).map(|o| format!("not over: {o}")));
    let audit = daemon.list("/1.0/audit?limit=1000").await.unwrap_or_default();
    for (action, object, times) in [("update.fetch", 5, 5), ("update.upload", 1, 1)] {
        let done: Vec<&Value> = audit.iter().filter(|entry| entry["action"] == action).collect();
        let objects: BTreeSet<String> = done.iter().map(|entry| entry["object"].to_string()).collect();
        if (objects.len(), done.len()) != (object, times) {
            wrong.push(format!("{action} stands {} times in the audit, for {} updates", done.len(), objects.len()));
        }
    }
    let verdict = daemon.call(Method::POST, "/1.0/audit/:verify", None).await;
    if !verdict.is_ok_and(|verdict| verdict.metadata.get().contains("\"intact\":true")) {
        wrong.push("the audit chain is broken".to_owned());
    }
    wrong
}
