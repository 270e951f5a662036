//! Outbound protocols: what the center, its command line and its simulator say to others, and how they are trusted.
//!
//! - [`tls`] identities, fingerprints, and the only place that decides whom a connection trusts
//! - [`endpoint`] where a peer listens, and how a byte stream to it is opened
//! - [`call`] what a call can fail with, and how an answer is taken apart
//! - [`machine`] a kept connection to one IncusOS or Incus machine
//! - [`incusos`] and [`incus`] the typed calls over it
//! - [`center`] the client of our own API
//! - [`source`] the update source: documents and files behind one URL
//! - [`updates`] its signed documents

pub mod call;
pub mod center;
#[cfg(feature = "crash-points")]
pub mod crash;
#[cfg(not(feature = "crash-points"))]
mod crash;
pub mod endpoint;
pub mod incus;
pub mod incusos;
pub mod machine;
pub mod signature;
pub mod source;
pub mod tls;
pub mod updates;

#[cfg(test)]
mod tests;
