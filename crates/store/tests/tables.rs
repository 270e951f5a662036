//! Tables that operators fill, on both databases: guards, filters, what goes with what.

use muster_store::tables::images::{self, PreparedImage};
use muster_store::tables::machines::{self, Machine};
use muster_store::tables::servers::{self, Observation, Server};
use muster_store::tables::tokens::{self, ConsumeError, Consumed, Token, TokenSeed};
use muster_store::tables::updates::{self, Update};
use muster_store::tables::warnings::{self, Emitted};
use muster_store::tables::{ALL, channels, identity, settings};
use muster_store::testing::{TestStore, stores};
use muster_store::{Secret, Store, StoreError, Tx, Violation};

/// Runs a test's writes and expects them to work.
fn write<T: Send + 'static>(store: &Store, f: impl Fn(&mut Tx) -> Result<T, StoreError> + Send + 'static) -> T {
    store.write_blocking(f).expect("the write succeeds")
}

fn token(uuid: &str) -> Token {
    Token {
        uuid: uuid.into(),
        uses_remaining: 2,
        expire_at: "2030-01-01T00:00:00+02:00".into(),
        expire_at_us: 1_000,
        description: "rack 7".into(),
        channel: "stable".into(),
        auto_remove: false,
        accepts_data: false,
        generation: 1,
    }
}

#[test]
fn tokens_are_guarded_and_counted_down() {
    stores(|TestStore { store, .. }| {
        write(store, |tx| tokens::insert(tx, &token("a")));
        assert_eq!(write(store, |tx| tokens::get(tx, "a")), Some(token("a")));
        let change = |expected| {
            let changed = Token { description: "rack 8".into(), ..token("a") };
            store.write_blocking(move |tx| tokens::update(tx, &changed, expected))
        };
        assert_eq!(change(Some(7)), Err(StoreError::Stale));
        assert_eq!(change(Some(1)), Ok(2));
        assert_eq!(change(None), Ok(3));
        let missing = store.write_blocking(|tx| tokens::update(tx, &token("b"), None));
        assert_eq!(missing, Err(StoreError::NotFound));

        let consume = |uuid: &'static str, now| write(store, move |tx| Ok(tokens::consume(tx, uuid, now)));
        let taken = Ok(Consumed { channel: "stable".into(), accepts_data: false, removed: false });
        assert_eq!(consume("b", 1), Err(ConsumeError::Unknown));
        assert_eq!(consume("a", 1_001), Err(ConsumeError::Expired));
        assert_eq!(consume("a", 1_000), taken);
        assert_eq!(consume("a", 1_000), taken);
        assert_eq!(consume("a", 1_000), Err(ConsumeError::Spent));

        write(store, |tx| tokens::insert(tx, &Token { uses_remaining: 1, auto_remove: true, ..token("c") }));
        assert_eq!(consume("c", 1), Ok(Consumed { channel: "stable".into(), accepts_data: false, removed: true }));
        assert_eq!(write(store, |tx| tokens::get(tx, "c")), None);
    });
}

#[test]
fn a_channel_in_use_cannot_be_deleted() {
    stores(|TestStore { store, .. }| {
        write(store, |tx| tokens::insert(tx, &token("a")));
        let error = store.write_blocking(|tx| channels::delete(tx, "stable")).unwrap_err();
        assert_eq!(error.violation(), Some(Violation::ForeignKey));
        write(store, |tx| tokens::delete(tx, "a"));
        write(store, |tx| channels::delete(tx, "stable"));
        assert_eq!(store.write_blocking(|tx| channels::delete(tx, "stable")), Err(StoreError::NotFound));
    });
}

