//! Health alerts of machines (`lifecycle.md` 3.3, 5.2).

use crate::time::Time;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Something that is wrong with a machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Alert {
    /// What reports it; `muster` is the center itself, `release` who gave the machine back.
    pub source: String,
    /// What is wrong, unique for the source and the machine.
    pub name: String,
    /// What it does: `prevent_allocations`, `prevent_state_changes`, `suppress_alerting`, `exclude_from_sla`,
    /// `stop_automatic_recovery`, `blocking`.
    pub classes: Vec<String>,
    /// The same in words.
    pub message: String,
    /// Who reported it last.
    pub author: String,
    /// Since when it is reported.
    #[schema(value_type = String, format = DateTime)]
    pub at: Time,
    /// When it ends by itself.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Time>,
    /// Who answers for it, so that its classes do not count.
    pub overridden: Option<AlertOverride>,
    /// Whether its classes count now.
    pub counts: bool,
}

/// Somebody answers for an alert.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AlertOverride {
    /// Who.
    pub author: String,
    /// Why.
    pub reason: String,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    pub at: Time,
    /// Until when; none: as long as the alert is reported.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Time>,
}

/// Body of `PUT` and `POST /1.0/machines/{id}/alerts`: what a source reports.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AlertReport {
    /// What reports: letters, digits, dashes, underscores and dots.
    pub source: String,
    /// What is wrong.
    pub alerts: Vec<ReportedAlert>,
}

/// One alert of a report.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ReportedAlert {
    /// What is wrong, unique for the source: letters, digits, dashes, underscores and dots.
    pub name: String,
    /// What it does; none: it is only shown.
    pub classes: Vec<String>,
    /// The same in words.
    pub message: String,
    /// When it ends by itself.
    #[schema(value_type = Option<String>, format = DateTime)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Time>,
}

/// Body of `PUT /1.0/machines/{id}/alerts/{source}/{name}/override`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AlertOverridePut {
    /// Why.
    pub reason: String,
    /// Until when; none: as long as the alert is reported.
    #[schema(value_type = Option<String>, format = DateTime)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Time>,
}
