//! Machines that are expected: hardware on its way (`lifecycle.md` 2, 3.3).

use crate::machine::{Asset, MachineBmc};
use crate::time::Time;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A machine that is expected, or was.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ExpectedMachine {
    /// UUID.
    pub id: String,
    /// SMBIOS system UUID, or empty.
    pub system_uuid: String,
    /// Serial number, or empty.
    pub serial: String,
    /// MAC address of one of its network cards, or empty.
    pub mac: String,
    /// Label of the type that it should be of, or empty.
    pub server_type: String,
    /// Where it will stand.
    pub asset: Asset,
    /// Its BMC, the password masked.
    pub bmc: Option<MachineBmc>,
    /// Who expects it.
    pub author: String,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Time,
    /// The machine that it turned out to be, or empty.
    pub machine: String,
    /// When it showed up.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub seen_at: Option<Time>,
}

/// Body of `POST /1.0/expected-machines`, and an item of an import. At least one of UUID, serial number and MAC address.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ExpectedMachinePost {
    /// SMBIOS system UUID.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub system_uuid: String,
    /// Serial number.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub serial: String,
    /// MAC address of one of its network cards.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub mac: String,
    /// Label of the type that it should be of.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub server_type: String,
    /// Where it will stand.
    pub asset: Asset,
    /// Its BMC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bmc: Option<MachineBmc>,
}

/// What an import did, or would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ImportOutcome {
    /// Whether it was only asked what would happen.
    pub dry_run: bool,
    /// Rows that were imported, or would be.
    pub imported: usize,
    /// Rows that are at fault.
    pub refused: usize,
    /// Each row.
    pub rows: Vec<ImportRow>,
}

/// What became of a row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ImportRow {
    /// Its number, from 1; a heading is not counted.
    pub row: usize,
    /// By what it is told from the others: its UUID, serial number or MAC address.
    pub identity: String,
    /// `imported`, `importable` (it was only asked) or `refused`.
    pub result: String,
    /// Id of what was made of it, or empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub id: String,
    /// What is wrong with it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<ImportFault>,
}

/// Something wrong with a row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ImportFault {
    /// The field.
    pub field: String,
    /// What is wrong with it, and what would be right.
    pub why: String,
}
