//! Muster's decisions, as pure functions: no IO, no clock, no async, no SQL.
//!
//! What is true now and what time it is come in as arguments; what to write and what to do next goes out.
//! [`server`] decides about the operating system on a machine: its status, its versions and its recommended action.
//! [`machine`] decides about the physical asset: its lifecycle and everything that must fit to it.
//! [`image`] makes what an installation image is told beforehand.
//! [`subscription`] decides which machines are kept for whom.
//! [`hardware`] decides what a machine is made of, and what it means when that changes.
//! [`operation`] plans what outlives one request.
//! [`report`] adds up what there is, and what it was used for.
//! [`update`] decides which updates are fetched, kept, promoted and told to machines.

pub mod hardware;
pub mod image;
pub mod machine;
pub mod operation;
pub mod report;
pub mod server;
pub mod subscription;
pub mod update;
