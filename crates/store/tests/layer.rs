//! The layer itself, on both databases: what commits, what is undone, what others see.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use muster_store::tables::ALL;
use muster_store::tables::channels::{self, Channel};
use muster_store::tables::operations::{self, Operation};
use muster_store::testing::{self, TestStore, stores};
use muster_store::{Key, KeyRing, SealError, Secret, Store, StoreError, Value, Violation, params};

fn channel(name: &str) -> Channel {
    Channel { name: name.into(), last_updated: 1, ..Channel::default() }
}

fn names(store: &Store) -> Vec<String> {
    let channels = store.read_blocking(|tx| channels::list(tx, None, ALL)).expect("channels can be listed");
    channels.into_iter().map(|channel| channel.name).collect()
}

#[test]
fn a_fresh_database_has_the_stable_channel() {
    stores(|TestStore { store, .. }| {
        let stable = store.read_blocking(|tx| channels::get(tx, "stable")).unwrap().unwrap();
        assert_eq!(stable.description, "Stable updates channel");
        assert_eq!(names(store), ["stable"]);
    });
}

#[test]
fn err_and_panic_undo_everything() {
    stores(|TestStore { store, .. }| {
        let refused = store.write_blocking(|tx| {
            channels::insert(tx, &channel("a"))?;
            Err::<(), _>(StoreError::Stale)
        });
        assert_eq!(refused, Err(StoreError::Stale));
        let panicked = store.write_blocking(|tx| {
            channels::insert(tx, &channel("b"))?;
            if channels::get(tx, "b")?.is_some() {
                panic!("the closure's own bug");
            }
            Ok(())
        });
        assert_eq!(panicked, Err(StoreError::Panicked("the closure's own bug".into())));
        assert_eq!(names(store), ["stable"]);
        store.write_blocking(|tx| channels::insert(tx, &channel("c"))).unwrap();
        assert_eq!(names(store), ["c", "stable"], "the store still works");
    });
}

#[test]
fn a_swallowed_failure_is_not_committed() {
    stores(|TestStore { store, .. }| {
        let outcome = store.write_blocking(|tx| {
            channels::insert(tx, &channel("a"))?;
            assert!(channels::insert(tx, &channel("a")).is_err());
            let later = channels::insert(tx, &channel("b")).unwrap_err();
            assert_eq!(later.violation(), Some(Violation::Unique), "a spoilt transaction takes nothing more");
            Ok(())
        });
        assert_eq!(outcome.unwrap_err().violation(), Some(Violation::Unique));
        assert_eq!(names(store), ["stable"]);
    });
}

#[test]
fn a_savepoint_undoes_only_its_own() {
    stores(|TestStore { store, .. }| {
        store
            .write_blocking(|tx| {
                channels::insert(tx, &channel("a"))?;
                let inner = tx.savepoint(|tx| {
                    channels::insert(tx, &channel("b"))?;
                    tx.savepoint(|tx| channels::insert(tx, &channel("c")))?;
                    channels::insert(tx, &channel("a"))
                });
                assert_eq!(inner.unwrap_err().violation(), Some(Violation::Unique));
                channels::insert(tx, &channel("d"))
            })
            .unwrap();
        assert_eq!(names(store), ["a", "d", "stable"]);
    });
}

#[test]
fn schema_rules_become_constraint_errors() {
    stores(|TestStore { store, .. }| {
        let fails = |sql: &'static str, wanted| {
            let error = store.write_blocking(move |tx| tx.execute(sql, &[])).unwrap_err();
            assert_eq!(error.violation(), Some(wanted), "{error}");
        };
        fails("INSERT INTO channels (name, description, last_updated) VALUES ('stable', '', 0)", Violation::Unique);
        fails("INSERT INTO channels (name, description, last_updated) VALUES ('', '', 0)", Violation::Check);
        fails("INSERT INTO channels (name, last_updated) VALUES ('x', 0)", Violation::NotNull);
        fails(
            "INSERT INTO tokens (uuid, uses_remaining, expire_at, expire_at_us, description, channel) \
             VALUES ('t', 1, '', 0, '', 'none')",
            Violation::ForeignKey,
        );
        let error = store.write_blocking(|tx| tx.execute("SELEC", &[])).unwrap_err();
        assert!(matches!(error, StoreError::Database(_)));
    });
}

