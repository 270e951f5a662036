//! Several daemons of one site: what one changes holds in the others, and what one leaves another takes up.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use muster_api::system::{SystemCertificatePost, SystemNetwork, SystemSecurity, SystemSettings};
use muster_clients::tls::{Curve, Identity, Kind};
use muster_engine::{
    Actor, Engine, Error,
    clock::Clock,
    poll,
    services::{audit, event, site_key, system},
    upkeep,
};
use muster_store::{
    Key, KeyRing, Location, Store,
    rekey::KeyChange,
    tables::{events, leases},
    testing::{self, SECRETS, fill_secrets, read_secrets},
};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const NOW: i64 = 1_800_000_000_000_000;

/// An engine with what every daemon runs to keep step.
struct Daemon {
    engine: Engine,
    stop: CancellationToken,
    task: JoinHandle<()>,
    files: TempDir,
}

impl Daemon {
    fn start(location: &Location, keys: KeyRing, clock: Clock) -> Self {
        let (files, stop) = (tempfile::tempdir().unwrap(), CancellationToken::new());
        let engine = Engine::start(Store::open(location, keys).unwrap(), clock, files.path().to_owned()).unwrap();
        let (keeping, until) = (engine.clone(), stop.clone());
        let task = tokio::spawn(async move { keeping.keep_step(until).await });
        Self { engine, stop, task, files }
    }

