//! Reading request bodies as the reference does, within limits (`servers.md` 1.4, `updates-and-system.md` 1.2).
//!
//! Lenient bodies: keys in any case, unknown keys and trailing data ignored, `null` for nothing. Strict ones refuse
//! unknown keys. Neither looks at `Content-Type`.

use crate::error::ApiError;
use axum::extract::{FromRequest, Request};
use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use serde::de::DeserializeOwned;
use serde_json::Value;
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
        typed(first_value(&read(request).await?)?).map(Self)
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
    let value = match first_value(bytes)? {
        Value::Null => Value::Object(serde_json::Map::new()),
        value => lower_keys(value, 2),
    };
    typed(value)
}

/// The first JSON value; what follows is ignored. Depth is limited by the parser (128).
fn first_value(bytes: &[u8]) -> Result<Value, ApiError> {
    let mut values = serde_json::Deserializer::from_slice(bytes).into_iter::<Value>();
    match values.next() {
        None => Err(ApiError::bad_request("EOF: a JSON body is needed")),
        Some(Ok(value)) => Ok(value),
        Some(Err(e)) if e.is_eof() => Err(ApiError::bad_request(format!("unexpected EOF: {e}"))),
        Some(Err(e)) => Err(ApiError::bad_request(format!("no JSON: {e}"))),
    }
}

fn typed<T: DeserializeOwned>(value: Value) -> Result<T, ApiError> {
    if !value.is_object() {
        return Err(ApiError::bad_request("the body must be a JSON object"));
    }
    if has_nul(&value) {
        return Err(ApiError::bad_request("a text has a NUL character, which no database here can keep"));
    }
    serde_path_to_error::deserialize(value).map_err(|e| {
        let path = e.path().to_string();
        ApiError::bad_request(if path == "." { e.inner().to_string() } else { format!("{path}: {}", e.inner()) })
    })
}

fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(has_nul),
        Value::Object(map) => map.iter().any(|(key, item)| key.contains('\0') || has_nul(item)),
        _ => false,
    }
}

/// Keys of ours are lower case; those of free maps (`properties`) are the user's.
fn lower_keys(value: Value, depth: usize) -> Value {
    match value {
        Value::Object(map) if depth > 0 => map
            .into_iter()
            .map(|(key, value)| {
                let key = if key.bytes().any(|b| b.is_ascii_uppercase()) { key.to_ascii_lowercase() } else { key };
                let free = key == "properties" || key == "config" || key == "state";
                (key, if free { value } else { lower_keys(value, depth - 1) })
            })
            .collect(),
        value => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use muster_api::provisioning::token::TokenPut;

    fn token(text: &str) -> Result<TokenPut, ApiError> {
        lenient(text.as_bytes())
    }

    #[test]
    fn case_tail_null_and_unknown_keys_are_forgiven() {
        assert_eq!(token(r#"{"Uses_Remaining": 2} tail"#).unwrap().uses_remaining, 2);
        assert_eq!(token("null").unwrap().uses_remaining, 0);
        assert_eq!(token(r#"{"description": null, "colour": 1}"#).unwrap().description, "");
    }

    #[test]
    fn wrong_types_name_the_field() {
        let error = token(r#"{"uses_remaining": "1"}"#).unwrap_err();
        assert!(format!("{error:?}").contains("uses_remaining"), "{error:?}");
    }

    #[test]
    fn a_hundred_thousand_brackets_are_an_error_not_a_crash() {
        let error = token(&"[".repeat(100_000)).unwrap_err();
        assert!(format!("{error:?}").contains("Bad Request"), "{error:?}");
    }
}
