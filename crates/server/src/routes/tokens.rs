//! `/1.0/provisioning/tokens` (`servers.md` 4).

use crate::{
    App,
    answer::{Created, Empty, Sync, Tagged, etag, if_match},
    body::Lenient,
    caller::Caller,
    error::ApiError,
    params::{Key, Listing, Page, Params, PathUuid, WHOLE},
};
use axum::{
    Extension,
    extract::State,
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use muster_api::provisioning::token::{ProviderConfig, Token, TokenPut};
use muster_engine::services::token;
use uuid::Uuid;

fn url(uuid: Uuid) -> String {
    format!("/1.0/provisioning/tokens/{uuid}")
}

fn tag(token: &Token, generation: i64) -> String {
    etag("token", &token.uuid.to_string(), generation)
}

const LIST: Listing = Listing { path: "/1.0/provisioning/tokens", key: Key::Uuid, limits: WHOLE };

/// All tokens, by UUID: URLs, or objects with `recursion=1`. `limit` and `cursor` (the last UUID seen) page the list.
#[utoipa::path(get, path = "/1.0/provisioning/tokens", tag = "tokens",
    params(("recursion" = Option<i64>, Query), ("limit" = Option<i64>, Query), ("cursor" = Option<String>, Query)),
    responses((status = 200, body = Vec<Token>), (status = 400)))]
pub async fn list(State(app): State<App>, params: Params) -> Result<Response, ApiError> {
    let Page { after, limit } = params.page(&LIST)?;
    let tokens = token::list(&app.engine, after, limit).await?;
    Ok(if params.recursion() {
        Sync(tokens).into_response()
    } else {
        Sync(tokens.iter().map(|t| url(t.uuid)).collect::<Vec<_>>()).into_response()
    })
}

/// Makes a token. Its UUID is in `Location`.
#[utoipa::path(post, path = "/1.0/provisioning/tokens", tag = "tokens", request_body = TokenPut, responses((status = 201)))]
pub async fn create(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Lenient(put): Lenient<TokenPut>,
) -> Result<Created<()>, ApiError> {
    let uuid = token::create(&app.engine, &caller.actor(), put).await?;
    Ok(Created(url(uuid), ()))
}

/// One token.
#[utoipa::path(get, path = "/1.0/provisioning/tokens/{uuid}", tag = "tokens",
    params(("uuid" = Uuid, Path)), responses((status = 200, body = Token), (status = 404)))]
pub async fn get(State(app): State<App>, PathUuid(uuid): PathUuid) -> Result<Tagged<Token>, ApiError> {
    let (token, generation) = token::get(&app.engine, uuid).await?;
    Ok(Tagged(tag(&token, generation), token))
}

/// Replaces a token.
#[utoipa::path(put, path = "/1.0/provisioning/tokens/{uuid}", tag = "tokens",
    params(("uuid" = Uuid, Path)), request_body = TokenPut, responses((status = 201), (status = 404), (status = 412)))]
pub async fn update(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    PathUuid(uuid): PathUuid,
    headers: HeaderMap,
    Lenient(put): Lenient<TokenPut>,
) -> Result<Created<()>, ApiError> {
    let (old, generation) = token::get(&app.engine, uuid).await?;
    if_match(&headers, &tag(&old, generation))?;
    token::update(&app.engine, &caller.actor(), uuid, put, Some(generation)).await?;
    Ok(Created(url(uuid), ()))
}

/// Removes a token and its seeds.
#[utoipa::path(delete, path = "/1.0/provisioning/tokens/{uuid}", tag = "tokens",
    params(("uuid" = Uuid, Path)), responses((status = 200), (status = 404)))]
pub async fn delete(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    PathUuid(uuid): PathUuid,
) -> Result<Empty, ApiError> {
    token::delete(&app.engine, &caller.actor(), uuid).await?;
    Ok(Empty)
}

/// What a machine needs to register. The token need not exist.
#[utoipa::path(get, path = "/1.0/provisioning/tokens/{uuid}/provider-config", tag = "tokens",
    params(("uuid" = Uuid, Path)), responses((status = 200, body = ProviderConfig)))]
pub async fn provider_config(
    State(app): State<App>,
    PathUuid(uuid): PathUuid,
) -> Result<Tagged<ProviderConfig>, ApiError> {
    let config = token::provider_config(&app.engine, uuid)?;
    let text = serde_json::to_string(&config).unwrap_or_default();
    Ok(Tagged(etag("provider-config", &text, 0), config))
}
