//! The audit log: who did what, numbered without gaps and chained by hash, so that a changed, dropped or inserted row shows.

use muster_api::audit::Link;
use sha2::{Digest as _, Sha256};

use crate::db::{Row, Tx};
use crate::error::{Result, StoreError};
use crate::params;
use crate::tables::Conditions;

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

/// Hashes one record after another, in the same memory.
#[derive(Default)]
struct Hasher {
    text: Vec<u8>,
}

impl Hasher {
    fn digest(&mut self, link: &Link<'_>) -> [u8; 32] {
        link.write(&mut self.text);
        Sha256::digest(&self.text).into()
    }
}

fn link<'a>(seq: i64, entry: &'a Entry, prev_hash: &'a str) -> Link<'a> {
    Link {
        seq,
        at: entry.at,
        actor: &entry.actor,
        action: &entry.action,
        object_kind: &entry.object_kind,
        object: &entry.object,
        from: entry.from_state.as_deref(),
        to: entry.to_state.as_deref(),
        reason: entry.reason.as_deref(),
        operation: entry.operation_id.as_deref(),
        detail: &entry.detail,
        prev_hash,
    }
}

/// What is hashed of a row, without a copy of it.
fn link_of<'a>(row: &'a Row<'_>) -> Result<Link<'a>> {
    Ok(Link {
        seq: row.int(0)?,
        at: row.int(1)?,
        actor: row.str(2)?,
        action: row.str(3)?,
        object_kind: row.str(4)?,
        object: row.str(5)?,
        from: row.opt_str(6)?,
        to: row.opt_str(7)?,
        reason: row.opt_str(8)?,
        operation: row.opt_str(9)?,
        detail: row.str(10)?,
        prev_hash: row.str(11)?,
    })
}

/// Number and hash of the last record; 0 and nothing for an empty log.
pub fn head(tx: &mut Tx) -> Result<(i64, String)> {
    let sql = "SELECT seq, hash FROM audit_head WHERE name = 'audit'";
    let head = tx.query_opt(sql, &[], |row| Ok((row.int(0)?, row.text(1)?)))?;
    head.ok_or_else(|| StoreError::Corrupt("the head of the audit log is missing".into()))
}

/// The hash of a record; none where there is no such record.
pub fn hash_at(tx: &mut Tx, seq: i64) -> Result<Option<String>> {
    tx.query_opt("SELECT hash FROM audit WHERE seq = $1", params![seq], |row| row.text(0))
}

/// Records an entry in the same transaction as what it tells of; answers its number.
pub fn append(tx: &mut Tx, entry: &Entry) -> Result<i64> {
    let (last, prev_hash) = head(tx)?;
    let seq = last + 1;
    let hash = hex::encode(Hasher::default().digest(&link(seq, entry, &prev_hash)));
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

/// Reads the whole log, a row at a time, and checks every link and the head. `visit` gets each record as far as the chain is
/// sound.
pub fn verify(tx: &mut Tx, visit: &mut dyn FnMut(&Link<'_>)) -> Result<Verdict> {
    let (mut expected, mut prev_hash, mut broken) = (1, String::new(), None);
    let mut hasher = Hasher::default();
    let sql = format!("SELECT {COLUMNS} FROM audit ORDER BY seq");
    tx.for_each(&sql, &[], |row| {
        if broken.is_some() {
            return Ok(());
        }
        let (link, mut hash) = (link_of(row)?, [0; 64]);
        // 64 characters take 32 bytes.
        hex::encode_to_slice(hasher.digest(&link), &mut hash).ok();
        if link.seq == expected && link.prev_hash == prev_hash && row.str(12)?.as_bytes() == hash {
            visit(&link);
            expected += 1;
            prev_hash.clear();
            prev_hash.push_str(row.str(12)?);
        } else {
            broken = Some(expected);
        }
        Ok(())
    })?;
    let (seq, hash) = head(tx)?;
    Ok(match broken {
        Some(seq) => Verdict::Broken(seq),
        // Records cut off at the end leave an intact chain, but not up to the head.
        None if (seq, hash) != (expected - 1, prev_hash) => Verdict::Broken(expected),
        None => Verdict::Intact(seq),
    })
}
