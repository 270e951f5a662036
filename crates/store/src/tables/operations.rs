//! Operations: work that outlives a request. A process claims what is due by a lease, works outside of any transaction and
//! saves under the generation that it claimed: one whose lease went to another process finds its save refused.
//!
//! A claim sets `not_before` to 0. Whoever wants the operation looked at again meanwhile writes another value, and the
//! holder's save keeps that one: a wake-up that comes between its look and its save is not lost.

use crate::db::{Row, Tx};
use crate::error::Result;
use crate::params;
use crate::places::Place;
use crate::seal::Secret;
use crate::tables::{Conditions, found, stale_or_missing};
use crate::value::Value;

/// An operation.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Operation {
    /// UUID version 7, the primary key: sorts by age.
    pub id: String,
    /// What is being done.
    pub kind: String,
    /// Kind of the object it is done to.
    pub target_kind: String,
    /// The object it is done to.
    pub target: String,
    /// The machine that it is about, where there is one.
    pub machine_id: Option<String>,
    /// Its state.
    pub status: String,
    /// Why it is in that state, for the operator.
    pub reason: String,
    /// What was asked for, as JSON.
    pub params: String,
    /// Where the work stands, as JSON with a version of its own.
    pub state: String,
    /// Steps with their progress, as JSON.
    pub steps: String,
    /// What came out, as JSON.
    pub result: Option<String>,
    /// Why it failed.
    pub error: Option<String>,
    /// Who started it.
    pub actor: String,
    /// Number of the try.
    pub attempt: i64,
    /// Microseconds since 1970.
    pub created_at: i64,
    /// Microseconds since 1970.
    pub updated_at: i64,
    /// Microseconds since 1970, once it is over.
    pub finished_at: Option<i64>,
    /// Not to be looked at before (microseconds since 1970).
    pub not_before: i64,
    /// To be over by (microseconds since 1970).
    pub deadline: Option<i64>,
    /// The process that works on it; written by claim, renew and release only.
    pub lease_owner: Option<String>,
    /// Until when it does (microseconds since 1970).
    pub lease_until: i64,
    /// Whether it is to be cancelled; written by [`request_cancel`] only.
    pub cancel_requested: bool,
    /// Counts claims and saves; not read by [`insert`].
    pub generation: i64,
}

const COLUMNS: &str = "id, kind, target_kind, target, machine_id, status, reason, params, state, steps, result, error, \
                       actor, attempt, created_at, updated_at, finished_at, not_before, deadline, lease_owner, \
                       lease_until, cancel_requested, generation";

fn from_row(row: &Row) -> Result<Operation> {
    Ok(Operation {
        id: row.text(0)?,
        kind: row.text(1)?,
        target_kind: row.text(2)?,
        target: row.text(3)?,
        machine_id: row.opt_text(4)?,
        status: row.text(5)?,
        reason: row.text(6)?,
        params: row.text(7)?,
        state: row.text(8)?,
        steps: row.text(9)?,
        result: row.opt_text(10)?,
        error: row.opt_text(11)?,
        actor: row.text(12)?,
        attempt: row.int(13)?,
        created_at: row.int(14)?,
        updated_at: row.int(15)?,
        finished_at: row.opt_int(16)?,
        not_before: row.int(17)?,
        deadline: row.opt_int(18)?,
        lease_owner: row.opt_text(19)?,
        lease_until: row.int(20)?,
        cancel_requested: row.bool(21)?,
        generation: row.int(22)?,
    })
}

/// Adds an operation that nobody works on yet, in generation 1.
pub fn insert(tx: &mut Tx, operation: &Operation) -> Result<()> {
    let sql = format!(
        "INSERT INTO operations ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, \
         $16, $17, $18, $19, NULL, 0, FALSE, 1)"
    );
    let values = params![
        &operation.id,
        &operation.kind,
        &operation.target_kind,
        &operation.target,
        &operation.machine_id,
        &operation.status,
        &operation.reason,
        &operation.params,
        &operation.state,
        &operation.steps,
        &operation.result,
        &operation.error,
        &operation.actor,
        operation.attempt,
        operation.created_at,
        operation.updated_at,
        operation.finished_at,
        operation.not_before,
        operation.deadline,
    ];
    tx.execute(&sql, values)?;
    Ok(())
}

