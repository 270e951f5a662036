//! `/1.0/server-types`: classes of hardware (`lifecycle.md` 2).

use crate::{
    App,
    answer::{Empty, Sync, Tagged, etag, if_match},
    body::Strict,
    caller::Caller,
    error::ApiError,
    params::{Key, Listing, Page, Params, WHOLE},
};
use axum::{
    Extension,
    extract::{Path, State},
    http::HeaderMap,
};
use muster_api::server_type::{ServerType, ServerTypeMerge, ServerTypeMerged, ServerTypePut};
use muster_engine::services::server_type;

const LIST: Listing = Listing { path: "/1.0/server-types", key: Key::Uuid, limits: WHOLE };

/// All types, the longest known first, each with how many machines of it are in which state. `limit` and `cursor` (the last id
/// seen) page the list.
#[utoipa::path(get, path = "/1.0/server-types", tag = "server-types",
    params(("limit" = Option<i64>, Query), ("cursor" = Option<String>, Query)),
    responses((status = 200, body = Vec<ServerType>), (status = 400)))]
pub async fn list(State(app): State<App>, params: Params) -> Result<Sync<Vec<ServerType>>, ApiError> {
    let Page { after, limit } = params.page(&LIST)?;
    Ok(Sync(server_type::list(&app.engine, after, limit).await?))
}

/// One type.
#[utoipa::path(get, path = "/1.0/server-types/{id}", tag = "server-types", params(("id" = String, Path)),
    responses((status = 200, body = ServerType), (status = 404)))]
pub async fn get(State(app): State<App>, Path(id): Path<String>) -> Result<Tagged<ServerType>, ApiError> {
    let (kind, generation) = server_type::get(&app.engine, &id).await?;
    Ok(Tagged(etag("server-type", &id, generation), kind))
}

/// Renames a type and describes it. Its machines stay of it.
#[utoipa::path(put, path = "/1.0/server-types/{id}", tag = "server-types", params(("id" = String, Path)),
    request_body = ServerTypePut, responses((status = 200), (status = 400), (status = 404), (status = 412)))]
pub async fn update(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    headers: HeaderMap,
    Strict(put): Strict<ServerTypePut>,
) -> Result<Empty, ApiError> {
    let (_, generation) = server_type::get(&app.engine, &id).await?;
    if_match(&headers, &etag("server-type", &id, generation))?;
    server_type::edit(&app.engine, &caller.actor(), &id, put, generation).await?;
    Ok(Empty)
}

/// Moves machines, subscriptions and fingerprints to another type and removes this one: hardware of both is one type from
/// then on.
#[utoipa::path(post, path = "/1.0/server-types/{id}/:merge", tag = "server-types", params(("id" = String, Path)),
    request_body = ServerTypeMerge,
    responses((status = 200, body = ServerTypeMerged), (status = 400), (status = 404)))]
pub async fn merge(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    Strict(post): Strict<ServerTypeMerge>,
) -> Result<Sync<ServerTypeMerged>, ApiError> {
    Ok(Sync(server_type::merge(&app.engine, &caller.actor(), &id, post).await?))
}

/// Removes a type of which no machine is, decommissioned ones included, and for which there is no subscription.
#[utoipa::path(delete, path = "/1.0/server-types/{id}", tag = "server-types", params(("id" = String, Path)),
    responses((status = 200), (status = 400), (status = 404)))]
pub async fn delete(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Empty, ApiError> {
    server_type::delete(&app.engine, &caller.actor(), &id).await?;
    Ok(Empty)
}
