//! A machine that was expected shows up: what people wrote about it beforehand becomes a part of its record (`lifecycle.md` 2, 3.3).

use crate::{
    machine::{self, By},
    services::audit,
};
use muster_api::machine::{Asset, MachineBmc};
use muster_domain::machine::Command;
use muster_store::{
    StoreError, Tx,
    tables::{
        expected_machines::{self, Expected},
        machines::{self, Identity, Machine as MachineRow},
    },
};
use serde_json::json;

/// By what it may have been expected.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Known<'a> {
    /// SMBIOS system UUID, lower case.
    pub system_uuid: Option<&'a str>,
    /// Its serial number.
    pub serial: Option<&'a str>,
    /// Hardware addresses of its network cards, lower case.
    pub macs: &'a [&'a str],
}

/// Hardware addresses that are looked for.
const MACS: usize = 64;

/// A machine registers: all that is known of it yet is its system UUID.
pub(crate) fn registered(tx: &mut Tx<'_>, machine: &str, uuid: Option<&str>, by: By<'_>) -> Result<(), StoreError> {
    let (Some(_), Some(row)) = (uuid, machines::get(tx, machine)?) else { return Ok(()) };
    meet(tx, row, Known { system_uuid: uuid, ..Known::default() }, by).map(drop)
}

/// Puts what was expected on the machine's record, where it was expected: its place, and how its BMC is reached. By more than
/// one row, each fills in the one or the other that the surer ones leave open. What its record says already stays. Answers the
/// machine as it is now.
pub(crate) fn meet(
    tx: &mut Tx<'_>,
    mut row: MachineRow,
    known: Known<'_>,
    by: By<'_>,
) -> Result<MachineRow, StoreError> {
    let serial = known.serial.map(str::to_uppercase);
    let macs = &known.macs[..known.macs.len().min(MACS)];
    for expected in expected_machines::find(tx, known.system_uuid, serial.as_deref(), macs)? {
        // By a card that was moved or a mistyped number: it is another machine that is expected.
        let other = |wanted: &Option<String>, is: Option<&str>| {
            wanted.as_deref().is_some_and(|wanted| is.is_some_and(|is| is != wanted))
        };
        let same_uuid = expected.system_uuid.is_some() && expected.system_uuid.as_deref() == known.system_uuid;
        let same_serial = expected.serial.is_some() && expected.serial == serial;
        if other(&expected.system_uuid, known.system_uuid) || !same_uuid && other(&expected.serial, serial.as_deref()) {
            continue;
        }
        let found_by = match () {
            () if same_uuid => "system_uuid",
            () if same_serial => "serial",
            () => "mac",
        };
        row = take(tx, row, &expected, found_by, by)?;
    }
    Ok(row)
}

/// Puts one of them on the record.
fn take(
    tx: &mut Tx<'_>,
    mut row: MachineRow,
    expected: &Expected,
    found_by: &str,
    by: By<'_>,
) -> Result<MachineRow, StoreError> {
    let password = expected_machines::bmc_password(tx, &expected.id)?;
    let mut taken = Vec::new();
    let blank = serde_json::from_str::<Asset>(&row.asset).is_ok_and(|asset| asset == Asset::default());
    if (row.asset.is_empty() || blank) && expected.asset != "{}" {
        row.asset.clone_from(&expected.asset);
        taken.push("asset");
    }
    let bmc = serde_json::from_str::<MachineBmc>(&expected.bmc).ok().filter(|bmc| !bmc.endpoint.is_empty());
    let by = By { reason: "it was expected", ..by };
    if let Some(bmc) = bmc.filter(|_| row.bmc.is_empty() || row.bmc == "{}") {
        let mac = Some(bmc.mac.clone()).filter(|mac| !mac.is_empty());
        let identity = Identity { bmc_mac: mac.clone(), ..Identity::default() };
        // Where another machine has this BMC, that is for a person to sort out.
        if machines::find_by_identity(tx, &identity)?.iter().all(|other| other.id == row.id) {
            row.bmc.clone_from(&expected.bmc);
            row.bmc_mac = mac;
            machines::set_bmc_password(tx, &row.id, password.as_ref())?;
            taken.push("bmc");
        }
    }
    let id = row.id.clone();
    if taken.contains(&"bmc") {
        row = match machine::change(tx, row, None, &Command::SetBmc(true), by)? {
            Ok(changed) => changed.row,
            Err(refusal) => return Err(StoreError::Corrupt(format!("machine {id}: what was expected: {refusal}"))),
        };
    } else {
        row.generation = machines::update(tx, &row)?;
    }
    expected_machines::set_seen(tx, &expected.id, &id, by.now)?;
    let mut entry = audit::by(by.now, "system", "machine.expected", "machine", &id);
    entry.reason = Some(format!("expected by {}, recognised by its {found_by}", expected.author));
    entry.detail = json!({"expected": expected.id, "found_by": found_by, "taken": taken}).to_string();
    audit::append(tx, &entry)?;
    Ok(row)
}