#[test]
fn seeds_are_sealed_and_go_with_their_token() {
    stores(|TestStore { store, .. }| {
        let seed = TokenSeed {
            token: "a".into(),
            name: "default".into(),
            description: String::new(),
            public: true,
            last_updated: 5,
            generation: 1,
        };
        let document = Secret::from(r#"{"password":"hunter2"}"#);
        let (stored, sealed) = (seed.clone(), document.clone());
        write(store, move |tx| {
            tokens::insert(tx, &token("a"))?;
            tokens::insert_seed(tx, &stored, &sealed)
        });
        let raw = write(store, |tx| tx.query_one("SELECT seeds FROM token_seeds", &[], |row| row.text(0)));
        assert!(raw.starts_with("v1.") && !raw.contains("hunter2"));
        assert_eq!(write(store, |tx| tokens::get_seed(tx, "a", "default")), Some((seed.clone(), document)));
        let changed = seed.clone();
        let update = move |tx: &mut Tx| tokens::update_seed(tx, &changed, &Secret::from("{}"), Some(1));
        assert_eq!(store.write_blocking(update.clone()), Ok(2));
        assert_eq!(store.write_blocking(update), Err(StoreError::Stale));
        write(store, |tx| tokens::delete(tx, "a"));
        assert_eq!(write(store, |tx| tokens::list_seeds(tx, "a")), []);
    });
}

#[test]
fn settings_are_sealed_and_guarded() {
    stores(|TestStore { store, .. }| {
        let put = |text: &'static str, expected| {
            store.write_blocking(move |tx| settings::put(tx, "security", &Secret::from(text), expected))
        };
        assert_eq!(write(store, |tx| settings::get(tx, "security")), None);
        assert_eq!(put("a", Some(1)), Err(StoreError::Stale));
        assert_eq!(put("a", Some(0)), Ok(1));
        assert_eq!(put("b", Some(0)), Err(StoreError::Stale));
        assert_eq!(put("c", Some(1)), Ok(2));
        assert_eq!(put("d", None), Ok(3));
        let section = write(store, |tx| settings::get(tx, "security")).unwrap();
        assert_eq!((section.document.expose(), section.generation), ("d", 3));

        // A sealed text that is moved to another section does not open there.
        write(store, |tx| tx.execute("UPDATE settings SET section = 'network'", &[]));
        let moved = store.read_blocking(|tx| settings::get(tx, "network"));
        assert!(matches!(moved, Err(StoreError::Sealed(_))));
    });
}

#[test]
fn the_first_identity_stays() {
    stores(|TestStore { store, .. }| {
        let make = |certificate: &str| identity::Identity { certificate: certificate.into(), key: "key".into() };
        let (first, second) = (make("one"), make("two"));
        let stored = write(store, move |tx| {
            identity::get_or_put(tx, "client", &first)?;
            identity::get_or_put(tx, "client", &second)
        });
        assert_eq!(stored, make("one"));
        let raw = write(store, |tx| tx.query_one("SELECT sealed_key FROM identity", &[], |row| row.text(0)));
        assert!(raw.starts_with("v1."));
    });
}

fn machine(id: &str) -> Machine {
    Machine { id: id.into(), lifecycle: "available".into(), created_at: 1, generation: 1, ..Machine::default() }
}

#[test]
fn identities_are_unique_among_machines_in_service() {
    stores(|TestStore { store, .. }| {
        let with = |id: &str| Machine {
            serial: Some("S1".into()),
            chassis_vendor: Some("ACME".into()),
            system_uuid: Some("U1".into()),
            ..machine(id)
        };
        write(store, move |tx| machines::insert(tx, &with("a")));
        let twin = store.write_blocking(move |tx| machines::insert(tx, &with("b"))).unwrap_err();
        assert_eq!(twin.violation(), Some(Violation::Unique));
        let found = write(store, |tx| {
            let serial = Some(("S1".into(), "ACME".into()));
            machines::find_by_identity(tx, &machines::Identity { serial, ..Default::default() })
        });
        assert_eq!(found.len(), 1);
        assert_eq!(write(store, |tx| machines::find_by_identity(tx, &machines::Identity::default())), []);

        let mut gone = found[0].clone();
        gone.lifecycle = "decommissioned".into();
        let changed = gone.clone();
        assert_eq!(write(store, move |tx| machines::update(tx, &changed)), 2);
        assert_eq!(store.write_blocking(move |tx| machines::update(tx, &gone)), Err(StoreError::Stale));
        write(store, move |tx| machines::insert(tx, &Machine { successor_of: Some("a".into()), ..with("b") }));

        let ids = |filter: machines::Filter| {
            let found = write(store, move |tx| machines::list(tx, &filter, ALL));
            found.into_iter().map(|m| m.id).collect::<Vec<_>>()
        };
        assert_eq!(ids(machines::Filter { lifecycle: Some("available".into()), ..Default::default() }), ["b"]);
        assert_eq!(ids(machines::Filter { hidden: Some("decommissioned".into()), ..Default::default() }), ["b"]);
        assert_eq!(ids(machines::Filter { after: Some("a".into()), ..Default::default() }), ["b"]);
        assert_eq!(ids(machines::Filter::default()), ["a", "b"]);
        let counted = write(store, machines::count);
        assert_eq!(counted, [("available".to_owned(), 1), ("decommissioned".to_owned(), 1)]);
    });
}

