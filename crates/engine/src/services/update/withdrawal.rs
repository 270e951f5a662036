//! Withdrawn updates: machines are told of the one before instead. Its files and its channels stay as they are.

use super::unknown;
use crate::{Actor, Engine, Error, services::audit, services::reason};
use muster_api::{provisioning::update::Withdrawal as View, time::Time};
use muster_store::{
    StoreError, Tx,
    tables::{
        channels::Mark,
        updates::{self, Update as UpdateRow, Withdrawal},
    },
};
use std::collections::HashSet;
use uuid::Uuid;

/// Withdraws an update: no machine gets it any more, no channel, and it does not come back when it was deleted.
///
/// # Errors
/// [`Error::NotFound`], [`Error::Invalid`] without a reason, [`Error::NotPermitted`] for one that is withdrawn.
pub async fn withdraw(engine: &Engine, actor: &Actor, uuid: Uuid, why: &str) -> Result<(), Error> {
    let why = reason::checked(why, &format!("withdraw update {:?}", uuid.to_string()))?;
    let now = engine.clock().micros();
    let entry = audit::entry(now, actor, "update.withdraw", "update", &uuid.to_string());
    let done = engine.store().write(move |tx| {
        let mut entry = entry.clone();
        let Some(row) = updates::get(tx, &entry.object)? else { return Ok(Err(unknown(uuid))) };
        if let Some(withdrawal) = updates::withdrawal(tx, &row.uuid)? {
            let text = format!("update {:?} is withdrawn already: {}", row.uuid, told(&withdrawal.mark));
            return Ok(Err(Error::NotPermitted(text)));
        }
        let mark = Mark { at: now, actor: entry.actor.clone(), reason: why.clone() };
        entry.detail = serde_json::json!({"version": row.version, "channels": row.channels}).to_string();
        entry.reason = Some(why.clone());
        let withdrawal = Withdrawal { uuid: row.uuid, origin: row.origin, version: row.version, mark };
        updates::withdraw(tx, &withdrawal)?;
        audit::append(tx, &entry)?;
        Ok(Ok(()))
    });
    done.await?
}

/// Takes a withdrawal back: the update is told of in its channels again, or may come back.
///
/// # Errors
/// [`Error::NotFound`], [`Error::NotPermitted`] for an update that is not withdrawn.
pub async fn restore(engine: &Engine, actor: &Actor, uuid: Uuid) -> Result<(), Error> {
    let now = engine.clock().micros();
    let entry = audit::entry(now, actor, "update.restore", "update", &uuid.to_string());
    let done = engine.store().write(move |tx| {
        let mut entry = entry.clone();
        let Some(withdrawal) = updates::withdrawal(tx, &entry.object)? else {
            return Ok(Err(match updates::get(tx, &entry.object)? {
                Some(row) => Error::NotPermitted(format!("update {:?} is not withdrawn", row.uuid)),
                None => unknown(uuid),
            }));
        };
        updates::restore(tx, &entry.object, now)?;
        entry.detail =
            serde_json::json!({"version": withdrawal.version, "withdrawn": told(&withdrawal.mark)}).to_string();
        audit::append(tx, &entry)?;
        Ok(Ok(()))
    });
    done.await?
}

/// All withdrawn updates, the latest version first; those that are not here any more too.
///
/// # Errors
/// The store's.
pub async fn withdrawals(engine: &Engine) -> Result<Vec<View>, Error> {
    let found = engine.store().read(|tx| {
        let here = updates::list(tx, &updates::Filter::default())?;
        Ok((updates::withdrawals(tx)?, here.into_iter().map(|row| row.uuid).collect::<HashSet<_>>()))
    });
    let (withdrawals, here) = found.await?;
    let view = |Withdrawal { uuid, origin, version, mark }| {
        let id = Uuid::parse_str(&uuid).map_err(|_| Error::Internal("the UUID of a withdrawal is none".into()))?;
        let Mark { at, actor, reason } = mark;
        Ok(View { uuid: id, origin, version, at: Time::from_micros(at), by: actor, reason, here: here.contains(&uuid) })
    };
    withdrawals.into_iter().map(view).collect()
}

/// Who withdrew it, when and why.
fn told(Mark { at, actor, reason }: &Mark) -> String {
    format!("since {} by {actor}: {reason}", Time::from_micros(*at))
}

/// Why an update may not be given these channels; nothing where it may. A withdrawn one can only be taken out.
///
/// # Errors
/// The store's.
pub(super) fn refused(tx: &mut Tx<'_>, row: &UpdateRow, names: &[String]) -> Result<Option<String>, StoreError> {
    if names.iter().all(|name| row.channels.contains(name)) {
        return Ok(None);
    }
    let withdrawal = updates::withdrawal(tx, &row.uuid)?;
    Ok(withdrawal.map(|withdrawal| format!("it is withdrawn {}; restore it first", told(&withdrawal.mark))))
}
