//! Two daemons, many users: exactly one gets a machine, and subscriptions keep their promises whatever happens at once.
//!
//! `MUSTER_RACE_ROUNDS=10000` for many; the default is quick.

use super::once;
use crate::{
    Actor, Engine, Error,
    clock::Clock,
    machine::{self, By},
    services::{
        audit,
        machine::{Move, Request, What, make},
        subscription,
    },
};
use muster_api::{
    machine::MovePost,
    subscription::{SubscriptionPost, SubscriptionPut},
};
use muster_domain::machine::{
    Command, Lifecycle,
    axes::{AllocationKind, Claim, Method},
};
use muster_store::{
    Store, StoreError, Tx, params,
    tables::{
        ALL, audit as chain,
        machines::{self, Machine as MachineRow},
        servers::{self, Server as ServerRow},
        subscriptions::{self, Filter},
    },
    testing::{self, TestStore},
};
use std::{collections::BTreeMap, future::Future, sync::Arc};
use tempfile::TempDir;
use uuid::Uuid;

fn rounds() -> usize {
    std::env::var("MUSTER_RACE_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(200)
}

/// The daemons of a site: one on SQLite, two on PostgreSQL.
struct Site {
    engines: Vec<Engine>,
    _files: Vec<TempDir>,
}

impl Site {
    fn engine(&self, number: usize) -> &Engine {
        &self.engines[number % self.engines.len()]
    }
}

fn on_each_site<F: Future<Output = ()>>(test: impl Fn(Arc<Site>) -> F) {
    testing::stores(|TestStore { store, location, .. }| {
        let mut stores = vec![store.clone()];
        if matches!(location, muster_store::Location::Postgres(_)) {
            stores.push(Store::open(location, testing::keys()).unwrap());
        }
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
        let files: Vec<TempDir> = stores.iter().map(|_| tempfile::tempdir().unwrap()).collect();
        let started = stores.into_iter().zip(&files);
        let engines = started.map(|(store, files)| Engine::start(store, Clock::system(), files.path().into()).unwrap());
        let site = Arc::new(Site { engines: engines.collect(), _files: files });
        runtime.block_on(test(site));
    });
}

fn server(id: &str) -> ServerRow {
    ServerRow {
        id: Uuid::now_v7().to_string(),
        machine_id: id.into(),
        name: id.into(),
        server_type: "incus".into(),
        connection_url: "https://127.0.0.1:1".into(),
        channel: "stable".into(),
        bmc: "{}".into(),
        status: "ready".into(),
        hardware_data: "{}".into(),
        os_data: "{}".into(),
        version_data: "{}".into(),
        bmc_data: "{}".into(),
        ..ServerRow::default()
    }
}

/// Available machines that answer, of the types `big` and `small` in turn.
async fn stock(engine: &Engine, count: usize) -> Vec<String> {
    let ids: Vec<String> = (0..count).map(|_| Uuid::now_v7().to_string()).collect();
    let made = ids.clone();
    let write = engine.store().write(move |tx| {
        for id in ["big", "small"] {
            let sql = "INSERT INTO server_types (id, label, description, specification, created_at) \
                       VALUES ($1, $1, '', '{}', 1)";
            tx.execute(sql, params![id])?;
        }
        for (number, id) in made.iter().enumerate() {
            let row = MachineRow {
                id: id.clone(),
                lifecycle: "available".into(),
                media: "clean".into(),
                server_type: if number % 2 == 0 { "big" } else { "small" }.into(),
                flags:
                    r#"{"flags": {"retire": false, "hold": false, "protected": false, "requires_re_register": false},
                    "type_match": "matched"}"#
                        .into(),
                alerts: r#"{"prevent_allocation": false, "blocking": false}"#.into(),
                inventory: "{}".into(),
                created_at: 1,
                since: 1,
                ..MachineRow::default()
            };
            machines::insert(tx, &row)?;
            servers::insert(tx, &server(id))?;
        }
        Ok(())
    });
    write.await.unwrap();
    ids
}

fn claim(owner: &str) -> Claim {
    Claim { owner: owner.into(), kind: AllocationKind::Standalone, reference: "w".into() }
}

/// One command to a machine; whether it was allowed.
fn command(tx: &mut Tx<'_>, id: &str, command: &Command, now: i64) -> Result<bool, StoreError> {
    let (row, server, _) = machine::read(tx, id)?.ok_or(StoreError::NotFound)?;
    let done = machine::change(tx, row, server.as_ref(), command, By::new("tester", "a test", now))?;
    Ok(done.is_ok())
}

/// Both phases of an allocation at once; whether it was theirs to take.
fn take(tx: &mut Tx<'_>, id: &str, owner: &str, now: i64) -> Result<bool, StoreError> {
    Ok(command(tx, id, &Command::Lock(claim(owner)), now)? && command(tx, id, &Command::Commit, now)?)
}

