//! Machines, the physical assets (`lifecycle.md` 1, 5.1, 5.2).

use crate::time::Time;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// The ten lifecycle states, in the order in which a life goes.
pub const LIFECYCLES: [&str; 10] = [
    "registering",
    "unavailable",
    "available",
    "available_reserved",
    "used",
    "used_registering",
    "cleaning",
    "defective",
    "removed_from_rack",
    "decommissioned",
];

/// A machine: one record from first contact to long after it left the rack.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Machine {
    /// UUID, for ever.
    pub id: String,
    /// One of the ten states.
    pub lifecycle: String,
    /// Since when it is in that state.
    #[schema(value_type = String, format = DateTime)]
    pub since: Time,
    /// What is being done with it.
    pub operation: Option<MachineOperation>,
    /// What its disks hold: `unknown`, `clean` or `dirty`.
    pub media: String,
    /// Who has it.
    pub allocation: Option<Allocation>,
    /// For whom it is kept.
    pub reservation: Option<Reservation>,
    /// Id of its server type, or empty.
    pub server_type: String,
    /// `unmatched`, `matched` or `mismatch`.
    pub type_match: String,
    /// What people set.
    pub flags: Flags,
    /// What its open alerts forbid.
    pub alerts: AlertClasses,
    /// Where it stands and what it is called.
    pub asset: Asset,
    /// Its BMC, without the password; none when not known.
    pub bmc: Option<MachineBmc>,
    /// SMBIOS system UUID, empty when not known.
    pub system_uuid: String,
    /// The operating system's machine-id, empty when not known.
    pub machine_id: String,
    /// Serial number of the chassis, empty when not known.
    pub serial: String,
    /// Vendor of the chassis, empty when not known.
    pub vendor: String,
    /// The server that it is enrolled as, or empty.
    pub server: String,
    /// How it was erased last.
    pub erased: Option<Erased>,
    /// Its disks may hold the data of an owner before and nothing cleans them by itself.
    pub needs_manual_cleaning: bool,
    /// The decommissioned record of the same hardware, or empty.
    pub successor_of: String,
    /// First contact.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Time,
}

/// One machine with what can be done with it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MachineDetail {
    /// The machine.
    #[serde(flatten)]
    pub machine: Machine,
    /// Label of its server type, or empty.
    pub server_type_label: String,
    /// What can be done with it now, and why the rest cannot.
    pub moves: Vec<OpenMove>,
    /// All that is in the way of an allocation; empty when it can be allocated.
    pub obstacles: Vec<String>,
    /// The newest note's text, or empty.
    pub comment: String,
    /// The operations that go on with it and with the server on it.
    pub work: Vec<MachineWork>,
}

/// An operation that goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MachineWork {
    /// UUID of the operation.
    pub id: String,
    /// `release`, `reboot`, ...
    pub kind: String,
    /// `pending`, `running` or `waiting`.
    pub status: String,
    /// What it waits for.
    pub reason: String,
}

/// What is being done with a machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MachineOperation {
    /// `register`, `clean`, `allocate`, `install`, `firmware` or `diagnostics`.
    pub kind: String,
    /// `bmc`, `in_band` or `os_reset`; empty for a mere lock.
    pub method: String,
    /// `queued`, `waiting`, `running`, `held` or `failed`.
    pub phase: String,
}

/// Who has a machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Allocation {
    /// `cluster`, `standalone` or `appliance`.
    pub kind: String,
    /// Who.
    pub owner: String,
    /// What for: the cluster's or the workload's name.
    pub reference: String,
    /// The subscription that it was taken from, or empty.
    pub subscription: String,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    pub since: Time,
}

/// For whom a machine is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Reservation {
    /// The subscription that binds it.
    pub subscription: String,
    /// Whose.
    pub holder: String,
}

/// What people set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct Flags {
    /// Never back into the pool.
    pub retire: bool,
    /// No new allocation for now.
    pub hold: bool,
    /// Not to be released, reset, cleaned or decommissioned.
    pub protected: bool,
    /// Its hardware changed: no new allocation before it is registered again.
    pub requires_re_register: bool,
}

/// What open alerts forbid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct AlertClasses {
    /// An allocation.
    pub prevent_allocation: bool,
    /// A change of its state on request.
    pub prevent_state_changes: bool,
    /// Opening it for allocations.
    pub blocking: bool,
}

/// Where a machine stands and what it is called. People write it, nothing of it is guessed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Asset {
    /// Site.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub site: String,
    /// Rack.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub rack: String,
    /// Lowest unit in the rack, from 1; 0 when not known.
    pub lower_unit: u16,
    /// Highest unit in the rack; 0 when not known.
    pub upper_unit: u16,
    /// Number in the inventory of the house.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub inventory_number: String,
    /// Tags, sorted, each once.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Anything else.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub properties: BTreeMap<String, String>,
}

/// A machine's BMC.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MachineBmc {
    /// `https://` address.
    pub endpoint: String,
    /// User.
    pub username: String,
    /// Write only: an answer carries a mask, and a mask keeps what is stored.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub password: String,
    /// MAC address of the BMC's own interface, lower case; may be empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub mac: String,
}