/// One operation.
pub fn get(tx: &mut Tx, id: &str) -> Result<Option<Operation>> {
    tx.query_opt(&format!("SELECT {COLUMNS} FROM operations WHERE id = $1"), params![id], from_row)
}

/// The documents of an operation (JSON), which may hold secrets; `None` when it has none, or when there is no such operation.
pub fn documents(tx: &mut Tx, id: &str) -> Result<Option<Secret>> {
    let sql = "SELECT documents FROM operations WHERE id = $1";
    let sealed = tx.query_opt(sql, params![id], |row| row.opt_text(0))?.flatten();
    sealed.map(|sealed| tx.unseal(Place::OperationDocuments, &[id], &sealed)).transpose()
}

/// Replaces the documents of an operation. Goes with an [`insert`] or a [`save`] in the same transaction.
pub fn set_documents(tx: &mut Tx, id: &str, documents: Option<&Secret>) -> Result<()> {
    let sealed = documents.map(|secret| tx.seal(Place::OperationDocuments, &[id], secret)).transpose()?;
    found(tx.execute("UPDATE operations SET documents = $2 WHERE id = $1", params![id, sealed])?)
}

/// Forgets the documents of all operations on a machine.
pub fn forget_documents(tx: &mut Tx, machine: &str) -> Result<()> {
    let sql = "UPDATE operations SET documents = NULL WHERE machine_id = $1 AND documents IS NOT NULL";
    tx.execute(sql, params![machine]).map(drop)
}

/// Which operations to list, and in which order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only operations of this kind.
    pub kind: Option<String>,
    /// Only operations on this kind of object.
    pub target_kind: Option<String>,
    /// Only operations on this object.
    pub target: Option<String>,
    /// Only operations on this machine.
    pub machine_id: Option<String>,
    /// Only operations in this state.
    pub status: Option<String>,
    /// Only operations that are not over.
    pub unfinished: bool,
    /// The newest first instead of the oldest.
    pub newest_first: bool,
    /// Only operations behind this id, in the order asked for.
    pub after: Option<String>,
}

/// Operations by id, at most `limit`.
pub fn list(tx: &mut Tx, filter: &Filter, limit: i64) -> Result<Vec<Operation>> {
    let mut wanted = Conditions::new();
    wanted.and("kind =", filter.kind.as_deref());
    wanted.and("target_kind =", filter.target_kind.as_deref());
    wanted.and("target =", filter.target.as_deref());
    wanted.and("machine_id =", filter.machine_id.as_deref());
    wanted.and("status =", filter.status.as_deref());
    if filter.unfinished {
        wanted.and_sql("finished_at IS NULL");
    }
    let (behind, order) = if filter.newest_first { ("id <", "DESC") } else { ("id >", "ASC") };
    wanted.and(behind, filter.after.as_deref());
    let limit = wanted.value(limit);
    let sql = format!("SELECT {COLUMNS} FROM operations WHERE {} ORDER BY id {order} LIMIT ${limit}", wanted.sql);
    tx.query(&sql, &wanted.values, from_row)
}

/// Claims up to `limit` operations that are due and that nobody holds, for `owner` until `lease_until`; the longest due
/// first. Two owners never get the same one, and an owner never what it is at, however long ago the lease ran out.
pub fn claim_due(
    tx: &mut Tx,
    owner: &str,
    now_us: i64,
    lease_until: i64,
    limit: i64,
    at_work: &[String],
) -> Result<Vec<Operation>> {
    let mut values = params![owner, now_us, lease_until, limit].to_vec();
    let others = but(at_work, &mut values);
    let sql = format!(
        "WITH due AS MATERIALIZED (SELECT id FROM operations \
         WHERE finished_at IS NULL AND not_before <= $2 AND lease_until <= $2{others} \
         ORDER BY not_before, id LIMIT $4) \
         UPDATE operations SET lease_owner = $1, lease_until = $3, not_before = 0, generation = generation + 1 \
         WHERE id IN (SELECT id FROM due) RETURNING {COLUMNS}"
    );
    let mut claimed = tx.query(&sql, &values, from_row)?;
    claimed.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(claimed)
}

