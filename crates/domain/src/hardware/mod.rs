//! What a machine is made of (`lifecycle.md` 1.5, 2): a reduced [`inventory`] of the document that it gives of its hardware, the
//! [`server_type`] that follows from it, and what it means when it is another one than before ([`mod@drift`]).
//!
//! The document is a machine's own word, and machines belong to others: everything is read tolerantly and within limits, and a
//! machine that says nothing useful is one of which nothing is known, not an error.

pub mod drift;
pub mod inventory;
mod read;
pub mod server_type;

pub use drift::{Change, Severity, difference, drift};
pub use inventory::Inventory;
pub use read::is_placeholder;
pub use server_type::{Fingerprint, Specification};

#[cfg(test)]
mod tests;
