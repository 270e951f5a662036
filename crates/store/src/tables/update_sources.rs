//! What was accepted last from each update source (updates-and-system.md 9, last paragraph).

use crate::db::Tx;
use crate::error::Result;
use crate::params;

/// The edition that was accepted last of the index at `url`, as JSON. `root`: SHA-256 of the root certificates.
pub fn edition(tx: &mut Tx, url: &str, root: &str) -> Result<Option<String>> {
    let sql = "SELECT edition FROM update_sources WHERE url = $1 AND root = $2";
    tx.query_opt(sql, params![url, root], |row| row.text(0))
}

/// Remembers what was accepted at `now_us` (microseconds since 1970).
pub fn accept(tx: &mut Tx, url: &str, root: &str, edition: &str, now_us: i64) -> Result<()> {
    let sql = "INSERT INTO update_sources (url, root, edition, accepted_at) VALUES ($1, $2, $3, $4) \
               ON CONFLICT (url, root) DO UPDATE SET edition = excluded.edition, accepted_at = excluded.accepted_at";
    tx.execute(sql, params![url, root, edition, now_us]).map(drop)
}
