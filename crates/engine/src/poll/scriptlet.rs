//! The administrator's program at the end of a registration (`servers.md` 13): run before the server is ready, so that
//! nobody uses a machine that it has not configured yet.
//!
//! It runs once a registration; after a crash before its changes are stored it runs again.

use super::{collect::Collected, connections::Slot};
use crate::{
    Engine, Error,
    services::{
        audit,
        server::{self, check, tracking},
    },
};
use http::Method;
use muster_api::provisioning::status::{ServerStatus, StatusDetail};
use muster_clients::{call::CallError, machine::Machine};
use muster_domain::server::version::ChannelIndex;
use muster_scriptlet::{Changes, Host, HostCall, Level};
use muster_store::{
    StoreError, Tx,
    tables::{
        channels, leases,
        servers::{self, Observation, Server as ServerRow},
    },
};
use serde_json::{Value, json};
use std::{
    sync::{Arc, PoisonError},
    time::Duration,
};
use tokio::{runtime::Handle, time::Instant};

/// Longest run, its requests to the machine included.
const WITHIN: Duration = Duration::from_secs(120);
/// Longest request of it.
const CALL_WITHIN: Duration = Duration::from_secs(30);
/// Another daemon does not start it meanwhile, in microseconds: longer than it may run.
const LEASE_US: i64 = 150_000_000;

/// What a run left.
pub(crate) struct Ran {
    changes: Changes,
    failure: Option<String>,
}

/// Whether it applies: the server is at the end of its registration.
pub(super) fn is_due(engine: &Engine, row: &ServerRow) -> bool {
    let registering = tracking::enrolment(row).is(ServerStatus::Pending, StatusDetail::Registering);
    registering && !engine.settings().settings.server_registration_scriptlet.is_empty()
}

/// Runs the configured program on a server as it was just collected; or answers what it left that is not stored yet.
///
/// # Errors
/// [`Error::Retryable`] while another daemon runs it.
pub(super) async fn run_once(
    engine: &Engine,
    slot: &Slot,
    machine: Arc<Machine>,
    row: &ServerRow,
    collected: &Collected,
) -> Result<Arc<Ran>, Error> {
    let print = row.fingerprint.clone().unwrap_or_default();
    let kept = slot.ran.lock().unwrap_or_else(PoisonError::into_inner).clone();
    if let Some((_, ran)) = kept.filter(|(of, _)| *of == print) {
        return Ok(ran);
    }
    let ran = Arc::new(run(engine, machine, row, collected).await?);
    *slot.ran.lock().unwrap_or_else(PoisonError::into_inner) = Some((print, ran.clone()));
    Ok(ran)
}

/// What it left is stored.
pub(super) fn stored(slot: &Slot) {
    *slot.ran.lock().unwrap_or_else(PoisonError::into_inner) = None;
}

async fn run(engine: &Engine, machine: Arc<Machine>, row: &ServerRow, collected: &Collected) -> Result<Ran, Error> {
    let (lease, owner) = (format!("scriptlet {}", row.id), uuid::Uuid::new_v4().to_string());
    let (name, holder, now) = (lease.clone(), owner.clone(), engine.clock().micros());
    if !engine.store().write(move |tx| leases::acquire(tx, &name, &holder, now, now + LEASE_US)).await? {
        return Err(Error::Retryable(format!("the registration scriptlet runs on {:?} already", row.name)));
    }
    let candidate = candidate(row, collected)?;
    let source = engine.settings().settings.server_registration_scriptlet.clone();
    let mut host = Requests { machine, runtime: Handle::current(), end: Instant::now() + WITHIN };
    let ran = tokio::task::spawn_blocking(move || muster_scriptlet::run(&source, &candidate, &mut host)).await;
    engine.store().write(move |tx| leases::release(tx, &lease, &owner)).await?;
    let (changes, outcome) = ran.map_err(|e| Error::Internal(format!("the scriptlet ended early: {e}")))?;
    for (level, line) in &changes.log {
        match level {
            Level::Info => tracing::info!(server = %row.name, "scriptlet: {line}"),
            Level::Warn => tracing::warn!(server = %row.name, "scriptlet: {line}"),
            Level::Error => tracing::error!(server = %row.name, "scriptlet: {line}"),
        }
    }
    Ok(Ran { changes, failure: outcome.err().map(|e| e.to_string()) })
}

