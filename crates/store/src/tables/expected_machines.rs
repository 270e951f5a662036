//! Machines that are expected: what becomes of their record when they show up (lifecycle.md 2, 3.3). Among those that have not
//! been seen each identity is unique.

use crate::db::{Row, Tx};
use crate::error::Result;
use crate::params;
use crate::places::Place;
use crate::seal::Secret;
use crate::tables::{Conditions, found};
use crate::value::Value;

/// A machine that is expected.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Expected {
    /// UUID of version 7, the primary key.
    pub id: String,
    /// SMBIOS system UUID, lower case.
    pub system_uuid: Option<String>,
    /// Serial number, upper case.
    pub serial: Option<String>,
    /// Hardware address of one of its network cards, lower case.
    pub mac: Option<String>,
    /// The label of the type that it should be of, or empty.
    pub server_type: String,
    /// What people know of it, as JSON.
    pub asset: String,
    /// Its BMC without the password, as JSON.
    pub bmc: String,
    /// Who expects it.
    pub author: String,
    /// Microseconds since 1970.
    pub created_at: i64,
    /// The machine that it turned out to be.
    pub machine_id: Option<String>,
    /// When it was seen.
    pub seen_at: Option<i64>,
}

const COLUMNS: &str = "id, system_uuid, serial, mac, server_type, asset, bmc, author, created_at, machine_id, seen_at";

fn from_row(row: &Row) -> Result<Expected> {
    Ok(Expected {
        id: row.text(0)?,
        system_uuid: row.opt_text(1)?,
        serial: row.opt_text(2)?,
        mac: row.opt_text(3)?,
        server_type: row.text(4)?,
        asset: row.text(5)?,
        bmc: row.text(6)?,
        author: row.text(7)?,
        created_at: row.int(8)?,
        machine_id: row.opt_text(9)?,
        seen_at: row.opt_int(10)?,
    })
}

/// Adds a machine that is expected. A unique violation when another one is expected under one of its identities.
pub fn insert(tx: &mut Tx, expected: &Expected, bmc_password: Option<&Secret>) -> Result<()> {
    let id = expected.id.as_str();
    let sealed = bmc_password.map(|secret| tx.seal(Place::ExpectedBmcPassword, &[id], secret)).transpose()?;
    let sql = format!(
        "INSERT INTO expected_machines ({COLUMNS}, bmc_password) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)"
    );
    let values = params![
        id,
        &expected.system_uuid,
        &expected.serial,
        &expected.mac,
        &expected.server_type,
        &expected.asset,
        &expected.bmc,
        &expected.author,
        expected.created_at,
        &expected.machine_id,
        expected.seen_at,
        sealed,
    ];
    tx.execute(&sql, values).map(drop)
}

/// One of them, seen or not.
pub fn get(tx: &mut Tx, id: &str) -> Result<Option<Expected>> {
    tx.query_opt(&format!("SELECT {COLUMNS} FROM expected_machines WHERE id = $1"), params![id], from_row)
}

/// Those behind the id `after`, by id, at most `limit`: all of them, or only those that have been seen or have not.
pub fn list(tx: &mut Tx, seen: Option<bool>, after: Option<&str>, limit: i64) -> Result<Vec<Expected>> {
    let mut wanted = Conditions::new();
    wanted.and("id >", after);
    match seen {
        Some(true) => wanted.and_sql("seen_at IS NOT NULL"),
        Some(false) => wanted.and_sql("seen_at IS NULL"),
        None => {}
    }
    let limit = wanted.value(limit);
    let sql = format!("SELECT {COLUMNS} FROM expected_machines WHERE {} ORDER BY id LIMIT ${limit}", wanted.sql);
    tx.query(&sql, &wanted.values, from_row)
}

/// Those that have not been seen and share an identity with what is known of a machine, the surest first: system UUID, serial
/// number, hardware address.
pub fn find(tx: &mut Tx, system_uuid: Option<&str>, serial: Option<&str>, macs: &[&str]) -> Result<Vec<Expected>> {
    let mut values: Vec<Value> = params![system_uuid, serial].to_vec();
    let mut sql =
        format!("SELECT {COLUMNS} FROM expected_machines WHERE seen_at IS NULL AND (system_uuid = $1 OR serial = $2");
    if !macs.is_empty() {
        values.extend(macs.iter().map(|mac| Value::from(*mac)));
        let numbers: Vec<String> = (3..values.len() + 1).map(|n| format!("${n}")).collect();
        sql.push_str(&format!(" OR mac IN ({})", numbers.join(", ")));
    }
    sql.push_str(") ORDER BY CASE WHEN system_uuid = $1 THEN 0 WHEN serial = $2 THEN 1 ELSE 2 END, id");
    tx.query(&sql, &values, from_row)
}

/// What a machine was expected as: of several, one that names a type, the last one, the surest one.
pub fn of_machine(tx: &mut Tx, machine: &str) -> Result<Option<Expected>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM expected_machines WHERE machine_id = $1 \
         ORDER BY CASE WHEN server_type = '' THEN 1 ELSE 0 END, seen_at DESC, \
         CASE WHEN system_uuid IS NOT NULL THEN 0 WHEN serial IS NOT NULL THEN 1 ELSE 2 END, id LIMIT 1"
    );
    tx.query_opt(&sql, params![machine], from_row)
}

/// It showed up: its password goes with it.
pub fn set_seen(tx: &mut Tx, id: &str, machine: &str, now: i64) -> Result<()> {
    let sql = "UPDATE expected_machines SET machine_id = $2, seen_at = $3, bmc_password = NULL \
               WHERE id = $1 AND seen_at IS NULL";
    found(tx.execute(sql, params![id, machine, now])?)
}

/// The password of its BMC.
pub fn bmc_password(tx: &mut Tx, id: &str) -> Result<Option<Secret>> {
    let sql = "SELECT bmc_password FROM expected_machines WHERE id = $1";
    let sealed = tx.query_opt(sql, params![id], |row| row.opt_text(0))?;
    sealed.flatten().map(|sealed| tx.unseal(Place::ExpectedBmcPassword, &[id], &sealed)).transpose()
}

/// Removes one.
pub fn delete(tx: &mut Tx, id: &str) -> Result<()> {
    found(tx.execute("DELETE FROM expected_machines WHERE id = $1", params![id])?)
}
