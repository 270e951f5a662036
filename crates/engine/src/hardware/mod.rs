//! What a machine is made of, as it reports it: learnt, compared with what it was and with its type, and what follows from that
//! (`lifecycle.md` 1.5, 2). `domain` decides what a difference asks for; here it is written down, in the transaction of the
//! poll that saw it.
//!
//! A difference is one from the hardware that the machine was last *registered* with, so that what was put back asks for nothing
//! any more. Who it is (system UUID, serial number) is compared with its record, which never changes.

pub(crate) mod expected;
pub(crate) mod types;

use crate::{
    machine::{self, By, alerts},
    services::audit,
};
use expected::Known;
use muster_domain::{
    hardware::{Change, Inventory, Severity, difference, drift},
    machine::{Command, Lifecycle, alert::Class, axes::TypeMatch},
};
use muster_store::{
    StoreError, Tx,
    tables::{
        expected_machines,
        machine_snapshots::{self, Snapshot},
        machines::{self, Identity, Machine as MachineRow},
        warnings,
    },
};
use serde::de::DeserializeOwned;
use serde_json::json;

/// A snapshot of a registration: what later ones are compared with.
const REGISTRATION: &str = "registration";
/// A snapshot of a poll.
const POLL: &str = "poll";

/// Alerts of the center's own.
const IDENTITY: &str = "hardware-identity";
/// Another machine has the same identity.
const CONFLICT: &str = "identity-conflict";
/// It is not of its type.
pub(crate) const TYPE: &str = "server-type";
/// It is not of the type that it was expected to be.
const EXPECTED_TYPE: &str = "expected-type";

/// The warning about hardware that changed.
const WARNING: (&str, &str) = ("hardware", "Hardware changed");

/// Takes note of the hardware that a machine reports (`resources` as stored), and of what differs. `name` is what people call
/// the machine. Nothing is written when nothing differs.
pub(crate) fn seen(tx: &mut Tx<'_>, machine: &str, name: &str, resources: &str, by: By<'_>) -> Result<(), StoreError> {
    let Some(mut row) = machines::get(tx, machine)? else { return Ok(()) };
    let document = serde_json::from_str(resources).unwrap_or_default();
    let inventory = Inventory::read(&document);
    let text = serde_json::to_string(&inventory).unwrap_or_default();
    let first = unknown(&row);
    if row.inventory == text {
        return learn_late(tx, row, &inventory, by);
    }
    // It has forgotten what it is made of, and not lost it.
    if inventory.says_nothing() && !first {
        return Ok(());
    }
    let before: Inventory = parsed(&row.inventory, "inventory of machine", &row.id)?;
    let known = machine::load(&row, None)?;
    let settling = matches!(known.lifecycle, Lifecycle::Registering | Lifecycle::UsedRegistering);
    row = learn(tx, row, &inventory, by)?;
    if first {
        let (serial, macs) = (inventory.system.identifying_serial().map(|(serial, _)| serial), inventory.macs());
        let uuid = inventory.system.uuid.as_deref().or(row.system_uuid.as_deref()).map(str::to_owned);
        row = expected::meet(tx, row, Known { system_uuid: uuid.as_deref(), serial, macs: &macs }, by)?;
    }
    let news = if first { Vec::new() } else { difference(&before, &inventory) };
    row.inventory = text;
    // Its type is looked at when the registration ends.
    row = match settling {
        true => changed(tx, row, &Command::SetType(known.type_match), by)?,
        false => check_type(tx, row, &inventory, false, by)?,
    };
    if !news.is_empty() {
        snapshot(tx, &row, POLL, &news, by)?;
    }
    row = tell_identity(tx, row, &inventory, by)?;
    if settling {
        return Ok(());
    }
    let Some(registered) = registered(tx, &row)? else {
        // Registered before anybody looked: this is what it has.
        return snapshot(tx, &row, REGISTRATION, &[], by);
    };
    let changes = difference(&registered, &inventory);
    if drift(&changes) >= Some(Severity::ReRegister) && !known.flags.requires_re_register {
        row = changed(tx, row, &Command::RequireReRegister, by)?;
    }
    warn(tx, &row, name, &changes, by)
}

