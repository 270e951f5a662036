//! Leases: which process does what only one may do. A lease that is not renewed in time goes to whoever asks.

use crate::db::Tx;
use crate::error::Result;
use crate::params;

/// Takes or renews a lease until `until` (microseconds since 1970); answers whether `owner` holds it now.
pub fn acquire(tx: &mut Tx, name: &str, owner: &str, now_us: i64, until: i64) -> Result<bool> {
    let sql = "INSERT INTO leases (name, owner, until) VALUES ($1, $2, $4) \
               ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, until = excluded.until \
               WHERE leases.owner = excluded.owner OR leases.until <= $3";
    Ok(tx.execute(sql, params![name, owner, now_us, until])? == 1)
}

/// Gives a lease back; nothing happens when `owner` does not hold it.
pub fn release(tx: &mut Tx, name: &str, owner: &str) -> Result<()> {
    tx.execute("DELETE FROM leases WHERE name = $1 AND owner = $2", params![name, owner])?;
    Ok(())
}

/// Who holds a lease, and until when; expired ones included.
pub fn holder(tx: &mut Tx, name: &str) -> Result<Option<(String, i64)>> {
    tx.query_opt("SELECT owner, until FROM leases WHERE name = $1", params![name], |row| {
        Ok((row.text(0)?, row.int(1)?))
    })
}
