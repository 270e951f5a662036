//! A plain file server over TLS, of the same parts as the daemon: what files are served by at best. It runs in a process of its
//! own, so that its processor time is known.

use std::convert::Infallible;
use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::TryStreamExt;
use http::{Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper_util::rt::TokioIo;
use muster_clients::tls::Identity;
use muster_sim::wire;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio_util::io::ReaderStream;

use crate::Result;

/// Bytes read of a file at once.
const PIECE: usize = 256 << 10;

/// The server as a child process. Dropping it kills it.
pub struct Plain {
    _child: Child,
    /// Of the process.
    pub pid: u32,
    /// `https://127.0.0.1:port`
    pub url: String,
}

impl Plain {
    /// Serves the files of a folder, with the pair of a daemon in `keys`.
    pub async fn start(keys: &Path, files: &Path) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("--plain-files").arg(files).arg("--plain-keys").arg(keys);
        // Whoever started it ends it.
        command.args(["--within", "86400"]);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
        let pid = child.id().ok_or("the plain file server has ended")?;
        let told = child.stdout.take().ok_or("the plain file server says nothing")?;
        let url = BufReader::new(told).lines().next_line().await?.ok_or("the plain file server does not start")?;
        Ok(Self { _child: child, pid, url })
    }
}

/// What the child does, until it is killed.
pub async fn serve(keys: &Path, files: PathBuf) -> Result<()> {
    let read = |name: &str| std::fs::read_to_string(keys.join(name));
    let identity = Identity { certificate_pem: read("server.crt")?, key_pem: read("server.key")? };
    let acceptor = wire::acceptor(&*identity.credentials()?)?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    println!("https://{}", listener.local_addr()?);
    let files = Arc::new(files);
    loop {
        let (tcp, _) = listener.accept().await?;
        let (acceptor, files) = (acceptor.clone(), files.clone());
        tokio::spawn(async move {
            let _ = tcp.set_nodelay(true);
            let Ok(stream) = acceptor.accept(tcp).await else { return };
            let service = hyper::service::service_fn(|request| answer(files.clone(), request));
            // Who reads sees what does not come.
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

type Body = UnsyncBoxBody<Bytes, io::Error>;

async fn answer(files: Arc<PathBuf>, request: Request<Incoming>) -> std::result::Result<Response<Body>, Infallible> {
    // The last part of the path is the name: nothing else of it is looked at.
    let name = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
    let found = async {
        let file = tokio::fs::File::open(files.join(name)).await?;
        let size = file.metadata().await?.len();
        Ok::<_, io::Error>((file, size))
    };
    let mut response = match found.await {
        Ok((mut file, size)) => {
            file.set_max_buf_size(PIECE);
            let frames = ReaderStream::with_capacity(file, PIECE).map_ok(Frame::data);
            let mut response = Response::new(StreamBody::new(frames).boxed_unsync());
            response.headers_mut().insert(http::header::CONTENT_LENGTH, size.into());
            response
        }
        Err(_) => {
            let mut response = Response::new(Empty::new().map_err(|never| match never {}).boxed_unsync());
            *response.status_mut() = StatusCode::NOT_FOUND;
            response
        }
    };
    response
        .headers_mut()
        .insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/octet-stream"));
    Ok(response)
}
