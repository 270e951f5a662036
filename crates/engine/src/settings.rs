//! The center's own settings: kept sealed in the database, validated before they hold, swapped at once.

use crate::{Error, updates::filter::Filters};
use muster_api::system::{SystemNetwork, SystemSecurity, SystemSettings, SystemUpdates};
use muster_clients::updates::Authority;
use muster_store::{Secret, Store, StoreError, Tx, tables::settings as table};
use serde::{Serialize, de::DeserializeOwned};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// Port when none is given.
const DEFAULT_PORT: u16 = 7443;

/// All sections.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// Addresses.
    pub network: SystemNetwork,
    /// Trust and log-in.
    pub security: SystemSecurity,
    /// Logging, scriptlet.
    pub settings: SystemSettings,
    /// Update source and default channels.
    pub updates: SystemUpdates,
}

impl Settings {
    /// Whether this client certificate is in the trusted list.
    pub fn trusts(&self, fingerprint: &str) -> bool {
        self.security.trusted_tls_client_cert_fingerprints.iter().any(|t| t == fingerprint)
    }

    /// Proxies whose header is believed.
    pub fn trusted_proxies(&self) -> Vec<IpAddr> {
        self.security.trusted_https_proxies.iter().filter_map(|p| p.parse().ok()).collect()
    }

    /// Where to listen.
    pub fn listen(&self) -> Option<SocketAddr> {
        self.network.rest_server_address.parse().ok()
    }
}

/// Reads every section; absent ones have their defaults.
///
/// # Errors
/// The database's, or a section that cannot be opened with the keys at hand.
pub fn read(tx: &mut Tx<'_>) -> Result<Settings, StoreError> {
    Ok(Settings {
        network: network(tx)?,
        security: section(tx, "security")?,
        settings: section(tx, "settings")?,
        updates: section(tx, "updates")?,
    })
}

/// The stored addresses.
pub(crate) fn network(tx: &mut Tx<'_>) -> Result<SystemNetwork, StoreError> {
    section(tx, "network")
}

/// The stored settings of updates.
pub(crate) fn updates(tx: &mut Tx<'_>) -> Result<SystemUpdates, StoreError> {
    section(tx, "updates")
}

fn section<T: Default + DeserializeOwned>(tx: &mut Tx<'_>, name: &str) -> Result<T, StoreError> {
    match table::get(tx, name)? {
        None => Ok(T::default()),
        Some(row) => serde_json::from_str(row.document.expose())
            .map_err(|e| StoreError::Database(format!("the stored settings {name:?} cannot be read: {e}"))),
    }
}

/// Writes one section. The last writer of a section wins; other sections are not touched.
pub(crate) fn store_section<T: Serialize>(tx: &mut Tx<'_>, name: &str, value: &T) -> Result<(), StoreError> {
    let document = serde_json::to_string(value).map_err(|e| StoreError::Database(e.to_string()))?;
    table::put(tx, name, &Secret::new(document), None).map(|_| ())
}

/// The update source of a site that has no such settings yet. Blocks.
///
/// # Errors
/// [`Error::Invalid`] for what is no URL, or the store's.
pub fn begin_with_source(store: &Store, source: &str) -> Result<(), Error> {
    let updates = check_updates(&SystemUpdates { source: source.to_owned(), ..SystemUpdates::default() })?;
    Ok(store.write_blocking(move |tx| match table::get(tx, "updates")? {
        None => store_section(tx, "updates", &updates),
        Some(_) => Ok(()),
    })?)
}

/// Normalises and checks the addresses (`updates-and-system.md` 6.2).
///
/// # Errors
/// [`Error::Invalid`] that names the field.
pub fn check_network(network: &SystemNetwork) -> Result<SystemNetwork, Error> {
    let mut out = network.clone();
    if out.address.is_empty() != out.rest_server_address.is_empty() {
        return Err(Error::Invalid(
            "Invalid config, \"network.address\" and \"network.rest_server_address\" need both be set or both be unset"
                .into(),
        ));
    }
    if !out.address.is_empty() {
        check_url("network.address", &out.address)?;
        out.rest_server_address = listen_address(&out.rest_server_address)?.to_string();
    }
    Ok(out)
}

