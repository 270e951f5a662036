//! SQLite: statements, one writer thread with group commit, a pool of readers.
//!
//! A commit costs a sync of the disk, whoever waits for it. The writer takes what has queued up, gives each job a savepoint
//! of its own, commits once and then answers all of them: nobody hears of success before it is on disk.

use std::borrow::Cow;
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use rusqlite::ffi::{self, ErrorCode};
use rusqlite::types::{ToSqlOutput, ValueRef};

use crate::crash;
use crate::db::row::Row;
use crate::db::tx::{State, Stop, Tx};
use crate::db::{Job, Ticker, guarded};
use crate::error::{Result, StoreError, Violation};
use crate::seal::KeyRing;
use crate::value::Value;

const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
const STATEMENTS: usize = 256;
/// A batch ends at this many jobs or this much time: the first of it waits for the last.
const BATCH_JOBS: usize = 256;
const BATCH_TIME: Duration = Duration::from_millis(50);

impl rusqlite::ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Value::Null => ValueRef::Null,
            Value::Bool(value) => ValueRef::Integer(i64::from(*value)),
            Value::Int(value) => ValueRef::Integer(*value),
            Value::Text(text) => ValueRef::Text(text.as_bytes()),
            Value::Blob(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

/// `$1` becomes `?1`: SQLite takes `$1` for a name and numbers names by first appearance. Quoted text stays as it is.
fn numbered(sql: &str) -> Cow<'_, str> {
    if !sql.contains('$') {
        return Cow::Borrowed(sql);
    }
    let mut quote = None;
    let mut out = String::with_capacity(sql.len());
    let mut chars = sql.chars().peekable();
    while let Some(c) = chars.next() {
        match quote {
            Some(open) if c == open => quote = None,
            None if c == '\'' || c == '"' => quote = Some(c),
            None if c == '$' && chars.peek().is_some_and(char::is_ascii_digit) => {
                out.push('?');
                continue;
            }
            _ => {}
        }
        out.push(c);
    }
    Cow::Owned(out)
}

fn translate(error: &rusqlite::Error) -> StoreError {
    let rusqlite::Error::SqliteFailure(failure, message) = error else {
        return StoreError::Database(error.to_string());
    };
    let message = message.clone().unwrap_or_else(|| failure.to_string());
    let detail = message.split_once("failed: ").map_or(message.as_str(), |(_, rest)| rest);
    match (failure.code, failure.extended_code) {
        (_, ffi::SQLITE_CONSTRAINT_UNIQUE | ffi::SQLITE_CONSTRAINT_PRIMARYKEY | ffi::SQLITE_CONSTRAINT_ROWID) => {
            Violation::Unique.error(detail)
        }
        (_, ffi::SQLITE_CONSTRAINT_FOREIGNKEY) => Violation::ForeignKey.error(detail),
        (_, ffi::SQLITE_CONSTRAINT_NOTNULL) => Violation::NotNull.error(detail),
        (_, ffi::SQLITE_CONSTRAINT_CHECK) => Violation::Check.error(detail),
        (ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked, _) => StoreError::Busy,
        (ErrorCode::OperationInterrupted, _) => StoreError::Interrupted(message),
        _ => StoreError::Database(message),
    }
}

pub(super) fn driver(error: &rusqlite::Error) -> Stop {
    // There is one writer and readers never wait: nothing that a second run would mend.
    Stop::Driver { error: translate(error), again: false }
}

pub(super) fn execute(connection: &Connection, sql: &str, params: &[Value]) -> Result<u64, Stop> {
    let run = || connection.prepare_cached(&numbered(sql))?.execute(rusqlite::params_from_iter(params));
    run().map(|rows| rows as u64).map_err(|error| driver(&error))
}

pub(super) fn scan(
    connection: &Connection,
    sql: &str,
    params: &[Value],
    each: &mut dyn FnMut(&Row) -> Result<bool>,
) -> Result<(), Stop> {
    let mut statement = connection.prepare_cached(&numbered(sql)).map_err(|error| driver(&error))?;
    let mut rows = statement.query(rusqlite::params_from_iter(params)).map_err(|error| driver(&error))?;
    while let Some(row) = rows.next().map_err(|error| driver(&error))? {
        if !each(&Row::sqlite(row)).map_err(Stop::Caller)? {
            break;
        }
    }
    Ok(())
}

pub(super) fn control(connection: &Connection, sql: &str) -> Result<(), Stop> {
    connection.execute_batch(sql).map_err(|error| driver(&error))
}

/// Opens the database file for the writer, making it (mode 0600) where there is none.
pub(super) fn open(path: &Path) -> Result<Connection> {
    OpenOptions::new()
        .create(true)
        .read(true)
        .append(true)
        .mode(0o600)
        .open(path)
        .map_err(|error| StoreError::Database(format!("{}: {error}", path.display())))?;
    let connection = connect(path).map_err(|error| translate(&error))?;
    let prepare = || {
        let mode: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
        connection.execute_batch("PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON")?;
        Ok(mode)
    };
    let mode = prepare().map_err(|error| translate(&error))?;
    if mode != "wal" {
        return Err(StoreError::Database(format!("{}: no write-ahead log on this file system", path.display())));
    }
    Ok(connection)
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(connection)
}

/// Makes reading connections for the pool.
pub(super) struct Readers(pub(super) PathBuf);

impl r2d2::ManageConnection for Readers {
    type Connection = Connection;
    type Error = rusqlite::Error;

