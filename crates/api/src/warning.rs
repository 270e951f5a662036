//! Warnings (`updates-and-system.md` 21).

use crate::{lenient::null_as_default, time::Time};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// Something worth telling, merged by type and scope.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Warning {
    /// `new` or `acknowledged`.
    pub status: String,
    /// Identity.
    pub uuid: Uuid,
    /// What it is about.
    pub scope: WarningScope,
    /// Kind of trouble.
    #[serde(rename = "type")]
    pub kind: String,
    /// First time seen.
    #[schema(value_type = String, format = DateTime)]
    pub first_occurrence: Time,
    /// Last time seen.
    #[schema(value_type = String, format = DateTime)]
    pub last_occurrence: Time,
    /// When the record changed last.
    #[schema(value_type = String, format = DateTime)]
    pub last_updated: Time,
    /// What was said, the newest last.
    pub messages: Vec<String>,
    /// How often it was seen.
    pub count: i64,
}

/// What a warning is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WarningScope {
    /// The work that found it.
    pub scope: String,
    /// Kind of object.
    pub entity_type: String,
    /// The object's name.
    pub entity: String,
}

/// Body of `PUT /1.0/warnings/{uuid}`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct WarningPut {
    /// `new` or `acknowledged`.
    #[serde(deserialize_with = "null_as_default")]
    pub status: String,
}
