//! The envelope of every JSON answer: seven keys, always present (`servers.md` 1.2).

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An answer. A success carries `status_code` 200 in the body even where HTTP says 201: machines look at the body only.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Envelope<T> {
    /// `sync`, `async` or `error`.
    #[serde(rename = "type")]
    pub kind: EnvelopeKind,
    /// `Success`, `Started`, or empty for an error.
    pub status: String,
    /// 200 for a success, else 0.
    pub status_code: u16,
    /// The operation that carries on, or empty.
    pub operation: String,
    /// The HTTP status of an error, else 0.
    pub error_code: u16,
    /// The error's text, else empty.
    pub error: String,
    /// The payload.
    pub metadata: T,
}

/// Kinds of answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum EnvelopeKind {
    /// Done.
    Sync,
    /// Under way as an operation.
    Async,
    /// Refused or failed.
    Error,
}

impl<T> Envelope<T> {
    /// The same with another payload.
    pub fn with<U>(self, metadata: U) -> Envelope<U> {
        Envelope {
            kind: self.kind,
            status: self.status,
            status_code: self.status_code,
            operation: self.operation,
            error_code: self.error_code,
            error: self.error,
            metadata,
        }
    }

    /// A success.
    pub fn success(metadata: T) -> Self {
        Self {
            kind: EnvelopeKind::Sync,
            status: "Success".into(),
            status_code: 200,
            operation: String::new(),
            error_code: 0,
            error: String::new(),
            metadata,
        }
    }

    /// Accepted, and carried on by `operation` (may be empty).
    pub fn started(operation: String, metadata: T) -> Self {
        Self {
            kind: EnvelopeKind::Async,
            status: "Started".into(),
            status_code: 0,
            operation,
            error_code: 0,
            error: String::new(),
            metadata,
        }
    }
}

impl Envelope<()> {
    /// An error; `code` is the HTTP status.
    pub fn error(code: u16, text: String) -> Self {
        Self {
            kind: EnvelopeKind::Error,
            status: String::new(),
            status_code: 0,
            operation: String::new(),
            error_code: code,
            error: text,
            metadata: (),
        }
    }
}
