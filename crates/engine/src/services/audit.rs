//! The chained audit: one entry per transition and per privileged call. Never a secret in it.

use crate::{Actor, Engine, Error};
use muster_store::{
    StoreError, Tx,
    tables::audit::{self, AuditRow, Entry},
};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// A token's UUID is the secret itself: entries carry a digest that an operator who knows the token can find again.
pub fn token_name(uuid: Uuid) -> String {
    format!("sha256:{}", hex::encode(&Sha256::digest(uuid.to_string())[..8]))
}

/// An entry without states.
pub fn entry(at: i64, actor: &Actor, action: &str, object_kind: &str, object: &str) -> Entry {
    Entry {
        at,
        actor: actor.0.clone(),
        action: action.into(),
        object_kind: object_kind.into(),
        object: object.into(),
        ..Entry::default()
    }
}

/// Appends within the transaction of what it tells about.
///
/// # Errors
/// The store's.
pub fn append(tx: &mut Tx<'_>, entry: &Entry) -> Result<(), StoreError> {
    audit::append(tx, entry).map(|_| ())
}

/// Entries after `after`, oldest first.
///
/// # Errors
/// The store's.
pub async fn list(engine: &Engine, after: i64, limit: i64) -> Result<Vec<AuditRow>, Error> {
    Ok(engine.store().read(move |tx| audit::list(tx, after, limit)).await?)
}

/// Recomputes the chain; the first broken entry, if any.
///
/// # Errors
/// The store's.
pub async fn verify(engine: &Engine) -> Result<Option<i64>, Error> {
    Ok(engine.store().read(audit::verify).await?)
}
