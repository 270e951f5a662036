//! The client of our own API, for the command line and the simulator. Sources: servers.md 1.2, 1.3.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use serde_json::value::RawValue;

use crate::call::{CallError, Failure, open_envelope, read_body};
use crate::endpoint::{Endpoint, EndpointError};
use crate::machine::{AnswerBody, Counters, Machine, RequestBody, empty, full};
use crate::tls::{Identity, Trust};

/// Largest whole answer, in bytes: a list without paging may be long.
pub const BODY_LIMIT: usize = 512 << 20;

/// How a call to the center ended badly.
#[derive(Debug, thiserror::Error)]
pub enum CenterError {
    /// 404: no such thing.
    #[error("{0}")]
    NotFound(String),
    /// 401: not logged in.
    #[error("not authenticated: {0}")]
    Unauthenticated(String),
    /// 403: not allowed.
    #[error("not authorized: {0}")]
    Forbidden(String),
    /// 409, 412: the thing has changed since it was read, or its state does not allow it.
    #[error("{0}")]
    Conflict(String),
    /// Any other error of the API.
    #[error("{message}")]
    Api {
        /// `error_code` of the envelope.
        code: u16,
        /// For people.
        message: String,
    },
    /// The center could not be reached, or did not answer in time.
    #[error("{0}")]
    Unreachable(CallError),
    /// The answer is no answer of this API; holds the status line and why.
    #[error("{status}: {cause}")]
    NotAnEnvelope {
        /// The status line.
        status: String,
        /// What is wrong with it.
        cause: String,
    },
    /// The address, a certificate or a header that was given cannot be used.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// The call itself cannot be written as HTTP.
    #[error("not a valid request: {0}")]
    Request(#[from] http::Error),
}

/// A successful answer.
#[derive(Debug)]
pub struct Reply {
    /// HTTP status: 200, 201 for a creation, 202 for accepted work.
    pub status: StatusCode,
    /// All headers.
    pub headers: HeaderMap,
    /// The payload, unparsed.
    pub metadata: Box<RawValue>,
    /// URL of the operation, or empty.
    pub operation: String,
}

impl Reply {
    /// The payload as a type.
    pub fn decode<T: serde::de::DeserializeOwned>(&self) -> Result<T, CenterError> {
        serde_json::from_str(self.metadata.get())
            .map_err(|e| CenterError::NotAnEnvelope { status: self.status.to_string(), cause: e.to_string() })
    }

    fn header(&self, name: header::HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The entity tag, quotes included, as `If-Match` takes it.
    pub fn etag(&self) -> Option<&str> {
        self.header(header::ETAG)
    }

    /// Where the created thing is. Non-ASCII names come as raw bytes (servers.md 1.4).
    pub fn location(&self) -> Option<String> {
        Some(String::from_utf8_lossy(self.headers.get(header::LOCATION)?.as_bytes()).into_owned())
    }
}

/// A center.
#[derive(Debug)]
pub struct Center {
    machine: Machine,
    deadline: Duration,
    headers: HeaderMap,
}

impl Center {
    /// The center on this machine, over its unix socket.
    pub fn unix(path: &Path) -> Self {
        Self::at(Endpoint::unix(path))
    }

    /// A center at `https://host:port`, with a client certificate where one is used.
    pub fn https(url: &str, trust: &Trust, identity: Option<&Identity>) -> Result<Self, EndpointError> {
        let credentials = identity.map(Identity::credentials).transpose()?;
        Ok(Self::at(Endpoint::https(url, trust, credentials)?))
    }

    fn at(endpoint: Endpoint) -> Self {
        let machine = Machine::at(endpoint, Arc::new(Counters::default()));
        // Upstream's long calls are synchronous: creating a cluster answers after many minutes.
        Self { machine, deadline: Duration::from_secs(3600), headers: HeaderMap::new() }
    }

    /// With another time for answers to begin; one hour otherwise.
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// With a header on every call, for example `Authorization`.
    pub fn with_header(mut self, name: header::HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// Where it is.
    pub fn address(&self) -> &str {
        self.machine.endpoint().address()
    }

    /// One call of the API.
    pub async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&serde_json::Value>,
    ) -> Result<Reply, CenterError> {
        self.call_with(method, path, body, &[]).await
    }

    /// One call of the API with further headers, for example `If-Match`.
    pub async fn call_with(
        &self,
        method: Method,
        path: &str,
        body: Option<&serde_json::Value>,
        headers: &[(header::HeaderName, HeaderValue)],
    ) -> Result<Reply, CenterError> {
        let mut request = Request::builder().method(method).uri(path).header(header::CONTENT_TYPE, "application/json");
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let request = request.body(body.map_or_else(empty, |b| full(b.to_string())))?;
        self.reply(self.send(request).await?).await
    }

    /// One call with any request: uploads, and calls of machines, which send no content type.
    pub async fn call_request(&self, request: Request<RequestBody>) -> Result<Reply, CenterError> {
        self.reply(self.send(request).await?).await
    }

