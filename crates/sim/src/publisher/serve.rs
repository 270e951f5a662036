//! HTTP in front of a publisher's directory: whole files and ranges, and what goes wrong on the way.

use std::convert::Infallible;
use std::io::{self, SeekFrom};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use sha2::{Digest, Sha256};
use tokio::fs::File;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncSeekExt, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::{Shared, lock};

/// Bytes read from disk at a time.
const CHUNK: usize = 64 << 10;

/// From the last byte that is sent to the break of the connection.
const BREAK_AFTER: Duration = Duration::from_millis(100);

type Body = UnsyncBoxBody<Bytes, io::Error>;

/// One way for an answer to go wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// This status and a short text.
    Status(u16),
    /// Another address.
    Redirect(String),
    /// All is announced, and after that many bytes the connection breaks.
    Truncate(u64),
    /// All is announced, and after that many bytes nothing more comes.
    Stall(u64),
    /// Only the first so many bytes are announced and sent, as if that were all.
    Short(u64),
    /// That many zero bytes more than there are, announced and sent.
    Long(u64),
    /// One byte in the middle is another.
    Corrupt,
}

/// A fault of one path.
#[derive(Debug)]
pub(crate) struct Trouble {
    pub(crate) path: String,
    pub(crate) fault: Fault,
    /// How many more requests; `None` for all.
    pub(crate) left: Option<u32>,
}

/// One request and its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Its path.
    pub path: String,
    /// Its range, as it was sent.
    pub range: Option<String>,
    /// Status of the answer.
    pub status: u16,
}

/// Serves connections until the end.
pub(super) async fn listen(
    listener: TcpListener,
    acceptor: Option<TlsAcceptor>,
    shared: Arc<Shared>,
    end: CancellationToken,
) {
    loop {
        let accepted = tokio::select! {
            () = end.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((tcp, _)) = accepted else { continue };
        let (acceptor, shared, end) = (acceptor.clone(), shared.clone(), end.clone());
        tokio::spawn(async move {
            let connection = async {
                match acceptor {
                    None => connection(tcp, shared).await,
                    // Who cannot shake hands sees why himself.
                    Some(acceptor) => {
                        if let Ok(stream) = acceptor.accept(tcp).await {
                            connection(stream, shared).await;
                        }
                    }
                }
            };
            tokio::select! {
                () = end.cancelled() => {}
                () = connection => {}
            }
        });
    }
}

async fn connection(stream: impl AsyncRead + AsyncWrite + Unpin, shared: Arc<Shared>) {
    let service = service_fn(|request| answer(shared.clone(), request));
    // A broken connection is what some faults are about.
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let path = request.uri().path().to_owned();
    let fault = shared.fault(&path);
    let response = match respond(&shared, &request, fault).await {
        Ok(response) => response,
        Err(error) if error.kind() == io::ErrorKind::NotFound => short(StatusCode::NOT_FOUND),
        Err(_) => short(StatusCode::INTERNAL_SERVER_ERROR),
    };
    let range = request.headers().get(header::RANGE).and_then(|r| r.to_str().ok()).map(str::to_owned);
    lock(&shared.asked).push(Asked { path, range, status: response.status().as_u16() });
    Ok(response)
}

impl Shared {
    fn fault(&self, path: &str) -> Option<Fault> {
        let mut troubles = lock(&self.troubles);
        let trouble = troubles.iter_mut().find(|t| t.path == path && t.left != Some(0))?;
        trouble.left = trouble.left.map(|left| left - 1);
        Some(trouble.fault.clone())
    }

    /// Below the directory, whatever is asked for.
    fn file(&self, path: &str) -> Option<PathBuf> {
        let parts: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
        let plain = parts.iter().all(|part| !part.is_empty() && !part.starts_with('.') && !part.contains(['\\', '\0']));
        plain.then(|| parts.iter().fold(self.directory.clone(), |folder, part| folder.join(part)))
    }
}

fn short(status: StatusCode) -> Response<Body> {
    let text = format!("{status}\n");
    let mut response = Response::new(Full::new(Bytes::from(text)).map_err(|never| match never {}).boxed_unsync());
    *response.status_mut() = status;
    response
}

async fn respond(shared: &Shared, request: &Request<Incoming>, fault: Option<Fault>) -> io::Result<Response<Body>> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return Ok(short(StatusCode::METHOD_NOT_ALLOWED));
    }
    match &fault {
        Some(Fault::Status(status)) => {
            return Ok(short(StatusCode::from_u16(*status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)));
        }
        Some(Fault::Redirect(to)) => {
            let mut response = short(StatusCode::FOUND);
            if let Ok(to) = HeaderValue::from_str(to) {
                response.headers_mut().insert(header::LOCATION, to);
            }
            return Ok(response);
        }
        _ => {}
    }
    let Some(path) = shared.file(request.uri().path()) else { return Ok(short(StatusCode::NOT_FOUND)) };
    let mut file = File::open(path).await?;
    let metadata = file.metadata().await?;
    if !metadata.is_file() {
        return Ok(short(StatusCode::NOT_FOUND));
    }
    let there = metadata.len();
    let size = match fault {
        Some(Fault::Short(to)) => there.min(to),
        Some(Fault::Long(more)) => there + more,
        _ => there,
    };
    let modified = metadata.modified()?.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let etag = format!("\"{}\"", &hex::encode(Sha256::digest(format!("{there} {modified:?}")))[..16]);
    let (status, from, to) = match range(request.headers(), size, &etag) {
        Wanted::All => (StatusCode::OK, 0, size),
        Wanted::Part(from, to) => (StatusCode::PARTIAL_CONTENT, from, to),
        Wanted::Nothing => {
            let mut response = short(StatusCode::RANGE_NOT_SATISFIABLE);
            response.headers_mut().insert(header::CONTENT_RANGE, value(&format!("bytes */{size}")));
            return Ok(response);
        }
    };
    file.seek(SeekFrom::Start(from.min(there))).await?;
    let changed = (fault == Some(Fault::Corrupt)).then_some(there / 2);
    let real = reading(file, from, to.min(there), changed);
    let zeros = to.saturating_sub(there.max(from));
    let padding = stream::iter((0..zeros.div_ceil(CHUNK as u64)).map(move |n| {
        let length = (zeros - n * CHUNK as u64).min(CHUNK as u64);
        Ok(Bytes::from(vec![0; usize::try_from(length).unwrap_or(CHUNK)]))
    }));
    let body = match fault {
        Some(Fault::Truncate(at)) => broken(real.chain(padding), at, Some(io::ErrorKind::BrokenPipe)),
        Some(Fault::Stall(at)) => broken(real.chain(padding), at, None),
        _ => StreamBody::new(real.chain(padding).map(|chunk| chunk.map(Frame::data))).boxed_unsync(),
    };
    let mut response = Response::new(body);
    if request.method() == Method::HEAD {
        response = Response::new(Full::default().map_err(|never| match never {}).boxed_unsync());
    }
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LENGTH, (to - from).into());
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(header::ETAG, value(&etag));
    if status == StatusCode::PARTIAL_CONTENT {
        headers.insert(header::CONTENT_RANGE, value(&format!("bytes {from}-{}/{size}", to - 1)));
    }
    Ok(response)
}

fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static(""))
}

/// The bytes of a file from one place to another; the one at `changed` is another.
fn reading(
    file: File,
    from: u64,
    to: u64,
    changed: Option<u64>,
) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    stream::try_unfold((file, from), move |(mut file, at)| async move {
        if at >= to {
            return Ok(None);
        }
        let length = usize::try_from(to - at).map_or(CHUNK, |left| left.min(CHUNK));
        let mut chunk = vec![0; length];
        file.read_exact(&mut chunk).await?;
        let place = changed.and_then(|changed| usize::try_from(changed.checked_sub(at)?).ok());
        if let Some(byte) = place.and_then(|place| chunk.get_mut(place)) {
            *byte ^= 0x55;
        }
        Ok(Some((Bytes::from(chunk), (file, at + length as u64))))
    })
}

/// The first `left` bytes, then an error, or nothing ever.
fn broken(all: impl Stream<Item = io::Result<Bytes>> + Send + 'static, left: u64, end: Option<io::ErrorKind>) -> Body {
    let state = (Box::pin(all), left);
    let frames = stream::try_unfold(state, move |(mut all, left)| async move {
        if left > 0
            && let Some(chunk) = all.next().await
        {
            let mut chunk = chunk?;
            chunk.truncate(usize::try_from(left).unwrap_or(usize::MAX));
            let left = left - chunk.len() as u64;
            return Ok(Some((Frame::data(chunk), (all, left))));
        }
        match end {
            Some(kind) => {
                // What was sent has to reach the peer first; an error drops what is not written yet.
                tokio::time::sleep(BREAK_AFTER).await;
                Err(io::Error::from(kind))
            }
            None => std::future::pending().await,
        }
    });
    StreamBody::new(frames).boxed_unsync()
}

#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    All,
    /// From, and up to but not including.
    Part(u64, u64),
    Nothing,
}

/// One range (RFC 9110, 14); several, and other units, count as none.
fn range(headers: &HeaderMap, size: u64, etag: &str) -> Wanted {
    let Some(text) = headers.get(header::RANGE).and_then(|r| r.to_str().ok()) else { return Wanted::All };
    if headers.get(header::IF_RANGE).is_some_and(|known| known.as_bytes() != etag.as_bytes()) {
        return Wanted::All;
    }
    let Some((first, last)) = text.strip_prefix("bytes=").and_then(|r| r.split_once('-')) else { return Wanted::All };
    let (from, to) = match (first.trim().parse::<u64>(), last.trim().parse::<u64>()) {
        (Ok(from), Ok(to)) if from <= to => (from, to.saturating_add(1)),
        (Ok(from), Err(_)) if last.trim().is_empty() => (from, size),
        (Err(_), Ok(length)) if first.trim().is_empty() => (size.saturating_sub(length), size),
        _ => return Wanted::All,
    };
    let to = to.min(size);
    if from >= to { Wanted::Nothing } else { Wanted::Part(from, to) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_those_of_the_standard() {
        let asked = |range: &str, if_range: Option<&str>| {
            let mut headers = HeaderMap::new();
            headers.insert(header::RANGE, value(range));
            if let Some(known) = if_range {
                headers.insert(header::IF_RANGE, value(known));
            }
            super::range(&headers, 100, "\"a\"")
        };
        assert_eq!(asked("bytes=10-19", None), Wanted::Part(10, 20));
        assert_eq!(asked("bytes=10-", Some("\"a\"")), Wanted::Part(10, 100));
        assert_eq!(asked("bytes=-5", None), Wanted::Part(95, 100));
        assert_eq!(asked("bytes=90-1000", None), Wanted::Part(90, 100));
        assert_eq!(asked("bytes=100-", None), Wanted::Nothing);
        for whole in ["bytes=1-2,4-5", "lines=1-2", "bytes=5-2", "bytes=x-", "bytes"] {
            assert_eq!(asked(whole, None), Wanted::All, "{whole}");
        }
        assert_eq!(asked("bytes=10-", Some("\"b\"")), Wanted::All);
    }
}
