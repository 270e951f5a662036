//! Notes on machines: append-only (lifecycle.md 1.6).

use crate::db::{Row, Tx};
use crate::error::Result;
use crate::params;

/// A note.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Note {
    /// Counts the notes of the machine, from 1.
    pub seq: i64,
    /// Microseconds since 1970.
    pub at: i64,
    /// Who wrote it.
    pub author: String,
    /// `note`, `fault`, `repair` or `waiver`.
    pub kind: String,
    /// What it says.
    pub note: String,
}

fn from_row(row: &Row) -> Result<Note> {
    Ok(Note { seq: row.int(0)?, at: row.int(1)?, author: row.text(2)?, kind: row.text(3)?, note: row.text(4)? })
}

/// Adds a note behind the others (its `seq` is not read); answers its number.
pub fn append(tx: &mut Tx, machine: &str, note: &Note) -> Result<i64> {
    let sql = "INSERT INTO machine_notes (machine_id, seq, at, author, kind, note) VALUES ($1, \
               (SELECT COALESCE(MAX(seq), 0) + 1 FROM machine_notes WHERE machine_id = $1), $2, $3, $4, $5) RETURNING seq";
    tx.query_one(sql, params![machine, note.at, &note.author, &note.kind, &note.note], |row| row.int(0))
}

/// The notes of a machine before number `before`, newest first, at most `limit`.
pub fn list(tx: &mut Tx, machine: &str, before: i64, limit: i64) -> Result<Vec<Note>> {
    let sql = "SELECT seq, at, author, kind, note FROM machine_notes WHERE machine_id = $1 AND seq < $2 \
               ORDER BY seq DESC LIMIT $3";
    tx.query(sql, params![machine, before, limit], from_row)
}
