//! Servers, tokens, seeds, channels and updates.

pub mod channel;
pub mod seed;
pub mod server;
pub mod status;
pub mod token;
pub mod update;
