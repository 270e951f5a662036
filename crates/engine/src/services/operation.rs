//! Operations as objects: start, look, cancel, try again, wait for the answer.

use crate::{
    Actor, ChannelIndexes, Engine, Error,
    operation::{
        Documents, Ending, Mark, Params, Plan, State, StepView, Wish, passive, replace, steps, stored, unreadable,
    },
    services::{audit, server::tracking},
};
use jiff::Timestamp;
use muster_api::{
    provisioning::{
        server::MASK,
        status::{ServerStatus, ServerType, StatusDetail},
    },
    time::Time,
};
use muster_domain::{
    operation::{
        Decision,
        call::Outcome,
        configure::{Configure, Target},
        factory_reset::FactoryReset,
        maintenance::{Direction, MemberMaintenance},
        poweroff::Poweroff,
        reboot::Reboot,
        update::Update,
    },
    server::{
        action::{ActionContext, ActionRefused, ServerAction, begin, begin_update},
        enrolment::Enrolment,
        version::{UpdateGoal, compute},
    },
};
use muster_store::{
    Secret, StoreError, Tx,
    tables::{
        operations::{self, Operation},
        servers::{self, Server as ServerRow},
    },
};
use serde::Serialize;
use serde_json::Value;
use std::time::Duration;
use uuid::Uuid;

pub use operations::Filter;

/// The kind of object that all of today's operations are about.
const SERVER: &str = "server";
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

/// What is to be started on a server.
#[derive(Debug, Clone)]
pub struct Request {
    /// What.
    pub wish: Wish,
    /// Although its cluster is busy.
    pub force: bool,
    /// The document of a network or storage configuration; masked secrets mean the stored ones.
    pub document: Option<Value>,
}

/// Starts an operation on a server: the operation and the mark on the server are one transaction. Older operations that
/// only watch the same machine are over with that. Answers its id.
///
/// # Errors
/// [`Error::NotFound`], [`Error::NotPermitted`], [`Error::Retryable`] while another action is in flight.
pub async fn start(engine: &Engine, actor: &Actor, server: &str, request: Request) -> Result<String, Error> {
    let (id, now, name) = (Uuid::now_v7().to_string(), engine.clock().now(), server.to_owned());
    let (channels, actor, started) = (engine.channel_index().await?, actor.clone(), id.clone());
    let done = engine.store().write(move |tx| {
        let row = servers::get_by_name(tx, &name)?.ok_or(StoreError::NotFound)?;
        let begun = match mark(tx, &row, &id, &request, &channels, now.0)? {
            Ok(begun) => begun,
            Err(refused) => return Ok(Err(refused)),
        };
        let params = Params { wish: request.wish.clone(), server: row.id.clone(), force: request.force };
        let mut operation = Operation {
            id: id.clone(),
            kind: request.wish.kind().into(),
            target_kind: SERVER.into(),
            target: row.name.clone(),
            machine_id: Some(row.machine_id.clone()),
            params: serde_json::to_string(&params).map_err(broken)?,
            actor: actor.0.clone(),
            attempt: 1,
            created_at: now.micros(),
            ..Operation::default()
        };
        fill(&mut operation, &begun, now)?;
        operations::insert(tx, &operation)?;
        operations::set_documents(tx, &operation.id, begun.documents.as_ref())?;
        audit::append(tx, &entry(&operation, "start", &actor, now))?;
        Ok(Ok(()))
    });
    done.await.map_err(|e| super::server::named(e, server))?.map(|()| started)
}

fn entry(operation: &Operation, what: &str, actor: &Actor, now: Time) -> audit::Entry {
    let action = format!("operation.{what}");
    let mut entry = audit::entry(now.micros(), actor, &action, &operation.target_kind, &operation.target);
    entry.reason = Some(operation.kind.clone());
    entry.operation_id = Some(operation.id.clone());
    entry
}

fn broken(e: impl std::fmt::Display) -> StoreError {
    StoreError::Database(format!("an operation cannot be written: {e}"))
}

struct Begun {
    plan: Plan,
    mark: Option<Mark>,
    documents: Option<Secret>,
}

/// An operation that is due at once.
fn fill(operation: &mut Operation, begun: &Begun, now: Time) -> Result<(), StoreError> {
    let state = State { plan: begun.plan.encode().map_err(broken)?, mark: begun.mark.clone(), incus_operation: None };
    operation.state = serde_json::to_string(&state).map_err(broken)?;
    operation.status = "pending".into();
    operation.reason = "waiting for a free worker".into();
    operation.steps = steps("[]", &begun.plan, "", None, now.0);
    (operation.error, operation.finished_at) = (None, None);
    operation.updated_at = now.micros();
    operation.not_before = now.micros();
    operation.deadline = Some(begun.plan.deadline().as_microsecond());
    Ok(())
}

