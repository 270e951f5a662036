//! `/1.0/provisioning/servers/{name}/system/…`: life-cycle actions and configuration (`servers.md` 3.11-3.13).
//!
//! As in the reference a call is answered once the machine took it; with `?wait=false` at once, with the operation's URL.

use crate::{
    App,
    answer::{Accepted, Empty, OPERATION},
    body::Lenient,
    caller::Caller,
    error::ApiError,
    params::{Params, PathName},
};
use axum::{
    Extension,
    extract::State,
    http::HeaderValue,
    response::{IntoResponse, Response},
};
use muster_api::lenient::null_as_default;
use muster_engine::{
    Error,
    services::{operation, server::actions},
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;
use uuid::Uuid;

/// What to update. Applications are accepted and follow the OS.
#[derive(Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(default)]
pub struct ServerUpdatePost {
    /// The operating system.
    #[serde(deserialize_with = "null_as_default")]
    pub os: UpdateApplication,
    /// The applications.
    #[serde(deserialize_with = "null_as_default")]
    pub applications: Vec<UpdateApplication>,
    /// Reboot the server into what was installed, and see that it runs.
    #[serde(deserialize_with = "null_as_default")]
    pub reboot: bool,
}

/// One of them.
#[derive(Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(default)]
pub struct UpdateApplication {
    /// Its name.
    #[serde(deserialize_with = "null_as_default")]
    pub name: String,
    /// Look for updates at once.
    #[serde(deserialize_with = "null_as_default")]
    pub trigger_update: bool,
}

/// A network or storage document of IncusOS.
#[derive(Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(default)]
pub struct SystemPut {
    /// What is wished for.
    #[serde(deserialize_with = "null_as_default")]
    #[schema(value_type = Object)]
    pub config: Map<String, Value>,
    /// Passed on; the machine ignores it.
    #[schema(value_type = Object)]
    pub state: Option<Map<String, Value>>,
}

/// An update configuration; only the channel counts.
#[derive(Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(default)]
pub struct SystemUpdatePut {
    /// What is wished for.
    #[serde(deserialize_with = "null_as_default")]
    pub config: SystemUpdateConfig,
}

/// Part of [`SystemUpdatePut`].
#[derive(Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(default)]
pub struct SystemUpdateConfig {
    /// The channel to follow.
    #[serde(deserialize_with = "null_as_default")]
    pub channel: String,
}

/// Texts that the reference takes for true; anything else is false.
fn is_true(text: &str) -> bool {
    matches!(text, "1" | "t" | "T" | "true" | "TRUE" | "True")
}

/// Says what failed, and keeps the kind of failure.
fn told(what: &str, name: &str, e: Error) -> ApiError {
    let text = |t: String| format!("Failed to {what} {name:?}: {t}");
    match e {
        Error::Invalid(t) => Error::Invalid(text(t)),
        Error::NotPermitted(t) => Error::NotPermitted(text(t)),
        Error::NotFound(t) => Error::NotFound(text(t)),
        Error::Retryable(t) => Error::Retryable(text(t)),
        Error::Machine(t) => Error::Machine(text(t)),
        e => e,
    }
    .into()
}

async fn answer(
    app: &App,
    params: &Params,
    what: &str,
    name: &str,
    started: Result<String, Error>,
) -> Result<Response, ApiError> {
    let id = started.map_err(|e| told(what, name, e))?;
    if matches!(params.get("wait"), "0" | "f" | "F" | "false" | "FALSE" | "False") {
        let url = super::operations::url(&id);
        let view = operation::get(&app.engine, &id).await?;
        return Ok(Accepted(url, view).into_response());
    }
    let mut response = match operation::answered(&app.engine, &id).await {
        Ok(()) => Empty.into_response(),
        Err(e) => told(what, name, e).into_response(),
    };
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(OPERATION, id);
    }
    Ok(response)
}

/// Moves its workloads away.
#[utoipa::path(post, path = "/1.0/provisioning/servers/{name}/system/:evacuate", tag = "servers",
    params(("name" = String, Path), ("force" = Option<bool>, Query), ("wait" = Option<bool>, Query)),
    responses((status = 200), (status = 202), (status = 400), (status = 404), (status = 500)))]
pub async fn evacuate(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    PathName(name): PathName,
    params: Params,
) -> Result<Response, ApiError> {
    let started = actions::evacuate(&app.engine, &caller.actor(), &name, is_true(params.get("force"))).await;
    answer(&app, &params, "evacuate server", &name, started).await
}

/// Takes its workloads back.
#[utoipa::path(post, path = "/1.0/provisioning/servers/{name}/system/:restore", tag = "servers",
    params(("name" = String, Path), ("force" = Option<bool>, Query), ("wait" = Option<bool>, Query)),
    responses((status = 200), (status = 202), (status = 400), (status = 404), (status = 500)))]
pub async fn restore(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    PathName(name): PathName,
    params: Params,
) -> Result<Response, ApiError> {
    let started = actions::restore(&app.engine, &caller.actor(), &name, is_true(params.get("force"))).await;
    answer(&app, &params, "restore server", &name, started).await
}

/// Reboots it.
#[utoipa::path(post, path = "/1.0/provisioning/servers/{name}/system/:reboot", tag = "servers",
    params(("name" = String, Path), ("force" = Option<bool>, Query), ("wait" = Option<bool>, Query)),
    responses((status = 200), (status = 202), (status = 400), (status = 404), (status = 500)))]
