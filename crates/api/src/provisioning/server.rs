//! Servers (`servers.md` 2.1-2.4).

use super::status::{SelfUpdateCause, ServerStatus, ServerType, StatusDetail};
use crate::{
    lenient::{null_as_default, properties},
    time::Time,
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// What stands in place of a secret. A `PUT` that carries it keeps the stored value.
pub const MASK: &str = "********";

/// A server: the enrolment of a machine, or an expected one.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Server {
    /// User-facing URL, may be empty.
    pub public_connection_url: String,
    /// Channel the center expects.
    pub channel: String,
    /// Free text.
    pub description: String,
    /// Free key-value pairs.
    pub properties: Option<BTreeMap<String, String>>,
    /// Access to the management controller; the password is masked.
    pub bmc_config: BmcConfig,
    /// Unique name.
    pub name: String,
    /// Where the center reaches it.
    pub connection_url: String,
    /// DMI product UUID, or empty.
    pub system_uuid: String,
    /// IncusOS machine id, or empty.
    pub machine_id: String,
    /// PEM of its own certificate.
    pub certificate: String,
    /// Hex SHA-256 of that, or empty.
    pub fingerprint: String,
    /// Cluster, or empty.
    pub cluster: String,
    /// What it runs.
    pub server_type: ServerType,
    /// Incus resources document.
    #[schema(value_type = Object)]
    pub hardware_data: Box<RawValue>,
    /// Network, security (recovery keys masked) and storage documents.
    #[schema(value_type = Object)]
    pub os_data: Box<RawValue>,
    /// Versions, with what the channel offers.
    pub version_data: VersionData,
    /// What the management controller said.
    #[schema(value_type = Object)]
    pub bmc_data: Box<RawValue>,
    /// Connectivity.
    pub server_status: ServerStatus,
    /// Why.
    pub server_status_detail: StatusDetail,
    /// When the record changed last.
    #[schema(value_type = String, format = DateTime)]
    pub last_updated: Time,
    /// When it answered last.
    #[schema(value_type = String, format = DateTime)]
    pub last_seen: Time,
    /// From the security document.
    pub system_state_is_trusted: bool,
    /// Derived: where its updates stand (`servers.md` 10).
    #[serde(default)]
    pub update_status: String,
    /// Derived: what an operator should do next, or empty.
    #[serde(default)]
    pub recommended_action: String,
    /// Why the status is what it is, in words; empty when there is nothing to say.
    #[serde(default)]
    pub status_reason: String,
}

/// Access to a management controller.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct BmcConfig {
    /// Empty for none, or `redfish-v1-generic`.
    #[serde(deserialize_with = "null_as_default")]
    pub api_type: String,
    /// URL.
    #[serde(deserialize_with = "null_as_default")]
    pub endpoint: String,
    /// PEM to pin.
    #[serde(deserialize_with = "null_as_default")]
    pub certificate: String,
    /// Pin what is presented at first contact.
    #[serde(deserialize_with = "null_as_default")]
    pub auto_pin_certificate: bool,
    /// User.
    #[serde(deserialize_with = "null_as_default")]
    pub username: String,
    /// Secret; masked when read.
    #[serde(deserialize_with = "null_as_default")]
    pub password: String,
}

/// Versions of a server. Computed members are filled on every read.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct VersionData {
    /// Operating system.
    #[serde(deserialize_with = "null_as_default")]
    pub os: OsVersion,
    /// Applications; `null` when unknown.
    pub applications: Option<Vec<ApplicationVersion>>,
    /// Channel the machine itself reports.
    #[serde(deserialize_with = "null_as_default")]
    pub update_channel: String,
    /// Computed: any component has something newer in the channel.
    pub needs_update: Option<bool>,
    /// Computed: as of the OS.
    pub needs_reboot: Option<bool>,
    /// Computed: of the first Incus application.
    pub in_maintenance: Option<i64>,
}

