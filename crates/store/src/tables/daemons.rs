//! The processes that work on this database. Each renews its row; one that is not renewed in time is gone.

use crate::db::{Row, Tx};
use crate::error::{Result, StoreError};
use crate::params;

/// A process.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Daemon {
    /// Its own id, new with each start.
    pub id: String,
    /// Name of the host that it runs on.
    pub host: String,
    /// Ids of the site keys that it has at hand.
    pub keys: Vec<String>,
    /// How often it renewed its row; written by [`beat`] only.
    pub beats: i64,
    /// Microseconds since 1970.
    pub started_at: i64,
    /// Until when it counts as there (microseconds since 1970).
    pub until: i64,
}

fn from_row(row: &Row) -> Result<Daemon> {
    Ok(Daemon {
        id: row.text(0)?,
        host: row.text(1)?,
        keys: serde_json::from_str(row.str(2)?).map_err(|error| StoreError::Corrupt(error.to_string()))?,
        beats: row.int(3)?,
        started_at: row.int(4)?,
        until: row.int(5)?,
    })
}

/// Writes or renews the row of a process, and forgets those that were gone before `forget_before_us` (microseconds since
/// 1970).
pub fn beat(tx: &mut Tx, daemon: &Daemon, forget_before_us: i64) -> Result<()> {
    let sql = "INSERT INTO daemons (id, host, keys, beats, started_at, until) VALUES ($1, $2, $3, 1, $4, $5) \
               ON CONFLICT (id) DO UPDATE SET host = excluded.host, keys = excluded.keys, beats = daemons.beats + 1, \
               until = excluded.until";
    let keys = serde_json::json!(daemon.keys).to_string();
    tx.execute(sql, params![&daemon.id, &daemon.host, keys, daemon.started_at, daemon.until])?;
    tx.execute("DELETE FROM daemons WHERE until < $1", params![forget_before_us])?;
    Ok(())
}

/// The processes that are there at `now_us` (microseconds since 1970), the longest running first.
pub fn present(tx: &mut Tx, now_us: i64) -> Result<Vec<Daemon>> {
    let sql = "SELECT id, host, keys, beats, started_at, until FROM daemons WHERE until > $1 ORDER BY started_at, id";
    tx.query(sql, params![now_us], from_row)
}

/// Takes a process out that stops.
pub fn leave(tx: &mut Tx, id: &str) -> Result<()> {
    tx.execute("DELETE FROM daemons WHERE id = $1", params![id])?;
    Ok(())
}
