//! Warnings (`updates-and-system.md` 21).

use crate::{Actor, Engine, Error, services::audit, services::token::Versioned};
use muster_api::{
    time::Time,
    warning::{Warning, WarningScope},
};
use muster_store::{
    StoreError,
    tables::warnings::{self, Warning as WarningRow},
};
use uuid::Uuid;

fn warning(row: WarningRow) -> Result<Versioned<Warning>, Error> {
    let broken = |what: &str| Error::Internal(format!("the stored warning {} has a broken {what}", row.uuid));
    let warning = Warning {
        uuid: row.uuid.parse().map_err(|_| broken("uuid"))?,
        messages: row.messages,
        status: row.status,
        scope: WarningScope { scope: row.scope, entity_type: row.entity_type, entity: row.entity },
        kind: row.kind,
        first_occurrence: Time::from_micros(row.first_occurrence),
        last_occurrence: Time::from_micros(row.last_occurrence),
        last_updated: Time::from_micros(row.last_updated),
        count: row.count,
    };
    Ok((warning, row.generation))
}

/// Warnings behind the UUID `after`, by UUID, at most `limit`.
///
/// # Errors
/// The store's.
pub async fn list(engine: &Engine, after: Option<String>, limit: i64) -> Result<Vec<Warning>, Error> {
    let filter = warnings::Filter { after, ..warnings::Filter::default() };
    let rows = engine.store().read(move |tx| warnings::list(tx, &filter, limit)).await?;
    rows.into_iter().map(|r| warning(r).map(|(w, _)| w)).collect()
}

/// One warning.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn get(engine: &Engine, uuid: Uuid) -> Result<Versioned<Warning>, Error> {
    let row = engine.store().read(move |tx| warnings::get(tx, &uuid.to_string())).await?;
    warning(row.ok_or_else(|| Error::NotFound(format!("warning {uuid}")))?)
}

/// Acknowledges a warning, or takes that back.
///
/// # Errors
/// [`Error::NotFound`], [`Error::Invalid`] for an unknown status, [`Error::Stale`].
pub async fn set_status(
    engine: &Engine,
    actor: &Actor,
    uuid: Uuid,
    status: String,
    expected: Option<i64>,
) -> Result<(), Error> {
    if !matches!(status.as_str(), "new" | "acknowledged") {
        return Err(Error::Invalid(format!("Invalid warning, status {status:?} must be \"new\" or \"acknowledged\"")));
    }
    let now = engine.clock().micros();
    let entry = audit::entry(now, actor, "warning.update", "warning", &uuid.to_string());
    let done = engine.store().write(move |tx| {
        warnings::set_status(tx, &uuid.to_string(), &status, expected, now)?;
        audit::append(tx, &entry)
    });
    done.await.map_err(|e| match e {
        StoreError::NotFound => Error::NotFound(format!("warning {uuid}")),
        e => e.into(),
    })
}
