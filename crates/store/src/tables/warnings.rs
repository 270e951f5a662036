//! Warnings (updates-and-system.md 21): one row for what keeps happening, with the latest texts.

use crate::db::{Row, Tx};
use crate::error::{Result, StoreError};
use crate::params;
use crate::tables::{Conditions, stale_or_missing};
use crate::value::Value;

/// The status of a warning that nobody has seen yet.
pub const STATUS_NEW: &str = "new";

/// How many texts a warning keeps; texts with times or addresses in them would pile up otherwise.
const MESSAGES: usize = 20;

/// A warning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// UUID, the primary key.
    pub uuid: String,
    /// What it is about.
    pub kind: String,
    /// Which part of the program emits it.
    pub scope: String,
    /// Kind of the object it concerns.
    pub entity_type: String,
    /// The object it concerns.
    pub entity: String,
    /// `new`, `acknowledged`, or what an operator wrote.
    pub status: String,
    /// The latest texts, the last one last.
    pub messages: Vec<String>,
    /// How often it was emitted.
    pub count: i64,
    /// Microseconds since 1970.
    pub first_occurrence: i64,
    /// Microseconds since 1970.
    pub last_occurrence: i64,
    /// Microseconds since 1970.
    pub last_updated: i64,
    /// Counts its changes.
    pub generation: i64,
}

const COLUMNS: &str = "uuid, type, scope, entity_type, entity, status, messages, count, first_occurrence, \
                       last_occurrence, last_updated, generation";

fn from_row(row: &Row) -> Result<Warning> {
    Ok(Warning {
        uuid: row.text(0)?,
        kind: row.text(1)?,
        scope: row.text(2)?,
        entity_type: row.text(3)?,
        entity: row.text(4)?,
        status: row.text(5)?,
        messages: serde_json::from_str(row.str(6)?).map_err(|error| StoreError::Corrupt(error.to_string()))?,
        count: row.int(7)?,
        first_occurrence: row.int(8)?,
        last_occurrence: row.int(9)?,
        last_updated: row.int(10)?,
        generation: row.int(11)?,
    })
}

fn texts(messages: &[String]) -> Value {
    Value::Text(serde_json::json!(messages).to_string())
}

/// Something worth telling.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Emitted {
    /// What it is about.
    pub kind: String,
    /// Which part of the program emits it.
    pub scope: String,
    /// Kind of the object it concerns.
    pub entity_type: String,
    /// The object it concerns.
    pub entity: String,
    /// The texts.
    pub messages: Vec<String>,
}

/// Records a warning: a new row under `new_uuid` (version 7, see [`list`]), or one more count of the row with the same type, scope and entity, whose
/// repeated texts move to the end and whose status becomes `new` again. Answers the row's UUID.
pub fn emit(tx: &mut Tx, emitted: &Emitted, new_uuid: &str, now_us: i64) -> Result<String> {
    let Emitted { kind, scope, entity_type, entity, .. } = emitted;
    let sql =
        format!("SELECT {COLUMNS} FROM warnings WHERE type = $1 AND scope = $2 AND entity_type = $3 AND entity = $4");
    let known = tx.query_opt(&sql, params![kind, scope, entity_type, entity], from_row)?;
    let mut messages = known.as_ref().map(|warning| warning.messages.clone()).unwrap_or_default();
    for message in &emitted.messages {
        messages.retain(|known| known != message);
        messages.push(message.clone());
    }
    messages.drain(..messages.len().saturating_sub(MESSAGES));
    if let Some(warning) = known {
        let sql = "UPDATE warnings SET status = $2, messages = $3, count = count + 1, last_occurrence = $4, \
                   last_updated = $4, generation = generation + 1 WHERE uuid = $1";
        tx.execute(sql, params![&warning.uuid, STATUS_NEW, texts(&messages), now_us])?;
        return Ok(warning.uuid);
    }
    let sql = format!("INSERT INTO warnings ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, 1, $8, $8, $8, 1)");
    tx.execute(&sql, params![new_uuid, kind, scope, entity_type, entity, STATUS_NEW, texts(&messages), now_us])?;
    Ok(new_uuid.to_owned())
}