/// A registration or a cleaning ends, `command` says so: the hardware that the machine has now is what it is registered with. A
/// machine that nobody uses is of the type of its hardware; one in use, or coming back, keeps its type and is compared with it.
pub(crate) fn settle(
    tx: &mut Tx<'_>,
    row: MachineRow,
    command: &Command,
    by: By<'_>,
) -> Result<MachineRow, StoreError> {
    let known = machine::load(&row, None)?;
    let again = matches!(command, Command::Resync) && known.operation.is_none();
    let (assigns, registers) = match known.lifecycle {
        Lifecycle::Registering => (true, true),
        Lifecycle::UsedRegistering => (false, true),
        Lifecycle::Cleaning => (false, false),
        Lifecycle::Unavailable if again => (true, true),
        Lifecycle::Used if again => (false, true),
        _ => return Ok(row),
    };
    if unknown(&row) {
        return Ok(row);
    }
    let inventory: Inventory = parsed(&row.inventory, "inventory of machine", &row.id)?;
    let row = check_type(tx, row, &inventory, assigns, by)?;
    if !registers {
        return Ok(row);
    }
    let registered = registered(tx, &row)?;
    if registered.as_ref().is_none_or(|registered| *registered != inventory) {
        let changes = registered.map(|registered| difference(&registered, &inventory)).unwrap_or_default();
        snapshot(tx, &row, REGISTRATION, &changes, by)?;
    }
    let (scope, kind) = WARNING;
    warnings::remove(tx, kind, scope, "machine", &row.id)?;
    Ok(row)
}

/// Gives a machine the type of its hardware where it has none or `assigns` says so, and compares the two.
fn check_type(
    tx: &mut Tx<'_>,
    mut row: MachineRow,
    inventory: &Inventory,
    assigns: bool,
    by: By<'_>,
) -> Result<MachineRow, StoreError> {
    let mut label = None;
    if assigns || row.server_type.is_empty() {
        let kind = types::of(tx, inventory, by.now)?;
        if kind.id != row.server_type {
            let mut entry = audit::by(by.now, "system", "machine.type", "machine", &row.id);
            if !row.server_type.is_empty() {
                entry.from_state = Some(types::label(tx, &row.server_type)?);
            }
            entry.to_state = Some(kind.label.clone());
            entry.reason = Some(by.reason.to_owned());
            entry.operation_id = by.operation.map(str::to_owned);
            audit::append(tx, &entry)?;
            row.server_type = kind.id;
        }
        label = Some(kind.label);
    }
    row = compare(tx, row, inventory, by)?;
    match label {
        Some(label) => tell_expected(tx, row, &label, by),
        None => Ok(row),
    }
}

/// Compares a machine with its type.
fn compare(tx: &mut Tx<'_>, row: MachineRow, inventory: &Inventory, by: By<'_>) -> Result<MachineRow, StoreError> {
    let matched = match types::matches(tx, inventory, &row.server_type)? {
        true => TypeMatch::Matched,
        false => TypeMatch::Mismatch,
    };
    let row = changed(tx, row, &Command::SetType(matched), by)?;
    tell_type(tx, row, inventory, by)
}

/// After types were changed by hand: compares a machine with its type again. Answers whether it matches.
pub(crate) fn compare_again(tx: &mut Tx<'_>, machine: &str, by: By<'_>) -> Result<bool, StoreError> {
    let Some(row) = machines::get(tx, machine)? else { return Ok(false) };
    if alerts::closed(&row)?.is_some() {
        return Ok(false);
    }
    let inventory: Inventory = parsed(&row.inventory, "inventory of machine", &row.id)?;
    let row = compare(tx, row, &inventory, by)?;
    Ok(machine::load(&row, None)?.type_match == TypeMatch::Matched)
}

/// Whether nothing is known of its hardware yet.
fn unknown(row: &MachineRow) -> bool {
    row.inventory.is_empty() || row.inventory == "{}"
}

/// What a machine was registered with last.
fn registered(tx: &mut Tx<'_>, row: &MachineRow) -> Result<Option<Inventory>, StoreError> {
    let snapshot = machine_snapshots::newest(tx, &row.id, REGISTRATION)?;
    snapshot.map(|s| parsed(&s.inventory, "snapshot of machine", &row.id)).transpose()
}

