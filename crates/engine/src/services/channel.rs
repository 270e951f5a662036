//! Update channels (`updates-and-system.md` 16).

use crate::{Actor, Engine, Error, services::audit, services::token::Versioned};
use muster_api::{
    provisioning::channel::{Channel, ChannelPost},
    time::Time,
};
use muster_store::{
    Store, StoreError,
    tables::{
        channels::{self, Channel as ChannelRow},
        updates,
    },
};

fn channel(row: ChannelRow) -> Versioned<Channel> {
    // Two changes within a microsecond do not happen: the time of the last one is the generation.
    let generation = row.last_updated;
    let last_updated = Time::from_micros(row.last_updated);
    (Channel { description: row.description, name: row.name, last_updated }, generation)
}

/// The channel that every database has from the start gets the time of the first start. Blocks.
pub(crate) fn date_seeded(store: &Store, now: i64) -> Result<(), Error> {
    Ok(store.write_blocking(move |tx| match channels::get(tx, "stable")? {
        Some(stable) if stable.last_updated == 0 => {
            channels::update_description(tx, "stable", &stable.description, now)
        }
        _ => Ok(()),
    })?)
}

/// Channels behind the name `after`, by name, at most `limit`.
///
/// # Errors
/// The store's.
pub async fn list(engine: &Engine, after: Option<String>, limit: i64) -> Result<Vec<Channel>, Error> {
    let rows = engine.store().read(move |tx| channels::list(tx, after.as_deref(), limit)).await?;
    Ok(rows.into_iter().map(|r| channel(r).0).collect())
}

/// One channel.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn get(engine: &Engine, name: String) -> Result<Versioned<Channel>, Error> {
    let row = engine.store().read({
        let name = name.clone();
        move |tx| channels::get(tx, &name)
    });
    row.await?.map(channel).ok_or_else(|| Error::NotFound(format!("channel {name:?}")))
}

/// Makes a channel.
///
/// # Errors
/// [`Error::Invalid`] without a name, [`Error::Constraint`] when the name is taken.
pub async fn create(engine: &Engine, actor: &Actor, post: ChannelPost) -> Result<(), Error> {
    if post.name.is_empty() {
        return Err(Error::Invalid("Invalid channel, name can not be empty".into()));
    }
    if post.name.starts_with(':') {
        return Err(Error::Invalid("Invalid channel, name can not start with a colon".into()));
    }
    let now = engine.clock().micros();
    let entry = audit::entry(now, actor, "channel.create", "channel", &post.name);
    let row = ChannelRow { name: post.name, description: post.description, last_updated: now };
    engine
        .store()
        .write(move |tx| {
            channels::insert(tx, &row)?;
            audit::append(tx, &entry)
        })
        .await?;
    Ok(())
}

/// Changes the description.
///
/// # Errors
/// [`Error::NotFound`], [`Error::Stale`].
pub async fn update(
    engine: &Engine,
    actor: &Actor,
    name: String,
    description: String,
    expected: Option<i64>,
) -> Result<(), Error> {
    let now = engine.clock().micros();
    let entry = audit::entry(now, actor, "channel.update", "channel", &name);
    let wanted = name.clone();
    let done = engine.store().write(move |tx| {
        let stored = channels::get(tx, &wanted)?.ok_or(StoreError::NotFound)?;
        if expected.is_some_and(|seen| seen != stored.last_updated) {
            return Err(StoreError::Stale);
        }
        channels::update_description(tx, &wanted, &description, now)?;
        audit::append(tx, &entry)
    });
    done.await.map_err(|e| named(e, &name))
}

/// Removes a channel that nothing refers to and that is no configured default.
///
/// # Errors
/// [`Error::NotFound`], [`Error::Constraint`], [`Error::NotPermitted`].
pub async fn delete(engine: &Engine, actor: &Actor, name: String) -> Result<(), Error> {
    let updates = &engine.settings().updates;
    for (field, default) in [
        ("updates.server_default_channel", &updates.server_default_channel),
        ("updates.updates_default_channel", &updates.updates_default_channel),
    ] {
        if *default == name {
            return Err(Error::NotPermitted(format!(
                "channel {name:?} is the configured {field}; choose another default first"
            )));
        }
    }
    let entry = audit::entry(engine.clock().micros(), actor, "channel.delete", "channel", &name);
    let wanted = name.clone();
    let done = engine.store().write(move |tx| {
        if updates::offered_by(tx, &wanted)? {
            return Ok(false);
        }
        channels::delete(tx, &wanted)?;
        audit::append(tx, &entry)?;
        Ok(true)
    });
    if done.await.map_err(|e| named(e, &name))? {
        return Ok(());
    }
    let why = "Delete of channel not supported, if in use by any update; take the updates out of it first";
    Err(Error::NotPermitted(why.into()))
}

fn named(e: StoreError, name: &str) -> Error {
    match e {
        StoreError::NotFound => Error::NotFound(format!("channel {name:?}")),
        e => e.into(),
    }
}
