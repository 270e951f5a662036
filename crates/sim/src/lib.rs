//! A fleet in a box: simulated IncusOS servers that register, are polled, updated, evacuated, rebooted and wiped over
//! real TLS, thousands in one process, with seeded faults.
//!
//! - [`model`] what a machine does, pure, with the time as a parameter
//! - [`documents`] what it says about itself
//! - [`fault`] how machines go wrong, and which ones
//! - [`wire`] TLS and HTTP in front of a model
//! - [`boot`] what a machine asks of the center
//! - [`fleet`] all of them together
//! - [`publisher`] a source of updates, signed by an authority of its own

pub mod boot;
pub mod documents;
pub mod fault;
pub mod fleet;
pub mod member;
pub mod model;
pub mod parts;
pub mod publisher;
pub mod spec;
pub mod wire;

/// Takes as many open files as the system grants: sessions begin with a soft limit that is far below the hard one.
///
/// # Errors
/// The system's; the limit stays as it is then.
pub fn raise_open_files() -> std::io::Result<()> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    Ok(setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })?)
}

pub use fault::Fault;
pub use fleet::{Bind, CenterOptions, Fleet, FleetOptions};
