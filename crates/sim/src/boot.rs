//! What a machine asks of the center: to take it in, and to know what happened. Source: servers.md 5.2, 6.1.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use muster_clients::call::{CallError, Failure, open_envelope, read_body};
use muster_clients::endpoint::EndpointError;
use muster_clients::machine::{Counters, Machine, full};
use muster_clients::tls::{Credentials, TlsError, Trust};
use serde::Deserialize;
use serde_json::{Value, json};

/// Time one call to the center may take.
const WITHIN: Duration = Duration::from_secs(30);

/// Largest answer of the center that a machine reads, in bytes.
const LIMIT: usize = 1 << 20;

/// Why the center could not be told something.
#[derive(Debug, thiserror::Error)]
pub enum BootError {
    /// The provider configuration names no center.
    #[error("no {0} in the provider configuration")]
    NotConfigured(&'static str),
    /// The address cannot be used.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// The center's certificate in the provider configuration cannot be read.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The call failed.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The center refused, or its answer is not one.
    #[error(transparent)]
    Answer(#[from] Failure),
    /// The call cannot be written as HTTP.
    #[error(transparent)]
    Request(#[from] http::Error),
}

fn setting<'a>(provider: &'a BTreeMap<String, String>, key: &'static str) -> Result<&'a str, BootError> {
    provider.get(key).map(String::as_str).ok_or(BootError::NotConfigured(key))
}

async fn call(
    provider: &BTreeMap<String, String>,
    credentials: &Arc<Credentials>,
    method: &str,
    path: &str,
    body: &Value,
) -> Result<muster_clients::call::Answer, BootError> {
    let trust = match provider.get("server_certificate") {
        Some(pem) => Trust::pinned(pem)?,
        None => Trust::SystemRoots,
    };
    let url = setting(provider, "server_url")?;
    let center = Machine::new(url, &trust, Some(credentials.clone()), Arc::new(Counters::default()))?;
    // IncusOS sends no content type.
    let request = Request::builder().method(method).uri(path).body(full(body.to_string()))?;
    let response = center.stream(request, WITHIN).await?;
    let status = response.status();
    let body = tokio::time::timeout(WITHIN, read_body(response.into_body(), LIMIT)).await;
    Ok(open_envelope(status, &body.unwrap_or(Err(Failure::Timeout))?)?)
}

/// Registers with the token of the provider configuration; returns the center's client certificate (PEM), which the
/// machine trusts from then on. It may be empty.
pub async fn register(
    provider: &BTreeMap<String, String>,
    credentials: &Arc<Credentials>,
    body: &Value,
) -> Result<String, BootError> {
    #[derive(Deserialize)]
    struct Metadata {
        certificate: String,
    }
    let path = format!("/1.0/provisioning/servers?token={}", setting(provider, "server_token")?);
    let metadata: Metadata = call(provider, credentials, "POST", &path, body).await?.decode()?;
    Ok(metadata.certificate)
}

/// Tells the center where the machine is and what happened.
pub async fn tell(
    provider: &BTreeMap<String, String>,
    credentials: &Arc<Credentials>,
    connection_url: &str,
    cause: &str,
) -> Result<(), BootError> {
    let body = json!({"connection_url": connection_url, "cause": cause});
    call(provider, credentials, "PUT", "/1.0/provisioning/servers/:self", &body).await.map(drop)
}
