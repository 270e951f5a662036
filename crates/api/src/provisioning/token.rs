//! Registration tokens (`servers.md` 2.4, 4).

use crate::{lenient::null_as_default, time::TimeText};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// Permission for new machines to register.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Token {
    /// Registrations left.
    pub uses_remaining: i64,
    /// End of validity, exactly as it was sent.
    #[schema(value_type = String, format = DateTime)]
    pub expire_at: TimeText,
    /// What it is for.
    pub description: String,
    /// Channel that servers registering with it follow.
    pub channel: String,
    /// What is on the disks of a machine that registers with it is accepted: it may enter the pool although nobody erased them.
    /// Unknown to Operations Center, so left out unless it is set.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub accept_existing_data: bool,
    /// Identity, and the secret itself.
    pub uuid: Uuid,
}

/// Body of `POST` and `PUT`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct TokenPut {
    /// Registrations left; 0 or more.
    #[serde(deserialize_with = "null_as_default")]
    pub uses_remaining: i64,
    /// End of validity; must lie in the future.
    #[serde(deserialize_with = "null_as_default")]
    #[schema(value_type = String, format = DateTime)]
    pub expire_at: TimeText,
    /// What it is for.
    #[serde(deserialize_with = "null_as_default")]
    pub description: String,
    /// Channel; on creation the configured default when empty.
    #[serde(deserialize_with = "null_as_default")]
    pub channel: String,
    /// Whether what is on the disks of a machine that registers with it is accepted.
    #[serde(skip_serializing_if = "std::ops::Not::not", deserialize_with = "null_as_default")]
    pub accept_existing_data: bool,
}

/// What a machine needs to find the center and register (`servers.md` 12.7).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ProviderConfig {
    /// Always `operations-center`.
    pub name: String,
    /// `server_url`, `server_token`, and `server_certificate` unless publicly trusted.
    pub config: std::collections::BTreeMap<String, String>,
    /// Always `1`.
    pub version: String,
}
