//! A kept connection to one IncusOS or Incus machine.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, header};
use http_body::{Body, Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper_util::rt::TokioIo;
use serde_json::value::RawValue;
use tokio::task::JoinHandle;
use tracing::debug;

use crate::call::{Answer, BoxError, CallError, Failure, open_envelope, read_body};
use crate::crash;
use crate::endpoint::{Endpoint, EndpointError, Io};
use crate::tls::{Credentials, Trust};

/// Largest document that is read of a machine, in bytes.
pub const BODY_LIMIT: usize = 16 << 20;

/// A request body of any kind.
pub type RequestBody = UnsyncBoxBody<Bytes, BoxError>;

/// A body that sends these bytes.
pub fn full(bytes: impl Into<Bytes>) -> RequestBody {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// A body that sends nothing.
pub fn empty() -> RequestBody {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// What was done, over all connections that share it.
#[derive(Debug, Default)]
pub struct Counters {
    handshakes: AtomicU64,
    requests: AtomicU64,
}

impl Counters {
    /// Connections opened.
    pub fn handshakes(&self) -> u64 {
        self.handshakes.load(Ordering::Relaxed)
    }

    /// Requests sent, repeated ones counted again.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }
}

struct Kept {
    sender: SendRequest<RequestBody>,
    // Ends with the connection, so that an abandoned call leaves no task and no socket behind.
    task: JoinHandle<()>,
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.task.abort();
    }
}

type Slot = Arc<Mutex<Option<Kept>>>;

fn put_back(slot: &Slot, kept: Kept) {
    if !kept.sender.is_closed() {
        *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(kept);
    }
}

/// One machine. Calls may run at the same time: one connection is kept, further ones are opened and closed as needed.
pub struct Machine {
    endpoint: Endpoint,
    counters: Arc<Counters>,
    body_limit: usize,
    slot: Slot,
}

impl std::fmt::Debug for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Machine").field(&self.endpoint.address()).finish()
    }
}

/// Bytes that a connection reads at once.
const READ_BUFFER: usize = 8192;

impl Machine {
    /// A machine at `https://host:port`. Opens nothing yet.
    pub fn new(
        address: &str,
        trust: &Trust,
        credentials: Option<Arc<Credentials>>,
        counters: Arc<Counters>,
    ) -> Result<Self, EndpointError> {
        Ok(Self::at(Endpoint::https(address, trust, credentials)?, counters))
    }

    /// A machine at an endpoint, for example the center's own over its unix socket.
    pub fn at(endpoint: Endpoint, counters: Arc<Counters>) -> Self {
        Self { endpoint, counters, body_limit: BODY_LIMIT, slot: Slot::default() }
    }

    /// With another limit for whole answers, in bytes.
    pub fn with_body_limit(mut self, bytes: usize) -> Self {
        self.body_limit = bytes;
        self
    }

    /// Its endpoint.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Its counters.
    pub fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    /// Closes the kept connection: the next call opens a new one and is therefore never repeated.
    pub fn disconnect(&self) {
        self.take();
    }

