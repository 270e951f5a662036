//! Events: what happens, in order, for those who watch. Whatever is audited is also an event; never a secret in it.

use crate::{Engine, Error};
use muster_store::{
    StoreError, Tx,
    tables::{audit::Entry, events},
};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

pub use events::Event;

/// Appends within the transaction of what it tells about; answers the event's number.
///
/// # Errors
/// The store's.
pub fn append(tx: &mut Tx<'_>, at: i64, kind: &str, object: &str, payload: &Value) -> Result<i64, StoreError> {
    events::append(tx, at, kind, object, &payload.to_string())
}

/// The event of an audit entry. Its `detail` stays in the audit, which asks more of its readers.
pub(crate) fn audited(tx: &mut Tx<'_>, entry: &Entry) -> Result<(), StoreError> {
    let payload = json!({
        "object_kind": entry.object_kind,
        "object": entry.object,
        "from": entry.from_state,
        "to": entry.to_state,
        "reason": entry.reason,
        "actor": entry.actor,
    });
    append(tx, entry.at, &entry.action, &entry.object, &payload).map(|_| ())
}

/// The kind of an event that stands for those that were dropped ([`crate::upkeep`]) before a reader came to them.
pub const DROPPED: &str = "events.dropped";

/// The events after number `seq`, oldest first, at most `limit`. Where events after `seq` were dropped, the first one says
/// so ([`DROPPED`]) and has the number of the last of them.
///
/// # Errors
/// The store's.
pub async fn after(engine: &Engine, seq: i64, limit: i64) -> Result<Vec<Event>, Error> {
    let now = engine.clock().micros();
    let found = engine.store().read(move |tx| {
        let floor = events::floor(tx)?;
        let mut found = events::after(tx, seq, limit)?;
        if seq < floor {
            let payload = json!({
                "after": seq,
                "through": floor,
                "reason": "events in between were dropped because of their age or number: read anew what you follow",
            });
            let dropped = Event {
                seq: floor,
                at: now,
                kind: DROPPED.into(),
                object: String::new(),
                payload: payload.to_string(),
            };
            found.insert(0, dropped);
        }
        Ok(found)
    });
    Ok(found.await?)
}

/// The number behind which the newest `count` events are, as far as there are so many.
///
/// # Errors
/// The store's.
pub async fn before_last(engine: &Engine, count: i64) -> Result<i64, Error> {
    let found = engine.store().read(move |tx| Ok(events::floor(tx)?.max(events::last_seq(tx)? - count)));
    Ok(found.await?)
}

impl Engine {
    /// Cancelled when the daemon stops: answers without an end of their own end then.
    pub fn stopping(&self) -> &CancellationToken {
        &self.0.shutdown
    }
}
