//! Subscriptions and the machines that concern them, on both databases.

use muster_store::tables::machines::{self, Machine};
use muster_store::tables::servers::{self, Server};
use muster_store::tables::subscriptions::{self, Filter, Of, Subscription};
use muster_store::tables::{ALL, warnings};
use muster_store::testing::{TestStore, stores};
use muster_store::{Store, StoreError, Tx, Violation};

/// Runs a test's writes and expects them to work.
fn write<T: Send + 'static>(store: &Store, f: impl Fn(&mut Tx) -> Result<T, StoreError> + Send + 'static) -> T {
    store.write_blocking(f).expect("the write succeeds")
}

fn subscription(id: &str) -> Subscription {
    Subscription {
        id: id.into(),
        holder: "ann".into(),
        type_id: Some("big".into()),
        quantity: 2,
        starts_at: 10,
        status: "active".into(),
        created_at: 5,
        generation: 1,
        ..Subscription::default()
    }
}

fn machine(id: &str, lifecycle: &str, subscription: Option<&str>) -> Machine {
    Machine {
        id: id.into(),
        lifecycle: lifecycle.into(),
        media: "clean".into(),
        server_type: "big".into(),
        flags: "{}".into(),
        alerts: "{}".into(),
        inventory: "{\"cpu\": 1}".into(),
        asset: "{}".into(),
        bmc: "{}".into(),
        subscription: subscription.map(str::to_owned),
        generation: 1,
        ..Machine::default()
    }
}

/// Two types and a few machines.
fn fill(store: &Store) {
    write(store, |tx| {
        for id in ["big", "small"] {
            let sql = "INSERT INTO server_types (id, label, description, specification, created_at) \
                       VALUES ($1, $1, '', '{}', 1)";
            tx.execute(sql, muster_store::params![id])?;
        }
        for (id, lifecycle, of) in [
            ("a", "available", None),
            ("b", "available_reserved", Some("s1")),
            ("c", "used", Some("s1")),
            ("d", "decommissioned", None),
        ] {
            machines::insert(tx, &machine(id, lifecycle, of))?;
        }
        let (id, machine_id, name) = ("e".to_owned(), "b".to_owned(), "web1".to_owned());
        let server =
            Server { id, machine_id, name, channel: "stable".into(), status: "ready".into(), ..Server::default() };
        servers::insert(tx, &server)
    });
}

#[test]
fn a_subscription_is_kept_and_changed_by_who_has_read_it() {
    stores(|TestStore { store, .. }| {
        fill(store);
        let first =
            Subscription { ends_at: Some(20), cycle_months: 3, renew: true, site: "here".into(), ..subscription("s1") };
        let stored = first.clone();
        write(store, move |tx| subscriptions::insert(tx, &stored));
        assert_eq!(write(store, |tx| subscriptions::get(tx, "s1")), Some(first.clone()));
        let one =
            Subscription { type_id: None, machine_id: Some("a".into()), holder: "bob".into(), ..subscription("s2") };
        write(store, move |tx| subscriptions::insert(tx, &one));

        let changed = Subscription { quantity: 5, ends_at: None, description: "more".into(), ..first.clone() };
        let again = changed.clone();
        assert_eq!(write(store, move |tx| subscriptions::update(tx, &changed)), 2);
        assert_eq!(store.write_blocking(move |tx| subscriptions::update(tx, &again)), Err(StoreError::Stale));
        let gone = subscription("s9");
        assert_eq!(store.write_blocking(move |tx| subscriptions::update(tx, &gone)), Err(StoreError::NotFound));

        write(store, |tx| subscriptions::set_missing(tx, "s1", 3, "none there"));
        let read = write(store, |tx| subscriptions::get(tx, "s1")).unwrap();
        assert_eq!((read.missing, read.unfulfilled.as_str(), read.generation), (3, "none there", 2));
        assert_eq!(write(store, subscriptions::totals), (2, 7, 3));

        let ids = |filter: Filter| {
            let found = write(store, move |tx| subscriptions::list(tx, &filter, ALL));
            found.into_iter().map(|s| s.id).collect::<Vec<_>>()
        };
        assert_eq!(ids(Filter::default()), ["s1", "s2"]);
        assert_eq!(ids(Filter { holder: Some("bob".into()), ..Filter::default() }), ["s2"]);
        assert_eq!(ids(Filter { after: Some("s1".into()), ..Filter::default() }), ["s2"]);
        assert_eq!(ids(Filter { status: Some("stopped".into()), ..Filter::default() }), Vec::<String>::new());
        write(store, |tx| subscriptions::delete(tx, "s1"));
        assert_eq!(store.write_blocking(|tx| subscriptions::delete(tx, "s1")), Err(StoreError::NotFound));
    });
}

