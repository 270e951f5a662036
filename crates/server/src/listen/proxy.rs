//! The PROXY header that a trusted proxy sends ahead of its client's bytes (`updates-and-system.md` 1.1).

use proxy_header::{ParseConfig, io::ProxiedStream};
use std::{io, net::SocketAddr};
use tokio::io::AsyncRead;

/// Takes the header off a stream whose first byte is `first`. It is optional: a trusted proxy may also connect on its own
/// behalf.
pub(super) async fn read<S: AsyncRead + Unpin>(first: u8, stream: S) -> io::Result<ProxiedStream<S>> {
    match first {
        // The first bytes of version 1 and 2; a TLS handshake begins with neither.
        b'P' | b'\r' => ProxiedStream::create_from_tokio(stream, ParseConfig::default()).await,
        _ => Ok(ProxiedStream::unproxied(stream)),
    }
}

/// Whom the proxy speaks for, if for anybody.
pub(super) fn client<S>(stream: &ProxiedStream<S>) -> Option<SocketAddr> {
    stream.proxy_header().proxied_address().map(|proxied| canonical(proxied.source))
}

/// An IPv4 client of a wildcard IPv6 listener appears as IPv4, as it is written in settings.
pub(super) fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
