//! Where a peer listens, and how a byte stream to it is opened.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::Instant;

use crate::call::Failure;
use crate::tls::{self, Credentials, TlsError, Trust};

/// Time to reach a peer: name resolution, every address, and the TLS handshake.
pub const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// A byte stream to a peer.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// An address that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// Not a URL.
    #[error("{url:?} is no URL: {cause}")]
    NotAUrl {
        /// As given.
        url: String,
        /// What the parser said.
        cause: url::ParseError,
    },
    /// A URL that is not `https://host[:port]`.
    #[error("{0:?} is no address of a server: it must be https://host[:port]")]
    NotHttps(String),
    /// Certificates or keys that cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// One peer: its address and how it is trusted.
#[derive(Clone)]
pub struct Endpoint {
    address: String,
    authority: String,
    way: Way,
}

#[derive(Clone)]
enum Way {
    Tls { host: String, port: u16, name: ServerName<'static>, config: Arc<ClientConfig> },
    Unix(PathBuf),
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Endpoint").field(&self.address).finish()
    }
}

impl Endpoint {
    /// `https://host[:port]`. A pinned peer is asked for by its certificate's first DNS name (servers.md 7.0).
    pub fn https(url: &str, trust: &Trust, credentials: Option<Arc<Credentials>>) -> Result<Self, EndpointError> {
        let parsed = url::Url::parse(url).map_err(|cause| EndpointError::NotAUrl { url: url.to_owned(), cause })?;
        let not_https = || EndpointError::NotHttps(url.to_owned());
        if parsed.scheme() != "https" {
            return Err(not_https());
        }
        let port = parsed.port_or_known_default().ok_or_else(not_https)?;
        let host = match parsed.host().ok_or_else(not_https)? {
            url::Host::Domain(name) => name.to_owned(),
            url::Host::Ipv4(ip) => ip.to_string(),
            url::Host::Ipv6(ip) => ip.to_string(),
        };
        let pinned = match trust {
            Trust::Pinned(leaf) => tls::first_dns_san(leaf),
            Trust::SystemRoots => None,
        };
        let name = pinned.and_then(|name| ServerName::try_from(name).ok());
        let name = match name {
            Some(name) => name,
            None => ServerName::try_from(host.clone()).map_err(|_| not_https())?,
        };
        let authority = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
        let config = tls::client_config(trust, credentials)?;
        Ok(Self { address: format!("https://{authority}"), authority, way: Way::Tls { host, port, name, config } })
    }

    /// A unix socket that speaks plain HTTP.
    pub fn unix(path: &Path) -> Self {
        Self {
            address: format!("unix:{}", path.display()),
            authority: "localhost".to_owned(),
            way: Way::Unix(path.to_owned()),
        }
    }

    /// `https://host:port` or `unix:/path`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// What goes into the `Host` header.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Opens a stream within [`CONNECT_WITHIN`].
    pub async fn connect(&self) -> Result<Box<dyn Io>, Failure> {
        match tokio::time::timeout(CONNECT_WITHIN, self.connect_unbounded()).await {
            Ok(done) => done,
            Err(_) => Err(Failure::Timeout),
        }
    }

    async fn connect_unbounded(&self) -> Result<Box<dyn Io>, Failure> {
        match &self.way {
            Way::Unix(path) => Ok(Box::new(UnixStream::connect(path).await.map_err(Failure::connect)?)),
            Way::Tls { host, port, name, config } => {
                let tcp = connect_tcp(host, *port).await.map_err(Failure::connect)?;
                tcp.set_nodelay(true).map_err(Failure::connect)?;
                let connector = tokio_rustls::TlsConnector::from(config.clone());
                Ok(Box::new(connector.connect(name.clone(), tcp).await.map_err(Failure::handshake)?))
            }
        }
    }
}

/// Tries every address in turn; each gets its share of the time that is left, so that one black hole does not use it up.
async fn connect_tcp(host: &str, port: u16) -> io::Result<TcpStream> {
    let until = Instant::now() + CONNECT_WITHIN;
    let addresses: Vec<_> = tokio::net::lookup_host((host, port)).await?.collect();
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for (at, address) in addresses.iter().enumerate() {
        let left = until.saturating_duration_since(Instant::now());
        let share = left / u32::try_from(addresses.len() - at).unwrap_or(1);
        match tokio::time::timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = error,
            Err(_) => last = io::Error::new(io::ErrorKind::TimedOut, format!("{address} does not answer")),
        }
    }
    Err(last)
}
