//! The layer over both databases: [`Store`] runs synchronous closures in transactions.
//!
//! A closure cannot await. A transaction is therefore never open while the network, a machine or another task is being
//! waited for, by construction; whoever needs both reads first, acts, and then writes with a guard on what was read.
//! Nor can it call the store again, which would wait for itself: blocking calls inside a closure are refused.
//! Closures are `Fn`: on PostgreSQL one whose connection is lost, or that clashes with another client, is run again from the
//! beginning. On both databases one write transaction runs at a time.

pub(crate) mod postgres;
mod raw;
mod row;
mod sqlite;
mod tls;
mod tx;

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::{Semaphore, oneshot, watch};
use tokio_util::task::AbortOnDropHandle;

pub use raw::Outcome;
pub use row::Row;
pub use tx::Tx;

use crate::error::{Result, StoreError};
use crate::migrate;
use crate::rekey;
use crate::seal::KeyRing;
use tx::State;

/// Readers (SQLite), connections (PostgreSQL).
const CONNECTIONS: u32 = 8;

/// Where the data of a site is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// A file, made where it is missing; `-wal` and `-shm` files live beside it.
    Sqlite(PathBuf),
    /// A URL (`postgres://…`) or libpq's `key=value` text; a host that begins with `/` is the directory of a unix socket.
    /// PostgreSQL 15 or newer.
    Postgres(String),
}

/// The store of a site. Clones share one database.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    driver: Driver,
    keys: KeyRing,
    ticker: Ticker,
    /// As many closures as there are connections; the others wait here instead of holding a thread each.
    slots: Arc<Semaphore>,
    /// Whose turn it is to write (PostgreSQL).
    turn: Arc<Semaphore>,
}

enum Driver {
    Sqlite { readers: r2d2::Pool<sqlite::Readers>, writer: sqlite::Writer },
    Postgres(postgres::Database),
}

/// Counts commits for those who wait for a change.
#[derive(Clone)]
pub(crate) struct Ticker(Arc<watch::Sender<u64>>);

impl Ticker {
    fn new() -> Ticker {
        Ticker(Arc::new(watch::Sender::new(0)))
    }

    pub(crate) fn tick(&self) {
        self.0.send_modify(|ticks| *ticks += 1);
    }

    /// Whether the store that this belongs to is gone.
    fn weak(&self) -> std::sync::Weak<watch::Sender<u64>> {
        Arc::downgrade(&self.0)
    }
}

/// A write call in the queue of the SQLite writer.
trait Job: Send {
    /// Runs the closure; answers whether its changes are to be kept.
    fn run(&mut self, tx: Tx) -> (bool, State);
    /// Answers the caller, once the fate of the commit is known.
    fn finish(self: Box<Self>, commit: Result<()>);
}

struct Call<F, T, A> {
    f: F,
    outcome: Option<Result<T>>,
    answer: A,
}

impl<F, T, A> Job for Call<F, T, A>
where
    F: Fn(&mut Tx) -> Result<T> + Send,
    T: Send,
    A: FnOnce(Result<T>) + Send,
{
    fn run(&mut self, tx: Tx) -> (bool, State) {
        let (outcome, state) = guarded(tx, &self.f);
        let kept = outcome.is_ok();
        self.outcome = Some(outcome);
        (kept, state)
    }

    fn finish(self: Box<Self>, commit: Result<()>) {
        let outcome = self.outcome.unwrap_or_else(|| Err(gone()));
        (self.answer)(commit.and(outcome));
    }
}

fn gone() -> StoreError {
    StoreError::Interrupted("the store is shut down".into())
}

