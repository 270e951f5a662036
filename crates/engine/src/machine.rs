//! The physical machine behind a server: born at first contact, never lost (`lifecycle.md` 5.1, 5.4). What becomes of it is
//! decided by `domain`; here its row is read, written, and each change of lifecycle recorded.

use crate::services::{audit, server::tracking};
use muster_domain::machine::{
    Change, Command, Lifecycle, Machine, Record, Refusal,
    axes::{Alerts, Allocation, Connectivity, Enrolled, Flags, Media, Operation, Reservation, TypeMatch},
    birth::{Birth, birth},
    registration::{Known, Registration, register_with_token},
    transition,
};
use muster_store::{
    StoreError, Tx,
    tables::{
        machines::{self, Identity, Machine as MachineRow},
        servers::Server as ServerRow,
    },
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// What people set, and how the hardware compares with its type.
#[derive(Serialize, Deserialize)]
struct Marks {
    flags: Flags,
    type_match: TypeMatch,
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
    /// Its lifecycle does not allow it.
    Refused(Refusal),
}

/// A machine registers with a valid token; `server` is its present enrolment. `new_id` is used when a record is born.
pub(crate) fn register(
    tx: &mut Tx<'_>,
    identity: &Identity,
    server: Option<&ServerRow>,
    same_certificate: bool,
    new_id: &str,
    actor: &str,
    now: i64,
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
    let machine = known.map(|row| load(row, server)).transpose()?;
    let known = match &machine {
        None => Known::Unknown,
        Some(machine) => Known::Machine { machine, same_certificate },
    };
    let registration = match register_with_token(known) {
        Ok(registration) => registration,
        Err(refusal) => return Ok(Registered::Refused(refusal)),
    };
    let row = match (registration, live) {
        (Registration::Repeated, Some(row)) => row,
        (Registration::Known(change), Some(row)) => write(tx, row, &change, actor, "registered with a token", now)?,
        (Registration::New(change) | Registration::Successor(change) | Registration::Known(change), _) => {
            let predecessor = tombstone.map(|t| t.id);
            insert(tx, new_id, identity, predecessor, &change, actor, "registered with a token", now)?
        }
        (Registration::Repeated, None) => {
            return Err(StoreError::Corrupt("a repeated registration without a record".into()));
        }
    };
    Ok(Registered::Machine(row.id))
}

/// A person names a machine in advance.
pub(crate) fn pre_register(tx: &mut Tx<'_>, new_id: &str, bmc: bool, actor: &str, now: i64) -> Result<(), StoreError> {
    let change = birth(&Birth::PreRegistered { bmc, predecessor: None });
    insert(tx, new_id, &Identity::default(), None, &change, actor, "pre-registered", now).map(|_| ())
}

/// Carries out a command on the machine of a server. `server` is the row as it was when the command was given.
pub(crate) fn command(
    tx: &mut Tx<'_>,
    server: &ServerRow,
    command: &Command,
    actor: &str,
    reason: &str,
    now: i64,
) -> Result<Result<(), Refusal>, StoreError> {
    let row = machines::get(tx, &server.machine_id)?.ok_or(StoreError::NotFound)?;
    match transition(&load(&row, Some(server))?, command) {
        Ok(change) => write(tx, row, &change, actor, reason, now).map(|_| Ok(())),
        Err(refusal) => Ok(Err(refusal)),
    }
}

/// The machine as `domain` sees it: stored axes, and the enrolment's part from the server's row.
fn load(row: &MachineRow, server: Option<&ServerRow>) -> Result<Machine, StoreError> {
    let marks: Marks = parse(row, "flags", &row.flags)?;
    let enrolment = server.and_then(|server| {
        Some(Enrolled {
            connectivity: Connectivity::of(tracking::status(server), tracking::detail(server))?,
            maintenance: tracking::installed(&tracking::versions(server)).in_maintenance(),
            cluster: server.cluster.clone(),
            update_due: false,
        })
    });
    Ok(Machine {
        lifecycle: row.lifecycle.parse().map_err(|e| corrupt(row, "lifecycle", &e))?,
        operation: optional::<Operation>(row, "operation", row.operation.as_deref())?,
        media: parse::<Media>(row, "media", &format!("{:?}", row.media))?,
        allocation: optional::<Allocation>(row, "allocation", row.allocation.as_deref())?,
        reservation: optional::<Reservation>(row, "reservation", row.reservation.as_deref())?,
        type_match: marks.type_match,
        alerts: parse::<Alerts>(row, "alerts", &row.alerts)?,
        flags: marks.flags,
        bmc: row.bmc_mac.is_some() || server.is_some_and(|s| s.bmc.contains("redfish")),
        enrolment,
    })
}

fn store(row: &mut MachineRow, machine: &Machine) {
    row.lifecycle = machine.lifecycle.as_str().into();
    row.operation = machine.operation.as_ref().map(text);
    row.media = text(&machine.media).trim_matches('"').to_owned();
    row.allocation = machine.allocation.as_ref().map(text);
    row.reservation = machine.reservation.as_ref().map(text);
    row.alerts = text(&machine.alerts);
    row.flags = text(&Marks { flags: machine.flags, type_match: machine.type_match });
}

#[expect(
    clippy::too_many_arguments,
    reason = "one call each for every way a record begins; a struct would only name them twice"
)]
fn insert(
    tx: &mut Tx<'_>,
    id: &str,
    identity: &Identity,
    predecessor: Option<String>,
    change: &Change,
    actor: &str,
    reason: &str,
    now: i64,
) -> Result<MachineRow, StoreError> {
    let mut row = MachineRow {
        id: id.to_owned(),
        system_uuid: identity.system_uuid.clone(),
        machine_id: identity.machine_id.clone(),
        inventory: "{}".into(),
        successor_of: predecessor,
        created_at: now,
        since: now,
        generation: 1,
        ..MachineRow::default()
    };
    store(&mut row, &change.machine);
    machines::insert(tx, &row)?;
    record(tx, &row.id, &change.records, actor, reason, now)?;
    Ok(row)
}

