//! A transaction as the closures of `read` and `write` see it: one SQL text, either database.
//!
//! A statement that fails spoils the transaction (on PostgreSQL it does so by nature): later statements fail with the same
//! error and nothing is committed, even when the closure answers `Ok`. Where a failure is expected, wrap the statement in
//! [`Tx::savepoint`].

use crate::db::postgres::Connection as PgConnection;
use crate::db::{Outcome, raw, row::Row, sqlite};
use crate::error::{Result, StoreError};
use crate::seal::KeyRing;
use crate::value::Value;

/// A running transaction.
pub struct Tx<'a> {
    conn: Conn<'a>,
    keys: &'a KeyRing,
    state: State,
    depth: u32,
}

enum Conn<'a> {
    Sqlite(&'a rusqlite::Connection),
    Postgres(&'a mut PgConnection),
}

/// What the driver must know when the closure has returned.
#[derive(Default, Clone)]
pub(super) struct State {
    /// A row was inserted, changed or deleted.
    pub(super) changed: bool,
    /// The failure that spoilt the transaction.
    pub(super) failed: Option<StoreError>,
    /// The failure was a clash with another transaction or a lost connection: run the closure again.
    pub(super) again: bool,
}

/// Why a statement stopped.
pub(super) enum Stop {
    /// The database refused it.
    Driver { error: StoreError, again: bool },
    /// The caller's function did not want to go on.
    Caller(StoreError),
}

impl<'a> Tx<'a> {
    pub(super) fn sqlite(connection: &'a rusqlite::Connection, keys: &'a KeyRing) -> Tx<'a> {
        Tx { conn: Conn::Sqlite(connection), keys, state: State::default(), depth: 0 }
    }

    pub(super) fn postgres(connection: &'a mut PgConnection, keys: &'a KeyRing) -> Tx<'a> {
        Tx { conn: Conn::Postgres(connection), keys, state: State::default(), depth: 0 }
    }

    pub(super) fn end(self) -> State {
        self.state
    }

    /// Runs one statement without a result; answers how many rows it touched.
    pub fn execute(&mut self, sql: &str, params: &[Value]) -> Result<u64> {
        self.check()?;
        let outcome = match &mut self.conn {
            Conn::Sqlite(connection) => sqlite::execute(connection, sql, params),
            Conn::Postgres(connection) => connection.execute(sql, params),
        };
        let rows = self.note(outcome)?;
        self.state.changed |= rows > 0;
        Ok(rows)
    }

    /// Hands every row of the result to `each`, without keeping them. `each` may stop with an error.
    pub fn for_each(&mut self, sql: &str, params: &[Value], mut each: impl FnMut(&Row) -> Result<()>) -> Result<()> {
        self.scan(sql, params, &mut |row| each(row).map(|()| true))
    }

    /// All rows of the result.
    pub fn query<T>(&mut self, sql: &str, params: &[Value], mut map: impl FnMut(&Row) -> Result<T>) -> Result<Vec<T>> {
        let mut rows = Vec::new();
        self.scan(sql, params, &mut |row| {
            rows.push(map(row)?);
            Ok(true)
        })?;
        Ok(rows)
    }

    /// The first row of the result, if there is one.
    pub fn query_opt<T>(
        &mut self,
        sql: &str,
        params: &[Value],
        mut map: impl FnMut(&Row) -> Result<T>,
    ) -> Result<Option<T>> {
        let mut first = None;
        self.scan(sql, params, &mut |row| {
            first = Some(map(row)?);
            Ok(false)
        })?;
        Ok(first)
    }

    /// The first row of the result, or [`StoreError::NotFound`].
    pub fn query_one<T>(&mut self, sql: &str, params: &[Value], map: impl FnMut(&Row) -> Result<T>) -> Result<T> {
        self.query_opt(sql, params, map)?.ok_or(StoreError::NotFound)
    }

    /// Runs one statement of an operator, whatever its result looks like; `changes` says whether it may write.
    pub(crate) fn raw(&mut self, sql: &str, changes: bool) -> Result<Outcome> {
        self.check()?;
        let outcome = match &mut self.conn {
            Conn::Sqlite(connection) => raw::sqlite(connection, sql),
            Conn::Postgres(connection) => connection.raw(sql),
        };
        self.state.changed |= changes;
        self.note(outcome)
    }

    /// Runs `f` such that its failure undoes only what `f` did: the transaction goes on.
    pub fn savepoint<T>(&mut self, f: impl FnOnce(&mut Tx) -> Result<T>) -> Result<T> {
        self.check()?;
        let name = format!("inner{}", self.depth);
        self.control(&format!("SAVEPOINT {name}"))?;
        let before = self.state.clone();
        self.depth += 1;
        let outcome = f(self);
        self.depth -= 1;
        let outcome = match self.state.failed.clone() {
            // Only a run from the beginning helps against a clash with another transaction.
            Some(error) if self.state.again => return Err(error),
            Some(error) => Err(error),
            None => outcome,
        };
        if outcome.is_err() {
            self.state = before;
            self.control(&format!("ROLLBACK TO SAVEPOINT {name}"))?;
        }
        self.control(&format!("RELEASE SAVEPOINT {name}"))?;
        outcome
    }

    /// The key ring of the store. Sealing goes through a place, see `places`.
    pub(crate) fn keys(&self) -> &KeyRing {
        self.keys
    }

    /// Whether this is PostgreSQL, for the few places where the SQL differs.
    pub fn is_postgres(&self) -> bool {
        matches!(self.conn, Conn::Postgres(_))
    }

    fn scan(&mut self, sql: &str, params: &[Value], each: &mut dyn FnMut(&Row) -> Result<bool>) -> Result<()> {
        self.check()?;
        let mut rows = 0_u64;
        let mut counted = |row: &Row| {
            rows += 1;
            each(row)
        };
        let outcome = match &mut self.conn {
            Conn::Sqlite(connection) => sqlite::scan(connection, sql, params, &mut counted),
            Conn::Postgres(connection) => connection.scan(sql, params, &mut counted),
        };
        self.state.changed |= rows > 0 && sql.contains("RETURNING");
        self.note(outcome)
    }

    fn control(&mut self, sql: &str) -> Result<()> {
        let outcome = match &mut self.conn {
            Conn::Sqlite(connection) => sqlite::control(connection, sql),
            Conn::Postgres(connection) => connection.control(sql),
        };
        self.note(outcome)
    }

    fn check(&self) -> Result<()> {
        self.state.failed.clone().map_or(Ok(()), Err)
    }

    fn note<T>(&mut self, outcome: Result<T, Stop>) -> Result<T> {
        outcome.map_err(|stop| match stop {
            Stop::Caller(error) => error,
            Stop::Driver { error, again } => {
                self.state.failed = Some(error.clone());
                self.state.again |= again;
                error
            }
        })
    }
}
