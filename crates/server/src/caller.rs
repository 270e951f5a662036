//! Who is asking, as far as the connection proves it.

use crate::{App, listen::Peer};
use axum::http::Extensions;
use muster_engine::Actor;

/// A caller, decided once per request (`servers.md` 1.5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caller {
    /// A process of this host that may open the socket.
    Unix,
    /// The key of a trusted client certificate: the leaf, never another certificate of the presented list.
    Tls {
        /// Hex SHA-256 of the leaf.
        fingerprint: String,
    },
    /// Anybody else; the certificate's fingerprint if one was presented.
    Untrusted {
        /// Hex SHA-256 of the leaf.
        fingerprint: Option<String>,
    },
}

impl Caller {
    /// From the connection and the list of trusted certificates.
    pub fn of(app: &App, extensions: &Extensions) -> Self {
        match extensions.get::<Peer>() {
            Some(Peer::Unix) => Self::Unix,
            Some(Peer::Tcp { fingerprint: Some(fingerprint), .. }) if app.engine.trusts(fingerprint) => {
                Self::Tls { fingerprint: fingerprint.clone() }
            }
            Some(Peer::Tcp { fingerprint, .. }) => Self::Untrusted { fingerprint: fingerprint.clone() },
            None => Self::Untrusted { fingerprint: None },
        }
    }

    /// Whether the caller has every entitlement.
    pub fn trusted(&self) -> bool {
        !matches!(self, Self::Untrusted { .. })
    }

    /// The `auth` member of `GET /1.0`.
    pub fn protocol(&self) -> &'static str {
        match self {
            Self::Unix => "unix",
            Self::Tls { .. } => "tls",
            Self::Untrusted { .. } => "untrusted",
        }
    }

    /// For the audit.
    pub fn actor(&self) -> Actor {
        Actor(match self {
            Self::Unix => "unix".into(),
            Self::Tls { fingerprint } => format!("tls:{fingerprint}"),
            Self::Untrusted { fingerprint: Some(fingerprint) } => format!("untrusted:{fingerprint}"),
            Self::Untrusted { fingerprint: None } => "untrusted".into(),
        })
    }
}
