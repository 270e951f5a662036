//! A registration waits for the first successful poll (`servers.md` 5.3, 5.4).

use jiff::{SignedDuration, Timestamp};
use muster_api::provisioning::status::{ServerStatus, StatusDetail};
use serde::{Deserialize, Serialize};

use super::{Cause, Decision, Stored};
use crate::server::enrolment::Enrolment;

/// Attempts of its own.
const ATTEMPTS: u32 = 10;

/// The state of a registration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Register {
    /// When the machine registered.
    pub started: Timestamp,
    /// When it has to be over.
    pub deadline: Timestamp,
    /// Polls so far.
    pub polls: u32,
    /// When the last poll ended.
    pub last_poll: Timestamp,
}

impl Register {
    /// Begins now, with the registration.
    pub fn new(now: Timestamp) -> Self {
        Self { started: now, deadline: now + SignedDuration::from_hours(24), polls: 0, last_poll: now }
    }

    /// What is next: the action is a full poll. Ten attempts a second apart; from then on whoever polls pending servers
    /// finds it.
    pub fn next(&self, server: &Enrolment, polling: bool, now: Timestamp) -> Decision<()> {
        if !server.is(ServerStatus::Pending, StatusDetail::Registering) {
            return Decision::Done;
        }
        let failure = server.last_failure.as_ref().map(|f| format!("{}: {}", f.what.text(), f.how));
        let reason = match failure {
            None => "waiting for the first answer of the machine".to_owned(),
            Some(failure) => {
                format!("waiting for the first answer of the machine; the last poll failed, {failure}")
            }
        };
        if now >= self.deadline {
            return Decision::Failed(Cause::new("first poll", format!("never reached: {reason}")));
        }
        if self.polls >= ATTEMPTS {
            return Decision::Wait { until: self.deadline, reason };
        }
        let due = self.last_poll + SignedDuration::from_secs(1);
        if polling || now < due {
            let until = if polling { self.deadline } else { due.min(self.deadline) };
            return Decision::Wait { until, reason };
        }
        Decision::Do(())
    }

    /// Takes note of a poll, however it ended.
    pub fn advance(&mut self, now: Timestamp) {
        self.polls = self.polls.saturating_add(1);
        self.last_poll = now;
    }
}

impl Stored for Register {
    const KIND: &'static str = "register";
    const VERSION: u32 = 1;
    const STEPS: &'static [&'static str] = &["first poll"];
    fn step(&self) -> &'static str {
        "first poll"
    }
}
