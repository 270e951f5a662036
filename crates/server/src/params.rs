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

    /// A boolean as the reference reads it; false when it is not given.
    ///
    /// # Errors
    /// 400 that names the parameter.
    pub fn flag(&self, key: &str) -> Result<bool, ApiError> {
        match self.get(key) {
            "" | "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
            text => Err(ApiError::bad_request(format!("{key} {text:?} must be true or false"))),
        }
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

/// What the items of a list are told apart by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// A name.
    Name,
    /// A UUID.
    Uuid,
    /// A number.
    Number,
}

/// A list that is read page by page: `limit` items behind `cursor`, the key of the last item seen. That one need not exist
/// any more. The item's URL, as lists give it, is taken as well.
#[derive(Debug, Clone, Copy)]
pub struct Listing {
    /// Path of the list.
    pub path: &'static str,
    /// What a cursor is.
    pub key: Key,
    /// The limit when none is given, and the largest one.
    pub limits: (i64, i64),
}

/// No limit unless one is given: the whole list.
pub const WHOLE: (i64, i64) = (i64::MAX, i64::MAX);

/// The part of a list that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Key of the last item seen; none from the beginning.
    pub after: Option<String>,
    /// At most so many items.
    pub limit: i64,
}

impl Params {
    /// The page that is asked for.
    ///
    /// # Errors
    /// 400 for a limit out of bounds, and for a cursor that is none of this list.
    pub fn page(&self, list: &Listing) -> Result<Page, ApiError> {
        let limit = self.number("limit", list.limits.0, list.limits.1)?;
        let given = self.get("cursor");
        let what = match list.key {
            Key::Name => "name",
            Key::Uuid => "UUID",
            Key::Number => "number",
        };
        let refused = || {
            let path = list.path;
            ApiError::bad_request(format!(
                "cursor {given:?} is of no item of {path}: give the {what} of the last one seen"
            ))
        };
        let text = match given.strip_prefix(list.path).and_then(|rest| rest.strip_prefix('/')) {
            Some(key) => key,
            None if given.starts_with("/1.0/") => return Err(refused()),
            None => given,
        };
        let after = match list.key {
            _ if text.is_empty() => None,
            Key::Name if text.contains('\0') => return Err(refused()),
            Key::Name => Some(text.to_owned()),
            Key::Uuid => Some(Uuid::parse_str(text).map_err(|_| refused())?.to_string()),
            Key::Number => match text.parse::<i64>() {
                Ok(number) if number >= 0 => Some(number.to_string()),
                _ => return Err(refused()),
            },
        };
        Ok(Page { after, limit })
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

#[cfg(test)]
mod tests {
    use super::*;

    fn page(query: &str, key: Key) -> Result<Page, String> {
        let list = Listing { path: "/1.0/things", key, limits: (10, 100) };
        let params = Params(form_urlencoded::parse(query.as_bytes()).into_owned().collect());
        params.page(&list).map_err(|e| format!("{e:?}"))
    }

    #[test]
    fn a_page_is_a_limit_and_the_last_key_seen() {
        const ID: &str = "01890a5d-ac96-774b-bcce-b302099a8057";
        let at = |after: &str, limit| Ok(Page { after: Some(after.into()), limit });
        assert_eq!(page("", Key::Name), Ok(Page { after: None, limit: 10 }));
        assert_eq!(page("cursor=&limit=0", Key::Name), Ok(Page { after: None, limit: 0 }));
        assert_eq!(page("cursor=a&limit=100", Key::Name), at("a", 100));
        assert_eq!(page("cursor=/1.0/things/a", Key::Name), at("a", 10));
        assert_eq!(page(&format!("cursor=/1.0/things/{ID}"), Key::Uuid), at(ID, 10));
        assert_eq!(page(&format!("cursor={}", ID.to_uppercase()), Key::Uuid), at(ID, 10));
        assert_eq!(page("cursor=7", Key::Number), at("7", 10));
    }

    #[test]
    fn what_is_no_page_is_refused_by_name() {
        for query in ["limit=-1", "limit=101", "limit=x", "limit=99999999999999999999"] {
            assert!(page(query, Key::Name).unwrap_err().contains("limit"), "{query}");
        }
        for (query, key) in [
            ("cursor=/1.0/others/a", Key::Name),
            ("cursor=a%00b", Key::Name),
            ("cursor=stable", Key::Uuid),
            ("cursor=7", Key::Uuid),
            ("cursor=/1.0/thingsx/01890a5d-ac96-774b-bcce-b302099a8057", Key::Uuid),
            ("cursor=stable", Key::Number),
            ("cursor=-1", Key::Number),
        ] {
            let error = page(query, key).unwrap_err();
            assert!(error.contains("cursor") && error.contains("/1.0/things"), "{query}: {error}");
        }
    }
}
