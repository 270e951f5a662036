//! Token seeds (`servers.md` 4, 12.2-12.3): what a machine is told before its first boot.
//!
//! Bodies are strict, unknown keys are refused at any depth; what is missing or `null` has its zero
//! value. A list that was never set is `null` where the reference shows it, and absent elsewhere.
//! The documents are otherwise not judged here: the machine does that.

/// JSON for types with `#[serde(remote = "Self")]`, from an object only: derived code alone would
/// also take a list of the fields' values in order.
macro_rules! objects {
    ($($name:ident),+ $(,)?) => {$(
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                Self::serialize(self, serializer)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Object;

                impl<'de> serde::de::Visitor<'de> for Object {
                    type Value = $name;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str("an object")
                    }

                    fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<$name, A::Error> {
                        $name::deserialize(serde::de::value::MapAccessDeserializer::new(map))
                    }
                }

                deserializer.deserialize_map(Object)
            }
        }
    )+};
}

pub mod install;
pub mod network;
pub mod preseed;
#[cfg(test)]
mod tests;

pub use install::{SeedApplication, SeedApplications, SeedInstall, SeedInstallSecurity, SeedInstallTarget};
pub use network::SeedNetwork;
pub use preseed::{SeedMigrationManager, SeedOperationsCenter};

use crate::{lenient::null_as_default, time::Time};
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;
use uuid::Uuid;

/// The seed documents that a user may set.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default, remote = "Self")]
pub struct TokenSeedConfigs {
    /// What the machine runs.
    #[serde(deserialize_with = "null_as_default")]
    pub applications: SeedApplications,
    /// How it is installed.
    #[serde(deserialize_with = "null_as_default")]
    pub install: SeedInstall,
    /// First settings of a migration manager.
    #[serde(deserialize_with = "null_as_default")]
    pub migration_manager: SeedMigrationManager,
    /// How it reaches the network.
    #[serde(deserialize_with = "null_as_default")]
    pub network: SeedNetwork,
    /// First settings of an operations center.
    #[serde(deserialize_with = "null_as_default")]
    pub operations_center: SeedOperationsCenter,
}

/// A named seed of a token.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct TokenSeed {
    /// Name, unique for its token.
    pub name: String,
    /// Free text.
    pub description: String,
    /// Whether an image may be fetched with it without logging in.
    pub public: bool,
    /// The documents.
    pub seeds: TokenSeedConfigs,
    /// The token.
    pub token_uuid: Uuid,
    /// When it was changed last.
    #[schema(value_type = String, format = DateTime)]
    pub last_updated: Time,
}

/// Body of `POST …/seeds`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default, remote = "Self")]
pub struct TokenSeedPost {
    /// Name, unique for its token; must not be empty.
    #[serde(deserialize_with = "null_as_default")]
    pub name: String,
    /// Free text.
    #[serde(deserialize_with = "null_as_default")]
    pub description: String,
    /// Whether an image may be fetched with it without logging in.
    #[serde(deserialize_with = "null_as_default")]
    pub public: bool,
    /// The documents.
    #[serde(deserialize_with = "null_as_default")]
    pub seeds: TokenSeedConfigs,
}

/// Body of `PUT …/seeds/{name}`: replaces everything but the name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default, remote = "Self")]
pub struct TokenSeedPut {
    /// Free text.
    #[serde(deserialize_with = "null_as_default")]
    pub description: String,
    /// Whether an image may be fetched with it without logging in.
    #[serde(deserialize_with = "null_as_default")]
    pub public: bool,
    /// The documents.
    #[serde(deserialize_with = "null_as_default")]
    pub seeds: TokenSeedConfigs,
}

/// Body of `POST …/image`: an image with seeds that are not kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default, remote = "Self")]
pub struct TokenImagePost {
    /// `iso` or `raw`; anything else is to be refused.
    #[serde(rename = "type", deserialize_with = "null_as_default")]
    pub image_type: String,
    /// `x86_64` or `aarch64`; anything else but an empty text is to be refused.
    #[serde(deserialize_with = "null_as_default")]
    pub architecture: String,
    /// The documents.
    #[serde(deserialize_with = "null_as_default")]
    pub seeds: TokenSeedConfigs,
}

objects!(TokenSeedConfigs, TokenSeedPost, TokenSeedPut, TokenImagePost);

fn is_zero<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// `null` is no list, `null` in a list is a zero value.
fn nullable_list<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(d: D) -> Result<Option<Vec<T>>, D::Error> {
    let items = Option::<Vec<Option<T>>>::deserialize(d)?;
    Ok(items.map(|items| items.into_iter().map(Option::unwrap_or_default).collect()))
}

/// As [`nullable_list`], where no list and an empty one are the same.
fn list<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(d: D) -> Result<Vec<T>, D::Error> {
    Ok(nullable_list(d)?.unwrap_or_default())
}

/// As [`nullable_list`], for values by name.
fn nullable_map<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    d: D,
) -> Result<Option<BTreeMap<String, T>>, D::Error> {
    let items = Option::<BTreeMap<String, Option<T>>>::deserialize(d)?;
    Ok(items.map(|items| items.into_iter().map(|(name, item)| (name, item.unwrap_or_default())).collect()))
}