#[test]
fn what_is_known_of_a_machine_is_kept_and_its_notes_are_numbered() {
    use muster_store::tables::machine_notes::{self, Note};
    stores(|TestStore { store, .. }| {
        let known = Machine {
            asset: r#"{"rack":"r7"}"#.into(),
            since: 3,
            allocated_at: Some(4),
            erased: Some("{}".into()),
            ..machine("a")
        };
        let stored = known.clone();
        write(store, move |tx| machines::insert(tx, &stored));
        let read = write(store, |tx| machines::get(tx, "a")).unwrap();
        assert_eq!(read, Machine { bmc: "{}".into(), generation: 1, ..known });
        let next = Machine { since: 5, allocated_at: None, erased: None, bmc: r#"{"endpoint":"b"}"#.into(), ..read };
        let stored = next.clone();
        write(store, move |tx| machines::update(tx, &stored));
        assert_eq!(write(store, |tx| machines::get(tx, "a")).unwrap(), Machine { generation: 2, ..next });

        let note = |text: &str| Note { at: 7, author: "anna".into(), kind: "fault".into(), note: text.into(), seq: 0 };
        let (one, two) = (note("fan"), note("fan again"));
        assert_eq!(write(store, move |tx| machine_notes::append(tx, "a", &one)), 1);
        assert_eq!(write(store, move |tx| machine_notes::append(tx, "a", &two)), 2);
        let newest = write(store, |tx| machine_notes::list(tx, "a", ALL, 1));
        assert_eq!(newest, [Note { seq: 2, ..note("fan again") }]);
        assert_eq!(write(store, |tx| machine_notes::list(tx, "a", 2, ALL)), [Note { seq: 1, ..note("fan") }]);
        let lost = note("of nobody");
        let error = store.write_blocking(move |tx| machine_notes::append(tx, "x", &lost)).unwrap_err();
        assert_eq!(error.violation(), Some(Violation::ForeignKey));
    });
}

fn server(name: &str) -> Server {
    Server {
        id: format!("id-{name}"),
        machine_id: format!("m-{name}"),
        name: name.into(),
        channel: "stable".into(),
        status: "pending".into(),
        certificate: Some(format!("PEM {name}")),
        fingerprint: Some(format!("fp-{name}")),
        system_uuid: Some(format!("u-{name}")),
        hardware_data: "{}".into(),
        generation: 1,
        ..Server::default()
    }
}

fn with_servers(store: &Store, names: &'static [&'static str]) {
    write(store, move |tx| {
        for name in names {
            machines::insert(tx, &machine(&format!("m-{name}")))?;
            servers::insert(tx, &server(name))?;
        }
        Ok(())
    });
}

#[test]
fn servers_are_found_listed_and_paged() {
    stores(|TestStore { store, .. }| {
        with_servers(store, &["a", "b", "c"]);
        assert_eq!(write(store, |tx| servers::get_by_name(tx, "b")), Some(server("b")));
        assert_eq!(write(store, |tx| servers::get_by_id(tx, "id-b")), Some(server("b")));
        assert_eq!(write(store, |tx| servers::get_by_machine(tx, "m-b")), Some(server("b")));
        assert_eq!(write(store, |tx| servers::get_by_certificate(tx, "fp-b")), Some(server("b")));
        assert_eq!(write(store, |tx| servers::get_by_certificate(tx, "fp-x")), None);
        assert_eq!(write(store, |tx| servers::find_by_identity(tx, Some("u-c"), None)), [server("c")]);
        assert_eq!(write(store, |tx| servers::find_by_identity(tx, None, None)), []);

        let page = |filter: servers::Filter, limit| {
            let listed = write(store, move |tx| {
                let servers = servers::list(tx, &filter, limit)?;
                let keys = servers::keys(tx, &filter, limit)?;
                assert_eq!(keys.len(), servers.len());
                assert!(keys.iter().zip(&servers).all(|(key, server)| key.name == server.name));
                Ok(servers)
            });
            listed.into_iter().map(|server| server.name).collect::<Vec<_>>()
        };
        assert_eq!(page(servers::Filter::default(), ALL), ["a", "b", "c"]);
        // What the poller reads each second must not touch the documents.
        let plan = write(store, |tx| {
            let sql = "EXPLAIN QUERY PLAN SELECT id, machine_id, name, server_type, status, status_detail, \
                       last_status_updated, failures FROM servers WHERE TRUE ORDER BY name LIMIT 10";
            if tx.is_postgres() { Ok(Vec::new()) } else { tx.query(sql, &[], |row| row.text(3)) }
        });
        assert!(plan.iter().all(|line| line.contains("COVERING INDEX servers_keys")), "{plan:?}");
        assert_eq!(page(servers::Filter { after: Some("a".into()), ..Default::default() }, 1), ["b"]);
        assert_eq!(page(servers::Filter { status: Some("ready".into()), ..Default::default() }, ALL), [""; 0]);
        write(store, |tx| servers::update(tx, &Server { cluster: Some("k".into()), ..server("c") }));
        assert_eq!(page(servers::Filter { cluster: Some("k".into()), ..Default::default() }, ALL), ["c"]);
    });
}