/// A used machine is given back, cleaned, and comes back.
fn give_back(tx: &mut Tx<'_>, id: &str, now: i64) -> Result<bool, StoreError> {
    if !command(tx, id, &Command::Release { method: Method::OsReset, force: true }, now)? {
        return Ok(false);
    }
    assert!(command(tx, id, &Command::SelfRegister { same_certificate: false }, now)?);
    let pending = ServerRow { status: "pending".into(), status_detail: "registering".into(), ..server(id) };
    servers::insert(tx, &pending)?;
    assert!(command(tx, id, &Command::FirstPoll { open: false, accepts_data: false }, now)?);
    let sql = "UPDATE servers SET status = 'ready', status_detail = '' WHERE machine_id = $1";
    tx.execute(sql, params![id]).map(|_| true)
}

#[test]
fn of_two_who_ask_for_a_machine_at_once_exactly_one_gets_it() {
    on_each_site(|site| async move {
        let id = stock(site.engine(0), 1).await.remove(0);
        let mut won = BTreeMap::new();
        for round in 0..rounds() {
            let ask = |number: usize, owner: &'static str| {
                let (site, id) = (site.clone(), id.clone());
                tokio::spawn(async move {
                    let post = MovePost { owner: owner.into(), ..MovePost::default() };
                    let request = Request { what: What::Move(Move::Allocate), post, dry_run: false };
                    make(site.engine(number), &Actor(format!("tls:{owner}")), &id, request).await
                })
            };
            let (ann, bob) = (ask(round, "ann"), ask(round + 1, "bob"));
            let asked = [("ann", ann.await.unwrap()), ("bob", bob.await.unwrap())];
            let mut winners = Vec::new();
            for (who, outcome) in asked {
                match outcome {
                    Ok(outcome) => winners.push((who, outcome.operation)),
                    Err(Error::Refused(..) | Error::NotPermitted(_) | Error::Retryable(_)) => {}
                    Err(error) => panic!("{who} is told {error}, which does not say why"),
                }
            }
            assert_eq!(winners.len(), 1, "round {round}: {winners:?}");
            let (who, _) = winners.remove(0);
            let (wanted, now) = (id.clone(), site.engine(0).clock().micros());
            let locked = site.engine(round).store().write(move |tx| {
                let locked = machine::read(tx, &wanted)?.and_then(|(_, _, machine)| machine.operation);
                // It is thought better of, at once.
                assert!(command(tx, &wanted, &Command::Fail, now)?);
                tx.execute("DELETE FROM operations", params![])?;
                Ok(locked.and_then(|operation| operation.claim).map(|claim| claim.owner))
            });
            assert_eq!(locked.await.unwrap().as_deref(), Some(who), "round {round}");
            *won.entry(who).or_insert(0) += 1;
        }
        assert_eq!(won.values().sum::<usize>(), rounds());
    });
}

#[test]
fn of_two_who_take_a_machine_at_once_exactly_one_has_it() {
    on_each_site(|site| async move {
        let id = stock(site.engine(0), 1).await.remove(0);
        for round in 0..rounds() {
            let take = |number: usize, owner: &'static str| {
                let (site, id) = (site.clone(), id.clone());
                tokio::spawn(async move {
                    let (engine, now) = (site.engine(number), site.engine(number).clock().micros());
                    engine.store().write(move |tx| take(tx, &id, owner, now)).await.unwrap()
                })
            };
            let (ann, bob) = (take(round, "ann"), take(round + 1, "bob"));
            let (ann, bob) = (ann.await.unwrap(), bob.await.unwrap());
            assert!(ann != bob, "round {round}: ann {ann}, bob {bob}");
            let (wanted, now) = (id.clone(), site.engine(0).clock().micros());
            let owner = site.engine(0).store().write(move |tx| {
                let owner = machine::read(tx, &wanted)?.and_then(|(_, _, machine)| machine.allocation);
                assert!(give_back(tx, &wanted, now)?);
                Ok(owner.map(|allocation| allocation.claim.owner))
            });
            assert_eq!(owner.await.unwrap().as_deref(), Some(if ann { "ann" } else { "bob" }));
        }
    });
}

/// Random numbers that are the same each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % sides as u64).unwrap()
    }
}

const HOLDERS: [&str; 3] = ["ann", "bob", "cat"];
const MACHINES: usize = 10;

/// One thing that somebody does.
async fn something(engine: &Engine, dice: &mut Dice, ids: &[String]) -> Result<(), Error> {
    let (now, actor) = (engine.clock().micros(), Actor("unix".into()));
    let (id, holder) = (ids[dice.roll(ids.len())].clone(), HOLDERS[dice.roll(3)]);
    let known = engine.store().read(|tx| subscriptions::list(tx, &Filter::default(), ALL)).await?;
    let any = (!known.is_empty()).then(|| known[dice.roll(known.len())].id.clone());
    let quantity = i64::try_from(1 + dice.roll(4)).unwrap();
    let hold = dice.roll(2) == 0;
    let button = [Lifecycle::Available, Lifecycle::Unavailable, Lifecycle::Defective][dice.roll(3)];
    let kind = if dice.roll(2) == 0 { "big" } else { "small" };
    let by_id = dice.roll(4) == 0;
    match (dice.roll(12), any) {
        (0, _) | (_, None) if known.len() < 12 => {
            let mut post = SubscriptionPost { holder: holder.into(), quantity, ..SubscriptionPost::default() };
            if by_id {
                (post.machine, post.quantity) = (id, 1);
            } else {
                post.server_type = kind.into();
            }
            subscription::create(engine, &actor, post).await?;
        }
        (0 | 1, Some(any)) => {
            subscription::stop(engine, &actor, &any).await?;
            subscription::delete(engine, &actor, &any).await?;
        }
        (2 | 3, Some(any)) => {
            let put = SubscriptionPut { quantity: Some(quantity), ..SubscriptionPut::default() };
            subscription::edit(engine, &actor, &any, put, None).await?;
        }
        (4 | 5, _) => drop(engine.store().write(move |tx| command(tx, &id, &Command::SetStatus(button), now)).await?),
        (6, _) => drop(engine.store().write(move |tx| command(tx, &id, &Command::SetHold(hold), now)).await?),
        (7, _) => once(engine).await?,
        (8, _) => drop(engine.store().write(move |tx| give_back(tx, &id, now)).await?),
        _ => drop(engine.store().write(move |tx| take(tx, &id, holder, now)).await?),
    }
    Ok(())
}

