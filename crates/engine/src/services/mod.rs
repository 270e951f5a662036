//! What a handler may call, one module an API resource.

pub mod audit;
pub mod channel;
pub mod event;
pub mod expected_machine;
pub mod image;
pub mod machine;
pub mod machine_alert;
pub mod machine_hardware;
pub mod operation;
pub(crate) mod reason;
pub mod report;
pub mod server;
pub mod server_type;
pub mod site_key;
pub mod sql;
pub mod subscription;
pub mod system;
pub mod token;
pub mod token_seed;
pub mod update;
pub mod warning;
