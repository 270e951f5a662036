//! The chained audit: one entry per transition and per privileged call. Never a secret in it.

use crate::{Actor, Engine, Error, services::event};
use muster_store::{
    StoreError, Tx,
    tables::audit::{self, Record},
};
use sha2::{Digest, Sha256};
use uuid::Uuid;

pub use audit::{Entry, Verdict};

/// A token's UUID is the secret itself: entries carry a digest that an operator who knows the token can find again.
pub fn token_name(uuid: Uuid) -> String {
    token_name_of(&uuid.to_string())
}

/// As [`token_name`], of the UUID's text.
pub fn token_name_of(uuid: &str) -> String {
    format!("sha256:{}", hex::encode(&Sha256::digest(uuid)[..8]))
}

/// An entry without states.
pub fn entry(at: i64, actor: &Actor, action: &str, object_kind: &str, object: &str) -> Entry {
    Entry {
        at,
        actor: actor.0.clone(),
        action: action.into(),
        object_kind: object_kind.into(),
        object: object.into(),
        from_state: None,
        to_state: None,
        reason: None,
        operation_id: None,
        detail: "{}".into(),
    }
}

/// An entry of an actor given as text.
pub(crate) fn by(at: i64, actor: &str, action: &str, object_kind: &str, object: &str) -> Entry {
    entry(at, &Actor(actor.to_owned()), action, object_kind, object)
}

/// Something was refused that an operator should know of; `sender` is what the refused one calls itself.
pub(crate) fn refusal(at: i64, action: &str, object_kind: &str, object: &str, sender: &str) -> Entry {
    let mut entry = by(at, "untrusted", action, object_kind, object);
    entry.reason = Some(format!("refused; the sender calls itself {sender:?}"));
    entry
}

/// Appends within the transaction of what it tells about, and tells those who watch the events.
///
/// # Errors
/// The store's.
pub fn append(tx: &mut Tx<'_>, entry: &Entry) -> Result<(), StoreError> {
    audit::append(tx, entry)?;
    event::audited(tx, entry)
}

/// Entries after `after`, oldest first.
///
/// # Errors
/// The store's.
pub async fn list(engine: &Engine, after: i64, limit: i64) -> Result<Vec<Record>, Error> {
    Ok(engine.store().read(move |tx| audit::list(tx, &audit::Filter::default(), after, limit)).await?)
}

/// Recomputes the chain.
///
/// # Errors
/// The store's.
pub async fn verify(engine: &Engine) -> Result<Verdict, Error> {
    Ok(engine.store().read(audit::verify).await?)
}
