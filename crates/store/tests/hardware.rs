//! Tables about what machines are made of and what is wrong with them, on both databases.

use muster_store::tables::expected_machines::{self, Expected};
use muster_store::tables::machine_alerts::{self, Alert};
use muster_store::tables::machine_snapshots::{self, Snapshot};
use muster_store::tables::machines::{self, Machine};
use muster_store::tables::server_types::{self, ServerType};
use muster_store::tables::{ALL, sql};
use muster_store::testing::{TestStore, stores};
use muster_store::{Secret, Store, StoreError, Tx, Violation};

/// Runs a test's writes and expects them to work.
fn write<T: Send + 'static>(store: &Store, f: impl Fn(&mut Tx) -> Result<T, StoreError> + Send + 'static) -> T {
    store.write_blocking(f).expect("the write succeeds")
}

fn machine(store: &Store, id: &'static str, server_type: &'static str) {
    write(store, move |tx| {
        let lifecycle = "available".into();
        machines::insert(
            tx,
            &Machine { id: id.into(), lifecycle, server_type: server_type.into(), ..Machine::default() },
        )
    });
}

fn kind(id: &str) -> ServerType {
    ServerType {
        id: id.into(),
        label: format!("label {id}"),
        description: "d".into(),
        specification: "{}".into(),
        created_at: 7,
        generation: 1,
    }
}

#[test]
fn types_have_one_label_each_and_fingerprints_one_type() {
    stores(|TestStore { store, .. }| {
        write(store, |tx| {
            server_types::insert(tx, &kind("a"))?;
            server_types::insert(tx, &kind("b"))?;
            server_types::add_fingerprint(tx, "a", "v1.1", 1)?;
            server_types::add_fingerprint(tx, "a", "v2.1", 2)
        });
        assert_eq!(write(store, |tx| server_types::get(tx, "a")), Some(kind("a")));
        assert_eq!(write(store, |tx| server_types::get_by_label(tx, "label b")), Some(kind("b")));
        assert_eq!(write(store, |tx| server_types::find(tx, "v2.1")), Some(kind("a")));
        assert_eq!(write(store, |tx| server_types::find(tx, "v1.2")), None);
        assert_eq!(write(store, |tx| server_types::fingerprints(tx, "a")), ["v1.1", "v2.1"]);
        assert_eq!(write(store, |tx| server_types::list(tx, None, 1)), [kind("a")]);
        assert_eq!(write(store, |tx| server_types::list(tx, Some("a"), ALL)), [kind("b")]);

        let twice = store.write_blocking(|tx| server_types::add_fingerprint(tx, "b", "v1.1", 1)).unwrap_err();
        assert_eq!(twice.violation(), Some(Violation::Unique));
        let renamed = |label: &str, generation| {
            let changed = ServerType { label: label.into(), description: "e".into(), generation, ..kind("b") };
            store.write_blocking(move |tx| server_types::update(tx, &changed))
        };
        assert_eq!(renamed("label a", 1).unwrap_err().violation(), Some(Violation::Unique));
        assert_eq!(renamed("storage", 1), Ok(2));
        assert_eq!(renamed("other", 1), Err(StoreError::Stale));
        let lost = store.write_blocking(|tx| server_types::update(tx, &kind("x")));
        assert_eq!(lost, Err(StoreError::NotFound));
        let now = ServerType { label: "storage".into(), description: "e".into(), generation: 2, ..kind("b") };
        assert_eq!(write(store, |tx| server_types::get(tx, "b")), Some(now));
    });
}

