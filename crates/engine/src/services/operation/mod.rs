//! Operations as objects: start, look, cancel, try again, wait for the answer.

mod begin;
mod refresh;

pub use begin::{Request, start};
pub(crate) use begin::{configure_provider, register, start_on_machine};
pub use refresh::refresh_updates;

use crate::{
    Actor, Engine, Error,
    machine::By,
    operation::{Documents, Params, Plan, State, StepView, Wish, unreadable},
    services::{audit, machine},
};
use begin::{fill, mark};
use muster_api::time::Time;
use muster_store::{
    StoreError, Tx,
    tables::{
        operations::{self, Operation},
        servers,
    },
};
use serde::Serialize;
use std::time::Duration;

pub use operations::Filter;

/// The kind of object that most operations are about.
const SERVER: &str = "server";
/// The kind of object that work on a machine itself is about.
const MACHINE: &str = "machine";
/// A change that ticks elsewhere is seen then at the latest.
const LOOK: Duration = Duration::from_secs(5);

/// An operation as shown. Never a secret in it: documents and tokens stay in the store.
#[derive(Debug, Clone, Serialize)]
pub struct View {
    /// UUID.
    pub id: String,
    /// `reboot`, `update`, `configure-network`, ...
    pub kind: String,
    /// Kind of the object that it is about.
    pub target_kind: String,
    /// Its name when the operation was started.
    pub target: String,
    /// `pending`, `running`, `waiting`, `succeeded`, `failed`, `cancelled`.
    pub status: String,
    /// Why it is in that state.
    pub reason: String,
    /// Its steps, in order.
    pub steps: Vec<StepView>,
    /// Why it failed; empty otherwise.
    pub error: String,
    /// Who started it.
    pub actor: String,
    /// Number of the try, from 1.
    pub attempt: i64,
    /// When it was started.
    pub created_at: Time,
    /// When it last went on.
    pub updated_at: Time,
    /// When it was over.
    pub finished_at: Option<Time>,
}

fn view(row: Operation) -> View {
    View {
        id: row.id,
        kind: row.kind,
        target_kind: row.target_kind,
        target: row.target,
        status: row.status,
        reason: row.reason,
        steps: serde_json::from_str(&row.steps).unwrap_or_default(),
        error: row.error.unwrap_or_default(),
        actor: row.actor,
        attempt: row.attempt,
        created_at: Time::from_micros(row.created_at),
        updated_at: Time::from_micros(row.updated_at),
        finished_at: row.finished_at.map(Time::from_micros),
    }
}

fn entry(operation: &Operation, what: &str, actor: &Actor, now: Time) -> audit::Entry {
    let action = format!("operation.{what}");
    let mut entry = audit::entry(now.micros(), actor, &action, &operation.target_kind, &operation.target);
    entry.reason = Some(operation.kind.clone());
    entry.operation_id = Some(operation.id.clone());
    entry
}

fn plan_of(operation: &Operation) -> Result<Plan, Error> {
    let state: State = serde_json::from_str(&operation.state).map_err(unreadable)?;
    Plan::decode(&state.plan).map_err(unreadable)
}

/// One operation.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn get(engine: &Engine, id: &str) -> Result<View, Error> {
    Ok(view(row(engine, id).await?))
}

async fn row(engine: &Engine, id: &str) -> Result<Operation, Error> {
    let wanted = id.to_owned();
    let found = engine.store().read(move |tx| operations::get(tx, &wanted)).await?;
    found.ok_or_else(|| Error::NotFound(format!("operation {id:?}")))
}

/// Operations, at most `limit`.
///
/// # Errors
/// The store's.
pub async fn list(engine: &Engine, filter: Filter, limit: i64) -> Result<Vec<View>, Error> {
    let rows = engine.store().read(move |tx| operations::list(tx, &filter, limit)).await?;
    Ok(rows.into_iter().map(view).collect())
}

/// Asks for its end. A call that a machine has not answered yet is waited for.
///
/// # Errors
/// [`Error::NotFound`], [`Error::NotPermitted`] when it is over.
pub async fn cancel(engine: &Engine, actor: &Actor, id: &str) -> Result<View, Error> {
    let found = row(engine, id).await?;
    let over = || Error::NotPermitted(format!("operation {id:?} is over"));
    if found.finished_at.is_some() {
        return Err(over());
    }
    let (wanted, now) = (found.id.clone(), engine.clock().now());
    let entry = entry(&found, "cancel", actor, now);
    let done = engine.store().write(move |tx| {
        operations::request_cancel(tx, &wanted, now.micros())?;
        audit::append(tx, &entry)
    });
    match done.await {
        Ok(()) => get(engine, id).await,
        Err(StoreError::NotFound) => Err(over()),
        Err(e) => Err(e.into()),
    }
}

