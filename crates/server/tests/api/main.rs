//! The whole router in process, on both databases: permissions, hostile input, a simulated fleet.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![expect(clippy::disallowed_methods, reason = "certificates of test machines are valid from now")]

mod audit;
mod bench;
mod channels;
mod expected_machines;
mod export;
mod fleet;
mod hardware;
mod hostile;
mod images;
mod lifecycle;
mod lists;
mod machine_alerts;
mod machines;
mod permissions;
mod refresh;
mod resumed;
mod subscriptions;
mod updates;
mod updates_hostile;
mod updates_served;
mod withdrawn;
