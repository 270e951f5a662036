//! `/1.0/provisioning/updates` (`updates-and-system.md` 10, 11, 13-15, 17): what there is, how it comes, and what machines
//! load of it.

use crate::{
    App,
    answer::{Created, Empty, Started, Sync, Tagged, etag, if_match},
    body::Lenient,
    caller::Caller,
    error::ApiError,
    file::{self, Content},
    params::{Params, PathUuid},
};
use axum::{
    Extension,
    body::Body,
    extract::{RawPathParams, Request, State},
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures_util::StreamExt;
use muster_api::{
    envelope::Envelope,
    provisioning::{
        channel::ReasonPost,
        update::{Changelog, Missing, Update, UpdateFile, UpdatePut, Withdrawal},
    },
};
use muster_engine::{
    Error,
    services::{
        operation,
        update::{self, Listed},
    },
};
use std::pin::pin;

const URL: &str = "/1.0/provisioning/updates";

fn tag(listed: &Listed) -> String {
    etag("update", &listed.update.uuid.to_string(), listed.generation)
}

/// All updates, the newest version first; URLs in order of UUID without `recursion=1`. `channel` is one of the publisher's.
#[utoipa::path(get, path = "/1.0/provisioning/updates", tag = "updates",
    params(("recursion" = Option<i64>, Query), ("channel" = Option<String>, Query), ("origin" = Option<String>, Query), ("status" = Option<String>, Query)),
    responses((status = 200, body = Vec<Update>), (status = 400)))]
pub async fn list(State(app): State<App>, params: Params) -> Result<Response, ApiError> {
    let status = params.get("status");
    if !matches!(status, "" | "unknown" | "pending" | "ready") {
        return Err(ApiError::bad_request(format!("status {status:?} must be unknown, pending or ready")));
    }
    let (channel, origin) = (params.get("channel"), params.get("origin"));
    let list = update::list(&app.engine).await?;
    if params.recursion() && [channel, origin, status].iter().all(|text| text.is_empty()) {
        let body = list.body(|updates| {
            let updates: Vec<&Update> = updates.iter().map(|listed| &listed.update).collect();
            // Texts and lists of texts: there is nothing in them that cannot be written.
            let mut json = serde_json::to_vec(&Envelope::success(updates)).unwrap_or_default();
            json.push(b'\n');
            Bytes::from(json)
        });
        return Ok(([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], body).into_response());
    }
    let keep = |want: &str, have: &str| want.is_empty() || want == have;
    let kept = list.updates().iter().map(|listed| &listed.update).filter(|update| {
        (channel.is_empty() || update.upstream_channels.iter().any(|name| name == channel))
            && keep(origin, &update.origin)
            && keep(status, &update.update_status)
    });
    let mut kept: Vec<&Update> = kept.collect();
    if params.recursion() {
        return Ok(Sync(kept).into_response());
    }
    kept.sort_by_key(|update| update.uuid);
    Ok(Sync(kept.iter().map(|update| format!("{URL}/{}", update.uuid)).collect::<Vec<_>>()).into_response())
}

/// Takes in an update: an uncompressed tar with `update.sjson`, signed, and the files that it lists. With `sparing=true` it
/// may lack those that are here (see `:missing`).
#[utoipa::path(post, path = "/1.0/provisioning/updates", tag = "updates",
    params(("sparing" = Option<bool>, Query)),
    request_body(content = Vec<u8>, content_type = "application/x-tar"),
    responses((status = 201), (status = 400)))]
pub async fn upload(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    params: Params,
    request: Request,
) -> Result<Created<()>, ApiError> {
    let sparing = params.get("sparing") == "true";
    let body = request.into_body().into_data_stream().map(|bytes| bytes.map_err(|error| error.to_string()));
    let uuid = update::upload(&app.engine, &caller.actor(), pin!(body), sparing).await?;
    Ok(Created(format!("{URL}/{uuid}"), ()))
}

/// Says which files of an update are not here: the body is its `update.sjson`. What other updates have, and what an upload
/// that broke off within the last day had brought whole, is here.
#[utoipa::path(post, path = "/1.0/provisioning/updates/:missing", tag = "updates",
    request_body(content = Vec<u8>, content_type = "application/octet-stream"),
    responses((status = 200, body = Missing), (status = 400)))]
