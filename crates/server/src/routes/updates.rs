//! `/1.0/provisioning/updates` (`updates-and-system.md` 10): what there is. The signed source is not part of this version.

use crate::{
    App,
    answer::{Sync, Tagged, etag},
    error::ApiError,
    params::{Params, PathUuid},
};
use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use muster_api::provisioning::update::{Update, UpdateFile};
use muster_engine::services::update;

const NOT_YET: &str = "this version has no update source yet and takes no uploads";

/// All updates, the newest version first; URLs in order of UUID without `recursion=1`.
#[utoipa::path(get, path = "/1.0/provisioning/updates", tag = "updates",
    params(("recursion" = Option<i64>, Query), ("channel" = Option<String>, Query), ("origin" = Option<String>, Query), ("status" = Option<String>, Query)),
    responses((status = 200, body = Vec<Update>)))]
pub async fn list(State(app): State<App>, params: Params) -> Result<Response, ApiError> {
    let status = params.get("status");
    if !matches!(status, "" | "unknown" | "pending" | "ready") {
        return Err(ApiError::bad_request(format!("status {status:?} must be unknown, pending or ready")));
    }
    let keep = |want: &str, have: &str| want.is_empty() || want == have;
    let mut updates = update::list(&app.engine).await?;
    updates.retain(|u| {
        let channel = params.get("channel");
        (channel.is_empty() || u.upstream_channels.iter().any(|c| c == channel))
            && keep(params.get("origin"), &u.origin)
            && keep(status, &u.update_status)
    });
    Ok(if params.recursion() {
        Sync(updates).into_response()
    } else {
        updates.sort_by_key(|u| u.uuid);
        Sync(updates.iter().map(|u| format!("/1.0/provisioning/updates/{}", u.uuid)).collect::<Vec<_>>())
            .into_response()
    })
}

/// Not offered by this version.
#[utoipa::path(post, path = "/1.0/provisioning/updates", tag = "updates", responses((status = 501)))]
pub async fn upload() -> ApiError {
    ApiError::not_offered(NOT_YET)
}

/// Not offered by this version.
#[utoipa::path(delete, path = "/1.0/provisioning/updates", tag = "updates", responses((status = 501)))]
pub async fn cleanup() -> ApiError {
    ApiError::not_offered(NOT_YET)
}

/// Not offered by this version.
#[utoipa::path(post, path = "/1.0/provisioning/updates/:refresh", tag = "updates", responses((status = 501)))]
pub async fn refresh() -> ApiError {
    ApiError::not_offered(NOT_YET)
}

/// To a reader `:refresh` is a malformed UUID like any other.
pub async fn no_uuid() -> Result<(), ApiError> {
    crate::params::uuid(":refresh").map(drop)
}

/// One update.
#[utoipa::path(get, path = "/1.0/provisioning/updates/{uuid}", tag = "updates",
    params(("uuid" = uuid::Uuid, Path)), responses((status = 200, body = Update), (status = 404)))]
pub async fn get(State(app): State<App>, PathUuid(uuid): PathUuid) -> Result<Tagged<Update>, ApiError> {
    let (update, _) = update::get(&app.engine, uuid).await?;
    let text = serde_json::to_string(&update).unwrap_or_default();
    Ok(Tagged(etag("update", &text, 0), update))
}

/// Its files.
#[utoipa::path(get, path = "/1.0/provisioning/updates/{uuid}/files", tag = "updates",
    params(("uuid" = uuid::Uuid, Path)), responses((status = 200, body = Vec<UpdateFile>), (status = 404)))]
pub async fn files(State(app): State<App>, PathUuid(uuid): PathUuid) -> Result<Sync<Vec<UpdateFile>>, ApiError> {
    Ok(Sync(update::get(&app.engine, uuid).await?.1))
}
