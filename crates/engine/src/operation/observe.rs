//! What a decision is made from: the stored server, and what has to be asked for because no poll asks it.

use super::{Params, Plan, State, perform};
use crate::{
    Engine,
    services::{audit, server::tracking},
};
use muster_api::provisioning::status::{ServerStatus, StatusDetail};
use muster_clients::call::Failure;
use muster_domain::{
    operation::{
        factory_reset::Seen,
        maintenance::{Direction, IncusOperation},
        poweroff::Presence,
    },
    server::status::{MaintenanceEvent, after_maintenance_event},
};
use muster_store::{
    StoreError,
    tables::{
        operations::Operation,
        servers::{self, Server as ServerRow},
    },
};
use std::time::Duration;

/// How long a machine may take to say that it is there.
const PING_WITHIN: Duration = Duration::from_secs(3);

/// What the store alone says.
pub(crate) fn passive(row: Option<&ServerRow>) -> super::Observed {
    super::Observed {
        server: row.map(tracking::enrolment),
        installed: row.map(|row| tracking::installed(&tracking::versions(row))).unwrap_or_default(),
        presence: Presence::Unknown,
        incus: IncusOperation::Unknown,
        seen: Seen::Nothing,
        refresh: None,
    }
}

/// Looks. `fresh`: the machine took a call this very moment, so it is not asked about it yet.
pub(super) async fn observe(
    engine: &Engine,
    operation: &Operation,
    params: &Params,
    state: &State,
    plan: &Plan,
    fresh: bool,
) -> Result<(Option<ServerRow>, super::Observed), StoreError> {
    let row = load(engine, &params.server).await?;
    let mut observed = passive(row.as_ref());
    if fresh {
        return Ok((row, observed));
    }
    match (plan, &row) {
        (Plan::Poweroff(power), Some(row)) if plan.is_accepted() || !plan.may_stop() => {
            let back = tracking::status(row) == ServerStatus::Ready
                && row.last_status_updated > power.call.started.as_microsecond();
            let gone = back || ping(engine, row).await.is_err();
            observed.presence = if gone { Presence::Gone } else { Presence::Answers };
        }
        (Plan::Maintenance(maintenance), Some(row)) => {
            if let Some(id) = &state.incus_operation {
                observed.incus = incus(engine, row, id).await;
                note_maintenance(engine, &row.id, maintenance.direction, &observed.incus).await?;
                let row = load(engine, &params.server).await?;
                observed.server = row.as_ref().map(tracking::enrolment);
                return Ok((row, observed));
            }
        }
        (Plan::Reset(_), _) => observed.seen = seen(engine, operation, params, plan, row.as_ref()).await?,
        (plan, Some(row)) => {
            if let Some(reboot) = plan.reboot().filter(|reboot| reboot.is_in_doubt()) {
                observed.seen = boot(engine, row, reboot.call.started.as_microsecond()).await;
            }
        }
        _ => {}
    }
    Ok((row, observed))
}

async fn load(engine: &Engine, id: &str) -> Result<Option<ServerRow>, StoreError> {
    let id = id.to_owned();
    engine.store().read(move |tx| servers::get_by_id(tx, &id)).await
}

async fn ping(engine: &Engine, row: &ServerRow) -> Result<(), String> {
    let machine = perform::machine(engine, row)?;
    machine.ping(PING_WITHIN).await.map_err(|e| e.to_string())
}

async fn incus(engine: &Engine, row: &ServerRow, id: &str) -> IncusOperation {
    let Ok(machine) = perform::machine(engine, row) else { return IncusOperation::Unknown };
    match machine.wait_operation(id, Duration::from_secs(1)).await {
        Ok(operation) if !operation.is_done() => IncusOperation::Running,
        Ok(operation) if operation.is_success() => IncusOperation::Succeeded,
        Ok(operation) => IncusOperation::Failed(operation.err),
        // A member that is away says nothing about its operation; one that has forgotten it neither.
        Err(e) if matches!(e.failure, Failure::Api { code: 404, .. }) => IncusOperation::Unknown,
        Err(_) => IncusOperation::Running,
    }
}