#[test]
fn one_enrolment_a_machine_one_owner_a_certificate() {
    stores(|TestStore { store, .. }| {
        with_servers(store, &["a", "b"]);
        let refused = |change: fn(&mut Server)| {
            let error = store
                .write_blocking(move |tx| {
                    machines::insert(tx, &machine("m-x"))?;
                    let mut server = server("x");
                    change(&mut server);
                    servers::insert(tx, &server)
                })
                .unwrap_err();
            error.violation().unwrap()
        };
        assert_eq!(refused(|server| server.machine_id = "m-a".into()), Violation::Unique);
        assert_eq!(refused(|server| server.fingerprint = Some("fp-a".into())), Violation::Unique);
        assert_eq!(refused(|server| server.fingerprint = None), Violation::Check);
        assert_eq!(refused(|server| server.name = String::new()), Violation::Check);
        assert_eq!(refused(|server| server.machine_id = "m-y".into()), Violation::ForeignKey);
        let taken = store.write_blocking(|tx| servers::rename(tx, "a", "b", None, 9)).unwrap_err();
        assert_eq!(taken.violation(), Some(Violation::Unique));
        assert_eq!(write(store, |tx| servers::rename(tx, "a", "z", Some(1), 9)), 2);
        assert_eq!(store.write_blocking(|tx| servers::rename(tx, "z", "y", Some(1), 9)), Err(StoreError::Stale));
        assert_eq!(store.write_blocking(|tx| servers::rename(tx, "a", "y", None, 9)), Err(StoreError::NotFound));
        write(store, |tx| servers::delete(tx, "id-a"));
        assert!(write(store, |tx| machines::get(tx, "m-a")).is_some(), "the machine stays");
    });
}

#[test]
fn observations_and_configuration_do_not_disturb_each_other() {
    stores(|TestStore { store, .. }| {
        with_servers(store, &["a"]);
        let observe = |expected, observation: Observation| {
            store.write_blocking(move |tx| servers::update_observation(tx, "id-a", expected, &observation))
        };
        let full = Observation {
            status: "ready".into(),
            last_seen: Some(7),
            boot_at: Some(3),
            hardware_data: Some("{\"cpu\":1}".into()),
            os_secrets: Some("recovery".into()),
            ..Observation::default()
        };
        assert_eq!(observe(0, full.clone()), Ok(1));
        assert_eq!(observe(0, full), Err(StoreError::Stale));
        let failed = Observation {
            status: "unreachable".into(),
            failures: 1,
            failure_reason: Some("timeout".into()),
            ..Observation::default()
        };
        assert_eq!(observe(1, failed), Ok(2));
        let stored = write(store, |tx| servers::get_by_id(tx, "id-a")).unwrap();
        assert_eq!(stored.hardware_data, "{\"cpu\":1}", "a failed poll keeps what is known");
        assert_eq!((stored.last_seen, stored.boot_at, stored.failures), (7, Some(3), 1));
        assert_eq!((stored.generation, stored.observed), (1, 2));

        let configured = Server { description: "x".into(), ..server("a") };
        let stale = configured.clone();
        assert_eq!(write(store, move |tx| servers::update(tx, &configured)), 2);
        assert_eq!(store.write_blocking(move |tx| servers::update(tx, &stale)), Err(StoreError::Stale));
        let stored = write(store, |tx| servers::get_by_id(tx, "id-a")).unwrap();
        assert_eq!((stored.status.as_str(), stored.observed), ("unreachable", 2));

        write(store, |tx| servers::set_bmc_password(tx, "id-a", Some(&Secret::from("calvin"))));
        let secrets = write(store, |tx| servers::secrets(tx, "id-a"));
        assert_eq!(secrets.bmc_password.unwrap().expose(), "calvin");
        assert_eq!(secrets.os_secrets.unwrap().expose(), "recovery");
        let missing = store.write_blocking(|tx| servers::update_observation(tx, "x", 0, &Observation::default()));
        assert_eq!(missing, Err(StoreError::NotFound));
    });
}

