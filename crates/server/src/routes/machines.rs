//! `/1.0/machines`: the physical assets behind the servers.

use crate::{
    App,
    answer::Sync,
    error::ApiError,
    params::{Key, Listing, Page, Params},
};
use axum::extract::{Path, State};
use muster_api::time::Time;
use muster_engine::services::machine::{self, Named};
use serde::Serialize;
use utoipa::ToSchema;

/// A machine.
#[derive(Debug, Serialize, ToSchema)]
pub struct Machine {
    id: String,
    lifecycle: String,
    /// What its disks hold: `unknown`, `clean` or `dirty`.
    media: String,
    /// SMBIOS system UUID, empty when not known.
    system_uuid: String,
    /// The operating system's machine-id, empty when not known.
    machine_id: String,
    /// The server that it is enrolled as, or empty.
    server: String,
    #[schema(value_type = String, format = DateTime)]
    created_at: Time,
}

impl From<Named> for Machine {
    fn from((row, server): Named) -> Self {
        Self {
            id: row.id,
            lifecycle: row.lifecycle,
            media: row.media,
            system_uuid: row.system_uuid.unwrap_or_default(),
            machine_id: row.machine_id.unwrap_or_default(),
            server,
            created_at: Time::from_micros(row.created_at),
        }
    }
}

const LIST: Listing = Listing { path: "/1.0/machines", key: Key::Uuid, limits: (1000, 10_000) };

/// Machines by id; decommissioned ones only with `lifecycle=decommissioned`. `cursor` is the id of the last one seen.
#[utoipa::path(get, path = "/1.0/machines", tag = "machines",
    params(("lifecycle" = Option<String>, Query), ("limit" = Option<i64>, Query), ("cursor" = Option<String>, Query)),
    responses((status = 200, body = Vec<Machine>), (status = 400)))]
pub async fn list(State(app): State<App>, params: Params) -> Result<Sync<Vec<Machine>>, ApiError> {
    let lifecycle = match params.get("lifecycle") {
        "" => None,
        text => Some(text.parse().map_err(|e| ApiError::bad_request(format!("lifecycle: {e}")))?),
    };
    let Page { after, limit } = params.page(&LIST)?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let found = machine::list(&app.engine, lifecycle, &after.unwrap_or_default(), limit).await?;
    Ok(Sync(found.into_iter().map(Machine::from).collect()))
}

/// One machine, decommissioned or not.
#[utoipa::path(get, path = "/1.0/machines/{id}", tag = "machines", params(("id" = String, Path)),
    responses((status = 200, body = Machine), (status = 404)))]
pub async fn get(State(app): State<App>, Path(id): Path<String>) -> Result<Sync<Machine>, ApiError> {
    Ok(Sync(machine::get(&app.engine, &id).await?.into()))
}
