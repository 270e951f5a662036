//! The physical machine behind a server: born at first contact, never lost (`lifecycle.md` 5.1, 5.4). What becomes of it is
//! decided by `domain`; here its row is read, written, and each change of lifecycle recorded.

pub(crate) mod alerts;
mod row;

pub(crate) use row::{enrolled, load};

use crate::{
    hardware, reservation,
    services::audit::{self, Entry},
};
use muster_api::{machine::Erased, time::Time};
use muster_domain::machine::{
    Change, Command, Lifecycle, Machine, Record, Refusal,
    axes::Media,
    birth::{Birth, birth},
    registration::{Known, Registration, register_with_token},
    transition,
};
use muster_store::{
    StoreError, Tx,
    tables::{
        machine_notes,
        machines::{self, Identity, Machine as MachineRow},
        operations,
        servers::{self, Server as ServerRow},
    },
};

/// On whose behalf a machine is changed, why, and as a part of what.
#[derive(Debug, Clone, Copy)]
pub(crate) struct By<'a> {
    /// The person, token or part of the system.
    pub actor: &'a str,
    /// Why, for the record.
    pub reason: &'a str,
    /// The operation that it is a part of.
    pub operation: Option<&'a str>,
    /// Microseconds since 1970.
    pub now: i64,
}

impl<'a> By<'a> {
    /// Not a part of an operation.
    pub fn new(actor: &'a str, reason: &'a str, now: i64) -> Self {
        Self { actor, reason, operation: None, now }
    }
}

/// By which a machine is recognised.
pub(crate) fn identity(system_uuid: Option<&str>, machine_id: Option<&str>) -> Identity {
    Identity {
        system_uuid: system_uuid.map(str::to_owned),
        machine_id: machine_id.map(str::to_owned),
        ..Identity::default()
    }
}

/// What a registration makes of the machine.
pub(crate) enum Registered {
    /// The id of its record.
    Machine(String),
    /// The lifecycle of this one does not allow it.
    Refused(String, Refusal),
}

/// A machine registers with a valid token; `server` is its present enrolment. `new_id` is used when a record is born.
pub(crate) fn register(
    tx: &mut Tx<'_>,
    identity: &Identity,
    server: Option<&ServerRow>,
    same_certificate: bool,
    new_id: &str,
    by: By<'_>,
) -> Result<Registered, StoreError> {
    let live = match server {
        Some(server) => machines::get(tx, &server.machine_id)?,
        None => machines::find_by_identity(tx, identity)?.into_iter().next(),
    };
    let tombstone = match live {
        Some(_) => None,
        None => machines::find_decommissioned(tx, identity)?,
    };
    let known = live.as_ref().or(tombstone.as_ref());
    let machine = known.map(|row| load(row, server.and_then(enrolled))).transpose()?;
    let known = match &machine {
        None => Known::Unknown,
        Some(machine) => Known::Machine { machine, same_certificate },
    };
    let registration = match register_with_token(known) {
        Ok(registration) => registration,
        Err(refusal) => {
            let known = live.or(tombstone).map(|row| row.id).unwrap_or_default();
            return Ok(Registered::Refused(known, refusal));
        }
    };
    let row = match (registration, live) {
        (Registration::Repeated, Some(row)) => row,
        // Its enrolment is replaced by whoever called, not dropped.
        (Registration::Known(change), Some(row)) => write(tx, row, None, &change, by)?.row,
        (Registration::New(change) | Registration::Successor(change) | Registration::Known(change), _) => {
            let new = New { identity: identity.clone(), predecessor: tombstone.map(|t| t.id), ..New::default() };
            insert(tx, new_id, new, &change, by)?
        }
        (Registration::Repeated, None) => {
            return Err(StoreError::Corrupt("a repeated registration without a record".into()));
        }
    };
    Ok(Registered::Machine(row.id))
}

/// What a new record is made of beside its axes.
#[derive(Debug, Clone, Default)]
pub(crate) struct New {
    /// By which it is recognised.
    pub identity: Identity,
    /// The decommissioned record of the same hardware.
    pub predecessor: Option<String>,
    /// JSON; empty for nothing.
    pub asset: String,
    /// JSON without the password; empty for nothing.
    pub bmc: String,
}

/// A person names a machine in advance, or takes one over that is in production.
pub(crate) fn create(
    tx: &mut Tx<'_>,
    id: &str,
    new: New,
    begins: &Birth,
    by: By<'_>,
) -> Result<MachineRow, StoreError> {
    insert(tx, id, new, &birth(begins), by)
}

