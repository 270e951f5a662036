//! The seeds `applications` and `install` (`servers.md` 12.3).

use super::{is_zero, nullable_list};
use crate::lenient::null_as_default;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What the machine runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default, remote = "Self")]
pub struct SeedApplications {
    /// Version of the document, not interpreted.
    #[serde(deserialize_with = "null_as_default")]
    pub version: String,
    /// The applications.
    #[serde(deserialize_with = "nullable_list")]
    pub applications: Option<Vec<SeedApplication>>,
}

/// An application.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default, remote = "Self")]
pub struct SeedApplication {
    /// Name, such as `incus`.
    #[serde(deserialize_with = "null_as_default")]
    pub name: String,
}

/// How the machine is installed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default, remote = "Self")]
pub struct SeedInstall {
    /// Version of the document, not interpreted.
    #[serde(deserialize_with = "null_as_default")]
    pub version: String,
    /// Overwrite what is on the disk.
    #[serde(deserialize_with = "null_as_default")]
    pub force_install: bool,
    /// Text that confirms the overwriting.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "is_zero")]
    pub force_install_confirmation: String,
    /// Reboot at the end without waiting for the medium to go.
    #[serde(deserialize_with = "null_as_default")]
    pub force_reboot: bool,
    /// Protection that may be missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub security: Option<SeedInstallSecurity>,
    /// Choice of the disk; null for the only one.
    pub target: Option<SeedInstallTarget>,
}

/// Protection that may be missing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default, remote = "Self")]
pub struct SeedInstallSecurity {
    /// No TPM.
    #[serde(deserialize_with = "null_as_default")]
    pub missing_tpm: bool,
    /// Secure boot is off.
    #[serde(deserialize_with = "null_as_default")]
    pub missing_secure_boot: bool,
}

/// Choice of the disk.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default, remote = "Self")]
pub struct SeedInstallTarget {
    /// Kind of bus, such as `nvme`.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "is_zero")]
    pub bus: String,
    /// Identity, with wildcards.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "is_zero")]
    pub id: String,
    /// Largest size, such as `1TiB`.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "is_zero")]
    pub max_size: String,
    /// Smallest size, such as `50GiB`.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "is_zero")]
    pub min_size: String,
    /// `smallest` or `largest` of those that fit.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "is_zero")]
    pub sort_order: String,
}

objects!(SeedApplications, SeedApplication, SeedInstall, SeedInstallSecurity, SeedInstallTarget);
