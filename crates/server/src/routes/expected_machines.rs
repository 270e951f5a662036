//! `/1.0/expected-machines`: hardware on its way (`lifecycle.md` 2, 3.3).

use crate::{
    App,
    answer::{Created, Empty, Sync},
    body::{self, Strict},
    caller::Caller,
    error::ApiError,
    params::{Key, Listing, Page, Params, WHOLE},
};
use axum::{
    Extension,
    extract::{Path, Request, State},
};
use muster_api::expected_machine::{ExpectedMachine, ExpectedMachinePost, ImportOutcome};
use muster_engine::services::expected_machine::{self, Import};
use serde::Serialize;
use utoipa::ToSchema;

const LIST: Listing = Listing { path: "/1.0/expected-machines", key: Key::Uuid, limits: WHOLE };

fn url(id: &str) -> String {
    format!("/1.0/expected-machines/{id}")
}

/// Expected machines, the longest expected first: those that have not shown up, or all with `all=true`. `limit` and `cursor`
/// (the last id seen) page the list.
#[utoipa::path(get, path = "/1.0/expected-machines", tag = "machines",
    params(("all" = Option<bool>, Query), ("limit" = Option<i64>, Query), ("cursor" = Option<String>, Query)),
    responses((status = 200, body = Vec<ExpectedMachine>), (status = 400)))]
pub async fn list(State(app): State<App>, params: Params) -> Result<Sync<Vec<ExpectedMachine>>, ApiError> {
    let Page { after, limit } = params.page(&LIST)?;
    let seen = if params.flag("all")? { None } else { Some(false) };
    Ok(Sync(expected_machine::list(&app.engine, seen, after, limit).await?))
}

/// Writes down a machine that is expected. When hardware with its UUID, serial number or MAC address shows up, what is written
/// here becomes a part of its record.
#[utoipa::path(post, path = "/1.0/expected-machines", tag = "machines", request_body = ExpectedMachinePost,
    responses((status = 201, body = NewExpected), (status = 400)))]
pub async fn create(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Strict(post): Strict<ExpectedMachinePost>,
) -> Result<Created<NewExpected>, ApiError> {
    let id = expected_machine::create(&app.engine, &caller.actor(), post).await?;
    Ok(Created(url(&id), NewExpected { id }))
}

/// A machine that was written down.
#[derive(Debug, Serialize, ToSchema)]
pub struct NewExpected {
    id: String,
}

/// One of them, whether it has shown up or not.
#[utoipa::path(get, path = "/1.0/expected-machines/{id}", tag = "machines", params(("id" = String, Path)),
    responses((status = 200, body = ExpectedMachine), (status = 404)))]
pub async fn get(State(app): State<App>, Path(id): Path<String>) -> Result<Sync<ExpectedMachine>, ApiError> {
    Ok(Sync(expected_machine::get(&app.engine, &id).await?))
}

/// Does not expect a machine any more. What it was put on stays as it is.
#[utoipa::path(delete, path = "/1.0/expected-machines/{id}", tag = "machines", params(("id" = String, Path)),
    responses((status = 200), (status = 404)))]
pub async fn delete(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Empty, ApiError> {
    expected_machine::delete(&app.engine, &caller.actor(), &id).await?;
    Ok(Empty)
}

/// Takes in many at once: a list in JSON (the default) or YAML, or CSV with a heading, as `format` says; at most 5000. With
/// `dry_run` it only says what would become of each row. A row at fault refuses the whole file, unless `skip_faulty` leaves
/// such rows out.
#[utoipa::path(post, path = "/1.0/expected-machines/:import", tag = "machines",
    params(("format" = Option<String>, Query), ("dry_run" = Option<bool>, Query), ("skip_faulty" = Option<bool>, Query)),
    request_body = Vec<ExpectedMachinePost>,
    responses((status = 200, body = ImportOutcome), (status = 400), (status = 413)))]
pub async fn import(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    params: Params,
    request: Request,
) -> Result<Sync<ImportOutcome>, ApiError> {
    let format = match params.get("format") {
        "" => "json",
        text => text,
    };
    let how = Import {
        format: format.parse().map_err(|e| ApiError::bad_request(format!("format: {e}")))?,
        dry_run: params.flag("dry_run")?,
        skip_faulty: params.flag("skip_faulty")?,
    };
    let bytes = body::read(request).await?;
    Ok(Sync(expected_machine::import(&app.engine, &caller.actor(), &bytes, how).await?))
}
