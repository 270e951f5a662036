//! What a machine is made of, as people see it: its inventory and how that changed (`lifecycle.md` 1.5, 1.6).

use crate::{Engine, Error, hardware::parsed};
use muster_api::{
    machine::{Hardware, HardwareChange},
    time::Time,
};
use muster_domain::hardware::Change;
use muster_store::{
    StoreError,
    tables::{
        machine_snapshots::{self, Snapshot},
        machines, server_types,
    },
};

fn missing(id: &str) -> Error {
    Error::NotFound(format!("machine {id:?}"))
}

/// The hardware of a machine as it was seen last, and the label of its type.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn get(engine: &Engine, id: &str) -> Result<Hardware, Error> {
    let wanted = id.to_owned();
    let found = engine.store().read(move |tx| {
        let Some(row) = machines::get(tx, &wanted)? else { return Ok(None) };
        let label = server_types::get(tx, &row.server_type)?.map(|kind| kind.label).unwrap_or_default();
        let inventory = parsed(&row.inventory, "inventory of machine", &wanted)?;
        Ok(Some(Hardware { server_type: row.server_type, label, inventory }))
    });
    found.await?.ok_or_else(|| missing(id))
}

/// How the hardware of a machine changed, the newest change first, before snapshot `before`.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn changes(engine: &Engine, id: &str, before: i64, limit: i64) -> Result<Vec<HardwareChange>, Error> {
    let wanted = id.to_owned();
    let found = engine.store().read(move |tx| {
        if machines::get(tx, &wanted)?.is_none() {
            return Ok(None);
        }
        let rows = machine_snapshots::list(tx, &wanted, before, limit)?;
        rows.into_iter().map(|row| shown(row, &wanted)).collect::<Result<Vec<_>, _>>().map(Some)
    });
    found.await?.ok_or_else(|| missing(id))
}

fn shown(row: Snapshot, machine: &str) -> Result<HardwareChange, StoreError> {
    let changes: Vec<Change> = match row.difference.as_str() {
        "" => Vec::new(),
        text => parsed(text, "snapshot of machine", machine)?,
    };
    Ok(HardwareChange {
        seq: row.seq,
        at: Time::from_micros(row.at),
        source: row.source,
        changes: changes.iter().map(ToString::to_string).collect(),
        inventory: parsed(&row.inventory, "snapshot of machine", machine)?,
    })
}