/// The end of Incus' operation is an event for the status machine, whoever notices it first.
async fn note_maintenance(
    engine: &Engine,
    id: &str,
    direction: Direction,
    incus: &IncusOperation,
) -> Result<(), StoreError> {
    let (event, cause) = match (direction, incus) {
        (Direction::Evacuate, IncusOperation::Succeeded) => (MaintenanceEvent::Evacuated, None),
        (Direction::Restore, IncusOperation::Succeeded) => (MaintenanceEvent::Restored, None),
        (Direction::Evacuate, IncusOperation::Failed(e)) => (MaintenanceEvent::EvacuationFailed, Some(e.clone())),
        (Direction::Restore, IncusOperation::Failed(e)) => (MaintenanceEvent::RestoreFailed, Some(e.clone())),
        _ => return Ok(()),
    };
    let running = match direction {
        Direction::Evacuate => StatusDetail::Evacuating,
        Direction::Restore => StatusDetail::Restoring,
    };
    let (id, now) = (id.to_owned(), engine.clock().now());
    let done = engine.store().write(move |tx| {
        let Some(row) = servers::get_by_id(tx, &id)? else { return Ok(()) };
        // Only what this operation began is ended by it.
        if tracking::detail(&row) != running {
            return Ok(());
        }
        let step = after_maintenance_event(&tracking::enrolment(&row), event, cause.as_deref(), now.0);
        let mut observation = tracking::observation(&row, &step.enrolment);
        observation.last_updated = Some(now.micros());
        servers::update_observation(tx, &row.id, row.observed, &observation)?;
        let mut entry = audit::entry(now.micros(), &crate::Actor::system(), "server.maintenance", "server", &row.name);
        entry.to_state = Some(format!("{event:?}"));
        entry.reason.clone_from(&cause);
        audit::append(tx, &entry)
    });
    done.await
}

/// Where the machine is in a factory reset.
async fn seen(
    engine: &Engine,
    operation: &Operation,
    params: &Params,
    plan: &Plan,
    row: Option<&ServerRow>,
) -> Result<Seen, StoreError> {
    if plan.step() != "call" && plan.step() != "return" {
        return Ok(Seen::Nothing);
    }
    let anew = match &operation.machine_id {
        None => None,
        Some(machine) => {
            let machine = machine.clone();
            engine.store().read(move |tx| servers::get_by_machine(tx, &machine)).await?
        }
    };
    if let Some(anew) = anew {
        let registering = tracking::enrolment(&anew).is(ServerStatus::Pending, StatusDetail::Registering);
        if registering && anew.last_status_updated > operation.created_at {
            return Ok(Seen::Registered);
        }
        if anew.id != params.server {
            return Ok(if registering { Seen::Registered } else { Seen::Back });
        }
    }
    let Some(row) = row else { return Ok(Seen::Nothing) };
    Ok(boot(engine, row, operation.created_at).await)
}

/// Which boot answers: that of before `since` (microseconds since 1970), or another one or none.
async fn boot(engine: &Engine, row: &ServerRow, since: i64) -> Seen {
    let Ok(machine) = perform::machine(engine, row) else { return Seen::Nothing };
    if machine.ping(PING_WITHIN).await.is_err() {
        return Seen::Away;
    }
    // One that is there and gives no answer to this is on its way up or down, or was wiped a moment ago.
    let Ok(environment) = machine.environment().await else { return Seen::Nothing };
    let uptime = environment.uptime.and_then(|s| i64::try_from(s).ok());
    let boot = uptime.map(|seconds| engine.clock().micros() - seconds.saturating_mul(1_000_000));
    match boot {
        Some(boot) if boot > since => Seen::Away,
        _ => Seen::OldBoot,
    }
}