/// The same hardware as before, but an identity may be free by now that another machine had.
fn learn_late(tx: &mut Tx<'_>, row: MachineRow, inventory: &Inventory, by: By<'_>) -> Result<(), StoreError> {
    let serial = row.serial.is_none() && inventory.system.identifying_serial().is_some();
    if !serial && (row.system_uuid.is_some() || inventory.system.uuid.is_none()) {
        return Ok(());
    }
    let known = (row.serial.clone(), row.system_uuid.clone(), row.generation);
    let row = learn(tx, row, inventory, by)?;
    // Where an alert ended with it, it is written already.
    if known.2 == row.generation && (known.0 != row.serial || known.1 != row.system_uuid) {
        machines::update(tx, &row)?;
    }
    Ok(())
}

/// Fills in who the machine is, where its record does not say. An identity that another machine in service has is not taken:
/// one of the two is not what it says, and a person has to look.
fn learn(tx: &mut Tx<'_>, mut row: MachineRow, inventory: &Inventory, by: By<'_>) -> Result<MachineRow, StoreError> {
    let identity = Identity {
        system_uuid: inventory.system.uuid.clone(),
        serial: inventory.system.identifying_serial().map(|(serial, vendor)| (serial.to_owned(), vendor.to_owned())),
        ..Identity::default()
    };
    let others = machines::find_by_identity(tx, &identity)?;
    let mut conflicts = Vec::new();
    for other in others.iter().filter(|other| other.id != row.id) {
        let who = machines::server_name(tx, &other.id)?.map(|name| format!(" (server {name:?})")).unwrap_or_default();
        let same_uuid = other.system_uuid.is_some() && other.system_uuid == identity.system_uuid;
        let what = if same_uuid { "system UUID" } else { "serial number" };
        conflicts.push(format!("machine {}{who} has the same {what}", other.id));
    }
    if conflicts.is_empty() {
        let uuid = row.system_uuid.take().or(identity.system_uuid);
        row.system_uuid = uuid;
        if let Some((serial, vendor)) = identity.serial {
            let same = row.serial.as_ref().is_none_or(|known| known.eq_ignore_ascii_case(&serial));
            let open = row.chassis_vendor.as_deref().unwrap_or_default().is_empty();
            if same && (row.serial.is_none() || open) {
                (row.serial, row.chassis_vendor) = (Some(serial), Some(vendor));
            }
        }
    }
    let alert = (!conflicts.is_empty()).then(|| {
        let text = format!("{}; decommission the record that is wrong, or correct the hardware", conflicts.join("; "));
        (Class::Blocking, text)
    });
    alerts::own(tx, row, CONFLICT, alert, by)
}

/// The alert about a machine that is not the one of its record.
fn tell_identity(
    tx: &mut Tx<'_>,
    row: MachineRow,
    inventory: &Inventory,
    by: By<'_>,
) -> Result<MachineRow, StoreError> {
    let mut record = registered(tx, &row)?.unwrap_or_default();
    if row.system_uuid.is_some() {
        record.system.uuid.clone_from(&row.system_uuid);
    }
    let mut now = inventory.clone();
    if let (Some(serial), Some((seen, _))) = (&row.serial, inventory.system.identifying_serial()) {
        // The record has one serial number, whichever of the two it was.
        let (serial, seen) = (serial.to_uppercase(), seen.to_uppercase());
        (record.system.serial, now.system.serial) = (Some(serial), Some(seen));
    }
    let changes = difference(&record, &now);
    let other: Vec<String> =
        changes.iter().filter(|c| c.severity() == Severity::Blocking).map(ToString::to_string).collect();
    let alert = (!other.is_empty()).then(|| {
        let text = format!(
            "this is not the machine of the record: {}; decommission it and add the hardware again",
            other.join("; ")
        );
        (Class::Blocking, text)
    });
    alerts::own(tx, row, IDENTITY, alert, by)
}

/// The alert about a machine that is not of its type.
fn tell_type(tx: &mut Tx<'_>, row: MachineRow, inventory: &Inventory, by: By<'_>) -> Result<MachineRow, StoreError> {
    let known = machine::load(&row, None)?;
    let alert = match known.type_match {
        TypeMatch::Mismatch => {
            let label = types::label(tx, &row.server_type)?;
            let is = muster_domain::hardware::Specification::of(inventory).label();
            let text = format!(
                "its hardware ({is}) is not what its type {label:?} says; register it again, or merge the types"
            );
            Some((Class::PreventAllocations, text))
        }
        TypeMatch::Matched | TypeMatch::Unmatched => None,
    };
    alerts::own(tx, row, TYPE, alert, by)
}

