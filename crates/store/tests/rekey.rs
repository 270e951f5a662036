//! The change of the site key, and what a process that dies in the middle of it leaves behind.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use muster_store::rekey::{KeyChange, count_sealed, reseal, settle};
use muster_store::tables::{daemons, operations, settings};
use muster_store::testing::{self, SECRETS, TestStore, fill_secrets, read_secrets, stores};
use muster_store::{Key, KeyRing, Location, SealError, Secret, Store, StoreError};

fn given(first: u8, others: &[u8]) -> KeyRing {
    KeyRing::new(Key::new([first; 32]), others.iter().map(|byte| Key::new([*byte; 32])).collect())
}

fn secrets(store: &Store) -> Vec<String> {
    store.read_blocking(read_secrets).unwrap()
}

/// Step 2 alone.
fn commit(store: &Store, change: &KeyChange) -> Result<u64, StoreError> {
    let next = change.next();
    store.write_blocking(move |tx| reseal(tx, &next, &|_| {}))
}

fn rekey(store: &Store) -> Result<u64, StoreError> {
    let change = KeyChange::begin(store)?;
    let count = commit(store, &change)?;
    change.finish(store)?;
    Ok(count)
}

#[test]
fn every_secret_moves_to_the_new_key() {
    stores(|TestStore { location, store, .. }| {
        store.write_blocking(fill_secrets).unwrap();
        let former = store.keys().current_id();
        let store = Store::open(location, given(2, &[1])).unwrap();
        assert_eq!(store.keys().current_id(), former, "the database tells which key is in use, not the order");
        let all = store.read_blocking(count_sealed).unwrap();
        assert_eq!(all, SECRETS.len() as u64 + 1, "the secrets and the key check");
        let done = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
        let change = KeyChange::begin(&store).unwrap();
        let (next, told) = (change.next(), done.clone());
        let each = move |count| told.store(count, std::sync::atomic::Ordering::Relaxed);
        assert_eq!(store.write_blocking(move |tx| reseal(tx, &next, &each)).unwrap(), all);
        assert_eq!(done.load(std::sync::atomic::Ordering::Relaxed), all);
        change.finish(&store).unwrap();
        assert_eq!(secrets(&store), SECRETS, "the running store goes on");
        assert_eq!(store.keys().current_id(), Key::new([2; 32]).id());
        assert_eq!(secrets(&Store::open(location, given(2, &[])).unwrap()), SECRETS);
        assert!(matches!(Store::open(location, given(1, &[])), Err(StoreError::Sealed(SealError::UnknownKey { .. }))));
    });
}

#[test]
fn many_rows_are_sealed_anew_page_by_page() {
    stores(|TestStore { location, store, .. }| {
        let fill = |tx: &mut muster_store::Tx| {
            for number in 0..250 {
                let id = format!("{number:03}");
                operations::insert(tx, &operations::Operation { id: id.clone(), ..Default::default() })?;
                operations::set_documents(tx, &id, Some(&Secret::new(id.clone())))?;
            }
            Ok(())
        };
        store.write_blocking(fill).unwrap();
        let store = Store::open(location, given(2, &[1])).unwrap();
        assert_eq!(rekey(&store).unwrap(), 251);
        let store = Store::open(location, given(2, &[])).unwrap();
        for number in 0..250 {
            let id = format!("{number:03}");
            let wanted = id.clone();
            let found = store.read_blocking(move |tx| operations::documents(tx, &wanted)).unwrap();
            assert_eq!(found, Some(Secret::new(id)));
        }
    });
}

#[test]
fn a_secret_that_does_not_open_stops_the_change_as_a_whole() {
    stores(|TestStore { location, store, .. }| {
        store.write_blocking(fill_secrets).unwrap();
        let damage = "UPDATE servers SET bmc_password = os_secrets WHERE id = 'a'";
        store.write_blocking(move |tx| tx.execute(damage, &[])).unwrap();
        let changing = Store::open(location, given(2, &[1])).unwrap();
        assert!(matches!(rekey(&changing), Err(StoreError::Sealed(SealError::Broken { .. }))));
        let same = Store::open(location, testing::keys()).unwrap();
        let section = same.read_blocking(|tx| settings::get(tx, "security")).unwrap().unwrap();
        assert_eq!(section.document.expose(), "settings");
    });
}

#[test]
fn a_key_that_is_given_is_changed_only_to_another_one_that_is_given() {
    stores(|TestStore { store, .. }| {
        let error = rekey(store).unwrap_err();
        assert!(matches!(error, StoreError::Sealed(SealError::Given { .. })), "{error}");
        let text = error.to_string();
        assert!(text.contains("MUSTER_KEY") && text.contains("MUSTER_KEY_OLD") && text.contains("restart"), "{text}");
    });
}

