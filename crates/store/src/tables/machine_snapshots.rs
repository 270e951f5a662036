//! The hardware of machines as it was seen: one row each time it was another (lifecycle.md 1.6). Rows are only added.

use crate::db::{Row, Tx};
use crate::error::Result;
use crate::params;

/// The hardware of a machine at a time.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Snapshot {
    /// Counts the snapshots of the machine, from 1.
    pub seq: i64,
    /// Microseconds since 1970.
    pub at: i64,
    /// How it was learnt: `registration` or `poll`.
    pub source: String,
    /// The inventory, as JSON.
    pub inventory: String,
    /// What differs from the one before, as JSON.
    pub difference: String,
}

const COLUMNS: &str = "seq, at, source, inventory, difference";

fn from_row(row: &Row) -> Result<Snapshot> {
    Ok(Snapshot {
        seq: row.int(0)?,
        at: row.int(1)?,
        source: row.text(2)?,
        inventory: row.text(3)?,
        difference: row.text(4)?,
    })
}

/// Adds a snapshot behind the others (its `seq` is not read); answers its number.
pub fn append(tx: &mut Tx, machine: &str, snapshot: &Snapshot) -> Result<i64> {
    let sql = format!(
        "INSERT INTO machine_snapshots (machine_id, {COLUMNS}) VALUES ($1, \
         (SELECT COALESCE(MAX(seq), 0) + 1 FROM machine_snapshots WHERE machine_id = $1), $2, $3, $4, $5) RETURNING seq"
    );
    let Snapshot { at, source, inventory, difference, .. } = snapshot;
    tx.query_one(&sql, params![machine, *at, source, inventory, difference], |row| row.int(0))
}

/// The snapshots of a machine before number `before`, newest first, at most `limit`.
pub fn list(tx: &mut Tx, machine: &str, before: i64, limit: i64) -> Result<Vec<Snapshot>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM machine_snapshots WHERE machine_id = $1 AND seq < $2 ORDER BY seq DESC LIMIT $3"
    );
    tx.query(&sql, params![machine, before, limit], from_row)
}

/// The newest snapshot of a machine that was learnt this way.
pub fn newest(tx: &mut Tx, machine: &str, source: &str) -> Result<Option<Snapshot>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM machine_snapshots WHERE machine_id = $1 AND source = $2 ORDER BY seq DESC LIMIT 1"
    );
    tx.query_opt(&sql, params![machine, source], from_row)
}
