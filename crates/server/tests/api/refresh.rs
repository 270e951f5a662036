//! Updates from a source: what comes, what stays, and every way for a source to go wrong.

use crate::bench::{Bench, Who, on_both};
use crate::updates::{URL, get, stored};
use axum::http::StatusCode;
use muster_sim::publisher::{Encoding, Fault, Options, Publisher, Release};
use serde_json::{Value, json};
use std::time::{Duration, SystemTime};

/// A center with an update source.
struct Site {
    bench: Bench,
    publisher: Publisher,
    _directory: tempfile::TempDir,
}

/// Files of each.
const FILES: usize = 25;
const V: [&str; 5] = ["202511010000", "202511020000", "202511030000", "202511040000", "202511050000"];

impl Site {
    async fn new(bench: Bench, encoding: Encoding) -> Self {
        bench.drive();
        let directory = tempfile::tempdir().unwrap();
        let options = Options { directory: directory.path().to_owned(), encoding, plain: true, now: SystemTime::now() };
        let publisher = Publisher::start(options).await.unwrap();
        for version in V {
            publisher.add(&Release::new(version)).unwrap();
        }
        publisher.publish(&[], in_seconds(0)).unwrap();
        let site = Self { bench, publisher, _directory: directory };
        site.set(json!({})).await;
        site
    }

    /// Sets the source, and what else is given.
    async fn set(&self, more: Value) {
        let mut settings = json!({"source": self.publisher.url(),
            "signature_verification_root_ca": self.publisher.authority().root_pem()});
        settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let (status, answer) = self.bench.ask(Who::Unix, "PUT", "/1.0/system/updates", settings.to_string()).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
    }

    /// Publishes an index of these versions, signed so many seconds after the first one.
    fn publish(&self, versions: &[&str], second: u64) {
        self.publisher.publish(versions, in_seconds(second)).unwrap();
    }

    async fn refresh(&self) -> (StatusCode, String) {
        self.refresh_with("wait=true").await
    }

    async fn refresh_with(&self, query: &str) -> (StatusCode, String) {
        let path = format!("{URL}/:refresh?{query}");
        let (status, answer) = self.bench.ask(Who::Unix, "POST", &path, "").await;
        (status, answer["error"].as_str().unwrap_or_default().to_owned())
    }

    async fn good(&self) {
        assert_eq!(self.refresh().await, (StatusCode::OK, String::new()));
    }

    /// Version, state and channels of every update, the newest first.
    async fn updates(&self) -> Vec<(String, String, usize)> {
        let list = get(&self.bench, &format!("{URL}?recursion=1")).await;
        let text = |update: &Value, key: &str| update[key].as_str().unwrap().to_owned();
        let short = |update: &Value| {
            (text(update, "version"), text(update, "update_status"), update["channels"].as_array().unwrap().len())
        };
        list.as_array().unwrap().iter().map(short).collect()
    }

    /// Asserts that these are here, ready and in a channel, and nothing else.
    async fn ready(&self, versions: &[&str]) {
        let wanted: Vec<_> = versions.iter().map(|v| ((*v).to_owned(), "ready".to_owned(), 1)).collect();
        assert_eq!(self.updates().await, wanted);
    }

    /// The warnings about the refresh.
    async fn warnings(&self) -> Vec<Value> {
        let (_, answer) = self.bench.ask(Who::Unix, "GET", "/1.0/warnings", "").await;
        answer["metadata"].as_array().unwrap().clone()
    }

    /// One file of an update that is an application.
    fn file(&self, version: &str) -> String {
        format!("/{version}/x86_64/incus.raw.gz")
    }
}

/// Documents are signed to the second: later ones shall be later.
fn in_seconds(second: u64) -> SystemTime {
    SystemTime::now() - Duration::from_secs(1000) + Duration::from_secs(10 * second)
}

