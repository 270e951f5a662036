//! Reboot a server and see it come back with a new boot.

use jiff::{SignedDuration, Timestamp};
use muster_api::provisioning::status::{ServerStatus, StatusDetail};
use serde::{Deserialize, Serialize};

use super::call::{self, CallAction, CallState, Progress};
use super::factory_reset::Seen;
use super::{Cause, Decision, Stored};
use crate::server::enrolment::Enrolment;

/// Between two looks at which boot answers, while a call is in doubt.
const LOOK: SignedDuration = SignedDuration::from_secs(2);

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

    /// Whether the call was begun and nobody knows if it arrived; then [`Reboot::next`] needs to know which boot answers.
    pub fn is_in_doubt(&self) -> bool {
        self.call.progress == Progress::Calling
    }

    /// What is next. `seen`: which boot answers, looked at while the call is in doubt; `outstanding`: the call is running
    /// in this process.
    pub fn next(&self, server: &Enrolment, seen: Seen, outstanding: bool, now: Timestamp) -> Decision<CallAction> {
        // Called twice it would reboot twice. What the last poll saw may be older than the call, and the machine's own
        // report that it is ready names no boot: only the boot of before answering shows that the call did not arrive.
        let rebooted = server.boot_at.is_some_and(|boot| boot > self.call.started);
        let away = server.seen_away && server.detail == StatusDetail::Rebooting;
        let arrived = match seen {
            Seen::OldBoot => false,
            Seen::Away => true,
            _ => rebooted || away,
        };
        if self.is_in_doubt() && !outstanding && !arrived && seen != Seen::OldBoot {
            if now >= self.call.deadline {
                return self.call.wait(now, "it could not be found out whether the reboot had begun");
            }
            let until = (now + LOOK).min(self.call.deadline);
            return Decision::Wait { until, reason: "finding out whether the reboot had begun".to_owned() };
        }
        if let Some(decision) = self.call.until_accepted(outstanding, arrived) {
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
