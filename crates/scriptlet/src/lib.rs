//! The registration scriptlet: a Starlark program of the administrator that looks at a server
//! once, at the end of its registration, and may rename, describe or configure it
//! (servers.md 13).
//!
//! Starlark is the largest dependency of the workspace, so it stays behind this crate. A program
//! runs on a thread of its own: its stack is large enough for any program of the accepted length,
//! and calls to the machine are handed back to the caller's thread.

mod convert;
mod depth;
mod engine;
mod error;
mod functions;
mod session;

use std::collections::BTreeMap;

pub use error::ScriptletError;

/// Longest accepted program, in bytes.
pub const MAX_SOURCE_BYTES: usize = 64 * 1024;

/// Operators, opening brackets, numbers and keywords one statement may have, and `elif` branches
/// one program: an upper bound of how deep the interpreter recurses into it.
pub const MAX_NESTING: usize = 1000;

/// Function calls plus loop rounds one run may take.
pub const MAX_TICKS: u64 = 200_000;

/// Size one run's Starlark heap may reach, in bytes. It is looked at between operations only:
/// one operation can exceed it (`"a" * 1000000000`), so the program stays an administrator's right.
pub const MAX_HEAP_BYTES: usize = 64 * 1024 * 1024;

/// Deepest nesting of function calls.
pub const MAX_CALL_DEPTH: usize = 200;

/// Log lines one run may write; further ones are dropped after a line that says so.
pub const MAX_LOG_LINES: usize = 1000;

/// Severity of a line the program logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// `log.info` and `print`.
    Info,
    /// `log.warn`.
    Warn,
    /// `log.error`.
    Error,
}

/// What the program asked to change in the server's record; `None` leaves a field alone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// New name of the record, never empty.
    pub name: Option<String>,
    /// New description.
    pub description: Option<String>,
    /// New properties; they replace all old ones.
    pub properties: Option<BTreeMap<String, String>>,
    /// New connection URL, always `https://host:port`.
    pub connection_url: Option<String>,
    /// New public connection URL, always `https://host:port`.
    pub public_connection_url: Option<String>,
    /// New channel to store. Nothing is sent to the machine, and existence is the caller's check.
    pub channel: Option<String>,
    /// Lines the program logged, oldest first.
    pub log: Vec<(Level, String)>,
}

/// A request of the program to the machine, under `/os/1.0`. Resource and service names are
/// single path segments without characters that need escaping.
#[derive(Debug, Clone, PartialEq)]
pub enum HostCall {
    /// `GET system/<resource>`; the answer must be an object.
    GetSystem {
        /// Name below `system/`.
        resource: String,
    },
    /// `PUT system/<resource>` with `config` as body, unwrapped.
    SetSystem {
        /// Name below `system/`.
        resource: String,
        /// The whole body.
        config: serde_json::Value,
    },
    /// `POST system/<resource>/:<action>`, or `POST system/:<action>` for an empty resource.
    TriggerAction {
        /// Name below `system/`, may be empty.
        resource: String,
        /// Action without its leading colon.
        action: String,
        /// The whole body.
        body: serde_json::Value,
    },
    /// `GET services/<service>`; the answer must be an object.
    GetService {
        /// Name of the service.
        service: String,
    },
    /// `PUT services/<service>`.
    SetService {
        /// Name of the service.
        service: String,
        /// The whole body, already wrapped in `config`.
        config: serde_json::Value,
    },
    /// `POST applications`.
    AddApplication {
        /// Name of the application.
        application: String,
    },
}

/// Carries the program's requests to the machine.
pub trait Host {
    /// Sends one request and waits for its answer, as text for the program on failure. Runs on
    /// the thread that called [`run`]; time limits are the implementation's.
    fn call(&mut self, call: HostCall) -> Result<serde_json::Value, String>;
}

/// Checks a program before it is stored. An empty one is fine and means "none". It is parsed,
/// compiled and its top level executed, where the functions of `log`, `server` and `incusos`
/// are refused; it must define `server_registration` with exactly the parameter `candidate`.
pub fn validate(source: &str) -> Result<(), ScriptletError> {
    engine::validate(source)
}

/// Runs the program's `server_registration` on one server.
///
/// `candidate` is the record under the filter identifiers of servers.md 3.3. Its objects become
/// objects with attributes, except where the record holds a map (`properties`, say), which
/// becomes a dict. An error ends the program, but the changes made before it are returned and
/// are to be written (servers.md 13). An empty program changes nothing.
///
/// Blocks until the program ended: call it where blocking is allowed.
pub fn run(source: &str, candidate: &serde_json::Value, host: &mut dyn Host) -> (Changes, Result<(), ScriptletError>) {
    engine::run(source, candidate, host)
}
