//! The only mapping from an engine error to status and envelope (`servers.md` 1.3).

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use muster_api::envelope::Envelope;
use muster_engine::Error;
use serde_json::{Value, json};

/// An error answer.
#[derive(Debug)]
pub struct ApiError {
    status: StatusCode,
    text: String,
    /// More of it, for programs.
    detail: Option<Value>,
}

impl ApiError {
    fn new(status: StatusCode, text: impl Into<String>) -> Self {
        Self { status, text: text.into(), detail: None }
    }
}

impl ApiError {
    /// The caller's request cannot be read: `Bad Request: <why>`.
    pub fn bad_request(why: impl std::fmt::Display) -> Self {
        Self::new(StatusCode::BAD_REQUEST, format!("Bad Request: {why}"))
    }

    /// Nothing of this name.
    pub fn not_found(what: impl std::fmt::Display) -> Self {
        Self::new(StatusCode::NOT_FOUND, format!("Not Found: {what}"))
    }

    /// Not trusted.
    pub fn unauthorized() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized")
    }

    /// Known or not, but not allowed.
    pub fn forbidden(why: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, why)
    }

    /// Something else changed the object meanwhile.
    pub fn precondition(want: &str, have: &str) -> Self {
        let text = format!("Precondition Failed: ETag doesn't match: {want} vs {have}; read the object again");
        Self::new(StatusCode::PRECONDITION_FAILED, text)
    }

    /// The body is larger than this route takes.
    pub fn too_large(limit: usize) -> Self {
        let text = format!("Request Entity Too Large: the body may have {limit} bytes");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, text)
    }

    /// The body did not arrive in time.
    pub fn timeout() -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, "Request Timeout: the body did not arrive in time")
    }

    /// A capability that this version does not have.
    pub fn not_offered(what: &str) -> Self {
        Self::new(StatusCode::NOT_IMPLEMENTED, format!("Not Implemented: {what}"))
    }
}

impl From<Error> for ApiError {
    fn from(e: Error) -> Self {
        let status = match &e {
            Error::Invalid(_) | Error::Constraint(_) | Error::NotPermitted(_) => StatusCode::BAD_REQUEST,
            Error::NotFound(_) => StatusCode::NOT_FOUND,
            Error::Refused(..) => StatusCode::CONFLICT,
            Error::NotAuthorized(_) => StatusCode::FORBIDDEN,
            Error::Stale(_) => StatusCode::PRECONDITION_FAILED,
            Error::Machine(_) | Error::Retryable(_) | Error::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        if status.is_server_error() {
            tracing::error!(error = %e, "request failed");
        }
        let detail = match &e {
            Error::Refused(refusal, obstacles) => Some(json!({
                "reason": refusal.number(),
                "from": refusal.from,
                "to": refusal.to,
                "rule": refusal.text(),
                "way_out": refusal.way_out(),
                "obstacles": obstacles,
            })),
            _ => None,
        };
        Self { status, text: e.to_string(), detail }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = Envelope::error(self.status.as_u16(), self.text).with(self.detail);
        let json = serde_json::to_string(&body).unwrap_or_default();
        // As the reference writes errors: safe to paste into HTML.
        let mut escaped = String::with_capacity(json.len() + 16);
        for c in json.chars() {
            match c {
                '<' => escaped.push_str("\\u003c"),
                '>' => escaped.push_str("\\u003e"),
                '&' => escaped.push_str("\\u0026"),
                c => escaped.push(c),
            }
        }
        escaped.push('\n');
        let mut response = (self.status, escaped).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        response
    }
}
