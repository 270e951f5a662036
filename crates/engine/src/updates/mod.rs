//! Updates as they lie here: their files by content, how an archive becomes an update, and the list that machines ask for.
//!
//! - `files` the files, one for each content, named by its SHA-256
//! - `feed` a request's body, handed to a thread that reads it as a file
//! - `archive` an uploaded tar: read, verified and stored without being visible
//! - `names` what the names and kinds of a tar's entries may be
//! - `list` the list of updates, from memory

pub(crate) mod archive;
pub mod feed;
pub mod files;
pub mod list;
mod names;