/// How a machine was erased.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Erased {
    /// `os_reset`, `clear` or `purge`; `waived` when a person answered for the data.
    pub level: String,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Time,
    /// Who, or what.
    pub by: String,
}

/// Something that can be done with a machine, or not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OpenMove {
    /// `POST …/:<name>`.
    pub name: String,
    /// The state it leads to, or empty.
    pub to: String,
    /// Whether it can be done now.
    pub open: bool,
    /// Number of the reason why not, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<u8>,
    /// Why not, or empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// What to do instead, or empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub way_out: String,
}

/// Body of `POST /1.0/machines`: a machine that is named in advance.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MachinePost {
    /// SMBIOS system UUID, by which its operating system is recognised when it registers.
    pub system_uuid: String,
    /// Serial number of the chassis.
    pub serial: String,
    /// Vendor of the chassis.
    pub vendor: String,
    /// Its BMC.
    pub bmc: Option<MachineBmc>,
    /// Where it stands.
    pub asset: Asset,
    /// It is in production already: whose it is. Nothing is done to it.
    pub adopt: Option<ClaimPost>,
    /// A note to begin with.
    pub note: String,
}

/// Whose a machine is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ClaimPost {
    /// Who.
    pub owner: String,
    /// `standalone` (the default) or `appliance`.
    pub kind: String,
    /// What for.
    pub reference: String,
}

/// Body of `PUT /1.0/machines/{id}`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MachinePut {
    /// Where it stands.
    pub asset: Asset,
    /// Its BMC: absent keeps what is stored, null forgets it.
    #[serde(deserialize_with = "crate::lenient::present", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<MachineBmc>)]
    pub bmc: Option<Option<MachineBmc>>,
}

/// Body of `POST /1.0/machines/{id}/:<move>`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MovePost {
    /// Why: kept with the machine's notes. Needed for a fault, a repair and a waiver.
    pub note: String,
    /// Although it still carries workloads.
    pub force: bool,
    /// A release of a machine that cannot be reached: it is not reset, and stays out of the pool.
    pub unreachable: bool,
    /// Nothing is done for so many seconds, and it can be cancelled until then (release and clean).
    pub grace_seconds: u32,
    /// What its user found wrong with it (release): an alert that keeps it from the next one until somebody ends it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub problem: String,
    /// Who takes it (allocate).
    pub owner: String,
    /// `standalone` (the default) or `appliance` (allocate).
    pub kind: String,
    /// What for (allocate).
    pub reference: String,
}

/// What a move did, or would do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MoveOutcome {
    /// The move.
    pub name: String,
    /// Whether it was only asked what would happen.
    pub dry_run: bool,
    /// The changes of state at once, in order; those that follow later are not among them.
    pub steps: Vec<MoveStep>,
    /// What is lost by it.
    pub loses: Vec<String>,
    /// The operation that carries on, or empty.
    pub operation: String,
}

/// One change of state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MoveStep {
    /// Number of the edge in the lifecycle.
    pub edge: u8,
    /// The state before.
    pub from: String,
    /// The state after.
    pub to: String,
    /// `person`, `system` or `policy`.
    pub actor: String,
}

/// A note on a machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Note {
    /// Counts the notes of the machine, from 1.
    pub seq: i64,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Time,
    /// Who.
    pub author: String,
    /// `note`, `fault`, `repair` or `waiver`.
    pub kind: String,
    /// What it says.
    pub note: String,
}

/// Body of `POST /1.0/machines/{id}/notes`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct NotePost {
    /// `note` (the default), `fault` or `repair`.
    pub kind: String,
    /// What it says.
    pub note: String,
}

/// One entry of a machine's history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HistoryEntry {
    /// Number of the audit entry.
    pub seq: i64,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Time,
    /// Who.
    pub actor: String,
    /// What was done: `machine.transition`, `machine.note`, ...
    pub action: String,
    /// The state before, for a change of state.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub from: String,
    /// The state after.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub to: String,
    /// Why.
    pub reason: String,
    /// The operation that it was part of, or empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub operation: String,
    /// More of it.
    #[schema(value_type = Object)]
    pub detail: serde_json::Value,
}

/// What a machine is made of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Hardware {
    /// Id of its type, or empty.
    pub server_type: String,
    /// Label of its type, or empty.
    pub label: String,
    /// As it was seen last: `system`, `architecture`, `processors`, `memory_gib`, `disks`, `cards`, `gpus`.
    #[schema(value_type = Object)]
    pub inventory: serde_json::Value,
}

/// Hardware of a machine that was another than before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HardwareChange {
    /// Counts the snapshots of the machine, from 1.
    pub seq: i64,
    /// When it was seen.
    #[schema(value_type = String, format = DateTime)]
    pub at: Time,
    /// How it was learnt: `registration` or `poll`.
    pub source: String,
    /// What was another, in words; none for the first.
    pub changes: Vec<String>,
    /// The hardware then.
    #[schema(value_type = Object)]
    pub inventory: serde_json::Value,
}
