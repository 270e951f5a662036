//! Updates: what a publisher may say, which of it is fetched, kept and removed, and which channel gets it when.
//!
//! - [`index`] reads the publisher's documents
//! - [`path`] the names of files that may be stored, whoever brings them
//! - [`edition`] refuses an index older than one that was accepted
//! - [`held`] an update here, and the one order of updates
//! - [`retention`] which of the updates here are worth their space
//! - [`select`] compares the index with what is here: fetch, complete, keep, remove
//! - [`share`] who of those that load may send how much, and when
//! - [`space`] whether there is room for it
//! - [`promotion`] channels that follow others, are frozen, and what is withdrawn
//! - [`changelog`] what changed between two updates

pub mod changelog;
pub mod edition;
pub mod held;
pub mod index;
pub mod path;
pub mod promotion;
pub mod retention;
pub mod select;
pub mod share;
pub mod space;
