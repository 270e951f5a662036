//! `/1.0/provisioning/channels` (`updates-and-system.md` 16).

use crate::{
    App,
    answer::{Created, Empty, Sync, Tagged, etag, if_match},
    body::Lenient,
    caller::Caller,
    error::ApiError,
    params::{Key, Listing, Page, Params, PathName, WHOLE},
};
use axum::{
    Extension,
    extract::State,
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use muster_api::provisioning::{
    channel::{Channel, ChannelPost, ChannelPut, ReasonPost},
    update::Changelog,
};
use muster_engine::services::{channel, update};

fn url(name: &str) -> String {
    format!("/1.0/provisioning/channels/{name}")
}

const LIST: Listing = Listing { path: "/1.0/provisioning/channels", key: Key::Name, limits: WHOLE };

/// All channels, by name: URLs, or objects with `recursion=1`. `limit` and `cursor` (the last name seen) page the list.
#[utoipa::path(get, path = "/1.0/provisioning/channels", tag = "channels",
    params(("recursion" = Option<i64>, Query), ("limit" = Option<i64>, Query), ("cursor" = Option<String>, Query)),
    responses((status = 200, body = Vec<Channel>), (status = 400)))]
pub async fn list(State(app): State<App>, params: Params) -> Result<Response, ApiError> {
    let Page { after, limit } = params.page(&LIST)?;
    let channels = channel::list(&app.engine, after, limit).await?;
    Ok(if params.recursion() {
        Sync(channels).into_response()
    } else {
        Sync(channels.iter().map(|c| url(&c.name)).collect::<Vec<_>>()).into_response()
    })
}

/// Makes a channel.
#[utoipa::path(post, path = "/1.0/provisioning/channels", tag = "channels", request_body = ChannelPost, responses((status = 201)))]
pub async fn create(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Lenient(post): Lenient<ChannelPost>,
) -> Result<Created<()>, ApiError> {
    let location = url(&post.name);
    channel::create(&app.engine, &caller.actor(), post).await?;
    Ok(Created(location, ()))
}

/// One channel.
#[utoipa::path(get, path = "/1.0/provisioning/channels/{name}", tag = "channels",
    params(("name" = String, Path)), responses((status = 200, body = Channel), (status = 404)))]
pub async fn get(State(app): State<App>, PathName(name): PathName) -> Result<Tagged<Channel>, ApiError> {
    let (channel, generation) = channel::get(&app.engine, name).await?;
    Ok(Tagged(etag("channel", &channel.name, generation), channel))
}

/// Changes the description, and with `follow` how it gets updates by itself; a name in the body does not rename.
#[utoipa::path(put, path = "/1.0/provisioning/channels/{name}", tag = "channels",
    params(("name" = String, Path)), request_body = ChannelPut, responses((status = 201), (status = 400), (status = 404), (status = 412)))]
pub async fn update(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    PathName(name): PathName,
    headers: HeaderMap,
    Lenient(put): Lenient<ChannelPut>,
) -> Result<Created<()>, ApiError> {
    let (old, generation) = channel::get(&app.engine, name.clone()).await?;
    if_match(&headers, &etag("channel", &old.name, generation))?;
    let ChannelPut { description, follow } = put;
    channel::update(&app.engine, &caller.actor(), name.clone(), description, follow, Some(generation)).await?;
    Ok(Created(url(&name), ()))
}

/// Removes a channel that nothing refers to.
#[utoipa::path(delete, path = "/1.0/provisioning/channels/{name}", tag = "channels",
    params(("name" = String, Path)), responses((status = 200), (status = 400), (status = 404)))]
pub async fn delete(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    PathName(name): PathName,
) -> Result<Empty, ApiError> {
    channel::delete(&app.engine, &caller.actor(), name).await?;
    Ok(Empty)
}

/// Freezes a channel, for a reason: nothing enters it until it is thawed.
#[utoipa::path(post, path = "/1.0/provisioning/channels/{name}/:freeze", tag = "channels",
    params(("name" = String, Path)), request_body = ReasonPost, responses((status = 200), (status = 400), (status = 404)))]
pub async fn freeze(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    PathName(name): PathName,
    Lenient(post): Lenient<ReasonPost>,
) -> Result<Empty, ApiError> {
    channel::freeze(&app.engine, &caller.actor(), name, &post.reason).await?;
    Ok(Empty)
}

/// Thaws a channel; what was due meanwhile enters it.
#[utoipa::path(post, path = "/1.0/provisioning/channels/{name}/:thaw", tag = "channels",
    params(("name" = String, Path)), responses((status = 200), (status = 400), (status = 404)))]
pub async fn thaw(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    PathName(name): PathName,
) -> Result<Empty, ApiError> {
    channel::thaw(&app.engine, &caller.actor(), name).await?;
    Ok(Empty)
}

/// What each update of the channel changed against the one before.
#[utoipa::path(get, path = "/1.0/provisioning/channels/{name}/changelog", tag = "channels",
    params(("name" = String, Path), ("architecture" = Option<String>, Query)),
    responses((status = 200, body = Vec<Changelog>), (status = 400)))]
pub async fn changelog(
    State(app): State<App>,
    PathName(name): PathName,
    params: Params,
) -> Result<Sync<Vec<Changelog>>, ApiError> {
    Ok(Sync(update::history(&app.engine, &name, params.get("architecture")).await?))
}
