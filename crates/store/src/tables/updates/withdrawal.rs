//! Updates that machines are not told of. They stay withdrawn when they are deleted, so that they do not come back.

use super::count_change;
use crate::db::{Row, Tx};
use crate::error::{Result, StoreError};
use crate::params;
use crate::tables::channels::Mark;
use crate::tables::found;
use std::collections::BTreeSet;
use uuid::Uuid;

/// A withdrawn update.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Withdrawal {
    /// UUID of the update, which need not be here any more.
    pub uuid: String,
    /// Who published it.
    pub origin: String,
    /// Its version.
    pub version: String,
    /// Who withdrew it, when and why.
    pub mark: Mark,
}

const SELECT: &str = "SELECT update_uuid, origin, version, at, actor, reason FROM updates_withdrawn";

fn from_row(row: &Row) -> Result<Withdrawal> {
    let mark = Mark { at: row.int(3)?, actor: row.text(4)?, reason: row.text(5)? };
    Ok(Withdrawal { uuid: row.text(0)?, origin: row.text(1)?, version: row.text(2)?, mark })
}

/// Withdraws an update. A unique violation for one that is withdrawn.
pub fn withdraw(tx: &mut Tx, Withdrawal { uuid, origin, version, mark }: &Withdrawal) -> Result<()> {
    let sql = "INSERT INTO updates_withdrawn (update_uuid, origin, version, at, actor, reason) \
               VALUES ($1, $2, $3, $4, $5, $6)";
    tx.execute(sql, params![uuid, origin, version, mark.at, &mark.actor, &mark.reason])?;
    changed(tx, uuid, mark.at)
}

/// Takes it back.
pub fn restore(tx: &mut Tx, uuid: &str, now_us: i64) -> Result<()> {
    found(tx.execute("DELETE FROM updates_withdrawn WHERE update_uuid = $1", params![uuid])?)?;
    changed(tx, uuid, now_us)
}

/// The update is another one for those who saw it before; where it is not here, nobody has.
fn changed(tx: &mut Tx, uuid: &str, now_us: i64) -> Result<()> {
    let sql = "UPDATE updates SET last_updated = CASE WHEN last_updated >= $2 THEN last_updated + 1 ELSE $2 END \
               WHERE uuid = $1";
    tx.execute(sql, params![uuid, now_us])?;
    count_change(tx)
}

/// Whether an update is withdrawn, by whom and why.
pub fn withdrawal(tx: &mut Tx, uuid: &str) -> Result<Option<Withdrawal>> {
    tx.query_opt(&format!("{SELECT} WHERE update_uuid = $1"), params![uuid], from_row)
}

/// All withdrawn updates, those that are not here any more too, the latest version first.
pub fn withdrawals(tx: &mut Tx) -> Result<Vec<Withdrawal>> {
    tx.query(&format!("{SELECT} ORDER BY version DESC, update_uuid"), &[], from_row)
}

/// The UUIDs of all withdrawn updates, those that are not here any more too.
pub fn withdrawn(tx: &mut Tx) -> Result<BTreeSet<Uuid>> {
    let parse = |text: &str| Uuid::parse_str(text).map_err(|_| StoreError::Corrupt("a withdrawn UUID is none".into()));
    let uuids = tx.query("SELECT update_uuid FROM updates_withdrawn", &[], |row| parse(row.str(0)?))?;
    Ok(uuids.into_iter().collect())
}
