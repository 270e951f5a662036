//! `/1.0/system`: the center's own settings (`updates-and-system.md` 6, 7).

use crate::{
    App,
    answer::{Empty, Sync},
    body::Lenient,
    caller::Caller,
    error::ApiError,
};
use axum::{Extension, extract::State};
use muster_api::system::{
    SystemCertificatePost, SystemKey, SystemKeyChanged, SystemNetwork, SystemSecurity, SystemSettings, SystemUpdates,
};
use muster_engine::services::{site_key, system};

/// Addresses.
#[utoipa::path(get, path = "/1.0/system/network", tag = "system", responses((status = 200, body = SystemNetwork)))]
pub async fn network(State(app): State<App>) -> Sync<SystemNetwork> {
    Sync(app.engine.settings().network.clone())
}

/// Replaces the addresses. The new one is bound before the old one is let go; an address that cannot be bound is refused.
#[utoipa::path(put, path = "/1.0/system/network", tag = "system", request_body = SystemNetwork, responses((status = 200), (status = 400)))]
pub async fn put_network(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Lenient(put): Lenient<SystemNetwork>,
) -> Result<Empty, ApiError> {
    let checked = muster_engine::settings::check_network(&put)?;
    let before = app.engine.settings().listen();
    app.bind(checked.rest_server_address.parse().ok()).await?;
    if let Err(e) = system::put_network(&app.engine, &caller.actor(), checked).await {
        app.bind(before).await?;
        return Err(e.into());
    }
    Ok(Empty)
}

/// Trust and log-in; secrets are masked.
#[utoipa::path(get, path = "/1.0/system/security", tag = "system", responses((status = 200, body = SystemSecurity)))]
pub async fn security(State(app): State<App>) -> Sync<SystemSecurity> {
    Sync(system::security(&app.engine))
}

/// Replaces trust and log-in. A masked secret keeps its stored value.
#[utoipa::path(put, path = "/1.0/system/security", tag = "system", request_body = SystemSecurity, responses((status = 200), (status = 400)))]
pub async fn put_security(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Lenient(put): Lenient<SystemSecurity>,
) -> Result<Empty, ApiError> {
    system::put_security(&app.engine, &caller.actor(), put).await?;
    Ok(Empty)
}

/// Log level, scriptlet, and whether registered machines become available by themselves.
#[utoipa::path(get, path = "/1.0/system/settings", tag = "system", responses((status = 200, body = SystemSettings)))]
pub async fn settings(State(app): State<App>) -> Sync<SystemSettings> {
    Sync(app.engine.settings().settings.clone().in_full())
}

/// Replaces them. What is ours and not given stays.
#[utoipa::path(put, path = "/1.0/system/settings", tag = "system", request_body = SystemSettings, responses((status = 200), (status = 400)))]
pub async fn put_settings(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Lenient(put): Lenient<SystemSettings>,
) -> Result<Empty, ApiError> {
    system::put_settings(&app.engine, &caller.actor(), put).await?;
    Ok(Empty)
}

/// Update source, default channels, and limits of what is served.
#[utoipa::path(get, path = "/1.0/system/updates", tag = "system", responses((status = 200, body = SystemUpdates)))]
pub async fn updates(State(app): State<App>) -> Sync<SystemUpdates> {
    Sync(system::updates(&app.engine))
}

/// Replaces update source and default channels. Limits of what is served stay where they are not given.
#[utoipa::path(put, path = "/1.0/system/updates", tag = "system", request_body = SystemUpdates, responses((status = 200), (status = 400)))]
pub async fn put_updates(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Lenient(put): Lenient<SystemUpdates>,
) -> Result<Empty, ApiError> {
    system::put_updates(&app.engine, &caller.actor(), put).await?;
    Ok(Empty)
}

/// Replaces the server certificate.
#[utoipa::path(post, path = "/1.0/system/certificate", tag = "system", request_body = SystemCertificatePost, responses((status = 200), (status = 400)))]
pub async fn put_certificate(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Lenient(post): Lenient<SystemCertificatePost>,
) -> Result<Empty, ApiError> {
    system::put_certificate(&app.engine, &caller.actor(), post).await?;
    app.show_certificate()?;
    Ok(Empty)
}

/// The key that secrets are sealed with, who has it, and how far its change is. Never the key itself.
#[utoipa::path(get, path = "/1.0/system/key", tag = "system", responses((status = 200, body = SystemKey)))]
pub async fn key(State(app): State<App>) -> Result<Sync<SystemKey>, ApiError> {
    Ok(Sync(site_key::show(&app.engine).await?))
}

/// Changes that key and seals everything anew. Refused, with what to do, where another daemon could not follow.
#[utoipa::path(post, path = "/1.0/system/key/:rekey", tag = "system", responses((status = 200, body = SystemKeyChanged), (status = 400)))]
pub async fn rekey(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
) -> Result<Sync<SystemKeyChanged>, ApiError> {
    Ok(Sync(site_key::change(&app.engine, &caller.actor()).await?))
}

/// Without an ACME account there is nothing to renew, and that is no error.
#[utoipa::path(post, path = "/1.0/system/certificate/:renew", tag = "system", responses((status = 200)))]
pub async fn renew_certificate() -> Empty {
    Empty
}
