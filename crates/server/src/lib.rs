//! The inbound edge: listeners, log-in, permissions, routes; and the wiring of the whole daemon.

mod access;
mod answer;
mod body;
mod caller;
pub mod config;
#[cfg(feature = "crash-points")]
pub mod crash;
mod descriptors;
mod error;
mod file;
pub mod listen;
mod metrics;
mod params;
mod path;
mod routes;
mod trace;
pub mod wiring;

pub use access::{Access, Entitlement, Permission};
pub use routes::build;

use error::ApiError;
use listen::{ServerCertificate, TcpListeners};
use metrics::Metrics;
use muster_engine::{Engine, Error, services::update::Downloads};
use std::{
    net::SocketAddr,
    sync::{Arc, OnceLock},
};

/// What every handler sees. Cheap to clone.
#[derive(Clone)]
pub struct App {
    /// Behaviour.
    pub engine: Engine,
    metrics: Metrics,
    downloads: Arc<Downloads>,
    certificate: Arc<ServerCertificate>,
    listeners: Arc<OnceLock<TcpListeners>>,
    document: Arc<OnceLock<String>>,
}

impl App {
    /// Without listeners; [`wiring`] adds them.
    pub fn new(engine: Engine, certificate: Arc<ServerCertificate>) -> Self {
        let downloads = Downloads::by_machines(engine.watch_settings());
        let metrics = Metrics::new(engine.clock().micros() / 1_000_000, &engine, &downloads);
        Self { engine, metrics, downloads, certificate, listeners: Arc::default(), document: Arc::default() }
    }

    fn openapi(&self) -> String {
        self.document.get().cloned().unwrap_or_default()
    }

    fn set_openapi(&self, document: &utoipa::openapi::OpenApi) {
        // Built once per process; a second router over the same state has the same document.
        self.document.set(document.to_json().unwrap_or_default()).ok();
    }

    /// Listens there instead; nothing is let go before the new address is bound.
    async fn bind(&self, address: Option<SocketAddr>) -> Result<(), ApiError> {
        let Some(listeners) = self.listeners.get() else { return Ok(()) };
        listeners.set(address).await.map_err(|e| {
            let at = address.map(|a| a.to_string()).unwrap_or_default();
            Error::Invalid(format!("Invalid config, \"network.rest_server_address\": cannot listen on {at}: {e}"))
                .into()
        })
    }

    /// Gives new connections the present server certificate.
    fn show_certificate(&self) -> Result<(), ApiError> {
        let identities = self.engine.identities();
        self.certificate
            .replace(&identities.server.certificate_pem, &identities.server.key_pem)
            .map_err(|e| Error::Internal(format!("cannot use the new certificate: {e}")).into())
    }
}

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("App")
    }
}
