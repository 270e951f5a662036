//! A server under the names that filters and scriptlets know (`servers.md` 3.3): not always the keys of the API.

use muster_api::provisioning::server::Server;
use serde_json::{Value, json};

/// All of them that a server has a value for.
pub const IDENTIFIERS: [&str; 21] = [
    "cluster",
    "name",
    "type",
    "connection_url",
    "public_connection_url",
    "certificate",
    "fingerprint",
    "hardware_data",
    "os_data",
    "version_data",
    "channel",
    "status",
    "status_detail",
    "description",
    "properties",
    "bmc_config",
    "system_uuid",
    "machine_id",
    "bmc_data",
    "last_updated",
    "last_seen",
];

/// A server as an object of these identifiers; only what is named is read.
pub fn identifiers(server: &Server, names: &[&str]) -> Value {
    let set = |text: &str| if text.is_empty() { Value::Null } else { Value::from(text) };
    let raw = |raw: &serde_json::value::RawValue| serde_json::from_str::<Value>(raw.get()).unwrap_or_default();
    let mut row = serde_json::Map::new();
    for name in names {
        let value = match *name {
            "cluster" => set(&server.cluster),
            "system_uuid" => set(&server.system_uuid),
            "machine_id" => set(&server.machine_id),
            "type" => json!(server.server_type),
            "status" => json!(server.server_status),
            "status_detail" => json!(server.server_status_detail),
            "hardware_data" => raw(&server.hardware_data),
            "os_data" => raw(&server.os_data),
            "bmc_data" => raw(&server.bmc_data),
            "version_data" => versions(server),
            "name" => json!(server.name),
            "connection_url" => json!(server.connection_url),
            "public_connection_url" => json!(server.public_connection_url),
            "certificate" => json!(server.certificate),
            "fingerprint" => json!(server.fingerprint),
            "channel" => json!(server.channel),
            "description" => json!(server.description),
            "properties" => json!(server.properties),
            "bmc_config" => json!(server.bmc_config),
            "last_updated" => json!(server.last_updated),
            "last_seen" => json!(server.last_seen),
            _ => continue,
        };
        row.insert((*name).to_owned(), value);
    }
    Value::Object(row)
}

/// Computed members are not filled in when a filter runs (`servers.md` 3.2).
fn versions(server: &Server) -> Value {
    let mut versions = server.version_data.clone();
    versions.needs_update = None;
    versions.needs_reboot = None;
    versions.in_maintenance = None;
    versions.os.needs_update = None;
    versions.os.available_version = None;
    for application in versions.applications.iter_mut().flatten() {
        application.needs_update = None;
        application.available_version = None;
    }
    json!(versions)
}