fn write(
    tx: &mut Tx<'_>,
    mut row: MachineRow,
    change: &Change,
    actor: &str,
    reason: &str,
    now: i64,
) -> Result<MachineRow, StoreError> {
    store(&mut row, &change.machine);
    row.generation = machines::update(tx, &row)?;
    record(tx, &row.id, &change.records, actor, reason, now)?;
    Ok(row)
}

/// One entry for each edge, so that replaying them gives the stored state.
fn record(
    tx: &mut Tx<'_>,
    id: &str,
    records: &[Record],
    actor: &str,
    reason: &str,
    now: i64,
) -> Result<(), StoreError> {
    use muster_domain::machine::Actor;
    for record in records {
        let actor = match record.actor {
            Actor::System => "system",
            Actor::Policy => "policy",
            Actor::Person => actor,
        };
        let mut entry = audit::by(now, actor, "machine.transition", "machine", id);
        entry.from_state = record.from.map(|from: Lifecycle| from.as_str().to_owned());
        entry.to_state = Some(record.to.as_str().to_owned());
        entry.reason = Some(reason.to_owned());
        entry.detail = serde_json::json!({"edge": record.edge}).to_string();
        audit::append(tx, &entry)?;
    }
    Ok(())
}

fn text<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

fn parse<T: DeserializeOwned>(row: &MachineRow, what: &str, text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|e| corrupt(row, what, &e))
}

fn optional<T: DeserializeOwned>(row: &MachineRow, what: &str, text: Option<&str>) -> Result<Option<T>, StoreError> {
    text.map(|text| parse(row, what, text)).transpose()
}

fn corrupt(row: &MachineRow, what: &str, e: &dyn std::fmt::Display) -> StoreError {
    StoreError::Corrupt(format!("machine {}: {what}: {e}", row.id))
}