/// The alert about a machine that is not of the type that it was expected to be.
fn tell_expected(tx: &mut Tx<'_>, row: MachineRow, label: &str, by: By<'_>) -> Result<MachineRow, StoreError> {
    let expected = expected_machines::of_machine(tx, &row.id)?.map(|e| e.server_type).unwrap_or_default();
    let alert = (!expected.is_empty() && expected != label).then(|| {
        let text =
            format!("it was expected to be of type {expected:?} and is of type {label:?}; correct one of the two");
        (Class::PreventAllocations, text)
    });
    alerts::own(tx, row, EXPECTED_TYPE, alert, by)
}

/// The warning about what differs from the hardware that it was registered with; gone when nothing does that matters.
fn warn(tx: &mut Tx<'_>, row: &MachineRow, name: &str, changes: &[Change], by: By<'_>) -> Result<(), StoreError> {
    let (scope, kind) = WARNING;
    let matters: Vec<&Change> = changes.iter().filter(|c| c.severity() > Severity::Note).collect();
    let silent = !matters.is_empty() && alerts::is_silent(tx, &row.id, by.now)?;
    let what = match drift(changes) {
        None | Some(Severity::Note) => return warnings::remove(tx, kind, scope, "machine", &row.id).map(drop),
        _ if silent => return Ok(()),
        Some(Severity::Advice) => "registering it again is advised",
        Some(Severity::ReRegister) => "it has to be registered again before it is given to anybody",
        Some(Severity::Blocking) => "decommission it and add the hardware again",
    };
    let texts: Vec<String> = matters.iter().map(ToString::to_string).collect();
    let emitted = warnings::Emitted {
        kind: kind.into(),
        scope: scope.into(),
        entity_type: "machine".into(),
        entity: row.id.clone(),
        messages: vec![format!("{name}: {}; {what}", texts.join("; "))],
    };
    // The newest text says all that differs.
    warnings::remove(tx, kind, scope, "machine", &row.id)?;
    warnings::emit(tx, &emitted, &uuid::Uuid::now_v7().to_string(), by.now).map(drop)
}

/// Keeps the hardware as it is now, and what changed, for ever.
fn snapshot(tx: &mut Tx<'_>, row: &MachineRow, source: &str, changes: &[Change], by: By<'_>) -> Result<(), StoreError> {
    let snapshot = Snapshot {
        seq: 0,
        at: by.now,
        source: source.into(),
        inventory: row.inventory.clone(),
        difference: serde_json::to_string(changes).unwrap_or_default(),
    };
    let seq = machine_snapshots::append(tx, &row.id, &snapshot)?;
    let mut entry = audit::by(by.now, "system", "machine.hardware", "machine", &row.id);
    let texts: Vec<String> = changes.iter().map(ToString::to_string).collect();
    entry.reason = Some(if texts.is_empty() { "its hardware was recorded".into() } else { texts.join("; ") });
    entry.operation_id = by.operation.map(str::to_owned);
    entry.detail = json!({"snapshot": seq, "source": source, "severity": drift(changes)}).to_string();
    audit::append(tx, &entry)
}

/// A command that no live machine refuses.
fn changed(tx: &mut Tx<'_>, row: MachineRow, command: &Command, by: By<'_>) -> Result<MachineRow, StoreError> {
    let id = row.id.clone();
    match machine::change(tx, row, None, command, by)? {
        Ok(changed) => Ok(changed.row),
        Err(refusal) => Err(StoreError::Corrupt(format!("machine {id}: {refusal}"))),
    }
}

pub(crate) fn parsed<T: DeserializeOwned>(text: &str, what: &str, id: &str) -> Result<T, StoreError> {
    serde_json::from_str(if text.is_empty() { "{}" } else { text })
        .map_err(|e| StoreError::Corrupt(format!("the {what} {id} cannot be read: {e}")))
}

#[cfg(test)]
mod tests;
