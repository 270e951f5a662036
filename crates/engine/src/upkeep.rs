//! What has to be tidied up from time to time: the events are kept up to a number and an age, which one daemon of a site
//! sees to, and each sees to the files that broken uploads have left with it.

use crate::{Engine, services};
use muster_store::{
    StoreError,
    tables::{events, leases},
};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Events kept at most.
pub const EVENTS: i64 = 100_000;
/// For how long events are kept, in microseconds: 30 days.
pub const EVENTS_US: i64 = 30 * 86_400_000_000;
/// How often it is looked.
const EVERY: Duration = Duration::from_secs(60);
/// How long a daemon that died keeps others from it, in microseconds.
const LEASE_US: i64 = 1_200_000_000;
/// Rows deleted at once: others want to write too.
const BATCH: i64 = 1000;

/// Tidies up until it is told to stop.
pub async fn run(engine: Engine, shutdown: CancellationToken) {
    let owner = uuid::Uuid::now_v7().to_string();
    loop {
        if let Err(error) = once(&engine, &owner).await {
            tracing::error!(%error, "cannot drop old events");
        }
        if let Err(error) = services::machine_alert::expire(&engine).await {
            tracing::error!(%error, "cannot write what time has made of machines' alerts");
        }
        // Each daemon's own files.
        if let Err(error) = services::update::forget_kept(&engine).await {
            tracing::error!(%error, "cannot forget what broken uploads have brought");
        }
        tokio::select! {
            () = shutdown.cancelled() => break,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
    engine.store().write(move |tx| leases::release(tx, "upkeep", &owner)).await.ok();
}

async fn once(engine: &Engine, owner: &str) -> Result<(), StoreError> {
    let (owner, now) = (owner.to_owned(), engine.clock().micros());
    if !engine.store().write(move |tx| leases::acquire(tx, "upkeep", &owner, now, now + LEASE_US)).await? {
        return Ok(());
    }
    let (mut dropped, mut batch) = (0, u64::MAX);
    while batch > 0 {
        batch = engine.store().write(move |tx| events::prune(tx, EVENTS, now - EVENTS_US, BATCH)).await?;
        dropped += batch;
    }
    if dropped > 0 {
        tracing::info!(dropped, "old events are dropped");
    }
    Ok(())
}
