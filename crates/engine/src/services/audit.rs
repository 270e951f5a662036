//! The chained audit: one entry per transition and per privileged call. Never a secret in it.

use crate::{Actor, Engine, Error, services::event};
use muster_api::audit::{AuditDifference, AuditHead, AuditVerdict};
use muster_clients::signature;
use muster_domain::machine::replay::Replay;
use muster_store::{
    StoreError, Tx,
    tables::{
        audit::{self, Record},
        machines,
    },
};
use sha2::{Digest, Sha256};
use uuid::Uuid;

pub use audit::Entry;
use audit::Verdict;

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

/// The end of the log, signed with the site's key.
///
/// # Errors
/// The store's, or a key that does not sign.
pub async fn head(engine: &Engine) -> Result<AuditHead, Error> {
    let (seq, hash) = engine.store().read(audit::head).await?;
    let identity = engine.identities().server.clone();
    let mut head = AuditHead {
        seq,
        hash,
        at: engine.clock().now(),
        certificate: identity.certificate_pem.clone(),
        scheme: String::new(),
        signature: String::new(),
    };
    let (scheme, signature) = signature::sign(&identity, head.text().as_bytes())
        .map_err(|error| Error::Internal(format!("the head of the audit cannot be signed: {error}")))?;
    (head.scheme, head.signature) = (scheme.to_owned(), hex::encode(signature));
    Ok(head)
}

/// Recomputes the chain, and compares every machine with what its transitions come to. `earlier` is a head that the log has to
/// lead through. All of it is of one moment; memory does not grow with the log.
///
/// # Errors
/// The store's.
pub async fn verify(engine: &Engine, earlier: Option<AuditHead>) -> Result<AuditVerdict, Error> {
    let forged = earlier.as_ref().and_then(forged);
    let done = engine.store().read(move |tx| {
        let mut replay = Replay::default();
        let chain = audit::verify(tx, &mut |link| {
            if link.action == "machine.transition" {
                replay.transition(link.seq, link.object, link.from, link.to);
            }
        })?;
        machines::for_each_lifecycle(tx, |id, lifecycle| replay.compare(id, lifecycle))?;
        let passed = match &earlier {
            Some(head) if head.seq > 0 => audit::hash_at(tx, head.seq)?,
            _ => None,
        };
        let strayed = earlier.as_ref().and_then(|head| strayed(head, passed.as_deref()));
        Ok((chain, replay.finish(), strayed))
    });
    let (chain, (machines, differing, count), strayed) = done.await?;
    let (entries, broken_at) = match chain {
        Verdict::Intact(entries) => (Some(entries), None),
        Verdict::Broken(seq) => (None, Some(seq)),
    };
    let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    let differing = differing.into_iter().map(|difference| AuditDifference {
        machine: difference.machine,
        stored: difference.stored,
        replayed: difference.replayed,
        seq: difference.seq,
    });
    Ok(AuditVerdict {
        intact: broken_at.is_none(),
        entries,
        broken_at,
        machines: number(machines),
        differing: differing.collect(),
        differing_count: number(count),
        head: forged.or(strayed),
    })
}

/// Why the given head says nothing; none when it is signed as it says.
fn forged(head: &AuditHead) -> Option<String> {
    let Ok(bytes) = hex::decode(&head.signature) else {
        return Some("the signature of the given head is not written in hexadecimal digits".to_owned());
    };
    let checked = signature::verify(&head.certificate, &head.scheme, head.text().as_bytes(), &bytes);
    checked.err().map(|error| format!("the given head is not what was signed: {error}"))
}

/// Why the log does not lead through the given head.
fn strayed(head: &AuditHead, found: Option<&str>) -> Option<String> {
    match found {
        None if head.seq == 0 => None,
        None => Some(format!("the log ends before entry {}, at which the given head was signed", head.seq)),
        Some(hash) if hash == head.hash => None,
        Some(_) => Some(format!("entry {} is another one than when the given head was signed", head.seq)),
    }
}
