//! Update channels (`updates-and-system.md` 16), which of them follow others, and which are frozen.

mod follow;
mod freeze;

pub(crate) use freeze::refused;
pub use freeze::{freeze, thaw};

use crate::{Actor, Engine, Error, promotion, services::audit, services::token::Versioned};
use muster_api::{
    provisioning::channel::{Channel, ChannelPost, FollowPut, Mark},
    time::Time,
};
use muster_domain::update::promotion::Outcome;
use muster_store::{
    Store, StoreError, Tx,
    tables::{
        channels::{self, Channel as ChannelRow, Mark as MarkRow},
        updates,
    },
};
use std::collections::HashMap;

/// What the channels wait for, and the versions of those updates.
type Awaited = (Outcome, HashMap<String, String>);

fn channel(row: ChannelRow, awaited: &Awaited) -> Versioned<Channel> {
    // Two changes within a microsecond do not happen: the time of the last one is the generation.
    let generation = row.last_updated;
    let channel = Channel {
        last_updated: Time::from_micros(row.last_updated),
        follow: promotion::rule(&row).as_ref().map(follow::shown),
        awaits: follow::awaits(&row, awaited),
        description: row.description,
        name: row.name,
        frozen: row.freeze.map(mark),
    };
    (channel, generation)
}

/// As it is on the wire.
pub(crate) fn mark(row: MarkRow) -> Mark {
    Mark { at: Time::from_micros(row.at), by: row.actor, reason: row.reason }
}

/// Rules that contradict each other promise nothing.
fn awaited(tx: &mut Tx<'_>, now: Time) -> Result<Awaited, StoreError> {
    let outcome = promotion::outcome(tx, now)?.unwrap_or_default();
    let mut versions = HashMap::new();
    if outcome != Outcome::default() {
        versions.extend(updates::members(tx)?.into_iter().map(|member| (member.uuid, member.version)));
    }
    Ok((outcome, versions))
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
    let now = engine.clock().now();
    let found = engine.store().read(move |tx| Ok((channels::list(tx, after.as_deref(), limit)?, awaited(tx, now)?)));
    let (rows, awaited) = found.await?;
    Ok(rows.into_iter().map(|row| channel(row, &awaited).0).collect())
}

/// One channel.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn get(engine: &Engine, name: String) -> Result<Versioned<Channel>, Error> {
    let (wanted, now) = (name.clone(), engine.clock().now());
    let found = engine.store().read(move |tx| match channels::get(tx, &wanted)? {
        Some(row) => Ok(Some((row, awaited(tx, now)?))),
        None => Ok(None),
    });
    let (row, awaited) = found.await?.ok_or_else(|| Error::NotFound(format!("channel {name:?}")))?;
    Ok(channel(row, &awaited))
}

/// Makes a channel.
///
/// # Errors
/// [`Error::Invalid`] without a name, or with a rule that cannot be; [`Error::Constraint`] when the name is taken.
pub async fn create(engine: &Engine, actor: &Actor, post: ChannelPost) -> Result<(), Error> {
    if post.name.is_empty() {
        return Err(Error::Invalid("Invalid channel, name can not be empty".into()));
    }
    if post.name.starts_with(':') {
        return Err(Error::Invalid("Invalid channel, name can not start with a colon".into()));
    }
    let wanted = post.follow.map(|follow| follow::read(&post.name, follow)).transpose()?;
    let now = engine.clock().micros();
    let mut entry = audit::entry(now, actor, "channel.create", "channel", &post.name);
    entry.reason = wanted.as_ref().map(ToString::to_string);
    let row = ChannelRow { name: post.name, description: post.description, last_updated: now, ..ChannelRow::default() };
    let done = engine.store().write(move |tx| {
        if let Some(rule) = &wanted
            && let Some(refused) = follow::refused(tx, rule)?
        {
            return Ok(Err(refused));
        }
        channels::insert(tx, &row)?;
        if let Some(rule) = &wanted {
            channels::set_rule(tx, &row.name, Some(&follow::row(rule)), now)?;
        }
        audit::append(tx, &entry)?;
        Ok(Ok(()))
    });
    done.await?
}

/// Changes the description, and how it gets updates by itself where `follow` says so.
///
/// # Errors
/// [`Error::NotFound`], [`Error::Stale`], [`Error::Invalid`] for a rule that cannot be.
pub async fn update(
    engine: &Engine,
    actor: &Actor,
    name: String,
    description: String,
    follow: Option<Option<FollowPut>>,
    expected: Option<i64>,
) -> Result<(), Error> {
    let wanted = match follow {
        None => None,
        Some(None) => Some(None),
        Some(Some(follow)) => Some(Some(follow::read(&name, follow)?)),
    };
    let now = engine.clock().micros();
    let entry = audit::entry(now, actor, "channel.update", "channel", &name);
    let channel = name.clone();
    let done = engine.store().write(move |tx| {
        let stored = channels::get(tx, &channel)?.ok_or(StoreError::NotFound)?;
        if expected.is_some_and(|seen| seen != stored.last_updated) {
            return Err(StoreError::Stale);
        }
        let (mut entry, now) = (entry.clone(), now.max(stored.last_updated + 1));
        let before = promotion::rule(&stored);
        match &wanted {
            Some(rule) if *rule != before => {
                if let Some(rule) = rule
                    && let Some(refused) = follow::refused(tx, rule)?
                {
                    return Ok(Err(refused));
                }
                channels::set_rule(tx, &channel, rule.as_ref().map(follow::row).as_ref(), now)?;
                entry.from_state = before.map(|rule| rule.to_string());
                entry.to_state = rule.as_ref().map(ToString::to_string);
            }
            _ => {}
        }
        channels::update_description(tx, &channel, &description, now)?;
        audit::append(tx, &entry)?;
        Ok(Ok(()))
    });
    done.await.map_err(|e| named(e, &name))?
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
            let why = "Delete of channel not supported, if in use by any update; take the updates out of it first, withdrawn \
                       ones too";
            return Ok(Err(Error::NotPermitted(why.into())));
        }
        let followers = channels::followers(tx, &wanted)?;
        if !followers.is_empty() {
            let why = format!("channel {wanted:?} is followed by {followers:?}; let them follow another one, or none");
            return Ok(Err(Error::NotPermitted(why)));
        }
        channels::delete(tx, &wanted)?;
        audit::append(tx, &entry)?;
        Ok(Ok(()))
    });
    done.await.map_err(|e| named(e, &name))?
}

fn named(e: StoreError, name: &str) -> Error {
    match e {
        StoreError::NotFound => Error::NotFound(format!("channel {name:?}")),
        e => e.into(),
    }
}