#[test]
fn what_the_source_has_comes_and_what_is_outranked_goes() {
    on_both(async |bench| {
        let site = Site::new(bench, Encoding::Opaque).await;
        site.good().await;
        site.ready(&[]).await;
        site.publish(&[V[1], V[0]], 1);
        site.good().await;
        site.ready(&[V[1], V[0]]).await;
        let list = get(&site.bench, &format!("{URL}?recursion=1")).await;
        let (uuid, severity) = (list[0]["uuid"].as_str().unwrap(), &list[0]["severity"]);
        assert_eq!((severity, &list[0]["url"]), (&json!("none"), &json!("/202511020000")));
        let files = get(&site.bench, &format!("{URL}/{uuid}/files")).await;
        assert_eq!(files.as_array().unwrap().len(), FILES);
        let path = format!("{URL}/{uuid}/files/x86_64/incus.raw.gz");
        let (status, _, bytes) = site.bench.ask_bytes(Who::Stranger, "GET", &path, &[], "").await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(bytes, std::fs::read(site.publisher.path(&site.file(V[1]))).unwrap());
        let changes = get(&site.bench, &format!("{URL}/{uuid}/changelog")).await;
        assert_eq!(changes["prior_version"], V[0]);
        assert!(changes["components"]["incus"]["updated"].is_array(), "{changes}");

        // Nothing new: nothing is asked for but the index.
        site.publisher.asked();
        site.good().await;
        let asked: Vec<String> = site.publisher.asked().into_iter().map(|asked| asked.path).collect();
        assert_eq!(asked, ["/index.sjson"]);

        // Three of each component stay.
        site.publish(&[V[4], V[3], V[2], V[1], V[0]], 2);
        site.good().await;
        site.ready(&[V[4], V[3], V[2]]).await;
        site.good().await;
        site.ready(&[V[4], V[3], V[2]]).await;
        let named = get(&site.bench, &format!("{URL}?recursion=1")).await;
        let mut digests = std::collections::BTreeSet::new();
        for update in named.as_array().unwrap() {
            let files = get(&site.bench, &format!("{URL}/{}/files", update["uuid"].as_str().unwrap())).await;
            digests.extend(files.as_array().unwrap().iter().map(|f| f["sha256"].as_str().unwrap().to_owned()));
        }
        assert_eq!(stored(&site.bench), digests.into_iter().collect::<Vec<_>>());
        assert!(site.warnings().await.is_empty());
        let (_, audit) = site.bench.ask(Who::Unix, "GET", "/1.0/audit?limit=100", "").await;
        let actions: Vec<&str> =
            audit["metadata"].as_array().unwrap().iter().filter_map(|e| e["action"].as_str()).collect();
        assert_eq!(actions.iter().filter(|a| **a == "update.fetch").count(), 5, "{actions:?}");
        assert_eq!(actions.iter().filter(|a| **a == "update.remove").count(), 2, "{actions:?}");
    });
}

#[test]
fn what_was_withdrawn_is_not_fetched_what_a_channel_awaits_stays_and_all_can_be_exported() {
    on_both(async |bench| {
        let site = Site::new(bench, Encoding::Clear).await;
        let ask = async |method: &str, path: &str, body: Value| {
            let (status, answer) = site.bench.ask(Who::Unix, method, path, body.to_string()).await;
            assert!(status.is_success(), "{method} {path}: {answer}");
            answer["metadata"].clone()
        };
        site.publish(&[V[1], V[0]], 1);
        site.good().await;
        let list = get(&site.bench, &format!("{URL}?recursion=1")).await;
        let path = |at: usize| format!("{URL}/{}", list[at]["uuid"].as_str().unwrap());
        let (status, _, tar) = site.bench.ask_bytes(Who::Unix, "GET", &format!("{}/:export", path(0)), &[], "").await;
        assert_eq!(status, StatusCode::OK);
        let other_store = muster_store::testing::sqlite();
        let other = Bench::new(other_store.store.clone()).await;
        let settings = json!({"source": "", "signature_verification_root_ca": site.publisher.authority().root_pem()});
        other.ask(Who::Unix, "PUT", "/1.0/system/updates", settings.to_string()).await;
        let (status, answer) = other.ask(Who::Unix, "POST", URL, tar.to_vec()).await;
        assert_eq!(status, StatusCode::CREATED, "{answer}");

        ask("POST", &format!("{}/:withdraw", path(0)), json!({"reason": "bad"})).await;
        ask("DELETE", URL, json!({})).await;
        site.good().await;
        site.ready(&[V[0]]).await;

        // A channel will get the oldest one, so it stays beside three newer ones.
        let follow = json!({"name": "late", "follow": {"channel": "stable", "after": 86_400}});
        ask("POST", "/1.0/provisioning/channels", follow).await;
        let freeze = json!({"reason": "an incident"});
        ask("POST", "/1.0/provisioning/channels/stable/:freeze", freeze).await;
        site.publish(&[V[4], V[3], V[2], V[1], V[0]], 2);
        site.good().await;
        let fetched: Vec<(String, usize)> = site.updates().await.into_iter().map(|u| (u.0, u.2)).collect();
        let expected =
            [(V[4], 0), (V[3], 0), (V[2], 0), (V[0], 1)].map(|(version, in_so_many)| (version.to_owned(), in_so_many));
        assert_eq!(fetched, expected, "nothing enters a frozen channel");
    });
}