pub async fn missing(State(app): State<App>, request: Request) -> Result<Sync<Missing>, ApiError> {
    let document = crate::body::read(request).await?;
    Ok(Sync(update::missing(&app.engine, document).await?))
}

/// Deletes every update, uploaded ones and those in use too.
#[utoipa::path(delete, path = "/1.0/provisioning/updates", tag = "updates", responses((status = 200)))]
pub async fn cleanup(State(app): State<App>, Extension(caller): Extension<Caller>) -> Result<Empty, ApiError> {
    update::delete_all(&app.engine, &caller.actor()).await?;
    Ok(Empty)
}

/// Refreshes the updates from their source: a durable operation, joined if it is under way. `wait` answers at its end;
/// otherwise the header `Muster-Operation` names it. `accept_older`: once, an index that is older than the last one is taken.
#[utoipa::path(post, path = "/1.0/provisioning/updates/:refresh", tag = "updates",
    params(("wait" = Option<bool>, Query), ("accept_older" = Option<bool>, Query)),
    responses((status = 200), (status = 202), (status = 400), (status = 500)))]
pub async fn refresh(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    params: Params,
) -> Result<Response, ApiError> {
    let (wait, accept_older) = (params.flag("wait")?, params.flag("accept_older")?);
    let id = operation::refresh_updates(&app.engine, &caller.actor(), accept_older).await?;
    if wait {
        operation::answered(&app.engine, &id).await?;
        return Ok(Empty.into_response());
    }
    Ok(Started(id).into_response())
}

/// To a reader `:refresh` is a malformed UUID like any other.
pub async fn no_uuid() -> Result<(), ApiError> {
    crate::params::uuid(":refresh").map(drop)
}

/// One update.
#[utoipa::path(get, path = "/1.0/provisioning/updates/{uuid}", tag = "updates",
    params(("uuid" = uuid::Uuid, Path)), responses((status = 200, body = Update), (status = 404)))]
pub async fn get(State(app): State<App>, PathUuid(uuid): PathUuid) -> Result<Tagged<Update>, ApiError> {
    let listed = update::get(&app.engine, uuid).await?;
    Ok(Tagged(tag(&listed), listed.update))
}

/// Replaces the channels that offer an update.
#[utoipa::path(put, path = "/1.0/provisioning/updates/{uuid}", tag = "updates",
    params(("uuid" = uuid::Uuid, Path)), request_body = UpdatePut,
    responses((status = 200), (status = 400), (status = 404), (status = 412)))]
pub async fn assign(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    PathUuid(uuid): PathUuid,
    headers: HeaderMap,
    Lenient(put): Lenient<UpdatePut>,
) -> Result<Empty, ApiError> {
    let listed = update::get(&app.engine, uuid).await?;
    if_match(&headers, &tag(&listed))?;
    update::assign(&app.engine, &caller.actor(), uuid, put.channels, Some(listed.generation)).await?;
    Ok(Empty)
}

/// An update as the tar that another center takes in. Takes `Range`, `If-Range` and `If-None-Match`.
#[utoipa::path(get, path = "/1.0/provisioning/updates/{uuid}/:export", tag = "updates",
    params(("uuid" = uuid::Uuid, Path)),
    responses((status = 200, body = Vec<u8>, content_type = "application/octet-stream"), (status = 206), (status = 304), (status = 400), (status = 404), (status = 416)))]
pub async fn export(
    State(app): State<App>,
    PathUuid(uuid): PathUuid,
    headers: HeaderMap,
) -> Result<Response<Body>, ApiError> {
    let export = update::export(&app.engine, uuid).await?;
    let (size, tag, name) = (export.size, export.tag.clone(), export.name.clone());
    Ok(file::answer(Content::new(move |at, chunk| export.read(at, chunk), size, &tag, &name), &headers))
}

