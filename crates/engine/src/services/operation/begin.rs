//! The start of an operation on a server: whether it may begin, the mark on the server, the row; one transaction.

use super::{MACHINE, SERVER, entry, plan_of};
use crate::{
    Actor, ChannelIndexes, Engine, Error,
    machine::By,
    operation::{Documents, Ending, Mark, Params, Plan, State, Wish, passive, replace, steps, stored},
    services::{audit, machine, server::tracking},
};
use jiff::{SignedDuration, Timestamp};
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
        checkup::Checkup,
        configure::{Configure, Target},
        factory_reset::FactoryReset,
        maintenance::{Direction, MemberMaintenance},
        poweroff::Poweroff,
        provider::PushProvider,
        reboot::Reboot,
        refresh::Refresh,
        register::Register,
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
        operations::{self, Filter, Operation},
        servers::{self, Server as ServerRow},
    },
};
use serde_json::Value;
use std::collections::HashMap;
use uuid::Uuid;

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
        let mut operation = operation(&id, &params, &row.name, &row.machine_id, &actor.0, now)?;
        fill(&mut operation, &begun, now)?;
        operations::insert(tx, &operation)?;
        begun.keep_documents(tx, &operation.id)?;
        audit::append(tx, &entry(&operation, "start", &actor, now))?;
        Ok(Ok(()))
    });
    done.await.map_err(|e| crate::services::server::named(e, server))?.map(|()| started)
}

/// Starts work on the machine behind a server, with what has to be written for it. Answers its id.
pub(crate) fn start_on_machine(
    tx: &mut Tx<'_>,
    row: &ServerRow,
    wish: Wish,
    force: bool,
    channels: &ChannelIndexes,
    actor: &Actor,
    now: i64,
) -> Result<Result<String, Error>, StoreError> {
    let (id, now) = (Uuid::now_v7().to_string(), Time::from_micros(now));
    let request = Request { wish: wish.clone(), force, document: None };
    let begun = match mark(tx, row, &id, &request, channels, now.0)? {
        Ok(begun) => begun,
        Err(refused) => return Ok(Err(refused)),
    };
    let by = By { actor: &actor.0, reason: wish.kind(), operation: Some(&id), now: now.micros() };
    if let Err(refused) = machine::prepare(tx, &row.machine_id, &wish, force, channels, by)? {
        return Ok(Err(refused));
    }
    let params = Params { wish, server: row.id.clone(), force };
    let mut operation = operation(&id, &params, &row.machine_id, &row.machine_id, &actor.0, now)?;
    operation.target_kind = MACHINE.into();
    fill(&mut operation, &begun, now)?;
    operations::insert(tx, &operation)?;
    audit::append(tx, &entry(&operation, "start", actor, now))?;
    Ok(Ok(id))
}

/// The work that a registration leaves: its first poll. Answers its id.
pub(crate) fn register(tx: &mut Tx<'_>, row: &ServerRow, actor: &str, now: Time) -> Result<String, StoreError> {
    let about = About { server: &row.id, name: &row.name, machine: &row.machine_id };
    let filter = Filter { machine_id: Some(row.machine_id.clone()), ..unfinished(&Wish::Register) };
    let earlier = operations::list(tx, &filter, i64::MAX)?;
    attach(tx, about, Wish::Register, Plan::Register(Register::new(now.0)), earlier, actor, now)
}

/// Has every registered server told where the center is and which certificate it has (`servers.md` 12.7).
/// Answers the ids.
pub(crate) fn configure_provider(tx: &mut Tx<'_>, actor: &Actor, now: Time) -> Result<Vec<String>, StoreError> {
    // All at once: there may be thousands of servers.
    let mut earlier: HashMap<Option<String>, Vec<Operation>> = HashMap::new();
    for operation in operations::list(tx, &unfinished(&Wish::Provider), i64::MAX)? {
        earlier.entry(operation.machine_id.clone()).or_default().push(operation);
    }
    let mut ids = Vec::new();
    for key in servers::keys(tx, &servers::Filter::default(), i64::MAX)? {
        let center = ServerType::OperationsCenter.as_str() == key.server_type;
        if center || key.status.parse::<ServerStatus>().is_ok_and(|status| status == ServerStatus::Unregistered) {
            continue;
        }
        let about = About { server: &key.id, name: &key.name, machine: &key.machine_id };
        let plan = Plan::Provider(PushProvider::new(now.0));
        let earlier = earlier.remove(&Some(key.machine_id.clone())).unwrap_or_default();
        ids.push(attach(tx, about, Wish::Provider, plan, earlier, &actor.0, now)?);
    }
    Ok(ids)
}

