//! System settings, one sealed document a section (updates-and-system.md 6).

use crate::db::Tx;
use crate::error::{Result, StoreError};
use crate::params;
use crate::places::Place;
use crate::seal::Secret;

/// One section of the settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// Its JSON document, which may hold secrets.
    pub document: Secret,
    /// Counts its changes.
    pub generation: i64,
}

/// One section; `None` when it was never written.
pub fn get(tx: &mut Tx, section: &str) -> Result<Option<Section>> {
    let sql = "SELECT document, generation FROM settings WHERE section = $1";
    let stored = tx.query_opt(sql, params![section], |row| Ok((row.text(0)?, row.int(1)?)))?;
    let Some((sealed, generation)) = stored else { return Ok(None) };
    Ok(Some(Section { document: tx.unseal(Place::Settings, &[section], &sealed)?, generation }))
}

/// The generation of each section, by name.
pub fn generations(tx: &mut Tx) -> Result<Vec<(String, i64)>> {
    let sql = "SELECT section, generation FROM settings ORDER BY section";
    tx.query(sql, &[], |row| Ok((row.text(0)?, row.int(1)?)))
}

/// Writes a section. `expected` is the generation that the caller has read, 0 for a section that did not exist, or `None`
/// to write whatever is there. Answers the new generation.
pub fn put(tx: &mut Tx, section: &str, document: &Secret, expected: Option<i64>) -> Result<i64> {
    let sealed = tx.seal(Place::Settings, &[section], document)?;
    if expected == Some(0) {
        let sql = "INSERT INTO settings (section, document, generation) VALUES ($1, $2, 1) ON CONFLICT DO NOTHING";
        return if tx.execute(sql, params![section, sealed])? == 1 { Ok(1) } else { Err(StoreError::Stale) };
    }
    let sql = match expected {
        Some(_) => {
            "UPDATE settings SET document = $2, generation = generation + 1 WHERE section = $1 AND generation = $3 \
             RETURNING generation"
        }
        None => {
            "INSERT INTO settings (section, document, generation) VALUES ($1, $2, 1) \
             ON CONFLICT (section) DO UPDATE SET document = excluded.document, generation = settings.generation + 1 \
             RETURNING generation"
        }
    };
    let mut values = params![section, sealed].to_vec();
    values.extend(expected.map(Into::into));
    tx.query_opt(sql, &values, |row| row.int(0))?.ok_or(StoreError::Stale)
}
