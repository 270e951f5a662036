//! Token seeds (`servers.md` 4, 12.2-12.3). Bodies are strict: unknown keys are refused at any depth.

use crate::time::Time;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// A named seed of a token.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct TokenSeed {
    /// Free text.
    pub description: String,
    /// Whether an image may be fetched with it without logging in.
    pub public: bool,
    /// The documents.
    #[schema(value_type = Object)]
    pub seeds: serde_json::Value,
    /// Name, unique for its token.
    pub name: String,
    /// The token.
    pub token_uuid: Uuid,
    /// When it was changed last.
    #[schema(value_type = String, format = DateTime)]
    pub last_updated: Time,
}
