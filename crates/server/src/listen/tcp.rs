//! The TCP listener: PROXY header, TLS, and an address that changes while it runs.

use super::{
    Limits, Peer, ServerCertificate,
    connection::Edge,
    proxy::{self, canonical},
};
use arc_swap::ArcSwap;
use axum::Router;
use futures_util::FutureExt;
use proxy_header::io::ProxiedStream;
use socket2::{Domain, SockRef, Socket, TcpKeepalive, Type};
use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Mutex, OwnedSemaphorePermit},
    task::JoinHandle,
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::sync::CancellationToken;

/// Connections that the kernel keeps until they are accepted; it caps this by `somaxconn`.
const BACKLOG: i32 = 4096;
/// Pause after a failed accept, which happens when file descriptors run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
/// A silent peer is probed after this time, and as often, until the kernel gives it up.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// What TLS connections are made with.
#[derive(Debug, Clone)]
pub struct Tls {
    /// Certificate and key of the daemon.
    pub certificate: Arc<ServerCertificate>,
    /// Addresses whose PROXY header is believed (`security.trusted_https_proxies`).
    pub trusted_proxies: Arc<ArcSwap<Vec<IpAddr>>>,
}

/// The TCP listener, or none, at an address that may change at any time.
pub struct TcpListeners {
    edge: Arc<Edge>,
    tls: Tls,
    current: Mutex<Option<Listening>>,
}

/// A bound address and the task that accepts from it.
struct Listening {
    requested: SocketAddr,
    listener: Arc<TcpListener>,
    stop: CancellationToken,
    accepting: JoinHandle<()>,
}

impl TcpListeners {
    /// No address yet; see [`TcpListeners::set`].
    pub fn new(tls: Tls, app: Router, shutdown: CancellationToken) -> Self {
        Self::with_limits(tls, app, Limits::default(), shutdown)
    }

    /// As [`TcpListeners::new`], with other limits.
    pub fn with_limits(tls: Tls, app: Router, limits: Limits, shutdown: CancellationToken) -> Self {
        let edge = Edge::new(app, limits, shutdown.child_token());
        Self { edge: Arc::new(edge), tls, current: Mutex::new(None) }
    }

    /// Listens at another address from now on, or at none.
    ///
    /// The new address is bound before the old one is closed, so that the daemon is never out of
    /// reach; connections that came in by the old one go on. The present address again: nothing
    /// happens.
    ///
    /// # Errors
    /// When the new address cannot be bound; the old one then stays.
    pub async fn set(&self, address: Option<SocketAddr>) -> io::Result<()> {
        let mut current = self.current.lock().await;
        if current.as_ref().map(|listening| listening.requested) == address {
            return Ok(());
        }
        let next = match address {
            Some(address) => Some(self.listen(address, current.as_ref())?),
            None => None,
        };
        if let Some(old) = std::mem::replace(&mut *current, next) {
            old.close().await;
        }
        Ok(())
    }

    /// The address in use, with the port that the system chose where 0 was asked for.
    pub async fn local_address(&self) -> Option<SocketAddr> {
        self.current.lock().await.as_ref().and_then(|listening| listening.listener.local_addr().ok())
    }

    /// Stops: closes the address, and lets requests in flight finish within the drain time.
    ///
    /// The shutdown token alone does the same, without telling when it is over.
    pub async fn drain(&self) {
        self.edge.shutdown.cancel();
        if let Some(old) = self.current.lock().await.take() {
            old.close().await;
        }
        self.edge.tasks.close();
        self.edge.tasks.wait().await;
    }

    fn listen(&self, address: SocketAddr, current: Option<&Listening>) -> io::Result<Listening> {
        let listener = match (bind(address, false), current) {
            (Err(error), Some(current)) if error.kind() == io::ErrorKind::AddrInUse => {
                current.share_port(address, error)?
            }
            (bound, _) => bound?,
        };
        let listener = Arc::new(listener);
        let stop = self.edge.shutdown.child_token();
        let accepting = tokio::spawn(accept(self.edge.clone(), self.tls.clone(), listener.clone(), stop.clone()));
        tracing::info!(%address, "listening");
        Ok(Listening { requested: address, listener, stop, accepting })
    }
}

impl Listening {
    /// Binds an address that only our own present listener is in the way of, as when the wildcard
    /// gives way to one address with the same port: for the time of binding, both share the port.
    fn share_port(&self, address: SocketAddr, error: io::Error) -> io::Result<TcpListener> {
        if self.listener.local_addr()?.port() != address.port() {
            return Err(error);
        }
        let old = SockRef::from(&*self.listener);
        old.set_reuse_port(true)?;
        let bound = bind(address, true);
        old.set_reuse_port(false)?;
        let bound = bound?;
        SockRef::from(&bound).set_reuse_port(false)?;
        Ok(bound)
    }