#[test]
fn filters_and_lost_files_are_seen_at_the_next_refresh() {
    on_both(async |bench| {
        let site = Site::new(bench, Encoding::Clear).await;
        site.set(json!({"file_filter_expression": r#"component == "incus""#})).await;
        site.publish(&[V[1], V[0]], 1);
        site.good().await;
        let count = async || {
            let list = get(&site.bench, &format!("{URL}?recursion=1")).await;
            let files = get(&site.bench, &format!("{URL}/{}/files", list[0]["uuid"].as_str().unwrap())).await;
            files.as_array().unwrap().len()
        };
        assert_eq!(count().await, 2);
        let few = stored(&site.bench);
        site.set(json!({"file_filter_expression": r#"component in ["incus", "openfga"]"#})).await;
        site.good().await;
        assert_eq!(count().await, 4);
        site.set(json!({"file_filter_expression": r#"component == "incus""#})).await;
        site.good().await;
        assert_eq!(count().await, 2);
        assert_eq!(stored(&site.bench), few);
        // A file that got lost on our disk comes back.
        let lost = site.bench.directory.path().join("updates/files").join(&few[0]);
        std::fs::remove_file(&lost).unwrap();
        site.good().await;
        assert!(lost.exists());
        site.ready(&[V[1], V[0]]).await;
    });
}

#[test]
fn a_download_that_breaks_off_goes_on_where_it_was() {
    on_both(async |bench| {
        let site = Site::new(bench, Encoding::Opaque).await;
        site.publish(&[V[0]], 1);
        let path = site.file(V[0]);
        site.publisher.trouble(&path, Fault::Truncate(1000), Some(1));
        site.publisher.trouble(&path, Fault::Truncate(50), Some(1));
        site.publisher.trouble(&path, Fault::Status(503), Some(1));
        site.good().await;
        site.ready(&[V[0]]).await;
        let ranges: Vec<_> = site.publisher.asked().into_iter().filter(|a| a.path == path).map(|a| a.range).collect();
        let from = |n: u64| Some(format!("bytes={n}-"));
        assert_eq!(ranges, [None, from(1000), from(1050), from(1050)]);
    });
}

#[test]
fn a_source_that_lies_is_told_from_one_that_is_away_and_the_next_refresh_heals() {
    on_both(async |bench| {
        let site = Site::new(bench, Encoding::Clear).await;
        site.publish(&[V[1], V[0]], 1);
        for (fault, why) in [
            (Fault::Corrupt, "sha256 mismatch"),
            (Fault::Short(10), "announces 10 bytes"),
            (Fault::Long(7), "announces"),
            (Fault::Status(404), "status 404"),
            (Fault::Redirect(format!("{}{}", site.publisher.url(), site.file(V[1]))), "redirects"),
        ] {
            site.publisher.trouble(&site.file(V[1]), fault.clone(), None);
            let (status, error) = site.refresh().await;
            assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR, "{fault:?}: {error}");
            assert!(error.contains(why) && error.contains(V[1]), "{fault:?}: {error}");
            // The other one is not kept from coming.
            let (version, state) = ((*V[1]).to_owned(), "pending".to_owned());
            assert_eq!(site.updates().await, [(version, state, 0), (V[0].to_owned(), "ready".to_owned(), 1)]);
            assert_eq!(site.warnings().await[0]["type"], "Update refresh failed");
            site.publisher.heal();
        }
        site.good().await;
        site.ready(&[V[1], V[0]]).await;
        assert!(site.warnings().await.is_empty());
        // What a redirect leads to is as good as what its digest says.
        site.publish(&[V[2], V[1], V[0]], 2);
        site.publisher.put("elsewhere", &std::fs::read(site.publisher.path(&site.file(V[2]))).unwrap()).unwrap();
        site.publisher.trouble(&site.file(V[2]), Fault::Redirect("/elsewhere".into()), None);
        site.good().await;
        site.ready(&[V[2], V[1], V[0]]).await;
    });
}

#[test]
fn an_index_that_is_forged_old_or_broken_changes_nothing() {
    on_both(async |bench| {
        let site = Site::new(bench, Encoding::Opaque).await;
        site.publish(&[V[0]], 5);
        site.good().await;
        // An older one, signed by the same publisher.
        site.publish(&[V[1]], 4);
        let (status, error) = site.refresh().await;
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
        assert!(error.contains("older than one that was accepted before"), "{error}");
        site.ready(&[V[0]]).await;
        let (status, error) = site.refresh_with("wait=1&accept_older=1").await;
        assert_eq!(status, StatusCode::OK, "{error}");
        site.ready(&[V[1], V[0]]).await;

        let forger = muster_sim::publisher::Authority::new(SystemTime::now()).unwrap();
        let forged = forger.sign("{}", Encoding::Opaque, in_seconds(9)).unwrap();
        for (bytes, why) in
            [(forged, "not trusted"), (b"nonsense".to_vec(), "not a signed one"), (Vec::new(), "not a signed one")]
        {
            site.publisher.put("index.sjson", &bytes).unwrap();
            let (status, error) = site.refresh().await;
            assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
            assert!(error.contains(why), "{error}");
        }
        site.publisher.document("index", &json!({"format": "2.0", "updates": []}), in_seconds(10)).unwrap();
        let (status, error) = site.refresh().await;
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
        assert!(error.contains("2.0"), "{error}");
        site.ready(&[V[1], V[0]]).await;
        assert_eq!(site.warnings().await.len(), 1);

        // An index that loses a file between its reading and the download.
        site.publish(&[V[2], V[1]], 11);
        std::fs::remove_file(site.publisher.path(&site.file(V[2]))).unwrap();
        let (_, error) = site.refresh().await;
        assert!(error.contains("status 404"), "{error}");
        site.publisher.add(&Release::new(V[2])).unwrap();
        site.good().await;
        site.ready(&[V[2], V[1], V[0]]).await;
    });
}

#[test]
fn a_source_is_looked_at_before_it_is_set_and_may_be_taken_away() {
    on_both(async |bench| {
        let site = Site::new(bench, Encoding::Clear).await;
        let root = site.publisher.authority().root_pem();
        let other = muster_sim::publisher::Authority::new(SystemTime::now()).unwrap().root_pem();
        let url = site.publisher.url();
        for (source, root, why) in [
            (format!("{url}/elsewhere"), &root, "status 404"),
            ("http://127.0.0.1:1".to_owned(), &root, "cannot be reached"),
            (url.clone(), &other, "not trusted"),
            (format!("{url}?a=b"), &root, "must not have a query"),
            ("ftp://127.0.0.1/".to_owned(), &root, "no HTTP URL"),
            (url.clone(), &String::new(), "can not be empty"),
            (url.clone(), &"x".to_owned(), "pem decode"),
        ] {
            let settings = json!({"source": source, "signature_verification_root_ca": root}).to_string();
            let (status, answer) = site.bench.ask(Who::Unix, "PUT", "/1.0/system/updates", settings).await;
            assert_eq!(status, StatusCode::BAD_REQUEST, "{source}: {answer}");
            assert!(answer["error"].as_str().unwrap().contains(why), "{source}: {answer}");
        }
        site.publish(&[V[0]], 1);
        site.good().await;
        site.set(json!({"source": ""})).await;
        site.good().await;
        site.ready(&[V[0]]).await;
    });
}

#[test]
fn what_is_kept_fetched_and_believed_is_set_and_stays_when_others_do_not_say_it() {
    on_both(async |bench| {
        let site = Site::new(bench, Encoding::Opaque).await;
        site.publish(&[V[4], V[3], V[2], V[1], V[0]], 1);
        let intermediate = site.publisher.authority().intermediate_fingerprint();
        let ours = json!({"retained_updates": 2, "source_bytes_per_second": 4 << 20,
            "signature_verification_intermediate": intermediate});
        site.set(ours.clone()).await;
        // As the reference's command line writes it.
        site.set(json!({})).await;
        let (_, answer) = site.bench.ask(Who::Unix, "GET", "/1.0/system/updates", "").await;
        for (key, value) in ours.as_object().unwrap() {
            assert_eq!(&answer["metadata"][key], value, "{key}");
        }
        site.good().await;
        site.ready(&[V[4], V[3]]).await;
        site.set(json!({"retained_updates": 4})).await;
        site.good().await;
        site.ready(&[V[4], V[3], V[2], V[1]]).await;
        for (wrong, why) in [
            (json!({"signature_verification_intermediate": "ab".repeat(32)}), "updates.source"),
            (json!({"signature_verification_intermediate": "x"}), "updates.signature_verification_intermediate"),
            (json!({"retained_updates": 0}), "updates.retained_updates"),
            (json!({"source_bytes_per_second": 100}), "updates.source_bytes_per_second"),
        ] {
            let mut settings = json!({"source": site.publisher.url(),
                "signature_verification_root_ca": site.publisher.authority().root_pem()});
            settings.as_object_mut().unwrap().extend(wrong.as_object().unwrap().clone());
            let (status, answer) = site.bench.ask(Who::Unix, "PUT", "/1.0/system/updates", settings.to_string()).await;
            assert_eq!(status, StatusCode::BAD_REQUEST, "{wrong}: {answer}");
            assert!(answer["error"].as_str().unwrap().contains(why), "{wrong}: {answer}");
        }
    });
}

#[test]
fn one_refresh_is_under_way_at_a_time_and_can_be_cancelled_and_tried_again() {
    on_both(async |bench| {
        let site = Site::new(bench, Encoding::Clear).await;
        site.publish(&[V[0]], 1);
        site.publisher.trouble(&site.file(V[0]), Fault::Stall(100), None);
        let begin = async || {
            let path = format!("{URL}/:refresh");
            let (status, headers, answer) = site.bench.ask_whole(Who::Unix, "POST", &path, "").await;
            assert_eq!((status, &answer["operation"]), (StatusCode::ACCEPTED, &json!("")), "{answer}");
            headers["muster-operation"].to_str().unwrap().to_owned()
        };
        let id = begin().await;
        assert_eq!(begin().await, id);
        let (status, error) = site.refresh_with("accept_older=true").await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{error}");
        let all_but_one = format!("{} of {FILES} files", FILES - 1);
        until(&site.bench, &id, |operation| operation["reason"].as_str().unwrap().contains(&all_but_one)).await;
        site.bench.ask(Who::Unix, "POST", &format!("/1.0/operations/{id}/:cancel"), "").await;
        until(&site.bench, &id, |operation| operation["status"] == "cancelled").await;
        site.publisher.heal();
        site.publisher.asked();
        let (status, answer) = site.bench.ask(Who::Unix, "POST", &format!("/1.0/operations/{id}/:retry"), "").await;
        assert!(status.is_success(), "{answer}");
        until(&site.bench, &id, |operation| operation["status"] == "succeeded").await;
        site.ready(&[V[0]]).await;
        // What was there is not asked for again: the index, the file that did not come, and what was signed.
        let asked: Vec<String> = site.publisher.asked().into_iter().map(|asked| asked.path).collect();
        assert_eq!(asked, ["/index.sjson".to_owned(), site.file(V[0]), format!("/{}/update.sjson", V[0])]);
    });
}

/// Waits until an operation is so.
async fn until(bench: &Bench, id: &str, so: impl Fn(&Value) -> bool) {
    let mut last = Value::Null;
    for _ in 0..600 {
        let (status, answer) = bench.ask(Who::Unix, "GET", &format!("/1.0/operations/{id}"), "").await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        last = answer["metadata"].clone();
        if so(&last) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("it stays {last}");
}
