//! Success answers: the envelope, `Location`, entity tags.

use axum::{
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use muster_api::envelope::Envelope;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::error::ApiError;

/// 200 with this payload.
pub struct Sync<T>(pub T);

impl<T: Serialize> IntoResponse for Sync<T> {
    fn into_response(self) -> Response {
        json(StatusCode::OK, &Envelope::success(self.0))
    }
}

/// 200 with `{}`.
pub struct Empty;

impl IntoResponse for Empty {
    fn into_response(self) -> Response {
        Sync(serde_json::Map::new()).into_response()
    }
}

/// 201 with a `Location`; the body still says 200, which machines rely on.
pub struct Created<T>(pub String, pub T);

impl<T: Serialize> IntoResponse for Created<T> {
    fn into_response(self) -> Response {
        let mut response = json(StatusCode::CREATED, &Envelope::success(self.1));
        // Names go in verbatim, as raw UTF-8 (`servers.md` 1.4).
        if let Ok(value) = HeaderValue::from_bytes(self.0.as_bytes()) {
            response.headers_mut().insert(header::LOCATION, value);
        }
        response
    }
}

/// 202: carried on by the operation at this URL.
pub struct Accepted<T>(pub String, pub T);

impl<T: Serialize> IntoResponse for Accepted<T> {
    fn into_response(self) -> Response {
        let mut response = json(StatusCode::ACCEPTED, &Envelope::started(self.0.clone(), self.1));
        if let Ok(value) = HeaderValue::from_str(&self.0) {
            response.headers_mut().insert(header::LOCATION, value);
        }
        response
    }
}

/// Id of the operation behind an answer of the reference's form, so that a caller can follow what was begun.
pub const OPERATION: HeaderName = HeaderName::from_static("muster-operation");

/// 202 as the reference answers to a refresh: without a type of its content, and only a header names the operation
/// (`updates-and-system.md` 1.3).
pub struct Started(pub String);

impl IntoResponse for Started {
    fn into_response(self) -> Response {
        let mut response = json(StatusCode::ACCEPTED, &Envelope::started(String::new(), ()));
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        if let Ok(value) = HeaderValue::from_str(&self.0) {
            response.headers_mut().insert(OPERATION, value);
        }
        response
    }
}

/// 200 with an entity tag.
pub struct Tagged<T>(pub String, pub T);

impl<T: Serialize> IntoResponse for Tagged<T> {
    fn into_response(self) -> Response {
        let mut response = Sync(self.1).into_response();
        if let Ok(value) = HeaderValue::from_str(&format!("\"{}\"", self.0)) {
            response.headers_mut().insert(header::ETAG, value);
        }
        response
    }
}

fn json<T: Serialize>(status: StatusCode, body: &T) -> Response {
    match serde_json::to_vec(body) {
        Ok(mut bytes) => {
            bytes.push(b'\n');
            (status, [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], bytes).into_response()
        }
        Err(e) => {
            ApiError::from(muster_engine::Error::Internal(format!("cannot write the answer: {e}"))).into_response()
        }
    }
}

/// The entity tag of an object at a generation: opaque to clients.
pub fn etag(kind: &str, id: &str, generation: i64) -> String {
    hex::encode(Sha256::digest(format!("{kind}\n{id}\n{generation}")))
}

/// Refuses when `If-Match` names another state than `current`. Quotes do not matter, absence is no check.
///
/// # Errors
/// 412.
pub fn if_match(headers: &HeaderMap, current: &str) -> Result<(), ApiError> {
    let Some(want) = headers.get(header::IF_MATCH) else { return Ok(()) };
    let want = want.to_str().unwrap_or_default().trim().trim_matches('"');
    if want.is_empty() || want == current { Ok(()) } else { Err(ApiError::precondition(want, current)) }
}
