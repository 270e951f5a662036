//! Reboot a server and see it come back with a new boot.

use jiff::{SignedDuration, Timestamp};
use muster_api::provisioning::status::{ServerStatus, StatusDetail};
use serde::{Deserialize, Serialize};

use super::call::{self, CallAction, CallState};
use super::{Cause, Decision, Stored};
use crate::server::enrolment::Enrolment;

/// The state of a reboot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reboot {
    /// Its call.
    pub call: CallState,
}

impl Reboot {
    /// Begins now. The status machine ends it a little before the deadline.
    pub fn new(now: Timestamp) -> Self {
        Self { call: CallState::new(now, now + SignedDuration::from_mins(25)) }
    }

    /// What is next. `outstanding`: the call is running in this process.
    pub fn next(&self, server: &Enrolment, outstanding: bool, now: Timestamp) -> Decision<CallAction> {
        // Called twice it would reboot twice: a boot since the start shows that the call had arrived.
        let rebooted = server.boot_at.is_some_and(|boot| boot > self.call.started);
        let away = server.seen_away && server.detail == StatusDetail::Rebooting;
        let back = server.status == ServerStatus::Ready && rebooted;
        if let Some(decision) = self.call.until_accepted(outstanding, rebooted || away || back) {
            return decision;
        }
        match (server.status, server.detail) {
            (ServerStatus::Offline, StatusDetail::Rebooting) => self.call.wait(now, "waiting for a new boot"),
            (ServerStatus::Offline, StatusDetail::Unresponsive) => {
                Decision::Failed(Cause::new("confirm", "the server did not come back from its reboot"))
            }
            (ServerStatus::Offline, _) => Decision::Failed(Cause::new("confirm", "the server was switched off")),
            _ => Decision::Done,
        }
    }
}

impl Stored for Reboot {
    const KIND: &'static str = "reboot";
    const VERSION: u32 = 1;
    const STEPS: &'static [&'static str] = call::STEPS;
    fn step(&self) -> &'static str {
        self.call.step()
    }
}
