//! The descriptions of updates as they were signed, kept so that an update can be carried on to another site.
//!
//! In the database and not among the files: it comes and goes with the row of its update, and no file can have its name.

use crate::db::Tx;
use crate::error::Result;
use crate::params;

/// Keeps the signed description of an update; the new one counts. How large it may be is for whoever verified it to limit.
pub fn put_document(tx: &mut Tx, uuid: &str, document: &[u8]) -> Result<()> {
    let sql = "INSERT INTO update_documents (update_uuid, document) VALUES ($1, $2) \
               ON CONFLICT (update_uuid) DO UPDATE SET document = excluded.document";
    tx.execute(sql, params![uuid, document])?;
    Ok(())
}

/// The signed description of an update, if it was kept.
pub fn document(tx: &mut Tx, uuid: &str) -> Result<Option<Vec<u8>>> {
    tx.query_opt("SELECT document FROM update_documents WHERE update_uuid = $1", params![uuid], |row| row.blob(0))
}

/// Whether the signed description of an update was kept.
pub fn has_document(tx: &mut Tx, uuid: &str) -> Result<bool> {
    let sql = "SELECT 1 FROM update_documents WHERE update_uuid = $1";
    Ok(tx.query_opt(sql, params![uuid], |row| row.int(0))?.is_some())
}
