//! Events: what happens, in order, for those who watch. Whatever is audited is also an event; never a secret in it.

use crate::{Engine, Error};
use muster_store::{
    StoreError, Tx,
    tables::{audit::Entry, events},
};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

pub use events::Event;

/// Appends within the transaction of what it tells about; answers the event's number. Append last: on PostgreSQL the
/// journal is locked from here to the commit.
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

/// The events after number `seq`, oldest first, at most `limit`.
///
/// # Errors
/// The store's.
pub async fn after(engine: &Engine, seq: i64, limit: i64) -> Result<Vec<Event>, Error> {
    Ok(engine.store().read(move |tx| events::after(tx, seq, limit)).await?)
}

/// Number of the newest event; 0 when there is none.
///
/// # Errors
/// The store's.
pub async fn last(engine: &Engine) -> Result<i64, Error> {
    Ok(engine.store().read(events::last_seq).await?)
}

impl Engine {
    /// Cancelled when the daemon stops: answers without an end of their own end then.
    pub fn stopping(&self) -> &CancellationToken {
        &self.0.shutdown
    }
}