/// Withdraws an update, for a reason: machines are told of the one before instead.
#[utoipa::path(post, path = "/1.0/provisioning/updates/{uuid}/:withdraw", tag = "updates",
    params(("uuid" = uuid::Uuid, Path)), request_body = ReasonPost, responses((status = 200), (status = 400), (status = 404)))]
pub async fn withdraw(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    PathUuid(uuid): PathUuid,
    Lenient(post): Lenient<ReasonPost>,
) -> Result<Empty, ApiError> {
    update::withdraw(&app.engine, &caller.actor(), uuid, &post.reason).await?;
    Ok(Empty)
}

/// Takes a withdrawal back.
#[utoipa::path(post, path = "/1.0/provisioning/updates/{uuid}/:restore", tag = "updates",
    params(("uuid" = uuid::Uuid, Path)), responses((status = 200), (status = 400), (status = 404)))]
pub async fn restore(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    PathUuid(uuid): PathUuid,
) -> Result<Empty, ApiError> {
    update::restore(&app.engine, &caller.actor(), uuid).await?;
    Ok(Empty)
}

/// All withdrawn updates, the latest version first; those that are not here any more too.
#[utoipa::path(get, path = "/1.0/provisioning/updates/:withdrawn", tag = "updates", responses((status = 200, body = Vec<Withdrawal>)))]
pub async fn withdrawn(State(app): State<App>) -> Result<Sync<Vec<Withdrawal>>, ApiError> {
    Ok(Sync(update::withdrawals(&app.engine).await?))
}

/// What it changes against the one before it in a channel.
#[utoipa::path(get, path = "/1.0/provisioning/updates/{uuid}/changelog", tag = "updates",
    params(("uuid" = uuid::Uuid, Path), ("channel" = Option<String>, Query), ("upstream" = Option<bool>, Query), ("architecture" = Option<String>, Query)),
    responses((status = 200, body = Changelog), (status = 404)))]
pub async fn changelog(
    State(app): State<App>,
    PathUuid(uuid): PathUuid,
    params: Params,
) -> Result<Sync<Changelog>, ApiError> {
    let channel = Some(params.get("channel").to_owned()).filter(|channel| !channel.is_empty());
    let upstream = matches!(params.get("upstream"), "1" | "t" | "T" | "TRUE" | "true" | "True");
    let architecture = params.get("architecture").to_owned();
    Ok(Sync(update::of_update(&app.engine, uuid, update::Wanted { channel, upstream, architecture }).await?))
}

/// Its files.
#[utoipa::path(get, path = "/1.0/provisioning/updates/{uuid}/files", tag = "updates",
    params(("uuid" = uuid::Uuid, Path)), responses((status = 200, body = Vec<UpdateFile>), (status = 404)))]
pub async fn files(State(app): State<App>, PathUuid(uuid): PathUuid) -> Result<Sync<Vec<UpdateFile>>, ApiError> {
    Ok(Sync(update::get(&app.engine, uuid).await?.files))
}

/// One of its files, as it was published: never compressed once more. Takes `Range`, `If-Range` and `If-None-Match`. Where the
/// settings limit what is sent, the answer begins at once and its body comes slower.
#[utoipa::path(get, path = "/1.0/provisioning/updates/{uuid}/files/{*filename}", tag = "updates",
    params(("uuid" = uuid::Uuid, Path), ("filename" = String, Path)),
    responses((status = 200, body = Vec<u8>, content_type = "application/octet-stream"), (status = 206), (status = 304), (status = 404), (status = 416)))]
pub async fn file(
    State(app): State<App>,
    PathUuid(uuid): PathUuid,
    path: RawPathParams,
    headers: HeaderMap,
) -> Result<Response<Body>, ApiError> {
    let name = path.iter().find(|(key, _)| *key == "filename").map_or("", |(_, name)| name).to_owned();
    let found = update::content(&app.engine, uuid, &name).await?;
    let size = u64::try_from(found.file.size)
        .map_err(|_| Error::Internal(format!("the stored size of {name:?} is negative")))?;
    let stored = Content::stored(found.content, size, &found.file.sha256, &found.file.filename);
    Ok(file::answer(Content { download: Some(app.downloads.begin()), ..stored }, &headers))
}