#[test]
fn updates_are_listed_newest_first_with_their_channels() {
    stores(|TestStore { store, .. }| {
        let update = |uuid: &str, version: &str| Update {
            uuid: uuid.into(),
            version: version.into(),
            status: "ready".into(),
            ..Update::default()
        };
        let (old, new) = (update("1", "202501010000"), update("2", "202502010000"));
        write(store, move |tx| {
            updates::upsert(tx, &old)?;
            updates::upsert(tx, &new)?;
            updates::set_channels(tx, "1", &["stable".into()], 3)?;
            updates::upsert(tx, &Update { severity: "high".into(), ..old.clone() })
        });
        let listed = write(store, |tx| updates::list(tx, &updates::Filter::default()));
        let seen: Vec<_> = listed.iter().map(|u| (u.uuid.as_str(), u.channels.len(), u.severity.as_str())).collect();
        assert_eq!(seen, [("2", 0, ""), ("1", 1, "high")]);
        let filter = updates::Filter { channel: Some("stable".into()), ..Default::default() };
        assert_eq!(write(store, move |tx| updates::list(tx, &filter))[0].uuid, "1");
        let unknown = store.write_blocking(|tx| updates::set_channels(tx, "1", &["none".into()], 4)).unwrap_err();
        assert_eq!(unknown.violation(), Some(Violation::ForeignKey));
        write(store, |tx| channels::delete(tx, "stable"));
        assert_eq!(write(store, |tx| updates::get(tx, "1")).unwrap().channels, [""; 0]);
        write(store, |tx| updates::delete(tx, "1"));
        assert_eq!(write(store, |tx| updates::get(tx, "1")), None);
        assert_eq!(write(store, updates::delete_all), 1);
        assert_eq!(write(store, updates::file_lists), [""; 0]);
    });
}

#[test]
fn every_change_of_the_updates_is_counted_and_manifests_go_with_them() {
    stores(|TestStore { store, .. }| {
        let manifest = |items: &str| updates::Manifest {
            architecture: "x86_64".into(),
            component: "incus".into(),
            items: items.into(),
        };
        let (old, new) = (manifest("1"), manifest("2"));
        let kept = new.clone();
        let mut last = write(store, updates::changes);
        let mut counted = |what: &str| {
            let now = write(store, updates::changes);
            assert!(now > last, "{what} is not counted");
            last = now;
        };
        write(store, |tx| updates::upsert(tx, &Update { uuid: "1".into(), ..Default::default() }));
        counted("an update");
        write(store, |tx| updates::set_channels(tx, "1", &["stable".into()], 3));
        counted("an assignment");
        assert!(write(store, |tx| updates::offered_by(tx, "stable")));
        write(store, |tx| channels::delete(tx, "stable"));
        counted("a channel that goes");
        write(store, move |tx| {
            updates::put_manifests(tx, "1", std::slice::from_ref(&old))?;
            updates::put_manifests(tx, "1", std::slice::from_ref(&new))
        });
        assert_eq!(write(store, |tx| updates::manifests(tx, "1", "x86_64")), [kept]);
        assert_eq!(write(store, |tx| updates::manifests(tx, "1", "aarch64")), []);
        write(store, |tx| updates::delete(tx, "1"));
        counted("a deletion");
        assert_eq!(write(store, |tx| updates::manifests(tx, "1", "x86_64")), []);
    });
}

fn emitted(entity: &str, messages: &[&str]) -> Emitted {
    Emitted {
        kind: "Server unreachable".into(),
        scope: "poll_server".into(),
        entity_type: "server".into(),
        entity: entity.into(),
        messages: messages.iter().map(|&message| message.to_owned()).collect(),
    }
}

