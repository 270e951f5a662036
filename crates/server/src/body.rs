//! Reading request bodies within limits of size and time. How they are decoded is told in [`muster_api::body`]; nothing
//! looks at `Content-Type` (`servers.md` 1.4).

use crate::error::ApiError;
use axum::extract::{FromRequest, Request};
use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use muster_api::body::{self, BodyError};
use serde::de::DeserializeOwned;
use std::time::Duration;

/// The largest JSON body, in bytes.
pub const LIMIT: usize = 4 << 20;
const PATIENCE: Duration = Duration::from_secs(30);

/// A lenient body.
pub struct Lenient<T>(pub T);

impl<T: DeserializeOwned, S: Send + std::marker::Sync> FromRequest<S> for Lenient<T> {
    type Rejection = ApiError;
    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        lenient(&read(request).await?).map(Self)
    }
}

/// A strict body.
pub struct Strict<T>(pub T);

impl<T: DeserializeOwned, S: Send + std::marker::Sync> FromRequest<S> for Strict<T> {
    type Rejection = ApiError;
    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        Ok(Self(body::strict(&read(request).await?)?))
    }
}

/// The whole body, within size and time.
///
/// # Errors
/// 413, 408, or 400 when the connection broke.
pub async fn read(request: Request) -> Result<Bytes, ApiError> {
    let body = Limited::new(request.into_body(), LIMIT);
    match tokio::time::timeout(PATIENCE, body.collect()).await {
        Err(_) => Err(ApiError::timeout()),
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(e)) if e.is::<http_body_util::LengthLimitError>() => Err(ApiError::too_large(LIMIT)),
        Ok(Err(e)) => Err(ApiError::bad_request(format!("the body broke off: {e}"))),
    }
}

/// Decodes leniently.
///
/// # Errors
/// 400 that names the field.
pub fn lenient<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    Ok(body::lenient(bytes)?)
}

impl From<BodyError> for ApiError {
    fn from(e: BodyError) -> Self {
        Self::bad_request(e)
    }
}
