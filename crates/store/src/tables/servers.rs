//! Enrolments: the OS installed on a machine, which upstream calls a server (servers.md 2.1).
//!
//! Two counters guard two kinds of writers: `generation` what an operator sets, `observed` what polling finds out. Neither
//! makes the other's writes fail.

mod observe;

pub use observe::{Observation, ServerKey, keys, update_observation, version_documents};

use crate::db::{Row, Tx};
use crate::error::{Result, StoreError};
use crate::params;
use crate::places::Place;
use crate::seal::Secret;
use crate::tables::{Conditions, found, stale_or_missing};

/// A server, without its secrets.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Server {
    /// UUID, the primary key.
    pub id: String,
    /// The machine that it runs on; one enrolment a machine.
    pub machine_id: String,
    /// Its name, unique.
    pub name: String,
    /// What it serves: `incus`, `operations-center` …
    pub server_type: String,
    /// Where we reach it.
    pub connection_url: String,
    /// Where users reach it.
    pub public_connection_url: String,
    /// Its certificate as PEM; together with the fingerprint.
    pub certificate: Option<String>,
    /// SHA-256 of the certificate in hex, unique.
    pub fingerprint: Option<String>,
    /// The cluster that it is a member of.
    pub cluster: Option<String>,
    /// Its update channel.
    pub channel: String,
    /// Free text.
    pub description: String,
    /// The operator's properties, as JSON.
    pub properties: Option<String>,
    /// How to reach its BMC, as JSON, without the password.
    pub bmc: String,
    /// SMBIOS system UUID, unique.
    pub system_uuid: Option<String>,
    /// The OS' machine-id, unique.
    pub machine_key: Option<String>,
    /// Its state (servers.md 8.1).
    pub status: String,
    /// More about the state.
    pub status_detail: String,
    /// Hardware, as JSON.
    pub hardware_data: String,
    /// OS configuration, as JSON, recovery keys masked.
    pub os_data: String,
    /// Versions, as JSON.
    pub version_data: String,
    /// What its BMC reports, as JSON.
    pub bmc_data: String,
    /// Microseconds since 1970, 0 for never.
    pub last_updated: i64,
    /// Microseconds since 1970, 0 for never.
    pub last_seen: i64,
    /// Microseconds since 1970, 0 for never.
    pub last_status_updated: i64,
    /// When it started (microseconds since 1970), if known.
    pub boot_at: Option<i64>,
    /// Polls that failed in a row.
    pub failures: i64,
    /// Why the last one failed.
    pub failure_reason: Option<String>,
    /// Whether the token that it registered with accepts what is on its disks.
    pub accepts_data: bool,
    /// Counts changes of the configuration; not read by [`insert`].
    pub generation: i64,
    /// Counts observations; not read by [`insert`].
    pub observed: i64,
}

const COLUMNS: &str = "id, machine_id, name, server_type, connection_url, public_connection_url, certificate, \
                       fingerprint, cluster, channel, description, properties, bmc, system_uuid, machine_key, status, \
                       status_detail, hardware_data, os_data, version_data, bmc_data, last_updated, last_seen, \
                       last_status_updated, boot_at, failures, failure_reason, accepts_data, generation, observed";

fn from_row(row: &Row) -> Result<Server> {
    Ok(Server {
        id: row.text(0)?,
        machine_id: row.text(1)?,
        name: row.text(2)?,
        server_type: row.text(3)?,
        connection_url: row.text(4)?,
        public_connection_url: row.text(5)?,
        certificate: row.opt_text(6)?,
        fingerprint: row.opt_text(7)?,
        cluster: row.opt_text(8)?,
        channel: row.text(9)?,
        description: row.text(10)?,
        properties: row.opt_text(11)?,
        bmc: row.text(12)?,
        system_uuid: row.opt_text(13)?,
        machine_key: row.opt_text(14)?,
        status: row.text(15)?,
        status_detail: row.text(16)?,
        hardware_data: row.text(17)?,
        os_data: row.text(18)?,
        version_data: row.text(19)?,
        bmc_data: row.text(20)?,
        last_updated: row.int(21)?,
        last_seen: row.int(22)?,
        last_status_updated: row.int(23)?,
        boot_at: row.opt_int(24)?,
        failures: row.int(25)?,
        failure_reason: row.opt_text(26)?,
        accepts_data: row.bool(27)?,
        generation: row.int(28)?,
        observed: row.int(29)?,
    })
}