#[test]
fn every_kind_of_value_comes_back() {
    stores(|TestStore { store, .. }| {
        store
            .read_blocking(|tx| {
                let sql = "SELECT name, last_updated, last_updated = $1, CAST($2 AS TEXT), $1, 'it costs $2', NULL \
                           FROM channels WHERE name = $3";
                let row = tx.query_one(sql, params![0, None::<&str>, "stable"], |row| {
                    assert!(row.int(0).is_err(), "text is not a number");
                    assert!(row.text(3).is_err(), "NULL is not a text");
                    assert_eq!(row.opt_text(3)?, None);
                    assert_eq!(row.str(5)?, "it costs $2");
                    Ok((row.text(0)?, row.int(1)?, row.bool(2)?))
                })?;
                assert_eq!(row, ("stable".to_owned(), 0, true));
                assert_eq!(tx.query_one("SELECT count(*) FROM channels", &[], |row| row.int(0))?, 1);
                let missing = tx.query_one("SELECT 1 FROM channels WHERE name = $1", params!["x"], |row| row.int(0));
                assert_eq!(missing, Err(StoreError::NotFound));
                Ok(())
            })
            .unwrap();
        let blob = vec![0_u8, 255, 1];
        let (sql, cast) = if store.is_postgres() { ("BYTEA", "$1::bytea") } else { ("BLOB", "$1") };
        let back = store.write_blocking(move |tx| {
            tx.execute(&format!("CREATE TABLE bytes (b {sql})"), &[])?;
            tx.execute(&format!("INSERT INTO bytes (b) VALUES ({cast})"), &[Value::Blob(vec![0, 255, 1])])?;
            tx.query_one("SELECT b FROM bytes", &[], |row| row.blob(0))
        });
        assert_eq!(back, Ok(blob));
    });
}

#[test]
fn reading_cannot_write() {
    stores(|TestStore { store, .. }| {
        assert!(store.read_blocking(|tx| channels::insert(tx, &channel("a"))).is_err());
        assert_eq!(names(store), ["stable"]);
    });
}

