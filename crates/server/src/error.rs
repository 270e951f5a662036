//! The only mapping from an engine error to status and envelope (`servers.md` 1.3).

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use muster_api::envelope::Envelope;
use muster_engine::Error;

/// An error answer.
#[derive(Debug)]
pub struct ApiError {
    status: StatusCode,
    text: String,
}

impl ApiError {
    /// The caller's request cannot be read: `Bad Request: <why>`.
    pub fn bad_request(why: impl std::fmt::Display) -> Self {
        Self { status: StatusCode::BAD_REQUEST, text: format!("Bad Request: {why}") }
    }

    /// Not trusted.
    pub fn unauthorized() -> Self {
        Self { status: StatusCode::UNAUTHORIZED, text: "unauthorized".into() }
    }

    /// Known or not, but not allowed.
    pub fn forbidden(why: impl Into<String>) -> Self {
        Self { status: StatusCode::FORBIDDEN, text: why.into() }
    }

    /// Something else changed the object meanwhile.
    pub fn precondition(want: &str, have: &str) -> Self {
        Self {
            status: StatusCode::PRECONDITION_FAILED,
            text: format!("Precondition Failed: ETag doesn't match: {want} vs {have}; read the object again"),
        }
    }

    /// The body is larger than this route takes.
    pub fn too_large(limit: usize) -> Self {
        Self {
            status: StatusCode::PAYLOAD_TOO_LARGE,
            text: format!("Request Entity Too Large: the body may have {limit} bytes"),
        }
    }

    /// The body did not arrive in time.
    pub fn timeout() -> Self {
        Self { status: StatusCode::REQUEST_TIMEOUT, text: "Request Timeout: the body did not arrive in time".into() }
    }

    /// A capability that this version does not have.
    pub fn not_offered(what: &str) -> Self {
        Self { status: StatusCode::NOT_IMPLEMENTED, text: format!("Not Implemented: {what}") }
    }
}

impl From<Error> for ApiError {
    fn from(e: Error) -> Self {
        let status = match &e {
            Error::Invalid(_) | Error::Constraint(_) | Error::NotPermitted(_) => StatusCode::BAD_REQUEST,
            Error::NotFound(_) => StatusCode::NOT_FOUND,
            Error::NotAuthorized(_) => StatusCode::FORBIDDEN,
            Error::Stale(_) => StatusCode::PRECONDITION_FAILED,
            Error::Machine(_) | Error::Retryable(_) | Error::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        if status.is_server_error() {
            tracing::error!(error = %e, "request failed");
        }
        Self { status, text: e.to_string() }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = Envelope::error(self.status.as_u16(), self.text);
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
