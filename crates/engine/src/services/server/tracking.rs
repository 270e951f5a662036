//! Between the stored row and what the status machine knows: one writer of status, detail and what is tracked beside them.

use jiff::Timestamp;
use muster_api::{
    provisioning::{
        server::VersionData,
        status::{Maintenance, ServerStatus, StatusDetail},
    },
    time::Time,
};
use muster_domain::server::{
    enrolment::{Enrolment, Failure},
    version::{Installed, InstalledApplication, InstalledOs, UpdateGoal},
};
use muster_store::tables::servers::{Observation, Server as ServerRow};
use serde::{Deserialize, Serialize};

/// What is kept of a status beside its columns.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Tracking {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_failure: Option<Failure>,
    #[serde(default)]
    seen_away: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    goal: Option<UpdateGoal>,
}

/// The status machine's view of a row.
pub fn enrolment(row: &ServerRow) -> Enrolment {
    let tracking: Tracking =
        row.failure_reason.as_deref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let mut enrolment = Enrolment::new(status(row), detail(row), timestamp(row.last_status_updated));
    enrolment.clustered = row.cluster.is_some();
    enrolment.maintenance = installed(&versions(row)).in_maintenance();
    enrolment.boot_at = row.boot_at.map(timestamp);
    enrolment.failures = u32::try_from(row.failures).unwrap_or(u32::MAX);
    enrolment.last_failure = tracking.last_failure;
    enrolment.seen_away = tracking.seen_away;
    enrolment.goal = tracking.goal;
    enrolment
}

/// What to write of the status machine's decision; documents are added by whoever collected them.
pub fn observation(row: &ServerRow, enrolment: &Enrolment) -> Observation {
    let tracking = Tracking {
        last_failure: enrolment.last_failure.clone(),
        seen_away: enrolment.seen_away,
        goal: enrolment.goal.clone(),
    };
    let idle = tracking.last_failure.is_none() && !tracking.seen_away && tracking.goal.is_none();
    let mut versions = versions(row);
    let maintained = set_maintenance(&mut versions, enrolment.maintenance);
    Observation {
        status: enrolment.status.as_str().into(),
        status_detail: enrolment.detail.as_str().into(),
        last_status_updated: Some(enrolment.since.as_microsecond()),
        boot_at: enrolment.boot_at.map(|at| at.as_microsecond()),
        failures: i64::from(enrolment.failures),
        failure_reason: if idle { None } else { serde_json::to_string(&tracking).ok() },
        version_data: if maintained { serde_json::to_string(&versions).ok() } else { None },
        ..Observation::default()
    }
}

/// Sets status and detail of a row that is about to be inserted.
pub fn put(row: &mut ServerRow, enrolment: &Enrolment) {
    row.status = enrolment.status.as_str().into();
    row.status_detail = enrolment.detail.as_str().into();
    row.last_status_updated = enrolment.since.as_microsecond();
}

fn set_maintenance(versions: &mut VersionData, maintenance: Maintenance) -> bool {
    let applications = versions.applications.iter_mut().flatten();
    let mut incus = applications.filter(|a| a.name == "incus" || a.name == "incus-lts-7.0");
    match incus.next() {
        Some(app) if app.in_maintenance != maintenance as i64 => {
            app.in_maintenance = maintenance as i64;
            true
        }
        _ => false,
    }
}

/// Stored status; a text of a later version counts as unknown.
pub fn status(row: &ServerRow) -> ServerStatus {
    row.status.parse().unwrap_or_default()
}

/// Stored detail.
pub fn detail(row: &ServerRow) -> StatusDetail {
    row.status_detail.parse().unwrap_or_default()
}

/// Status and detail in one text, for the audit.
pub fn state_text(status: ServerStatus, detail: StatusDetail) -> String {
    match detail {
        StatusDetail::None => status.as_str().to_owned(),
        detail => format!("{status} ({detail})"),
    }
}

/// Stored versions, without the computed members.
pub fn versions(row: &ServerRow) -> VersionData {
    serde_json::from_str(&row.version_data).unwrap_or_default()
}

/// Versions as the domain compares them.
pub fn installed(versions: &VersionData) -> Installed {
    Installed {
        os: InstalledOs {
            name: versions.os.name.clone(),
            version: versions.os.version.clone(),
            version_next: versions.os.version_next.clone(),
            needs_reboot: versions.os.needs_reboot,
        },
        applications: versions
            .applications
            .iter()
            .flatten()
            .map(|a| InstalledApplication {
                name: a.name.clone(),
                version: a.version.clone(),
                in_maintenance: Maintenance::from(a.in_maintenance),
            })
            .collect(),
    }
}

/// A stored instant.
pub fn timestamp(micros: i64) -> Timestamp {
    Time::from_micros(micros).0
}