thread_local! {
    /// Whether this thread is inside a closure of a store.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// Runs a closure, with a panic turned into an error and a swallowed failure brought back.
fn guarded<T>(mut tx: Tx, f: &dyn Fn(&mut Tx) -> Result<T>) -> (Result<T>, State) {
    INSIDE.set(true);
    let outcome = catch_unwind(AssertUnwindSafe(|| f(&mut tx)))
        .unwrap_or_else(|panic| Err(StoreError::Panicked(panic_text(panic.as_ref()))));
    INSIDE.set(false);
    let state = tx.end();
    match &state.failed {
        Some(error) if outcome.is_ok() => (Err(error.clone()), state),
        _ => (outcome, state),
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "unknown".to_owned())
}

/// Runs `f` on a thread of its own: the PostgreSQL driver brings its own runtime, which must not run inside another one.
fn apart<T: Send>(f: impl FnOnce() -> T + Send) -> Result<T> {
    if INSIDE.get() {
        return Err(StoreError::Database("a store call inside a store call".into()));
    }
    std::thread::scope(|scope| scope.spawn(f).join()).map_err(|panic| StoreError::Panicked(panic_text(panic.as_ref())))
}

impl Store {
    /// Connects, brings the schema up to date and makes sure that the key ring belongs to this database.
    /// Blocks; may be called anywhere.
    pub fn open(location: &Location, keys: KeyRing) -> Result<Store> {
        let ticker = Ticker::new();
        let driver = match location {
            Location::Sqlite(path) => {
                let mut connection = sqlite::open(path)?;
                migrate::sqlite(&mut connection)?;
                let readers = pool(CONNECTIONS).build(sqlite::Readers(path.clone()));
                let readers = readers.map_err(|error| StoreError::Database(error.to_string()))?;
                Driver::Sqlite { readers, writer: sqlite::Writer::start(connection, keys.clone(), ticker.clone())? }
            }
            Location::Postgres(text) => {
                Driver::Postgres(apart(|| postgres::Database::open(text, CONNECTIONS, &ticker))??)
            }
        };
        let slots = Arc::new(Semaphore::new(CONNECTIONS as usize));
        let inner = Inner { driver, keys, ticker, slots, turn: Arc::new(Semaphore::new(1)) };
        let store = Store { inner: Arc::new(inner) };
        rekey::check_keys(&store)?;
        Ok(store)
    }

    /// Runs `f` on one snapshot of the data. It must not write.
    pub async fn read<T: Send + 'static>(&self, f: impl Fn(&mut Tx) -> Result<T> + Send + 'static) -> Result<T> {
        let task = tokio::spawn(self.inner.clone().in_slot(move |inner| inner.read(&f)));
        // Whoever stops waiting does not want it any more.
        AbortOnDropHandle::new(task).await.map_err(|error| StoreError::Interrupted(error.to_string()))?
    }

    /// Runs `f` in a transaction: committed (and durable) when it answers `Ok`, undone when it answers `Err` or panics.
    /// Goes on when the caller stops waiting.
    pub async fn write<T: Send + 'static>(&self, f: impl Fn(&mut Tx) -> Result<T> + Send + 'static) -> Result<T> {
        if let Driver::Sqlite { writer, .. } = &self.inner.driver {
            let (sender, receiver) = oneshot::channel();
            // Nobody waits any more: the change is made all the same.
            let answer = move |outcome| drop(sender.send(outcome));
            writer.submit(Box::new(Call { f, outcome: None, answer }));
            return receiver.await.unwrap_or_else(|_| Err(gone()));
        }
        let inner = self.inner.clone();
        let task = tokio::spawn(async move {
            // One of this process waits for the others to have written: the slots stay free for those who read.
            let turn = inner.turn.clone().acquire_owned().await.map_err(|_| gone())?;
            let write = move |inner: &Inner| {
                let outcome = inner.write(f);
                drop(turn);
                outcome
            };
            inner.in_slot(write).await
        });
        task.await.map_err(|error| StoreError::Interrupted(error.to_string()))?
    }

    /// [`Store::read`] for start-up, tools and tests: blocks the thread.
    pub fn read_blocking<T: Send + 'static>(&self, f: impl Fn(&mut Tx) -> Result<T> + Send + 'static) -> Result<T> {
        apart(move || self.inner.read(&f))?
    }

    /// [`Store::write`] for start-up, tools and tests: blocks the thread.
    pub fn write_blocking<T: Send + 'static>(&self, f: impl Fn(&mut Tx) -> Result<T> + Send + 'static) -> Result<T> {
        apart(move || self.inner.write(f))?
    }

    /// Ticks after each commit that changed something, by this process or (PostgreSQL) by another one.
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.inner.ticker.0.subscribe()
    }

    /// The keys that secrets are sealed with.
    pub fn keys(&self) -> &KeyRing {
        &self.inner.keys
    }

    /// Whether several processes may share this store.
    pub fn is_postgres(&self) -> bool {
        matches!(self.inner.driver, Driver::Postgres(_))
    }
}

impl Inner {
    /// Waits for a slot, and runs `call` in it. A task of its own has to do so: a caller that waits for something else meanwhile,
    /// as an arm of `select!` does, would be given the slot and not take it, and with enough of them nobody gets any more.
    async fn in_slot<T: Send + 'static>(
        self: Arc<Self>,
        call: impl FnOnce(&Self) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let slot = self.slots.clone().acquire_owned().await.map_err(|_| gone())?;
        let call = move || {
            let outcome = call(&self);
            drop(slot);
            outcome
        };
        tokio::task::spawn_blocking(call).await.map_err(|error| StoreError::Interrupted(error.to_string()))?
    }

    fn read<T>(&self, f: &dyn Fn(&mut Tx) -> Result<T>) -> Result<T> {
        match &self.driver {
            Driver::Sqlite { readers, .. } => sqlite::read(readers, &self.keys, f),
            Driver::Postgres(database) => database.read(&self.keys, f),
        }
    }

    fn write<T: Send + 'static>(&self, f: impl Fn(&mut Tx) -> Result<T> + Send + 'static) -> Result<T> {
        match &self.driver {
            Driver::Sqlite { writer, .. } => {
                let (sender, receiver) = std::sync::mpsc::sync_channel(1);
                let answer = move |outcome| drop(sender.send(outcome));
                writer.submit(Box::new(Call { f, outcome: None, answer }));
                receiver.recv().unwrap_or_else(|_| Err(gone()))
            }
            Driver::Postgres(database) => database.write(&self.keys, &self.ticker, &f),
        }
    }
}

/// A pool without the library's own log, periodic replacement and idle set.
fn pool<M: r2d2::ManageConnection>(size: u32) -> r2d2::Builder<M> {
    r2d2::Pool::builder()
        .max_size(size)
        .min_idle(Some(1))
        .max_lifetime(None)
        .test_on_check_out(false)
        .connection_timeout(std::time::Duration::from_secs(10))
        .error_handler(Box::new(PoolLog))
}

#[derive(Debug)]
struct PoolLog;

impl<E: std::error::Error> r2d2::HandleError<E> for PoolLog {
    fn handle_error(&self, error: E) {
        tracing::warn!(%error, "database connection");
    }
}
