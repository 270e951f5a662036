//! Who is polled when: every server at the interval of its state, spread over the interval, at most so many at once. A machine
//! that hangs costs its own slot and nothing else.

use crate::{Engine, services::server::tracking};
use muster_api::time::Time;
use muster_domain::server::{
    enrolment::{Enrolment, PollOrigin},
    status::poll_interval,
};
use muster_store::{
    StoreError,
    tables::{leases, servers},
};
use std::{
    collections::{HashMap, HashSet, hash_map::DefaultHasher},
    hash::{Hash, Hasher},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::sync::Semaphore;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Polls at once.
const AT_ONCE: usize = 256;
const TICK: Duration = Duration::from_secs(1);
const LEASE: &str = "poller";
/// How long a daemon that died keeps others from polling at most, in microseconds.
const LEASE_US: i64 = 15_000_000;
/// A ready server's documents are collected anew this often, in microseconds.
const FULL_US: i64 = 3_600_000_000;

/// When a server was polled last, by this process.
#[derive(Clone, Copy)]
struct Polled {
    at: i64,
    full_at: i64,
    /// It was pending then: its rhythm as a ready server has not begun.
    pending: bool,
}

/// Polls until it is told to stop. Of several daemons on one database, one polls.
pub async fn run(engine: Engine, shutdown: CancellationToken) {
    let owner = uuid::Uuid::now_v7().to_string();
    let (permits, tasks) = (Arc::new(Semaphore::new(AT_ONCE)), TaskTracker::new());
    let running: Arc<Mutex<HashSet<String>>> = Arc::default();
    let mut polled: HashMap<String, Polled> = HashMap::new();
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => break,
            _ = tick.tick() => {}
        }
        let now = engine.clock().micros();
        match lease(&engine, &owner, now).await {
            Ok(None) => {}
            Ok(Some(lapses)) => {
                // Looked at again the moment it lapses: nobody polls for no longer than the lease.
                tick.reset_after(lapses.min(TICK));
                continue;
            }
            Err(e) => {
                tracing::error!(error = %e, "cannot find out who polls");
                continue;
            }
        }
        let keys = match engine.store().read(|tx| servers::keys(tx, &servers::Filter::default(), i64::MAX)).await {
            Ok(keys) => keys,
            Err(e) => {
                tracing::error!(error = %e, "cannot read which servers to poll");
                continue;
            }
        };
        let longest = i64::try_from(engine.poll_within().as_micros()).unwrap_or(i64::MAX);
        let present: HashSet<&str> = keys.iter().map(|k| k.id.as_str()).collect();
        polled.retain(|id, _| present.contains(id.as_str()));
        for key in &keys {
            let mut known = *polled.entry(key.id.clone()).or_insert_with(|| first_sight(key, longest, now));
            if known.pending && key.status != "pending" {
                // A fleet that registers at once must not stay in step.
                known = Polled { full_at: known.full_at, ..first_sight(key, longest, now) };
                polled.insert(key.id.clone(), known);
            }
            let Some(full) = due(key, known, longest, now) else { continue };
            if !running.lock().unwrap_or_else(PoisonError::into_inner).insert(key.id.clone()) {
                continue;
            }
            polled.insert(
                key.id.clone(),
                Polled { at: now, full_at: if full { now } else { known.full_at }, pending: key.status == "pending" },
            );
            let (engine, id, running, permits) = (engine.clone(), key.id.clone(), running.clone(), permits.clone());
            tasks.spawn(async move {
                if let Ok(_permit) = permits.acquire().await
                    && let Err(e) = crate::poll::poll(&engine, &id, full, PollOrigin::Background).await
                {
                    tracing::debug!(server = %id, error = %e, "poll");
                }
                running.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
            });
        }
    }
    tasks.close();
    // Polls end by their own deadlines; nothing is lost when they do not.
    tokio::time::timeout(Duration::from_secs(5), tasks.wait()).await.ok();
    engine.store().write(move |tx| leases::release(tx, LEASE, &owner)).await.ok();
}

/// Takes or renews the right to poll; while another daemon has it, answers when that lapses.
async fn lease(engine: &Engine, owner: &str, now: i64) -> Result<Option<Duration>, StoreError> {
    let (owner, until) = (owner.to_owned(), now + engine.lease_us().min(LEASE_US));
    let holder = engine.store().write(move |tx| match leases::acquire(tx, LEASE, &owner, now, until)? {
        true => Ok(None),
        false => leases::holder(tx, LEASE),
    });
    let lapses = holder.await?.map(|(_, until)| u64::try_from(until - now).unwrap_or(0).max(1000));
    Ok(lapses.map(Duration::from_micros))
}

/// A server not polled by this process yet: somewhere in its rhythm, so that a fleet is asked evenly. A pending one is polled
/// by the operation of its registration first.
fn first_sight(key: &servers::ServerKey, longest: i64, now: i64) -> Polled {
    let Some(interval) = interval(key, longest, now) else { return Polled { at: now, full_at: now, pending: false } };
    if key.status == "pending" {
        return Polled { at: now, full_at: 0, pending: true };
    }
    let within = |period: i64| now - i64::try_from(hash(&key.id) % period.max(1).unsigned_abs()).unwrap_or(0);
    Polled { at: within(interval), full_at: within(FULL_US), pending: false }
}

/// Whether a server is due, and then whether everything is collected.
fn due(key: &servers::ServerKey, polled: Polled, longest: i64, now: i64) -> Option<bool> {
    (now - polled.at >= interval(key, longest, now)?)
        .then(|| key.status == "pending" || now - polled.full_at >= FULL_US)
}

/// Time between two polls, at most `longest`; both in microseconds. None for one that is not polled.
fn interval(key: &servers::ServerKey, longest: i64, now: i64) -> Option<i64> {
    let since = tracking::timestamp(key.last_status_updated);
    let (status, detail) = (key.status.parse().unwrap_or_default(), key.status_detail.parse().unwrap_or_default());
    let mut enrolment = Enrolment::new(status, detail, since);
    enrolment.failures = u32::try_from(key.failures).unwrap_or(u32::MAX);
    let interval = poll_interval(&enrolment, Time::from_micros(now).0)?;
    Some(i64::try_from(interval.as_micros()).unwrap_or(i64::MAX).min(longest))
}

fn hash(id: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    id.hash(&mut hasher);
    hasher.finish()
}
