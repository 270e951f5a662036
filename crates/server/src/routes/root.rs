//! `/`, `/1.0`, and what lies beside them (`updates-and-system.md` 5).

use crate::{
    App,
    answer::Sync,
    caller::Caller,
    error::ApiError,
    path::{not_found, redirect},
};
use axum::{
    Extension,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use muster_api::system::ServerInfo;
use muster_engine::Error;

/// API versions; browsers are sent to the console.
#[utoipa::path(get, path = "/", tag = "root", responses((status = 200, body = Vec<String>)))]
pub async fn root(headers: HeaderMap) -> Response {
    let browser = headers.get(header::USER_AGENT).and_then(|v| v.to_str().ok()).is_some_and(|a| a.contains("Gecko"));
    if browser { redirect(StatusCode::MOVED_PERMANENTLY, "/ui/") } else { Sync(["/1.0"]).into_response() }
}

/// What this daemon is, and how the caller is known to it.
#[utoipa::path(get, path = "/1.0", tag = "root", responses((status = 200, body = ServerInfo)))]
pub async fn info(Extension(caller): Extension<Caller>) -> Response {
    Sync(ServerInfo {
        api_status: "devel".into(),
        api_version: "1.0".into(),
        auth: caller.protocol().into(),
        auth_methods: vec!["oidc".into(), "tls".into()],
        server_version: env!("CARGO_PKG_VERSION").into(),
    })
    .into_response()
}

/// The console lies below `/ui/`.
pub async fn ui_slash() -> Response {
    redirect(StatusCode::MOVED_PERMANENTLY, "/ui/")
}

/// The host's API lies below `/os/`.
pub async fn os_slash() -> Response {
    redirect(StatusCode::TEMPORARY_REDIRECT, "/os/")
}

/// The API of the host that the center runs on, when that is an IncusOS machine. The exact phrase is matched by callers.
pub async fn os() -> ApiError {
    ApiError::bad_request("System isn't running IncusOS")
}

/// Only while a certificate is being fetched by HTTP-01, which this version does not do.
#[utoipa::path(get, path = "/.well-known/acme-challenge/{token}", tag = "root", params(("token" = String, Path)), responses((status = 404), (status = 500)))]
pub async fn acme_challenge(State(app): State<App>) -> Response {
    let acme = app.engine.settings().security.acme.clone().with_defaults();
    if acme.challenge != "HTTP-01" {
        return not_found().await;
    }
    if acme.domain.is_empty() {
        return ApiError::from(Error::Internal("ACME domain is not configured".into())).into_response();
    }
    ApiError::not_offered("this version does not fetch certificates").into_response()
}

/// Without a configured issuer there is nobody to log in at: an empty answer, as the reference gives.
#[utoipa::path(get, path = "/oidc/login", tag = "root", responses((status = 200)))]
pub async fn oidc_login() -> StatusCode {
    StatusCode::OK
}

/// As above.
#[utoipa::path(get, path = "/oidc/callback", tag = "root", responses((status = 200)))]
pub async fn oidc_callback() -> StatusCode {
    StatusCode::OK
}

/// As above.
#[utoipa::path(get, path = "/oidc/logout", tag = "root", responses((status = 200)))]
pub async fn oidc_logout() -> StatusCode {
    StatusCode::OK
}

/// This document.
#[utoipa::path(get, path = "/1.0/openapi.json", tag = "root", responses((status = 200)))]
pub async fn openapi(State(app): State<App>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], app.openapi()).into_response()
}

/// Prometheus metrics.
#[utoipa::path(get, path = "/1.0/metrics", tag = "root", responses((status = 200, body = String)))]
pub async fn metrics(State(app): State<App>) -> Response {
    let text = app.metrics.render();
    ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text).into_response()
}
