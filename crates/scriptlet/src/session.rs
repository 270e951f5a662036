//! What the functions of a running program reach: the changes and the way to the machine.
//!
//! A program has its thread to itself, so the session of that thread is the program's. The
//! interpreter's own slot for such state needs `unsafe` code, which this workspace forbids.

use std::cell::RefCell;
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value as Json;

use crate::functions::FunctionError;
use crate::{Changes, HostCall, Level, MAX_LOG_LINES};

/// Characters kept of one log line.
const MAX_LOG_CHARS: usize = 4096;

/// A request under way and where its answer goes.
pub(crate) struct Pending {
    pub call: HostCall,
    pub answer: Sender<Result<Json, String>>,
}

/// The state behind `log`, `server` and `incusos` during one run.
pub(crate) struct Session {
    /// Shared with the caller, who reads it even if the program's thread dies.
    pub changes: Arc<Mutex<Changes>>,
    pub calls: Sender<Pending>,
}

thread_local! {
    static SESSION: RefCell<Option<Session>> = const { RefCell::new(None) };
}

impl Session {
    /// Makes this the session of the current thread until the returned guard goes.
    pub fn enter(self) -> Entered {
        SESSION.set(Some(self));
        Entered
    }
}

/// Ends the session of the thread, and with it the caller's wait for requests.
pub(crate) struct Entered;

impl Drop for Entered {
    fn drop(&mut self) {
        SESSION.set(None);
    }
}

fn with<T>(f: impl FnOnce(&Session) -> Result<T, FunctionError>) -> Result<T, FunctionError> {
    SESSION.with_borrow(|session| f(session.as_ref().ok_or(FunctionError::AtLoad)?))
}

/// Changes the record.
pub(crate) fn change(f: impl FnOnce(&mut Changes)) -> Result<(), FunctionError> {
    with(|session| {
        f(&mut session.changes.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(())
    })
}

/// Sends a request to the machine and waits for the answer.
pub(crate) fn ask(call: HostCall) -> Result<Json, FunctionError> {
    let gone = || FunctionError::Host("the caller is gone".to_owned());
    with(|session| {
        let (answer, answered) = mpsc::channel();
        session.calls.send(Pending { call, answer }).map_err(|_| gone())?;
        answered.recv().map_err(|_| gone())?.map_err(FunctionError::Host)
    })
}

/// Adds a log line; a program that floods the log is cut short, not stopped.
pub(crate) fn log(level: Level, text: &str) -> Result<(), FunctionError> {
    change(|changes| match changes.log.len() {
        n if n < MAX_LOG_LINES => changes.log.push((level, text.chars().take(MAX_LOG_CHARS).collect())),
        MAX_LOG_LINES => changes.log.push((Level::Warn, "Further log lines are dropped".to_owned())),
        _ => {}
    })
}
