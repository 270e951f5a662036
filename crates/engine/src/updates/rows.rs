//! Between the stored row of an update and what the domain compares.

use crate::Error;
use muster_api::time::TimeText;
use muster_domain::update::{
    held::{Arrival, Held, Progress},
    index::{File, Published, Severity},
};
use muster_store::tables::updates::Update as UpdateRow;
use uuid::Uuid;

/// Status of an update whose files are not all here.
pub(crate) const PENDING: &str = "pending";
/// Status of one that is here in full.
pub(crate) const READY: &str = "ready";

fn broken(row: &UpdateRow, what: &str) -> Error {
    Error::Internal(format!("the stored update {} has a broken {what}", row.uuid))
}

/// The files of a row.
///
/// # Errors
/// A list that cannot be read.
pub(crate) fn files(row: &UpdateRow) -> Result<Vec<File>, Error> {
    serde_json::from_str(&row.files).map_err(|_| broken(row, "list of files"))
}

/// A row as the domain knows it.
///
/// # Errors
/// A row that cannot be read.
pub(crate) fn held(row: &UpdateRow) -> Result<Held, Error> {
    let id: Uuid = row.uuid.parse().map_err(|_| broken(row, "uuid"))?;
    let update = Published {
        version: row.version.clone(),
        origin: row.origin.clone(),
        published_at: row.published_at.parse::<TimeText>().map_err(|_| broken(row, "time of publication"))?,
        severity: row.severity.parse().unwrap_or(Severity::None),
        channels: serde_json::from_str(&row.upstream_channels).map_err(|_| broken(row, "list of channels"))?,
        url: row.url.clone(),
        files: files(row)?,
        dropped: 0,
    };
    Ok(Held {
        id,
        arrival: if update.source_id() == id { Arrival::Source } else { Arrival::Upload },
        progress: if row.status == READY { Progress::Ready } else { Progress::Pending },
        channels: row.channels.iter().cloned().collect(),
        update,
    })
}

/// The row of an update from the source, without files, in no channel.
pub(crate) fn of_source(id: Uuid, update: &Published, now: i64) -> UpdateRow {
    UpdateRow {
        uuid: id.to_string(),
        origin: update.origin.clone(),
        version: update.version.clone(),
        published_at: update.published_at.as_str().to_owned(),
        severity: update.severity.to_string(),
        upstream_channels: serde_json::json!(update.channels).to_string(),
        files: "[]".to_owned(),
        url: update.url.clone(),
        status: PENDING.to_owned(),
        last_updated: now,
        channels: Vec::new(),
    }
}

/// A list of files as it is stored.
///
/// # Errors
/// None that can happen: names and numbers.
pub(crate) fn listed(files: &[File]) -> Result<String, Error> {
    serde_json::to_string(files).map_err(|error| Error::Internal(error.to_string()))
}
