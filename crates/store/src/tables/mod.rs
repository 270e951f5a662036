//! One module a table: plain functions over a transaction, plain rows. No rule of the domain lives here.

pub mod audit;
pub mod channels;
pub mod daemons;
pub mod events;
pub mod expected_machines;
pub mod identity;
pub mod images;
pub mod leases;
pub mod machine_alerts;
pub mod machine_notes;
pub mod machine_snapshots;
pub mod machines;
pub mod operations;
pub mod reports;
pub mod server_types;
pub mod servers;
pub mod settings;
pub mod sql;
pub mod subscriptions;
pub mod tokens;
pub mod update_sources;
pub mod updates;
pub mod warnings;

use crate::error::{Result, StoreError};
use crate::value::Value;

/// A `limit` that asks for everything.
pub const ALL: i64 = i64::MAX;

/// `rows` of a statement that names one row: nothing touched means that it is not there.
fn found(rows: u64) -> Result<()> {
    if rows == 0 { Err(StoreError::NotFound) } else { Ok(()) }
}

/// What a guarded statement that touched no row means: the row is gone, or its generation is another one.
fn stale_or_missing(exists: bool) -> StoreError {
    if exists { StoreError::Stale } else { StoreError::NotFound }
}

/// The conditions of a list, joined by AND.
struct Conditions {
    sql: String,
    values: Vec<Value>,
}

impl Conditions {
    fn new() -> Conditions {
        Conditions { sql: String::from("TRUE"), values: Vec::new() }
    }

    /// Adds a parameter; answers its number.
    fn value(&mut self, value: impl Into<Value>) -> usize {
        self.values.push(value.into());
        self.values.len()
    }

    /// `column <operator> wanted`, if anything is wanted.
    fn and(&mut self, column_and_operator: &str, wanted: Option<impl Into<Value>>) {
        if let Some(wanted) = wanted {
            let number = self.value(wanted);
            self.sql.push_str(&format!(" AND {column_and_operator} ${number}"));
        }
    }

    /// A condition without a parameter.
    fn and_sql(&mut self, condition: &str) {
        self.sql.push_str(" AND ");
        self.sql.push_str(condition);
    }
}
