//! Which updates are in which channels, rules, freezes and withdrawals, on both databases.

use muster_store::tables::channels::{self, Channel, Mark, Rule};
use muster_store::tables::updates::{self, Member, Update, Withdrawal};
use muster_store::testing::{self, TestStore, stores};
use muster_store::{Store, StoreError, Tx, Violation};

/// Runs a test's writes and expects them to work.
fn write<T: Send + 'static>(store: &Store, f: impl Fn(&mut Tx) -> Result<T, StoreError> + Send + 'static) -> T {
    store.write_blocking(f).expect("the write succeeds")
}

const ONE: &str = "00000000-0000-4000-8000-000000000001";

fn update(uuid: &str) -> Update {
    Update {
        uuid: uuid.into(),
        origin: "sim".into(),
        version: "202511010000".into(),
        severity: "low".into(),
        status: "ready".into(),
        last_updated: 5,
        ..Update::default()
    }
}

/// Channels `testing` and `edge` beside `stable`, and an update.
fn fill(store: &Store) {
    write(store, |tx| {
        for name in ["testing", "edge"] {
            channels::insert(tx, &Channel { name: name.into(), last_updated: 1, ..Channel::default() })?;
        }
        updates::upsert(tx, &update(ONE))
    });
}

fn member(store: &Store) -> Member {
    write(store, updates::members).remove(0)
}

fn pairs(list: &[(&str, i64)]) -> Vec<(String, i64)> {
    list.iter().map(|(name, at)| ((*name).to_owned(), *at)).collect()
}

#[test]
fn an_update_is_in_a_channel_since_it_came_and_enters_it_by_itself_once() {
    stores(|TestStore { store, .. }| {
        fill(store);
        let set = |names: &[&str], now: i64| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            write(store, move |tx| updates::set_channels(tx, ONE, &names, now));
        };
        set(&["testing"], 10);
        set(&["testing", "edge"], 20);
        let expected = Member {
            uuid: ONE.into(),
            version: "202511010000".into(),
            severity: "low".into(),
            since: pairs(&[("edge", 20), ("testing", 10)]),
            entered: vec!["edge".into(), "testing".into()],
        };
        assert_eq!(member(store), expected);

        let count = write(store, updates::changes);
        assert!(write(store, |tx| updates::enter(tx, ONE, "stable", 15)));
        assert_eq!(write(store, updates::changes), count + 1);
        assert_eq!(write(store, |tx| updates::get(tx, ONE)).unwrap().last_updated, 21, "another state than before");
        assert!(!write(store, |tx| updates::enter(tx, ONE, "stable", 30)));
        set(&[], 40);
        assert_eq!(member(store).since, []);
        assert!(!write(store, |tx| updates::enter(tx, ONE, "stable", 50)), "it was taken out by hand");
        assert_eq!(write(store, updates::changes), count + 2);
        set(&["stable"], 60);
        assert_eq!(member(store).since, pairs(&[("stable", 60)]));

        let missing = store.write_blocking(|tx| updates::enter(tx, "none", "stable", 1));
        assert_eq!(missing, Err(StoreError::NotFound));
        write(store, |tx| updates::upsert(tx, &Update { status: "pending".into(), ..update(ONE) }));
        assert_eq!(write(store, updates::members), [], "one whose files are not all here is in no channel");
    });
}

