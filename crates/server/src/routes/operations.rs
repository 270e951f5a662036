//! `/1.0/operations`: work that outlives a request, with its steps and the reason of its wait.

use crate::{
    App,
    answer::Sync,
    caller::Caller,
    error::ApiError,
    params::{Key, Listing, Page, Params, WHOLE},
};
use axum::{
    Extension,
    extract::{Path, State},
};
use muster_engine::services::operation::{self as service, Filter, View};

/// The URL of an operation.
pub fn url(id: &str) -> String {
    format!("/1.0/operations/{id}")
}

const LIST: Listing = Listing { path: "/1.0/operations", key: Key::Uuid, limits: WHOLE };

/// Operations, the newest first. `status`, `target`, `target_kind` and `kind` narrow the list, `limit` and `cursor` (the last id seen) page it.
#[utoipa::path(get, path = "/1.0/operations", tag = "operations",
    params(("status" = Option<String>, Query), ("target" = Option<String>, Query),
           ("target_kind" = Option<String>, Query), ("kind" = Option<String>, Query), ("limit" = Option<i64>, Query),
           ("cursor" = Option<String>, Query)),
    responses((status = 200, body = Vec<Object>), (status = 400)))]
pub async fn list(State(app): State<App>, params: Params) -> Result<Sync<Vec<View>>, ApiError> {
    let text = |key: &str| Some(params.get(key).to_owned()).filter(|t| !t.is_empty());
    let Page { after, limit } = params.page(&LIST)?;
    let filter = Filter {
        status: text("status"),
        target: text("target"),
        target_kind: text("target_kind"),
        kind: text("kind"),
        after,
        newest_first: true,
        ..Filter::default()
    };
    Ok(Sync(service::list(&app.engine, filter, limit).await?))
}

/// One operation.
#[utoipa::path(get, path = "/1.0/operations/{id}", tag = "operations",
    params(("id" = String, Path)), responses((status = 200, body = Object), (status = 404)))]
pub async fn get(State(app): State<App>, Path(id): Path<String>) -> Result<Sync<View>, ApiError> {
    Ok(Sync(service::get(&app.engine, &id).await?))
}

/// Asks for its end. A call that a machine has not answered yet is waited for.
#[utoipa::path(post, path = "/1.0/operations/{id}/:cancel", tag = "operations",
    params(("id" = String, Path)), responses((status = 200, body = Object), (status = 400), (status = 404)))]
pub async fn cancel(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Sync<View>, ApiError> {
    Ok(Sync(service::cancel(&app.engine, &caller.actor(), &id).await?))
}

/// Begins one anew that failed or was cancelled.
#[utoipa::path(post, path = "/1.0/operations/{id}/:retry", tag = "operations",
    params(("id" = String, Path)), responses((status = 200, body = Object), (status = 400), (status = 404)))]
pub async fn retry(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Sync<View>, ApiError> {
    Ok(Sync(service::retry(&app.engine, &caller.actor(), &id).await?))
}