#[test]
fn whoever_missed_a_change_neither_seals_with_the_former_key_nor_reads_on() {
    stores(|TestStore { location, store: late, .. }| {
        late.write_blocking(fill_secrets).unwrap();
        rekey(&Store::open(location, given(2, &[1])).unwrap()).unwrap();
        let put = late.write_blocking(|tx| settings::put(tx, "security", &Secret::from("late"), None));
        assert!(matches!(put, Err(StoreError::Sealed(SealError::UnknownKey { .. }))), "{put:?}");
        let read = late.read_blocking(read_secrets);
        assert!(matches!(read, Err(StoreError::Sealed(SealError::UnknownKey { .. }))), "{read:?}");
        assert_eq!(secrets(&Store::open(location, given(2, &[])).unwrap()), SECRETS);
    });
}

fn key_file(directory: &Path) -> PathBuf {
    directory.join("muster.key")
}

fn on_file(location: &Location, directory: &Path) -> Store {
    let keys = KeyRing::load_or_create(&key_file(directory)).expect("the key file loads");
    Store::open(location, keys).expect("the store opens")
}

/// A database whose site key is in a file, with a secret in every place.
fn filed(test: impl Fn(&Location, &Path)) {
    stores(|TestStore { store, location, .. }| {
        let directory = tempfile::tempdir().unwrap();
        store.write_blocking(|tx| tx.execute("DELETE FROM key_check", &[])).unwrap();
        on_file(location, directory.path()).write_blocking(fill_secrets).unwrap();
        test(location, directory.path());
    });
}

