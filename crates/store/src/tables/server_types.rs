//! Server types: classes of hardware, each with the fingerprints that make a machine one of it (lifecycle.md 2).

use crate::db::{Row, Tx};
use crate::error::Result;
use crate::params;
use crate::tables::{Conditions, found, stale_or_missing};

/// A server type.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ServerType {
    /// UUID of version 7, the primary key.
    pub id: String,
    /// Unique name for people.
    pub label: String,
    /// What people write about it.
    pub description: String,
    /// What its machines have in common, as JSON.
    pub specification: String,
    /// Microseconds since 1970.
    pub created_at: i64,
    /// Counts its changes; not read by [`insert`].
    pub generation: i64,
}

const COLUMNS: &str = "id, label, description, specification, created_at, generation";

fn from_row(row: &Row) -> Result<ServerType> {
    Ok(ServerType {
        id: row.text(0)?,
        label: row.text(1)?,
        description: row.text(2)?,
        specification: row.text(3)?,
        created_at: row.int(4)?,
        generation: row.int(5)?,
    })
}

/// Adds a type, in generation 1. A unique violation when its label is taken.
pub fn insert(tx: &mut Tx, kind: &ServerType) -> Result<()> {
    let sql = format!("INSERT INTO server_types ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, 1)");
    let ServerType { id, label, description, specification, created_at, .. } = kind;
    tx.execute(&sql, params![id, label, description, specification, *created_at]).map(drop)
}

/// One type.
pub fn get(tx: &mut Tx, id: &str) -> Result<Option<ServerType>> {
    tx.query_opt(&format!("SELECT {COLUMNS} FROM server_types WHERE id = $1"), params![id], from_row)
}

/// The type with this label.
pub fn get_by_label(tx: &mut Tx, label: &str) -> Result<Option<ServerType>> {
    tx.query_opt(&format!("SELECT {COLUMNS} FROM server_types WHERE label = $1"), params![label], from_row)
}

/// The type that a fingerprint belongs to.
pub fn find(tx: &mut Tx, fingerprint: &str) -> Result<Option<ServerType>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM server_types WHERE id = \
         (SELECT type_id FROM server_type_fingerprints WHERE fingerprint = $1)"
    );
    tx.query_opt(&sql, params![fingerprint], from_row)
}

/// Types by id, behind `after`, at most `limit`.
pub fn list(tx: &mut Tx, after: Option<&str>, limit: i64) -> Result<Vec<ServerType>> {
    let mut wanted = Conditions::new();
    wanted.and("id >", after);
    let limit = wanted.value(limit);
    let sql = format!("SELECT {COLUMNS} FROM server_types WHERE {} ORDER BY id LIMIT ${limit}", wanted.sql);
    tx.query(&sql, &wanted.values, from_row)
}

/// Writes label and description, if nobody has changed the type since it was read (`kind.generation`). Answers the new
/// generation. A unique violation when the label is taken.
pub fn update(tx: &mut Tx, kind: &ServerType) -> Result<i64> {
    let sql = "UPDATE server_types SET label = $2, description = $3, generation = generation + 1 \
               WHERE id = $1 AND generation = $4 RETURNING generation";
    let values = params![&kind.id, &kind.label, &kind.description, kind.generation];
    match tx.query_opt(sql, values, |row| row.int(0))? {
        Some(generation) => Ok(generation),
        None => Err(stale_or_missing(get(tx, &kind.id)?.is_some())),
    }
}

/// Lets a fingerprint belong to a type. A unique violation when it belongs to one already.
pub fn add_fingerprint(tx: &mut Tx, id: &str, fingerprint: &str, version: i64) -> Result<()> {
    let sql = "INSERT INTO server_type_fingerprints (fingerprint, version, type_id) VALUES ($1, $2, $3)";
    tx.execute(sql, params![fingerprint, version, id]).map(drop)
}

/// The fingerprints of a type, in order.
pub fn fingerprints(tx: &mut Tx, id: &str) -> Result<Vec<String>> {
    let sql = "SELECT fingerprint FROM server_type_fingerprints WHERE type_id = $1 ORDER BY fingerprint";
    tx.query(sql, params![id], |row| row.text(0))
}

/// Moves everything that belongs to type `from` to type `into`, and removes `from`. Answers how many machines moved.
pub fn merge(tx: &mut Tx, from: &str, into: &str) -> Result<u64> {
    tx.execute("UPDATE server_type_fingerprints SET type_id = $2 WHERE type_id = $1", params![from, into])?;
    tx.execute(
        "UPDATE subscriptions SET type_id = $2, generation = generation + 1 WHERE type_id = $1",
        params![from, into],
    )?;
    let sql = "UPDATE machines SET server_type = $2, generation = generation + 1 WHERE server_type = $1";
    let moved = tx.execute(sql, params![from, into])?;
    found(tx.execute("DELETE FROM server_types WHERE id = $1", params![from])?)?;
    Ok(moved)
}

/// Removes a type and its fingerprints. A foreign key violation while a subscription is for it.
pub fn delete(tx: &mut Tx, id: &str) -> Result<()> {
    tx.execute("DELETE FROM server_type_fingerprints WHERE type_id = $1", params![id])?;
    found(tx.execute("DELETE FROM server_types WHERE id = $1", params![id])?)
}

/// How many machines of each type there are in each lifecycle state: of one type, or of all. Machines of no type are left out.
pub fn count(tx: &mut Tx, id: Option<&str>) -> Result<Vec<(String, String, i64)>> {
    let mut wanted = Conditions::new();
    wanted.and("server_type =", id);
    wanted.and_sql("server_type <> ''");
    let sql = format!(
        "SELECT server_type, lifecycle, COUNT(*) FROM machines WHERE {} GROUP BY server_type, lifecycle \
         ORDER BY server_type, lifecycle",
        wanted.sql
    );
    tx.query(&sql, &wanted.values, |row| Ok((row.text(0)?, row.text(1)?, row.int(2)?)))
}

/// How many subscriptions there are for a type.
pub fn subscriptions(tx: &mut Tx, id: &str) -> Result<i64> {
    tx.query_one("SELECT COUNT(*) FROM subscriptions WHERE type_id = $1", params![id], |row| row.int(0))
}