/// Writes what is coming to the server, or says why not.
fn mark(
    tx: &mut Tx<'_>,
    row: &ServerRow,
    id: &str,
    request: &Request,
    channels: &ChannelIndexes,
    now: Timestamp,
) -> Result<Result<Begun, Error>, StoreError> {
    let before = tracking::enrolment(row);
    if let Some(refused) = in_the_way(tx, row, &before, request, id, now)? {
        return Ok(Err(refused));
    }
    let server_type = row.server_type.parse::<ServerType>().unwrap_or(ServerType::Unknown);
    let context =
        ActionContext { incus: server_type.is_incus(), cluster_busy: false, in_flight: None, force: request.force };
    let installed = tracking::installed(&tracking::versions(row));
    let goal = UpdateGoal::new(&installed, &compute(&installed, channels.of(&row.channel)));
    let after = match &request.wish {
        Wish::Evacuate => begin(&before, ServerAction::Evacuate, context, now),
        Wish::Restore => begin(&before, ServerAction::Restore, context, now),
        Wish::Reboot => begin(&before, ServerAction::Reboot, context, now),
        Wish::Poweroff => begin(&before, ServerAction::Poweroff, context, now),
        Wish::Network | Wish::Storage => begin(&before, ServerAction::Configure, context, now),
        Wish::Update { trigger } => begin_update(&before, goal.clone(), *trigger, context, now),
        Wish::Channel(_) | Wish::FactoryReset { .. } if before.status == ServerStatus::Unregistered => {
            Err(ActionRefused::Unregistered)
        }
        Wish::Channel(_) | Wish::FactoryReset { .. } => Ok(before.clone()),
    };
    let after = match after {
        Ok(after) => after,
        Err(refused) if refused.is_retryable() => return Ok(Err(Error::Retryable(refused.to_string()))),
        Err(refused) => return Ok(Err(Error::NotPermitted(format!("{:?}: {refused}", row.name)))),
    };
    let mut plan = match &request.wish {
        Wish::Evacuate => Plan::Maintenance(MemberMaintenance::new(Direction::Evacuate, now)),
        Wish::Restore => Plan::Maintenance(MemberMaintenance::new(Direction::Restore, now)),
        Wish::Reboot => Plan::Reboot(Reboot::new(now)),
        Wish::Poweroff => Plan::Poweroff(Poweroff::new(now)),
        Wish::Update { trigger } => Plan::Update(Update::new(goal, *trigger, now)),
        Wish::Network => Plan::Configure(Configure::new(Target::Network, now)),
        Wish::Storage => Plan::Configure(Configure::new(Target::Storage, now)),
        Wish::Channel(_) => Plan::Configure(Configure::new(Target::Update, now)),
        Wish::FactoryReset { token, .. } => Plan::Reset(FactoryReset::new(*token, now)),
    };
    plan.advance(Outcome::Marked);
    if after == before && request.wish.part().is_none() {
        return Ok(Ok(Begun { plan, mark: None, documents: None }));
    }
    let mut observation = tracking::observation(row, &after);
    observation.last_updated = Some(now.as_microsecond());
    let mut documents = None;
    if let Some(part) = request.wish.part() {
        let old = stored(tx, row)?.get(part).cloned().unwrap_or_default();
        let mut wanted = request.document.clone().unwrap_or_default();
        if let Err(path) = unmask(&mut wanted, Some(&old), part) {
            let text = format!(
                "Invalid configuration, {path} is masked and no secret is stored for it; give the secret itself"
            );
            return Ok(Err(Error::Invalid(text)));
        }
        let plain = serde_json::to_string(&Documents { wanted: wanted.clone(), before: old }).map_err(broken)?;
        documents = Some(Secret::new(plain));
        replace(tx, row, &mut observation, part, wanted)?;
    }
    servers::update_observation(tx, &row.id, row.observed, &observation)?;
    let mark = Mark { before: (&before).into(), begun: (&after).into() };
    Ok(Ok(Begun { plan, mark: Some(mark), documents }))
}