#[test]
fn a_merge_moves_fingerprints_machines_and_subscriptions() {
    stores(|TestStore { store, .. }| {
        write(store, |tx| {
            server_types::insert(tx, &kind("a"))?;
            server_types::insert(tx, &kind("b"))?;
            server_types::add_fingerprint(tx, "a", "v1.1", 1)?;
            server_types::add_fingerprint(tx, "b", "v1.2", 1)
        });
        machine(store, "m1", "a");
        machine(store, "m2", "b");
        machine(store, "m3", "");
        let subscribe = "INSERT INTO subscriptions (id, holder, type_id, quantity, site, starts_at, status, description, created_at) \
                         VALUES ('s', 'anna', 'a', 1, '', 0, 'active', '', 0)";
        write(store, |tx| tx.execute(subscribe, &[]));
        let counted = |id: Option<&'static str>| write(store, move |tx| server_types::count(tx, id));
        let line = |id: &str, n| (id.to_owned(), "available".to_owned(), n);
        assert_eq!(counted(None), [line("a", 1), line("b", 1)]);
        assert_eq!(write(store, |tx| server_types::subscriptions(tx, "a")), 1);

        let kept = store.write_blocking(|tx| server_types::delete(tx, "a")).unwrap_err();
        assert_eq!(kept.violation(), Some(Violation::ForeignKey), "a subscription is for it");
        assert_eq!(write(store, |tx| server_types::merge(tx, "a", "b")), 1);
        assert_eq!(write(store, |tx| server_types::fingerprints(tx, "b")), ["v1.1", "v1.2"]);
        assert_eq!(counted(Some("b")), [line("b", 2)]);
        assert_eq!(write(store, |tx| server_types::get(tx, "a")), None);
        assert_eq!(write(store, |tx| machines::get(tx, "m1")).unwrap().generation, 2);
        assert_eq!(write(store, |tx| server_types::subscriptions(tx, "b")), 1);
        assert_eq!(store.write_blocking(|tx| server_types::merge(tx, "a", "b")), Err(StoreError::NotFound));

        write(store, |tx| {
            server_types::insert(tx, &kind("c"))?;
            server_types::add_fingerprint(tx, "c", "v1.3", 1)?;
            server_types::delete(tx, "c")
        });
        assert_eq!(write(store, |tx| server_types::find(tx, "v1.3")), None);
    });
}

#[test]
fn snapshots_are_numbered_and_the_last_registered_one_is_found() {
    stores(|TestStore { store, .. }| {
        machine(store, "m", "");
        let snapshot = |source: &str, inventory: &str| Snapshot {
            seq: 0,
            at: 5,
            source: source.into(),
            inventory: inventory.into(),
            difference: "[]".into(),
        };
        for (seq, source) in [(1, "registration"), (2, "poll"), (3, "registration"), (4, "poll")] {
            let row = snapshot(source, &seq.to_string());
            assert_eq!(write(store, move |tx| machine_snapshots::append(tx, "m", &row)), seq);
        }
        let newest = write(store, |tx| machine_snapshots::newest(tx, "m", "registration"));
        assert_eq!(newest, Some(Snapshot { seq: 3, ..snapshot("registration", "3") }));
        let seqs = |before, limit| {
            let found = write(store, move |tx| machine_snapshots::list(tx, "m", before, limit));
            found.into_iter().map(|s| s.seq).collect::<Vec<_>>()
        };
        assert_eq!((seqs(ALL, 2), seqs(3, ALL)), (vec![4, 3], vec![2, 1]));
        assert_eq!(write(store, |tx| machine_snapshots::newest(tx, "x", "poll")), None);
    });
}

#[test]
fn alerts_are_written_over_by_source_and_name_and_come_due() {
    stores(|TestStore { store, .. }| {
        machine(store, "m1", "t");
        machine(store, "m2", "u");
        let alert = |source: &str, name: &str| Alert {
            source: source.into(),
            name: name.into(),
            classes: "[]".into(),
            message: "hot".into(),
            author: "unix".into(),
            at: 3,
            expires_at: Some(9),
            overridden: None,
            due_at: Some(9),
        };
        let put =
            |machine: &'static str, alert: Alert| write(store, move |tx| machine_alerts::put(tx, machine, &alert));
        put("m1", alert("b", "x"));
        put("m1", alert("a", "y"));
        put("m1", Alert { message: "hotter".into(), due_at: None, overridden: Some("{}".into()), ..alert("b", "x") });
        put("m2", alert("b", "x"));
        let found = write(store, |tx| machine_alerts::list(tx, "m1"));
        let second = Alert { message: "hotter".into(), due_at: None, overridden: Some("{}".into()), ..alert("b", "x") };
        assert_eq!(found, [alert("a", "y"), second]);
        let due = |now, limit| write(store, move |tx| machine_alerts::due(tx, now, limit));
        assert_eq!((due(8, ALL), due(9, ALL), due(9, 1)), (vec![], vec!["m1".into(), "m2".into()], vec!["m1".into()]));
        assert_eq!(write(store, |tx| machine_alerts::of_type(tx, "b", "x", "t")), ["m1"]);
        write(store, |tx| machine_alerts::remove(tx, "m1", "b", "x"));
        write(store, |tx| machine_alerts::remove(tx, "m1", "b", "x"));
        assert_eq!(write(store, |tx| machine_alerts::list(tx, "m1")), [alert("a", "y")]);
    });
}

