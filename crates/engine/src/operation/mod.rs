//! Work that outlives a request: one driver in each process claims what is due, takes one step at a time and records it.
//!
//! A claim is a lease of 30 s, renewed while a machine is being waited for. A process that dies keeps its rows until the
//! lease runs out; the next driver goes on from what is recorded. Nothing is decided here: see `muster_domain::operation`.

mod machine;
mod observe;
mod perform;
mod plan;
mod provider;
mod record;
mod refresh;
mod reset;
mod work;

pub(crate) use observe::passive;
pub(crate) use perform::RETRYABLE;
pub(crate) use plan::{Observed, Plan};
pub(crate) use record::{Documents, Ending, Mark, Params, State, steps, unreadable};
pub use record::{StepView, Wish};
pub(crate) use work::{replace, stored};

use crate::Engine;
use futures_util::FutureExt;
use muster_store::tables::operations;
use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};
use tokio::sync::{Notify, Semaphore};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Operations at once. Those that wait hold none.
const AT_ONCE: usize = 128;
/// The longest sleep: what another process did to the database on SQLite is seen then at the latest.
const LONGEST: Duration = Duration::from_secs(30);
/// After a failure of the database.
const PAUSE: Duration = Duration::from_secs(2);

/// Works until it is told to stop. Any number of processes may do so on one database.
pub async fn run(engine: Engine, shutdown: CancellationToken) {
    let owner = uuid::Uuid::now_v7().to_string();
    let (permits, tasks, freed) = (Arc::new(Semaphore::new(AT_ONCE)), TaskTracker::new(), Arc::new(Notify::new()));
    let mut changed = engine.store().changed();
    loop {
        changed.borrow_and_update();
        let sleep = match claim(&engine, &owner, permits.available_permits()).await {
            Ok((claimed, sleep)) => {
                for operation in claimed {
                    let Ok(permit) = permits.clone().try_acquire_owned() else { break };
                    let (engine, owner, freed, stop) = (engine.clone(), owner.clone(), freed.clone(), shutdown.clone());
                    tasks.spawn(async move {
                        let id = operation.id.clone();
                        let work = AssertUnwindSafe(work::work(&engine, &owner, operation)).catch_unwind();
                        let ended = tokio::select! {
                            // Told to stop, it leaves everything as after a crash, but for the lease.
                            () = stop.cancelled() => Ok(()),
                            ended = work => ended,
                        };
                        if ended.is_err() {
                            tracing::error!(operation = %id, "the work on an operation broke down; it is tried again");
                            tokio::time::sleep(engine.lease()).await;
                        }
                        release(&engine, &id, &owner, &stop).await;
                        drop(permit);
                        freed.notify_one();
                    });
                }
                sleep
            }
            Err(e) => {
                tracing::error!(error = %e, "cannot look for operations that are due");
                PAUSE
            }
        };
        tokio::select! {
            () = shutdown.cancelled() => break,
            _ = changed.changed() => {}
            () = freed.notified() => {}
            () = tokio::time::sleep(sleep) => {}
        }
    }
    tasks.close();
    tokio::time::timeout(Duration::from_secs(5), tasks.wait()).await.ok();
}

/// Gives a lease back. This process never claims what it holds, so it has to.
async fn release(engine: &Engine, id: &str, owner: &str, stop: &CancellationToken) {
    loop {
        let (id, owner) = (id.to_owned(), owner.to_owned());
        let done = engine.store().write(move |tx| operations::release(tx, &id, &owner)).await;
        if done.is_ok() || stop.is_cancelled() {
            return;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Claims what is due, as far as there is room; answers also how long to sleep. Reads first: most wake-ups are for
/// changes that no operation waits for.
async fn claim(
    engine: &Engine,
    owner: &str,
    room: usize,
) -> Result<(Vec<operations::Operation>, Duration), muster_store::StoreError> {
    if room == 0 {
        return Ok((Vec::new(), LONGEST));
    }
    let now = engine.clock().micros();
    let asking = owner.to_owned();
    match engine.store().read(move |tx| operations::next_due(tx, &asking)).await? {
        None => return Ok((Vec::new(), LONGEST)),
        Some(due) if due > now => {
            let micros = u64::try_from(due - now).unwrap_or(0);
            return Ok((Vec::new(), Duration::from_micros(micros).min(LONGEST)));
        }
        Some(_) => {}
    }
    let owner = owner.to_owned();
    let room = i64::try_from(room).unwrap_or(i64::MAX);
    let until = now + engine.lease_us();
    let claimed = engine.store().write(move |tx| operations::claim_due(tx, &owner, now, until, room)).await?;
    // The claim itself ticks, so the next round looks at once.
    Ok((claimed, LONGEST))
}
