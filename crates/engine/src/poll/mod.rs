//! Watching servers: one poll of one server, and the scheduler that polls them all (`servers.md` 8.4, 9.1).
//!
//! A poll asks first and writes afterwards: nothing is locked and no transaction is open while a machine is waited for. What
//! it found is applied to the row as it is *then*, and dropped if the row meanwhile belongs to another certificate or address.

mod collect;
mod connections;
mod scheduler;
mod scriptlet;

pub(crate) use connections::Connections;
pub(crate) use muster_domain::server::hidden;
pub use scheduler::run;

use crate::{
    Actor, ChannelIndexes, Engine, Error, hardware,
    machine::{self, By},
    services::{
        audit,
        server::{self, tracking},
    },
};
use collect::Collected;
use muster_api::provisioning::{
    server::VersionData,
    status::{Maintenance, ServerStatus, ServerType, StatusDetail},
};
use muster_clients::{
    call::{CallError, Failure as CallFailure},
    machine::Machine,
};
use muster_domain::{
    machine::Command,
    server::{
        enrolment::{Enrolment, Failure, FailureKind, Limits, Observation, PollOrigin, PollOutcome, Step},
        status::after_poll,
        version::{Installed, compute},
    },
};
use muster_store::{
    Secret, StoreError, Tx,
    tables::{
        operations,
        servers::{self, Observation as Stored, Server as ServerRow},
        warnings,
    },
};
use scriptlet::Ran;
use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

/// How long a machine may take to say that it is there.
const PING_WITHIN: Duration = Duration::from_secs(5);
/// Warnings of polls have this scope.
const SCOPE: &str = "poll_server";

/// What a poll found.
enum Found {
    Outcome(PollOutcome, Option<Box<Collected>>),
    /// It is there, but one of its answers was an error.
    Answer(String),
}

