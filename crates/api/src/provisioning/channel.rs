//! Update channels (`updates-and-system.md` 16).

use crate::lenient::{null_as_default, present};
use crate::time::Time;
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use utoipa::ToSchema;
use uuid::Uuid;

/// A named stream of updates that servers and tokens follow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Channel {
    /// What it is for.
    pub description: String,
    /// Unique name.
    pub name: String,
    /// When it was changed last.
    #[schema(value_type = String, format = DateTime)]
    pub last_updated: Time,
    /// How it gets updates by itself; `null` when it does not.
    pub follow: Option<Follow>,
    /// Why nothing enters it; `null` when it is not frozen.
    pub frozen: Option<Mark>,
    /// What it will get by itself, the next one first.
    pub awaits: Vec<Awaited>,
}

/// A channel gets the updates of another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Follow {
    /// The channel that had them before.
    pub channel: String,
    /// How long after they came into that one, in seconds.
    pub after: i64,
    /// From this severity on without the delay; empty: never.
    pub at_once: String,
    /// The same in words.
    pub rule: String,
}

/// Who did something, when and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Mark {
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Time,
    /// Who.
    pub by: String,
    /// Why.
    pub reason: String,
}

/// An update that will enter a channel by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Awaited {
    /// Which update.
    pub uuid: Uuid,
    /// Its version.
    pub version: String,
    /// When it is due, or since when.
    #[schema(value_type = String, format = DateTime)]
    pub due: Time,
    /// What it waits for.
    pub reason: String,
}

/// Body of `POST /channels`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct ChannelPost {
    /// Unique name, not empty.
    #[serde(deserialize_with = "null_as_default")]
    pub name: String,
    /// What it is for.
    #[serde(deserialize_with = "null_as_default")]
    pub description: String,
    /// How it gets updates by itself.
    pub follow: Option<FollowPut>,
}

/// Body of `PUT /channels/{name}`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct ChannelPut {
    /// What it is for.
    #[serde(deserialize_with = "null_as_default")]
    pub description: String,
    /// How it gets updates by itself; `null`: not at all. Where it is absent, it stays as it is.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<FollowPut>)]
    pub follow: Option<Option<FollowPut>>,
}

/// How a channel is to get updates by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(untagged)]
pub enum FollowPut {
    /// In words: `"stable" follows "testing" after 7 days, severity critical at once`.
    Rule(String),
    /// Member by member.
    Members(FollowMembers),
}

/// As [`Follow`], when it is set.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct FollowMembers {
    /// The channel that had them before.
    #[serde(deserialize_with = "null_as_default")]
    pub channel: String,
    /// How long after they came into that one, in seconds.
    #[serde(deserialize_with = "null_as_default")]
    pub after: i64,
    /// From this severity on without the delay; empty: never.
    #[serde(deserialize_with = "null_as_default")]
    pub at_once: String,
}

impl<'de> Deserialize<'de> for FollowPut {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        match serde_json::Value::deserialize(d)? {
            serde_json::Value::String(text) => Ok(Self::Rule(text)),
            members @ serde_json::Value::Object(_) => {
                FollowMembers::deserialize(members).map(Self::Members).map_err(D::Error::custom)
            }
            _ => Err(D::Error::custom("expected an object with the key \"channel\", or a rule in words")),
        }
    }
}

/// Body of the calls that want to know why.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct ReasonPost {
    /// Why.
    #[serde(deserialize_with = "null_as_default")]
    pub reason: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(text: &str) -> Result<ChannelPut, String> {
        crate::body::lenient(text.as_bytes()).map_err(|error| error.to_string())
    }

    #[test]
    fn what_a_client_does_not_know_it_does_not_change() {
        assert_eq!(put(r#"{"description": "d"}"#).unwrap().follow, None);
        assert_eq!(put(r#"{"follow": null}"#).unwrap().follow, Some(None));
        let members = FollowMembers { channel: "testing".into(), after: 60, at_once: String::new() };
        let body = r#"{"follow": {"Channel": "testing", "after": 60, "at_once": null, "rule": "ignored"}}"#;
        assert_eq!(put(body).unwrap().follow, Some(Some(FollowPut::Members(members))));
        assert_eq!(put(r#"{"follow": "x"}"#).unwrap().follow, Some(Some(FollowPut::Rule("x".into()))));
    }

    #[test]
    fn what_is_no_rule_is_named() {
        for body in [r#"{"follow": 7}"#, r#"{"follow": ["testing"]}"#, r#"{"follow": {"channel": {}}}"#] {
            let error = put(body).unwrap_err();
            assert!(error.starts_with("follow: "), "{error}");
        }
    }
}
