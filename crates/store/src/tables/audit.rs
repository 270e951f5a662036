//! The audit log: who did what, numbered without gaps and chained by hash, so that a changed, dropped or inserted row shows.

use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::db::{Row, Tx};
use crate::error::{Result, StoreError};
use crate::params;
use crate::tables::{Conditions, lock_journal};

/// What is being recorded. Never a secret, not even a sealed one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Entry {
    /// Microseconds since 1970.
    pub at: i64,
    /// Who did it.
    pub actor: String,
    /// What was done: `server.update`, `token.read` …
    pub action: String,
    /// Kind of the object: `server`, `token` …
    pub object_kind: String,
    /// Which object.
    pub object: String,
    /// State before, where the action is a transition.
    pub from_state: Option<String>,
    /// State after.
    pub to_state: Option<String>,
    /// Why, as far as the actor said.
    pub reason: Option<String>,
    /// The operation that it was part of.
    pub operation_id: Option<String>,
    /// Anything more, as JSON.
    pub detail: String,
}

/// A recorded entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its number, from 1 without gaps.
    pub seq: i64,
    /// What was recorded.
    pub entry: Entry,
    /// Hash of the record before it; empty for the first.
    pub prev_hash: String,
    /// SHA-256 over all of the above, in hex.
    pub hash: String,
}

const COLUMNS: &str = "seq, at, actor, action, object_kind, object, from_state, to_state, reason, operation_id, detail, \
                       prev_hash, hash";

fn from_row(row: &Row) -> Result<Record> {
    Ok(Record {
        seq: row.int(0)?,
        entry: Entry {
            at: row.int(1)?,
            actor: row.text(2)?,
            action: row.text(3)?,
            object_kind: row.text(4)?,
            object: row.text(5)?,
            from_state: row.opt_text(6)?,
            to_state: row.opt_text(7)?,
            reason: row.opt_text(8)?,
            operation_id: row.opt_text(9)?,
            detail: row.text(10)?,
        },
        prev_hash: row.text(11)?,
        hash: row.text(12)?,
    })
}

/// The hash of a record. A JSON array has no two readings, whatever the texts contain.
fn hash(seq: i64, entry: &Entry, prev_hash: &str) -> String {
    let Entry { at, actor, action, object_kind, object, from_state, to_state, reason, operation_id, detail } = entry;
    let text = json!([
        seq,
        at,
        actor,
        action,
        object_kind,
        object,
        from_state,
        to_state,
        reason,
        operation_id,
        detail,
        prev_hash
    ]);
    hex::encode(Sha256::digest(text.to_string()))
}

/// Records an entry in the same transaction as what it tells of; answers its number. On PostgreSQL this holds the journal
/// lock until the commit: append last.
pub fn append(tx: &mut Tx, entry: &Entry) -> Result<i64> {
    lock_journal(tx)?;
    let lock = if tx.is_postgres() { " FOR UPDATE" } else { "" };
    let head = format!("SELECT seq, hash FROM audit_head WHERE name = 'audit'{lock}");
    let (last, prev_hash) = tx.query_one(&head, &[], |row| Ok((row.int(0)?, row.text(1)?)))?;
    let seq = last + 1;
    let hash = hash(seq, entry, &prev_hash);
    tx.execute(
        &format!("INSERT INTO audit ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)"),
        params![
            seq,
            entry.at,
            &entry.actor,
            &entry.action,
            &entry.object_kind,
            &entry.object,
            &entry.from_state,
            &entry.to_state,
            &entry.reason,
            &entry.operation_id,
            &entry.detail,
            prev_hash,
            &hash,
        ],
    )?;
    tx.execute("UPDATE audit_head SET seq = $1, hash = $2 WHERE name = 'audit'", params![seq, hash])?;
    Ok(seq)
}

/// Which records to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only records about this kind of object.
    pub object_kind: Option<String>,
    /// Only records about this object.
    pub object: Option<String>,
}

/// The records after number `after` in their order, at most `limit`.
pub fn list(tx: &mut Tx, filter: &Filter, after: i64, limit: i64) -> Result<Vec<Record>> {
    let mut wanted = Conditions::new();
    wanted.and("seq >", Some(after));
    wanted.and("object_kind =", filter.object_kind.as_deref());
    wanted.and("object =", filter.object.as_deref());
    let limit = wanted.value(limit);
    let sql = format!("SELECT {COLUMNS} FROM audit WHERE {} ORDER BY seq LIMIT ${limit}", wanted.sql);
    tx.query(&sql, &wanted.values, from_row)
}

/// The outcome of a check of the whole chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Every record follows from the one before; how many there are.
    Intact(i64),
    /// Number of the first record that is changed, missing or inserted.
    Broken(i64),
}

/// Reads the whole log, a row at a time, and checks every link and the head.
pub fn verify(tx: &mut Tx) -> Result<Verdict> {
    let (mut expected, mut prev_hash, mut broken) = (1, String::new(), None);
    let sql = format!("SELECT {COLUMNS} FROM audit ORDER BY seq");
    tx.for_each(&sql, &[], |row| {
        let record = from_row(row)?;
        if broken.is_some() {
            return Ok(());
        }
        let intact = record.seq == expected
            && record.prev_hash == prev_hash
            && record.hash == hash(record.seq, &record.entry, &prev_hash);
        if intact {
            expected += 1;
            prev_hash = record.hash;
        } else {
            broken = Some(expected);
        }
        Ok(())
    })?;
    let head = tx.query_opt("SELECT seq, hash FROM audit_head WHERE name = 'audit'", &[], |row| {
        Ok((row.int(0)?, row.text(1)?))
    })?;
    let (seq, hash) = head.ok_or_else(|| StoreError::Corrupt("the head of the audit log is missing".into()))?;
    Ok(match broken {
        Some(seq) => Verdict::Broken(seq),
        // Records cut off at the end leave an intact chain, but not up to the head.
        None if (seq, hash) != (expected - 1, prev_hash) => Verdict::Broken(expected),
        None => Verdict::Intact(seq),
    })
}
