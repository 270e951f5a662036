//! A server: the operating system registered from a machine (its *enrolment*) and what can be said about it.

pub mod action;
pub mod address;
pub mod check;
pub mod documents;
pub mod enrolment;
pub mod hidden;
pub mod self_update;
pub mod status;
pub mod text;
pub mod update_state;
pub mod version;

#[cfg(test)]
mod defects;