    fn take(&self) -> Option<Kept> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// One call with a JSON answer, all of it within `deadline`. Without a body a POST says that it carries nothing the
    /// way the reference does (servers.md 7.0).
    pub async fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<&serde_json::Value>,
        deadline: Duration,
    ) -> Result<Answer, CallError> {
        let bytes = body.map(|b| Bytes::from(b.to_string()));
        self.request_bytes(method, path, bytes, deadline).await
    }

    /// As [`Machine::request`], with a body that is JSON text already.
    pub async fn request_raw(
        &self,
        method: Method,
        path: &str,
        body: &RawValue,
        deadline: Duration,
    ) -> Result<Answer, CallError> {
        self.request_bytes(method, path, Some(Bytes::copy_from_slice(body.get().as_bytes())), deadline).await
    }

    async fn request_bytes(
        &self,
        method: Method,
        path: &str,
        body: Option<Bytes>,
        deadline: Duration,
    ) -> Result<Answer, CallError> {
        let exchange = async {
            let mut request = Request::builder().method(method.clone()).uri(path);
            request = match (&body, &method) {
                (Some(_), _) => request.header(header::CONTENT_TYPE, "application/json"),
                (None, &Method::POST) => request.header(header::CONTENT_TYPE, "application/octet-stream"),
                _ => request,
            };
            let request = request.body(body.unwrap_or_default()).map_err(|e| Failure::NotJson(e.to_string()))?;
            let response = self.exchange(request).await?;
            let status = response.status();
            let body = read_body(response.into_body(), self.body_limit).await?;
            crash::after(&method);
            open_envelope(status, &body)
        };
        let answer = tokio::time::timeout(deadline, exchange).await.unwrap_or(Err(Failure::Timeout));
        answer.map_err(|failure| self.error(&method, path, failure))
    }

    /// One call without the JSON layer: any method, headers and body. The answer's head must come within `deadline`;
    /// its body streams for as long as it takes.
    pub async fn stream(
        &self,
        request: Request<RequestBody>,
        deadline: Duration,
    ) -> Result<Response<AnswerBody>, CallError> {
        let (method, path) = (request.method().clone(), request.uri().to_string());
        let exchange = async {
            let (kept, request) = match self.take() {
                Some(kept) => (kept, request),
                None => (self.open().await?, request),
            };
            match self.send(kept, request).await {
                Ok(response) => Ok(response),
                Err((_, Some(unsent))) => {
                    let kept = self.open().await?;
                    self.send(kept, *unsent).await.map_err(|(failure, _)| failure)
                }
                Err((failure, None)) => Err(failure),
            }
        };
        let response = tokio::time::timeout(deadline, exchange).await.unwrap_or(Err(Failure::Timeout));
        // Its body streams, and may have no end.
        crash::after(&method);
        response.map_err(|failure| self.error(&method, &path, failure))
    }

    /// Sends on the kept connection, and once more on a new one where that cannot do a thing twice: the request never
    /// left, or its method is idempotent and no answer began.
    async fn exchange(&self, request: Request<Bytes>) -> Result<Response<AnswerBody>, Failure> {
        if let Some(kept) = self.take() {
            match self.send(kept, request.clone().map(full)).await {
                Ok(response) => return Ok(response),
                Err((failure, unsent)) => {
                    let again = unsent.is_some() || request.method().is_idempotent();
                    if !(again && matches!(failure, Failure::Closed(_))) {
                        return Err(failure);
                    }
                    debug!(address = self.endpoint.address(), %failure, "kept connection lost, opening a new one");
                }
            }
        }
        let kept = self.open().await?;
        self.send(kept, request.map(full)).await.map_err(|(failure, _)| failure)
    }

    async fn open(&self) -> Result<Kept, Failure> {
        let stream = self.open_stream().await?;
        let mut http = Builder::new();
        // Thousands of connections are kept: a buffer that grew with one large document would stay that large.
        http.read_buf_exact_size(Some(READ_BUFFER));
        let (sender, connection) = http.handshake(TokioIo::new(stream)).await.map_err(|e| Failure::exchange(&e))?;
        let task = tokio::spawn(async move {
            // Whoever waits for an answer gets the error from there.
            let _ = connection.await;
        });
        Ok(Kept { sender, task })
    }

    /// A new byte stream of its own, counted as a handshake; for websockets.
    pub async fn open_stream(&self) -> Result<Box<dyn Io>, Failure> {
        let stream = self.endpoint.connect().await?;
        self.counters.handshakes.fetch_add(1, Ordering::Relaxed);
        Ok(stream)
    }

    async fn send(
        &self,
        mut kept: Kept,
        mut request: Request<RequestBody>,
    ) -> Result<Response<AnswerBody>, (Failure, Option<Box<Request<RequestBody>>>)> {
        if let Err(error) = kept.sender.ready().await {
            return Err((Failure::exchange(&error), Some(Box::new(request))));
        }
        if !request.headers().contains_key(header::HOST)
            && let Ok(host) = HeaderValue::from_str(self.endpoint.authority())
        {
            request.headers_mut().insert(header::HOST, host);
        }
        self.counters.requests.fetch_add(1, Ordering::Relaxed);
        crash::before(request.method());
        match kept.sender.try_send_request(request).await {
            Ok(response) => {
                let kept = Some((kept, self.slot.clone()));
                Ok(response.map(|inner| AnswerBody { inner, kept }))
            }
            Err(mut error) => {
                let unsent = error.take_message().map(Box::new);
                Err((Failure::exchange(error.error()), unsent))
            }
        }
    }

    pub(crate) fn error(&self, method: &Method, path: &str, failure: Failure) -> CallError {
        CallError {
            method: method.clone(),
            address: self.endpoint.address().to_owned(),
            path: path.split_once('?').map_or(path, |(path, _)| path).to_owned(),
            failure,
        }
    }
}

/// The body of an answer. Read to its end it gives its connection back; dropped before, it closes it.
pub struct AnswerBody {
    inner: Incoming,
    kept: Option<(Kept, Slot)>,
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = Pin::new(&mut self.inner).poll_frame(context);
        match &frame {
            Poll::Ready(None) => {
                if let Some((kept, slot)) = self.kept.take() {
                    put_back(&slot, kept);
                }
            }
            Poll::Ready(Some(Err(_))) => self.kept = None,
            _ => {}
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        // Never before the end was polled, or the connection would not be given back.
        self.kept.is_none() && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
