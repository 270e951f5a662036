//! Updates and the channels that offer them (updates-and-system.md 10, 16).

use std::collections::HashMap;

use crate::db::{Row, Tx};
use crate::error::{Result, StoreError};
use crate::params;
use crate::tables::{Conditions, found};

mod document;
mod membership;
mod withdrawal;
pub use document::{document, has_document, put_document};
pub use membership::{Member, enter, members, offered_by, set_channels};
pub use withdrawal::{Withdrawal, restore, withdraw, withdrawal, withdrawals, withdrawn};

/// An update.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Update {
    /// UUID, the primary key.
    pub uuid: String,
    /// Who published it.
    pub origin: String,
    /// Its version; later ones sort behind earlier ones.
    pub version: String,
    /// When it was published, as the source wrote it.
    pub published_at: String,
    /// How urgent it is.
    pub severity: String,
    /// The channels of the source that offer it, as a JSON list.
    pub upstream_channels: String,
    /// Its files as a JSON list.
    pub files: String,
    /// Where its files come from.
    pub url: String,
    /// Its state.
    pub status: String,
    /// Microseconds since 1970.
    pub last_updated: i64,
    /// Names of our channels that offer it; written by [`set_channels`] only.
    pub channels: Vec<String>,
}

const COLUMNS: &str =
    "uuid, origin, version, published_at, severity, upstream_channels, files, url, status, last_updated";

fn from_row(row: &Row) -> Result<Update> {
    Ok(Update {
        uuid: row.text(0)?,
        origin: row.text(1)?,
        version: row.text(2)?,
        published_at: row.text(3)?,
        severity: row.text(4)?,
        upstream_channels: row.text(5)?,
        files: row.text(6)?,
        url: row.text(7)?,
        status: row.text(8)?,
        last_updated: row.int(9)?,
        channels: Vec::new(),
    })
}

/// Which updates to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only updates that this channel offers.
    pub channel: Option<String>,
    /// Only updates of this origin.
    pub origin: Option<String>,
    /// Only updates in this state.
    pub status: Option<String>,
}

/// Updates, newest version first, with their channels.
pub fn list(tx: &mut Tx, filter: &Filter) -> Result<Vec<Update>> {
    let mut wanted = Conditions::new();
    wanted.and("origin =", filter.origin.as_deref());
    wanted.and("status =", filter.status.as_deref());
    if let Some(channel) = &filter.channel {
        let number = wanted.value(channel);
        wanted.and_sql(&format!("uuid IN (SELECT update_uuid FROM channels_updates WHERE channel = ${number})"));
    }
    let sql = format!("SELECT {COLUMNS} FROM updates WHERE {} ORDER BY version DESC, uuid", wanted.sql);
    let mut updates = tx.query(&sql, &wanted.values, from_row)?;
    let mut channels: HashMap<String, Vec<String>> = HashMap::new();
    let sql = "SELECT update_uuid, channel FROM channels_updates ORDER BY channel";
    tx.for_each(sql, &[], |row| {
        channels.entry(row.text(0)?).or_default().push(row.text(1)?);
        Ok(())
    })?;
    for update in &mut updates {
        update.channels = channels.remove(&update.uuid).unwrap_or_default();
    }
    Ok(updates)
}

/// One update with its channels.
pub fn get(tx: &mut Tx, uuid: &str) -> Result<Option<Update>> {
    let sql = format!("SELECT {COLUMNS} FROM updates WHERE uuid = $1");
    let Some(mut update) = tx.query_opt(&sql, params![uuid], from_row)? else { return Ok(None) };
    let sql = "SELECT channel FROM channels_updates WHERE update_uuid = $1 ORDER BY channel";
    update.channels = tx.query(sql, params![uuid], |row| row.text(0))?;
    Ok(Some(update))
}

/// Counts the changes of updates and of the channels that offer them: a list that was read at the same count is still good.
pub fn changes(tx: &mut Tx) -> Result<i64> {
    let sql = "SELECT count FROM table_changes WHERE name = 'updates'";
    tx.query_opt(sql, &[], |row| row.int(0))?.ok_or(StoreError::NotFound)
}

/// Counts a change; every function here that makes one does. For statements that go past this module.
pub fn count_change(tx: &mut Tx) -> Result<()> {
    found(tx.execute("UPDATE table_changes SET count = count + 1 WHERE name = 'updates'", &[])?)
}

/// Adds an update, or replaces the one with its UUID; its channels stay.
pub fn upsert(tx: &mut Tx, update: &Update) -> Result<()> {
    let sql = format!(
        "INSERT INTO updates ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) \
         ON CONFLICT (uuid) DO UPDATE SET origin = excluded.origin, version = excluded.version, \
         published_at = excluded.published_at, severity = excluded.severity, \
         upstream_channels = excluded.upstream_channels, files = excluded.files, url = excluded.url, \
         status = excluded.status, last_updated = excluded.last_updated"
    );
    let values = params![
        &update.uuid,
        &update.origin,
        &update.version,
        &update.published_at,
        &update.severity,
        &update.upstream_channels,
        &update.files,
        &update.url,
        &update.status,
        update.last_updated,
    ];
    tx.execute(&sql, values)?;
    count_change(tx)
}

/// Deletes an update.
pub fn delete(tx: &mut Tx, uuid: &str) -> Result<()> {
    found(tx.execute("DELETE FROM updates WHERE uuid = $1", params![uuid])?)?;
    count_change(tx)
}

/// Deletes all updates; answers how many there were.
pub fn delete_all(tx: &mut Tx) -> Result<u64> {
    let deleted = tx.execute("DELETE FROM updates", &[])?;
    count_change(tx)?;
    Ok(deleted)
}

/// The lists of files of all updates, each as JSON: what has to be kept.
pub fn file_lists(tx: &mut Tx) -> Result<Vec<String>> {
    tx.query("SELECT files FROM updates", &[], |row| row.text(0))
}

/// What one image of an update is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// Architecture of the image.
    pub architecture: String,
    /// Component, as changelogs name it.
    pub component: String,
    /// Packages and artifacts with their versions, as JSON.
    pub items: String,
}

/// Keeps manifests of an update; of those that are there already the new ones count.
pub fn put_manifests(tx: &mut Tx, uuid: &str, manifests: &[Manifest]) -> Result<()> {
    for Manifest { architecture, component, items } in manifests {
        let sql = "INSERT INTO update_manifests (update_uuid, architecture, component, items) VALUES ($1, $2, $3, $4) \
                   ON CONFLICT (update_uuid, architecture, component) DO UPDATE SET items = excluded.items";
        tx.execute(sql, params![uuid, architecture, component, items])?;
    }
    Ok(())
}

/// The manifests of an update for one architecture, by component.
pub fn manifests(tx: &mut Tx, uuid: &str, architecture: &str) -> Result<Vec<Manifest>> {
    let sql = "SELECT architecture, component, items FROM update_manifests \
               WHERE update_uuid = $1 AND architecture = $2 ORDER BY component";
    tx.query(sql, params![uuid, architecture], |row| {
        Ok(Manifest { architecture: row.text(0)?, component: row.text(1)?, items: row.text(2)? })
    })
}