    async fn close(self) {
        self.stop.cancel();
        if let Err(error) = self.accepting.await {
            tracing::error!(%error, "accepting ended abnormally");
        }
        tracing::info!(address = %self.requested, "no longer listening");
    }
}

fn bind(address: SocketAddr, share_port: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    // Ports of connections that just ended do not hinder a restart.
    socket.set_reuse_address(true)?;
    if share_port {
        socket.set_reuse_port(true)?;
    }
    if address.is_ipv6() {
        // `[::]` means IPv4 as well, whatever the system's default.
        socket.set_only_v6(false)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Accepts until told to stop; the connections outlive it.
async fn accept(edge: Arc<Edge>, tls: Tls, listener: Arc<TcpListener>, stop: CancellationToken) {
    loop {
        let ready = async {
            let permit = edge.permits.clone().acquire_owned().await;
            (permit, listener.accept().await)
        };
        let (permit, accepted) = tokio::select! {
            () = stop.cancelled() => break,
            ready = ready => ready,
        };
        match (permit, accepted) {
            (Ok(permit), Ok(accepted)) => spawn(&edge, &tls, accepted, permit),
            (_, Err(error)) => {
                tracing::warn!(%error, "cannot accept");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
            (Err(_), _) => break,
        }
    }
    // Closing the address resets who is still queued there, so they are taken along on a move.
    while !edge.shutdown.is_cancelled()
        && let Ok(permit) = edge.permits.clone().try_acquire_owned()
        && let Some(Ok(accepted)) = listener.accept().now_or_never()
    {
        spawn(&edge, &tls, accepted, permit);
    }
}

fn spawn(edge: &Arc<Edge>, tls: &Tls, (stream, address): (TcpStream, SocketAddr), permit: OwnedSemaphorePermit) {
    let (connection, tls) = (edge.clone(), tls.clone());
    edge.tasks.spawn(async move {
        let greeted = tokio::select! {
            () = connection.shutdown.cancelled() => None,
            greeted = greet(stream, address, &tls, &connection.limits) => greeted,
        };
        if let Some((stream, peer)) = greeted {
            connection.serve(stream, peer).await;
        }
        drop(permit);
    });
}

/// From the first byte to the end of the TLS handshake; none, and a log line, if it fails.
async fn greet(
    stream: TcpStream,
    address: SocketAddr,
    tls: &Tls,
    limits: &Limits,
) -> Option<(TlsStream<ProxiedStream<TcpStream>>, Peer)> {
    let address = canonical(address);
    let proxied = tls.trusted_proxies.load().iter().any(|proxy| proxy.to_canonical() == address.ip());
    let greeted = async {
        tune(&stream)?;
        let stream = if proxied {
            within(limits.proxy_header, "PROXY header", read_proxy_header(stream)).await?
        } else {
            ProxiedStream::unproxied(stream)
        };
        let client = proxy::client(&stream).unwrap_or(address);
        let acceptor = TlsAcceptor::from(tls.certificate.config());
        let stream = within(limits.handshake, "TLS handshake", acceptor.accept(stream)).await?;
        let peer = Peer::tcp(client, stream.get_ref().1.peer_certificates());
        Ok::<_, io::Error>((stream, peer))
    };
    match greeted.await {
        Ok(greeted) => Some(greeted),
        Err(error) if proxied || is_everyday(&error) => {
            tracing::debug!(%address, %error, "connection refused");
            None
        }
        Err(error) => {
            tracing::warn!(%address, %error, "connection refused");
            None
        }
    }
}

fn tune(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE);
    SockRef::from(stream).set_tcp_keepalive(&keepalive)
}

async fn read_proxy_header(stream: TcpStream) -> io::Result<ProxiedStream<TcpStream>> {
    let mut first = [0];
    stream.peek(&mut first).await?;
    proxy::read(first[0], stream).await
}

async fn within<T>(limit: Duration, what: &str, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(limit, work)
        .await
        .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, format!("{what} took longer than {limit:?}")))?
}

/// Port scans, and clients that do not know our certificate: nothing to worry an operator with.
fn is_everyday(error: &io::Error) -> bool {
    let alert = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>())
        .is_some_and(|error| matches!(error, rustls::Error::AlertReceived(_)));
    alert || matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset)
}
