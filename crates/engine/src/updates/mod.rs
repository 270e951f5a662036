//! Updates as they lie here: their files by content, how an archive becomes an update, and the list that machines ask for.
//!
//! - `files` the files, one for each content, named by its SHA-256
//! - `kept` what an upload that broke off had brought whole
//! - `feed` a request's body, handed to a thread that reads it as a file
//! - `archive` an uploaded tar: read, verified and stored without being visible
//! - `names` what the names and kinds of a tar's entries may be
//! - `counters` what was fetched
//! - `manifests` what its images are made of
//! - `filter` which updates of a source are taken, and which of their files
//! - `index` the index of the source: verified, not older than the last one, filtered
//! - `download` a file on its way from the source
//! - `rows` between the stored row and what the domain compares
//! - `schedule` refreshes every hour
//! - `list` the list of updates, from memory

pub(crate) mod archive;
pub mod counters;
pub(crate) mod download;
pub mod feed;
pub mod files;
pub(crate) mod filter;
pub(crate) mod index;
pub(crate) mod kept;
pub mod list;
pub(crate) mod manifests;
mod names;
pub(crate) mod rows;
pub mod schedule;