#[test]
fn text_is_ordered_by_bytes_whatever_the_locale() {
    stores(|TestStore { store, .. }| {
        for name in ["b", "B", "a", "Z", "é"] {
            store.write_blocking(move |tx| channels::insert(tx, &channel(name))).unwrap();
        }
        assert_eq!(names(store), ["B", "Z", "a", "b", "stable", "é"]);
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn failing_neighbours_do_not_touch_a_write_of_the_same_batch() {
    for test in [Some(testing::sqlite()), testing::postgres()].into_iter().flatten() {
        let mut calls = tokio::task::JoinSet::new();
        for number in 0..200 {
            let store = test.store.clone();
            calls.spawn(async move {
                let outcome = store
                    .write(move |tx| {
                        channels::insert(tx, &channel(&format!("c{number:03}")))?;
                        match number % 4 {
                            1 => Err(StoreError::Stale),
                            2 => channels::insert(tx, &channel("stable")),
                            3 => panic!("on purpose"),
                            _ => Ok(()),
                        }
                    })
                    .await;
                (number, outcome)
            });
        }
        while let Some(call) = calls.join_next().await {
            let (number, outcome) = call.unwrap();
            match number % 4 {
                0 => assert_eq!(outcome, Ok(())),
                1 => assert_eq!(outcome, Err(StoreError::Stale)),
                2 => assert_eq!(outcome.unwrap_err().violation(), Some(Violation::Unique)),
                _ => assert_eq!(outcome, Err(StoreError::Panicked("on purpose".into()))),
            }
        }
        let kept = test.store.read(|tx| channels::list(tx, None, ALL)).await.unwrap();
        let kept: Vec<_> = kept.into_iter().map(|channel| channel.name).collect();
        let mut wanted: Vec<_> = (0..200).step_by(4).map(|number| format!("c{number:03}")).collect();
        wanted.push("stable".into());
        assert_eq!(kept, wanted);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_counting_loses_nothing() {
    for test in [Some(testing::sqlite()), testing::postgres()].into_iter().flatten() {
        let runs = Arc::new(AtomicUsize::new(0));
        let mut calls = tokio::task::JoinSet::new();
        for _ in 0..40 {
            let (store, runs) = (test.store.clone(), runs.clone());
            calls.spawn(async move {
                store
                    .write(move |tx| {
                        runs.fetch_add(1, Ordering::Relaxed);
                        let sql = "SELECT last_updated FROM channels WHERE name = 'stable'";
                        let seen = tx.query_one(sql, &[], |row| row.int(0))?;
                        channels::update_description(tx, "stable", "", seen + 1)
                    })
                    .await
            });
        }
        while let Some(call) = calls.join_next().await {
            call.unwrap().unwrap();
        }
        let stable = test.store.read(|tx| channels::get(tx, "stable")).await.unwrap().unwrap();
        assert_eq!(stable.last_updated, 40);
        assert!(runs.load(Ordering::Relaxed) >= 40);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn commits_tick_here_and_in_other_processes() {
    for test in [Some(testing::sqlite()), testing::postgres()].into_iter().flatten() {
        let mut here = test.store.changed();
        here.mark_unchanged();
        test.store.write(|tx| channels::get(tx, "stable")).await.unwrap();
        let refused = test.store.write(|tx| {
            channels::insert(tx, &channel("a"))?;
            Err::<(), _>(StoreError::Stale)
        });
        refused.await.unwrap_err();
        assert!(!here.has_changed().unwrap(), "nothing has changed yet");

        let other = test.store.is_postgres().then(|| Store::open(&test.location, testing::keys()).unwrap());
        let mut there = other.as_ref().map(Store::changed);
        test.store.write(|tx| channels::insert(tx, &channel("a"))).await.unwrap();
        tokio::time::timeout(Duration::from_secs(10), here.changed()).await.unwrap().unwrap();
        if let Some(there) = &mut there {
            tokio::time::timeout(Duration::from_secs(10), there.changed()).await.unwrap().unwrap();
        }
    }
}

#[tokio::test]
async fn blocking_calls_and_closing_work_inside_a_runtime() {
    for test in [Some(testing::sqlite()), testing::postgres()].into_iter().flatten() {
        test.store.write_blocking(|tx| channels::insert(tx, &channel("a"))).unwrap();
        let second = Store::open(&test.location, testing::keys()).unwrap();
        assert_eq!(names(&second), ["a", "stable"]);
        drop(second);
    }
}

#[test]
fn data_and_schema_outlive_the_store() {
    stores(|TestStore { store, location, .. }| {
        store.write_blocking(|tx| channels::insert(tx, &channel("a"))).unwrap();
        let again = Store::open(location, testing::keys()).unwrap();
        assert_eq!(names(&again), ["a", "stable"]);
    });
}

#[test]
fn documents_of_operations_move_out_of_their_state() {
    stores(|TestStore { store, location, .. }| {
        let (plan, begun) = (r#"{"plan":"{\"documents\":1}","mark":{}}"#, r#"{"plan":"p","documents":"SEALED"}"#);
        let made = store.write_blocking(move |tx| {
            for id in ["a", "b"] {
                operations::insert(tx, &Operation { id: id.into(), state: plan.into(), ..Operation::default() })?;
            }
            operations::set_documents(tx, "b", Some(&Secret::from("secret")))?;
            let sealed = tx.query_one("SELECT documents FROM operations WHERE id = 'b'", &[], |row| row.text(0))?;
            let state = begun.replace("SEALED", &sealed);
            tx.execute("UPDATE operations SET state = $1 WHERE id = 'b'", params![state])?;
            testing::back_to(tx, 1)?;
            Ok(())
        });
        made.unwrap();
        let again = Store::open(location, testing::keys()).unwrap();
        let state = |id: &'static str| {
            let row = again.read_blocking(move |tx| operations::get(tx, id)).unwrap().unwrap();
            (row.state, again.read_blocking(move |tx| operations::documents(tx, id)).unwrap())
        };
        assert_eq!(state("a"), (plan.into(), None));
        assert_eq!(state("b"), (r#"{"plan":"p"}"#.into(), Some(Secret::from("secret"))));
    });
}

#[test]
fn a_foreign_key_ring_is_refused_with_the_remedy() {
    stores(|TestStore { location, .. }| {
        let Err(error) = Store::open(location, KeyRing::new(Key::new([9; 32]), Vec::new())) else {
            panic!("opened with a foreign key")
        };
        assert!(matches!(error, StoreError::Sealed(SealError::UnknownKey { .. })), "{error}");
        assert!(error.to_string().contains("key file that belongs to this database"));
    });
}

#[test]
fn a_database_of_a_newer_program_is_refused() {
    stores(|TestStore { store, location, .. }| {
        store
            .write_blocking(|tx| {
                let sql = "INSERT INTO refinery_schema_history (version, name, applied_on, checksum) \
                           SELECT 9999, 'future', applied_on, checksum FROM refinery_schema_history WHERE version = 1";
                tx.execute(sql, &[])
            })
            .unwrap();
        assert!(matches!(Store::open(location, testing::keys()), Err(StoreError::Migration(_))));
    });
}

#[test]
fn processes_that_start_together_migrate_once() {
    let Some(test) = testing::postgres() else { return };
    let drop_all = "DROP SCHEMA public CASCADE; CREATE SCHEMA public";
    test.store
        .write_blocking(move |tx| {
            for sql in drop_all.split("; ") {
                tx.execute(sql, &[])?;
            }
            Ok(())
        })
        .unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| Store::open(&test.location, testing::keys()).unwrap());
        }
    });
}

#[test]
fn a_lost_connection_is_replaced_unnoticed() {
    let Some(test) = testing::postgres() else { return };
    let mut changed = test.store.changed();
    let admin = Store::open(&test.location, testing::keys()).unwrap();
    for round in 0..3 {
        changed.mark_unchanged();
        test.store.write_blocking(move |tx| channels::insert(tx, &channel(&format!("before{round}")))).unwrap();
        let others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                      WHERE datname = current_database() AND pid <> pg_backend_pid()";
        assert!(!admin.read_blocking(|tx| tx.query(others, &[], |row| row.bool(0))).unwrap().is_empty());
        test.store.write_blocking(move |tx| channels::insert(tx, &channel(&format!("after{round}")))).unwrap();
        assert!(names(&test.store).contains(&format!("after{round}")));
    }
    // The listener comes back too, and hears of what others do.
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    let mut number = 0;
    loop {
        changed.mark_unchanged();
        number += 1;
        admin.write_blocking(move |tx| channels::insert(tx, &channel(&format!("other{number}")))).unwrap();
        std::thread::sleep(Duration::from_millis(100));
        if changed.has_changed().unwrap() {
            break;
        }
        assert!(std::time::Instant::now() < deadline, "the listener did not come back");
    }
}

#[test]
fn a_full_disk_fails_the_write_and_not_the_store() {
    let test = testing::sqlite();
    let limit = |pages: i64| {
        let sql = format!("PRAGMA max_page_count = {pages}");
        test.store.write_blocking(move |tx| tx.query_one(&sql, &[], |row| row.int(0))).unwrap()
    };
    limit(1); // As many pages as there are.
    let big = |name: &'static str| {
        let description = "x".repeat(1 << 20);
        test.store.write_blocking(move |tx| {
            channels::insert(tx, &Channel { description: description.clone(), ..channel(name) })
        })
    };
    assert!(matches!(big("a"), Err(StoreError::Database(_))));
    limit(1 << 20);
    assert_eq!(names(&test.store), ["stable"]);
    big("b").unwrap();
    assert_eq!(names(&test.store), ["b", "stable"]);
}

#[test]
fn a_store_call_inside_a_store_call_is_refused() {
    stores(|TestStore { store, .. }| {
        let inner = store.clone();
        let outcome = store.write_blocking(move |_| inner.write_blocking(|tx| channels::list(tx, None, ALL)));
        assert!(matches!(outcome, Err(StoreError::Database(_))));
        assert_eq!(names(store), ["stable"]);
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_fails_is_told_to_everybody_in_it() {
    let test = testing::sqlite();
    let (release, gate) = std::sync::mpsc::channel::<()>();
    let gate = std::sync::Mutex::new(gate);
    let busy = test.store.clone();
    // Keeps the writer until the others have queued up behind it, and longer than a batch lasts.
    let first = tokio::spawn(async move {
        let wait = move |_: &mut muster_store::Tx| {
            gate.lock().unwrap().recv().unwrap();
            std::thread::sleep(Duration::from_millis(60));
            Ok(())
        };
        busy.write(wait).await
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    let broken = |tx: &mut muster_store::Tx| {
        tx.query_opt("PRAGMA defer_foreign_keys = ON", &[], |_| Ok(()))?;
        let sql = "INSERT INTO tokens (uuid, uses_remaining, expire_at, expire_at_us, description, channel) \
                   VALUES ('t', 1, '', 0, '', 'none')";
        tx.execute(sql, &[])
    };
    let (one, two) = (channel("one"), channel("two"));
    let batch = async {
        tokio::join!(
            test.store.write(move |tx| channels::insert(tx, &one)),
            test.store.write(broken),
            test.store.write(move |tx| channels::insert(tx, &two)),
            async { release.send(()).unwrap() },
        )
    };
    let (one, broken, two, ()) = batch.await;
    assert_eq!(first.await.unwrap(), Ok(()), "it was in a batch of its own");
    for outcome in [one, broken.map(drop), two] {
        assert_eq!(outcome.unwrap_err().violation(), Some(Violation::ForeignKey));
    }
    let listed = test.store.write(|tx| channels::list(tx, None, ALL)).await.unwrap();
    assert_eq!(listed.len(), 1, "nothing of the batch was kept, and the writer goes on");
}
