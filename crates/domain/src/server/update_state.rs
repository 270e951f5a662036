//! Update state and recommended action of a server (`servers.md` 10): pure functions of the same inputs that every
//! client has.

use muster_api::provisioning::status::{Maintenance, ServerStatus, StatusDetail};
use serde::Serialize;

/// What the two functions look at. Missing values count as false and none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UpdateInputs {
    /// Connectivity.
    pub status: ServerStatus,
    /// Why.
    pub detail: StatusDetail,
    /// The channel offers something newer.
    pub needs_update: bool,
    /// The machine asks for a reboot.
    pub needs_reboot: bool,
    /// Maintenance of its Incus application.
    pub in_maintenance: Maintenance,
    /// In a cluster, with an Incus application.
    pub clustered_incus: bool,
}

/// Where a server stands with its updates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub enum UpdateState {
    /// Nothing can be said.
    #[serde(rename = "undefined")]
    Undefined,
    /// Nothing to do.
    #[serde(rename = "up to date")]
    UpToDate,
    /// An update is offered.
    #[serde(rename = "update pending")]
    UpdatePending,
    /// An update is being installed.
    #[serde(rename = "updating")]
    Updating,
    /// A reboot is due, workloads first.
    #[serde(rename = "evacuation pending")]
    EvacuationPending,
    /// Workloads are leaving.
    #[serde(rename = "evacuating")]
    Evacuating,
    /// Empty, a reboot is due.
    #[serde(rename = "in maintenance, reboot pending")]
    InMaintenanceRebootPending,
    /// Empty, rebooting.
    #[serde(rename = "in maintenance, rebooting")]
    InMaintenanceRebooting,
    /// Empty, nothing else to do.
    #[serde(rename = "in maintenance, restore pending")]
    InMaintenanceRestorePending,
    /// Workloads are coming back.
    #[serde(rename = "restoring")]
    Restoring,
    /// Workloads are back, the cluster's update has not taken note.
    #[serde(rename = "post restore")]
    PostRestore,
    /// A reboot is due.
    #[serde(rename = "reboot pending")]
    RebootPending,
    /// Rebooting.
    #[serde(rename = "rebooting")]
    Rebooting,
}

impl UpdateState {
    /// The text on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Undefined => "undefined",
            Self::UpToDate => "up to date",
            Self::UpdatePending => "update pending",
            Self::Updating => "updating",
            Self::EvacuationPending => "evacuation pending",
            Self::Evacuating => "evacuating",
            Self::InMaintenanceRebootPending => "in maintenance, reboot pending",
            Self::InMaintenanceRebooting => "in maintenance, rebooting",
            Self::InMaintenanceRestorePending => "in maintenance, restore pending",
            Self::Restoring => "restoring",
            Self::PostRestore => "post restore",
            Self::RebootPending => "reboot pending",
            Self::Rebooting => "rebooting",
        }
    }
}

impl std::fmt::Display for UpdateState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What to do next with a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize)]
pub enum RecommendedAction {
    /// Nothing.
    #[default]
    #[serde(rename = "")]
    None,
    /// Start the update.
    #[serde(rename = "update")]
    Update,
    /// Move workloads away.
    #[serde(rename = "evacuate")]
    Evacuate,
    /// Reboot.
    #[serde(rename = "reboot")]
    Reboot,
    /// Take workloads back.
    #[serde(rename = "restore")]
    Restore,
}

impl RecommendedAction {
    /// The text on the wire; empty for none.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Update => "update",
            Self::Evacuate => "evacuate",
            Self::Reboot => "reboot",
            Self::Restore => "restore",
        }
    }
}

impl std::fmt::Display for RecommendedAction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The update state (`servers.md` 10.1). What a server is doing comes before what it should do.
pub const fn update_state(i: UpdateInputs) -> UpdateState {
    let clear = !i.needs_update && !i.needs_reboot && matches!(i.in_maintenance, Maintenance::None);
    match (i.status, i.detail) {
        (ServerStatus::Unknown | ServerStatus::Pending, _) => return UpdateState::Undefined,
        (ServerStatus::Offline, StatusDetail::Rebooting) => {
            return match i.in_maintenance {
                Maintenance::Evacuated => UpdateState::InMaintenanceRebooting,
                _ => UpdateState::Rebooting,
            };
        }
        (_, StatusDetail::Updating) => return UpdateState::Updating,
        (_, StatusDetail::UpdatingApplication) => return UpdateState::Undefined,
        (ServerStatus::Ready, StatusDetail::None) | (ServerStatus::Offline, _) if clear => {
            return UpdateState::UpToDate;
        }
        _ => {}
    }
    if i.needs_update {
        return UpdateState::UpdatePending;
    }
    let restoring = matches!(i.detail, StatusDetail::Restoring);
    match (i.in_maintenance, i.needs_reboot, i.clustered_incus) {
        (Maintenance::Evacuating, _, _) => UpdateState::Evacuating,
        (Maintenance::Restoring, _, _) => UpdateState::Restoring,
        (Maintenance::None, _, _) if restoring => UpdateState::PostRestore,
        (Maintenance::Evacuated, _, _) if restoring => UpdateState::Restoring,
        (Maintenance::None, true, false) => UpdateState::RebootPending,
        (Maintenance::Evacuated, true, false) => UpdateState::Undefined,
        (Maintenance::None, true, true) => UpdateState::EvacuationPending,
        (Maintenance::Evacuated, true, true) => UpdateState::InMaintenanceRebootPending,
        (Maintenance::Evacuated, false, _) => UpdateState::InMaintenanceRestorePending,
        (Maintenance::None, false, _) => UpdateState::Undefined,
    }
}

/// The recommended action (`servers.md` 10.3). Only a ready server that is not updating is asked for one.
pub const fn recommended_action(i: UpdateInputs) -> RecommendedAction {
    if !matches!(i.status, ServerStatus::Ready)
        || matches!(i.detail, StatusDetail::Updating | StatusDetail::UpdatingApplication)
    {
        return RecommendedAction::None;
    }
    match (i.needs_update, i.needs_reboot, i.in_maintenance) {
        (true, _, _) => RecommendedAction::Update,
        (_, true, Maintenance::None) if i.clustered_incus => RecommendedAction::Evacuate,
        (_, true, Maintenance::None | Maintenance::Evacuated) => RecommendedAction::Reboot,
        (_, false, Maintenance::Evacuated) => RecommendedAction::Restore,
        _ => RecommendedAction::None,
    }
}

#[cfg(test)]
#[path = "update_state_tests.rs"]
mod tests;