/// What is still under way on the machine: it refuses, or it is over with the new request. Only a reboot refuses a
/// second one (`servers.md` 3.11), and a factory reset everything.
fn in_the_way(
    tx: &mut Tx<'_>,
    row: &ServerRow,
    server: &Enrolment,
    request: &Request,
    id: &str,
    now: Timestamp,
) -> Result<Option<Error>, StoreError> {
    let filter = Filter { machine_id: Some(row.machine_id.clone()), unfinished: true, ..Filter::default() };
    let mut over = Vec::new();
    for operation in operations::list(tx, &filter, i64::MAX)? {
        let Ok(plan) = plan_of(&operation) else { continue };
        if operation.id == id {
            continue;
        }
        let done = matches!(plan.next(&passive(Some(row)), now), Decision::Done);
        let rebooting = !plan.is_answered() || server.is(ServerStatus::Offline, StatusDetail::Rebooting);
        match (&plan, &request.wish) {
            (Plan::Reset(_), _) => {
                let about: Option<Params> = serde_json::from_str(&operation.params).ok();
                if about.is_some_and(|p| p.server == row.id) {
                    let text = "server operation in flight: a factory reset has not ended".to_owned();
                    return Ok(Some(Error::Retryable(text)));
                }
            }
            (Plan::Reboot(_), Wish::Reboot) if !done && rebooting => {
                let refused = ActionRefused::InFlight { wanted: ServerAction::Reboot, running: ServerAction::Reboot };
                return Ok(Some(Error::Retryable(format!("server operation in flight: {refused}"))));
            }
            // Nobody takes part in what a call under way still brings.
            _ if plan.is_answered() => over.push((operation, plan, done)),
            _ => {}
        }
    }
    for (mut operation, plan, done) in over {
        let ending = if done { Ending::Succeeded } else { Ending::Cancelled };
        let reason = if done { String::new() } else { format!("superseded by {} {id}", request.wish.kind()) };
        operation.status = ending.as_str().into();
        operation.steps = steps(&operation.steps, &plan, &reason, Some(ending), now);
        operation.reason = reason;
        operation.updated_at = now.as_microsecond();
        operation.finished_at = Some(operation.updated_at);
        operations::save(tx, &operation)?;
    }
    Ok(None)
}

fn plan_of(operation: &Operation) -> Result<Plan, Error> {
    let state: State = serde_json::from_str(&operation.state).map_err(unreadable)?;
    Plan::decode(&state.plan).map_err(unreadable)
}

/// Puts the stored secrets where the mask is. List items are the same when they have the same `name` or `public_key`,
/// else by their place. Answers the path of a mask that nothing is stored for.
fn unmask(value: &mut Value, stored: Option<&Value>, path: &str) -> Result<(), String> {
    match value {
        Value::String(text) if text == MASK => match stored {
            Some(Value::String(secret)) if secret != MASK => {
                secret.clone_into(text);
                Ok(())
            }
            _ => Err(path.to_owned()),
        },
        Value::Array(items) => items.iter_mut().enumerate().try_for_each(|(i, item)| {
            let list = stored.and_then(Value::as_array);
            let key = ["name", "public_key"].into_iter().find_map(|k| Some((k, item.get(k)?.clone())));
            let same = match key {
                Some((k, name)) => list.and_then(|l| l.iter().find(|s| s.get(k) == Some(&name))),
                None => list.and_then(|l| l.get(i)),
            };
            unmask(item, same, &format!("{path}[{i}]"))
        }),
        Value::Object(map) => map
            .iter_mut()
            .try_for_each(|(key, item)| unmask(item, stored.and_then(|s| s.get(key)), &format!("{path}.{key}"))),
        _ => Ok(()),
    }
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
        let Some(row) = servers::get_by_id(tx, &params.server)? else {
            return Ok(Err(Error::NotFound("the server that the operation was about is gone".into())));
        };
        let begun = match mark(tx, &row, &found.id, &request, &channels, now.0)? {
            Ok(begun) => begun,
            Err(refused) => return Ok(Err(refused)),
        };
        let mut operation = found.clone();
        fill(&mut operation, &begun, now)?;
        operation.attempt += 1;
        operations::save(tx, &operation)?;
        operations::set_documents(tx, &operation.id, begun.documents.as_ref())?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_masked_secret_is_the_stored_one_wherever_its_item_went() {
        let stored = json!({"wireguard": [{"name": "a", "private_key": "ka"}, {"name": "b", "private_key": "kb"}]});
        let mut put = json!({"wireguard": [{"name": "b", "private_key": MASK}, {"name": "c", "private_key": "new"}]});
        unmask(&mut put, Some(&stored), "network").unwrap();
        assert_eq!(
            put,
            json!({"wireguard": [{"name": "b", "private_key": "kb"}, {"name": "c", "private_key": "new"}]})
        );
        let mut unknown = json!({"wireguard": [{"name": "c", "private_key": MASK}]});
        assert_eq!(unmask(&mut unknown, Some(&stored), "network").unwrap_err(), "network.wireguard[0].private_key");
    }
}