#[test]
fn warnings_merge_and_become_new_again() {
    stores(|TestStore { store, .. }| {
        let emit = |messages: &'static [&'static str], uuid: &'static str, now| {
            write(store, move |tx| warnings::emit(tx, &emitted("a", messages), uuid, now))
        };
        assert_eq!(emit(&["x", "y"], "1", 10), "1");
        assert_eq!(
            store.write_blocking(|tx| warnings::set_status(tx, "1", "seen", Some(9), 11)),
            Err(StoreError::Stale)
        );
        assert_eq!(write(store, |tx| warnings::set_status(tx, "1", "acknowledged", Some(1), 11)), 2);
        assert_eq!(emit(&["x"], "2", 20), "1");
        let warning = write(store, |tx| warnings::get(tx, "1")).unwrap();
        assert_eq!(warning.messages, ["y", "x"], "the repeated text moves to the end");
        assert_eq!((warning.count, warning.status.as_str()), (2, "new"));
        assert_eq!((warning.first_occurrence, warning.last_occurrence), (10, 20));
        for number in 0..50 {
            write(store, move |tx| warnings::emit(tx, &emitted("a", &[&format!("at {number}")]), "3", 30));
        }
        let warning = write(store, |tx| warnings::get(tx, "1")).unwrap();
        assert_eq!((warning.messages.len(), warning.messages.last().unwrap().as_str()), (20, "at 49"));
        let missing = store.write_blocking(|tx| warnings::set_status(tx, "9", "seen", None, 1));
        assert_eq!(missing, Err(StoreError::NotFound));
    });
}

#[test]
fn a_healthy_entity_clears_only_its_own_warnings() {
    stores(|TestStore { store, .. }| {
        write(store, |tx| {
            warnings::emit(tx, &emitted("a", &["x", "y"]), "1", 1)?;
            warnings::emit(tx, &emitted("b", &["x"]), "2", 2)
        });
        let remove = |entity: &'static str, fresh: &'static [&'static str]| {
            let fresh: Vec<String> = fresh.iter().map(|&text| text.to_owned()).collect();
            let scope = Some(("server", entity));
            write(store, move |tx| warnings::remove_scope(tx, "poll_server", scope, &fresh, 5))
        };
        assert_eq!(remove("a", &["y", "z"]), 1);
        assert_eq!(write(store, |tx| warnings::get(tx, "1")).unwrap().messages, ["y"]);
        assert_eq!(remove("a", &["y"]), 0);
        assert_eq!(remove("b", &["other"]), 1);
        assert_eq!(remove("a", &[]), 1);
        assert_eq!(write(store, |tx| warnings::list(tx, &warnings::Filter::default(), ALL)), []);
    });
}

#[test]
fn prepared_images_are_sealed_kept_for_a_time_and_go_with_their_token() {
    stores(|TestStore { store, .. }| {
        let image = |id: &str, until| PreparedImage { id: id.into(), token: "a".into(), until, ..Default::default() };
        let seeds = Secret::from(r#"{"password":"hunter2"}"#);
        let sealed = seeds.clone();
        write(store, move |tx| {
            tokens::insert(tx, &token("a"))?;
            for (id, until) in [("i", 10), ("j", 20), ("k", 30), ("l", 40)] {
                images::insert(tx, &image(id, until), &sealed)?;
            }
            Ok(())
        });
        let raw = write(store, |tx| tx.query("SELECT seeds FROM prepared_images", &[], |row| row.text(0)));
        assert!(raw.iter().all(|text| text.starts_with("v1.") && !text.contains("hunter2")));

        write(store, |tx| images::answered(tx, "j", "sha", 15));
        write(store, |tx| images::answered(tx, "k", "sha", 35));
        write(store, |tx| images::sent(tx, "k"));
        let known = |id: &'static str| write(store, move |tx| images::get(tx, id));
        let source = Some("sha".to_owned());
        assert_eq!(known("j"), Some((PreparedImage { source: source.clone(), ..image("j", 20) }, seeds.clone())));
        assert_eq!(known("k"), Some((PreparedImage { source, sent: true, ..image("k", 35) }, seeds)));
        let missing = store.write_blocking(|tx| images::answered(tx, "x", "sha", 1));
        assert_eq!(missing, Err(StoreError::NotFound));

        assert_eq!(write(store, |tx| images::prune(tx, 11, 2)), 2, "one is over, one too many");
        assert_eq!((known("i"), known("j")), (None, None));
        write(store, |tx| tokens::delete(tx, "a"));
        assert_eq!(known("l"), None);
    });
}
