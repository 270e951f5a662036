//! Schemas and rows of the tests; each schema stands on its own and can be lifted.
#![expect(dead_code, reason = "every test binary uses some of them")]

pub mod inventory;
pub mod server;