    async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

fn actor() -> Actor {
    Actor("unix".into())
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !holds().await {
        assert!(Instant::now() < end, "never: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn level(level: &str) -> SystemSettings {
    SystemSettings { log_level: level.into(), ..SystemSettings::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_and_certificate_set_through_one_daemon_hold_in_the_other() {
    let Some(test) = testing::postgres() else { return };
    let one = Daemon::start(&test.location, testing::keys(), Clock::system());
    let other = Daemon::start(&test.location, testing::keys(), Clock::system());
    let mut told = other.engine.watch_settings();
    told.borrow_and_update();

    let fingerprint = "ab".repeat(32);
    let trusted = |list: &[String]| SystemSecurity {
        trusted_tls_client_cert_fingerprints: list.to_vec(),
        ..one.engine.settings().security.clone()
    };
    system::put_security(&one.engine, &actor(), trusted(std::slice::from_ref(&fingerprint))).await.unwrap();
    assert!(one.engine.trusts(&fingerprint), "at once where it was set");
    until("trust is given", async || other.engine.trusts(&fingerprint)).await;
    assert!(told.has_changed().unwrap(), "those who watch are told");
    system::put_security(&one.engine, &actor(), trusted(&[])).await.unwrap();
    until("trust is withdrawn", async || !other.engine.trusts(&fingerprint)).await;

    let network =
        SystemNetwork { address: "https://oc.example.test".into(), rest_server_address: "127.0.0.1:9".into() };
    system::put_network(&other.engine, &actor(), network).await.unwrap();
    system::put_settings(&one.engine, &actor(), level("DEBUG")).await.unwrap();
    for engine in [&one.engine, &other.engine] {
        until("both sections hold in both", async || {
            let now = engine.settings();
            now.settings.log_level == "DEBUG" && now.listen().is_some()
        })
        .await;
    }

    told.borrow_and_update();
    #[expect(clippy::disallowed_methods, reason = "a certificate is valid from now")]
    let now = std::time::SystemTime::now();
    let next = Identity::generate(&Kind::Server { names: vec!["oc".into()] }, Curve::P256, "oc", now).unwrap();
    let post = SystemCertificatePost { certificate: next.certificate_pem.clone(), key: next.key_pem.clone() };
    system::put_certificate(&one.engine, &actor(), post).await.unwrap();
    until("the certificate is taken over", async || other.engine.identities().server == next).await;
    until("those who watch are told", async || told.has_changed().unwrap()).await;
    assert_eq!(fs::read_to_string(other.files.path().join("server.key")).unwrap(), next.key_pem);
    assert_eq!(other.engine.identities().client, one.engine.identities().client);
    one.stop().await;
    other.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_operator_changes_by_sql_holds_without_a_restart() {
    for test in [Some(testing::sqlite()), testing::postgres()].into_iter().flatten() {
        let daemon = Daemon::start(&test.location, testing::keys(), Clock::system());
        system::put_settings(&daemon.engine, &actor(), level("DEBUG")).await.unwrap();
        daemon.engine.store().write(|tx| tx.execute("DELETE FROM settings", &[])).await.unwrap();
        until("the default holds", async || daemon.engine.settings().settings.log_level.is_empty()).await;
        daemon.stop().await;
    }
}

fn key_file(directory: &TempDir) -> PathBuf {
    directory.path().join("muster.key")
}

fn ring(path: &Path) -> KeyRing {
    KeyRing::load_or_create(path).unwrap()
}

/// A database with a secret in every place, whose key is in the file.
async fn filled(location: &Location, path: &Path) {
    let store = Store::open(location, testing::keys()).unwrap();
    store.write(|tx| tx.execute("DELETE FROM key_check", &[])).await.unwrap();
    let store = Store::open(location, ring(path)).unwrap();
    store.write(fill_secrets).await.unwrap();
    // Not certificates that a daemon could listen with.
    store.write(|tx| tx.execute("DELETE FROM identity", &[])).await.unwrap();
    store.write(|tx| tx.execute("DELETE FROM settings", &[])).await.unwrap();
}

async fn opens(engine: &Engine) -> bool {
    let found = engine.store().read(read_secrets).await;
    found.is_ok_and(|found| found.ends_with(&SECRETS[2..].iter().map(|s| (*s).to_owned()).collect::<Vec<_>>()))
}

#[tokio::test(flavor = "multi_thread")]
async fn daemons_that_share_a_key_file_follow_its_change_and_it_is_audited() {
    for test in [Some(testing::sqlite()), testing::postgres()].into_iter().flatten() {
        let files = tempfile::tempdir().unwrap();
        let path = key_file(&files);
        filled(&test.location, &path).await;
        let one = Daemon::start(&test.location, ring(&path), Clock::system());
        let other = test.store.is_postgres().then(|| Daemon::start(&test.location, ring(&path), Clock::system()));
        if let Some(other) = &other {
            until("they know of each other", async || site_key::show(&one.engine).await.unwrap().daemons.len() == 2)
                .await;
            assert!(opens(&other.engine).await);
        }
        let before = site_key::show(&one.engine).await.unwrap();
        assert_eq!((before.origin.as_str(), before.path.as_str()), ("file", path.to_str().unwrap()));
        let changed = site_key::change(&one.engine, &actor()).await.unwrap();
        assert_eq!(changed.former, before.id);
        assert!(changed.sealed >= 4, "{changed:?}");
        let after = site_key::show(&one.engine).await.unwrap();
        assert_eq!((after.id.as_str(), after.change), (changed.id.as_str(), None));
        assert!(opens(&one.engine).await);
        if let Some(other) = other {
            assert!(opens(&other.engine).await, "at once");
            system::put_settings(&other.engine, &actor(), level("INFO")).await.unwrap();
            until("the other one knows the key in use", async || {
                site_key::show(&other.engine).await.unwrap().id == changed.id
            })
            .await;
            other.stop().await;
        }
        let last = audit::list(&one.engine, 0, 100).await.unwrap().into_iter().find(|r| r.entry.action == "key.change");
        let entry = last.unwrap().entry;
        assert_eq!(
            (entry.actor.as_str(), entry.from_state, entry.to_state),
            ("unix", Some(changed.former), Some(changed.id))
        );
        one.stop().await;
        assert!(opens(&Daemon::start(&test.location, ring(&path), Clock::system()).engine).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_with_a_key_file_of_its_own_is_named_until_it_has_the_next_key() {
    let Some(test) = testing::postgres() else { return };
    let (files, own) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    filled(&test.location, &key_file(&files)).await;
    fs::copy(key_file(&files), key_file(&own)).unwrap();
    let one = Daemon::start(&test.location, ring(&key_file(&files)), Clock::system());
    let other = Daemon::start(&test.location, ring(&key_file(&own)), Clock::system());
    until("they know of each other", async || site_key::show(&one.engine).await.unwrap().daemons.len() == 2).await;
    let before = site_key::show(&one.engine).await.unwrap().id;
    let refused = site_key::change(&one.engine, &actor()).await.unwrap_err();
    let Error::NotPermitted(text) = &refused else { panic!("{refused}") };
    for part in ["muster.key.new", "copy", "stop it", "nothing was changed"] {
        assert!(text.contains(part), "{text}");
    }
    assert_eq!(site_key::show(&one.engine).await.unwrap().id, before);
    assert!(opens(&one.engine).await && opens(&other.engine).await);

    let next = |directory: &TempDir| directory.path().join("muster.key.new");
    fs::copy(next(&files), next(&own)).unwrap();
    let changed = site_key::change(&one.engine, &actor()).await.unwrap();
    until("its own key file follows", async || {
        let held = fs::read_to_string(key_file(&own)).unwrap();
        Key::parse(&held, "own").unwrap().id() == changed.id && !next(&own).exists()
    })
    .await;
    assert!(opens(&one.engine).await && opens(&other.engine).await);

    // One that is gone holds nobody up; when it comes back with the former key it is refused.
    let former = fs::read_to_string(key_file(&own)).unwrap();
    other.stop().await;
    site_key::change(&one.engine, &actor()).await.unwrap();
    assert_eq!(fs::read_to_string(key_file(&own)).unwrap(), former);
    let error = Store::open(&test.location, ring(&key_file(&own))).err().unwrap();
    assert!(error.to_string().contains("start with the key file that belongs to this database"), "{error}");
    one.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_given_says_how_it_is_changed() {
    for test in [Some(testing::sqlite()), testing::postgres()].into_iter().flatten() {
        let daemon = Daemon::start(&test.location, testing::keys(), Clock::system());
        let refused = site_key::change(&daemon.engine, &actor()).await.unwrap_err();
        assert!(matches!(&refused, Error::NotPermitted(text) if text.contains("MUSTER_KEY_OLD")), "{refused}");
        let former = site_key::show(&daemon.engine).await.unwrap().id;
        daemon.stop().await;
        let both = KeyRing::new(Key::new([2; 32]), vec![Key::new([1; 32])]);
        let daemon = Daemon::start(&test.location, both, Clock::system());
        assert_eq!(site_key::show(&daemon.engine).await.unwrap().id, former);
        let changed = site_key::change(&daemon.engine, &actor()).await.unwrap();
        assert_eq!(changed.id, Key::new([2; 32]).id());
        daemon.stop().await;
        Store::open(&test.location, KeyRing::new(Key::new([2; 32]), Vec::new())).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_change_at_the_same_time_is_refused() {
    let test = testing::sqlite();
    let files = tempfile::tempdir().unwrap();
    filled(&test.location, &key_file(&files)).await;
    let daemon = Daemon::start(&test.location, ring(&key_file(&files)), Clock::system());
    let held = KeyChange::begin(daemon.engine.store()).unwrap();
    let refused = site_key::change(&daemon.engine, &actor()).await.unwrap_err();
    assert!(matches!(&refused, Error::NotPermitted(text) if text.contains("being changed")), "{refused}");
    drop(held);
    site_key::change(&daemon.engine, &actor()).await.unwrap();
    daemon.stop().await;
}

async fn poller(engine: &Engine) -> Option<(String, i64)> {
    engine.store().read(|tx| leases::holder(tx, "poller")).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_poller_is_followed_by_another_when_its_lease_ends_and_a_stopped_one_at_once() {
    const LEASE_US: i64 = 15_000_000;
    let Some(test) = testing::postgres() else { return };
    let clock = Clock::at(NOW);
    let start = || {
        let daemon = Daemon::start(&test.location, testing::keys(), clock.clone());
        let stop = CancellationToken::new();
        let task = tokio::spawn(poll::run(daemon.engine.clone(), stop.clone()));
        (daemon, stop, task)
    };
    let (one, _, killed) = start();
    until("the first one polls", async || poller(&one.engine).await.is_some()).await;
    let (first, lapses) = poller(&one.engine).await.unwrap();
    assert_eq!(lapses, NOW + LEASE_US);
    let (other, stop, task) = start();
    killed.abort();
    clock.advance(LEASE_US - 1);
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(poller(&other.engine).await.unwrap().0, first, "not before its lease ends");
    clock.advance(1);
    until("another polls the moment it ends", async || poller(&other.engine).await.unwrap().0 != first).await;
    stop.cancel();
    task.await.unwrap();
    assert_eq!(poller(&other.engine).await, None, "a stopped one gives it back");
    one.stop().await;
    other.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn old_events_are_dropped_and_whoever_missed_them_is_told() {
    for test in [Some(testing::sqlite()), testing::postgres()].into_iter().flatten() {
        let clock = Clock::at(NOW);
        let daemon = Daemon::start(&test.location, testing::keys(), clock.clone());
        let append = async |at: i64| {
            daemon.engine.store().write(move |tx| events::append(tx, at, "k", "o", "{}")).await.unwrap()
        };
        let (first, second) = (append(NOW).await, append(NOW + 1).await);
        clock.advance(upkeep::EVENTS_US + 1);
        let third = append(clock.micros()).await;
        let stop = CancellationToken::new();
        let task = tokio::spawn(upkeep::run(daemon.engine.clone(), stop.clone()));
        until("the first one is dropped", async || daemon.engine.store().read(events::floor).await.unwrap() > 0).await;
        stop.cancel();
        task.await.unwrap();

        let numbers = async |after| {
            let found = event::after(&daemon.engine, after, 10).await.unwrap();
            found.into_iter().map(|e| (e.seq, e.kind)).collect::<Vec<_>>()
        };
        let k = || "k".to_owned();
        assert_eq!(numbers(first - 1).await, [(first, event::DROPPED.to_owned()), (second, k()), (third, k())]);
        assert_eq!(numbers(first).await, [(second, k()), (third, k())], "nothing was missed");
        assert_eq!(event::before_last(&daemon.engine, 100).await.unwrap(), first);
        daemon.stop().await;
    }
}
