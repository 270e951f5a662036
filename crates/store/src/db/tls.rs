//! How a PostgreSQL connection is protected: in clear on this machine, TLS elsewhere.

use std::sync::Arc;

use postgres::config::{Host, SslMode};
use postgres::{Client, Config, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::error::{Result, StoreError};

/// How to connect to one PostgreSQL database.
#[derive(Clone)]
pub(super) struct Connector {
    config: Config,
    tls: Option<MakeRustlsConnect>,
}

impl Connector {
    /// `sslmode=disable` and sockets of this machine go without TLS; `prefer` (the default) elsewhere takes TLS where the
    /// server offers it; `require` insists, on this machine too. Whenever TLS is used the server must show a certificate
    /// that the system trusts (`SSL_CERT_FILE` names others).
    pub(super) fn new(mut config: Config) -> Result<Connector> {
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(std::time::Duration::from_secs(10));
        }
        if config.get_application_name().is_none() {
            config.application_name("muster");
        }
        let wanted = match config.get_ssl_mode() {
            SslMode::Disable => false,
            SslMode::Prefer => !config.get_hosts().iter().all(is_local),
            _ => true,
        };
        let tls = if wanted { Some(rustls_connector()?) } else { None };
        if tls.is_none() {
            config.ssl_mode(SslMode::Disable);
        }
        Ok(Connector { config, tls })
    }

    pub(super) fn connect(&self) -> Result<Client, postgres::Error> {
        let mut client = match &self.tls {
            None => self.config.connect(NoTls)?,
            Some(tls) => self.config.connect(tls.clone())?,
        };
        // Whoever waits longer for a lock than this has met something that may not pass by itself.
        client.batch_execute("SET lock_timeout = '10s'")?;
        Ok(client)
    }
}

fn is_local(host: &Host) -> bool {
    match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => {
            name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the store must not depend on the clients; the system's roots decide here"
)]
fn rustls_connector() -> Result<MakeRustlsConnect> {
    let mut roots = rustls::RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        return Err(StoreError::Database("no trusted certificates on this system: set SSL_CERT_FILE".into()));
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| StoreError::Database(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has_tls(text: &str) -> bool {
        Connector::new(text.parse().unwrap()).unwrap().tls.is_some()
    }

    #[test]
    fn this_machine_goes_without_tls() {
        assert!(!has_tls("host=/run/postgresql user=muster"));
        assert!(!has_tls("postgres://muster@localhost/muster"));
        assert!(!has_tls("postgres://muster@127.0.0.1/muster"));
        assert!(!has_tls("postgres://muster@db.example.net/muster?sslmode=disable"));
    }
}
