//! Which updates are in which channels, since when, and where they ever were.

use super::count_change;
use crate::db::Tx;
use crate::error::Result;
use crate::params;
use crate::tables::found;
use std::collections::BTreeMap;

fn insert(tx: &mut Tx, uuid: &str, channel: &str, now_us: i64) -> Result<()> {
    let sql = "INSERT INTO channels_updates (channel, update_uuid, since) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
    tx.execute(sql, params![channel, uuid, now_us])?;
    let sql = "INSERT INTO updates_entered (update_uuid, channel) VALUES ($1, $2) ON CONFLICT DO NOTHING";
    tx.execute(sql, params![uuid, channel])?;
    Ok(())
}

/// Replaces the channels that offer an update; it stays in those that it is in already since when it came into them. A
/// foreign key violation for a channel that does not exist.
pub fn set_channels(tx: &mut Tx, uuid: &str, channels: &[String], now_us: i64) -> Result<()> {
    found(tx.execute("UPDATE updates SET last_updated = $2 WHERE uuid = $1", params![uuid, now_us])?)?;
    let sql = "SELECT channel FROM channels_updates WHERE update_uuid = $1";
    for left in tx.query(sql, params![uuid], |row| row.text(0))?.iter().filter(|channel| !channels.contains(channel)) {
        tx.execute("DELETE FROM channels_updates WHERE channel = $1 AND update_uuid = $2", params![left, uuid])?;
    }
    for channel in channels {
        insert(tx, uuid, channel, now_us)?;
    }
    count_change(tx)
}

/// An update enters a channel that it never was in before; answers whether that was so. Of several that try at the same
/// time one succeeds.
pub fn enter(tx: &mut Tx, uuid: &str, channel: &str, now_us: i64) -> Result<bool> {
    let sql = "SELECT 1 FROM updates_entered WHERE update_uuid = $1 AND channel = $2";
    if tx.query_opt(sql, params![uuid, channel], |row| row.int(0))?.is_some() {
        return Ok(false);
    }
    // Somebody who saw the update before sees that it is another one now, even within the same microsecond.
    let sql = "UPDATE updates SET last_updated = CASE WHEN last_updated >= $2 THEN last_updated + 1 ELSE $2 END \
               WHERE uuid = $1";
    found(tx.execute(sql, params![uuid, now_us])?)?;
    insert(tx, uuid, channel, now_us)?;
    count_change(tx)?;
    Ok(true)
}

/// Whether a channel offers any update.
pub fn offered_by(tx: &mut Tx, channel: &str) -> Result<bool> {
    let sql = "SELECT 1 FROM channels_updates WHERE channel = $1 LIMIT 1";
    Ok(tx.query_opt(sql, params![channel], |row| row.int(0))?.is_some())
}

/// An update, as far as channels look at it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Member {
    /// UUID.
    pub uuid: String,
    /// Its version.
    pub version: String,
    /// How urgent it is.
    pub severity: String,
    /// The channels that it is in, each with the time since when, in microseconds since 1970.
    pub since: Vec<(String, i64)>,
    /// Every channel that it ever was in, by name.
    pub entered: Vec<String>,
}

/// All updates that are ready, by UUID.
pub fn members(tx: &mut Tx) -> Result<Vec<Member>> {
    let mut members = BTreeMap::new();
    let sql = "SELECT uuid, version, severity FROM updates WHERE status = 'ready'";
    tx.for_each(sql, &[], |row| {
        let (uuid, version, severity) = (row.text(0)?, row.text(1)?, row.text(2)?);
        members.insert(uuid.clone(), Member { uuid, version, severity, ..Member::default() });
        Ok(())
    })?;
    tx.for_each("SELECT update_uuid, channel, since FROM channels_updates ORDER BY channel", &[], |row| {
        if let Some(member) = members.get_mut(row.str(0)?) {
            member.since.push((row.text(1)?, row.int(2)?));
        }
        Ok(())
    })?;
    tx.for_each("SELECT update_uuid, channel FROM updates_entered ORDER BY channel", &[], |row| {
        if let Some(member) = members.get_mut(row.str(0)?) {
            member.entered.push(row.text(1)?);
        }
        Ok(())
    })?;
    Ok(members.into_values().collect())
}
