//! The store of Muster: SQLite by default, PostgreSQL when one machine is not enough, behind one SQL text.
//!
//! [`Store`] runs synchronous closures in transactions (see [`db`]); [`tables`] has one module a table with plain functions
//! over a [`Tx`] and plain row structs. Secrets are sealed on the way in (see [`seal`]).
//!
//! What both databases understand alike, and nothing else, may appear in SQL: parameters are `$1`, times are BIGINT
//! microseconds since 1970 (0: never), identifiers TEXT, flags BOOLEAN, documents JSON as TEXT. Write `RETURNING` in
//! capitals: it is how the store knows that a query has changed something.

pub mod crash;
pub mod db;
mod error;
mod keyfile;
mod migrate;
mod places;
pub mod rekey;
pub mod seal;
pub mod tables;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod value;

pub use db::{Location, Row, Store, Tx};
pub use error::{Result, StoreError, Violation};
pub use seal::{Key, KeyOrigin, KeyRing, SealError, Secret};
pub use value::Value;
