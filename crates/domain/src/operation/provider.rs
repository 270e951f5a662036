//! Push the provider configuration to one machine: one operation a machine, so that one that is away does not make
//! the change fail for the others (`servers.md` 16, defect 22).

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Cause, Decision, Stored};

/// The state of a push.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushProvider {
    /// When it has to be over.
    pub deadline: Timestamp,
    /// Attempts so far.
    pub attempts: u32,
    /// Not before this.
    pub not_before: Timestamp,
    /// How the last attempt failed; none when it was accepted or there was none.
    pub error: Option<String>,
    /// The machine took it.
    pub accepted: bool,
}

impl PushProvider {
    /// Begins now. A machine may be away for a week.
    pub fn new(now: Timestamp) -> Self {
        let deadline = now + SignedDuration::from_hours(7 * 24);
        Self { deadline, attempts: 0, not_before: now, error: None, accepted: false }
    }

    /// What is next: the action is the call. `reachable`: the server is ready. `outstanding`: the call is running.
    pub fn next(&self, reachable: bool, outstanding: bool, now: Timestamp) -> Decision<()> {
        if self.accepted {
            return Decision::Done;
        }
        if now >= self.deadline {
            let last = self.error.as_deref().unwrap_or("the machine was never reachable");
            return Decision::Failed(Cause::new("push", format!("given up after {} attempts: {last}", self.attempts)));
        }
        let wait = |until, reason: String| Decision::Wait { until, reason };
        if outstanding {
            return wait(self.deadline, "the machine has not answered the call yet".into());
        }
        if !reachable {
            return wait(self.deadline, "waiting for the machine to answer".into());
        }
        if now < self.not_before {
            let last = self.error.as_deref().unwrap_or_default();
            return wait(self.not_before.min(self.deadline), format!("attempt {} failed: {last}", self.attempts));
        }
        Decision::Do(())
    }

    /// Takes note of an attempt. The pause doubles from 10 s up to 10 minutes.
    pub fn advance(&mut self, outcome: Result<(), String>, now: Timestamp) {
        self.attempts = self.attempts.saturating_add(1);
        self.accepted = outcome.is_ok();
        self.error = outcome.err();
        let pause = 10_i64.saturating_mul(1 << self.attempts.saturating_sub(1).min(6)).min(600);
        self.not_before = now + SignedDuration::from_secs(pause);
    }
}

impl Stored for PushProvider {
    const KIND: &'static str = "push_provider";
    const VERSION: u32 = 1;
    const STEPS: &'static [&'static str] = &["push"];
    fn step(&self) -> &'static str {
        "push"
    }
}
