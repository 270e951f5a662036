//! Machines: the physical assets (lifecycle.md 5.1). An identity is unique among the machines that are not decommissioned.

use crate::db::{Row, Tx};
use crate::error::Result;
use crate::params;
use crate::places::Place;
use crate::seal::Secret;
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
    /// The subscription that it is reserved by or was allocated from: follows from the two above.
    pub subscription: Option<String>,
    /// Id of its server type, or empty.
    pub server_type: String,
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
    /// Since when it is in its lifecycle state.
    pub since: i64,
    /// Since when it is allocated.
    pub allocated_at: Option<i64>,
    /// What people know of it (rack, units, inventory number, tags, ...), as JSON.
    pub asset: String,
    /// Its BMC without the password, as JSON.
    pub bmc: String,
    /// How it was erased last, as JSON.
    pub erased: Option<String>,
    /// Counts its changes; not read by [`insert`].
    pub generation: i64,
}

const COLUMNS: &str = "id, lifecycle, operation, media, serial, chassis_vendor, system_uuid, machine_id, bmc_mac, \
                       allocation, reservation, server_type, flags, alerts, inventory, successor_of, created_at, since, \
                       allocated_at, asset, bmc, erased, subscription, generation";

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
        server_type: row.text(11)?,
        flags: row.text(12)?,
        alerts: row.text(13)?,
        inventory: row.text(14)?,
        successor_of: row.opt_text(15)?,
        created_at: row.int(16)?,
        since: row.int(17)?,
        allocated_at: row.opt_int(18)?,
        asset: row.text(19)?,
        bmc: row.text(20)?,
        erased: row.opt_text(21)?,
        subscription: row.opt_text(22)?,
        generation: row.int(23)?,
    })
}

/// Adds a machine, in generation 1. A unique violation when another machine in service has one of its identities.
pub fn insert(tx: &mut Tx, machine: &Machine) -> Result<()> {
    tx.execute(
        &format!(
            "INSERT INTO machines ({COLUMNS}) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, \
             $18, $19, $20, $21, $22, $23, 1)"
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
            &machine.server_type,
            &machine.flags,
            &machine.alerts,
            &machine.inventory,
            &machine.successor_of,
            machine.created_at,
            machine.since,
            machine.allocated_at,
            document(&machine.asset),
            document(&machine.bmc),
            &machine.erased,
            &machine.subscription,
        ],
    )?;
    Ok(())
}

/// A document that nobody has filled yet.
fn document(text: &str) -> &str {
    if text.is_empty() { "{}" } else { text }
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
    /// Not those in this one.
    pub hidden: Option<String>,
    /// Only machines in a state that passes by itself.
    pub passing: bool,
    /// Only machines of this type.
    pub server_type: Option<String>,
    /// Only machines whose id is behind this one.
    pub after: Option<String>,
}

/// Machines by id, at most `limit`.
pub fn list(tx: &mut Tx, filter: &Filter, limit: i64) -> Result<Vec<Machine>> {
    let mut wanted = Conditions::new();
    wanted.and("lifecycle =", filter.lifecycle.as_deref());
    wanted.and("lifecycle <>", filter.hidden.as_deref());
    if filter.passing {
        wanted.and_sql("lifecycle IN ('registering', 'used_registering', 'cleaning')");
    }
    wanted.and("server_type =", filter.server_type.as_deref());
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

/// Id of a machine in service with a serial number in this or in lower-case spelling, whoever its vendor is.
pub fn with_serial(tx: &mut Tx, serial: &str) -> Result<Option<String>> {
    let sql = "SELECT id FROM machines WHERE serial IN ($1, $2) AND lifecycle <> 'decommissioned' ORDER BY id LIMIT 1";
    tx.query_opt(sql, params![serial, serial.to_lowercase()], |row| row.text(0))
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
               system_uuid = $7, machine_id = $8, bmc_mac = $9, allocation = $10, reservation = $11, server_type = $12, \
               flags = $13, alerts = $14, inventory = $15, successor_of = $16, since = $18, allocated_at = $19, asset = $20, \
               bmc = $21, erased = $22, subscription = $23, generation = generation + 1 \
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
        &machine.server_type,
        &machine.flags,
        &machine.alerts,
        &machine.inventory,
        &machine.successor_of,
        machine.generation,
        machine.since,
        machine.allocated_at,
        document(&machine.asset),
        document(&machine.bmc),
        &machine.erased,
        &machine.subscription,
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

/// Names of the servers that machines are enrolled as, by the machine's id: of those with an id behind `after`, up to `last`.
pub fn server_names(tx: &mut Tx, after: &str, last: &str) -> Result<Vec<(String, String)>> {
    let sql = "SELECT machine_id, name FROM servers WHERE machine_id > $1 AND machine_id <= $2";
    tx.query(sql, params![after, last], |row| Ok((row.text(0)?, row.text(1)?)))
}

/// Id and lifecycle state of every machine, one after another.
pub fn for_each_lifecycle(tx: &mut Tx, mut visit: impl FnMut(&str, &str)) -> Result<()> {
    tx.for_each("SELECT id, lifecycle FROM machines ORDER BY id", &[], |row| {
        visit(row.str(0)?, row.str(1)?);
        Ok(())
    })
}

/// How many machines there are in each lifecycle state.
pub fn count(tx: &mut Tx) -> Result<Vec<(String, i64)>> {
    let sql = "SELECT lifecycle, COUNT(*) FROM machines GROUP BY lifecycle ORDER BY lifecycle";
    tx.query(sql, params![], |row| Ok((row.text(0)?, row.int(1)?)))
}

/// The password of its BMC.
pub fn bmc_password(tx: &mut Tx, id: &str) -> Result<Option<Secret>> {
    let sealed = tx.query_opt("SELECT bmc_password FROM machines WHERE id = $1", params![id], |row| row.opt_text(0))?;
    sealed.flatten().map(|sealed| tx.unseal(Place::MachineBmcPassword, &[id], &sealed)).transpose()
}

/// Stores the password of its BMC, or erases it.
pub fn set_bmc_password(tx: &mut Tx, id: &str, password: Option<&Secret>) -> Result<()> {
    let sealed = password.map(|password| tx.seal(Place::MachineBmcPassword, &[id], password)).transpose()?;
    found(tx.execute("UPDATE machines SET bmc_password = $2 WHERE id = $1", params![id, sealed])?)
}