/// A machine that was changed.
#[derive(Debug)]
pub(crate) struct Changed {
    /// As it is now.
    pub row: MachineRow,
    /// The enrolment that went with the change: the connection to it is to be forgotten.
    pub dropped: Option<String>,
    /// The changes of its lifecycle.
    pub records: Vec<Record>,
}

/// Carries out a command, the only way in which a machine changes. `server` is its enrolment as it was when the command was
/// given; when the command ends it, its record goes in the same transaction.
pub(crate) fn change(
    tx: &mut Tx<'_>,
    row: MachineRow,
    server: Option<&ServerRow>,
    command: &Command,
    by: By<'_>,
) -> Result<Result<Changed, Refusal>, StoreError> {
    let row = match command {
        Command::FirstPoll { .. } | Command::Done { .. } | Command::Resync => hardware::settle(tx, row, command, by)?,
        _ => row,
    };
    let before = load(&row, server.and_then(enrolled))?;
    let change = match transition(&before, command) {
        Ok(change) => change,
        Err(refusal) => return Ok(Err(refusal)),
    };
    // One that was named in advance has a record and no enrolment.
    let after = &change.machine;
    let ends = (before.enrolment.is_some() && after.enrolment.is_none()) || after.lifecycle.is_inert();
    Ok(Ok(write(tx, row, server.filter(|_| ends), &change, by)?))
}

/// As [`change`], of the subscriptions' own: what they have planned needs no second look. Answers what to append to the
/// audit at the end of the transaction.
pub(crate) fn reserve(
    tx: &mut Tx<'_>,
    id: &str,
    command: &Command,
    by: By<'_>,
) -> Result<Result<Vec<Entry>, Refusal>, StoreError> {
    let Some((row, _, before)) = read(tx, id)? else { return Err(StoreError::NotFound) };
    match transition(&before, command) {
        Ok(change) => Ok(Ok(put(tx, row, None, &change, by)?.1)),
        Err(refusal) => Ok(Err(refusal)),
    }
}

/// As [`change`], of the machine behind a server.
pub(crate) fn command(
    tx: &mut Tx<'_>,
    server: &ServerRow,
    command: &Command,
    by: By<'_>,
) -> Result<Result<Changed, Refusal>, StoreError> {
    let row = machines::get(tx, &server.machine_id)?.ok_or(StoreError::NotFound)?;
    change(tx, row, Some(server), command, by)
}

fn insert(tx: &mut Tx<'_>, id: &str, new: New, change: &Change, by: By<'_>) -> Result<MachineRow, StoreError> {
    let (serial, chassis_vendor) = new.identity.serial.unzip();
    let mut row = MachineRow {
        id: id.to_owned(),
        system_uuid: new.identity.system_uuid,
        machine_id: new.identity.machine_id,
        serial,
        chassis_vendor,
        bmc_mac: new.identity.bmc_mac,
        inventory: "{}".into(),
        asset: new.asset,
        bmc: new.bmc,
        successor_of: new.predecessor,
        created_at: by.now,
        since: by.now,
        allocated_at: change.machine.allocation.is_some().then_some(by.now),
        generation: 1,
        ..MachineRow::default()
    };
    row::store(&mut row, &change.machine);
    machines::insert(tx, &row)?;
    for entry in entries(&row, change, by) {
        audit::append(tx, &entry)?;
    }
    Ok(row)
}

/// Writes a change with everything that goes with it, and what it means for subscriptions. `ended` is the server whose
/// record goes.
fn write(
    tx: &mut Tx<'_>,
    row: MachineRow,
    ended: Option<&ServerRow>,
    change: &Change,
    by: By<'_>,
) -> Result<Changed, StoreError> {
    let before = row.clone();
    let (mut changed, mut entries) = put(tx, row, ended, change, by)?;
    let settled = reservation::follow(tx, &before, &changed.row, by.now)?;
    if !settled.is_empty() {
        entries.extend(settled);
        changed.row = machines::get(tx, &before.id)?.ok_or(StoreError::NotFound)?;
    }
    for entry in &entries {
        audit::append(tx, entry)?;
    }
    Ok(changed)
}

