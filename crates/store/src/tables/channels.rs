//! Update channels (updates-and-system.md 16), the rules by which they get updates, and which of them are frozen. `stable`
//! exists from the start.

use crate::db::{Row, Tx};
use crate::error::Result;
use crate::params;
use crate::tables::{Conditions, found, updates};

/// An update channel.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Channel {
    /// Its name, the primary key.
    pub name: String,
    /// Free text.
    pub description: String,
    /// Microseconds since 1970; 0 for the seeded row that nobody has touched.
    pub last_updated: i64,
    /// How it gets updates by itself; written by [`set_rule`] only.
    pub rule: Option<Rule>,
    /// Why nothing enters it; written by [`set_freeze`] only.
    pub freeze: Option<Mark>,
}

/// A channel gets the updates of another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The channel that had them before.
    pub follows: String,
    /// How long after, in seconds.
    pub after_seconds: i64,
    /// From this severity on, without the delay.
    pub at_once: Option<String>,
}

/// Who did something, when and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// Microseconds since 1970.
    pub at: i64,
    /// Who.
    pub actor: String,
    /// Why.
    pub reason: String,
}

const SELECT: &str = "SELECT name, description, last_updated, follows, after_seconds, at_once, at, actor, reason \
                      FROM channels LEFT JOIN channel_rules r ON r.channel = name \
                      LEFT JOIN channel_freezes f ON f.channel = name";

fn from_row(row: &Row) -> Result<Channel> {
    let rule = match row.opt_text(3)? {
        Some(follows) => Some(Rule { follows, after_seconds: row.int(4)?, at_once: row.opt_text(5)? }),
        None => None,
    };
    let freeze = match row.opt_int(6)? {
        Some(at) => Some(Mark { at, actor: row.text(7)?, reason: row.text(8)? }),
        None => None,
    };
    Ok(Channel { name: row.text(0)?, description: row.text(1)?, last_updated: row.int(2)?, rule, freeze })
}

/// Channels behind `after`, by name, at most `limit`.
pub fn list(tx: &mut Tx, after: Option<&str>, limit: i64) -> Result<Vec<Channel>> {
    let mut wanted = Conditions::new();
    wanted.and("name >", after);
    let limit = wanted.value(limit);
    let sql = format!("{SELECT} WHERE {} ORDER BY name LIMIT ${limit}", wanted.sql);
    tx.query(&sql, &wanted.values, from_row)
}

/// One channel.
pub fn get(tx: &mut Tx, name: &str) -> Result<Option<Channel>> {
    tx.query_opt(&format!("{SELECT} WHERE name = $1"), params![name], from_row)
}

/// Adds a channel.
pub fn insert(tx: &mut Tx, channel: &Channel) -> Result<()> {
    tx.execute(
        "INSERT INTO channels (name, description, last_updated) VALUES ($1, $2, $3)",
        params![&channel.name, &channel.description, channel.last_updated],
    )?;
    Ok(())
}

/// Replaces the description.
pub fn update_description(tx: &mut Tx, name: &str, description: &str, now_us: i64) -> Result<()> {
    let sql = "UPDATE channels SET description = $2, last_updated = $3 WHERE name = $1";
    found(tx.execute(sql, params![name, description, now_us])?)
}

/// Replaces how a channel gets updates by itself; without a rule it does not. A foreign key violation for a channel to
/// follow that does not exist.
pub fn set_rule(tx: &mut Tx, name: &str, rule: Option<&Rule>, now_us: i64) -> Result<()> {
    touch(tx, name, now_us)?;
    tx.execute("DELETE FROM channel_rules WHERE channel = $1", params![name])?;
    if let Some(Rule { follows, after_seconds, at_once }) = rule {
        let sql = "INSERT INTO channel_rules (channel, follows, after_seconds, at_once) VALUES ($1, $2, $3, $4)";
        tx.execute(sql, params![name, follows, *after_seconds, at_once])?;
    }
    Ok(())
}

/// Freezes a channel, or thaws it.
pub fn set_freeze(tx: &mut Tx, name: &str, freeze: Option<&Mark>, now_us: i64) -> Result<()> {
    touch(tx, name, now_us)?;
    tx.execute("DELETE FROM channel_freezes WHERE channel = $1", params![name])?;
    if let Some(Mark { at, actor, reason }) = freeze {
        let sql = "INSERT INTO channel_freezes (channel, at, actor, reason) VALUES ($1, $2, $3, $4)";
        tx.execute(sql, params![name, *at, actor, reason])?;
    }
    Ok(())
}

/// What enters a channel by itself depends on this.
fn touch(tx: &mut Tx, name: &str, now_us: i64) -> Result<()> {
    found(tx.execute("UPDATE channels SET last_updated = $2 WHERE name = $1", params![name, now_us])?)?;
    updates::count_change(tx)
}

/// The channels that follow this one, by name.
pub fn followers(tx: &mut Tx, name: &str) -> Result<Vec<String>> {
    let sql = "SELECT channel FROM channel_rules WHERE follows = $1 ORDER BY channel";
    tx.query(sql, params![name], |row| row.text(0))
}

/// Deletes a channel. A foreign key violation where servers, tokens or channels that follow it use it; its updates are
/// merely taken out of it.
pub fn delete(tx: &mut Tx, name: &str) -> Result<()> {
    found(tx.execute("DELETE FROM channels WHERE name = $1", params![name])?)?;
    updates::count_change(tx)
}
