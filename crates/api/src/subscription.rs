//! Subscriptions: machines that are kept for somebody (`lifecycle.md` 1.8).

use crate::lenient::present;
use crate::time::Time;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Machines that are kept for somebody: so many of a type, or one by its id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Subscription {
    /// UUID.
    pub id: String,
    /// For whom machines are kept.
    pub holder: String,
    /// Id of the server type that is kept; empty when it is one machine.
    pub server_type: String,
    /// Label of that type.
    pub server_type_label: String,
    /// Id of the one machine that is kept; empty when it is a type.
    pub machine: String,
    /// How many machines it keeps, bound and in use together.
    pub quantity: i64,
    /// Only machines at this site; empty: at any.
    pub site: String,
    /// When it begins to keep machines.
    #[schema(value_type = String, format = DateTime)]
    pub starts: Time,
    /// When it ends, or is renewed; null: never.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ends: Option<Time>,
    /// Length of a cycle in calendar months; 0: none.
    pub cycle_months: i64,
    /// Whether a cycle follows a cycle.
    pub renew: bool,
    /// `active`, `stopped` or `ended`.
    pub status: String,
    /// Whether it keeps machines now: active, begun and not over.
    pub running: bool,
    /// Machines that are bound and idle, or about to be taken.
    pub bound: i64,
    /// Machines that its holder uses through it.
    pub in_use: i64,
    /// Machines that it lacks.
    pub missing: i64,
    /// Why, or empty.
    pub unfulfilled: String,
    /// What it is for.
    pub description: String,
    /// When it was made: the older one is served first.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Time,
}

/// One subscription with its machines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SubscriptionDetail {
    /// The subscription.
    #[serde(flatten)]
    pub subscription: Subscription,
    /// Its machines by id, the first thousand.
    pub machines: Vec<SubscribedMachine>,
}

/// A machine that a subscription has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SubscribedMachine {
    /// Its id.
    pub id: String,
    /// `available_reserved`, `used` or `used_registering`.
    pub lifecycle: String,
    /// The server that it is enrolled as, or empty.
    pub server: String,
}

/// Body of `POST /1.0/subscriptions`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SubscriptionPost {
    /// For whom.
    pub holder: String,
    /// Id or label of a server type; this or `machine`.
    pub server_type: String,
    /// Id of a machine; this or `server_type`.
    pub machine: String,
    /// How many machines; 1 when it is not given.
    pub quantity: i64,
    /// Only machines at this site.
    pub site: String,
    /// When it begins; now when it is not given.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub starts: Option<Time>,
    /// When it ends; after one cycle, or never, when it is not given.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ends: Option<Time>,
    /// Length of a cycle in calendar months.
    pub cycle_months: i64,
    /// Whether a cycle follows a cycle.
    pub renew: bool,
    /// What it is for.
    pub description: String,
}

impl Default for SubscriptionPost {
    fn default() -> Self {
        Self {
            holder: String::new(),
            server_type: String::new(),
            machine: String::new(),
            quantity: 1,
            site: String::new(),
            starts: None,
            ends: None,
            cycle_months: 0,
            renew: false,
            description: String::new(),
        }
    }
}

/// Body of `PUT /1.0/subscriptions/{id}`. What is absent stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SubscriptionPut {
    /// How many machines.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quantity: Option<i64>,
    /// When it begins; only before it has begun.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub starts: Option<Time>,
    /// When it ends; null: after the cycle that runs, or never without a cycle.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ends: Option<Option<Time>>,
    /// Length of a cycle in calendar months; 0: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cycle_months: Option<i64>,
    /// Whether a cycle follows a cycle.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub renew: Option<bool>,
    /// What it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}
