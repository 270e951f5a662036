//! The inbound edge: from a socket to an HTTP request that knows who sent it.
//!
//! Two kinds of listener serve the same routes: a unix socket without TLS, always on, and a TCP
//! listener with TLS 1.3 whose address and certificate change while it runs (`servers.md` 1.1,
//! `updates-and-system.md` 1.1, 6.2). Every request carries a [`Peer`] extension. What that peer
//! may do is decided elsewhere; here is only established who proved what.
//!
//! ```text
//! accept → PROXY header (trusted proxies only) → TLS handshake → HTTP/1.1 or HTTP/2 → router
//! ```

mod certificate;
mod connection;
mod peer;
mod proxy;
mod tcp;
mod unix;

pub use certificate::{CertificateError, ServerCertificate};
pub use peer::Peer;
pub use tcp::{TcpListeners, Tls};
pub use unix::{UnixSocket, serve_unix};

use std::time::Duration;

/// How much one listener takes on, and how long it waits for whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connections open at the same time; further ones wait in the kernel's queue.
    pub connections: usize,
    /// Time for a trusted proxy to send the first line or block about its client.
    pub proxy_header: Duration,
    /// Time for a TLS handshake.
    pub handshake: Duration,
    /// Time from the handshake to the complete header of the first request.
    pub first_request: Duration,
    /// Time from the end of one request to the complete header of the next one.
    pub idle: Duration,
    /// Time that requests in flight get to finish once the daemon stops.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 20_000,
            proxy_header: Duration::from_secs(5),
            handshake: Duration::from_secs(10),
            first_request: Duration::from_secs(15),
            idle: Duration::from_secs(30),
            drain: Duration::from_secs(10),
        }
    }
}