pub async fn reboot(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    PathName(name): PathName,
    params: Params,
) -> Result<Response, ApiError> {
    let started = actions::reboot(&app.engine, &caller.actor(), &name, is_true(params.get("force"))).await;
    answer(&app, &params, "reboot server", &name, started).await
}

/// Switches it off.
#[utoipa::path(post, path = "/1.0/provisioning/servers/{name}/system/:poweroff", tag = "servers",
    params(("name" = String, Path), ("force" = Option<bool>, Query), ("wait" = Option<bool>, Query)),
    responses((status = 200), (status = 202), (status = 400), (status = 404), (status = 500)))]
pub async fn poweroff(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    PathName(name): PathName,
    params: Params,
) -> Result<Response, ApiError> {
    let started = actions::poweroff(&app.engine, &caller.actor(), &name, is_true(params.get("force"))).await;
    answer(&app, &params, "poweroff server", &name, started).await
}

/// Pushes its channel and, with `os.trigger_update`, has it look for updates; with `reboot` it ends when they run.
#[utoipa::path(post, path = "/1.0/provisioning/servers/{name}/system/:update", tag = "servers",
    params(("name" = String, Path), ("force" = Option<bool>, Query), ("wait" = Option<bool>, Query)),
    request_body = ServerUpdatePost,
    responses((status = 200), (status = 202), (status = 400), (status = 404), (status = 500)))]
pub async fn update(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    PathName(name): PathName,
    params: Params,
    Lenient(post): Lenient<ServerUpdatePost>,
) -> Result<Response, ApiError> {
    let (what, force) = ((post.os.trigger_update, post.reboot), is_true(params.get("force")));
    let started = actions::update(&app.engine, &caller.actor(), &name, what, force).await;
    answer(&app, &params, "update server", &name, started).await
}

/// Wipes it; it registers again with the token given, or with one made for it.
#[utoipa::path(post, path = "/1.0/provisioning/servers/{name}/system/:factory-reset", tag = "servers",
    params(("name" = String, Path), ("token" = Option<String>, Query), ("tokenSeedName" = Option<String>, Query),
           ("wait" = Option<bool>, Query)),
    responses((status = 200), (status = 202), (status = 400), (status = 404), (status = 500)))]
pub async fn factory_reset(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    PathName(name): PathName,
    params: Params,
) -> Result<Response, ApiError> {
    let text = |key: &str| Some(params.get(key).to_owned()).filter(|t| !t.is_empty());
    let token = Uuid::parse_str(params.get("token")).ok();
    let started = actions::factory_reset(&app.engine, &caller.actor(), &name, token, text("tokenSeedName")).await;
    answer(&app, &params, "factory reset server", &name, started).await
}

/// As POST: the official command line sends DELETE (`servers.md` 16, defect 11).
#[utoipa::path(delete, path = "/1.0/provisioning/servers/{name}/system/:factory-reset", tag = "servers",
    params(("name" = String, Path), ("token" = Option<String>, Query), ("tokenSeedName" = Option<String>, Query),
           ("wait" = Option<bool>, Query)),
    responses((status = 200), (status = 202), (status = 400), (status = 404), (status = 500)))]
pub async fn factory_reset_delete(
    app: State<App>,
    caller: Extension<Caller>,
    name: PathName,
    params: Params,
) -> Result<Response, ApiError> {
    factory_reset(app, caller, name, params).await
}

/// Gives it another network configuration; a masked secret stays what it is.
#[utoipa::path(put, path = "/1.0/provisioning/servers/{name}/system/network", tag = "servers",
    params(("name" = String, Path), ("wait" = Option<bool>, Query)), request_body = SystemPut,
    responses((status = 200), (status = 202), (status = 400), (status = 404), (status = 500)))]
pub async fn put_network(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    PathName(name): PathName,
    params: Params,
    Lenient(put): Lenient<SystemPut>,
) -> Result<Response, ApiError> {
    let state = put.state.map(Value::Object);
    let started = actions::put_network(&app.engine, &caller.actor(), &name, put.config, state).await;
    answer(&app, &params, "update server network configuration for", &name, started).await
}

/// Gives it another storage configuration.
#[utoipa::path(put, path = "/1.0/provisioning/servers/{name}/system/storage", tag = "servers",
    params(("name" = String, Path), ("wait" = Option<bool>, Query)), request_body = SystemPut,
    responses((status = 200), (status = 202), (status = 400), (status = 404), (status = 500)))]
pub async fn put_storage(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    PathName(name): PathName,
    params: Params,
    Lenient(put): Lenient<SystemPut>,
) -> Result<Response, ApiError> {
    let state = put.state.map(Value::Object);
    let started = actions::put_storage(&app.engine, &caller.actor(), &name, put.config, state).await;
    answer(&app, &params, "update server storage configuration for", &name, started).await
}

/// Has it follow a channel.
#[utoipa::path(put, path = "/1.0/provisioning/servers/{name}/system/update", tag = "servers",
    params(("name" = String, Path), ("wait" = Option<bool>, Query)), request_body = SystemUpdatePut,
    responses((status = 200), (status = 202), (status = 400), (status = 404), (status = 500)))]
pub async fn put_update(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    PathName(name): PathName,
    params: Params,
    Lenient(put): Lenient<SystemUpdatePut>,
) -> Result<Response, ApiError> {
    let started = actions::put_update(&app.engine, &caller.actor(), &name, put.config.channel).await;
    answer(&app, &params, "update server update configuration for", &name, started).await
}
