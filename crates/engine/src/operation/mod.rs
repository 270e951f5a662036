//! Work that outlives a request: one driver in each process claims what is due, takes one step at a time and records it.
//!
//! A claim is a lease of 30 s, renewed while a machine is being waited for. A process that dies keeps its rows until the
//! lease runs out; the next driver goes on from what is recorded. Nothing is decided here: see `muster_domain::operation`.

mod claim;
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
use claim::{Holder, PAUSE};
use futures_util::FutureExt;
use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};
use tokio::sync::{Notify, Semaphore};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Operations at once. Those that wait hold none.
const AT_ONCE: usize = 128;

/// Works until it is told to stop. Any number of processes may do so on one database.
pub async fn run(engine: Engine, shutdown: CancellationToken) {
    let holder = Holder::new();
    let (permits, tasks, freed) = (Arc::new(Semaphore::new(AT_ONCE)), TaskTracker::new(), Arc::new(Notify::new()));
    let mut changed = engine.store().changed();
    loop {
        changed.borrow_and_update();
        let sleep = match holder.claim(&engine, permits.available_permits()).await {
            Ok((claimed, sleep)) => {
                for (operation, working) in claimed {
                    let Ok(permit) = permits.clone().try_acquire_owned() else { break };
                    let (engine, freed, stop) = (engine.clone(), freed.clone(), shutdown.clone());
                    tasks.spawn(async move {
                        let id = operation.id.clone();
                        let work = AssertUnwindSafe(work::work(&engine, working.owner(), operation)).catch_unwind();
                        let ended = tokio::select! {
                            // Told to stop, it leaves everything as after a crash, but for the lease.
                            () = stop.cancelled() => Ok(()),
                            ended = work => ended,
                        };
                        if ended.is_err() {
                            tracing::error!(operation = %id, "the work on an operation broke down; it is tried again");
                            tokio::time::sleep(engine.lease()).await;
                        }
                        working.release(&engine, &stop).await;
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
