//! Update channels (updates-and-system.md 16). `stable` exists from the start.

use crate::db::{Row, Tx};
use crate::error::Result;
use crate::params;
use crate::tables::{Conditions, found, updates};

/// An update channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Channel {
    /// Its name, the primary key.
    pub name: String,
    /// Free text.
    pub description: String,
    /// Microseconds since 1970; 0 for the seeded row that nobody has touched.
    pub last_updated: i64,
}

const COLUMNS: &str = "name, description, last_updated";

fn from_row(row: &Row) -> Result<Channel> {
    Ok(Channel { name: row.text(0)?, description: row.text(1)?, last_updated: row.int(2)? })
}

/// Channels behind `after`, by name, at most `limit`.
pub fn list(tx: &mut Tx, after: Option<&str>, limit: i64) -> Result<Vec<Channel>> {
    let mut wanted = Conditions::new();
    wanted.and("name >", after);
    let limit = wanted.value(limit);
    let sql = format!("SELECT {COLUMNS} FROM channels WHERE {} ORDER BY name LIMIT ${limit}", wanted.sql);
    tx.query(&sql, &wanted.values, from_row)
}

/// One channel.
pub fn get(tx: &mut Tx, name: &str) -> Result<Option<Channel>> {
    tx.query_opt(&format!("SELECT {COLUMNS} FROM channels WHERE name = $1"), params![name], from_row)
}

/// Adds a channel.
pub fn insert(tx: &mut Tx, channel: &Channel) -> Result<()> {
    tx.execute(
        &format!("INSERT INTO channels ({COLUMNS}) VALUES ($1, $2, $3)"),
        params![&channel.name, &channel.description, channel.last_updated],
    )?;
    Ok(())
}

/// Replaces the description.
pub fn update_description(tx: &mut Tx, name: &str, description: &str, now_us: i64) -> Result<()> {
    let sql = "UPDATE channels SET description = $2, last_updated = $3 WHERE name = $1";
    found(tx.execute(sql, params![name, description, now_us])?)
}

/// Deletes a channel. A foreign key violation where servers or tokens use it; its updates are merely taken out of it.
pub fn delete(tx: &mut Tx, name: &str) -> Result<()> {
    found(tx.execute("DELETE FROM channels WHERE name = $1", params![name])?)?;
    updates::count_change(tx)
}
