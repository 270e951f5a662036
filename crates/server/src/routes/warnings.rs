//! `/1.0/warnings` (`updates-and-system.md` 21).

use crate::{
    App,
    answer::{Created, Sync, Tagged, etag, if_match},
    body::Lenient,
    caller::Caller,
    error::ApiError,
    params::{Key, Listing, Page, Params, PathUuid, WHOLE},
};
use axum::{Extension, extract::State, http::HeaderMap};
use muster_api::warning::{Warning, WarningPut};
use muster_engine::services::warning;

const LIST: Listing = Listing { path: "/1.0/warnings", key: Key::Uuid, limits: WHOLE };

/// All warnings, by UUID, which is by age, always as objects. `limit` and `cursor` (the last UUID seen) page the list.
#[utoipa::path(get, path = "/1.0/warnings", tag = "warnings",
    params(("limit" = Option<i64>, Query), ("cursor" = Option<String>, Query)),
    responses((status = 200, body = Vec<Warning>), (status = 400)))]
pub async fn list(State(app): State<App>, params: Params) -> Result<Sync<Vec<Warning>>, ApiError> {
    let Page { after, limit } = params.page(&LIST)?;
    Ok(Sync(warning::list(&app.engine, after, limit).await?))
}

/// One warning.
#[utoipa::path(get, path = "/1.0/warnings/{uuid}", tag = "warnings",
    params(("uuid" = uuid::Uuid, Path)), responses((status = 200, body = Warning), (status = 404)))]
pub async fn get(State(app): State<App>, PathUuid(uuid): PathUuid) -> Result<Tagged<Warning>, ApiError> {
    let (warning, generation) = warning::get(&app.engine, uuid).await?;
    Ok(Tagged(etag("warning", &uuid.to_string(), generation), warning))
}

/// Acknowledges a warning, or takes that back.
#[utoipa::path(put, path = "/1.0/warnings/{uuid}", tag = "warnings",
    params(("uuid" = uuid::Uuid, Path)), request_body = WarningPut, responses((status = 201), (status = 400), (status = 404), (status = 412)))]
pub async fn update(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    PathUuid(uuid): PathUuid,
    headers: HeaderMap,
    Lenient(put): Lenient<WarningPut>,
) -> Result<Created<()>, ApiError> {
    let (_, generation) = warning::get(&app.engine, uuid).await?;
    if_match(&headers, &etag("warning", &uuid.to_string(), generation))?;
    warning::set_status(&app.engine, &caller.actor(), uuid, put.status, Some(generation)).await?;
    Ok(Created(format!("/1.0/warnings/{uuid}"), ()))
}
