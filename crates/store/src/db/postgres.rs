//! PostgreSQL: statements, a pool of connections, write transactions one after the other, and the notifications by which
//! processes wake each other.

use bytes::BytesMut;
use std::collections::HashMap;
use std::hash::BuildHasher as _;
use std::sync::{Arc, Weak};
use std::time::Duration;

use postgres::error::SqlState;
use postgres::fallible_iterator::FallibleIterator as _;
use postgres::types::{IsNull, ToSql, Type, to_sql_checked};
use postgres::{Client, Statement};
use tokio::sync::watch;

use crate::crash;
use crate::db::row::Row;
use crate::db::tls::Connector;
use crate::db::tx::{Stop, Tx};
use crate::db::{Outcome, Ticker, apart, guarded, pool, raw};
use crate::error::{Result, StoreError, Violation};
use crate::migrate;
use crate::seal::KeyRing;
use crate::value::Value;

/// How often a closure is run at most.
const ATTEMPTS: u32 = 10;
const STATEMENTS: usize = 256;

/// One writer at a time, as on SQLite: nearly every write appends to the one audit chain, so of two side by side the later
/// one would lose and be run again. `LOCK` takes no snapshot: what follows sees everything that was committed before the
/// lock was given, and who reads sees the numbers of what is appended in their order. Serializable is for clashes with what
/// does not go through the gate: an operator's own client. Who stands still within a transaction is cut off before daemons take
/// each other for gone.
const BEGIN_WRITE: &str = "BEGIN ISOLATION LEVEL SERIALIZABLE; SET LOCAL idle_in_transaction_session_timeout = '8s'; \
                           LOCK TABLE write_gate IN EXCLUSIVE MODE";
const BEGIN_READ: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

