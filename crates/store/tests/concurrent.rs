//! What several tasks and processes do at once, on both databases: nothing twice, nothing lost.

use std::collections::HashSet;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use muster_store::tables::audit::{self, Entry, Verdict};
use muster_store::tables::operations::{self, Operation};
use muster_store::tables::tokens::{self, ConsumeError, Token};
use muster_store::tables::{ALL, events, leases};
use muster_store::testing::{self, TestStore, stores};
use muster_store::{Store, StoreError, Tx};
use tokio::sync::RwLock;

fn write<T: Send + 'static>(store: &Store, f: impl Fn(&mut Tx) -> Result<T, StoreError> + Send + 'static) -> T {
    store.write_blocking(f).expect("the write succeeds")
}

/// Every database that is there, with a second store on the same data where the database is made for that.
fn pairs() -> Vec<(TestStore, Store)> {
    let tests = [Some(testing::sqlite()), testing::postgres()].into_iter().flatten();
    let second = |test: &TestStore| match test.store.is_postgres() {
        true => Store::open(&test.location, testing::keys()).expect("a second process connects"),
        false => test.store.clone(),
    };
    tests.map(|test| (second(&test), test)).map(|(second, test)| (test, second)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_with_n_uses_serves_exactly_n_machines() {
    for (test, second) in pairs() {
        let token = Token {
            uuid: "t".into(),
            uses_remaining: 10,
            expire_at: "2030-01-01T00:00:00Z".into(),
            expire_at_us: 100,
            description: String::new(),
            channel: "stable".into(),
            auto_remove: true,
            accepts_data: false,
            generation: 1,
        };
        test.store.write(move |tx| tokens::insert(tx, &token)).await.unwrap();
        let mut calls = tokio::task::JoinSet::new();
        for number in 0..40 {
            let store = if number % 2 == 0 { test.store.clone() } else { second.clone() };
            calls.spawn(async move { store.write(|tx| Ok(tokens::consume(tx, "t", 1))).await.unwrap() });
        }
        let outcomes = calls.join_all().await;
        let taken: Vec<_> = outcomes.iter().flatten().collect();
        assert_eq!(taken.len(), 10);
        assert_eq!(taken.iter().filter(|consumed| consumed.removed).count(), 1);
        assert!(outcomes.iter().all(|outcome| matches!(outcome, Ok(_) | Err(ConsumeError::Unknown))));
    }
}

fn operation(id: &str, not_before: i64) -> Operation {
    Operation { id: id.into(), kind: "clean".into(), status: "queued".into(), not_before, ..Operation::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_owners_never_claim_the_same_operation() {
    for (test, second) in pairs() {
        test.store
            .write(|tx| (0..100).try_for_each(|number| operations::insert(tx, &operation(&format!("{number:03}"), 0))))
            .await
            .unwrap();
        let mut owners = tokio::task::JoinSet::new();
        for (owner, store) in [("a", test.store.clone()), ("b", second.clone()), ("c", second)] {
            owners.spawn(async move {
                let mut mine = Vec::new();
                loop {
                    let claimed =
                        store.write(move |tx| operations::claim_due(tx, owner, 10, 20, 7, &[])).await.unwrap();
                    assert!(claimed.len() <= 7);
                    assert!(claimed.iter().all(|claimed| claimed.lease_owner.as_deref() == Some(owner)));
                    if claimed.is_empty() {
                        return mine;
                    }
                    mine.extend(claimed.into_iter().map(|claimed| claimed.id));
                }
            });
        }
        let claimed: Vec<String> = owners.join_all().await.into_iter().flatten().collect();
        assert_eq!(claimed.len(), claimed.iter().collect::<HashSet<_>>().len(), "none is claimed twice");
        assert_eq!(claimed.len(), 100);
    }
}

#[test]
fn an_operation_goes_to_the_next_owner_when_its_lease_runs_out() {
    stores(|TestStore { store, .. }| {
        write(store, |tx| {
            operations::insert(tx, &operation("later", 50))?;
            operations::insert(tx, &operation("now", 5))
        });
        assert_eq!(write(store, |tx| operations::next_due(tx, &[])), Some(5));
        let claim = |owner: &'static str, now, until| {
            let at_work: Vec<String> = if owner == "a" && now > 10 { vec!["now".into()] } else { Vec::new() };
            write(store, move |tx| operations::claim_due(tx, owner, now, until, 10, &at_work))
        };
        let mut first = claim("a", 10, 20);
        assert_eq!(first.iter().map(|op| op.id.as_str()).collect::<Vec<_>>(), ["now"]);
        assert_eq!(claim("b", 19, 30), []);
        assert!(write(store, |tx| operations::renew(tx, "now", "a", 25)));
        assert!(!write(store, |tx| operations::renew(tx, "now", "b", 25)));
        assert_eq!(write(store, |tx| operations::next_due(tx, &[])), Some(25));
        let at_work = ["now".to_owned(), "x".into(), "y".into()];
        let next = write(store, move |tx| operations::next_due(tx, &at_work));
        assert_eq!(next, Some(50), "it is at the other one itself");
        assert_eq!(claim("a", 25, 40), [], "nor does it take that one again");
        let mut second = claim("b", 25, 40);
        assert_eq!(second[0].lease_owner.as_deref(), Some("b"));

        let mut late = first.remove(0);
        late.state = "mine".into();
        assert_eq!(store.write_blocking(move |tx| operations::save(tx, &late)), Err(StoreError::Stale));
        let mut held = second.remove(0);
        held.state = "theirs".into();
        held.not_before = 60;
        let saved = held.clone();
        assert_eq!(write(store, move |tx| operations::save(tx, &saved)), held.generation + 1);
        write(store, |tx| operations::release(tx, "now", "b"));
        assert_eq!(claim("c", 59, 70).len(), 1, "only the other one is due");
        let stored = write(store, |tx| operations::get(tx, "now")).unwrap();
        assert_eq!((stored.state.as_str(), stored.lease_owner, stored.lease_until), ("theirs", None, 0));
    });
}

/// A daemon that stands still in the middle of a write, and a client that keeps the gate for longer than anybody waits for a lock.
#[tokio::test(flavor = "multi_thread")]
async fn who_stands_still_at_the_gate_stops_nobody_for_good() {
    let Some(test) = testing::postgres() else { return };
    let muster_store::Location::Postgres(text) = &test.location else { panic!("a PostgreSQL store") };
    let second = Store::open(&test.location, testing::keys()).unwrap();
    let (runs, entered) = (Arc::new(AtomicUsize::new(0)), Arc::new(tokio::sync::Notify::new()));
    let (counted, inside) = (runs.clone(), entered.clone());
    let stands_still = move |tx: &mut Tx| {
        tx.execute("DELETE FROM warnings", &[])?;
        if counted.fetch_add(1, Ordering::Relaxed) == 0 {
            inside.notify_one();
            std::thread::sleep(Duration::from_secs(10));
        }
        events::append(tx, 1, "still", "", "{}")
    };
    let still = tokio::spawn(async move { second.write(stands_still).await });
    entered.notified().await;
    test.store.write(|tx| events::append(tx, 1, "other", "", "{}")).await.unwrap();
    still.await.unwrap().unwrap();
    assert_eq!(runs.load(Ordering::Relaxed), 2, "its connection was ended, and it wrote with another one");

    let held = Arc::new(AtomicUsize::new(0));
    let (text, holding) = (text.clone(), held.clone());
    let (begun, began) = std::sync::mpsc::channel();
    let client = std::thread::spawn(move || {
        let mut client = postgres::Client::connect(&text, postgres::NoTls).unwrap();
        client.batch_execute("BEGIN; LOCK TABLE write_gate IN EXCLUSIVE MODE").unwrap();
        holding.store(1, Ordering::SeqCst);
        begun.send(()).unwrap();
        std::thread::sleep(Duration::from_secs(11));
        holding.store(0, Ordering::SeqCst);
        client.batch_execute("COMMIT").unwrap();
    });
    tokio::task::spawn_blocking(move || began.recv()).await.unwrap().unwrap();
    let mut writes = tokio::task::JoinSet::new();
    for number in 0..40 {
        let store = test.store.clone();
        writes.spawn(async move { store.write(move |tx| events::append(tx, number, "waits", "", "{}")).await });
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    for _ in 0..20 {
        assert_eq!(test.store.read(|tx| events::after(tx, 0, ALL)).await.unwrap().len(), 2);
    }
    assert_eq!(held.load(Ordering::SeqCst), 1, "who reads does not queue up behind those who wait to write");
    assert!(writes.join_all().await.into_iter().all(|outcome| outcome.is_ok()));
    client.join().unwrap();
}

#[test]
fn what_is_woken_while_it_is_held_is_due_again() {
    stores(|TestStore { store, .. }| {
        write(store, |tx| {
            operations::insert(tx, &Operation { machine_id: Some("m".into()), ..operation("held", 5) })?;
            operations::insert(tx, &Operation { machine_id: Some("m".into()), ..operation("waits", 900) })?;
            operations::insert(tx, &Operation { machine_id: Some("n".into()), ..operation("other", 900) })
        });
        let mut held = write(store, |tx| operations::claim_due(tx, "a", 10, 100, 9, &[])).remove(0);
        write(store, |tx| operations::wake(tx, "m"));
        held.not_before = 1_000;
        write(store, move |tx| operations::save(tx, &held).map(drop));
        write(store, |tx| operations::release(tx, "held", "a"));
        let due = write(store, |tx| operations::claim_due(tx, "b", 11, 100, 9, &[]));
        assert_eq!(due.iter().map(|op| op.id.as_str()).collect::<Vec<_>>(), ["held", "waits"]);
    });
}

#[test]
fn a_wish_to_cancel_is_not_lost_to_a_save() {
    stores(|TestStore { store, .. }| {
        write(store, |tx| operations::insert(tx, &operation("x", 0)));
        let mut held = write(store, |tx| operations::claim_due(tx, "a", 1, 100, 1, &[])).remove(0);
        write(store, |tx| operations::request_cancel(tx, "x", 5));
        held.not_before = 1_000;
        held.updated_at = 6;
        let saved = held.clone();
        held.generation = write(store, move |tx| operations::save(tx, &saved));
        let stored = write(store, |tx| operations::get(tx, "x")).unwrap();
        assert_eq!((stored.cancel_requested, stored.not_before), (true, 5), "due at once");

        held.cancel_requested = true;
        held.finished_at = Some(7);
        let done = held.clone();
        write(store, move |tx| operations::save(tx, &done));
        assert_eq!(write(store, |tx| operations::claim_due(tx, "b", 2_000, 2_001, 9, &[])), [], "it is over");
        assert_eq!(store.write_blocking(|tx| operations::request_cancel(tx, "x", 8)), Err(StoreError::NotFound));
        let unfinished = operations::Filter { unfinished: true, ..Default::default() };
        assert_eq!(write(store, move |tx| operations::list(tx, &unfinished, ALL)), []);
        assert_eq!(write(store, |tx| operations::prune(tx, 8)), 1);
    });
}

#[test]
fn operations_are_paged_in_both_directions() {
    stores(|TestStore { store, .. }| {
        write(store, |tx| ["1", "2", "3"].iter().try_for_each(|id| operations::insert(tx, &operation(id, 0))));
        let page = |newest_first, after: &str| {
            let after = Some(after.to_owned());
            let filter = operations::Filter { newest_first, after, kind: Some("clean".into()), ..Default::default() };
            let page = write(store, move |tx| operations::list(tx, &filter, 1));
            page.into_iter().map(|operation| operation.id).collect::<Vec<_>>()
        };
        assert_eq!(page(false, "1"), ["2"]);
        assert_eq!(page(true, "3"), ["2"]);
        assert_eq!(page(true, "1"), [""; 0]);
    });
}

#[test]
fn a_lease_is_taken_over_only_when_it_has_run_out() {
    stores(|TestStore { store, .. }| {
        let acquire =
            |owner: &'static str, now, until| write(store, move |tx| leases::acquire(tx, "poller", owner, now, until));
        assert!(acquire("a", 0, 10));
        assert!(!acquire("b", 9, 19));
        assert!(acquire("a", 9, 15), "the holder renews");
        assert!(!acquire("b", 14, 24));
        assert!(acquire("b", 15, 25));
        assert!(!acquire("a", 16, 26));
        write(store, |tx| leases::release(tx, "poller", "a"));
        assert_eq!(write(store, |tx| leases::holder(tx, "poller")), Some(("b".into(), 25)));
        write(store, |tx| leases::release(tx, "poller", "b"));
        assert!(acquire("a", 17, 27));
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_many_gets_a_free_lease() {
    for (test, second) in pairs() {
        let mut calls = tokio::task::JoinSet::new();
        for number in 0..20 {
            let store = if number % 2 == 0 { test.store.clone() } else { second.clone() };
            calls.spawn(async move {
                store.write(move |tx| leases::acquire(tx, "x", &number.to_string(), 0, 10)).await.unwrap()
            });
        }
        assert_eq!(calls.join_all().await.into_iter().filter(|&held| held).count(), 1);
    }
}

fn entry(number: i64) -> Entry {
    Entry { at: number, actor: "alice".into(), action: "server.update".into(), detail: "{}".into(), ..Entry::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_log_has_no_gaps_and_events_appear_in_order() {
    for (test, second) in pairs() {
        let watcher = test.store.clone();
        let watching = tokio::spawn(async move {
            let mut seen = Vec::new();
            while seen.len() < 30 {
                let last = seen.last().copied().unwrap_or(0);
                let new = watcher.read(move |tx| events::after(tx, last, ALL)).await.unwrap();
                seen.extend(new.into_iter().map(|event| event.seq));
                tokio::task::yield_now().await;
            }
            seen
        });
        let mut calls = tokio::task::JoinSet::new();
        let runs = Arc::new(AtomicUsize::new(0));
        for number in 0..30 {
            let store = if number % 2 == 0 { test.store.clone() } else { second.clone() };
            let runs = runs.clone();
            calls.spawn(async move {
                let both = move |tx: &mut Tx| {
                    runs.fetch_add(1, Ordering::Relaxed);
                    audit::append(tx, &entry(number))?;
                    events::append(tx, number, "server", "a", "{}")
                };
                store.write(both).await.unwrap()
            });
        }
        let mut appended = calls.join_all().await;
        appended.sort_unstable();
        let seen = tokio::time::timeout(std::time::Duration::from_secs(60), watching).await.unwrap().unwrap();
        assert_eq!(seen, appended, "a reader that goes on behind the last number misses nothing");
        assert_eq!(test.store.read(|tx| audit::verify(tx, &mut |_| {})).await, Ok(Verdict::Intact(30)));
        assert_eq!(runs.load(Ordering::Relaxed), 30, "no writer's work is done twice because another one was quicker");
        let records = test.store.read(|tx| audit::list(tx, &audit::Filter::default(), 10, 5)).await.unwrap();
        assert_eq!(records.iter().map(|record| record.seq).collect::<Vec<_>>(), [11, 12, 13, 14, 15]);
    }
}

#[test]
fn tampering_with_the_audit_log_shows() {
    let tampered = |sql: &'static str, first_broken| {
        stores(|TestStore { store, .. }| {
            for number in 1..=5 {
                write(store, move |tx| audit::append(tx, &Entry { object: number.to_string(), ..entry(number) }));
            }
            assert_eq!(write(store, |tx| audit::verify(tx, &mut |_| {})), Verdict::Intact(5));
            write(store, move |tx| tx.execute(sql, &[]));
            assert_eq!(write(store, |tx| audit::verify(tx, &mut |_| {})), Verdict::Broken(first_broken), "{sql}");
        });
    };
    tampered("UPDATE audit SET actor = 'bob' WHERE seq = 3", 3);
    tampered("UPDATE audit SET reason = '' WHERE seq = 4", 4);
    tampered("DELETE FROM audit WHERE seq = 2", 2);
    tampered("DELETE FROM audit WHERE seq = 5", 5);
    tampered("DELETE FROM audit", 1);
}

#[test]
fn old_events_go_and_numbers_are_never_used_again() {
    stores(|TestStore { store, .. }| {
        for number in 1..=10 {
            write(store, move |tx| events::append(tx, number, "k", "o", "{}"));
        }
        let last = write(store, events::last_seq);
        assert_eq!(write(store, events::floor), 0);
        assert_eq!(write(store, |tx| events::prune(tx, 100, 0, 100)), 0, "few and young");
        assert_eq!(write(store, |tx| events::prune(tx, 3, 0, 5)), 5, "no more than asked for");
        assert_eq!(write(store, |tx| events::prune(tx, 3, 0, 5)), 2);
        assert_eq!(write(store, events::floor), last - 3);
        assert_eq!(write(store, |tx| events::after(tx, 0, ALL)).len(), 3);
        assert_eq!(write(store, |tx| events::prune(tx, 3, 10, 5)), 2, "older than the tenth");
        assert_eq!(write(store, |tx| events::prune(tx, 0, 0, 5)), 1);
        assert_eq!(write(store, events::last_seq), last, "also when all are gone");
        assert!(write(store, |tx| events::append(tx, 1, "k", "o", "{}")) > last);
    });
}

/// Somebody who asks, and then does something else before looking at the answer, as `select!` does in its arms.
#[tokio::test(flavor = "multi_thread")]
async fn who_asked_and_does_not_look_keeps_nobody_from_the_database() {
    for (test, _) in pairs() {
        let (store, patience) = (&test.store, Duration::from_secs(20));
        let gate = Arc::new(RwLock::new(()));
        let shut = gate.clone().write_owned().await;
        let busy: Vec<_> = (0..20)
            .map(|_| {
                let (store, gate) = (store.clone(), gate.clone());
                let wait = move |_: &mut Tx<'_>| {
                    drop(gate.blocking_read());
                    Ok(())
                };
                tokio::spawn(async move { store.read(wait).await })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(200)).await;
        let mut asked: Vec<_> =
            (0..20).map(|_| Box::pin(store.read(|tx| tx.query_one("SELECT 1", &[], |row| row.int(0))))).collect();
        for call in &mut asked {
            let pending = poll_fn(|context| Poll::Ready(call.as_mut().poll(context).is_pending()));
            assert!(pending.await, "the database is busy");
        }
        drop(shut);
        for call in busy {
            call.await.unwrap().unwrap();
        }
        let read = store.read(|tx| tx.query_one("SELECT 2", &[], |row| row.int(0)));
        assert_eq!(tokio::time::timeout(patience, read).await.expect("it is answered").unwrap(), 2);
        let write = store.write(|tx| events::append(tx, 1, "kind", "object", "{}"));
        tokio::time::timeout(patience, write).await.expect("it is answered").unwrap();
        for call in asked {
            assert_eq!(call.await.unwrap(), 1);
        }
    }
}
