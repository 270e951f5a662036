//! What people ask of a server (`servers.md` 3.11-3.13): each is an operation, the caller may wait until the machine took it.

use super::row;
use crate::{
    Actor, Engine, Error,
    operation::Wish,
    services::{
        operation::{self, Request},
        token_seed,
    },
};
use muster_api::provisioning::status::ServerType;
use muster_store::tables::{channels, servers::Server as ServerRow};
use serde_json::{Map, Value, json};
use uuid::Uuid;

async fn begin(engine: &Engine, actor: &Actor, name: &str, wish: Wish, force: bool) -> Result<String, Error> {
    operation::start(engine, actor, name, Request { wish, force, document: None }).await
}

/// Moves its workloads away. Answers the operation's id, as do all of these.
///
/// # Errors
/// [`Error::NotFound`], [`Error::NotPermitted`], [`Error::Retryable`].
pub async fn evacuate(engine: &Engine, actor: &Actor, name: &str, force: bool) -> Result<String, Error> {
    begin(engine, actor, name, Wish::Evacuate, force).await
}

/// Takes its workloads back.
///
/// # Errors
/// As [`evacuate`].
pub async fn restore(engine: &Engine, actor: &Actor, name: &str, force: bool) -> Result<String, Error> {
    begin(engine, actor, name, Wish::Restore, force).await
}

/// Reboots it.
///
/// # Errors
/// As [`evacuate`].
pub async fn reboot(engine: &Engine, actor: &Actor, name: &str, force: bool) -> Result<String, Error> {
    begin(engine, actor, name, Wish::Reboot, force).await
}

/// Switches it off.
///
/// # Errors
/// As [`evacuate`].
pub async fn poweroff(engine: &Engine, actor: &Actor, name: &str, force: bool) -> Result<String, Error> {
    begin(engine, actor, name, Wish::Poweroff, force).await
}

/// Pushes its channel; with `trigger` the machine looks for updates at once, and with `reboot` it is rebooted into what it
/// installed.
///
/// # Errors
/// As [`evacuate`]; [`Error::Invalid`] for a reboot without an update.
pub async fn update(
    engine: &Engine,
    actor: &Actor,
    name: &str,
    (trigger, reboot): (bool, bool),
    force: bool,
) -> Result<String, Error> {
    if reboot && !trigger {
        return Err(Error::Invalid("reboot needs os.trigger_update: there would be nothing to reboot for".into()));
    }
    begin(engine, actor, name, Wish::Update { trigger, reboot }, force).await
}

/// Wipes it. It comes back with the token, or with one that is made for it.
///
/// # Errors
/// As [`evacuate`]; [`Error::NotFound`] also for the seed.
pub async fn factory_reset(
    engine: &Engine,
    actor: &Actor,
    name: &str,
    token: Option<Uuid>,
    seed: Option<String>,
) -> Result<String, Error> {
    let stored = row(engine, name).await?;
    let server_type = stored.server_type.parse::<ServerType>().unwrap_or(ServerType::Unknown);
    if server_type == ServerType::OperationsCenter {
        return Err(Error::NotPermitted(format!("server {name:?} is an operations center")));
    }
    if server_type.is_incus() && stored.cluster.is_some() {
        return Err(Error::NotPermitted(format!(
            "server {name:?} is a member of a cluster; take it out of the cluster first"
        )));
    }
    // A seed without its token means nothing; the reference ignores it too.
    let seed = seed.filter(|_| token.is_some());
    if let (Some(token), Some(seed)) = (token, &seed) {
        token_seed::get(engine, token, seed.clone()).await?;
    }
    begin(engine, actor, name, Wish::FactoryReset { token, seed }, false).await
}

/// Gives it another network configuration.
///
/// # Errors
/// As [`evacuate`]; [`Error::Invalid`] for a masked secret that is not stored.
pub async fn put_network(
    engine: &Engine,
    actor: &Actor,
    name: &str,
    config: Map<String, Value>,
    state: Option<Value>,
) -> Result<String, Error> {
    let state = state.unwrap_or_else(|| json!({"interfaces": null, "configuration_in_process": false}));
    let document = json!({"config": config, "state": state});
    operation::start(engine, actor, name, Request { wish: Wish::Network, force: false, document: Some(document) }).await
}

/// Gives it another storage configuration.
///
/// # Errors
/// As [`put_network`].
pub async fn put_storage(
    engine: &Engine,
    actor: &Actor,
    name: &str,
    mut config: Map<String, Value>,
    state: Option<Value>,
) -> Result<String, Error> {
    // As the reference writes a pool: every member is there.
    for pool in
        config.get_mut("pools").and_then(Value::as_array_mut).into_iter().flatten().filter_map(Value::as_object_mut)
    {
        for key in ["state", "encryption_key_status"] {
            pool.entry(key).or_insert_with(|| json!(""));
        }
        for key in ["raw_pool_size_in_bytes", "usable_pool_size_in_bytes", "pool_allocated_space_in_bytes"] {
            pool.entry(key).or_insert_with(|| json!(0));
        }
        pool.entry("volumes").or_insert(Value::Null);
    }
    config.entry("scrub_schedule").or_insert_with(|| json!(""));
    let document = json!({"config": config, "state": state.unwrap_or_else(|| json!({"drives": null, "pools": null}))});
    operation::start(engine, actor, name, Request { wish: Wish::Storage, force: false, document: Some(document) }).await
}

/// Has it follow a channel, without changing which one is expected of it.
///
/// # Errors
/// As [`evacuate`]; [`Error::NotFound`] also for the channel.
pub async fn put_update(engine: &Engine, actor: &Actor, name: &str, channel: String) -> Result<String, Error> {
    row(engine, name).await?;
    if channel.is_empty() {
        return Err(Error::NotPermitted("the channel's name can not be empty".into()));
    }
    let wanted = channel.clone();
    if engine.store().read(move |tx| channels::get(tx, &wanted)).await?.is_none() {
        return Err(Error::NotFound(format!("channel {channel:?}")));
    }
    begin(engine, actor, name, Wish::Channel(channel), false).await
}

/// Tells a machine of its new channel and waits until it knows. When it does not take it, the server follows the channel
/// of before again, unless somebody changed it meanwhile (`servers.md` 3.5).
///
/// # Errors
/// [`Error::Machine`], [`Error::Retryable`].
pub async fn push_channel(engine: &Engine, actor: &Actor, changed: &ServerRow, before: &str) -> Result<(), Error> {
    let id = begin(engine, actor, &changed.name, Wish::Channel(changed.channel.clone()), false).await?;
    let answer = operation::answered(engine, &id).await;
    if answer.is_err() {
        let (id, new, old) = (changed.id.clone(), changed.channel.clone(), before.to_owned());
        let now = engine.clock().micros();
        let done = engine.store().write(move |tx| {
            use muster_store::tables::servers;
            let Some(mut row) = servers::get_by_id(tx, &id)?.filter(|row| row.channel == new) else { return Ok(()) };
            row.channel.clone_from(&old);
            row.last_updated = now;
            servers::update(tx, &row).map(drop)
        });
        done.await?;
    }
    answer
}