/// Adds a server without secrets, in generation 1.
pub fn insert(tx: &mut Tx, server: &Server) -> Result<()> {
    let sql = format!(
        "INSERT INTO servers ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, \
         $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27, $28, 1, 0)"
    );
    let values = params![
        &server.id,
        &server.machine_id,
        &server.name,
        &server.server_type,
        &server.connection_url,
        &server.public_connection_url,
        &server.certificate,
        &server.fingerprint,
        &server.cluster,
        &server.channel,
        &server.description,
        &server.properties,
        &server.bmc,
        &server.system_uuid,
        &server.machine_key,
        &server.status,
        &server.status_detail,
        &server.hardware_data,
        &server.os_data,
        &server.version_data,
        &server.bmc_data,
        server.last_updated,
        server.last_seen,
        server.last_status_updated,
        server.boot_at,
        server.failures,
        &server.failure_reason,
        server.accepts_data,
    ];
    tx.execute(&sql, values)?;
    Ok(())
}

fn get_by(tx: &mut Tx, column: &str, value: &str) -> Result<Option<Server>> {
    tx.query_opt(&format!("SELECT {COLUMNS} FROM servers WHERE {column} = $1"), params![value], from_row)
}

/// One server by its id.
pub fn get_by_id(tx: &mut Tx, id: &str) -> Result<Option<Server>> {
    get_by(tx, "id", id)
}

/// One server by its name.
pub fn get_by_name(tx: &mut Tx, name: &str) -> Result<Option<Server>> {
    get_by(tx, "name", name)
}

/// The server that owns a certificate, by the certificate's fingerprint (SHA-256 in hex).
pub fn get_by_certificate(tx: &mut Tx, fingerprint: &str) -> Result<Option<Server>> {
    get_by(tx, "fingerprint", fingerprint)
}

/// The server on a machine.
pub fn get_by_machine(tx: &mut Tx, machine_id: &str) -> Result<Option<Server>> {
    get_by(tx, "machine_id", machine_id)
}

/// The servers that share a part of an identity; two when it is contradictory.
pub fn find_by_identity(tx: &mut Tx, system_uuid: Option<&str>, machine_key: Option<&str>) -> Result<Vec<Server>> {
    let sql = format!("SELECT {COLUMNS} FROM servers WHERE system_uuid = $1 OR machine_key = $2 ORDER BY id");
    tx.query(&sql, params![system_uuid, machine_key], from_row)
}

/// Which servers to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only servers in this state.
    pub status: Option<String>,
    /// Only members of this cluster.
    pub cluster: Option<String>,
    /// Only servers whose name is behind this one.
    pub after: Option<String>,
}

impl Filter {
    fn conditions(&self) -> Conditions {
        let mut wanted = Conditions::new();
        wanted.and("status =", self.status.as_deref());
        wanted.and("cluster =", self.cluster.as_deref());
        wanted.and("name >", self.after.as_deref());
        wanted
    }
}

/// Servers by name, at most `limit`.
pub fn list(tx: &mut Tx, filter: &Filter, limit: i64) -> Result<Vec<Server>> {
    let mut servers = Vec::new();
    for_each(tx, filter, limit, |server| {
        servers.push(server);
        Ok(())
    })?;
    Ok(servers)
}