/// Replaces the texts of a warning that is there; whoever has acknowledged it need not do so again. Answers whether there
/// was one.
pub fn reword(tx: &mut Tx, emitted: &Emitted, now_us: i64) -> Result<bool> {
    let Emitted { kind, scope, entity_type, entity, messages } = emitted;
    let sql = "UPDATE warnings SET messages = $5, last_updated = $6, generation = generation + 1 \
               WHERE type = $1 AND scope = $2 AND entity_type = $3 AND entity = $4";
    let kept = &messages[messages.len().saturating_sub(MESSAGES)..];
    Ok(tx.execute(sql, params![kind, scope, entity_type, entity, texts(kept), now_us])? > 0)
}

/// Clears what is no longer true: of the warnings of a scope (and entity, where given) only the texts in `fresh` stay, and
/// a warning without texts goes. An empty `fresh` is the success path: one statement, no row is read. Answers how many
/// warnings changed or went.
pub fn remove_scope(
    tx: &mut Tx,
    scope: &str,
    entity: Option<(&str, &str)>,
    fresh: &[String],
    now_us: i64,
) -> Result<u64> {
    let mut wanted = Conditions::new();
    wanted.and("scope =", Some(scope));
    wanted.and("entity_type =", entity.map(|(entity_type, _)| entity_type));
    wanted.and("entity =", entity.map(|(_, entity)| entity));
    if fresh.is_empty() {
        return tx.execute(&format!("DELETE FROM warnings WHERE {}", wanted.sql), &wanted.values);
    }
    let sql = format!("SELECT {COLUMNS} FROM warnings WHERE {}", wanted.sql);
    let mut touched = 0;
    for mut warning in tx.query(&sql, &wanted.values, from_row)? {
        let before = warning.messages.len();
        warning.messages.retain(|message| fresh.contains(message));
        if warning.messages.is_empty() {
            touched += tx.execute("DELETE FROM warnings WHERE uuid = $1", params![&warning.uuid])?;
        } else if warning.messages.len() < before {
            let sql =
                "UPDATE warnings SET messages = $2, last_updated = $3, generation = generation + 1 WHERE uuid = $1";
            touched += tx.execute(sql, params![&warning.uuid, texts(&warning.messages), now_us])?;
        }
    }
    Ok(touched)
}

/// Clears one warning, by its type: others of the same scope stay. Answers whether there was one.
pub fn remove(tx: &mut Tx, kind: &str, scope: &str, entity_type: &str, entity: &str) -> Result<bool> {
    let sql = "DELETE FROM warnings WHERE type = $1 AND scope = $2 AND entity_type = $3 AND entity = $4";
    Ok(tx.execute(sql, params![kind, scope, entity_type, entity])? > 0)
}

/// Which warnings to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only warnings with this status.
    pub status: Option<String>,
    /// Only warnings of this scope.
    pub scope: Option<String>,
    /// Only warnings about this kind of object.
    pub entity_type: Option<String>,
    /// Only warnings about this object.
    pub entity: Option<String>,
    /// Only warnings behind this UUID.
    pub after: Option<String>,
}

/// Warnings by UUID, at most `limit`. A UUID of version 7 sorts by age: then the longest known comes first.
pub fn list(tx: &mut Tx, filter: &Filter, limit: i64) -> Result<Vec<Warning>> {
    let mut wanted = Conditions::new();
    wanted.and("status =", filter.status.as_deref());
    wanted.and("scope =", filter.scope.as_deref());
    wanted.and("entity_type =", filter.entity_type.as_deref());
    wanted.and("entity =", filter.entity.as_deref());
    wanted.and("uuid >", filter.after.as_deref());
    let limit = wanted.value(limit);
    let sql = format!("SELECT {COLUMNS} FROM warnings WHERE {} ORDER BY uuid LIMIT ${limit}", wanted.sql);
    tx.query(&sql, &wanted.values, from_row)
}

/// One warning.
pub fn get(tx: &mut Tx, uuid: &str) -> Result<Option<Warning>> {
    tx.query_opt(&format!("SELECT {COLUMNS} FROM warnings WHERE uuid = $1"), params![uuid], from_row)
}

/// Sets the status; with `expected` only if that is its generation. Answers the new generation.
pub fn set_status(tx: &mut Tx, uuid: &str, status: &str, expected: Option<i64>, now_us: i64) -> Result<i64> {
    let sql = "UPDATE warnings SET status = $2, last_updated = $3, generation = generation + 1 \
               WHERE uuid = $1 AND generation = COALESCE($4, generation) RETURNING generation";
    match tx.query_opt(sql, params![uuid, status, now_us, expected], |row| row.int(0))? {
        Some(generation) => Ok(generation),
        None => Err(stale_or_missing(get(tx, uuid)?.is_some())),
    }
}
