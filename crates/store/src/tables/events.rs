//! What happened, in order, for those who watch. Numbers grow in the order of commits: a reader that has seen `n` will
//! never find a new event below `n`, since one transaction writes at a time.

use crate::db::{Row, Tx};
use crate::error::Result;
use crate::params;

/// An event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its number; growing, with gaps.
    pub seq: i64,
    /// Microseconds since 1970.
    pub at: i64,
    /// What kind of thing happened.
    pub kind: String,
    /// What it happened to.
    pub object: String,
    /// JSON, without secrets.
    pub payload: String,
}

fn from_row(row: &Row) -> Result<Event> {
    Ok(Event { seq: row.int(0)?, at: row.int(1)?, kind: row.text(2)?, object: row.text(3)?, payload: row.text(4)? })
}

/// Appends an event; answers its number.
pub fn append(tx: &mut Tx, at: i64, kind: &str, object: &str, payload: &str) -> Result<i64> {
    let sql = "INSERT INTO events (at, kind, object, payload) VALUES ($1, $2, $3, $4) RETURNING seq";
    tx.query_one(sql, params![at, kind, object, payload], |row| row.int(0))
}

/// The events after number `seq`, at most `limit`.
pub fn after(tx: &mut Tx, seq: i64, limit: i64) -> Result<Vec<Event>> {
    let sql = "SELECT seq, at, kind, object, payload FROM events WHERE seq > $1 ORDER BY seq LIMIT $2";
    tx.query(sql, params![seq, limit], from_row)
}

/// Number of the newest event, dropped or not; 0 when there was none.
pub fn last_seq(tx: &mut Tx) -> Result<i64> {
    let last = tx.query_one("SELECT COALESCE(MAX(seq), 0) FROM events", &[], |row| row.int(0))?;
    Ok(floor(tx)?.max(last))
}

/// Number of the newest event that was dropped; 0 while none was. Who has seen less may have missed something.
pub fn floor(tx: &mut Tx) -> Result<i64> {
    tx.query_one("SELECT seq FROM events_floor WHERE name = 'events'", &[], |row| row.int(0))
}

/// Drops events that are older than `before_us` (microseconds since 1970) or not among the newest `keep` numbers, the oldest
/// first and at most `limit` at a time; answers how many went.
pub fn prune(tx: &mut Tx, keep: i64, before_us: i64, limit: i64) -> Result<u64> {
    let last = last_seq(tx)?;
    // Times follow the numbers, as far as the clocks of the daemons agree: the first one that stays ends the search.
    let sql = "SELECT seq, at FROM events ORDER BY seq LIMIT $1";
    let mut up_to = None;
    for (seq, at) in tx.query(sql, params![limit], |row| Ok((row.int(0)?, row.int(1)?)))? {
        if seq > last.saturating_sub(keep) && at >= before_us {
            break;
        }
        up_to = Some(seq);
    }
    let Some(up_to) = up_to else { return Ok(0) };
    tx.execute("UPDATE events_floor SET seq = $1 WHERE name = 'events'", params![up_to])?;
    tx.execute("DELETE FROM events WHERE seq <= $1", params![up_to])
}
