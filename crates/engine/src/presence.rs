//! Which daemons work on this database, and which site keys each has at hand: a key is changed only when all of them can
//! follow. One that stops renewing its row counts as gone after [`LEASE_US`].

use crate::{Engine, Error};
use muster_store::{
    StoreError, Tx, rekey,
    tables::daemons::{self, Daemon as Row},
};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often a daemon says that it is there.
const BEAT: Duration = Duration::from_secs(2);
/// For how long that holds, in microseconds.
const LEASE_US: i64 = 10_000_000;
/// Rows of daemons that are gone are kept for this long, in microseconds: clocks of hosts differ.
const FORGET_US: i64 = 86_400_000_000;

/// This process.
#[derive(Debug)]
pub(crate) struct Daemon {
    /// Its id, new with each start.
    pub id: String,
    /// Name of the host.
    pub host: String,
    started_at: i64,
}

impl Daemon {
    pub fn new(now_us: i64) -> Self {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned();
        Self { id: uuid::Uuid::now_v7().to_string(), host, started_at: now_us }
    }
}

/// Says that this daemon is there, and follows a change of the site key, until it is told to stop. A database that only one
/// process can use needs neither.
pub(crate) async fn run(engine: &Engine, shutdown: &CancellationToken) {
    if !engine.store().is_postgres() {
        return;
    }
    let mut tick = tokio::time::interval(BEAT);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut said = String::new();
    loop {
        tokio::select! {
            () = shutdown.cancelled() => break,
            _ = tick.tick() => {}
        }
        match beat(engine).await {
            Ok(()) => said.clear(),
            Err(error) => {
                let text = error.to_string();
                if text != said {
                    tracing::error!(%error, "this daemon does not keep step with its database");
                    said = text;
                }
            }
        }
    }
    let id = engine.0.daemon.id.clone();
    engine.store().write(move |tx| daemons::leave(tx, &id)).await.ok();
}

async fn beat(engine: &Engine) -> Result<(), Error> {
    let store = engine.store().clone();
    let settled = blocking(move || rekey::settle(&store)).await;
    let (me, now) = (&engine.0.daemon, engine.clock().micros());
    let row = Row {
        id: me.id.clone(),
        host: me.host.clone(),
        keys: engine.store().keys().ids(),
        started_at: me.started_at,
        until: now + LEASE_US,
        ..Row::default()
    };
    // Who lacks the key in use is there all the same.
    engine.store().write(move |tx| daemons::beat(tx, &row, now - FORGET_US)).await?;
    settled
}

/// Runs what waits for files and the database.
pub(crate) async fn blocking<T: Send + 'static>(
    f: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, Error> {
    let done = tokio::task::spawn_blocking(f).await;
    Ok(done.map_err(|e| Error::Internal(format!("a task ended early: {e}")))??)
}

/// The other daemons that are there and have not this key at hand.
pub(crate) fn lacking(tx: &mut Tx<'_>, me: &str, key: &str, now_us: i64) -> Result<Vec<Row>, StoreError> {
    let mut others = daemons::present(tx, now_us)?;
    others.retain(|daemon| daemon.id != me && !daemon.keys.iter().any(|id| id == key));
    Ok(others)
}
