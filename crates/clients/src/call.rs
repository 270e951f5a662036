//! What a call can fail with, and how an answer is taken apart.
//!
//! Sources: servers.md 1.2 (envelope), 7.0 (what is worth trying again).

use std::error::Error as StdError;
use std::io;

use bytes::{Bytes, BytesMut};
use http::{Method, StatusCode};
use http_body::Body;
use http_body_util::BodyExt;
use serde::Deserialize;
use serde_json::value::RawValue;

/// Nesting that is accepted in a document, as deep as `serde_json` reads.
pub const DEPTH_LIMIT: usize = 128;

/// Longest error text that is kept of a peer.
const TEXT_LIMIT: usize = 2000;

/// Any error, boxed.
pub type BoxError = Box<dyn StdError + Send + Sync>;

/// Which call failed, and how.
#[derive(Debug, thiserror::Error)]
#[error("{method} {address}{path}: {failure}")]
pub struct CallError {
    /// Method of the request.
    pub method: Method,
    /// `https://host:port` or `unix:/path`.
    pub address: String,
    /// Path without its query, which may carry a secret such as a registration token.
    pub path: String,
    /// What went wrong.
    #[source]
    pub failure: Failure,
}

impl CallError {
    /// Whether the same call may succeed later without anyone changing anything (servers.md 7.0).
    pub fn retryable(&self) -> bool {
        self.failure.retryable()
    }
}

/// How a call failed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// No connection: name, route, refused.
    #[error("cannot connect: {0}")]
    Connect(io::Error),
    /// The TLS handshake failed for another reason than the peer's certificate.
    #[error("TLS: {0}")]
    Tls(String),
    /// The peer's certificate is not the trusted one, or not valid now.
    #[error("certificate not accepted: {0}")]
    Certificate(String),
    /// No answer in time.
    #[error("no answer in time")]
    Timeout,
    /// The peer closed the connection before its answer was complete.
    #[error("connection closed before the answer was complete: {0}")]
    Closed(String),
    /// An HTTP error without an envelope.
    #[error("HTTP status {0}")]
    Http(StatusCode),
    /// The peer's own error.
    #[error("{message} ({code})")]
    Api {
        /// `error_code` of the envelope, or the HTTP status.
        code: u16,
        /// The peer's text, shortened to 2000 characters, control characters replaced.
        message: String,
    },
    /// The answer is not what the protocol says: no HTTP, no JSON, no envelope, or another shape. The text may quote the
    /// peer and is shortened as [`Failure::Api`]'s.
    #[error("not a valid answer: {0}")]
    NotJson(String),
    /// The answer is larger than allowed.
    #[error("answer is larger than {limit} bytes")]
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// The answer is nested deeper than [`DEPTH_LIMIT`].
    #[error("answer is nested deeper than {DEPTH_LIMIT} levels")]
    Depth,
}

impl Failure {
    /// From opening a socket.
    pub fn connect(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::TimedOut { Self::Timeout } else { Self::Connect(error) }
    }

    /// From a TLS handshake.
    pub fn handshake(error: io::Error) -> Self {
        match error.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>()) {
            Some(rustls::Error::InvalidCertificate(cause)) => Self::Certificate(certificate_text(cause)),
            Some(cause) => Self::Tls(cause.to_string()),
            None => Self::Closed(error.to_string()),
        }
    }

    /// From sending a request or reading an answer.
    pub fn exchange(error: &(dyn StdError + 'static)) -> Self {
        let mut at = Some(error);
        while let Some(cause) = at {
            if let Some(cause) = cause.downcast_ref::<rustls::Error>() {
                return Self::Tls(cause.to_string());
            }
            if let Some(cause) = cause.downcast_ref::<hyper::Error>()
                && cause.is_parse()
            {
                return Self::NotJson(format!("no HTTP: {cause}"));
            }
            at = match cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
                Some(inner) => Some(inner),
                None => cause.source(),
            };
        }
        Self::Closed(error.to_string())
    }

    /// Whether the same call may succeed later (servers.md 7.0): not reached, cut off, too slow, or the peer says that
    /// it has no leader or lost a peer of its own.
    pub fn retryable(&self) -> bool {
        match self {
            Self::Connect(_) | Self::Timeout | Self::Closed(_) => true,
            Self::Api { message, .. } => {
                let has = |text: &str| message.contains(text);
                has("no available cowsql leader server found")
                    || has("context deadline exceeded")
                    || has("Unable to connect to:")
                        && ["connection refused", "context cancelled", "context canceled"].iter().any(|t| has(t))
            }
            _ => false,
        }
    }
}

