//! One request to a machine, and its refusal in the words of the reference (`servers.md` 3.11, 3.13).

use super::{Documents, plan::Call};
use crate::Engine;
use crate::services::server::tracking;
use muster_api::provisioning::status::{ServerStatus, StatusDetail};
use muster_clients::{
    call::{CallError, Failure},
    incus::MemberAction,
    machine::Machine,
};
use muster_domain::operation::{configure::Target, maintenance::Direction};
use muster_store::tables::{
    operations,
    servers::{self, Server as ServerRow},
};
use serde_json::value::RawValue;
use std::sync::Arc;

/// The mark of a refusal that the same request may not meet again later.
pub(crate) const RETRYABLE: &str = "Retryable: ";

/// The client of a server.
pub(super) fn machine(engine: &Engine, row: &ServerRow) -> Result<Arc<Machine>, String> {
    let slot = engine.connections().slot(&row.id);
    engine.connections().machine(engine, &slot, row)
}

/// What a call needs beside its name.
pub(super) struct Given<'a> {
    /// The operation.
    pub operation: &'a str,
    /// The channel to push.
    pub channel: &'a str,
}

/// Calls. Answers the id of Incus' own operation where there is one.
///
/// # Errors
/// The refusal, for people.
pub(super) async fn call(
    engine: &Engine,
    row: &ServerRow,
    call: Call,
    given: Given<'_>,
) -> Result<Option<String>, String> {
    let machine = machine(engine, row)?;
    let at = format!("on {:?} ({})", row.name, row.connection_url);
    let to = format!("to {:?} ({}) failed", row.name, row.connection_url);
    let outcome = match call {
        Call::Reboot => machine.reboot().await.map_err(|e| refusal(&format!("Failed to trigger reboot {at}"), &e)),
        Call::Poweroff => {
            machine.poweroff().await.map_err(|e| refusal(&format!("Failed to trigger poweroff {at}"), &e))
        }
        Call::CheckUpdate => {
            machine.check_update().await.map_err(|e| refusal(&format!("Failed to trigger update check {at}"), &e))
        }
        Call::Channel => {
            let done = machine.put_update(given.channel).await;
            done.map_err(|e| refusal(&format!("Put OS update config {to}"), &e))
        }
        Call::Member(direction) => {
            let (action, mode, state) = match direction {
                Direction::Evacuate => (MemberAction::Evacuate, "auto", "evacuated"),
                Direction::Restore => (MemberAction::Restore, "", "restored"),
            };
            let begun = machine.set_member_state(&row.name, action, mode).await;
            let what = format!("Failed to update cluster member state to {state} {at}");
            return begun.map(Some).map_err(|e| refusal(&what, &e));
        }
        Call::Document(target) => {
            let document = document(engine, given.operation).await?;
            match target {
                Target::Storage => {
                    let done = machine.put_storage(&document).await;
                    done.map_err(|e| refusal(&format!("Put OS storage data {to}"), &e))
                }
                _ => tokio::select! {
                    done = machine.put_network(&document) => {
                        done.map_err(|e| refusal(&format!("Put OS network data {to}"), &e))
                    }
                    // The answer may be lost with the old address.
                    () = answers_anew(engine, row) => Ok(()),
                },
            }
        }
    };
    outcome.map(|()| None)
}

fn refusal(what: &str, e: &CallError) -> String {
    let retryable = if e.retryable() { RETRYABLE } else { "" };
    match &e.failure {
        Failure::Api { message, .. } => format!("{retryable}{what}: {message}"),
        failure => format!("{retryable}{what}: {failure}"),
    }
}

async fn document(engine: &Engine, operation: &str) -> Result<Box<RawValue>, String> {
    let id = operation.to_owned();
    let opened = engine.store().read(move |tx| operations::documents(tx, &id)).await.map_err(|e| e.to_string())?;
    let opened = opened.ok_or("the operation has no document")?;
    let documents: Documents =
        serde_json::from_str(opened.expose()).map_err(|_| "the stored document cannot be read")?;
    RawValue::from_string(documents.wanted.to_string()).map_err(|_| "the stored document cannot be read".to_owned())
}

/// Returns once the machine has reported itself and was polled since: then it works under its new configuration.
async fn answers_anew(engine: &Engine, row: &ServerRow) {
    let mut changed = engine.store().changed();
    let (mut reported, marked) = (false, engine.clock().micros());
    loop {
        let id = row.id.clone();
        if let Ok(Some(now)) = engine.store().read(move |tx| servers::get_by_id(tx, &id)).await {
            let pending = tracking::enrolment(&now).is(ServerStatus::Pending, StatusDetail::ReConfiguring);
            reported |= pending && now.last_updated > marked;
            if reported && !pending {
                return;
            }
        }
        if changed.changed().await.is_err() {
            return std::future::pending().await;
        }
    }
}
