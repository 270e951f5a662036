//! Notes on a machine, and what happened to it (`lifecycle.md` 1.6).

use super::missing;
use crate::{
    Actor, Engine, Error,
    machine::{self, By},
};
use muster_api::{
    machine::{HistoryEntry, Note, NotePost},
    time::Time,
};
use muster_domain::machine::asset;
use muster_store::tables::{
    audit::{self, Record},
    machine_notes::{self, Note as Row},
    machines,
};

/// Kinds of notes that people write; waivers are written by what waives.
const KINDS: [&str; 3] = ["note", "fault", "repair"];

fn shown(row: Row) -> Note {
    Note { seq: row.seq, at: Time::from_micros(row.at), author: row.author, kind: row.kind, note: row.note }
}

/// The notes of a machine before number `before`, the newest first.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn notes(engine: &Engine, id: &str, before: i64, limit: i64) -> Result<Vec<Note>, Error> {
    let wanted = id.to_owned();
    let found = engine.store().read(move |tx| {
        if machines::get(tx, &wanted)?.is_none() {
            return Ok(None);
        }
        machine_notes::list(tx, &wanted, before, limit).map(Some)
    });
    Ok(found.await?.ok_or_else(|| missing(id))?.into_iter().map(shown).collect())
}

/// Adds a note; answers its number. Nothing takes a note back.
///
/// # Errors
/// [`Error::NotFound`], [`Error::Invalid`].
pub async fn add_note(engine: &Engine, actor: &Actor, id: &str, post: NotePost) -> Result<i64, Error> {
    let kind = if post.kind.is_empty() { "note".to_owned() } else { post.kind };
    if !KINDS.contains(&kind.as_str()) {
        return Err(Error::Invalid(format!("Invalid note, kind: {kind:?} is none of {}", KINDS.join(", "))));
    }
    let text = asset::note("note", &post.note)
        .map_err(|found| Error::Invalid(format!("Invalid note, {}", asset::faults(&found))))?;
    if text.is_empty() {
        return Err(Error::Invalid("Invalid note, note: is missing".into()));
    }
    let (wanted, now, actor) = (id.to_owned(), engine.clock().micros(), actor.clone());
    let done = engine.store().write(move |tx| {
        if machines::get(tx, &wanted)?.is_none() {
            return Ok(None);
        }
        machine::note(tx, &wanted, &kind, &text, By::new(&actor.0, &text, now)).map(Some)
    });
    done.await?.ok_or_else(|| missing(id))
}

/// What happened to a machine, oldest first, after audit entry `after`.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn history(engine: &Engine, id: &str, after: i64, limit: i64) -> Result<Vec<HistoryEntry>, Error> {
    let wanted = id.to_owned();
    let found = engine.store().read(move |tx| {
        if machines::get(tx, &wanted)?.is_none() {
            return Ok(None);
        }
        let filter = audit::Filter { object_kind: Some("machine".into()), object: Some(wanted.clone()) };
        audit::list(tx, &filter, after, limit).map(Some)
    });
    Ok(found.await?.ok_or_else(|| missing(id))?.into_iter().map(entry).collect())
}

fn entry(record: Record) -> HistoryEntry {
    let entry = record.entry;
    HistoryEntry {
        seq: record.seq,
        at: Time::from_micros(entry.at),
        actor: entry.actor,
        action: entry.action,
        from: entry.from_state.unwrap_or_default(),
        to: entry.to_state.unwrap_or_default(),
        reason: entry.reason.unwrap_or_default(),
        operation: entry.operation_id.unwrap_or_default(),
        detail: serde_json::from_str(&entry.detail).unwrap_or_default(),
    }
}