fn certificate_text(cause: &rustls::CertificateError) -> String {
    match cause {
        rustls::CertificateError::Other(other) => other.0.to_string(),
        rustls::CertificateError::NotValidYet => "not valid yet".to_owned(),
        rustls::CertificateError::Expired => "expired".to_owned(),
        cause => cause.to_string(),
    }
}

/// An answer of a peer: status, and the payload of its envelope.
#[derive(Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: StatusCode,
    /// Payload of the envelope, unparsed; `null` when there is none.
    pub metadata: Box<RawValue>,
    /// URL of the background operation; empty when there is none.
    pub operation: String,
}

impl Answer {
    /// The payload as a type.
    pub fn decode<T: serde::de::DeserializeOwned>(&self) -> Result<T, Failure> {
        serde_json::from_str(self.metadata.get()).map_err(|e| Failure::NotJson(quoted(&e.to_string())))
    }
}

/// The seven keys of servers.md 1.2, as far as a client needs them.
#[derive(Deserialize)]
struct Envelope {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    operation: Option<String>,
    #[serde(default)]
    error_code: i64,
    #[serde(default)]
    error: Option<String>,
    #[serde(default)]
    metadata: Option<Box<RawValue>>,
}

/// Takes an answer apart: the payload of a success, the peer's error, or why it is neither.
pub fn open_envelope(status: StatusCode, body: &[u8]) -> Result<Answer, Failure> {
    if deeper_than(body, DEPTH_LIMIT) {
        return Err(Failure::Depth);
    }
    let envelope: Envelope = match serde_json::from_slice(body) {
        Ok(envelope) => envelope,
        Err(_) if status.as_u16() >= 400 => return Err(Failure::Http(status)),
        Err(cause) => return Err(Failure::NotJson(quoted(&cause.to_string()))),
    };
    match envelope.kind.as_str() {
        "sync" | "async" => Ok(Answer {
            status,
            metadata: envelope.metadata.unwrap_or_else(|| RawValue::NULL.to_owned()),
            operation: envelope.operation.unwrap_or_default(),
        }),
        "error" => {
            let code = u16::try_from(envelope.error_code).ok().filter(|code| *code != 0);
            let message = quoted(&envelope.error.unwrap_or_default());
            Err(Failure::Api { code: code.unwrap_or(status.as_u16()), message })
        }
        other => {
            Err(Failure::NotJson(format!("unknown kind of answer {:?}", other.chars().take(40).collect::<String>())))
        }
    }
}

/// What a peer says, fit for logs, terminals and both databases: no NUL, nothing that moves a cursor, and not too long.
fn quoted(text: &str) -> String {
    let fit = |c: char| if c.is_control() && c != '\n' { char::REPLACEMENT_CHARACTER } else { c };
    text.chars().take(TEXT_LIMIT).map(fit).collect()
}