impl ToSql for Value {
    fn to_sql(
        &self,
        wanted: &Type,
        out: &mut BytesMut,
    ) -> std::result::Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match self {
            Value::Null => Ok(IsNull::Yes),
            Value::Bool(value) if *wanted == Type::BOOL => value.to_sql(wanted, out),
            Value::Int(value) if *wanted == Type::INT8 => value.to_sql(wanted, out),
            Value::Int(value) if *wanted == Type::INT4 => i32::try_from(*value)?.to_sql(wanted, out),
            Value::Text(text) if <&str as ToSql>::accepts(wanted) => text.as_str().to_sql(wanted, out),
            Value::Blob(bytes) if *wanted == Type::BYTEA => bytes.as_slice().to_sql(wanted, out),
            _ => Err(format!("a parameter of type {wanted} was given another kind of value").into()),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

/// What the server or the driver says, without values of rows.
pub(crate) fn describe(error: &postgres::Error) -> String {
    match (error.as_db_error(), std::error::Error::source(error)) {
        (Some(db), _) => format!("{} ({})", db.message(), db.code().code()),
        (None, Some(source)) => format!("{error}: {source}"),
        (None, None) => error.to_string(),
    }
}

fn translate(error: &postgres::Error) -> StoreError {
    let Some(db) = error.as_db_error() else { return StoreError::Database(describe(error)) };
    let detail = match (db.constraint(), db.table(), db.column()) {
        (Some(constraint), ..) => constraint.to_owned(),
        (None, Some(table), Some(column)) => format!("{table}.{column}"),
        _ => db.message().to_owned(),
    };
    let code = db.code();
    if *code == SqlState::UNIQUE_VIOLATION {
        Violation::Unique.error(&detail)
    } else if *code == SqlState::FOREIGN_KEY_VIOLATION {
        Violation::ForeignKey.error(&detail)
    } else if *code == SqlState::NOT_NULL_VIOLATION {
        Violation::NotNull.error(&detail)
    } else if *code == SqlState::CHECK_VIOLATION {
        Violation::Check.error(&detail)
    } else if *code == SqlState::LOCK_NOT_AVAILABLE || clashes(error) {
        StoreError::Busy
    } else {
        StoreError::Database(describe(error))
    }
}

/// Whether the transaction lost against another one and may win the next time.
fn clashes(error: &postgres::Error) -> bool {
    let Some(db) = error.as_db_error() else { return false };
    let stale_plan = *db.code() == SqlState::FEATURE_NOT_SUPPORTED && db.message().contains("cached plan");
    // A failure that we saw never leads to another statement. One behind the last row that was wanted is not seen, and what
    // fails there without our having done anything wrong is a clash.
    let lost =
        [SqlState::T_R_SERIALIZATION_FAILURE, SqlState::T_R_DEADLOCK_DETECTED, SqlState::IN_FAILED_SQL_TRANSACTION];
    lost.contains(db.code()) || stale_plan
}

/// Whether the server has ended the connection. Its farewell may arrive before the connection counts as closed.
fn lost(error: &postgres::Error) -> bool {
    const FAREWELLS: [SqlState; 3] =
        [SqlState::ADMIN_SHUTDOWN, SqlState::CRASH_SHUTDOWN, SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT];
    error.is_closed() || error.code().is_some_and(|code| FAREWELLS.contains(code))
}

/// One connection with its prepared statements.
pub(crate) struct Connection {
    client: Client,
    statements: HashMap<String, Statement>,
    /// The pool must not keep it.
    dead: bool,
}

impl Connection {
    /// Begins or ends a transaction. A connection that turns out to be dead is marked for the pool.
    fn batch(&mut self, sql: &str) -> Result<(), postgres::Error> {
        let outcome = self.client.batch_execute(sql);
        if let Err(error) = &outcome {
            self.dead |= lost(error) || self.client.is_closed();
        }
        outcome
    }

    fn prepare(&mut self, sql: &str) -> Result<Statement, postgres::Error> {
        if let Some(statement) = self.statements.get(sql) {
            return Ok(statement.clone());
        }
        if self.statements.len() >= STATEMENTS {
            self.statements.clear();
        }
        let statement = self.client.prepare(sql)?;
        self.statements.insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }

    fn driver(&mut self, error: &postgres::Error) -> Stop {
        let clash = clashes(error);
        if clash {
            // Cheap, and it rids us of plans for a schema that has changed.
            self.statements.clear();
        }
        self.dead |= lost(error) || self.client.is_closed();
        Stop::Driver { error: translate(error), again: clash || self.dead }
    }

    pub(super) fn execute(&mut self, sql: &str, params: &[Value]) -> Result<u64, Stop> {
        let params: Vec<&(dyn ToSql + Sync)> = params.iter().map(|value| value as _).collect();
        let outcome = self.prepare(sql).and_then(|statement| self.client.execute(&statement, &params));
        outcome.map_err(|error| self.driver(&error))
    }

    pub(super) fn scan(
        &mut self,
        sql: &str,
        params: &[Value],
        each: &mut dyn FnMut(&Row) -> Result<bool>,
    ) -> Result<(), Stop> {
        let statement = self.prepare(sql).map_err(|error| self.driver(&error))?;
        let params = params.iter().map(|value| value as &(dyn ToSql + Sync));
        let outcome = match self.client.query_raw(&statement, params) {
            Err(error) => Err(error),
            Ok(mut rows) => loop {
                match rows.next() {
                    Err(error) => break Err(error),
                    Ok(None) => break Ok(()),
                    Ok(Some(row)) => {
                        if !each(&Row::postgres(&row)).map_err(Stop::Caller)? {
                            break Ok(());
                        }
                    }
                }
            },
        };
        outcome.map_err(|error| self.driver(&error))
    }

    /// Runs one statement of an operator. Preparing it tells the types, and refuses more than one statement.
    pub(super) fn raw(&mut self, sql: &str) -> Result<Outcome, Stop> {
        let statement = self.client.prepare(sql).map_err(|error| self.driver(&error))?;
        let columns = statement.columns().iter().map(|column| (column.name().to_owned(), column.type_().clone()));
        let columns: Vec<(String, Type)> = columns.collect();
        let messages = self.client.simple_query(sql).map_err(|error| self.driver(&error))?;
        raw::postgres(&columns, &messages)
    }

    pub(super) fn control(&mut self, sql: &str) -> Result<(), Stop> {
        self.batch(sql).map_err(|error| self.driver(&error))
    }

    fn rollback(&mut self) {
        if !self.dead
            && let Err(error) = self.batch("ROLLBACK")
        {
            tracing::warn!(error = describe(&error), "cannot roll back");
        }
    }
}

/// Makes connections for the pool.
struct Connections(Connector);

impl r2d2::ManageConnection for Connections {
    type Connection = Connection;
    type Error = postgres::Error;

    fn connect(&self) -> Result<Connection, postgres::Error> {
        Ok(Connection { client: self.0.connect()?, statements: HashMap::new(), dead: false })
    }

    fn is_valid(&self, connection: &mut Connection) -> Result<(), postgres::Error> {
        connection.client.batch_execute("")
    }

    fn has_broken(&self, connection: &mut Connection) -> bool {
        connection.dead || connection.client.is_closed()
    }
}

/// One PostgreSQL database.
pub(super) struct Database {
    pool: Option<r2d2::Pool<Connections>>,
    /// Ends a transaction that changed something: wakes the other processes, which see from the text that it was us.
    commit: String,
}

impl Database {
    /// Connects, migrates and starts to listen. Must not run on a thread of an async runtime.
    pub(super) fn open(text: &str, connections: u32, ticker: &Ticker) -> Result<Database> {
        let config = text.parse().map_err(|error| StoreError::Database(describe(&error)))?;
        let connector = Connector::new(config)?;
        let mut client = connector.connect().map_err(|error| translate(&error))?;
        migrate::postgres(&mut client)?;
        let own = uuid::Uuid::new_v4().simple().to_string();
        client.batch_execute("LISTEN muster").map_err(|error| translate(&error))?;
        let listener =
            Listener { connector: connector.clone(), own: own.clone(), ticker: ticker.weak(), client: Some(client) };
        std::thread::Builder::new()
            .name("muster-listen".into())
            .spawn(move || listener.run())
            .map_err(|error| StoreError::Database(format!("cannot start the listening thread: {error}")))?;
        let pool = pool(connections).build(Connections(connector));
        let pool = pool.map_err(|error| StoreError::Database(error.to_string()))?;
        Ok(Database { pool: Some(pool), commit: format!("NOTIFY muster, '{own}'; COMMIT") })
    }

    fn connection(&self) -> Result<r2d2::PooledConnection<Connections>> {
        let pool = self.pool.as_ref().ok_or_else(super::gone)?;
        pool.get().map_err(|error| StoreError::Database(error.to_string()))
    }

    pub(super) fn read<T>(&self, keys: &KeyRing, f: &dyn Fn(&mut Tx) -> Result<T>) -> Result<T> {
        let mut last = StoreError::Busy;
        for _ in 0..ATTEMPTS {
            let mut connection = self.connection()?;
            if let Err(error) = connection.batch(BEGIN_READ) {
                last = translate(&error);
                if connection.dead {
                    continue;
                }
                return Err(last);
            }
            let (outcome, state) = guarded(Tx::postgres(&mut connection, keys), f);
            match (state.again, state.failed) {
                (true, Some(error)) => last = error,
                _ => {
                    connection.rollback();
                    return outcome;
                }
            }
            connection.rollback();
        }
        Err(last)
    }

    pub(super) fn write<T>(&self, keys: &KeyRing, ticker: &Ticker, f: &dyn Fn(&mut Tx) -> Result<T>) -> Result<T> {
        let mut last = StoreError::Busy;
        for attempt in 1..=ATTEMPTS {
            let mut connection = self.connection()?;
            if let Err(error) = connection.batch(BEGIN_WRITE) {
                last = translate(&error);
                if connection.dead {
                    continue;
                }
                connection.rollback();
                if last == StoreError::Busy {
                    continue;
                }
                return Err(last);
            }
            let (outcome, state) = guarded(Tx::postgres(&mut connection, keys), f);
            let value = match (outcome, state.failed) {
                (_, Some(error)) if state.again => {
                    last = error;
                    connection.rollback();
                    pause(attempt);
                    continue;
                }
                (Err(error), _) => {
                    connection.rollback();
                    return Err(error);
                }
                (Ok(value), _) => value,
            };
            let commit = if state.changed { self.commit.as_str() } else { "COMMIT" };
            if state.changed {
                crash::point("commit:before");
            }
            let Err(error) = connection.batch(commit) else {
                if state.changed {
                    crash::point("commit:after");
                    ticker.tick();
                }
                return Ok(value);
            };
            if connection.dead {
                return Err(StoreError::Interrupted("the connection was lost while committing".into()));
            }
            connection.rollback();
            last = translate(&error);
            if !clashes(&error) {
                return Err(last);
            }
            pause(attempt);
        }
        Err(last)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // Closing a connection runs the driver's runtime.
        let pool = self.pool.take();
        if let Err(error) = apart(move || drop(pool)) {
            tracing::warn!(%error, "cannot close the database connections");
        }
    }
}

/// Waits before the next try, longer each time and never as long as those who lost with us.
fn pause(attempt: u32) {
    let most = 1_u64 << attempt.min(6);
    let random = std::hash::RandomState::new().hash_one(attempt);
    std::thread::sleep(Duration::from_millis(1 + random % most));
}

/// Turns the notifications of other processes into ticks, until the store is gone.
struct Listener {
    connector: Connector,
    own: String,
    ticker: Weak<watch::Sender<u64>>,
    client: Option<Client>,
}

/// How long the thread outlives its store at most.
const LISTEN_TURN: Duration = Duration::from_secs(1);
const RECONNECT_MOST: Duration = Duration::from_secs(30);

impl Listener {
    fn run(mut self) {
        let mut delay = Duration::from_millis(100);
        loop {
            let Some(ticker) = self.ticker.upgrade().map(|sender: Arc<_>| Ticker(sender)) else { return };
            match self.turn(&ticker) {
                Ok(()) => delay = Duration::from_millis(100),
                Err(error) => {
                    tracing::warn!(error = describe(&error), "lost the database's notifications");
                    self.client = None;
                    drop(ticker);
                    std::thread::sleep(delay);
                    delay = (delay * 2).min(RECONNECT_MOST);
                }
            }
        }
    }

    /// Waits for one notification or a short time.
    fn turn(&mut self, ticker: &Ticker) -> Result<(), postgres::Error> {
        let client = match &mut self.client {
            Some(client) => client,
            empty => {
                let mut client = self.connector.connect()?;
                client.batch_execute("LISTEN muster")?;
                // What was said in the meantime is lost.
                ticker.tick();
                empty.insert(client)
            }
        };
        let heard = client.notifications().timeout_iter(LISTEN_TURN).next()?;
        // A closed connection has no notifications, and no error either.
        let closed = client.is_closed();
        if heard.is_some_and(|notification| notification.payload() != self.own) {
            ticker.tick();
        }
        if closed {
            self.client = None;
        }
        Ok(())
    }
}