/// [`list`] without keeping the rows.
pub fn for_each(tx: &mut Tx, filter: &Filter, limit: i64, mut each: impl FnMut(Server) -> Result<()>) -> Result<()> {
    let mut wanted = filter.conditions();
    let limit = wanted.value(limit);
    let sql = format!("SELECT {COLUMNS} FROM servers WHERE {} ORDER BY name LIMIT ${limit}", wanted.sql);
    tx.for_each(&sql, &wanted.values, |row| each(from_row(row)?))
}

/// Writes what an operator sets (URLs, certificate, cluster, channel, description, properties, BMC access, identity), if
/// `server.generation` is still the stored one. Answers the new generation.
pub fn update(tx: &mut Tx, server: &Server) -> Result<i64> {
    let sql = "UPDATE servers SET connection_url = $2, public_connection_url = $3, certificate = $4, fingerprint = $5, \
               cluster = $6, channel = $7, description = $8, properties = $9, bmc = $10, system_uuid = $11, \
               machine_key = $12, last_updated = $13, accepts_data = $14, generation = generation + 1 \
               WHERE id = $1 AND generation = $15 RETURNING generation";
    let values = params![
        &server.id,
        &server.connection_url,
        &server.public_connection_url,
        &server.certificate,
        &server.fingerprint,
        &server.cluster,
        &server.channel,
        &server.description,
        &server.properties,
        &server.bmc,
        &server.system_uuid,
        &server.machine_key,
        server.last_updated,
        server.accepts_data,
        server.generation,
    ];
    match tx.query_opt(sql, values, |row| row.int(0))? {
        Some(generation) => Ok(generation),
        None => Err(stale_or_missing(get_by_id(tx, &server.id)?.is_some())),
    }
}

/// Gives a server another name; with `expected` only if that is its generation. Answers the new generation.
pub fn rename(tx: &mut Tx, name: &str, new: &str, expected: Option<i64>, now_us: i64) -> Result<i64> {
    let sql = "UPDATE servers SET name = $2, last_updated = $3, generation = generation + 1 \
               WHERE name = $1 AND generation = COALESCE($4, generation) RETURNING generation";
    match tx.query_opt(sql, params![name, new, now_us, expected], |row| row.int(0))? {
        Some(generation) => Ok(generation),
        None => Err(stale_or_missing(get_by_name(tx, name)?.is_some())),
    }
}

/// Deletes a server with its secrets; its machine stays.
pub fn delete(tx: &mut Tx, id: &str) -> Result<()> {
    found(tx.execute("DELETE FROM servers WHERE id = $1", params![id])?)
}

/// What a server row keeps sealed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Secrets {
    /// Password of the BMC.
    pub bmc_password: Option<Secret>,
    /// What is masked in `os_data` (recovery keys), as JSON.
    pub os_secrets: Option<Secret>,
}

/// Opens the secrets of a server. For every reading on a user's behalf the caller owes an audit entry.
pub fn secrets(tx: &mut Tx, id: &str) -> Result<Secrets> {
    let sql = "SELECT bmc_password, os_secrets FROM servers WHERE id = $1";
    let sealed = tx.query_opt(sql, params![id], |row| Ok((row.opt_text(0)?, row.opt_text(1)?)))?;
    let (bmc_password, os_secrets) = sealed.ok_or(StoreError::NotFound)?;
    Ok(Secrets {
        bmc_password: bmc_password.map(|sealed| tx.unseal(Place::BmcPassword, &[id], &sealed)).transpose()?,
        os_secrets: os_secrets.map(|sealed| tx.unseal(Place::OsSecrets, &[id], &sealed)).transpose()?,
    })
}

/// Replaces the password of the BMC. Goes with an [`update`] in the same transaction, which holds the guard.
pub fn set_bmc_password(tx: &mut Tx, id: &str, password: Option<&Secret>) -> Result<()> {
    let sealed = password.map(|secret| tx.seal(Place::BmcPassword, &[id], secret)).transpose()?;
    found(tx.execute("UPDATE servers SET bmc_password = $2 WHERE id = $1", params![id, sealed])?)
}
