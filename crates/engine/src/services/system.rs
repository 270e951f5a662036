//! The center's own settings and certificate (`updates-and-system.md` 6, 7).

use crate::{
    Actor, Engine, Error, identity, masks,
    services::{audit, operation},
    settings, updates,
};
use muster_api::system::{SystemCertificatePost, SystemNetwork, SystemSecurity, SystemSettings, SystemUpdates};
use muster_store::tables::channels;
use serde::Serialize;
use std::time::Duration;

/// Trust and log-in, secrets masked.
pub fn security(engine: &Engine) -> SystemSecurity {
    masks::masked(&engine.settings().security)
}

/// How long a change waits for the machines to have been told of it. Those that were not by then are told later.
const TELL_WITHIN: Duration = Duration::from_secs(3);

/// Replaces the addresses. The listener follows through [`Engine::watch_settings`]; the machines are told, each by an
/// operation of its own, so that one that is away keeps nobody from it (`servers.md` 16, defect 22).
///
/// # Errors
/// [`Error::Invalid`].
pub async fn put_network(engine: &Engine, actor: &Actor, put: SystemNetwork) -> Result<(), Error> {
    let value = settings::check_network(&put)?;
    let (now, who) = (engine.clock().now(), actor.clone());
    let entry = audit::entry(now.micros(), actor, "settings.update", "system", "network");
    let done = engine.store().write(move |tx| {
        let before = settings::network(tx)?.address;
        settings::store_section(tx, "network", &value)?;
        audit::append(tx, &entry)?;
        match value.address == before || value.address.is_empty() {
            true => Ok(Vec::new()),
            false => operation::configure_provider(tx, &who, now),
        }
    });
    let told = done.await?;
    engine.reload().await?;
    tell(engine, told).await;
    Ok(())
}

/// Waits until the machines were told, but not for long.
async fn tell(engine: &Engine, operations: Vec<String>) {
    let all = async {
        for id in operations {
            operation::answered(engine, &id).await.ok();
        }
    };
    tokio::time::timeout(TELL_WITHIN, all).await.ok();
}

/// Replaces trust and log-in; masked secrets keep their stored values.
///
/// # Errors
/// [`Error::Invalid`].
pub async fn put_security(engine: &Engine, actor: &Actor, put: SystemSecurity) -> Result<(), Error> {
    // Another daemon may have stored other secrets just now.
    engine.reload().await?;
    let stored = engine.settings().security.clone();
    let value = settings::check_security(&masks::unmasked(put, &stored))?;
    if value.oidc != stored.oidc {
        reachable("security.oidc.issuer", &value.oidc.issuer).await?;
    }
    if value.openfga != stored.openfga {
        reachable("security.openfga.api_url", &value.openfga.api_url).await?;
    }
    save(engine, actor, "security", value).await
}

/// Replaces log level, scriptlet and what becomes of registered machines.
///
/// # Errors
/// [`Error::Invalid`].
pub async fn put_settings(engine: &Engine, actor: &Actor, put: SystemSettings) -> Result<(), Error> {
    engine.reload().await?;
    let value = settings::check_settings(&put)?.or_as_before(&engine.settings().settings);
    let source = put.server_registration_scriptlet;
    match tokio::task::spawn_blocking(move || muster_scriptlet::validate(&source)).await {
        Ok(Ok(())) => {}
        Ok(Err(e)) => {
            let why = format!("Invalid config, \"settings.server_registration_scriptlet\": {e}");
            return Err(Error::Invalid(why));
        }
        Err(e) => return Err(Error::Internal(format!("the scriptlet's check ended early: {e}"))),
    }
    save(engine, actor, "settings", value).await
}

/// Update source, default channels, and limits of what is kept, fetched and served.
pub fn updates(engine: &Engine) -> SystemUpdates {
    engine.settings().updates.clone().in_full()
}

/// Replaces update source and default channels. A source that is new has to answer with an index that can be verified. Limits
/// that are not given stay: those who know only the reference's keys do not undo them.
///
/// # Errors
/// [`Error::Invalid`] that names the field.
pub async fn put_updates(engine: &Engine, actor: &Actor, put: SystemUpdates) -> Result<(), Error> {
    let value = settings::check_updates(&put)?;
    for (field, channel) in [
        ("updates.updates_default_channel", &value.updates_default_channel),
        ("updates.server_default_channel", &value.server_default_channel),
    ] {
        let name = channel.clone();
        if engine.store().read(move |tx| channels::get(tx, &name)).await?.is_none() {
            return Err(Error::Invalid(format!("Invalid config, \"{field}\": there is no channel {channel:?}")));
        }
    }
    // Another daemon may have stored another source just now.
    engine.reload().await?;
    let stored = engine.settings().updates.clone().in_full();
    let wanted = value.clone().or_as_before(&stored);
    let same = stored.source == wanted.source
        && stored.signature_verification_root_ca == wanted.signature_verification_root_ca
        && stored.signature_verification_intermediate == wanted.signature_verification_intermediate;
    if !same && !wanted.source.is_empty() {
        updates::index::probe(engine, &wanted).await?;
    }
    let entry = audit::entry(engine.clock().micros(), actor, "settings.update", "system", "updates");
    let done = engine.store().write(move |tx| {
        let value = value.clone().or_as_before(&settings::updates(tx)?);
        settings::store_section(tx, "updates", &value)?;
        audit::append(tx, &entry)
    });
    done.await?;
    engine.reload().await
}

/// Replaces the server certificate; new connections get it at once, and the machines are told as of an address.
///
/// # Errors
/// [`Error::Invalid`] when certificate and key do not fit.
pub async fn put_certificate(engine: &Engine, actor: &Actor, post: SystemCertificatePost) -> Result<(), Error> {
    let next = identity::server_from(&post.certificate, &post.key)?;
    let current = engine.identities();
    if current.server.certificate_pem.trim() == next.certificate_pem.trim() {
        return Ok(());
    }
    let (now, who) = (engine.clock().now(), actor.clone());
    let entry = audit::entry(now.micros(), actor, "certificate.replace", "system", "certificate");
    let done = engine.store().write(move |tx| {
        identity::put(tx, "server", &next)?;
        audit::append(tx, &entry)?;
        operation::configure_provider(tx, &who, now)
    });
    let told = done.await?;
    engine.reload().await?;
    tell(engine, told).await;
    Ok(())
}

async fn save<T: Serialize + Send + Sync + 'static>(
    engine: &Engine,
    actor: &Actor,
    section: &'static str,
    value: T,
) -> Result<(), Error> {
    let entry = audit::entry(engine.clock().micros(), actor, "settings.update", "system", section);
    let done = engine.store().write(move |tx| {
        settings::store_section(tx, section, &value)?;
        audit::append(tx, &entry)
    });
    done.await?;
    engine.reload().await
}

/// Whether somebody listens there: a setting that locks everybody out is found before it holds.
async fn reachable(field: &str, address: &str) -> Result<(), Error> {
    if address.is_empty() {
        return Ok(());
    }
    let cannot =
        |why: String| Error::Invalid(format!("Invalid config, \"{field}\" {address:?} cannot be reached: {why}"));
    let url = url::Url::parse(address).map_err(|e| cannot(e.to_string()))?;
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let port = url.port_or_known_default().unwrap_or(443);
    match tokio::time::timeout(Duration::from_secs(5), tokio::net::TcpStream::connect((host, port))).await {
        Err(_) => Err(cannot("no connection within 5 s".into())),
        Ok(Err(e)) => Err(cannot(e.to_string())),
        Ok(Ok(_)) => Ok(()),
    }
}