fn unfinished(wish: &Wish) -> Filter {
    Filter { kind: Some(wish.kind().to_owned()), unfinished: true, ..Filter::default() }
}

/// What an operation is about.
struct About<'a> {
    server: &'a str,
    name: &'a str,
    machine: &'a str,
}

/// Adds an operation that follows from the change being written, whose audit entry tells who asked for it. One that an
/// earlier change left begins anew: whoever works on it finds its save refused. `earlier`: the unfinished operations of this
/// kind on this machine.
fn attach(
    tx: &mut Tx<'_>,
    about: About<'_>,
    wish: Wish,
    plan: Plan,
    earlier: Vec<Operation>,
    actor: &str,
    now: Time,
) -> Result<String, StoreError> {
    let id = Uuid::now_v7().to_string();
    let begun = Begun::unmarked(plan);
    for mut older in earlier {
        let params: Option<Params> = serde_json::from_str(&older.params).ok();
        if params.is_some_and(|params| params.server == about.server) {
            fill(&mut older, &begun, now)?;
            operations::save(tx, &older)?;
            return Ok(older.id);
        }
        let Ok(plan) = plan_of(&older) else { continue };
        end(tx, older, &plan, Ending::Cancelled, "the server registered anew".into(), now.0)?;
    }
    let params = Params { wish, server: about.server.to_owned(), force: false };
    let mut operation = operation(&id, &params, about.name, about.machine, actor, now)?;
    fill(&mut operation, &begun, now)?;
    operations::insert(tx, &operation)?;
    Ok(id)
}

/// The row of an operation, without what its plan says.
fn operation(
    id: &str,
    params: &Params,
    target: &str,
    machine: &str,
    actor: &str,
    now: Time,
) -> Result<Operation, StoreError> {
    Ok(Operation {
        id: id.to_owned(),
        kind: params.wish.kind().into(),
        target_kind: SERVER.into(),
        target: target.to_owned(),
        machine_id: Some(machine.to_owned()),
        params: serde_json::to_string(params).map_err(broken)?,
        actor: actor.to_owned(),
        attempt: 1,
        created_at: now.micros(),
        ..Operation::default()
    })
}

/// Ends an operation from outside of its work.
fn end(
    tx: &mut Tx<'_>,
    mut operation: Operation,
    plan: &Plan,
    ending: Ending,
    reason: String,
    now: Timestamp,
) -> Result<(), StoreError> {
    operation.status = ending.as_str().into();
    operation.steps = steps(&operation.steps, plan, &reason, Some(ending), now);
    operation.reason = reason;
    operation.updated_at = now.as_microsecond();
    operation.finished_at = Some(operation.updated_at);
    operations::save(tx, &operation).map(drop)
}

fn broken(e: impl std::fmt::Display) -> StoreError {
    StoreError::Database(format!("an operation cannot be written: {e}"))
}

pub(super) struct Begun {
    plan: Plan,
    mark: Option<Mark>,
    documents: Option<Secret>,
}

impl Begun {
    /// That changes nothing at a server.
    pub(super) fn unmarked(plan: Plan) -> Self {
        Self { plan, mark: None, documents: None }
    }

    /// Goes with the operation's row, in the same transaction.
    pub(super) fn keep_documents(&self, tx: &mut Tx<'_>, operation: &str) -> Result<(), StoreError> {
        operations::set_documents(tx, operation, self.documents.as_ref())
    }
}

