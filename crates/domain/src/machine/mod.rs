//! A machine: the physical asset, never lost, and its life from the first registration to the tombstone
//! (`lifecycle.md` 1 and 5).
//!
//! [`transition`] is the only function that changes a machine; what it may do with the lifecycle is the constant
//! table [`lifecycle::EDGES`]. A test explores every state that can be reached and checks the invariants.

pub mod alert;
pub mod allocatable;
pub mod asset;
pub mod axes;
pub mod birth;
pub mod command;
pub mod expected;
pub mod lifecycle;
pub mod moves;
pub mod refusal;
pub mod registration;
pub mod replay;
mod transition;

pub use axes::Machine;
pub use command::Command;
pub use lifecycle::Lifecycle;
pub use moves::Move;
pub use refusal::Refusal;
pub use transition::{Actor, Change, EdgeId, Record, transition};

#[cfg(test)]
mod tests;
