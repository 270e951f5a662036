//! A machine's row and the machine that `domain` decides about: the one is read as the other, and written back.

use crate::services::server::tracking;
use muster_domain::machine::{
    Lifecycle, Machine,
    axes::{
        Alerts, Allocation, Connectivity, Enrolled, Flags, Media, Operation, OperationKind, Reservation, TypeMatch,
    },
};
use muster_store::{
    StoreError,
    tables::{machines::Machine as MachineRow, servers::Server as ServerRow},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// What people set, and how the hardware compares with its type.
#[derive(Serialize, Deserialize)]
struct Marks {
    flags: Flags,
    type_match: TypeMatch,
}

/// The enrolment's part: none for a server that has not registered.
pub(crate) fn enrolled(server: &ServerRow) -> Option<Enrolled> {
    Some(Enrolled {
        connectivity: Connectivity::of(tracking::status(server), tracking::detail(server))?,
        maintenance: tracking::installed(&tracking::versions(server)).in_maintenance(),
        cluster: server.cluster.clone(),
        update_due: false,
    })
}

/// The machine as `domain` sees it: stored axes, and the enrolment's part.
pub(crate) fn load(row: &MachineRow, enrolment: Option<Enrolled>) -> Result<Machine, StoreError> {
    let marks: Marks = parse(row, "flags", &row.flags)?;
    let lifecycle: Lifecycle = row.lifecycle.parse().map_err(|e| corrupt(row, "lifecycle", &e))?;
    let operation = optional::<Operation>(row, "operation", row.operation.as_deref())?;
    // A machine that is taken over is expected to register, and has no record of an enrolment until it did.
    let adopting = lifecycle == Lifecycle::UsedRegistering
        && operation.as_ref().is_some_and(|o| o.kind == OperationKind::Register && o.is_live());
    let enrolment = enrolment.or_else(|| adopting.then(Enrolled::registering));
    Ok(Machine {
        lifecycle,
        operation,
        media: parse::<Media>(row, "media", &format!("{:?}", row.media))?,
        allocation: optional::<Allocation>(row, "allocation", row.allocation.as_deref())?,
        reservation: optional::<Reservation>(row, "reservation", row.reservation.as_deref())?,
        type_match: marks.type_match,
        alerts: parse::<Alerts>(row, "alerts", &row.alerts)?,
        flags: marks.flags,
        bmc: row.bmc_mac.is_some() || row.bmc != "{}",
        enrolment,
    })
}

/// Writes the axes into the row.
pub(super) fn store(row: &mut MachineRow, machine: &Machine) {
    row.lifecycle = machine.lifecycle.as_str().into();
    row.operation = machine.operation.as_ref().map(text);
    row.media = media(machine.media);
    row.allocation = machine.allocation.as_ref().map(text);
    row.reservation = machine.reservation.as_ref().map(text);
    let taken = machine.allocation.as_ref().and_then(|allocation| allocation.subscription.as_ref());
    row.subscription = machine.reservation.as_ref().map(|r| &r.subscription).or(taken).cloned();
    row.alerts = text(&machine.alerts);
    row.flags = text(&Marks { flags: machine.flags, type_match: machine.type_match });
}

/// As the column has it.
pub(super) fn media(media: Media) -> String {
    text(&media).trim_matches('"').to_owned()
}

/// JSON.
pub(super) fn text<T: Serialize>(value: &T) -> String {
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