fn files(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn the_key_file_follows() {
    filed(|location, directory| {
        let store = on_file(location, directory);
        let former = store.keys().current_id();
        rekey(&store).unwrap();
        let used = store.keys().current_id();
        assert_ne!(used, former);
        assert_eq!(files(directory), ["muster.key", "muster.key.lock"]);
        assert_eq!(fs::metadata(key_file(directory)).unwrap().permissions().mode() & 0o777, 0o600);
        drop(store);
        let store = on_file(location, directory);
        assert_eq!(store.keys().ids(), [used]);
        assert_eq!(secrets(&store), SECRETS);
        assert_ne!(rekey(&store).unwrap(), 0, "and again");
    });
}

#[test]
fn a_process_that_shares_the_key_file_follows_without_a_restart() {
    filed(|location, directory| {
        let (one, other) = (on_file(location, directory), on_file(location, directory));
        rekey(&one).unwrap();
        let put = other.write_blocking(|tx| settings::put(tx, "network", &Secret::from("later"), None));
        put.unwrap();
        assert_eq!(secrets(&other), SECRETS);
        settle(&other).unwrap();
        assert_eq!(other.keys().current_id(), one.keys().current_id());
        drop((one, other));
        let after = on_file(location, directory);
        assert_eq!(after.keys().ids().len(), 1);
        let section = after.read_blocking(|tx| settings::get(tx, "network")).unwrap().unwrap();
        assert_eq!(section.document.expose(), "later");
    });
}

#[test]
fn a_process_with_a_key_file_of_its_own_follows_when_it_was_given_the_next_key() {
    filed(|location, directory| {
        let own = tempfile::tempdir().unwrap();
        fs::copy(key_file(directory), key_file(own.path())).unwrap();
        let (one, other) = (on_file(location, directory), on_file(location, own.path()));
        let change = KeyChange::begin(&one).unwrap();
        fs::copy(directory.join("muster.key.new"), own.path().join("muster.key.new")).unwrap();
        commit(&one, &change).unwrap();
        change.finish(&one).unwrap();
        settle(&other).unwrap();
        assert_eq!(secrets(&other), SECRETS);
        assert_eq!(files(own.path()), ["muster.key", "muster.key.lock"]);
        drop((one, other));
        assert_eq!(secrets(&on_file(location, own.path())), SECRETS);
    });
}

#[test]
fn a_link_to_the_key_file_is_the_key_file() {
    filed(|location, directory| {
        let own = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(key_file(directory), key_file(own.path())).unwrap();
        let (one, other) = (on_file(location, directory), on_file(location, own.path()));
        rekey(&other).unwrap();
        assert_eq!(secrets(&one), SECRETS);
        drop((one, other));
        assert_eq!(secrets(&on_file(location, directory)), SECRETS);
        assert_eq!(files(own.path()), ["muster.key"]);
    });
}

#[test]
fn a_key_file_that_cannot_be_replaced_stops_nobody_and_is_replaced_later() {
    filed(|location, directory| {
        let store = on_file(location, directory);
        let change = KeyChange::begin(&store).unwrap();
        commit(&store, &change).unwrap();
        let used = change.next_id().to_owned();
        drop((change, store));
        fs::remove_file(directory.join("muster.key.lock")).unwrap();
        fs::create_dir(directory.join("muster.key.lock")).unwrap();
        let store = on_file(location, directory);
        assert_eq!(store.keys().current_id(), used);
        assert_eq!(secrets(&store), SECRETS);
        let refused = rekey(&store).unwrap_err();
        assert!(matches!(refused, StoreError::Sealed(SealError::File { .. })), "{refused}");
        fs::remove_dir(directory.join("muster.key.lock")).unwrap();
        settle(&store).unwrap();
        assert_eq!(files(directory), ["muster.key", "muster.key.lock"]);
    });
}

#[test]
fn two_changes_at_once_are_one() {
    filed(|location, directory| {
        let (one, other) = (on_file(location, directory), on_file(location, directory));
        let change = KeyChange::begin(&one).unwrap();
        let refused = KeyChange::begin(&other).unwrap_err();
        assert!(matches!(refused, StoreError::Sealed(SealError::Locked { .. })), "{refused}");
        drop(change);
        let given_up = fs::read_to_string(directory.join("muster.key.new")).unwrap();
        let change = KeyChange::begin(&other).unwrap();
        assert_eq!(Key::parse(&given_up, "new").unwrap().id(), change.next_id(), "the next change takes it");
        commit(&other, &change).unwrap();
        change.finish(&other).unwrap();
        assert_eq!(secrets(&one), SECRETS);
    });
}

const STOP: &str = "MUSTER_TEST_STOP";

/// What the processes do that the next test starts: so many steps of a change, and then they die.
#[test]
fn dies_between_the_steps() {
    let Ok(order) = std::env::var(STOP) else { return };
    let parts: Vec<&str> = order.split('\n').collect();
    let [steps, directory, kind, place] = parts[..] else { panic!("{order}") };
    let location = match kind {
        "sqlite" => Location::Sqlite(place.into()),
        _ => Location::Postgres(place.to_owned()),
    };
    let store = on_file(&location, Path::new(directory));
    let steps: u32 = steps.parse().unwrap();
    let change = KeyChange::begin(&store).unwrap();
    if steps == 2 {
        commit(&store, &change).unwrap();
    }
    if steps == 3 {
        let next = change.next();
        // In the middle of the transaction.
        let dying = store.write_blocking(move |tx| {
            reseal(tx, &next, &|done| {
                if done == 3 {
                    std::process::abort()
                }
            })
        });
        panic!("it lives: {dying:?}");
    }
    std::process::abort();
}

#[test]
fn key_file_and_database_agree_wherever_a_change_was_cut_short() {
    filed(|location, directory| {
        let (kind, place) = match location {
            Location::Sqlite(path) => ("sqlite", path.display().to_string()),
            Location::Postgres(text) => ("postgres", text.clone()),
        };
        // A draft of a key file that was never finished does no harm.
        fs::write(directory.join("muster.key.new.0123"), "half").unwrap();
        for (steps, changed) in [(1, false), (3, false), (2, true), (2, true), (1, false)] {
            let former = KeyRing::load_or_create(&key_file(directory)).unwrap().current_id();
            let mut child = Command::new(std::env::current_exe().unwrap());
            child.args(["--exact", "dies_between_the_steps"]);
            child.env(STOP, format!("{steps}\n{}\n{kind}\n{place}", directory.display()));
            assert!(!child.output().unwrap().status.success(), "it died");
            assert!(directory.join("muster.key.new").exists(), "the next key was on disk");

            let store = on_file(location, directory);
            assert_eq!(secrets(&store), SECRETS);
            let used = store.keys().current_id();
            assert_eq!(used != former, changed, "after {steps}");
            let file = Key::parse(&fs::read_to_string(key_file(directory)).unwrap(), "file").unwrap();
            assert_eq!(file.id(), used);
            assert_eq!(directory.join("muster.key.new").exists(), !changed);
            drop(store);
            assert_eq!(secrets(&on_file(location, directory)), SECRETS);
        }
        let store = on_file(location, directory);
        rekey(&store).unwrap();
        assert_eq!(secrets(&store), SECRETS);
    });
}

#[test]
fn daemons_are_there_until_they_are_not_renewed() {
    stores(|TestStore { store, .. }| {
        let daemon = |id: &str, until| daemons::Daemon {
            id: id.into(),
            host: "h".into(),
            keys: vec!["k".into()],
            started_at: 1,
            until,
            ..Default::default()
        };
        let (a, b) = (daemon("a", 10), daemon("b", 20));
        store.write_blocking(move |tx| daemons::beat(tx, &a, 0).and_then(|()| daemons::beat(tx, &b, 0))).unwrap();
        let again = daemon("b", 30);
        store.write_blocking(move |tx| daemons::beat(tx, &again, 11)).unwrap();
        let present = store.read_blocking(|tx| daemons::present(tx, 5)).unwrap();
        assert_eq!(present, [daemons::Daemon { beats: 2, ..daemon("b", 30) }]);
        assert_eq!(store.read_blocking(|tx| daemons::present(tx, 30)).unwrap(), []);
        store.write_blocking(|tx| daemons::leave(tx, "b")).unwrap();
        assert_eq!(store.read_blocking(|tx| daemons::present(tx, 5)).unwrap(), []);
    });
}
