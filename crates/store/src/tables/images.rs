//! Images that were asked for, until they are fetched (servers.md 4).

use crate::db::{Row, Tx};
use crate::error::Result;
use crate::params;
use crate::places::Place;
use crate::seal::Secret;
use crate::tables::found;

/// An image that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PreparedImage {
    /// UUID, the primary key.
    pub id: String,
    /// The token that it is for.
    pub token: String,
    /// `iso` or `raw`.
    pub kind: String,
    /// Processor architecture; may be empty.
    pub architecture: String,
    /// SHA-256 of the stored image that its first answer was made of; none before.
    pub source: Option<String>,
    /// Until when it can be fetched, in microseconds since 1970.
    pub until: i64,
    /// Whether it was fetched to its end.
    pub sent: bool,
}

const COLUMNS: &str = "id, token, kind, architecture, source, until, sent";

fn from_row(row: &Row) -> Result<PreparedImage> {
    Ok(PreparedImage {
        id: row.text(0)?,
        token: row.text(1)?,
        kind: row.text(2)?,
        architecture: row.text(3)?,
        source: row.opt_text(4)?,
        until: row.int(5)?,
        sent: row.bool(6)?,
    })
}

/// One image with its seeds (JSON), which may hold passwords and keys.
pub fn get(tx: &mut Tx, id: &str) -> Result<Option<(PreparedImage, Secret)>> {
    let sql = format!("SELECT {COLUMNS}, seeds FROM prepared_images WHERE id = $1");
    let Some((image, sealed)) = tx.query_opt(&sql, params![id], |row| Ok((from_row(row)?, row.text(7)?)))? else {
        return Ok(None);
    };
    let seeds = tx.unseal(Place::PreparedImageSeeds, &[id], &sealed)?;
    Ok(Some((image, seeds)))
}

/// Adds an image.
pub fn insert(tx: &mut Tx, image: &PreparedImage, seeds: &Secret) -> Result<()> {
    let sealed = tx.seal(Place::PreparedImageSeeds, &[&image.id], seeds)?;
    tx.execute(
        &format!("INSERT INTO prepared_images ({COLUMNS}, seeds) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"),
        params![
            &image.id,
            &image.token,
            &image.kind,
            &image.architecture,
            image.source.as_deref(),
            image.until,
            image.sent,
            sealed,
        ],
    )?;
    Ok(())
}

/// Records that an image is being answered, made of this stored image: it can be fetched until then, or longer.
pub fn answered(tx: &mut Tx, id: &str, source: &str, until: i64) -> Result<()> {
    let sql =
        "UPDATE prepared_images SET source = $2, until = CASE WHEN until > $3 THEN until ELSE $3 END WHERE id = $1";
    found(tx.execute(sql, params![id, source, until])?)
}

/// Records that an image was fetched to its end.
pub fn sent(tx: &mut Tx, id: &str) -> Result<()> {
    found(tx.execute("UPDATE prepared_images SET sent = TRUE WHERE id = $1", params![id])?)
}

/// SHA-256 of the stored images that unfinished downloads are made of.
pub fn sources(tx: &mut Tx, now_us: i64) -> Result<Vec<String>> {
    let sql = "SELECT DISTINCT source FROM prepared_images WHERE source IS NOT NULL AND NOT sent AND until >= $1";
    tx.query(sql, params![now_us], |row| row.text(0))
}

/// Removes images whose time is over, and all but the newest `keep` of the others; answers how many.
pub fn prune(tx: &mut Tx, now_us: i64, keep: i64) -> Result<u64> {
    let over = tx.execute("DELETE FROM prepared_images WHERE until < $1", params![now_us])?;
    let sql = "DELETE FROM prepared_images WHERE id NOT IN \
               (SELECT id FROM prepared_images ORDER BY until DESC, id LIMIT $1)";
    Ok(over + tx.execute(sql, params![keep])?)
}
