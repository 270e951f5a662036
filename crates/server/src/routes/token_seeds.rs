//! `/1.0/provisioning/tokens/{uuid}/seeds`, and images made with seeds (`servers.md` 4).

use crate::{
    App,
    answer::{Created, Empty, Sync, Tagged, etag, if_match},
    body::Strict,
    caller::Caller,
    error::ApiError,
    file::{self, Content},
    params::{Params, PathName, PathUuid},
};
use axum::{
    Extension,
    extract::State,
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse, Response},
};
use futures_util::{FutureExt, future::BoxFuture};
use muster_api::provisioning::seed::{TokenImagePost, TokenSeed, TokenSeedPost, TokenSeedPut};
use muster_engine::images::splice::{self, Span};
use muster_engine::services::{
    image::{self, Image, Kind},
    token_seed,
};
use uuid::Uuid;

/// The reference's form: a path that does not exist, which clients do not follow.
fn url(token: Uuid, name: &str) -> String {
    format!("/1.0/provisioning/tokens/{token}/images/{name}")
}

fn tag(seed: &TokenSeed, generation: i64) -> String {
    etag("token-seed", &format!("{}/{}", seed.token_uuid, seed.name), generation)
}

/// Seeds of a token: URLs, or objects with `recursion=1`.
#[utoipa::path(get, path = "/1.0/provisioning/tokens/{uuid}/seeds", tag = "tokens",
    params(("uuid" = Uuid, Path), ("recursion" = Option<i64>, Query)), responses((status = 200, body = Vec<TokenSeed>)))]
pub async fn list(State(app): State<App>, PathUuid(uuid): PathUuid, params: Params) -> Result<Response, ApiError> {
    let names = token_seed::names(&app.engine, uuid).await?;
    if !params.recursion() {
        return Ok(Sync(names.iter().map(|n| url(uuid, n)).collect::<Vec<_>>()).into_response());
    }
    let mut seeds = Vec::new();
    for name in names {
        seeds.push(token_seed::get(&app.engine, uuid, name).await?.0);
    }
    Ok(Sync(seeds).into_response())
}

/// Makes a seed.
#[utoipa::path(post, path = "/1.0/provisioning/tokens/{uuid}/seeds", tag = "tokens",
    params(("uuid" = Uuid, Path)), request_body = TokenSeedPost, responses((status = 201), (status = 400)))]
pub async fn create(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    PathUuid(uuid): PathUuid,
    Strict(post): Strict<TokenSeedPost>,
) -> Result<Created<()>, ApiError> {
    let location = url(uuid, &post.name);
    token_seed::create(&app.engine, &caller.actor(), uuid, post).await?;
    Ok(Created(location, ()))
}

/// One seed; with `type` an image made with it. A public one may be read by anybody.
#[utoipa::path(get, path = "/1.0/provisioning/tokens/{uuid}/seeds/{name}", tag = "tokens",
    params(("uuid" = Uuid, Path), ("name" = String, Path), ("type" = Option<String>, Query), ("architecture" = Option<String>, Query), ("channel" = Option<String>, Query)),
    responses((status = 200, body = TokenSeed), (status = 206), (status = 403), (status = 404), (status = 416)))]
pub async fn get(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    PathUuid(uuid): PathUuid,
    PathName(name): PathName,
    params: Params,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let (seed, generation) = token_seed::get(&app.engine, uuid, name).await?;
    if !seed.public && !caller.trusted() {
        return Err(ApiError::forbidden(
            "the seed is not public: User does not have entitlement \"can_view\" on object \"server:operations-center\"",
        ));
    }
    if params.get("type").is_empty() {
        return Ok(Tagged(tag(&seed, generation), seed).into_response());
    }
    let kind = check(params.get("type"), params.get("architecture"))?;
    let channel = Some(params.get("channel")).filter(|name| !name.is_empty());
    let image = image::named(&app.engine, uuid, &seed.seeds, kind, params.get("architecture"), channel).await?;
    Ok(download(image, &seed.name, None, &headers))
}

/// Replaces a seed.
#[utoipa::path(put, path = "/1.0/provisioning/tokens/{uuid}/seeds/{name}", tag = "tokens",
    params(("uuid" = Uuid, Path), ("name" = String, Path)), request_body = TokenSeedPut,
    responses((status = 201), (status = 404), (status = 412)))]