#[test]
fn rules_and_freezes_belong_to_their_channel_and_a_followed_one_stays() {
    stores(|TestStore { store, .. }| {
        fill(store);
        let rule = Rule { follows: "testing".into(), after_seconds: 604_800, at_once: Some("critical".into()) };
        let mark = Mark { at: 7, actor: "unix".into(), reason: "an incident".into() };
        let (set, freeze, count) = (rule.clone(), mark.clone(), write(store, updates::changes));
        write(store, move |tx| {
            channels::set_rule(tx, "stable", Some(&set), 8)?;
            channels::set_freeze(tx, "stable", Some(&freeze), 9)
        });
        assert_eq!(write(store, updates::changes), count + 2);
        let stable = write(store, |tx| channels::get(tx, "stable")).unwrap();
        assert_eq!((stable.last_updated, stable.rule, stable.freeze), (9, Some(rule), Some(mark)));
        assert_eq!(write(store, |tx| channels::followers(tx, "testing")), ["stable"]);
        let error = store.write_blocking(|tx| channels::delete(tx, "testing")).unwrap_err();
        assert_eq!(error.violation(), Some(Violation::ForeignKey));

        let none = Rule { follows: "none".into(), after_seconds: 0, at_once: None };
        let error = store.write_blocking(move |tx| channels::set_rule(tx, "edge", Some(&none), 10)).unwrap_err();
        assert_eq!(error.violation(), Some(Violation::ForeignKey));
        let missing = store.write_blocking(|tx| channels::set_freeze(tx, "none", None, 10));
        assert_eq!(missing, Err(StoreError::NotFound));

        write(store, |tx| {
            channels::set_rule(tx, "stable", None, 10)?;
            channels::set_freeze(tx, "stable", None, 11)?;
            channels::delete(tx, "testing")
        });
        let all = write(store, |tx| channels::list(tx, None, 10));
        assert!(all.iter().all(|channel| channel.rule.is_none() && channel.freeze.is_none()), "{all:?}");
    });
}

#[test]
fn a_withdrawal_outlives_its_update_and_a_document_does_not() {
    stores(|TestStore { store, .. }| {
        fill(store);
        let withdrawal = Withdrawal {
            uuid: ONE.into(),
            origin: "sim".into(),
            version: "202511010000".into(),
            mark: Mark { at: 3, actor: "unix".into(), reason: "it does not boot".into() },
        };
        let (stored, count) = (withdrawal.clone(), write(store, updates::changes));
        let withdraw = move |tx: &mut Tx| updates::withdraw(tx, &stored);
        write(store, withdraw.clone());
        assert_eq!(store.write_blocking(withdraw).unwrap_err().violation(), Some(Violation::Unique));
        assert_eq!(write(store, updates::changes), count + 1);
        assert_eq!(write(store, |tx| updates::get(tx, ONE)).unwrap().last_updated, 6);
        write(store, |tx| updates::put_document(tx, ONE, b"first"));
        write(store, |tx| updates::put_document(tx, ONE, b"signed \0\xff"));
        assert_eq!(write(store, |tx| updates::document(tx, ONE)), Some(b"signed \0\xff".to_vec()));
        assert!(write(store, |tx| updates::has_document(tx, ONE)));

        write(store, updates::delete_all);
        assert_eq!(write(store, |tx| updates::document(tx, ONE)), None);
        assert!(!write(store, |tx| updates::has_document(tx, ONE)));
        assert_eq!(write(store, updates::withdrawals), vec![withdrawal.clone()]);
        assert_eq!(write(store, |tx| updates::withdrawal(tx, ONE)), Some(withdrawal));
        assert_eq!(write(store, updates::withdrawn).into_iter().map(|id| id.to_string()).collect::<Vec<_>>(), [ONE]);
        write(store, |tx| updates::restore(tx, ONE, 9));
        assert_eq!(write(store, updates::withdrawn).len(), 0);
        assert_eq!(store.write_blocking(|tx| updates::restore(tx, ONE, 9)), Err(StoreError::NotFound));
    });
}

#[test]
fn what_was_in_a_channel_before_it_was_noted_is_in_it_since_its_last_change() {
    stores(|TestStore { store, location, .. }| {
        fill(store);
        write(store, |tx| {
            updates::set_channels(tx, ONE, &["stable".into()], 40)?;
            testing::back_to(tx, 5)
        });
        let again = Store::open(location, testing::keys()).expect("it is brought to the newest schema");
        let member = member(&again);
        assert_eq!((member.since, member.entered), (pairs(&[("stable", 40)]), vec!["stable".to_owned()]));
    });
}
