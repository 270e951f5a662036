//! Query parameters and path values, read as the reference reads them (`servers.md` 1.4).

use crate::error::ApiError;
use axum::{
    extract::{FromRequestParts, RawPathParams},
    http::request::Parts,
};
use std::convert::Infallible;
use uuid::Uuid;

/// The query string, decoded. Of repeated values the first counts.
#[derive(Debug, Clone, Default)]
pub struct Params(Vec<(String, String)>);

impl<S: Send + Sync> FromRequestParts<S> for Params {
    type Rejection = Infallible;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let query = parts.uri.query().unwrap_or_default();
        Ok(Self(form_urlencoded::parse(query.as_bytes()).into_owned().collect()))
    }
}

impl Params {
    /// The first value, or empty.
    pub fn get(&self, key: &str) -> &str {
        self.0.iter().find(|(k, _)| k == key).map_or("", |(_, v)| v.as_str())
    }

    /// Whether objects are wanted instead of URLs.
    pub fn recursion(&self) -> bool {
        self.get("recursion").parse::<i64>() == Ok(1)
    }

    /// A number within bounds, or the default.
    ///
    /// # Errors
    /// 400 that names the parameter.
    pub fn number(&self, key: &str, default: i64, max: i64) -> Result<i64, ApiError> {
        match self.get(key) {
            "" => Ok(default),
            text => match text.parse::<i64>() {
                Ok(n) if (0..=max).contains(&n) => Ok(n),
                _ => Err(ApiError::bad_request(format!("{key} {text:?} must be a number from 0 to {max}"))),
            },
        }
    }
}

/// A UUID in the path, in any of the four spellings.
#[derive(Debug, Clone, Copy)]
pub struct PathUuid(pub Uuid);

impl<S: Send + Sync> FromRequestParts<S> for PathUuid {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        uuid(&param(parts, state, "uuid").await?).map(Self)
    }
}

/// The `{name}` of the path, decoded.
#[derive(Debug, Clone)]
pub struct PathName(pub String);

impl<S: Send + Sync> FromRequestParts<S> for PathName {
    type Rejection = ApiError;
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        param(parts, state, "name").await.map(Self)
    }
}

async fn param<S: Send + Sync>(parts: &mut Parts, state: &S, key: &str) -> Result<String, ApiError> {
    let params = RawPathParams::from_request_parts(parts, state).await.map_err(ApiError::bad_request)?;
    let found = params.iter().find(|(k, _)| *k == key).map(|(_, v)| v.to_owned());
    match found {
        Some(text) if text.contains('\0') => Err(ApiError::bad_request(format!("{key} has a NUL character"))),
        Some(text) => Ok(text),
        None => Err(ApiError::bad_request(format!("the path has no {key}"))),
    }
}

/// Parses a UUID.
///
/// # Errors
/// 400.
pub fn uuid(text: &str) -> Result<Uuid, ApiError> {
    Uuid::parse_str(text).map_err(|_| match text.len() {
        32 | 36 | 38 | 45 => ApiError::bad_request(format!("invalid UUID format: {text:?}")),
        n => ApiError::bad_request(format!("invalid UUID length: {n}")),
    })
}
