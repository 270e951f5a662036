//! The physical machine behind a server: born at first contact, never lost (`lifecycle.md` 5.1, 5.4).

use crate::services::audit;
use muster_store::{
    StoreError, Tx,
    tables::machines::{self, Identity, Machine as MachineRow},
};

/// What is known of a machine at its birth.
pub(crate) struct Birth<'a> {
    /// Id of the record.
    pub id: &'a str,
    /// DMI product UUID.
    pub system_uuid: Option<&'a str>,
    /// IncusOS machine id.
    pub machine_id: Option<&'a str>,
}

/// The record of a machine that registers: the live one of the same identity, or a new one in `registering`.
pub(crate) fn registering(tx: &mut Tx<'_>, birth: &Birth<'_>, actor: &str, now: i64) -> Result<String, StoreError> {
    let identity = Identity {
        system_uuid: birth.system_uuid.map(str::to_owned),
        machine_id: birth.machine_id.map(str::to_owned),
        ..Identity::default()
    };
    if let Some(known) = machines::find_by_identity(tx, &identity)?.into_iter().next() {
        return Ok(known.id);
    }
    let row = MachineRow {
        id: birth.id.to_owned(),
        lifecycle: "registering".into(),
        media: "unknown".into(),
        system_uuid: birth.system_uuid.map(str::to_owned),
        machine_id: birth.machine_id.map(str::to_owned),
        flags: "[]".into(),
        alerts: "[]".into(),
        inventory: "{}".into(),
        created_at: now,
        generation: 1,
        ..MachineRow::default()
    };
    machines::insert(tx, &row)?;
    transition(tx, &row.id, "", "registering", actor, "registered", now)?;
    Ok(row.id)
}

/// The first poll succeeded: registering ends in unavailable, and the token's policy opens the machine in a second,
/// separately recorded step.
pub(crate) fn first_poll(tx: &mut Tx<'_>, id: &str, pooled: bool, now: i64) -> Result<(), StoreError> {
    let Some(mut row) = machines::get(tx, id)? else { return Ok(()) };
    if row.lifecycle != "registering" {
        return Ok(());
    }
    step(tx, &mut row, "unavailable", "system", "first poll succeeded", now)?;
    if pooled {
        step(tx, &mut row, "available", "policy", "registered with a token", now)?;
    }
    Ok(())
}

/// The enrolment is deleted: the record ends as a tombstone, by the way of unavailable where the edges ask for it.
pub(crate) fn decommission(tx: &mut Tx<'_>, id: &str, actor: &str, now: i64) -> Result<(), StoreError> {
    let Some(mut row) = machines::get(tx, id)? else { return Ok(()) };
    if row.lifecycle == "available" {
        step(tx, &mut row, "unavailable", actor, "server deleted", now)?;
    }
    step(tx, &mut row, "decommissioned", actor, "server deleted", now)
}

fn step(tx: &mut Tx<'_>, row: &mut MachineRow, to: &str, actor: &str, reason: &str, now: i64) -> Result<(), StoreError> {
    let from = std::mem::replace(&mut row.lifecycle, to.to_owned());
    row.generation = machines::update(tx, row)?;
    transition(tx, &row.id, &from, to, actor, reason, now)
}

fn transition(tx: &mut Tx<'_>, id: &str, from: &str, to: &str, actor: &str, reason: &str, now: i64) -> Result<(), StoreError> {
    let mut entry = audit::by(now, actor, "machine.transition", "machine", id);
    entry.from_state = (!from.is_empty()).then(|| from.to_owned());
    entry.to_state = Some(to.to_owned());
    entry.reason = Some(reason.to_owned());
    audit::append(tx, &entry)
}