#[test]
fn an_expected_machine_is_found_by_the_surest_of_what_is_known() {
    stores(|TestStore { store, .. }| {
        machine(store, "m", "");
        let expected = |id: &str| Expected {
            id: id.into(),
            asset: "{}".into(),
            bmc: "{}".into(),
            author: "unix".into(),
            created_at: 1,
            ..Expected::default()
        };
        let by_mac = Expected { mac: Some("aa".into()), ..expected("1") };
        let by_serial = Expected { serial: Some("S".into()), server_type: "big".into(), ..expected("2") };
        let by_uuid = Expected { system_uuid: Some("u".into()), ..expected("3") };
        for row in [by_mac.clone(), by_serial.clone(), by_uuid.clone()] {
            write(store, move |tx| expected_machines::insert(tx, &row, Some(&Secret::from("calvin"))));
        }
        let find = |uuid: Option<&'static str>, serial: Option<&'static str>, macs: &'static [&'static str]| {
            let found = write(store, move |tx| expected_machines::find(tx, uuid, serial, macs));
            found.into_iter().map(|e| e.id).collect::<Vec<_>>()
        };
        assert_eq!(find(Some("u"), Some("S"), &["bb", "aa"]), ["3", "2", "1"]);
        assert_eq!(find(None, Some("S"), &[]), ["2"]);
        assert_eq!(find(None, None, &[]), [""; 0]);
        let again = Expected { id: "4".into(), ..by_serial.clone() };
        let twice = again.clone();
        let error = store.write_blocking(move |tx| expected_machines::insert(tx, &twice, None)).unwrap_err();
        assert_eq!(error.violation(), Some(Violation::Unique));

        assert_eq!(write(store, |tx| expected_machines::bmc_password(tx, "2")), Some(Secret::from("calvin")));
        write(store, |tx| expected_machines::set_seen(tx, "2", "m", 9));
        assert_eq!(write(store, |tx| expected_machines::bmc_password(tx, "2")), None);
        assert_eq!(store.write_blocking(|tx| expected_machines::set_seen(tx, "2", "m", 9)), Err(StoreError::NotFound));
        let seen = Expected { machine_id: Some("m".into()), seen_at: Some(9), ..by_serial };
        assert_eq!(write(store, |tx| expected_machines::of_machine(tx, "m")), Some(seen.clone()));
        assert_eq!(find(Some("u"), Some("S"), &["aa"]), ["3", "1"]);
        // Expected again, after its record has ended.
        write(store, move |tx| expected_machines::insert(tx, &again, None));
        let list = |seen| write(store, move |tx| expected_machines::list(tx, seen, Some("1"), ALL));
        assert_eq!(list(Some(true)), [seen]);
        let ids: Vec<_> = list(Some(false)).into_iter().map(|e| e.id).collect();
        assert_eq!((ids, list(None).len()), (vec!["3".to_owned(), "4".into()], 3));
        write(store, |tx| expected_machines::delete(tx, "4"));
        assert_eq!(store.write_blocking(|tx| expected_machines::delete(tx, "4")), Err(StoreError::NotFound));
        // The password is sealed: SQL sees no trace of it.
        let dump = write(store, |tx| sql::dump(tx, true));
        assert!(!dump.contains("calvin"));
    });
}