    fn connect(&self) -> rusqlite::Result<Connection> {
        let connection = connect(&self.0)?;
        connection.execute_batch("PRAGMA query_only = ON")?;
        Ok(connection)
    }

    fn is_valid(&self, connection: &mut Connection) -> rusqlite::Result<()> {
        connection.execute_batch("SELECT 1")
    }

    fn has_broken(&self, connection: &mut Connection) -> bool {
        !connection.is_autocommit()
    }
}

/// Runs a reading closure on one snapshot of the database.
pub(super) fn read<T>(pool: &r2d2::Pool<Readers>, keys: &KeyRing, f: &dyn Fn(&mut Tx) -> Result<T>) -> Result<T> {
    let connection = pool.get().map_err(|error| StoreError::Database(error.to_string()))?;
    connection.execute_batch("BEGIN").map_err(|error| translate(&error))?;
    let (outcome, _) = guarded(Tx::sqlite(&connection, keys), f);
    let ended = connection.execute_batch("ROLLBACK").map_err(|error| translate(&error));
    outcome.and_then(|value| ended.map(|()| value))
}

/// The writer thread and the queue to it.
pub(super) struct Writer {
    queue: Option<mpsc::Sender<Box<dyn Job>>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub(super) fn start(connection: Connection, keys: KeyRing, ticker: Ticker) -> Result<Writer> {
        let (queue, jobs) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("muster-writer".into())
            .spawn(move || work(&connection, &keys, &ticker, &jobs))
            .map_err(|error| StoreError::Database(format!("cannot start the writer thread: {error}")))?;
        Ok(Writer { queue: Some(queue), thread: Some(thread) })
    }

    /// Queues a job. A job that cannot be queued is dropped, which its caller notices.
    pub(super) fn submit(&self, job: Box<dyn Job>) {
        if let Some(queue) = &self.queue
            && queue.send(job).is_err()
        {
            tracing::error!("the writer thread is gone");
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take()
            && thread.thread().id() != std::thread::current().id()
            && thread.join().is_err()
        {
            tracing::error!("the writer thread panicked");
        }
    }
}

fn work(connection: &Connection, keys: &KeyRing, ticker: &Ticker, jobs: &mpsc::Receiver<Box<dyn Job>>) {
    while let Ok(first) = jobs.recv() {
        let mut batch = Batch::default();
        let changed = batch.run(connection, keys, first, jobs);
        if changed == Ok(true) {
            ticker.tick();
        }
        let outcome = changed.map(|_| ());
        for job in batch.done {
            job.finish(outcome.clone());
        }
    }
}

#[derive(Default)]
struct Batch {
    done: Vec<Box<dyn Job>>,
}

impl Batch {
    /// Runs and commits a batch; answers whether it changed anything. On an error nothing of it is kept, and that includes
    /// what its failed jobs were told: they may have failed because of rows that no longer exist.
    fn run(
        &mut self,
        connection: &Connection,
        keys: &KeyRing,
        first: Box<dyn Job>,
        jobs: &mpsc::Receiver<Box<dyn Job>>,
    ) -> Result<bool> {
        let begun = connection.execute_batch("BEGIN IMMEDIATE").map_err(|error| translate(&error));
        let started = Instant::now();
        let mut changed = false;
        let mut next = Some(first);
        while let Some(mut job) = next.take() {
            let outcome = match &begun {
                Ok(()) => run_one(connection, keys, job.as_mut()),
                Err(error) => Err(error.clone()),
            };
            self.done.push(job);
            match outcome {
                Ok(state) => changed |= state.changed,
                Err(error) => {
                    // SQLite itself may have ended the transaction already (disk full).
                    if !connection.is_autocommit() {
                        rollback(connection);
                    }
                    return Err(error);
                }
            }
            if self.done.len() < BATCH_JOBS && started.elapsed() < BATCH_TIME {
                next = jobs.try_recv().ok();
            }
        }
        if changed {
            crash::point("commit:before");
        }
        if let Err(error) = connection.execute_batch("COMMIT") {
            if !connection.is_autocommit() {
                rollback(connection);
            }
            return Err(translate(&error));
        }
        if changed {
            crash::point("commit:after");
        }
        Ok(changed)
    }
}

/// Runs one job in its savepoint. An error here means that the whole transaction is lost.
fn run_one(connection: &Connection, keys: &KeyRing, job: &mut dyn Job) -> Result<State> {
    let step = |sql| connection.execute_batch(sql).map_err(|error| translate(&error));
    step("SAVEPOINT job")?;
    let (kept, mut state) = job.run(Tx::sqlite(connection, keys));
    if connection.is_autocommit() {
        return Err(state.failed.unwrap_or_else(|| StoreError::Database("the transaction was ended".into())));
    }
    if !kept {
        step("ROLLBACK TO SAVEPOINT job")?;
        state.changed = false;
    }
    step("RELEASE SAVEPOINT job")?;
    Ok(state)
}

fn rollback(connection: &Connection) {
    if let Err(error) = connection.execute_batch("ROLLBACK") {
        tracing::error!(%error, "cannot roll back");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_numbered_outside_of_quotes() {
        assert_eq!(numbered("a = $2 AND b = '$1' AND \"c$3\" = $10"), "a = ?2 AND b = '$1' AND \"c$3\" = ?10");
        assert_eq!(numbered("SELECT 'it''s $1', $1"), "SELECT 'it''s $1', ?1");
        assert!(matches!(numbered("SELECT 1"), Cow::Borrowed(_)));
    }
}
