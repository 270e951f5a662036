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
use sha2::{Digest, Sha256};

/// Time one call to the center may take.
const WITHIN: Duration = Duration::from_secs(30);

/// Largest answer of the center that a machine reads, in bytes.
const LIMIT: usize = 1 << 20;

/// Largest file of an update that a machine loads, in bytes: they are simulated as well.
const FILE_LIMIT: usize = 16 << 20;

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

fn center(provider: &BTreeMap<String, String>, credentials: &Arc<Credentials>) -> Result<Machine, BootError> {
    let trust = match provider.get("server_certificate") {
        Some(pem) => Trust::pinned(pem)?,
        None => Trust::SystemRoots,
    };
    let url = setting(provider, "server_url")?;
    Ok(Machine::new(url, &trust, Some(credentials.clone()), Arc::new(Counters::default()))?)
}

async fn call(
    provider: &BTreeMap<String, String>,
    credentials: &Arc<Credentials>,
    method: &str,
    path: &str,
    body: &Value,
) -> Result<muster_clients::call::Answer, BootError> {
    let center = center(provider, credentials)?;
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

/// Looks for an update as IncusOS does (updates-and-system.md 17): the first of the list that is in this channel, then the
/// files of it that the machine needs, each compared with its digest. Answers its version; none when there is none.
pub async fn look(
    provider: &BTreeMap<String, String>,
    credentials: &Arc<Credentials>,
    channel: &str,
    installed: &str,
) -> Result<Option<String>, BootError> {
    #[derive(Deserialize)]
    struct Update {
        channels: Vec<String>,
        uuid: String,
        version: String,
    }
    #[derive(Deserialize)]
    struct File {
        filename: String,
        sha256: String,
        size: usize,
        #[serde(rename = "type")]
        kind: String,
    }
    const UPDATES: &str = "/1.0/provisioning/updates";
    let get = async |path: String| call(provider, credentials, "GET", &path, &Value::Null).await;
    let updates: Vec<Update> = get(format!("{UPDATES}?recursion=1")).await?.decode()?;
    let Some(update) = updates.into_iter().find(|update| update.channels.iter().any(|name| name == channel)) else {
        return Ok(None);
    };
    if update.version.as_str() <= installed {
        return Ok(None);
    }
    let files: Vec<File> = get(format!("{UPDATES}/{}/files", update.uuid)).await?.decode()?;
    let center = center(provider, credentials)?;
    for file in files.iter().filter(|file| file.kind.starts_with("update-") || file.kind == "application") {
        let path = format!("{UPDATES}/{}/files/{}", update.uuid, file.filename);
        let request = Request::get(path).body(full(""))?;
        let response = center.stream(request, WITHIN).await?;
        let bytes = tokio::time::timeout(WITHIN, read_body(response.into_body(), file.size.min(FILE_LIMIT))).await;
        if hex::encode(Sha256::digest(bytes.unwrap_or(Err(Failure::Timeout))?)) != file.sha256 {
            return Err(Failure::Closed(format!("{} is not what the center says", file.filename)).into());
        }
    }
    Ok(Some(update.version))
}