/// Writes a change; answers what to append to the audit, behind which comes what follows from it.
fn put(
    tx: &mut Tx<'_>,
    mut row: MachineRow,
    ended: Option<&ServerRow>,
    change: &Change,
    by: By<'_>,
) -> Result<(Changed, Vec<Entry>), StoreError> {
    let machine = &change.machine;
    let was_allocated = row.allocation.is_some();
    let was_clean = row.media == row::media(Media::Clean);
    row::store(&mut row, machine);
    if !change.records.is_empty() {
        row.since = by.now;
    }
    match (was_allocated, machine.allocation.is_some()) {
        (false, true) => row.allocated_at = Some(by.now),
        (true, false) => row.allocated_at = None,
        _ => {}
    }
    let mut erasure = None;
    let cleaned = change.records.iter().any(|r| r.from == Some(Lifecycle::Cleaning)) && machine.media == Media::Clean;
    if cleaned || (machine.media == Media::Clean && !was_clean) {
        let level = if change.waiver { "waived" } else { "os_reset" };
        let erased = Erased { level: level.into(), at: Time::from_micros(by.now), by: by.actor.to_owned() };
        row.erased = Some(row::text(&erased));
        erasure = Some(erased.level);
    }
    let mut dropped = None;
    if let Some(server) = ended {
        servers::delete(tx, &server.id)?;
        operations::wake(tx, &row.id)?;
        dropped = Some(server.id.clone());
    }
    if machine.lifecycle == Lifecycle::Decommissioned {
        row.bmc = "{}".into();
        machines::set_bmc_password(tx, &row.id, None)?;
        operations::forget_documents(tx, &row.id)?;
    }
    row.generation = machines::update(tx, &row)?;
    if change.waiver {
        let text = format!("the data on its disks was accepted: {}", by.reason);
        note(tx, &row.id, "waiver", &text, by)?;
    }
    let mut entries = entries(&row, change, by);
    if let Some(level) = erasure {
        let mut entry = audit::by(by.now, by.actor, "machine.erased", "machine", &row.id);
        entry.reason = Some(level);
        entry.operation_id = by.operation.map(str::to_owned);
        entries.push(entry);
    }
    Ok((Changed { row, dropped, records: change.records.clone() }, entries))
}

/// Adds a note, with its audit entry; answers its number.
pub(crate) fn note(tx: &mut Tx<'_>, machine: &str, kind: &str, text: &str, by: By<'_>) -> Result<i64, StoreError> {
    let row = machine_notes::Note {
        seq: 0,
        at: by.now,
        author: by.actor.to_owned(),
        kind: kind.to_owned(),
        note: text.to_owned(),
    };
    let seq = machine_notes::append(tx, machine, &row)?;
    let mut entry = audit::by(by.now, by.actor, "machine.note", "machine", machine);
    entry.reason = Some(text.to_owned());
    entry.operation_id = by.operation.map(str::to_owned);
    entry.detail = serde_json::json!({"kind": kind, "note": seq}).to_string();
    audit::append(tx, &entry)?;
    Ok(seq)
}

/// One entry for each edge, so that replaying them gives the stored state, and who had the machine when.
fn entries(row: &MachineRow, change: &Change, by: By<'_>) -> Vec<Entry> {
    use muster_domain::machine::Actor;
    let owner = change.machine.allocation.as_ref().map(|allocation| &allocation.claim.owner);
    let entry = |record: &Record| {
        let actor = match record.actor {
            Actor::System => "system",
            Actor::Policy => "policy",
            Actor::Person => by.actor,
        };
        let mut entry = audit::by(by.now, actor, "machine.transition", "machine", &row.id);
        entry.from_state = record.from.map(|from: Lifecycle| from.as_str().to_owned());
        entry.to_state = Some(record.to.as_str().to_owned());
        entry.reason = Some(by.reason.to_owned());
        entry.operation_id = by.operation.map(str::to_owned);
        let mut detail = serde_json::json!({"edge": record.edge});
        if matches!(record.to, Lifecycle::Used | Lifecycle::UsedRegistering) {
            detail["owner"] = serde_json::json!(owner);
            detail["server_type"] = serde_json::json!(row.server_type);
        }
        entry.detail = detail.to_string();
        entry
    };
    change.records.iter().map(entry).collect()
}

/// The machine of a row with the enrolment that the store has for it.
pub(crate) fn read(tx: &mut Tx<'_>, id: &str) -> Result<Option<(MachineRow, Option<ServerRow>, Machine)>, StoreError> {
    let Some(row) = machines::get(tx, id)? else { return Ok(None) };
    let server = servers::get_by_machine(tx, id)?;
    let machine = load(&row, server.as_ref().and_then(enrolled))?;
    Ok(Some((row, server, machine)))
}
