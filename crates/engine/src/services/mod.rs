//! What a handler may call, one module an API resource.

pub mod audit;
pub mod channel;
pub mod event;
pub mod image;
pub mod machine;
pub mod operation;
pub(crate) mod reason;
pub mod server;
pub mod site_key;
pub mod sql;
pub mod subscription;
pub mod system;
pub mod token;
pub mod token_seed;
pub mod update;
pub mod warning;
