//! `/1.0/machines/{id}/alerts` and `…/hardware`: what is wrong with a machine, and what it is made of (`lifecycle.md` 1.5, 3.3).

use crate::{
    App,
    answer::{Empty, Sync},
    body::Strict,
    caller::Caller,
    error::ApiError,
    params::{Key, Listing, Page, Params},
};
use axum::{
    Extension,
    extract::{Path, State},
};
use muster_api::{
    alert::{Alert, AlertOverridePut, AlertReport},
    machine::{Hardware, HardwareChange},
};
use muster_engine::services::{machine_alert, machine_hardware};

const PARTS: (i64, i64) = (100, 1000);

/// The alerts of a machine, by source and name, those that somebody answers for as well.
#[utoipa::path(get, path = "/1.0/machines/{id}/alerts", tag = "machines", params(("id" = String, Path)),
    responses((status = 200, body = Vec<Alert>), (status = 404)))]
pub async fn list(State(app): State<App>, Path(id): Path<String>) -> Result<Sync<Vec<Alert>>, ApiError> {
    Ok(Sync(machine_alert::list(&app.engine, &id).await?))
}

/// Replaces what a source reports about a machine: what is not in it has ended.
#[utoipa::path(put, path = "/1.0/machines/{id}/alerts", tag = "machines", params(("id" = String, Path)),
    request_body = AlertReport, responses((status = 200), (status = 400), (status = 404), (status = 409)))]
pub async fn replace(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    Strict(report): Strict<AlertReport>,
) -> Result<Empty, ApiError> {
    machine_alert::report(&app.engine, &caller.actor(), &id, report, true).await?;
    Ok(Empty)
}

/// Adds to what a source reports about a machine.
#[utoipa::path(post, path = "/1.0/machines/{id}/alerts", tag = "machines", params(("id" = String, Path)),
    request_body = AlertReport, responses((status = 200), (status = 400), (status = 404), (status = 409)))]
pub async fn merge(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    Strict(report): Strict<AlertReport>,
) -> Result<Empty, ApiError> {
    machine_alert::report(&app.engine, &caller.actor(), &id, report, false).await?;
    Ok(Empty)
}

/// Ends an alert that a tool reported. Those of the center itself end with their cause.
#[utoipa::path(delete, path = "/1.0/machines/{id}/alerts/{source}/{name}", tag = "machines",
    params(("id" = String, Path), ("source" = String, Path), ("name" = String, Path)),
    responses((status = 200), (status = 400), (status = 404), (status = 409)))]
pub async fn delete(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path((id, source, name)): Path<(String, String, String)>,
) -> Result<Empty, ApiError> {
    machine_alert::delete(&app.engine, &caller.actor(), &id, &source, &name).await?;
    Ok(Empty)
}

/// Answers for an alert, with a reason and for as long as is said: its classes do not count meanwhile.
#[utoipa::path(put, path = "/1.0/machines/{id}/alerts/{source}/{name}/override", tag = "machines",
    params(("id" = String, Path), ("source" = String, Path), ("name" = String, Path)), request_body = AlertOverridePut,
    responses((status = 200), (status = 400), (status = 404), (status = 409)))]
pub async fn set_override(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path((id, source, name)): Path<(String, String, String)>,
    Strict(put): Strict<AlertOverridePut>,
) -> Result<Empty, ApiError> {
    machine_alert::set_override(&app.engine, &caller.actor(), &id, (&source, &name), put).await?;
    Ok(Empty)
}

/// Does not answer for an alert any more.
#[utoipa::path(delete, path = "/1.0/machines/{id}/alerts/{source}/{name}/override", tag = "machines",
    params(("id" = String, Path), ("source" = String, Path), ("name" = String, Path)),
    responses((status = 200), (status = 404), (status = 409)))]
pub async fn end_override(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path((id, source, name)): Path<(String, String, String)>,
) -> Result<Empty, ApiError> {
    machine_alert::end_override(&app.engine, &caller.actor(), &id, &source, &name).await?;
    Ok(Empty)
}

/// What a machine is made of, as it was seen last, and its type.
#[utoipa::path(get, path = "/1.0/machines/{id}/hardware", tag = "machines", params(("id" = String, Path)),
    responses((status = 200, body = Hardware), (status = 404)))]
pub async fn hardware(State(app): State<App>, Path(id): Path<String>) -> Result<Sync<Hardware>, ApiError> {
    Ok(Sync(machine_hardware::get(&app.engine, &id).await?))
}

/// How the hardware of a machine changed, the newest change first; `cursor` is the number of the last one seen.
#[utoipa::path(get, path = "/1.0/machines/{id}/hardware/changes", tag = "machines",
    params(("id" = String, Path), ("limit" = Option<i64>, Query), ("cursor" = Option<i64>, Query)),
    responses((status = 200, body = Vec<HardwareChange>), (status = 400), (status = 404)))]
pub async fn changes(
    State(app): State<App>,
    Path(id): Path<String>,
    params: Params,
) -> Result<Sync<Vec<HardwareChange>>, ApiError> {
    let Page { after, limit } = params.page(&Listing { path: "", key: Key::Number, limits: PARTS })?;
    let before = after.and_then(|seq| seq.parse().ok()).unwrap_or(i64::MAX);
    Ok(Sync(machine_hardware::changes(&app.engine, &id, before, limit).await?))
}
