//! Update channels (`updates-and-system.md` 16).

use crate::{lenient::null_as_default, time::Time};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A named stream of updates that servers and tokens follow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Channel {
    /// What it is for.
    pub description: String,
    /// Unique name.
    pub name: String,
    /// When it was changed last.
    #[schema(value_type = String, format = DateTime)]
    pub last_updated: Time,
}

/// Body of `POST /channels`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct ChannelPost {
    /// Unique name, not empty.
    #[serde(deserialize_with = "null_as_default")]
    pub name: String,
    /// What it is for.
    #[serde(deserialize_with = "null_as_default")]
    pub description: String,
}

/// Body of `PUT /channels/{name}`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct ChannelPut {
    /// What it is for.
    #[serde(deserialize_with = "null_as_default")]
    pub description: String,
}
