//! The whole router in process, on both databases: permissions, hostile input, a simulated fleet.

mod bench;
mod fleet;
mod hostile;
mod permissions;