/// The record as the program sees it, secrets masked.
fn candidate(row: &ServerRow, collected: &Collected) -> Result<Value, Error> {
    let mut fresh = row.clone();
    fresh.hardware_data.clone_from(&collected.hardware);
    fresh.os_data.clone_from(&collected.os_data);
    fresh.version_data = serde_json::to_string(&collected.versions).unwrap_or_default();
    fresh.connection_url.clone_from(&collected.connection_url);
    collected.server_type.as_str().clone_into(&mut fresh.server_type);
    let server = server::view(&fresh, &ChannelIndex::default())?;
    let mut candidate = server::identifiers(&server, &server::IDENTIFIERS);
    for unset in ["cluster_certificate", "cluster_connection_url", "registration_token"] {
        candidate[unset] = Value::Null;
    }
    Ok(candidate)
}

/// The program's requests to the machine.
struct Requests {
    machine: Arc<Machine>,
    runtime: Handle,
    end: Instant,
}

impl Host for Requests {
    fn call(&mut self, call: HostCall) -> Result<Value, String> {
        let (method, path, body) = match call {
            HostCall::GetSystem { resource } => (Method::GET, format!("system/{resource}"), None),
            HostCall::SetSystem { resource, config } => (Method::PUT, format!("system/{resource}"), Some(config)),
            HostCall::TriggerAction { resource, action, body } => {
                let resource = if resource.is_empty() { resource } else { format!("{resource}/") };
                (Method::POST, format!("system/{resource}:{action}"), Some(body))
            }
            HostCall::GetService { service } => (Method::GET, format!("services/{service}"), None),
            HostCall::SetService { service, config } => (Method::PUT, format!("services/{service}"), Some(config)),
            HostCall::AddApplication { application } => {
                (Method::POST, "applications".to_owned(), Some(json!({"name": application})))
            }
        };
        let left = self.end.saturating_duration_since(Instant::now()).min(CALL_WITHIN);
        if left.is_zero() {
            return Err(format!("the scriptlet ran for longer than {} s", WITHIN.as_secs()));
        }
        let path = format!("/os/1.0/{path}");
        let answer = self.runtime.block_on(self.machine.request(method, &path, body.as_ref(), left));
        let answer = answer.map_err(|e: CallError| e.to_string())?;
        serde_json::from_str(answer.metadata.get()).map_err(|e| format!("{path} answered what cannot be read: {e}"))
    }
}

impl Ran {
    /// Puts the changes into the row and into what is about to be stored of the poll. Answers what went wrong, the run's own
    /// failure first; a change that cannot be made does not keep the others from being made.
    pub fn put(
        &self,
        tx: &mut Tx<'_>,
        row: &mut ServerRow,
        stored: &mut Observation,
        now: i64,
    ) -> Result<Vec<String>, StoreError> {
        let mut wrong: Vec<String> = self.failure.iter().cloned().collect();
        let (changes, mut changed) = (&self.changes, Vec::new());
        if let Some(description) = &changes.description {
            row.description.clone_from(description);
            changed.push("description");
        }
        if let Some(properties) = &changes.properties {
            row.properties = serde_json::to_string(properties).ok();
            changed.push("properties");
        }
        if let Some(url) = &changes.public_connection_url {
            row.public_connection_url.clone_from(url);
            changed.push("public_connection_url");
        }
        if let Some(url) = &changes.connection_url {
            stored.connection_url = Some(url.clone());
            changed.push("connection_url");
        }
        if let Some(channel) = &changes.channel {
            match channels::get(tx, channel)? {
                Some(_) => {
                    row.channel.clone_from(channel);
                    changed.push("channel");
                }
                None => wrong.push(format!("there is no channel {channel:?}")),
            }
        }
        let name = match &changes.name {
            Some(name) if *name != row.name => match (check::name(name), servers::get_by_name(tx, name)?) {
                (Err(e), _) => {
                    wrong.push(e.to_string());
                    None
                }
                (Ok(()), Some(_)) => {
                    wrong.push(format!("there is a server {name:?} already"));
                    None
                }
                (Ok(()), None) => Some(name),
            },
            _ => None,
        };
        if !changed.is_empty() {
            row.generation = servers::update(tx, row)?;
        }
        if let Some(name) = name {
            row.generation = servers::rename(tx, &row.name, name, None, now)?;
            let mut entry = audit::entry(now, &crate::Actor::system(), "server.rename", "server", &row.name);
            entry.to_state = Some(name.clone());
            audit::append(tx, &entry)?;
            row.name.clone_from(name);
        }
        let mut entry = audit::entry(now, &crate::Actor::system(), "server.scriptlet", "server", &row.name);
        entry.reason = Some(match changed.is_empty() {
            true => "nothing set".to_owned(),
            false => format!("set {}", changed.join(", ")),
        });
        audit::append(tx, &entry)?;
        Ok(wrong)
    }
}