/// Polls a server now, on behalf of a person: everything is collected, and one failure is proof enough (`servers.md` 3.8).
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Retryable`] while it is pending, rebooting or starting; [`Error::Machine`] for errors it gives.
pub async fn resync(engine: &Engine, actor: &Actor, name: &str) -> Result<(), Error> {
    let row = server::row(engine, name).await?;
    poll(engine, &row.id, true, PollOrigin::Person).await?;
    let (id, actor, now) = (row.id, actor.clone(), engine.clock().micros());
    // Where a registration in band is possible, that was one (`lifecycle.md` 5.4); everywhere else it changes nothing.
    let done = engine.store().write(move |tx| {
        let Some(row) = servers::get_by_id(tx, &id)? else { return Ok(()) };
        machine::command(tx, &row, &Command::Resync, By::new(&actor.0, "resynced", now)).map(drop)
    });
    Ok(done.await?)
}

/// Polls one server. At most one poll of a server runs at a time in this process.
///
/// # Errors
/// As [`resync`].
pub(crate) async fn poll(engine: &Engine, id: &str, full: bool, origin: PollOrigin) -> Result<(), Error> {
    let slot = engine.connections().slot(id);
    let _turn = slot.turn.lock().await;
    let (wanted, began) = (id.to_owned(), engine.clock().micros());
    let Some(row) = engine.store().read(move |tx| servers::get_by_id(tx, &wanted)).await? else { return Ok(()) };
    if tracking::status(&row) == ServerStatus::Unregistered {
        return Ok(());
    }
    let mut ran = None;
    let found = match engine.connections().machine(engine, &slot, &row) {
        Ok(machine) => {
            let found = ask(engine, &machine, &row, full).await;
            if let Found::Outcome(PollOutcome::Reached(_), Some(collected)) = &found
                && scriptlet::is_due(engine, &row)
            {
                ran = Some(scriptlet::run_once(engine, &slot, machine, &row, collected).await?);
            }
            found
        }
        Err(e) => Found::Outcome(PollOutcome::Failed(Failure { what: FailureKind::Address, how: e }), None),
    };
    let answer = match &found {
        Found::Answer(text) => Some(text.clone()),
        Found::Outcome(..) => None,
    };
    let step = apply(engine, row, found, ran, origin).await?;
    if step.as_ref().is_some_and(|step| step.registered) {
        scriptlet::stored(&slot);
    }
    if full && answer.is_none() && step.as_ref().is_some_and(|step| step.seen && step.wait.is_none()) {
        slot.known_of.store(began, Relaxed);
    }
    match (answer, step) {
        (Some(text), _) => Err(Error::Machine(text)),
        (None, Some(Step { wait: Some(wait), .. })) if wait.is_error() => Err(Error::Retryable(wait.to_string())),
        _ => Ok(()),
    }
}

async fn ask(engine: &Engine, machine: &Machine, row: &ServerRow, full: bool) -> Found {
    if let Err(e) = machine.ping(PING_WITHIN).await {
        return failed(&e);
    }
    // Of the moment of the question: an answer that takes long must not make the boot look younger than it is.
    let asked = engine.clock().micros();
    let environment = match machine.environment().await {
        Ok(environment) => environment,
        Err(e) if e.to_string().contains("System isn't running IncusOS") => {
            return Found::Outcome(PollOutcome::NotIncusOs, None);
        }
        Err(e) => return failed(&e),
    };
    let boot_at = environment
        .uptime
        .and_then(|seconds| i64::try_from(seconds).ok())
        .map(|seconds| tracking::timestamp(asked - seconds.saturating_mul(1_000_000)));
    if !environment.is_ready() {
        return Found::Outcome(PollOutcome::NotReady { boot_at }, None);
    }
    if !full {
        let observation = Observation { boot_at, ..Observation::default() };
        return Found::Outcome(PollOutcome::Reached(observation), None);
    }
    match collect::collect(machine, row).await {
        Ok(collected) => {
            let installed = tracking::installed(&collected.versions);
            let observation = Observation {
                boot_at,
                needs_update: false,
                // IncusOS does not say: see `kept`.
                maintenance: None,
                installed: Some(installed),
            };
            Found::Outcome(PollOutcome::Reached(observation), Some(Box::new(collected)))
        }
        Err(collect::CollectError::Call(e)) => failed(&e),
        Err(collect::CollectError::Answer(text)) => Found::Answer(text),
    }
}

fn failed(e: &CallError) -> Found {
    let what = match &e.failure {
        CallFailure::Connect(_) | CallFailure::Closed(_) => FailureKind::Connect,
        CallFailure::Timeout => FailureKind::Timeout,
        CallFailure::Tls(_) | CallFailure::Certificate(_) => FailureKind::Certificate,
        CallFailure::Http(_) | CallFailure::Api { .. } => return Found::Answer(e.to_string()),
        CallFailure::NotJson(_) | CallFailure::TooLarge { .. } | CallFailure::Depth => FailureKind::Answer,
    };
    Found::Outcome(PollOutcome::Failed(Failure { what, how: e.to_string() }), None)
}

/// Writes what was found. None when the row has gone or belongs to somebody else by now.
async fn apply(
    engine: &Engine,
    asked: ServerRow,
    found: Found,
    ran: Option<Arc<Ran>>,
    origin: PollOrigin,
) -> Result<Option<Step>, Error> {
    let channels = engine.channel_index().await?;
    let (now, opens) = (engine.clock().now(), engine.settings().settings.opens_machines());
    let done = engine.store().write(move |tx| {
        let Some(mut row) = servers::get_by_id(tx, &asked.id)? else { return Ok(None) };
        if row.fingerprint != asked.fingerprint || row.connection_url != asked.connection_url {
            return Ok(None);
        }
        let before = tracking::enrolment(&row);
        let (outcome, collected) = match &found {
            Found::Outcome(outcome, collected) => (outcome, collected.as_deref()),
            Found::Answer(text) => {
                let mut enrolment = before.clone();
                enrolment.last_failure = Some(Failure { what: FailureKind::Answer, how: text.clone() });
                servers::update_observation(tx, &row.id, asked.observed, &tracking::observation(&row, &enrolment))?;
                return Ok(None);
            }
        };
        let mut outcome = outcome.clone();
        if let PollOutcome::Reached(observation) = &mut outcome {
            observation.maintenance = Some(kept(&before));
            let versions = collected.map_or_else(|| tracking::versions(&row), |c| c.versions.clone());
            observation.needs_update = compute(&tracking::installed(&versions), channels.of(&row.channel)).needs_update;
        }
        let step = after_poll(&before, &outcome, origin, &Limits::default(), now.0);
        let taken = collected.filter(|_| matches!(outcome, PollOutcome::Reached(_)) && step.wait.is_none());
        let running = releases(&tracking::versions(&row));
        if let Some(collected) = taken {
            row.version_data = serde_json::to_string(&collected.versions).unwrap_or_default();
        }
        let mut stored = tracking::observation(&row, &step.enrolment);
        stored.last_seen = step.seen.then(|| now.micros());
        stored.last_updated = (step.changed || taken.is_some()).then(|| now.micros());
        if let Some(collected) = taken {
            stored.version_data.get_or_insert_with(|| row.version_data.clone());
            take(&mut stored, collected);
            collected.server_type.as_str().clone_into(&mut row.server_type);
        }
        if let Some(ran) = ran.as_ref().filter(|_| step.registered) {
            let wrong = ran.put(tx, &mut row, &mut stored, now.micros())?;
            if !wrong.is_empty() {
                emit(tx, &row, (SCOPE, "Server registration scriptlet failed"), &wrong.join("; "), now.micros())?;
            }
        }
        servers::update_observation(tx, &row.id, asked.observed, &stored)?;
        if step.changed || taken.is_some_and(|c| releases(&c.versions) != running) {
            operations::wake(tx, &row.machine_id)?;
        }
        // First, so that what is wrong with it keeps it out of the pool.
        if let Some(collected) = taken {
            let by = By::new("system", "its hardware was seen", now.micros());
            hardware::seen(tx, &row.machine_id, &row.name, &collected.hardware, by)?;
            let now_runs = releases(&collected.versions);
            if now_runs != running {
                audit::append(tx, &versions_entry(&row.machine_id, &now_runs, now.micros()))?;
            }
        }
        if step.registered {
            let pooled = row.server_type.parse::<ServerType>().is_ok_and(ServerType::is_incus);
            let command = Command::FirstPoll { open: pooled && opens, accepts_data: asked.accepts_data };
            let reason = match asked.accepts_data {
                true => "first poll succeeded; its token accepts the data on its disks",
                false => "first poll succeeded",
            };
            // A refusal leaves the machine where it is; the enrolment is ready all the same (`lifecycle.md` 5.8, 26).
            if let Err(refusal) = machine::command(tx, &asked, &command, By::new("system", reason, now.micros()))? {
                tracing::warn!(server = %row.name, %refusal, "the machine's lifecycle did not follow its first poll");
            }
        }
        warn(tx, &row, &step, collected, &channels, now.micros())?;
        if step.changed {
            let mut entry = audit::entry(now.micros(), &crate::Actor::system(), "server.status", "server", &row.name);
            entry.from_state = Some(tracking::state_text(before.status, before.detail));
            entry.to_state = Some(tracking::state_text(step.enrolment.status, step.enrolment.detail));
            entry.reason = step.enrolment.last_failure.as_ref().map(|f| f.what.text().to_owned());
            audit::append(tx, &entry)?;
        }
        Ok(Some(step))
    });
    match done.await {
        // Something newer was written while the machine was asked; the next poll sees the newer state.
        Err(StoreError::Stale) => Ok(None),
        other => Ok(other?),
    }
}

/// Maintenance is known from Incus' own operations and events only, which a poll does not see: what they said stays, but
/// nothing is on its way any more once the status says so.
fn kept(before: &Enrolment) -> Maintenance {
    match (before.maintenance, before.detail) {
        (Maintenance::Evacuating, StatusDetail::Evacuating)
        | (Maintenance::Restoring, StatusDetail::Restoring)
        | (Maintenance::Evacuated, _) => before.maintenance,
        _ => Maintenance::None,
    }
}

/// What an update changes.
fn releases(versions: &VersionData) -> Installed {
    let mut installed = tracking::installed(versions);
    for application in &mut installed.applications {
        application.in_maintenance = Maintenance::None;
    }
    installed
}

/// What a machine runs is a part of its history (`lifecycle.md` 1.6).
fn versions_entry(machine: &str, runs: &Installed, now: i64) -> audit::Entry {
    let applications = runs.applications.iter().map(|a| format!("{} {}", a.name, a.version));
    let parts: Vec<String> =
        std::iter::once(format!("{} {}", runs.os.name, runs.os.version)).chain(applications).collect();
    let mut entry = audit::by(now, "system", "machine.versions", "machine", machine);
    entry.reason = Some(parts.join(", "));
    entry
}

/// Takes over what a full poll collected.
fn take(stored: &mut Stored, collected: &Collected) {
    stored.hardware_data = Some(collected.hardware.clone());
    stored.os_data = Some(collected.os_data.clone());
    stored.os_secrets = Some(Secret::new(collected.secrets.clone()));
    stored.server_type = Some(collected.server_type.as_str().into());
    stored.connection_url = Some(collected.connection_url.clone());
}

fn warn(
    tx: &mut Tx<'_>,
    row: &ServerRow,
    step: &Step,
    collected: Option<&Collected>,
    channels: &ChannelIndexes,
    now: i64,
) -> Result<(), StoreError> {
    for kind in &step.clear {
        warnings::remove(tx, kind.text(), SCOPE, "server", &row.name)?;
    }
    for warning in &step.raise {
        emit(tx, row, (SCOPE, warning.kind.text()), &warning.message, now)?;
    }
    let Some(collected) = collected else { return Ok(()) };
    unoffered(tx, row, &compute(&tracking::installed(&collected.versions), channels.of(&row.channel)).missing, now)?;
    let mismatch = "Update channel mismatch";
    if collected.versions.update_channel == row.channel {
        warnings::remove(tx, mismatch, SCOPE, "server", &row.name).map(|_| ())
    } else {
        let message = format!(
            "Update channel {:?} reported by server does not match expected update channel {:?}",
            collected.versions.update_channel, row.channel
        );
        emit(tx, row, (SCOPE, mismatch), &message, now)
    }
}

/// Components that no update of the server's channel has. Only the newest text stays.
fn unoffered(tx: &mut Tx<'_>, row: &ServerRow, missing: &[String], now: i64) -> Result<(), StoreError> {
    const VERSIONS: &str = "version_data";
    let mut fresh = Vec::new();
    if !missing.is_empty() {
        let message = format!(
            "Failed to find updates for some components while enriching server record with update version information: [{}]",
            missing.join(" ")
        );
        emit(tx, row, (VERSIONS, "Update version details missing"), &message, now)?;
        fresh.push(message);
    }
    warnings::remove_scope(tx, VERSIONS, Some(("server", &row.name)), &fresh, now).map(drop)
}

fn emit(
    tx: &mut Tx<'_>,
    row: &ServerRow,
    (scope, kind): (&str, &str),
    message: &str,
    now: i64,
) -> Result<(), StoreError> {
    let emitted = warnings::Emitted {
        kind: kind.into(),
        scope: scope.into(),
        entity_type: "server".into(),
        entity: row.name.clone(),
        messages: vec![message.into()],
    };
    warnings::emit(tx, &emitted, &uuid::Uuid::now_v7().to_string(), now).map(|_| ())
}
