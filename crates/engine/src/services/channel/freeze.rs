//! Frozen channels: nothing enters them, by hand or by itself, until they are thawed. Taking updates out is possible.

use super::named;
use crate::{Actor, Engine, Error, services::audit, services::reason};
use muster_api::time::Time;
use muster_domain::update::promotion::refused_by_freeze;
use muster_store::{
    StoreError, Tx,
    tables::{
        ALL,
        channels::{self, Mark},
    },
};
use std::collections::{BTreeMap, BTreeSet};

/// Freezes a channel.
///
/// # Errors
/// [`Error::NotFound`], [`Error::Invalid`] without a reason, [`Error::NotPermitted`] for one that is frozen.
pub async fn freeze(engine: &Engine, actor: &Actor, name: String, why: &str) -> Result<(), Error> {
    let why = reason::checked(why, &format!("freeze channel {name:?}"))?;
    set(engine, actor, name, Some(why)).await
}

/// Thaws a channel; what was due meanwhile enters it.
///
/// # Errors
/// [`Error::NotFound`], [`Error::NotPermitted`] for one that is not frozen.
pub async fn thaw(engine: &Engine, actor: &Actor, name: String) -> Result<(), Error> {
    set(engine, actor, name, None).await
}

async fn set(engine: &Engine, actor: &Actor, name: String, why: Option<String>) -> Result<(), Error> {
    let now = engine.clock().micros();
    let action = if why.is_some() { "channel.freeze" } else { "channel.thaw" };
    let entry = audit::entry(now, actor, action, "channel", &name);
    let channel = name.clone();
    let done = engine.store().write(move |tx| {
        let stored = channels::get(tx, &channel)?.ok_or(StoreError::NotFound)?;
        let mut entry = entry.clone();
        let mark = match (&stored.freeze, &why) {
            (Some(mark), Some(_)) => {
                return Ok(Err(Error::NotPermitted(format!("channel {channel:?} is frozen already: {}", told(mark)))));
            }
            (None, None) => {
                return Ok(Err(Error::NotPermitted(format!("channel {channel:?} is not frozen"))));
            }
            (None, Some(why)) => Some(Mark { at: now, actor: entry.actor.clone(), reason: why.clone() }),
            (Some(mark), None) => {
                entry.detail = serde_json::json!({"frozen": told(mark)}).to_string();
                None
            }
        };
        entry.reason.clone_from(&why);
        channels::set_freeze(tx, &channel, mark.as_ref(), now.max(stored.last_updated + 1))?;
        audit::append(tx, &entry)?;
        Ok(Ok(()))
    });
    done.await.map_err(|e| named(e, &name))?
}

/// Who froze it, when and why.
fn told(Mark { at, actor, reason }: &Mark) -> String {
    format!("since {} by {actor}: {reason}", Time::from_micros(*at))
}

/// Why an update may not go from these channels to those; nothing where it may.
///
/// # Errors
/// The store's.
pub(crate) fn refused(tx: &mut Tx<'_>, before: &[String], after: &[String]) -> Result<Option<String>, StoreError> {
    let frozen: BTreeMap<String, Mark> = channels::list(tx, None, ALL)?
        .into_iter()
        .filter_map(|channel| Some((channel.name, channel.freeze?)))
        .collect();
    let set = |names: &[String]| names.iter().cloned().collect::<BTreeSet<_>>();
    let (before, after) = (set(before), set(after));
    let refused = refused_by_freeze(&before, &after, &frozen.keys().cloned().collect());
    let told = |name: &str| frozen.get(name).map(|mark| format!("channel {name:?} is frozen {}", told(mark)));
    let texts: Vec<String> = refused.into_iter().filter_map(told).collect();
    Ok((!texts.is_empty()).then(|| format!("{}; thaw it first", texts.join("; "))))
}
