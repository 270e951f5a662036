//! Machines: the physical assets (lifecycle.md 5.1). An identity is unique among the machines that are not decommissioned.

use crate::db::{Row, Tx};
use crate::error::Result;
use crate::params;
use crate::tables::{Conditions, found, stale_or_missing};

/// A machine.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Machine {
    /// UUID, the primary key.
    pub id: String,
    /// Its lifecycle state.
    pub lifecycle: String,
    /// The operation that owns it (kind, method, phase), as JSON.
    pub operation: Option<String>,
    /// State of its install media.
    pub media: String,
    /// Serial number, unique together with the vendor.
    pub serial: Option<String>,
    /// Vendor of the chassis.
    pub chassis_vendor: Option<String>,
    /// SMBIOS system UUID.
    pub system_uuid: Option<String>,
    /// The OS' machine-id.
    pub machine_id: Option<String>,
    /// MAC address of the BMC.
    pub bmc_mac: Option<String>,
    /// To whom it is allocated, as JSON.
    pub allocation: Option<String>,
    /// For whom it is reserved, as JSON.
    pub reservation: Option<String>,
    /// Its server type.
    pub type_label: String,
    /// Flags as a JSON document.
    pub flags: String,
    /// Open alerts as a JSON document.
    pub alerts: String,
    /// Hardware as a JSON document.
    pub inventory: String,
    /// The decommissioned machine whose identity this one has taken over.
    pub successor_of: Option<String>,
    /// Microseconds since 1970.
    pub created_at: i64,
    /// Counts its changes; not read by [`insert`].
    pub generation: i64,
}

const COLUMNS: &str = "id, lifecycle, operation, media, serial, chassis_vendor, system_uuid, machine_id, bmc_mac, \
                       allocation, reservation, type_label, flags, alerts, inventory, successor_of, created_at, generation";

fn from_row(row: &Row) -> Result<Machine> {
    Ok(Machine {
        id: row.text(0)?,
        lifecycle: row.text(1)?,
        operation: row.opt_text(2)?,
        media: row.text(3)?,
        serial: row.opt_text(4)?,
        chassis_vendor: row.opt_text(5)?,
        system_uuid: row.opt_text(6)?,
        machine_id: row.opt_text(7)?,
        bmc_mac: row.opt_text(8)?,
        allocation: row.opt_text(9)?,
        reservation: row.opt_text(10)?,
        type_label: row.text(11)?,
        flags: row.text(12)?,
        alerts: row.text(13)?,
        inventory: row.text(14)?,
        successor_of: row.opt_text(15)?,
        created_at: row.int(16)?,
        generation: row.int(17)?,
    })
}

/// Adds a machine, in generation 1. A unique violation when another machine in service has one of its identities.
pub fn insert(tx: &mut Tx, machine: &Machine) -> Result<()> {
    tx.execute(
        &format!(
            "INSERT INTO machines ({COLUMNS}) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, 1)"
        ),
        params![
            &machine.id,
            &machine.lifecycle,
            &machine.operation,
            &machine.media,
            &machine.serial,
            &machine.chassis_vendor,
            &machine.system_uuid,
            &machine.machine_id,
            &machine.bmc_mac,
            &machine.allocation,
            &machine.reservation,
            &machine.type_label,
            &machine.flags,
            &machine.alerts,
            &machine.inventory,
            &machine.successor_of,
            machine.created_at,
        ],
    )?;
    Ok(())
}

/// One machine.
pub fn get(tx: &mut Tx, id: &str) -> Result<Option<Machine>> {
    tx.query_opt(&format!("SELECT {COLUMNS} FROM machines WHERE id = $1"), params![id], from_row)
}

/// Which machines to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only machines in this lifecycle state.
    pub lifecycle: Option<String>,
    /// Only machines whose id is behind this one.
    pub after: Option<String>,
}

/// Machines by id, at most `limit`.
pub fn list(tx: &mut Tx, filter: &Filter, limit: i64) -> Result<Vec<Machine>> {
    let mut wanted = Conditions::new();
    wanted.and("lifecycle =", filter.lifecycle.as_deref());
    wanted.and("id >", filter.after.as_deref());
    let limit = wanted.value(limit);
    let sql = format!("SELECT {COLUMNS} FROM machines WHERE {} ORDER BY id LIMIT ${limit}", wanted.sql);
    tx.query(&sql, &wanted.values, from_row)
}

/// By what a machine may be recognised; what is not known is `None`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity {
    /// SMBIOS system UUID.
    pub system_uuid: Option<String>,
    /// The OS' machine-id.
    pub machine_id: Option<String>,
    /// Serial number and vendor of the chassis.
    pub serial: Option<(String, String)>,
    /// MAC address of the BMC.
    pub bmc_mac: Option<String>,
}

/// All machines in service that share any part of an identity; more than one when it is contradictory.
pub fn find_by_identity(tx: &mut Tx, identity: &Identity) -> Result<Vec<Machine>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM machines WHERE lifecycle <> 'decommissioned' AND \
         (system_uuid = $1 OR machine_id = $2 OR (serial = $3 AND chassis_vendor = $4) OR bmc_mac = $5) ORDER BY id"
    );
    let (serial, vendor) = identity.serial.clone().unzip();
    let values = params![&identity.system_uuid, &identity.machine_id, serial, vendor, &identity.bmc_mac];
    tx.query(&sql, values, from_row)
}

/// The newest tombstone of the same hardware.
pub fn find_decommissioned(tx: &mut Tx, identity: &Identity) -> Result<Option<Machine>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM machines WHERE lifecycle = 'decommissioned' AND (system_uuid = $1 OR machine_id = $2) \
         ORDER BY created_at DESC, id DESC LIMIT 1"
    );
    tx.query_opt(&sql, params![&identity.system_uuid, &identity.machine_id], from_row)
}

/// Writes a machine as it was read and changed, if nobody has changed it since (`machine.generation`). Answers the new
/// generation.
pub fn update(tx: &mut Tx, machine: &Machine) -> Result<i64> {
    let sql = "UPDATE machines SET lifecycle = $2, operation = $3, media = $4, serial = $5, chassis_vendor = $6, \
               system_uuid = $7, machine_id = $8, bmc_mac = $9, allocation = $10, reservation = $11, type_label = $12, \
               flags = $13, alerts = $14, inventory = $15, successor_of = $16, generation = generation + 1 \
               WHERE id = $1 AND generation = $17 RETURNING generation";
    let values = params![
        &machine.id,
        &machine.lifecycle,
        &machine.operation,
        &machine.media,
        &machine.serial,
        &machine.chassis_vendor,
        &machine.system_uuid,
        &machine.machine_id,
        &machine.bmc_mac,
        &machine.allocation,
        &machine.reservation,
        &machine.type_label,
        &machine.flags,
        &machine.alerts,
        &machine.inventory,
        &machine.successor_of,
        machine.generation,
    ];
    match tx.query_opt(sql, values, |row| row.int(0))? {
        Some(generation) => Ok(generation),
        None => Err(stale_or_missing(get(tx, &machine.id)?.is_some())),
    }
}

/// Name of the server that a machine is enrolled as.
pub fn server_name(tx: &mut Tx, id: &str) -> Result<Option<String>> {
    tx.query_opt("SELECT name FROM servers WHERE machine_id = $1", params![id], |row| row.text(0))
}

/// Deletes a machine. A foreign key violation while an enrolment or a successor refers to it.
pub fn delete(tx: &mut Tx, id: &str) -> Result<()> {
    found(tx.execute("DELETE FROM machines WHERE id = $1", params![id])?)
}