/// What goes on with a machine and with the server on it.
pub(crate) fn on_machine(tx: &mut Tx<'_>, machine: &str) -> Result<Vec<Operation>, StoreError> {
    let filter = Filter { machine_id: Some(machine.to_owned()), unfinished: true, ..Filter::default() };
    operations::list(tx, &filter, i64::MAX)
}

/// Whether an operation is work on the machine itself.
pub(crate) fn is_on_machine(operation: &Operation) -> bool {
    plan_of(operation).is_ok_and(|plan| matches!(plan, Plan::Reset(_) | Plan::Checkup(_)))
}

/// Asks for the end of the work on a machine itself; answers whether there was any.
pub(crate) fn cancel_on_machine(tx: &mut Tx<'_>, machine: &str, actor: &Actor, now: Time) -> Result<bool, StoreError> {
    let mut any = false;
    for found in on_machine(tx, machine)?.iter().filter(|operation| is_on_machine(operation)) {
        operations::request_cancel(tx, &found.id, now.micros())?;
        audit::append(tx, &entry(found, "cancel", actor, now))?;
        any = true;
    }
    Ok(any)
}

/// Begins one anew that failed or was cancelled, with what was asked for then.
///
/// # Errors
/// As [`start`]; [`Error::NotPermitted`] when it is under way or went well.
pub async fn retry(engine: &Engine, actor: &Actor, id: &str) -> Result<View, Error> {
    let found = row(engine, id).await?;
    let not_now = || Error::NotPermitted(format!("operation {id:?} neither failed nor was it cancelled"));
    if !matches!(found.status.as_str(), "failed" | "cancelled") {
        return Err(not_now());
    }
    let params: Params = serde_json::from_str(&found.params).map_err(unreadable)?;
    let wanted = found.id.clone();
    let document = match engine.store().read(move |tx| operations::documents(tx, &wanted)).await? {
        None => None,
        Some(opened) => Some(serde_json::from_str::<Documents>(opened.expose()).map_err(unreadable)?.wanted),
    };
    let request = Request { wish: params.wish.clone(), force: params.force, document };
    let (channels, now, actor) = (engine.channel_index().await?, engine.clock().now(), actor.clone());
    let done = engine.store().write(move |tx| {
        let begun = match (&params.wish, servers::get_by_id(tx, &params.server)?) {
            (Wish::RefreshUpdates { .. }, _) => refresh::again(tx, &found, &params.wish, now)?,
            (wish, Some(row)) => {
                let begun = mark(tx, &row, &found.id, &request, &channels, now.0)?;
                let by = By { actor: &actor.0, reason: wish.kind(), operation: Some(&found.id), now: now.micros() };
                match begun {
                    Err(refused) => Err(refused),
                    Ok(begun) => {
                        machine::prepare(tx, &row.machine_id, wish, params.force, &channels, by)?.map(|()| begun)
                    }
                }
            }
            (_, None) => Err(Error::NotFound("the server that the operation was about is gone".into())),
        };
        let begun = match begun {
            Ok(begun) => begun,
            Err(refused) => return Ok(Err(refused)),
        };
        let mut operation = found.clone();
        fill(&mut operation, &begun, now)?;
        operation.attempt += 1;
        operations::save(tx, &operation)?;
        begun.keep_documents(tx, &operation.id)?;
        // A wish to cancel belongs to the try before.
        operations::withdraw_cancel(tx, &operation.id)?;
        audit::append(tx, &entry(&operation, "retry", &actor, now))?;
        Ok(Ok(()))
    });
    done.await??;
    get(engine, id).await
}

/// Waits until whoever asked synchronously can be answered: the machine took it, or it failed. Who stops waiting stops
/// nothing.
///
/// # Errors
/// [`Error::Machine`] or [`Error::Retryable`] with the cause, [`Error::NotPermitted`] when it was cancelled first.
pub async fn answered(engine: &Engine, id: &str) -> Result<(), Error> {
    let mut changed = engine.store().changed();
    loop {
        changed.borrow_and_update();
        let found = row(engine, id).await?;
        match found.status.as_str() {
            "succeeded" => return Ok(()),
            "failed" => {
                let text = found.error.unwrap_or(found.reason);
                return Err(match text.strip_prefix(crate::operation::RETRYABLE) {
                    Some(text) => Error::Retryable(text.to_owned()),
                    None => Error::Machine(text),
                });
            }
            _ => {
                let plan = plan_of(&found)?;
                if plan.is_accepted() {
                    return Ok(());
                }
                if found.status == "cancelled" {
                    return Err(Error::NotPermitted(found.reason));
                }
            }
        }
        tokio::time::timeout(LOOK, changed.changed()).await.ok();
    }
}