/// Part of [`VersionData`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct OsVersion {
    /// e.g. `IncusOS`.
    #[serde(deserialize_with = "null_as_default")]
    pub name: String,
    /// Running release.
    #[serde(deserialize_with = "null_as_default")]
    pub version: String,
    /// Applied, not yet booted release.
    #[serde(deserialize_with = "null_as_default")]
    pub version_next: String,
    /// Computed: newest in the channel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub available_version: Option<String>,
    /// From the machine's update state.
    #[serde(deserialize_with = "null_as_default")]
    pub needs_reboot: bool,
    /// Computed.
    pub needs_update: Option<bool>,
}

/// Part of [`VersionData`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct ApplicationVersion {
    /// Application.
    #[serde(deserialize_with = "null_as_default")]
    pub name: String,
    /// Release.
    #[serde(deserialize_with = "null_as_default")]
    pub version: String,
    /// Its own version, e.g. `7.0.2`.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "String::is_empty")]
    pub friendly_version: String,
    /// Computed: newest in the channel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub available_version: Option<String>,
    /// Computed.
    pub needs_update: Option<bool>,
    /// Maintenance state; non-zero for Incus only.
    #[serde(deserialize_with = "null_as_default")]
    pub in_maintenance: i64,
}

/// Body of `PUT /servers/{name}`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct ServerPut {
    /// User-facing URL.
    #[serde(deserialize_with = "null_as_default")]
    pub public_connection_url: String,
    /// Channel.
    #[serde(deserialize_with = "null_as_default")]
    pub channel: String,
    /// Free text.
    #[serde(deserialize_with = "null_as_default")]
    pub description: String,
    /// Free key-value pairs.
    #[serde(deserialize_with = "properties")]
    pub properties: Option<BTreeMap<String, String>>,
    /// Access to the management controller.
    #[serde(deserialize_with = "null_as_default")]
    pub bmc_config: BmcConfig,
}

/// Body of `POST /servers`: registration by a machine, or pre-registration.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct ServerPost {
    /// User-facing URL.
    #[serde(deserialize_with = "null_as_default")]
    pub public_connection_url: String,
    /// Channel; ignored at registration.
    #[serde(deserialize_with = "null_as_default")]
    pub channel: String,
    /// Free text; ignored at registration.
    #[serde(deserialize_with = "null_as_default")]
    pub description: String,
    /// Free key-value pairs; ignored at registration.
    #[serde(deserialize_with = "properties")]
    pub properties: Option<BTreeMap<String, String>>,
    /// Access to the management controller; ignored at registration.
    #[serde(deserialize_with = "null_as_default")]
    pub bmc_config: BmcConfig,
    /// Name.
    #[serde(deserialize_with = "null_as_default")]
    pub name: String,
    /// Where the center reaches it; ignored at pre-registration.
    #[serde(deserialize_with = "null_as_default")]
    pub connection_url: String,
    /// DMI product UUID; ignored at pre-registration.
    #[serde(deserialize_with = "null_as_default")]
    pub system_uuid: String,
    /// IncusOS machine id; ignored at pre-registration.
    #[serde(deserialize_with = "null_as_default")]
    pub machine_id: String,
}

/// Body of `POST /servers/{name}` (rename).
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct ServerRename {
    /// New name.
    #[serde(deserialize_with = "null_as_default")]
    pub name: String,
}

/// Answer to a registration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Registration {
    /// PEM of the center's client certificate, to be trusted by the machine.
    pub certificate: String,
}

/// Body of `PUT /servers/:self`. The cause is a text here: unknown ones are accepted (`servers.md` 6.3).
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct ServerSelfUpdate {
    /// Where the center reaches it now.
    #[serde(deserialize_with = "null_as_default")]
    pub connection_url: String,
    /// Why it reports; see [`SelfUpdateCause`].
    #[serde(deserialize_with = "null_as_default")]
    pub cause: String,
}

impl ServerSelfUpdate {
    /// The cause, if it is a known one.
    pub fn known_cause(&self) -> Option<SelfUpdateCause> {
        self.cause.parse().ok()
    }
}