#[test]
fn what_cannot_be_is_refused() {
    stores(|TestStore { store, .. }| {
        fill(store);
        let refused = |change: fn(&mut Subscription)| {
            let mut subscription = subscription("s1");
            change(&mut subscription);
            store.write_blocking(move |tx| subscriptions::insert(tx, &subscription)).unwrap_err().violation()
        };
        assert_eq!(refused(|s| s.type_id = Some("none".into())), Some(Violation::ForeignKey));
        assert_eq!(refused(|s| s.machine_id = Some("a".into())), Some(Violation::Check));
        assert_eq!(refused(|s| s.type_id = None), Some(Violation::Check));
        assert_eq!(refused(|s| s.quantity = 0), Some(Violation::Check));
        assert_eq!(refused(|s| s.holder = String::new()), Some(Violation::Check));
    });
}

#[test]
fn who_and_what_is_concerned_is_found() {
    stores(|TestStore { store, .. }| {
        fill(store);
        write(store, |tx| {
            for s in [
                subscription("s1"),
                Subscription { status: "stopped".into(), ..subscription("s2") },
                Subscription { type_id: None, machine_id: Some("a".into()), ..subscription("s3") },
                Subscription { type_id: Some("small".into()), ends_at: Some(40), ..subscription("s4") },
                Subscription { type_id: Some("small".into()), starts_at: 30, ends_at: Some(90), ..subscription("s5") },
            ] {
                subscriptions::insert(tx, &s)?;
            }
            machines::insert(tx, &machine("f", "available_reserved", Some("s2")))?;
            machines::insert(tx, &machine("g", "available_reserved", Some("s8")))
        });
        let ids = |found: Vec<Subscription>| found.into_iter().map(|s| s.id).collect::<std::collections::BTreeSet<_>>();
        let set = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<std::collections::BTreeSet<_>>();
        assert_eq!(ids(write(store, |tx| subscriptions::active_of_type(tx, "big"))), set(&["s1", "s3"]));
        assert_eq!(ids(write(store, |tx| subscriptions::active_of_machine(tx, "a"))), set(&["s3"]));
        assert_eq!(write(store, subscriptions::types), ["big", "small"]);
        assert_eq!(write(store, subscriptions::left_over), ["s2", "s8"]);
        let next = |now: i64| write(store, move |tx| subscriptions::next(tx, now));
        assert_eq!([next(0), next(10), next(35), next(100)], [Some(10), Some(30), Some(40), Some(40)]);
        assert_eq!(
            write(store, |tx| subscriptions::counts(tx, "s1", "s2")),
            [("s1".into(), 1, 1), ("s2".into(), 1, 0)]
        );
        let listed = write(store, |tx| subscriptions::machines(tx, "s1", 9));
        let row = |id: &str, lifecycle: &str, name: Option<&str>| {
            (id.to_owned(), lifecycle.to_owned(), name.map(str::to_owned))
        };
        assert_eq!(listed, [row("b", "available_reserved", Some("web1")), row("c", "used", None)]);

        let found = |of: Of<'static>| {
            let found = write(store, move |tx| subscriptions::candidates(tx, of));
            found.iter().map(|(machine, _)| machine.id.clone()).collect::<std::collections::BTreeSet<_>>()
        };
        assert_eq!(found(Of::Type("big")), set(&["a", "b", "c", "f", "g"]));
        assert_eq!(found(Of::Subscription("s1")), set(&["b", "c"]));
        assert_eq!(found(Of::Subscribed("big")), set(&["b", "c", "f"]));
        assert_eq!(found(Of::Machine("d")), set(&["d"]));
        let (machine, server) = write(store, |tx| subscriptions::candidates(tx, Of::Machine("b"))).remove(0);
        assert_eq!((machine.inventory.as_str(), machine.subscription.as_deref()), ("", Some("s1")));
        assert_eq!(server.map(|s| s.status), Some("ready".into()));
    });
}

#[test]
fn a_warning_is_reworded_without_being_new_again() {
    stores(|TestStore { store, .. }| {
        let emitted = |text: &str| warnings::Emitted {
            kind: "k".into(),
            scope: "s".into(),
            entity_type: "subscription".into(),
            entity: "e".into(),
            messages: vec![text.into()],
        };
        let (one, two, three) = (emitted("one"), emitted("two"), emitted("three"));
        assert!(!write(store, move |tx| warnings::reword(tx, &one, 1)));
        write(store, move |tx| warnings::emit(tx, &two, "u", 2));
        write(store, |tx| warnings::set_status(tx, "u", "acknowledged", None, 3));
        assert!(write(store, move |tx| warnings::reword(tx, &three, 4)));
        let read = write(store, |tx| warnings::get(tx, "u")).unwrap();
        assert_eq!((read.messages, read.status.as_str(), read.count), (vec!["three".to_owned()], "acknowledged", 1));
    });
}
