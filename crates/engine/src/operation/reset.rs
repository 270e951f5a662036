//! The steps of a factory reset (`servers.md` 3.12, 7.9).

use super::{Params, Wish, perform, work::Held};
use crate::{
    Engine, Error,
    machine::{self, By},
    services::{audit, server::tracking, token, token_seed},
};
use muster_api::provisioning::status::ServerType;
use muster_domain::{
    machine::Command,
    operation::factory_reset::{ResetAction, ResetOutcome},
};
use muster_store::{
    StoreError,
    tables::{
        operations,
        servers::{self, Server as ServerRow},
        tokens,
    },
};
use serde_json::{Value, json};
use std::time::Duration;
use uuid::Uuid;

const PING_WITHIN: Duration = Duration::from_secs(5);
/// How long the token of a reset lives, in microseconds.
const TOKEN_US: i64 = 3_600_000_000;

/// Does one step and takes note of it.
pub(super) async fn act(
    engine: &Engine,
    held: &mut Held,
    row: Option<&ServerRow>,
    action: ResetAction,
) -> Result<(), StoreError> {
    match action {
        ResetAction::DropEnrolment => drop_enrolment(engine, held).await,
        ResetAction::CreateToken => create_token(engine, held).await,
        ResetAction::Ping => {
            let outcome = match ping(engine, row).await {
                Ok(()) => ResetOutcome::Reached,
                Err(e) => ResetOutcome::Failed(e),
            };
            held.plan.advance_reset(outcome);
            Ok(())
        }
        ResetAction::Reset(token) => {
            held.plan.advance_reset(ResetOutcome::Begun);
            held.save(engine, "running", "telling the machine to wipe itself").await?;
            let outcome = match held.holding(engine, wipe(engine, &held.params.clone(), row, token)).await? {
                Ok(()) => ResetOutcome::Accepted,
                Err(e) => ResetOutcome::Failed(e),
            };
            held.plan.advance_reset(outcome);
            Ok(())
        }
    }
}

async fn ping(engine: &Engine, row: Option<&ServerRow>) -> Result<(), String> {
    let row = row.ok_or("the server's record is gone")?;
    let machine = perform::machine(engine, row)?;
    machine.ping(PING_WITHIN).await.map_err(|e| format!("{}the machine cannot be reached: {e}", perform::RETRYABLE))
}

async fn wipe(engine: &Engine, params: &Params, row: Option<&ServerRow>, token: Uuid) -> Result<(), String> {
    let row = row.ok_or("the server's record is gone")?;
    let seed = match &params.wish {
        Wish::FactoryReset { seed, .. } => seed.as_deref(),
        _ => None,
    };
    let seeds = seeds(engine, row, token, seed).await.map_err(|e| e.to_string())?;
    let body = json!({"allow_tpm_reset_failure": false, "wipe_existing_seeds": false, "seeds": seeds});
    let machine = perform::machine(engine, row)?;
    machine.factory_reset(&body).await.map_err(|e| {
        format!("Failed to trigger factory reset on {:?} ({}): {}", row.name, row.connection_url, e.failure)
    })
}

/// What the machine starts again from.
async fn seeds(engine: &Engine, row: &ServerRow, token: Uuid, seed: Option<&str>) -> Result<Value, Error> {
    let value = |v: Result<Value, serde_json::Error>| v.map_err(|e| Error::Internal(e.to_string()));
    let mut seeds = json!({"incus": {"version": "1", "apply_defaults": false, "preseed": null}});
    seeds["provider"] = value(serde_json::to_value(token::provider_config(engine, token)?))?;
    match seed {
        Some(name) => {
            let stored = token_seed::get(engine, token, name.to_owned()).await?.0.seeds;
            seeds["applications"] = value(serde_json::to_value(&stored.applications))?;
            let network = value(serde_json::to_value(&stored.network))?;
            if network["version"].as_str().is_some_and(|version| !version.is_empty()) {
                seeds["network"] = network;
            }
        }
        None => {
            let versions = tracking::versions(row);
            let names = versions.applications.iter().flatten().map(|a| a.name.as_str());
            let primary = names.filter(|n| n.parse::<ServerType>().is_ok_and(|t| t != ServerType::Unknown)).take(1);
            let applications: Vec<Value> = primary.map(|name| json!({"name": name})).collect();
            seeds["applications"] = json!({"version": "1", "applications": applications});
        }
    }
    Ok(seeds)
}

/// Token and the note of it are one transaction: a crash makes no second one.
async fn create_token(engine: &Engine, held: &mut Held) -> Result<(), StoreError> {
    let now = engine.clock().now();
    let until = muster_api::time::Time::from_micros(now.micros() + TOKEN_US);
    let uuid = Uuid::new_v4();
    let row = tokens::Token {
        uuid: uuid.to_string(),
        uses_remaining: 1,
        expire_at: until.0.to_string(),
        expire_at_us: until.micros(),
        description: match held.params.wish {
            Wish::FactoryReset { .. } => format!("Factory reset of server {:?}", held.operation.target),
            _ => format!("Return of machine {} after {}", held.operation.target, held.params.wish.kind()),
        },
        channel: engine.settings().updates.server_default_channel.clone(),
        auto_remove: true,
        accepts_data: false,
        generation: 1,
    };
    let mut entry = audit::by(now.micros(), &held.operation.actor, "token.create", "token", &audit::token_name(uuid));
    entry.operation_id = Some(held.operation.id.clone());
    held.plan.advance_reset(ResetOutcome::TokenCreated(uuid));
    let saved = held.row(engine, "running", "a token was made for its return");
    let generation = engine.store().write(move |tx| {
        tokens::insert(tx, &row)?;
        audit::append(tx, &entry)?;
        operations::save(tx, &saved)
    });
    held.operation.generation = generation.await?;
    Ok(())
}

/// The enrolment goes, the machine is being cleaned (`lifecycle.md` 5.7); both with the note of it.
async fn drop_enrolment(engine: &Engine, held: &mut Held) -> Result<(), StoreError> {
    let now = engine.clock().micros();
    held.plan.advance_reset(ResetOutcome::Dropped);
    let saved = held.row(engine, "waiting", "the machine is wiping itself");
    let (server, kind) = (held.params.server.clone(), held.params.wish.kind());
    let generation = engine.store().write(move |tx| {
        if let Some(row) = servers::get_by_id(tx, &server)? {
            let by = By { actor: &saved.actor, reason: kind, operation: Some(&saved.id), now };
            match machine::command(tx, &row, &Command::OsReset, by)? {
                Ok(_) => {}
                Err(refusal) => {
                    tracing::error!(server = %row.name, %refusal, "a machine that was reset is still in use");
                    servers::delete(tx, &row.id)?;
                }
            }
            let mut entry = audit::by(now, &saved.actor, "server.factory-reset", "server", &row.name);
            entry.operation_id = Some(saved.id.clone());
            audit::append(tx, &entry)?;
        }
        operations::save(tx, &saved)
    });
    held.operation.generation = generation.await?;
    engine.forget_machine(&held.params.server);
    Ok(())
}
