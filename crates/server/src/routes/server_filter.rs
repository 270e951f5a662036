//! Filter expressions on servers: compiled once a request, run on each row.

use super::server_schema;
use crate::error::ApiError;
use muster_api::provisioning::server::Server;
use muster_engine::Error;
use muster_expr::Program;
use serde_json::{Value, json};

/// A compiled filter.
pub struct ServerFilter(Program);

/// Compiles a filter on objects, or on names only; none when empty.
///
/// # Errors
/// 400 that points at the place.
pub fn compile(source: &str, objects: bool) -> Result<Option<ServerFilter>, ApiError> {
    if source.is_empty() {
        return Ok(None);
    }
    let schema = if objects { server_schema::objects() } else { server_schema::names() };
    match muster_expr::compile(source, &schema) {
        Ok(program) => Ok(Some(ServerFilter(program))),
        Err(e) => Err(Error::Invalid(format!("Failed to compile filter expression: {e}")).into()),
    }
}

impl ServerFilter {
    /// Whether a server is kept.
    ///
    /// # Errors
    /// 400 when the expression fails on it.
    pub fn matches(&self, server: &Server, now: jiff::Timestamp) -> Result<bool, ApiError> {
        self.run(&environment(server, self.0.names()), now)
    }

    /// Whether a name is kept.
    ///
    /// # Errors
    /// 400 when the expression fails on it.
    pub fn matches_name(&self, name: &str, now: jiff::Timestamp) -> Result<bool, ApiError> {
        self.run(&json!({"name": name}), now)
    }

    fn run(&self, row: &Value, now: jiff::Timestamp) -> Result<bool, ApiError> {
        let failed = |e| Error::Invalid(format!("Failed to execute filter expression: {e}")).into();
        self.0.matches(row, now).map_err(failed)
    }
}

/// The row as the filter sees it; only what it names is read.
fn environment(server: &Server, names: &[&str]) -> Value {
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
