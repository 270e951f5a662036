//! The floor: TLS and nothing else, in this process, with the daemon's own certificate.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use muster_clients::endpoint::Endpoint;
use muster_clients::tls::{Credentials, Identity, Trust};
use muster_sim::wire;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::JoinHandle;

use crate::Result;
use crate::burst::{Burst, burst};

/// Connections that wait to be accepted; as many as the daemon's own.
const BACKLOG: u32 = 4096;

/// Bytes written at once.
const PIECE: usize = 64 << 10;

/// A listener that shakes hands with anybody who has a certificate, sends so many bytes, and closes.
pub struct Floor {
    url: String,
    trust: Trust,
    task: JoinHandle<()>,
}

impl Drop for Floor {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Floor {
    /// Listens with this identity.
    pub fn start(identity: &Identity, bytes: usize) -> Result<Self> {
        let acceptor = wire::acceptor(&*identity.credentials()?)?;
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        let listener: TcpListener = socket.listen(BACKLOG)?;
        let url = format!("https://{}", listener.local_addr()?);
        let task = tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    // The client counts what does not come.
                    let _ = tcp.set_nodelay(true);
                    let Ok(mut stream) = acceptor.accept(tcp).await else { return };
                    let piece = vec![b'x'; PIECE.min(bytes)];
                    let mut left = bytes;
                    while left > 0 {
                        let part = &piece[..left.min(piece.len())];
                        if stream.write_all(part).await.is_err() {
                            return;
                        }
                        left -= part.len();
                    }
                    let _ = stream.shutdown().await;
                });
            }
        });
        Ok(Self { url, trust: Trust::pinned(&identity.certificate_pem)?, task })
    }

    /// Full handshakes, one with each pair, each proven by the bytes that come after it.
    pub async fn handshakes(&self, credentials: &[Arc<Credentials>], at_once: usize) -> Burst {
        burst(credentials.to_vec(), at_once, |credentials| {
            let endpoint = Endpoint::https(&self.url, &self.trust, Some(credentials));
            async move {
                endpoint?.connect().await?.read_u8().await?;
                Ok(())
            }
        })
        .await
    }

    /// How long one client takes to receive everything.
    pub async fn transfer(&self) -> Result<Duration> {
        let mut stream = Endpoint::https(&self.url, &self.trust, None)?.connect().await?;
        let (began, mut piece) = (Instant::now(), vec![0; PIECE]);
        while stream.read(&mut piece).await? > 0 {}
        Ok(began.elapsed())
    }
}