/// Whether a JSON text nests deeper than `limit`; skipped payloads are not counted by the parser itself.
pub fn deeper_than(json: &[u8], limit: usize) -> bool {
    let (mut depth, mut text, mut escaped) = (0usize, false, false);
    for byte in json {
        match (text, byte) {
            (true, _) if escaped => escaped = false,
            (true, b'\\') => escaped = true,
            (_, b'"') => text = !text,
            (true, _) => {}
            (false, b'[' | b'{') => {
                depth += 1;
                if depth > limit {
                    return true;
                }
            }
            (false, b']' | b'}') => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

/// Reads a whole body, at most `limit` bytes of it.
pub async fn read_body<B>(mut body: B, limit: usize) -> Result<Bytes, Failure>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: StdError + 'static,
{
    if body.size_hint().lower() > limit as u64 {
        return Err(Failure::TooLarge { limit });
    }
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|e| Failure::exchange(&e))?;
        if let Ok(data) = frame.into_data() {
            if all.len() + data.len() > limit {
                return Err(Failure::TooLarge { limit });
            }
            all.extend_from_slice(&data);
        }
    }
    Ok(all.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_success_error_and_nonsense_apart() {
        let ok = |text: &str| open_envelope(StatusCode::OK, text.as_bytes());
        let answer = ok(r#"{"type":"async","operation":"/1.0/operations/7","metadata":{"a":[1]}}"#).unwrap();
        assert_eq!((answer.metadata.get(), answer.operation.as_str()), (r#"{"a":[1]}"#, "/1.0/operations/7"));
        assert_eq!(ok(r#"{"type":"sync","metadata":null}"#).unwrap().metadata.get(), "null");
        let error = ok(r#"{"type":"error","error_code":404,"error":"not found"}"#).unwrap_err();
        assert!(matches!(error, Failure::Api { code: 404, message } if message == "not found"));
        assert!(matches!(ok("[]"), Err(Failure::NotJson(_))));
        assert!(matches!(ok(r#"{"type":"other"}"#), Err(Failure::NotJson(_))));
        let plain = open_envelope(StatusCode::NOT_FOUND, b"404 page not found");
        assert!(matches!(plain, Err(Failure::Http(StatusCode::NOT_FOUND))));
    }

    #[test]
    fn what_a_peer_says_is_fit_to_be_shown() {
        let failure = |text: &str| open_envelope(StatusCode::OK, text.as_bytes()).unwrap_err().to_string();
        let shown = failure(r#"{"type":"error","error_code":400,"error":"a\u001b[2Jb\u0000\nc"}"#);
        assert_eq!(shown, "a\u{fffd}[2Jb\u{fffd}\nc (400)");
        let long = "x".repeat(100_000);
        assert!(failure(&format!(r#"{{"type":"error","error":"{long}"}}"#)).len() < 2100);
        assert!(failure(&format!(r#"{{"type":{{"{long}":1}}}}"#)).len() < 2100);
        let answer =
            open_envelope(StatusCode::OK, format!(r#"{{"type":"sync","metadata":"{long}"}}"#).as_bytes()).unwrap();
        assert!(answer.decode::<Vec<String>>().unwrap_err().to_string().len() < 2100);
    }

    #[test]
    fn counts_nesting_outside_of_texts() {
        let nested = |n: usize| format!("{{\"type\":\"sync\",\"metadata\":{}{}}}", "[".repeat(n), "]".repeat(n));
        assert!(open_envelope(StatusCode::OK, nested(DEPTH_LIMIT - 1).as_bytes()).is_ok());
        assert!(matches!(open_envelope(StatusCode::OK, nested(DEPTH_LIMIT).as_bytes()), Err(Failure::Depth)));
        assert!(!deeper_than(br#"["[[[\"[[[","\\","{{{"]"#, 1));
        assert!(deeper_than(br#"["\\",["x"]]"#, 1));
    }

    #[test]
    fn knows_what_is_worth_another_try() {
        let api = |message: &str| Failure::Api { code: 500, message: message.to_owned() };
        assert!(api("Failed: no available cowsql leader server found").retryable());
        assert!(api("Unable to connect to: 10.0.0.1:8443 ([dial tcp: connection refused])").retryable());
        assert!(!api("Unable to connect to: 10.0.0.1:8443 (no route)").retryable());
        assert!(!api("not authorized").retryable());
        assert!(Failure::Timeout.retryable() && !Failure::Certificate(String::new()).retryable());
    }
}
