//! Update records (`updates-and-system.md` 10).

use crate::lenient::null_as_default;
use crate::time::Time;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// A release of the operating system and its applications.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Update {
    /// Channels that machines are told of: those it is assigned to, and none while it is withdrawn.
    pub channels: Vec<String>,
    /// Identity.
    pub uuid: Uuid,
    /// Release, usually 12 digits.
    pub version: String,
    /// As published, offset included.
    pub published_at: String,
    /// How urgent.
    pub severity: String,
    /// Publisher.
    pub origin: String,
    /// Where it lies at its source.
    pub url: String,
    /// Channels of the publisher.
    pub upstream_channels: Vec<String>,
    /// `unknown`, `pending` or `ready`.
    pub update_status: String,
    /// Why machines are not told of it; absent when they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withdrawn: Option<Withdrawn>,
}

/// That an update was withdrawn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Withdrawn {
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Time,
    /// By whom.
    pub by: String,
    /// Why.
    pub reason: String,
    /// The channels that it is assigned to, for when it is restored.
    pub channels: Vec<String>,
}

/// A withdrawn update, which need not be here any more.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Withdrawal {
    /// Identity.
    pub uuid: Uuid,
    /// Publisher.
    pub origin: String,
    /// Release.
    pub version: String,
    /// When it was withdrawn.
    #[schema(value_type = String, format = DateTime)]
    pub at: Time,
    /// By whom.
    pub by: String,
    /// Why.
    pub reason: String,
    /// Whether it is here.
    pub here: bool,
}

/// What of an update is here and what is not, before it is sent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Missing {
    /// Identity that it will have.
    pub uuid: Uuid,
    /// Release.
    pub version: String,
    /// Names of the listed files that are not here.
    pub missing: Vec<String>,
    /// Names of the listed files that are here, and need not be sent.
    pub held: Vec<String>,
}

/// Body of `PUT /updates/{uuid}`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct UpdatePut {
    /// The channels that offer it from now on; none takes it out of all.
    #[serde(deserialize_with = "null_as_default")]
    pub channels: Vec<String>,
}

/// A file of an update.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct UpdateFile {
    /// Name with its folder.
    pub filename: String,
    /// Bytes.
    pub size: i64,
    /// SHA-256 of the stored bytes, hex.
    pub sha256: String,
    /// `os` or an application.
    pub component: String,
    /// Kind of file.
    #[serde(rename = "type")]
    pub kind: String,
    /// Empty when it fits all.
    pub architecture: String,
}

/// Differences between two updates.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Changelog {
    /// Newer version.
    pub current_version: String,
    /// Older version.
    pub prior_version: String,
    /// Channel compared in.
    pub channel: String,
    /// Per component what changed; `null` when nothing was compared.
    pub components: Option<std::collections::BTreeMap<String, ChangelogEntries>>,
}

/// Changes of one component.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ChangelogEntries {
    /// New packages.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub added: Vec<String>,
    /// Changed packages.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub updated: Vec<String>,
    /// Gone packages.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub removed: Vec<String>,
}
