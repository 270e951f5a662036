//! Server types (`lifecycle.md` 2): made by registrations, named, merged and removed by people.

use crate::{
    Actor, Engine, Error, hardware,
    machine::By,
    reservation::{self, Scope},
    services::{audit, token::Versioned},
};
use muster_api::{
    server_type::{ServerType, ServerTypeMerge, ServerTypeMerged, ServerTypePut},
    time::Time,
};
use muster_domain::machine::{alert::OWN_SOURCE, asset};
use muster_store::{
    StoreError, Tx,
    tables::{
        machine_alerts, machines,
        server_types::{self, ServerType as Row},
    },
};
use serde_json::json;
use std::collections::{BTreeMap, HashMap};

/// Longest label and description, in bytes.
const LABEL: usize = 128;

fn missing(id: &str) -> Error {
    Error::NotFound(format!("server type {id:?}"))
}

fn shown(tx: &mut Tx<'_>, row: Row, machines: BTreeMap<String, i64>) -> Result<Versioned<ServerType>, StoreError> {
    let fingerprints = server_types::fingerprints(tx, &row.id)?;
    let kind = ServerType {
        specification: hardware::parsed(&row.specification, "server type", &row.id)?,
        fingerprints,
        machines,
        created_at: Time::from_micros(row.created_at),
        id: row.id,
        label: row.label,
        description: row.description,
    };
    Ok((kind, row.generation))
}

/// Types behind the id `after`, by id, at most `limit`.
///
/// # Errors
/// The store's.
pub async fn list(engine: &Engine, after: Option<String>, limit: i64) -> Result<Vec<ServerType>, Error> {
    let found = engine.store().read(move |tx| {
        let rows = server_types::list(tx, after.as_deref(), limit)?;
        let mut counts: HashMap<String, BTreeMap<String, i64>> = HashMap::new();
        for (id, lifecycle, count) in server_types::count(tx, None)? {
            counts.entry(id).or_default().insert(lifecycle, count);
        }
        rows.into_iter()
            .map(|row| {
                let machines = counts.remove(&row.id).unwrap_or_default();
                shown(tx, row, machines).map(|(kind, _)| kind)
            })
            .collect::<Result<Vec<_>, _>>()
    });
    Ok(found.await?)
}

/// One type, with its generation.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn get(engine: &Engine, id: &str) -> Result<Versioned<ServerType>, Error> {
    let wanted = id.to_owned();
    let found = engine.store().read(move |tx| {
        let Some(row) = server_types::get(tx, &wanted)? else { return Ok(None) };
        let machines = server_types::count(tx, Some(&wanted))?.into_iter().map(|(_, state, n)| (state, n)).collect();
        shown(tx, row, machines).map(Some)
    });
    found.await?.ok_or_else(|| missing(id))
}

/// Renames a type and describes it, if it is still of this generation.
///
/// # Errors
/// [`Error::NotFound`], [`Error::Invalid`] with every field at fault, [`Error::Constraint`] when the label is taken,
/// [`Error::Stale`].
pub async fn edit(engine: &Engine, actor: &Actor, id: &str, put: ServerTypePut, expected: i64) -> Result<(), Error> {
    let mut found = Vec::new();
    let mut take = |result: Result<String, Vec<asset::Fault>>| {
        result.unwrap_or_else(|faults| {
            found.extend(faults);
            String::new()
        })
    };
    let label = take(asset::party("label", &put.label));
    let description = take(asset::note("description", &put.description));
    if description.len() > LABEL * 16 {
        found.push(asset::Fault { field: "description".into(), why: "is longer than 2048 bytes".into() });
    }
    if !found.is_empty() {
        return Err(Error::Invalid(format!("Invalid server type, {}", asset::faults(&found))));
    }
    let (wanted, entry) =
        (id.to_owned(), audit::entry(engine.clock().micros(), actor, "server-type.edit", "server-type", id));
    let done = engine.store().write(move |tx| {
        let Some(row) = server_types::get(tx, &wanted)? else { return Err(StoreError::NotFound) };
        if row.generation != expected {
            return Err(StoreError::Stale);
        }
        if let Some(other) = server_types::get_by_label(tx, &label)?.filter(|other| other.id != wanted) {
            let text =
                format!("server type {} has the label {label:?} already; choose another, or merge the two", other.id);
            return Ok(Err(Error::Constraint(text)));
        }
        let mut entry = entry.clone();
        (entry.from_state, entry.to_state) = (Some(row.label.clone()), Some(label.clone()));
        server_types::update(tx, &Row { label: label.clone(), description: description.clone(), ..row })?;
        audit::append(tx, &entry)?;
        Ok(Ok(()))
    });
    done.await.map_err(|e| named(e, id))?
}

