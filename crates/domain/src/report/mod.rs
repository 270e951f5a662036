//! Reports over all machines, in memory that grows with what is shown and not with what is read (`lifecycle.md` 1.7).

pub mod usage;
pub mod utilisation;