    /// A call whose answer is no envelope but a file or a stream. Error statuses are taken apart as of any other call.
    pub async fn download(&self, request: Request<RequestBody>) -> Result<Response<AnswerBody>, CenterError> {
        let response = self.send(request).await?;
        if response.status().is_client_error() || response.status().is_server_error() {
            let status = response.status();
            let unexpected = || CenterError::NotAnEnvelope {
                status: status.to_string(),
                cause: "an error status with a successful envelope".to_owned(),
            };
            return Err(self.reply(response).await.err().unwrap_or_else(unexpected));
        }
        Ok(response)
    }

    /// A stream of server-sent events.
    pub async fn events(&self, path: &str) -> Result<EventStream, CenterError> {
        let request = Request::builder().uri(path).header(header::ACCEPT, "text/event-stream").body(empty())?;
        Ok(EventStream { body: self.download(request).await?.into_body(), lines: BytesMut::new() })
    }

    async fn send(&self, mut request: Request<RequestBody>) -> Result<Response<AnswerBody>, CenterError> {
        for (name, value) in &self.headers {
            request.headers_mut().insert(name.clone(), value.clone());
        }
        self.machine.stream(request, self.deadline).await.map_err(CenterError::Unreachable)
    }

    async fn reply(&self, response: Response<AnswerBody>) -> Result<Reply, CenterError> {
        let (head, body) = response.into_parts();
        let (opened, text) = match read_body(body, BODY_LIMIT).await {
            Ok(body) => (open_envelope(head.status, &body), plain_text(&body)),
            Err(failure) => (Err(failure), None),
        };
        match opened {
            Ok(answer) => Ok(Reply {
                status: head.status,
                headers: head.headers,
                metadata: answer.metadata,
                operation: answer.operation,
            }),
            Err(Failure::Api { code, message }) => Err(match code {
                401 => CenterError::Unauthenticated(message),
                403 => CenterError::Forbidden(message),
                404 => CenterError::NotFound(message),
                409 | 412 => CenterError::Conflict(message),
                code => CenterError::Api { code, message },
            }),
            Err(failure) => {
                let cause = text.unwrap_or_else(|| failure.to_string());
                Err(CenterError::NotAnEnvelope { status: head.status.to_string(), cause })
            }
        }
    }
}

/// An answer that is one line for people, such as that a machine behind the center cannot be reached.
fn plain_text(body: &[u8]) -> Option<String> {
    const LONGEST: usize = 1000;
    let text = std::str::from_utf8(body).ok().filter(|_| body.len() <= LONGEST)?.trim();
    (!text.is_empty() && !text.starts_with(['<', '{', '[']) && !text.contains(char::is_control))
        .then(|| text.to_owned())
}

/// One server-sent event.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Event {
    /// Its id, for `Last-Event-ID`; empty when it has none.
    pub id: String,
    /// Its kind; empty means `message`.
    pub event: String,
    /// Its payload, lines joined by newlines.
    pub data: String,
}

/// Events as they come.
pub struct EventStream {
    body: AnswerBody,
    lines: BytesMut,
}

/// Largest single event, in bytes.
const EVENT_LIMIT: usize = 1 << 20;

impl EventStream {
    /// The next event; `None` when the center ended the stream.
    pub async fn next(&mut self) -> Option<Result<Event, Failure>> {
        let mut event = Event::default();
        let mut data: Option<String> = None;
        loop {
            let line = match self.line().await? {
                Ok(line) => line,
                Err(failure) => return Some(Err(failure)),
            };
            if line.is_empty() {
                if let Some(data) = data {
                    event.data = data;
                    return Some(Ok(event));
                }
                event = Event::default();
                continue;
            }
            let (field, value) = line.split_once(':').unwrap_or((&line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "id" => event.id = value.to_owned(),
                "event" => event.event = value.to_owned(),
                "data" => match &mut data {
                    Some(data) => {
                        data.push('\n');
                        data.push_str(value);
                    }
                    None => data = Some(value.to_owned()),
                },
                _ => {}
            }
            if data.as_ref().is_some_and(|d| d.len() > EVENT_LIMIT) {
                return Some(Err(Failure::TooLarge { limit: EVENT_LIMIT }));
            }
        }
    }

    async fn line(&mut self) -> Option<Result<String, Failure>> {
        let mut searched = 0;
        loop {
            if let Some(end) = self.lines[searched..].iter().position(|b| *b == b'\n') {
                let line: Bytes = self.lines.split_to(searched + end + 1).freeze();
                let line = line[..line.len() - 1].strip_suffix(b"\r").unwrap_or(&line[..line.len() - 1]);
                return Some(Ok(String::from_utf8_lossy(line).into_owned()));
            }
            searched = self.lines.len();
            if searched > EVENT_LIMIT {
                return Some(Err(Failure::TooLarge { limit: EVENT_LIMIT }));
            }
            match self.body.frame().await? {
                Ok(frame) => {
                    if let Ok(data) = frame.into_data() {
                        self.lines.extend_from_slice(&data);
                    }
                }
                Err(error) => return Some(Err(Failure::exchange(&error))),
            }
        }
    }
}