/// What has to hold whenever anybody looks.
fn promises(tx: &mut Tx<'_>) -> Result<(), StoreError> {
    let mut has: BTreeMap<String, (i64, i64)> = BTreeMap::new();
    let known = subscriptions::list(tx, &Filter::default(), ALL)?;
    for row in machines::list(tx, &machines::Filter::default(), ALL)? {
        let machine = machine::load(&row, None)?;
        if let Some(allocation) = &machine.allocation
            && let Some(id) = &allocation.subscription
        {
            has.entry(id.clone()).or_default().1 += 1;
        }
        assert_eq!(machine.reservation.is_some(), machine.lifecycle == Lifecycle::AvailableReserved, "{row:?}");
        if let Some(reservation) = &machine.reservation {
            has.entry(reservation.subscription.clone()).or_default().0 += 1;
            let of = known.iter().find(|s| s.id == reservation.subscription).expect("the subscription is there");
            assert_eq!((of.holder.as_str(), of.status.as_str()), (reservation.holder.as_str(), "active"));
            match (&of.type_id, &of.machine_id) {
                (Some(id), None) => assert_eq!(*id, row.server_type),
                (_, id) => assert_eq!(id.as_ref(), Some(&row.id)),
            }
        }
    }
    for of in &known {
        let (bound, used) = has.get(&of.id).copied().unwrap_or_default();
        assert!(bound == 0 || bound + used <= of.quantity, "{of:?} has {bound} and uses {used}");
        if of.status == "active" {
            assert!(of.missing <= of.quantity);
            assert!(
                of.missing > 0 || bound + used >= of.quantity,
                "{of:?} has {bound}, uses {used}, and nobody says so"
            );
        }
    }
    Ok(())
}

#[test]
fn subscriptions_keep_their_promises_whatever_happens_at_once() {
    on_each_site(|site| async move {
        let ids = Arc::new(stock(site.engine(0), MACHINES).await);
        let workers = (0..4).map(|worker| {
            let (site, ids) = (site.clone(), ids.clone());
            tokio::spawn(async move {
                let mut dice = Dice(0x9e37_79b9_7f4a_7c15 + worker as u64);
                let engine = site.engine(worker);
                for _ in 0..rounds() / 4 {
                    match something(engine, &mut dice, &ids).await {
                        Ok(())
                        | Err(Error::NotPermitted(_) | Error::NotFound(_) | Error::Stale(_) | Error::Invalid(_)) => {}
                        Err(error) => panic!("{error}"),
                    }
                    engine.store().read(promises).await.unwrap();
                }
            })
        });
        for worker in futures_util::future::join_all(workers.collect::<Vec<_>>()).await {
            worker.unwrap();
        }
        let engine = site.engine(0);
        let states = |tx: &mut Tx<'_>| {
            let rows = machines::list(tx, &machines::Filter::default(), ALL)?;
            Ok(rows.into_iter().map(|row| (row.id, row.lifecycle, row.subscription)).collect::<Vec<_>>())
        };
        let before = engine.store().read(states).await.unwrap();
        once(engine).await.unwrap();
        assert_eq!(engine.store().read(states).await.unwrap(), before, "each transaction had seen to its own");
        // The record tells the same story, in order.
        let entries = engine.store().read(|tx| chain::list(tx, &chain::Filter::default(), 0, ALL)).await.unwrap();
        let mut told: BTreeMap<String, String> = ids.iter().map(|id| (id.clone(), "available".to_owned())).collect();
        for entry in entries.into_iter().map(|record| record.entry).filter(|e| e.action == "machine.transition") {
            let last = told.get_mut(&entry.object).unwrap();
            assert_eq!(Some(&*last), entry.from_state.as_ref(), "{entry:?}");
            *last = entry.to_state.unwrap();
        }
        assert_eq!(before.into_iter().map(|(id, lifecycle, _)| (id, lifecycle)).collect::<BTreeMap<_, _>>(), told);
        // The machines of this test have no births on record; what follows is told above.
        assert!(audit::verify(engine, None).await.unwrap().intact);
    });
}
