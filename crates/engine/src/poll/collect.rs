//! What a full poll asks, in the reference's order (`servers.md` 8.4, 6).

use super::hidden;
use muster_api::provisioning::{
    server::{ApplicationVersion, OsVersion, VersionData},
    status::ServerType,
};
use muster_clients::{
    call::{CallError, Failure},
    machine::Machine,
};
use muster_domain::server::address;
use muster_store::tables::servers::Server as ServerRow;
use serde_json::{Value, value::RawValue};
use std::net::IpAddr;

/// The documents of a machine, ready to be stored.
pub struct Collected {
    /// Incus resources document.
    pub hardware: String,
    /// Network, security and storage, secrets masked.
    pub os_data: String,
    /// The same with the secrets, to be sealed.
    pub secrets: String,
    /// Versions, without computed members.
    pub versions: VersionData,
    /// By its first primary application.
    pub server_type: ServerType,
    /// Where it is reached from now on.
    pub connection_url: String,
}

/// Why a full poll ended early.
pub enum CollectError {
    /// The machine was lost on the way.
    Call(CallError),
    /// It gave an error, or a document that says nothing usable.
    Answer(String),
}

impl From<CallError> for CollectError {
    fn from(e: CallError) -> Self {
        match &e.failure {
            Failure::Api { .. } | Failure::Http(_) => Self::Answer(e.to_string()),
            _ => Self::Call(e),
        }
    }
}

/// Asks for everything.
///
/// # Errors
/// The first call that fails.
pub async fn collect(machine: &Machine, row: &ServerRow) -> Result<Collected, CollectError> {
    let hardware = machine.resources().await?;
    let network = machine.network().await?;
    let security = machine.security().await?;
    let storage = machine.storage().await?;
    let connection_url = address::connection_url(&row.connection_url, &management(&network)).ok_or_else(|| {
        CollectError::Answer(
            "Failed to determine an IP address for the network interface with \"management\" role".into(),
        )
    })?;
    let environment = machine.environment().await?;
    let mut applications = Vec::new();
    for name in machine.applications().await? {
        let application = machine.application(&name).await?;
        applications.push(ApplicationVersion {
            name,
            version: application.version,
            friendly_version: application.friendly_version,
            ..ApplicationVersion::default()
        });
    }
    let update = machine.update_document().await?;
    let names = machine.applications().await?;
    let server_type = names.iter().filter_map(|n| n.parse::<ServerType>().ok()).find(|t| *t != ServerType::Unknown);
    let documents = |mask: bool| -> Result<String, CollectError> {
        let mut all = serde_json::json!({"network": parsed(&network)?, "security": parsed(&security)?, "storage": parsed(&storage)?});
        if mask {
            hidden::mask(&mut all);
        }
        Ok(all.to_string())
    };
    Ok(Collected {
        hardware: hardware_document(&hardware)?,
        os_data: documents(true)?,
        secrets: documents(false)?,
        versions: VersionData {
            os: OsVersion {
                name: environment.os_name,
                version: environment.os_version,
                version_next: environment.os_version_next,
                needs_reboot: update.state.needs_reboot,
                ..OsVersion::default()
            },
            applications: Some(applications),
            update_channel: update.config.channel,
            ..VersionData::default()
        },
        server_type: server_type.unwrap_or_default(),
        connection_url,
    })
}

fn parsed(raw: &RawValue) -> Result<Value, CollectError> {
    serde_json::from_str(raw.get()).map_err(|e| CollectError::Answer(format!("a document cannot be read: {e}")))
}

/// As clients of the reference know it: each core says its cluster, also when the machine is too old to.
fn hardware_document(raw: &RawValue) -> Result<String, CollectError> {
    let mut value = parsed(raw)?;
    let sockets = value.pointer_mut("/cpu/sockets").and_then(Value::as_array_mut);
    for socket in sockets.into_iter().flatten() {
        let cores = socket.get_mut("cores").and_then(Value::as_array_mut);
        for core in cores.into_iter().flatten().filter_map(Value::as_object_mut) {
            core.entry("cluster").or_insert(Value::from(0));
        }
    }
    Ok(value.to_string())
}

/// Addresses of the interfaces with role `management`, in the order of the interfaces' names.
fn management(network: &RawValue) -> Vec<IpAddr> {
    let Ok(document) = serde_json::from_str::<Value>(network.get()) else { return Vec::new() };
    let Some(interfaces) = document.pointer("/state/interfaces").and_then(Value::as_object) else { return Vec::new() };
    let mut named: Vec<_> = interfaces.iter().collect();
    named.sort_by_key(|(name, _)| name.as_str());
    let list = |value: &Value, key: &str| -> Vec<String> {
        let items = value.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
        items.iter().filter_map(|v| v.as_str().map(str::to_owned)).collect()
    };
    named
        .into_iter()
        .filter(|(_, interface)| list(interface, "roles").iter().any(|r| r == "management"))
        .flat_map(|(_, interface)| list(interface, "addresses"))
        .filter_map(|a| a.parse().ok())
        .collect()
}