pub async fn update(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    PathUuid(uuid): PathUuid,
    PathName(name): PathName,
    headers: HeaderMap,
    Strict(put): Strict<TokenSeedPut>,
) -> Result<Created<()>, ApiError> {
    let (old, generation) = token_seed::get(&app.engine, uuid, name.clone()).await?;
    if_match(&headers, &tag(&old, generation))?;
    token_seed::update(&app.engine, &caller.actor(), uuid, name.clone(), put, Some(generation)).await?;
    Ok(Created(url(uuid, &name), ()))
}

/// Removes a seed.
#[utoipa::path(delete, path = "/1.0/provisioning/tokens/{uuid}/seeds/{name}", tag = "tokens",
    params(("uuid" = Uuid, Path), ("name" = String, Path)), responses((status = 200), (status = 404)))]
pub async fn delete(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    PathUuid(uuid): PathUuid,
    PathName(name): PathName,
) -> Result<Empty, ApiError> {
    token_seed::delete(&app.engine, &caller.actor(), uuid, name).await?;
    Ok(Empty)
}

/// Where a prepared image is fetched.
#[derive(serde::Serialize, utoipa::ToSchema)]
pub struct PreparedImage {
    image: String,
}

/// Prepares an image: good for one download, begun within five minutes.
#[utoipa::path(post, path = "/1.0/provisioning/tokens/{uuid}/image", tag = "tokens",
    params(("uuid" = Uuid, Path)), request_body = TokenImagePost, responses((status = 201, body = PreparedImage), (status = 400), (status = 404)))]
pub async fn prepare(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    PathUuid(uuid): PathUuid,
    Strict(post): Strict<TokenImagePost>,
) -> Result<Created<PreparedImage>, ApiError> {
    let kind = check(&post.image_type, &post.architecture)?;
    let id = image::prepare(&app.engine, &caller.actor(), uuid, kind, post).await?;
    let image = format!("/1.0/provisioning/tokens/{uuid}/image/{id}");
    // The reference's Location names a path that does not exist; clients take the one in the body.
    Ok(Created(format!("/1.0/provisioning/tokens/image/{id}"), PreparedImage { image }))
}

/// A prepared image, compressed: receivers that accept gzip unpack it. Takes `Range` and `If-Range`, so that a download
/// that broke off is taken up again.
#[utoipa::path(get, path = "/1.0/provisioning/tokens/{uuid}/image/{image}", tag = "tokens",
    params(("uuid" = Uuid, Path), ("image" = Uuid, Path)),
    responses((status = 200, body = Vec<u8>, content_type = "application/gzip"), (status = 206), (status = 400), (status = 404), (status = 416)))]
pub async fn prepared(
    State(app): State<App>,
    PathUuid(uuid): PathUuid,
    axum::extract::Path((_, image)): axum::extract::Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let id = crate::params::uuid(&image)?;
    let resumed = headers.get(header::IF_RANGE).and_then(|tag| tag.to_str().ok());
    let resumed = resumed.filter(|_| headers.contains_key(header::RANGE)).map(|tag| tag.trim().trim_matches('"'));
    let image = image::prepared(&app.engine, uuid, id, resumed).await?;
    let engine = app.engine.clone();
    let used_up = async move { image::sent(&engine, id).await }.boxed();
    Ok(download(image, &uuid.to_string(), Some(used_up), &headers))
}

fn check(kind: &str, architecture: &str) -> Result<Kind, ApiError> {
    let Some(kind) = Kind::parse(kind) else {
        return Err(ApiError::bad_request(format!("type {kind:?} must be iso or raw")));
    };
    if !matches!(architecture, "" | "x86_64" | "aarch64") {
        return Err(ApiError::bad_request(format!("architecture {architecture:?} must be x86_64 or aarch64")));
    }
    Ok(kind)
}

/// The bytes are the same whether the receiver unpacks them; what they are called is not (`servers.md` 12.6).
fn download(image: Image, of: &str, at_end: Option<BoxFuture<'static, ()>>, asked: &HeaderMap) -> Response {
    let accepted = asked.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok());
    let packed = accepted.is_some_and(|codings| codings.contains("gzip"));
    let name = format!("pre-seed-{}.{}", of.replace('/', "_"), image.kind.name());
    let (name, content_type) =
        if packed { (name, "application/octet-stream") } else { (format!("{name}.gz"), "application/gzip") };
    let Image { file, spans, tag, .. } = image;
    let size = spans.iter().map(Span::length).sum();
    let read = move |at, chunk: &mut [u8]| splice::read_at(&file, &spans, at, chunk);
    let content = Content { content_type, packed, at_end, ..Content::new(read, size, &tag, &name) };
    let mut response = file::answer(content, asked);
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    response
}