/// Moves all that belongs to a type to another one, and removes it: from then on hardware of the one is of the other.
///
/// # Errors
/// [`Error::NotFound`], [`Error::Invalid`] for a merge with itself or with none.
pub async fn merge(engine: &Engine, actor: &Actor, id: &str, post: ServerTypeMerge) -> Result<ServerTypeMerged, Error> {
    let into = post.into.trim().to_owned();
    if into.is_empty() || into == id {
        let text = "Invalid merge, into: has to be the id of another server type";
        return Err(Error::Invalid(text.into()));
    }
    let (from, actor, now) = (id.to_owned(), actor.clone(), engine.clock().micros());
    let done = engine.store().write(move |tx| {
        let Some(old) = server_types::get(tx, &from)? else { return Ok(Err(missing(&from))) };
        let Some(kept) = server_types::get(tx, &into)? else {
            let text = format!("Invalid merge, into: there is no server type {into:?}; list them for their ids");
            return Ok(Err(Error::Invalid(text)));
        };
        let machines = server_types::merge(tx, &from, &into)?;
        let mut entry = audit::entry(now, &actor, "server-type.merge", "server-type", &from);
        (entry.from_state, entry.to_state) = (Some(old.label.clone()), Some(kept.label.clone()));
        entry.detail = json!({"into": into, "machines": machines}).to_string();
        audit::append(tx, &entry)?;
        let reason = format!("type {:?} was merged into {:?}", old.label, kept.label);
        let mut matched = 0;
        let ids = machine_alerts::of_type(tx, OWN_SOURCE, hardware::TYPE, &into)?;
        for id in ids {
            matched += u64::from(hardware::compare_again(tx, &id, By::new(&actor.0, &reason, now))?);
        }
        for entry in reservation::settle(tx, Scope::of_type(into.clone()), now)? {
            audit::append(tx, &entry)?;
        }
        Ok(Ok(ServerTypeMerged { machines, matched }))
    });
    done.await?
}

/// Removes a type of which no machine is.
///
/// # Errors
/// [`Error::NotFound`], [`Error::NotPermitted`] while a machine, decommissioned or not, is of it or a subscription is for it.
pub async fn delete(engine: &Engine, actor: &Actor, id: &str) -> Result<(), Error> {
    let (wanted, entry) =
        (id.to_owned(), audit::entry(engine.clock().micros(), actor, "server-type.delete", "server-type", id));
    let done = engine.store().write(move |tx| {
        let Some(row) = server_types::get(tx, &wanted)? else { return Err(StoreError::NotFound) };
        let filter = machines::Filter { server_type: Some(wanted.clone()), ..machines::Filter::default() };
        if !machines::list(tx, &filter, 1)?.is_empty() {
            let text = format!("machines are of type {:?}, their records last; merge it into another type", row.label);
            return Ok(Err(Error::NotPermitted(text)));
        }
        if server_types::subscriptions(tx, &wanted)? > 0 {
            let text = format!("there are subscriptions for type {:?}; merge it into another type", row.label);
            return Ok(Err(Error::NotPermitted(text)));
        }
        server_types::delete(tx, &wanted)?;
        let mut entry = entry.clone();
        entry.from_state = Some(row.label);
        audit::append(tx, &entry)?;
        Ok(Ok(()))
    });
    done.await.map_err(|e| named(e, id))?
}

fn named(e: StoreError, id: &str) -> Error {
    match e {
        StoreError::NotFound => missing(id),
        e => e.into(),
    }
}
