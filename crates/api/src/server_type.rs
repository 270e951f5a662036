//! Server types: classes of hardware (`lifecycle.md` 2).

use crate::time::Time;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// A class of hardware. It is made when the first machine of it is registered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ServerType {
    /// UUID.
    pub id: String,
    /// Unique name; at first made of what its machines have.
    pub label: String,
    /// What people write about it.
    pub description: String,
    /// What its machines have in common: `architecture`, `processors`, `memory_gib`, `disks`, `cards`, `gpus`.
    #[schema(value_type = Object)]
    pub specification: serde_json::Value,
    /// By what hardware is recognised as one of this type; several after a merge.
    pub fingerprints: Vec<String>,
    /// How many machines of it are in each lifecycle state; states without any are left out.
    pub machines: BTreeMap<String, i64>,
    /// When its first machine was registered.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Time,
}

/// Body of `PUT /1.0/server-types/{id}`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ServerTypePut {
    /// Unique name, not empty.
    pub label: String,
    /// What it is for.
    pub description: String,
}

/// Body of `POST /1.0/server-types/{id}/:merge`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ServerTypeMerge {
    /// Id of the type that everything goes to.
    pub into: String,
}

/// What a merge did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ServerTypeMerged {
    /// Machines that moved.
    pub machines: u64,
    /// Machines that did not match their type before and do now.
    pub matched: u64,
}
