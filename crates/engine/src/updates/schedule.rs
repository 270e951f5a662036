//! Refreshes the updates every hour (`updates-and-system.md` 25). Whichever daemon of a site looks first starts it.

use crate::{Actor, Engine, Error, operation::Wish, services::operation};
use muster_store::tables::operations::{self, Filter};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// From one start to the next, in microseconds.
const EVERY_US: i64 = 3_600_000_000;
/// How often it is looked.
const LOOK: Duration = Duration::from_secs(60);

/// Looks until it is told to stop. `skip_first`: for the first time an hour after the start.
pub async fn run(engine: Engine, skip_first: bool, shutdown: CancellationToken) {
    let mut settings = engine.watch_settings();
    let begins = if skip_first { engine.clock().micros() + EVERY_US } else { i64::MIN };
    loop {
        if engine.clock().micros() >= begins
            && let Err(error) = once(&engine).await
        {
            tracing::error!(%error, "cannot start a refresh of the updates");
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(LOOK) => {}
            changed = settings.changed() => if changed.is_err() { return },
        }
    }
}

async fn once(engine: &Engine) -> Result<(), Error> {
    let (source, now) = (engine.settings().updates.source.clone(), engine.clock().now());
    if source.is_empty() {
        return Ok(());
    }
    let kind = Wish::RefreshUpdates { accept_older: false }.kind().to_owned();
    let filter = Filter { kind: Some(kind), newest_first: true, ..Filter::default() };
    let last = engine.store().read(move |tx| operations::list(tx, &filter, 1)).await?;
    // One of another source says nothing about this one.
    let fresh = |last: &operations::Operation| last.target == source && now.micros() - last.created_at < EVERY_US;
    if last.first().is_some_and(fresh) {
        return Ok(());
    }
    operation::refresh_updates(engine, &Actor::system(), false).await.map(drop)
}