/// An operation that is due at once.
pub(super) fn fill(operation: &mut Operation, begun: &Begun, now: Time) -> Result<(), StoreError> {
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
pub(super) fn mark(
    tx: &mut Tx<'_>,
    row: &ServerRow,
    id: &str,
    request: &Request,
    channels: &ChannelIndexes,
    now: Timestamp,
) -> Result<Result<Begun, Error>, StoreError> {
    let before = tracking::enrolment(row);
    // The work of the center itself goes beside what people ask for.
    if !matches!(request.wish, Wish::Register | Wish::Provider)
        && let Some(refused) = in_the_way(tx, row, &before, request, id, now)?
    {
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
        Wish::Update { trigger, .. } => begin_update(&before, goal.clone(), *trigger, context, now),
        Wish::Register if !before.is(ServerStatus::Pending, StatusDetail::Registering) => {
            let text = format!("{:?} does not wait for its first poll", row.name);
            return Ok(Err(Error::NotPermitted(text)));
        }
        Wish::RefreshUpdates { .. } => {
            return Ok(Err(Error::Internal("a refresh of the updates is about no server".into())));
        }
        _ if before.status == ServerStatus::Unregistered => Err(ActionRefused::Unregistered),
        Wish::Register
        | Wish::Provider
        | Wish::Channel(_)
        | Wish::FactoryReset { .. }
        | Wish::Release { .. }
        | Wish::Clean { .. }
        | Wish::Allocate(_)
        | Wish::ReRegister => Ok(before.clone()),
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
        Wish::Update { trigger, reboot } => {
            let update = Update::new(goal, *trigger, now);
            Plan::Update(if *reboot { update.with_reboot() } else { update })
        }
        Wish::Network => Plan::Configure(Configure::new(Target::Network, now)),
        Wish::Storage => Plan::Configure(Configure::new(Target::Storage, now)),
        Wish::Channel(_) => Plan::Configure(Configure::new(Target::Update, now)),
        Wish::FactoryReset { token, .. } => Plan::Reset(FactoryReset::new(*token, now)),
        Wish::Release { grace_seconds } | Wish::Clean { grace_seconds } => {
            Plan::Reset(FactoryReset::after(SignedDuration::from_secs((*grace_seconds).into()), now))
        }
        Wish::Allocate(_) | Wish::ReRegister => Plan::Checkup(Checkup::new(now)),
        Wish::Register => Plan::Register(Register::new(now)),
        Wish::Provider => Plan::Provider(PushProvider::new(now)),
        Wish::RefreshUpdates { accept_older } => Plan::Refresh(Refresh::new(*accept_older, now)),
    };
    plan.advance(Outcome::Marked);
    if after == before && request.wish.part().is_none() {
        return Ok(Ok(Begun::unmarked(plan)));
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
            (Plan::Reset(_) | Plan::Checkup(_), _) => {
                let about: Option<Params> = serde_json::from_str(&operation.params).ok();
                if let Some(params) = about.filter(|p| p.server == row.id) {
                    let what = match params.wish {
                        Wish::FactoryReset { .. } => "a factory reset".to_owned(),
                        wish => format!("{} {}", wish.kind(), operation.id),
                    };
                    return Ok(Some(Error::Retryable(format!("server operation in flight: {what} has not ended"))));
                }
            }
            (plan, Wish::Reboot) if plan.reboot().is_some() && !done && rebooting => {
                let refused = ActionRefused::InFlight { wanted: ServerAction::Reboot, running: ServerAction::Reboot };
                return Ok(Some(Error::Retryable(format!("server operation in flight: {refused}"))));
            }
            // Nobody takes part in what a call under way still brings.
            _ if plan.is_answered() => over.push((operation, plan, done)),
            _ => {}
        }
    }
    for (operation, plan, done) in over {
        let (ending, reason) = match done {
            true => (Ending::Succeeded, String::new()),
            false => (Ending::Cancelled, format!("superseded by {} {id}", request.wish.kind())),
        };
        end(tx, operation, &plan, ending, reason, now)?;
    }
    Ok(None)
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