/// When the next operation is due for one who is at `at_work`: one that nobody holds, or whose lease runs out (microseconds
/// since 1970).
pub fn next_due(tx: &mut Tx, at_work: &[String]) -> Result<Option<i64>> {
    let mut values = Vec::new();
    let others = but(at_work, &mut values);
    let sql = format!(
        "SELECT MIN(CASE WHEN not_before > lease_until THEN not_before ELSE lease_until END) FROM operations \
         WHERE finished_at IS NULL{others}"
    );
    tx.query_one(&sql, &values, |row| row.opt_int(0))
}

/// A condition that leaves out these ids. Their number is filled up to a power of two: there are few different statements.
fn but(ids: &[String], values: &mut Vec<Value>) -> String {
    if ids.is_empty() {
        return String::new();
    }
    let first = values.len() + 1;
    values.extend(ids.iter().map(|id| Value::from(id.as_str())));
    values.resize(first - 1 + ids.len().next_power_of_two(), Value::from(""));
    let numbers: Vec<String> = (first..=values.len()).map(|n| format!("${n}")).collect();
    format!(" AND id NOT IN ({})", numbers.join(", "))
}

/// Writes how the work stands, if nobody has claimed or saved the operation since (`operation.generation`). Lease and wish
/// to cancel are left alone; when that wish or a wake-up came in the meantime, the operation is due at once. Answers the
/// new generation.
pub fn save(tx: &mut Tx, operation: &Operation) -> Result<i64> {
    let sql = "UPDATE operations SET status = $2, reason = $3, state = $4, steps = $5, result = $6, error = $7, \
               attempt = $8, updated_at = $9, finished_at = $10, deadline = $11, \
               not_before = CASE WHEN lease_owner IS NOT NULL AND not_before <> 0 THEN not_before ELSE $12 END, \
               generation = generation + 1 WHERE id = $1 AND generation = $13 RETURNING generation";
    let values = params![
        &operation.id,
        &operation.status,
        &operation.reason,
        &operation.state,
        &operation.steps,
        &operation.result,
        &operation.error,
        operation.attempt,
        operation.updated_at,
        operation.finished_at,
        operation.deadline,
        operation.not_before,
        operation.generation,
    ];
    match tx.query_opt(sql, values, |row| row.int(0))? {
        Some(generation) => Ok(generation),
        None => Err(stale_or_missing(get(tx, &operation.id)?.is_some())),
    }
}

/// Prolongs a lease; answers whether `owner` still has it.
pub fn renew(tx: &mut Tx, id: &str, owner: &str, lease_until: i64) -> Result<bool> {
    let sql = "UPDATE operations SET lease_until = $3 WHERE id = $1 AND lease_owner = $2";
    Ok(tx.execute(sql, params![id, owner, lease_until])? == 1)
}

/// Gives a lease back; nothing happens when `owner` does not have it.
pub fn release(tx: &mut Tx, id: &str, owner: &str) -> Result<()> {
    let sql = "UPDATE operations SET lease_owner = NULL, lease_until = 0 WHERE id = $1 AND lease_owner = $2";
    tx.execute(sql, params![id, owner])?;
    Ok(())
}

/// Makes every unfinished operation on a machine due, because something about that machine changed.
pub fn wake(tx: &mut Tx, machine_id: &str) -> Result<()> {
    let sql = "UPDATE operations SET not_before = 1 WHERE machine_id = $1 AND finished_at IS NULL AND not_before <> 1";
    tx.execute(sql, params![machine_id])?;
    Ok(())
}

/// Takes a wish to cancel back, when the operation is tried again.
pub fn withdraw_cancel(tx: &mut Tx, id: &str) -> Result<()> {
    found(tx.execute("UPDATE operations SET cancel_requested = FALSE WHERE id = $1", params![id])?)
}

/// Asks for an operation to be cancelled and makes it due. What is over stays as it is (not found).
pub fn request_cancel(tx: &mut Tx, id: &str, now_us: i64) -> Result<()> {
    let sql = "UPDATE operations SET cancel_requested = TRUE, not_before = $2, updated_at = $2 \
               WHERE id = $1 AND finished_at IS NULL";
    found(tx.execute(sql, params![id, now_us])?)
}

/// Deletes operations that were over before `finished_before_us`; answers how many.
pub fn prune(tx: &mut Tx, finished_before_us: i64) -> Result<u64> {
    tx.execute("DELETE FROM operations WHERE finished_at < $1", params![finished_before_us])
}