fn listen_address(text: &str) -> Result<SocketAddr, Error> {
    let invalid = |why: &str| {
        Error::Invalid(format!(
            "Invalid config, \"network.rest_server_address\" {text:?} {why}; give an IP address, with or without a port"
        ))
    };
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Ok(address);
    }
    if let Some(port) = text.strip_prefix(':').filter(|rest| !rest.starts_with(':')) {
        let port = port.parse().map_err(|_| invalid("has no valid port"))?;
        return Ok(SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port));
    }
    let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
    bare.parse::<IpAddr>()
        .map(|ip| SocketAddr::new(ip, DEFAULT_PORT))
        .map_err(|_| invalid("is no address to listen on"))
}

/// The rules for URLs that others are given: absolute, with a host, nothing behind the path.
fn check_url(field: &str, text: &str) -> Result<(), Error> {
    let invalid = |why: &str| Error::Invalid(format!("Invalid config, \"{field}\" {text:?} {why}"));
    let url = url::Url::parse(text).map_err(|e| invalid(&format!("is no URL: {e}")))?;
    if url.host_str().unwrap_or_default().is_empty() {
        return Err(invalid("has no host"));
    }
    if url.query().is_some_and(|q| !q.is_empty()) || url.fragment().is_some() {
        return Err(invalid("must not have a query or fragment"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(invalid("must not name a user"));
    }
    if url.port() == Some(0) {
        return Err(invalid("has port 0"));
    }
    Ok(())
}

/// Normalises and checks trust and log-in (`updates-and-system.md` 6.3).
///
/// # Errors
/// [`Error::Invalid`] that names the field.
pub fn check_security(security: &SystemSecurity) -> Result<SystemSecurity, Error> {
    let mut out = security.clone();
    for fingerprint in &mut out.trusted_tls_client_cert_fingerprints {
        let plain = fingerprint.replace(':', "").to_ascii_lowercase();
        if plain.len() != 64 || !plain.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(Error::Invalid(format!(
                "Invalid config, \"security.trusted_tls_client_cert_fingerprints\" has {fingerprint:?}, which is no SHA-256 fingerprint (64 hex digits)"
            )));
        }
        *fingerprint = plain;
    }
    for proxy in &out.trusted_https_proxies {
        if proxy.parse::<IpAddr>().is_err() {
            return Err(Error::Invalid(format!(
                "Invalid config, \"security.trusted_https_proxies\" has {proxy:?}, which is no IP address"
            )));
        }
    }
    check_acme(&mut out)?;
    for (field, text) in
        [("security.oidc.issuer", &out.oidc.issuer), ("security.openfga.api_url", &out.openfga.api_url)]
    {
        if !text.is_empty() {
            check_url(field, text)?;
        }
    }
    Ok(out)
}

fn check_acme(security: &mut SystemSecurity) -> Result<(), Error> {
    let acme = &mut security.acme;
    *acme = std::mem::take(acme).with_defaults();
    if acme.domain.is_empty() && acme.email.is_empty() && !acme.agree_tos {
        return Ok(());
    }
    if !matches!(acme.challenge.as_str(), "" | "HTTP-01" | "DNS-01") {
        return Err(Error::Invalid(format!(
            "Invalid config, \"security.acme.challenge\" {:?} must be HTTP-01 or DNS-01",
            acme.challenge
        )));
    }
    if let Some(entry) = acme.provider_environment.iter().find(|e| !e.contains('=')) {
        return Err(Error::Invalid(format!(
            "Invalid config, \"security.acme.provider_environment\" has {entry:?}; give KEY=value"
        )));
    }
    if !acme.ca_url.is_empty() {
        check_url("security.acme.ca_url", &acme.ca_url)?;
    }
    Ok(())
}

/// Checks log level and scriptlet (`updates-and-system.md` 6.4).
///
/// # Errors
/// [`Error::Invalid`] that names the field.
pub fn check_settings(settings: &SystemSettings) -> Result<SystemSettings, Error> {
    if !matches!(settings.log_level.as_str(), "" | "TRACE" | "DEBUG" | "INFO" | "WARN" | "ERROR") {
        return Err(Error::Invalid(format!(
            "Invalid config, \"settings.log_level\" {:?} must be TRACE, DEBUG, INFO, WARN or ERROR",
            settings.log_level
        )));
    }
    Ok(settings.clone())
}

/// Normalises and checks the update source and the default channels, all but what has to be looked up
/// (`updates-and-system.md` 6.5): empty channels become `stable`, an empty source means none.
///
/// # Errors
/// [`Error::Invalid`] that names the field.
pub fn check_updates(updates: &SystemUpdates) -> Result<SystemUpdates, Error> {
    const ROOT: &str = "updates.signature_verification_root_ca";
    let mut out = updates.clone();
    if !out.source.is_empty() {
        check_url("updates.source", &out.source)?;
        if !out.source.starts_with("http://") && !out.source.starts_with("https://") {
            return Err(Error::Invalid(format!("Invalid config, \"updates.source\" {:?} is no HTTP URL", out.source)));
        }
    }
    if out.signature_verification_root_ca.trim().is_empty() {
        return Err(Error::Invalid(format!("Invalid config, \"{ROOT}\" can not be empty")));
    }
    if let Err(error) = Authority::new(&out.signature_verification_root_ca, None) {
        return Err(Error::Invalid(format!("Invalid config, pem decode for \"{ROOT}\" failed: {error}")));
    }
    let pin = out.signature_verification_intermediate.as_deref().filter(|pin| !pin.is_empty());
    if let Err(error) = Authority::new(&out.signature_verification_root_ca, pin) {
        let field = "updates.signature_verification_intermediate";
        return Err(Error::Invalid(format!("Invalid config, \"{field}\": {error}")));
    }
    check_limits(&out)?;
    Filters::compile(&out.filter_expression, &out.file_filter_expression)?;
    for channel in [&mut out.updates_default_channel, &mut out.server_default_channel] {
        if channel.is_empty() {
            *channel = "stable".into();
        }
    }
    Ok(out)
}

/// Least that may be set as a limit of bytes per second: less is a mistake in the unit, as a rule.
const LEAST_RATE: u64 = 64 << 10;
/// Most updates of a component that a channel can be told to keep.
const MOST_RETAINED: u32 = 100;

/// Checks what limits what is kept, fetched and served of updates.
fn check_limits(updates: &SystemUpdates) -> Result<(), Error> {
    for (field, rate) in [
        ("file_bytes_per_second", updates.file_bytes_per_second),
        ("source_bytes_per_second", updates.source_bytes_per_second),
    ] {
        if let Some(rate @ 1..LEAST_RATE) = rate {
            return Err(Error::Invalid(format!(
                "Invalid config, \"updates.{field}\" {rate} is too little for updates; give at least {LEAST_RATE} bytes per \
                 second, or 0 for no limit"
            )));
        }
    }
    match updates.retained_updates {
        None | Some(1..=MOST_RETAINED) => Ok(()),
        Some(count) => Err(Error::Invalid(format!(
            "Invalid config, \"updates.retained_updates\" {count} must be from 1 to {MOST_RETAINED}"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(address: &str, listen: &str) -> Result<SystemNetwork, Error> {
        check_network(&SystemNetwork { address: address.into(), rest_server_address: listen.into() })
    }

    #[test]
    fn listen_addresses_are_normalised() {
        for (given, want) in [
            (":8443", "[::]:8443"),
            ("::", "[::]:7443"),
            ("192.0.2.1", "192.0.2.1:7443"),
            ("[::1]", "[::1]:7443"),
            ("127.0.0.1:9", "127.0.0.1:9"),
        ] {
            assert_eq!(network("https://oc.example.test", given).unwrap().rest_server_address, want);
        }
        for bad in ["localhost:1", "127.0.0.1:x", "[::1", ""] {
            assert!(network("https://oc.example.test", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn public_addresses_have_a_host_and_nothing_behind_the_path() {
        for good in ["https://oc.example.test:8443/path", "ftp://oc.example.test", "https://oc.example.test?"] {
            assert!(network(good, "::").is_ok(), "{good}");
        }
        for bad in [
            "oc.example.test",
            "https://u@oc.example.test",
            "https://oc.example.test?x=1",
            "https://oc.example.test#x",
            "https://oc.example.test:0",
            "https://oc.example.test:70000",
        ] {
            assert!(network(bad, "::").is_err(), "{bad}");
        }
    }

    #[test]
    fn fingerprints_are_kept_in_one_spelling() {
        let colons = ["AB"; 32].join(":");
        let security = SystemSecurity { trusted_tls_client_cert_fingerprints: vec![colons], ..Default::default() };
        let kept = check_security(&security).unwrap();
        assert_eq!(kept.trusted_tls_client_cert_fingerprints, ["ab".repeat(32)]);
    }
}
