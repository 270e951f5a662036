//! Health alerts of machines, by who reports them (lifecycle.md 3.3).

use crate::db::{Row, Tx};
use crate::error::Result;
use crate::params;

/// An alert.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Alert {
    /// What reports it.
    pub source: String,
    /// What is wrong, unique for its source and machine.
    pub name: String,
    /// What it forbids, as JSON.
    pub classes: String,
    /// The same in words.
    pub message: String,
    /// Who reported it.
    pub author: String,
    /// Since when it is reported: microseconds since 1970.
    pub at: i64,
    /// When it ends by itself.
    pub expires_at: Option<i64>,
    /// Who answers for it that it does not count, as JSON.
    pub overridden: Option<String>,
    /// When time alone changes whether it counts.
    pub due_at: Option<i64>,
}

const COLUMNS: &str = "source, name, classes, message, author, at, expires_at, overridden, due_at";

fn from_row(row: &Row) -> Result<Alert> {
    Ok(Alert {
        source: row.text(0)?,
        name: row.text(1)?,
        classes: row.text(2)?,
        message: row.text(3)?,
        author: row.text(4)?,
        at: row.int(5)?,
        expires_at: row.opt_int(6)?,
        overridden: row.opt_text(7)?,
        due_at: row.opt_int(8)?,
    })
}

/// The alerts of a machine, by source and name.
pub fn list(tx: &mut Tx, machine: &str) -> Result<Vec<Alert>> {
    let sql = format!("SELECT {COLUMNS} FROM machine_alerts WHERE machine_id = $1 ORDER BY source, name");
    tx.query(&sql, params![machine], from_row)
}

/// Writes an alert, in place of the one of the same source and name.
pub fn put(tx: &mut Tx, machine: &str, alert: &Alert) -> Result<()> {
    let sql = format!(
        "INSERT INTO machine_alerts (machine_id, {COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) \
         ON CONFLICT (machine_id, source, name) DO UPDATE SET classes = excluded.classes, message = excluded.message, \
         author = excluded.author, at = excluded.at, expires_at = excluded.expires_at, \
         overridden = excluded.overridden, due_at = excluded.due_at"
    );
    let values = params![
        machine,
        &alert.source,
        &alert.name,
        &alert.classes,
        &alert.message,
        &alert.author,
        alert.at,
        alert.expires_at,
        &alert.overridden,
        alert.due_at,
    ];
    tx.execute(&sql, values).map(drop)
}

/// Removes an alert, if there is one.
pub fn remove(tx: &mut Tx, machine: &str, source: &str, name: &str) -> Result<()> {
    let sql = "DELETE FROM machine_alerts WHERE machine_id = $1 AND source = $2 AND name = $3";
    tx.execute(sql, params![machine, source, name]).map(drop)
}

/// Machines for which time has changed an alert since it was written, at most `limit`.
pub fn due(tx: &mut Tx, now: i64, limit: i64) -> Result<Vec<String>> {
    let sql = "SELECT DISTINCT machine_id FROM machine_alerts WHERE due_at <= $1 ORDER BY machine_id LIMIT $2";
    tx.query(sql, params![now, limit], |row| row.text(0))
}

/// Machines of a type that have an alert of this source and name.
pub fn of_type(tx: &mut Tx, source: &str, name: &str, server_type: &str) -> Result<Vec<String>> {
    let sql = "SELECT a.machine_id FROM machine_alerts a JOIN machines m ON m.id = a.machine_id \
               WHERE a.source = $1 AND a.name = $2 AND m.server_type = $3 ORDER BY a.machine_id";
    tx.query(sql, params![source, name, server_type], |row| row.text(0))
}
