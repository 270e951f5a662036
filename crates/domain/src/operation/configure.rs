//! Put a network, storage or update configuration on a server (`servers.md` 3.13).

use jiff::{SignedDuration, Timestamp};
use muster_api::provisioning::status::{ServerStatus, StatusDetail};
use serde::{Deserialize, Serialize};

use super::call::{self, CallAction, CallState};
use super::{Decision, Stored};
use crate::server::enrolment::Enrolment;

/// What is configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// Its network. The answer may get lost with the old address.
    Network,
    /// Its storage.
    Storage,
    /// Its update channel. The server stays ready.
    Update,
}

/// The state of a configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Configure {
    /// What.
    pub target: Target,
    /// Its call.
    pub call: CallState,
}

impl Configure {
    /// Begins now.
    pub fn new(target: Target, now: Timestamp) -> Self {
        let deadline = now + SignedDuration::from_mins(30);
        let call = match target {
            Target::Update => CallState::unmarked(now, deadline),
            Target::Network | Target::Storage => CallState::new(now, deadline),
        };
        Self { target, call }
    }

    /// What is next. `reported`: the machine reported itself since the call went out. `outstanding`: the call is
    /// running in this process; when a network's answer got lost, the report and a poll count for it, and the
    /// engine gives the call up.
    pub fn next(&self, server: &Enrolment, reported: bool, outstanding: bool, now: Timestamp) -> Decision<CallAction> {
        let pending = server.is(ServerStatus::Pending, StatusDetail::ReConfiguring);
        let answered_anew = self.target == Target::Network && reported && !pending;
        let waiting = outstanding && !answered_anew;
        if let Some(decision) = self.call.until_accepted(waiting, answered_anew) {
            return decision;
        }
        if self.target == Target::Update || !pending {
            return Decision::Done;
        }
        self.call.wait(now, "waiting for the machine to answer under its new configuration")
    }
}

impl Stored for Configure {
    const KIND: &'static str = "configure";
    const VERSION: u32 = 1;
    const STEPS: &'static [&'static str] = call::STEPS;
    fn step(&self) -> &'static str {
        self.call.step()
    }
}
