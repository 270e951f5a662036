//! One module a table: plain functions over a transaction, plain rows. No rule of the domain lives here.

pub mod audit;
pub mod channels;
pub mod identity;
pub mod servers;
pub mod settings;
pub mod tokens;

use crate::db::Tx;
use crate::error::{Result, StoreError};

/// Orders what is appended to the audit log and to the events: from here to its commit the transaction is the only one
/// that appends, so that a reader never sees a later number before an earlier one. SQLite has one writer anyway.
fn lock_journal(tx: &mut Tx) -> Result<()> {
    const JOURNAL_LOCK: i64 = 0x6d75_7374_6572_0002;
    if tx.is_postgres() {
        tx.query_opt(
            "SELECT 1 FROM (SELECT pg_advisory_xact_lock($1)) AS locked",
            crate::params![JOURNAL_LOCK],
            |_| Ok(()),
        )?;
    }
    Ok(())
}

/// `rows` of a statement that names one row: nothing touched means that it is not there.
fn found(rows: u64) -> Result<()> {
    if rows == 0 { Err(StoreError::NotFound) } else { Ok(()) }
}

/// What a guarded statement that touched no row means: the row is gone, or its generation is another one.
fn stale_or_missing(exists: bool) -> StoreError {
    if exists { StoreError::Stale } else { StoreError::NotFound }
}
