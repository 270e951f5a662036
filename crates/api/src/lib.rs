//! What travels as JSON: the wire types that daemon, command line, simulator and console share.
//!
//! Shapes only: serde and OpenAPI derives, parsing, format validation. No behaviour, no IO.
//! Sources: `servers.md` 1-2, `updates-and-system.md` 1, 6, 10, 16, 21 of the contract.

pub mod alert;
pub mod audit;
pub mod body;
pub mod envelope;
pub mod expected_machine;
pub mod lenient;
pub mod machine;
pub mod provisioning;
pub mod report;
pub mod server_type;
pub mod subscription;
pub mod system;
pub mod time;
pub mod warning;
