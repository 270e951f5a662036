//! The unix socket: plain HTTP for local processes, always on.

use super::{Limits, Peer, connection::Edge};
use axum::Router;
use std::{
    fs, io,
    os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};
use tokio::net::{UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;

/// Who owns the socket file and its group may connect.
const MODE: u32 = 0o660;
/// Pause after a failed accept, which happens when file descriptors run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// A bound unix socket that is not served yet.
#[derive(Debug)]
pub struct UnixSocket {
    path: PathBuf,
    /// Device and inode of the socket file, to tell it from a successor's.
    file: (u64, u64),
    listener: UnixListener,
}

impl UnixSocket {
    /// Binds the socket with mode 0660, in the place of a stale file left by a crash.
    ///
    /// # Errors
    /// `AddrInUse` when another daemon answers there, `AlreadyExists` when the path is something
    /// else than a socket, otherwise what the system says.
    pub async fn bind(path: PathBuf) -> io::Result<Self> {
        remove_stale(&path).await?;
        let listener = UnixListener::bind(&path)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(MODE))?;
        let metadata = fs::symlink_metadata(&path)?;
        Ok(Self { path, file: (metadata.dev(), metadata.ino()), listener })
    }

    /// Serves until `shutdown`, then lets requests in flight finish within the drain time.
    pub async fn serve(self, app: Router, limits: Limits, shutdown: CancellationToken) {
        let edge = Arc::new(Edge::new(app, limits, shutdown));
        while let Some(stream) = self.next(&edge).await {
            let Ok(permit) = edge.permits.clone().acquire_owned().await else { break };
            let connection = edge.clone();
            edge.tasks.spawn(async move {
                connection.serve(stream, Peer::Unix).await;
                drop(permit);
            });
        }
        self.close();
        edge.tasks.close();
        edge.tasks.wait().await;
    }

    /// The next connection, or none once the daemon stops.
    async fn next(&self, edge: &Edge) -> Option<UnixStream> {
        loop {
            let accepted = tokio::select! {
                () = edge.shutdown.cancelled() => return None,
                accepted = self.listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, _)) => return Some(stream),
                Err(error) => {
                    tracing::warn!(%error, "unix socket cannot accept");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Removes the file while the listener still answers, so that no successor took its place.
    fn close(self) {
        let ours = fs::symlink_metadata(&self.path).is_ok_and(|now| (now.dev(), now.ino()) == self.file);
        if ours && let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(%error, path = %self.path.display(), "socket file cannot be removed");
        }
    }
}

/// Binds the unix socket and serves it until `shutdown`; see [`UnixSocket`].
///
/// # Errors
/// When the socket cannot be bound.
pub async fn serve_unix(path: PathBuf, app: Router, shutdown: CancellationToken) -> io::Result<()> {
    UnixSocket::bind(path).await?.serve(app, Limits::default(), shutdown).await;
    Ok(())
}

async fn remove_stale(path: &PathBuf) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
        Ok(metadata) if !metadata.file_type().is_socket() => {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                format!("{} exists and is no socket", path.display()),
            ));
        }
        Ok(_) => {}
    }
    match UnixStream::connect(path).await {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        // A queue that is full has somebody behind it, too.
        Ok(_) => Err(in_use(path)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(in_use(path)),
        Err(error) => Err(error),
    }
}

fn in_use(path: &std::path::Path) -> io::Error {
    io::Error::new(io::ErrorKind::AddrInUse, format!("another daemon answers at {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::{Extension, routing::get};
    use std::path::Path;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    fn app() -> Router {
        Router::new().route("/", get(|Extension(peer): Extension<Peer>| async move { peer.to_string() }))
    }

    async fn ask(path: &Path) -> io::Result<String> {
        let mut stream = UnixStream::connect(path).await?;
        stream.write_all(b"GET / HTTP/1.1\r\nhost: local\r\nconnection: close\r\n\r\n").await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer)
    }

    #[tokio::test]
    async fn a_stale_file_gives_way_and_the_own_one_goes_at_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("unix.socket");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "a crash leaves the file");
        let socket = UnixSocket::bind(path.clone()).await.unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, MODE);
        let shutdown = CancellationToken::new();
        let serving = tokio::spawn(socket.serve(app(), Limits::default(), shutdown.clone()));
        let answer = ask(&path).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("\r\n\r\n@"), "{answer}");
        shutdown.cancel();
        serving.await.unwrap();
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn another_daemon_keeps_its_socket() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("unix.socket");
        let shutdown = CancellationToken::new();
        let first = UnixSocket::bind(path.clone()).await.unwrap();
        tokio::spawn(first.serve(app(), Limits::default(), shutdown.clone()));
        let error = serve_unix(path.clone(), app(), shutdown.clone()).await.err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        ask(&path).await.unwrap();
    }

    #[tokio::test]
    async fn what_is_no_socket_is_not_removed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("unix.socket");
        fs::write(&path, "precious").unwrap();
        let error = UnixSocket::bind(path.clone()).await.err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }

    #[tokio::test]
    async fn a_successor_keeps_its_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("unix.socket");
        let shutdown = CancellationToken::new();
        let first = UnixSocket::bind(path.clone()).await.unwrap();
        fs::remove_file(&path).unwrap();
        let second = UnixSocket::bind(path.clone()).await.unwrap();
        shutdown.cancel();
        first.serve(app(), Limits::default(), shutdown).await;
        assert!(path.exists(), "it belongs to the second one");
        drop(second);
    }
}
