//! JSON bodies as the reference reads them (`servers.md` 1.4, `updates-and-system.md` 1.2).
//!
//! Lenient bodies: keys in any case, unknown keys and trailing data ignored, `null` for nothing. Strict ones refuse
//! unknown keys, if their type does. How large a body may be is for whoever reads it to limit.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// Longest text about a member, in characters: it may quote what was sent.
const TEXT_LIMIT: usize = 2000;

/// Why a body cannot be read; the caller's fault, always.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// Nothing was sent.
    #[error("EOF: a JSON body is needed")]
    Empty,
    /// It ends in the middle.
    #[error("unexpected EOF: {0}")]
    Cut(serde_json::Error),
    /// It is something else, or nested too deep.
    #[error("no JSON: {0}")]
    NotJson(serde_json::Error),
    /// A list, a text, a number.
    #[error("the body must be a JSON object")]
    NotAnObject,
    /// A character that neither database can keep.
    #[error("a text has a NUL character, which no database here can keep")]
    Nul,
    /// A member does not fit its type; the text names it.
    #[error("{0}")]
    Member(String),
}

/// Decodes leniently.
///
/// # Errors
/// The caller's fault, see [`BodyError`].
pub fn lenient<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, BodyError> {
    let value = match first_value(bytes)? {
        Value::Null => Value::Object(Map::new()),
        value => lower_keys(value, 2),
    };
    typed(value)
}

/// Decodes strictly.
///
/// # Errors
/// The caller's fault, see [`BodyError`].
pub fn strict<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, BodyError> {
    typed(first_value(bytes)?)
}

/// The first JSON value; what follows is ignored. Depth is limited by the parser (128).
fn first_value(bytes: &[u8]) -> Result<Value, BodyError> {
    let mut values = serde_json::Deserializer::from_slice(bytes).into_iter::<Value>();
    match values.next() {
        None => Err(BodyError::Empty),
        Some(Ok(value)) => Ok(value),
        Some(Err(e)) if e.is_eof() => Err(BodyError::Cut(e)),
        Some(Err(e)) => Err(BodyError::NotJson(e)),
    }
}

fn typed<T: DeserializeOwned>(value: Value) -> Result<T, BodyError> {
    if !value.is_object() {
        return Err(BodyError::NotAnObject);
    }
    if has_nul(&value) {
        return Err(BodyError::Nul);
    }
    serde_path_to_error::deserialize(value).map_err(|e| {
        let path = e.path().to_string();
        let text = if path == "." { e.inner().to_string() } else { format!("{path}: {}", e.inner()) };
        let fit = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
        BodyError::Member(text.chars().take(TEXT_LIMIT).map(fit).collect())
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
    use crate::provisioning::token::TokenPut;

    fn token(text: &str) -> Result<TokenPut, BodyError> {
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
        assert!(error.to_string().starts_with("uses_remaining: "), "{error}");
    }

    #[test]
    fn an_error_quotes_a_little_of_what_was_sent() {
        let long = format!(r#"{{"uses_remaining": "\u001b{}"}}"#, "9".repeat(100_000));
        let error = token(&long).unwrap_err().to_string();
        assert!(error.chars().count() <= TEXT_LIMIT && !error.contains('\u{1b}'), "{error}");
    }

    #[test]
    fn a_hundred_thousand_brackets_are_an_error_not_a_crash() {
        assert!(matches!(token(&"[".repeat(100_000)), Err(BodyError::NotJson(_))));
    }
}
