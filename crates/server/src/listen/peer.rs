//! Who is at the other end of a connection.

use rustls::pki_types::CertificateDer;
use sha2::{Digest, Sha256};
use std::{fmt, net::SocketAddr, sync::Arc};

/// The other end of a connection; an extension of every request.
#[derive(Clone)]
pub enum Peer {
    /// A local process that may open the unix socket.
    Unix,
    /// A client over TCP and TLS.
    Tcp {
        /// Its address; behind a trusted proxy the one that the proxy names.
        address: SocketAddr,
        /// The certificate whose private key it proved to hold, if it sent one.
        ///
        /// Whatever else it sent along is dropped: a client may append anybody's certificate.
        leaf: Option<Arc<CertificateDer<'static>>>,
        /// SHA-256 of that certificate in lower-case hex.
        fingerprint: Option<String>,
    },
}

impl Peer {
    /// A TCP client that sent this certificate chain and proved the first one's key.
    pub(super) fn tcp(address: SocketAddr, chain: Option<&[CertificateDer<'static>]>) -> Self {
        let leaf = chain.and_then(<[_]>::first).cloned().map(Arc::new);
        let fingerprint = leaf.as_ref().map(|leaf| hex::encode(Sha256::digest(leaf.as_ref())));
        Self::Tcp { address, leaf, fingerprint }
    }

    /// Fingerprint of the proven certificate: SHA-256, lower-case hex.
    pub fn fingerprint(&self) -> Option<&str> {
        match self {
            Self::Unix => None,
            Self::Tcp { fingerprint, .. } => fingerprint.as_deref(),
        }
    }
}

/// The address as the access log shows it: `@` for the unix socket (`servers.md` 1.1).
impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix => f.write_str("@"),
            Self::Tcp { address, .. } => address.fmt(f),
        }
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix => f.write_str("Unix"),
            Self::Tcp { address, fingerprint, .. } => {
                f.debug_struct("Tcp").field("address", address).field("fingerprint", fingerprint).finish()
            }
        }
    }
}
