//! The change of the site key, and what a crash in the middle of it leaves behind.

use std::fs;
use std::path::Path;

use muster_store::tables::machines::{self, Machine};
use muster_store::tables::servers::{self, Observation, Server};
use muster_store::tables::tokens::{self, Token, TokenSeed};
use muster_store::tables::{identity, settings};
use muster_store::testing::{self, TestStore, stores};
use muster_store::{Key, KeyRing, Location, Secret, Store, StoreError, Tx, rekey};

/// One secret in every sealed column.
fn fill(tx: &mut Tx) -> Result<(), StoreError> {
    settings::put(tx, "security", &Secret::from("settings"), None)?;
    identity::put(tx, "client", &identity::Identity { certificate: String::new(), key: "identity".into() })?;
    let token = Token {
        uuid: "t".into(),
        uses_remaining: 1,
        expire_at: String::new(),
        expire_at_us: 1,
        description: String::new(),
        channel: "stable".into(),
        auto_remove: false,
        generation: 1,
    };
    tokens::insert(tx, &token)?;
    let seed = TokenSeed {
        token: "t".into(),
        name: "s".into(),
        description: String::new(),
        public: false,
        last_updated: 1,
        generation: 1,
    };
    tokens::insert_seed(tx, &seed, &Secret::from("seeds"))?;
    for id in ["a", "b"] {
        machines::insert(tx, &Machine { id: id.into(), ..Machine::default() })?;
        let server = Server {
            id: id.into(),
            machine_id: id.into(),
            name: id.into(),
            channel: "stable".into(),
            ..Default::default()
        };
        servers::insert(tx, &server)?;
    }
    servers::set_bmc_password(tx, "a", Some(&Secret::from("password")))?;
    let observation = Observation { os_secrets: Some(Secret::from("recovery")), ..Observation::default() };
    servers::update_observation(tx, "a", 0, &observation)?;
    Ok(())
}

fn read_all(tx: &mut Tx) -> Result<Vec<String>, StoreError> {
    let secrets = servers::secrets(tx, "a")?;
    assert_eq!(servers::secrets(tx, "b")?, servers::Secrets::default());
    let all = [
        settings::get(tx, "security")?.map(|section| section.document),
        identity::get(tx, "client")?.map(|identity| identity.key),
        tokens::get_seed(tx, "t", "s")?.map(|(_, document)| document),
        secrets.bmc_password,
        secrets.os_secrets,
    ];
    Ok(all.into_iter().flatten().map(|secret| secret.expose().to_owned()).collect())
}

const ALL: [&str; 5] = ["settings", "identity", "seeds", "password", "recovery"];

#[test]
fn every_secret_moves_to_the_new_key() {
    stores(|TestStore { store, location, .. }| {
        store.write_blocking(fill).unwrap();
        let new = Key::new([2; 32]);
        assert_eq!(rekey(store, &new).unwrap(), 6, "the five secrets and the key check");
        assert_eq!(store.read_blocking(read_all).unwrap(), ALL, "the running store goes on");
        let only_new = Store::open(location, KeyRing::new(new, Vec::new())).unwrap();
        assert_eq!(only_new.read_blocking(read_all).unwrap(), ALL);
        assert!(matches!(Store::open(location, testing::keys()), Err(StoreError::Sealed(_))));
    });
}

#[test]
fn a_secret_that_does_not_open_stops_the_change_as_a_whole() {
    stores(|TestStore { store, location, .. }| {
        store.write_blocking(fill).unwrap();
        let damage = "UPDATE servers SET bmc_password = os_secrets WHERE id = 'a'";
        store.write_blocking(move |tx| tx.execute(damage, &[])).unwrap();
        assert!(matches!(rekey(store, &Key::new([2; 32])), Err(StoreError::Sealed(_))));
        let same = Store::open(location, testing::keys()).unwrap();
        let section = same.read_blocking(|tx| settings::get(tx, "security")).unwrap().unwrap();
        assert_eq!(section.document.expose(), "settings");
    });
}

fn open(directory: &Path) -> Store {
    let keys = KeyRing::load_or_create(&directory.join("muster.key")).expect("the key file loads");
    Store::open(&Location::Sqlite(directory.join("muster.db")), keys).expect("the store opens")
}

#[test]
fn the_key_file_follows() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    store.write_blocking(fill).unwrap();
    let new = Key::generate().unwrap();
    rekey(&store, &new).unwrap();
    drop(store);
    assert!(!directory.path().join("muster.key.new").exists());
    let store = open(directory.path());
    assert_eq!(store.keys().current_id(), new.id());
    assert_eq!(store.read_blocking(read_all).unwrap(), ALL);
}

#[test]
fn a_crash_before_or_after_the_transaction_is_mended_at_the_next_start() {
    let directory = tempfile::tempdir().unwrap();
    let (file, new_file) = (directory.path().join("muster.key"), directory.path().join("muster.key.new"));
    let store = open(directory.path());
    store.write_blocking(fill).unwrap();
    let former = store.keys().current_id();
    drop(store);
    let before = fs::read_to_string(&file).unwrap();

    // Before the transaction: the new key is on disk, the database does not use it yet.
    let scratch = tempfile::tempdir().unwrap();
    let other = KeyRing::load_or_create(&scratch.path().join("muster.key")).unwrap().current_id();
    fs::copy(scratch.path().join("muster.key"), &new_file).unwrap();
    let store = open(directory.path());
    assert_eq!(store.keys().current_id(), former);
    assert_ne!(former, other);
    assert_eq!(store.read_blocking(read_all).unwrap(), ALL);

    // After the transaction: the database uses the new key, the files were not swapped.
    let new = Key::generate().unwrap();
    rekey(&store, &new).unwrap();
    drop(store);
    fs::rename(&file, &new_file).unwrap();
    fs::write(&file, before).unwrap();
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    fs::set_permissions(&file, private).unwrap();
    let store = open(directory.path());
    assert_eq!(store.keys().current_id(), new.id());
    assert_eq!(store.read_blocking(read_all).unwrap(), ALL);
    drop(store);
    assert!(!new_file.exists(), "the change was finished");
    assert_eq!(open(directory.path()).keys().current_id(), new.id());
}
