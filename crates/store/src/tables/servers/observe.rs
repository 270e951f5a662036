//! What polling needs and finds out.

use super::Filter;
use crate::db::{Row, Tx};
use crate::error::{Result, StoreError};
use crate::params;
use crate::places::Place;
use crate::seal::Secret;

/// What is asked of all servers again and again: an index holds all of it, so the large documents are not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerKey {
    /// UUID.
    pub id: String,
    /// Its machine.
    pub machine_id: String,
    /// Its name.
    pub name: String,
    /// What it serves.
    pub server_type: String,
    /// Its state.
    pub status: String,
    /// More about the state.
    pub status_detail: String,
    /// Microseconds since 1970, 0 for never.
    pub last_status_updated: i64,
    /// Polls that failed in a row.
    pub failures: i64,
}

/// The columns of the index `servers_keys`.
const KEY_COLUMNS: &str = "id, machine_id, name, server_type, status, status_detail, last_status_updated, failures";

fn key_from_row(row: &Row) -> Result<ServerKey> {
    Ok(ServerKey {
        id: row.text(0)?,
        machine_id: row.text(1)?,
        name: row.text(2)?,
        server_type: row.text(3)?,
        status: row.text(4)?,
        status_detail: row.text(5)?,
        last_status_updated: row.int(6)?,
        failures: row.int(7)?,
    })
}

/// Servers by name, at most `limit`, as the poller needs them.
pub fn keys(tx: &mut Tx, filter: &Filter, limit: i64) -> Result<Vec<ServerKey>> {
    let mut wanted = filter.conditions();
    let limit = wanted.value(limit);
    let sql = format!("SELECT {KEY_COLUMNS} FROM servers WHERE {} ORDER BY name LIMIT ${limit}", wanted.sql);
    tx.query(&sql, &wanted.values, key_from_row)
}

/// What a poll or a report of the server itself has found out. `None` leaves what is stored, except where noted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Observation {
    /// The new state.
    pub status: String,
    /// More about it.
    pub status_detail: String,
    /// When the state was last set (microseconds since 1970).
    pub last_status_updated: Option<i64>,
    /// When the server was last seen (microseconds since 1970).
    pub last_seen: Option<i64>,
    /// When the row last changed (microseconds since 1970).
    pub last_updated: Option<i64>,
    /// When it started (microseconds since 1970).
    pub boot_at: Option<i64>,
    /// Polls that failed in a row, this one included.
    pub failures: i64,
    /// Why it failed; written as it is, `None` clears it.
    pub failure_reason: Option<String>,
    /// What it serves.
    pub server_type: Option<String>,
    /// Where we reach it.
    pub connection_url: Option<String>,
    /// Hardware, as JSON.
    pub hardware_data: Option<String>,
    /// OS configuration, as JSON, recovery keys masked.
    pub os_data: Option<String>,
    /// What is masked in `os_data`.
    pub os_secrets: Option<Secret>,
    /// Versions, as JSON.
    pub version_data: Option<String>,
    /// What its BMC reports, as JSON.
    pub bmc_data: Option<String>,
}

/// Writes an observation, if `expected` is still the stored `observed`: what was found out by looking at an older state of
/// the row must not undo a newer one. Answers the new counter.
pub fn update_observation(tx: &mut Tx, id: &str, expected: i64, observation: &Observation) -> Result<i64> {
    let secrets = &observation.os_secrets;
    let sealed = secrets.as_ref().map(|secret| tx.seal(Place::OsSecrets, &[id], secret)).transpose()?;
    let sql = "UPDATE servers SET status = $2, status_detail = $3, \
               last_status_updated = COALESCE($4, last_status_updated), last_seen = COALESCE($5, last_seen), \
               last_updated = COALESCE($6, last_updated), boot_at = COALESCE($7, boot_at), failures = $8, \
               failure_reason = $9, server_type = COALESCE($10, server_type), \
               connection_url = COALESCE($11, connection_url), hardware_data = COALESCE($12, hardware_data), \
               os_data = COALESCE($13, os_data), os_secrets = COALESCE($14, os_secrets), \
               version_data = COALESCE($15, version_data), bmc_data = COALESCE($16, bmc_data), \
               observed = observed + 1 WHERE id = $1 AND observed = $17 RETURNING observed";
    let values = params![
        id,
        &observation.status,
        &observation.status_detail,
        observation.last_status_updated,
        observation.last_seen,
        observation.last_updated,
        observation.boot_at,
        observation.failures,
        &observation.failure_reason,
        &observation.server_type,
        &observation.connection_url,
        &observation.hardware_data,
        &observation.os_data,
        sealed,
        &observation.version_data,
        &observation.bmc_data,
        expected,
    ];
    if let Some(observed) = tx.query_opt(sql, values, |row| row.int(0))? {
        return Ok(observed);
    }
    let exists = tx.query_opt("SELECT 1 FROM servers WHERE id = $1", params![id], |_| Ok(()))?;
    Err(exists.map_or(StoreError::NotFound, |()| StoreError::Stale))
}

/// The different version documents of all servers, as JSON: what is installed anywhere.
pub fn version_documents(tx: &mut Tx) -> Result<Vec<String>> {
    tx.query("SELECT DISTINCT version_data FROM servers", &[], |row| row.text(0))
}
