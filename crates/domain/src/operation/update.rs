//! Update a server: push its update configuration, have it look, see the goal reached; where that is wished, reboot it into
//! what was installed and see that it runs.

use jiff::{SignedDuration, Timestamp};
use muster_api::provisioning::status::{ServerStatus, StatusDetail};
use serde::{Deserialize, Serialize};

use super::call::{CallAction, CallState, Outcome, Progress};
use super::factory_reset::Seen;
use super::reboot::Reboot;
use super::{Cause, Decision, Stored};
use crate::server::enrolment::Enrolment;
use crate::server::version::{Installed, UpdateGoal};

/// Looks at what runs after a reboot, and the time between two of them: one may find the machine still starting.
const LOOKS: u32 = 5;
const LOOK: SignedDuration = SignedDuration::from_secs(5);
/// A machine that shows no progress is asked again to look, after so long each time. Its look may have met a dead center, and
/// by itself it looks only hours later; of a machine that is at work it costs one more look.
const AGAIN: [SignedDuration; 3] =
    [SignedDuration::from_secs(20), SignedDuration::from_mins(3), SignedDuration::from_mins(15)];

/// The state of an update.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Update {
    /// What it has to reach: the versions offered when it was started.
    pub goal: UpdateGoal,
    /// Have the machine look at once; otherwise only the configuration is pushed.
    pub trigger: bool,
    /// The call that pushes the configuration.
    pub push: CallState,
    /// The call that makes the machine look.
    pub check: CallState,
    /// When it was asked again to look, as nothing had come of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub asked: Vec<Timestamp>,
    /// The reboot that follows, where one is wished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart: Option<Restart>,
}

/// The reboot into what was installed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Restart {
    /// To come, once everything is installed.
    Wanted,
    /// It could not begin, for this reason.
    Refused(String),
    /// Begun.
    Begun {
        /// How far it is.
        reboot: Reboot,
        /// Looks at what runs since the machine is back.
        looks: u32,
        /// When the last of them was.
        looked: Option<Timestamp>,
    },
}

/// What to do for an update.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpdateAction {
    /// About the push of the configuration.
    Push(CallAction),
    /// About the call to look. Undoing it takes the same mark back.
    Check(CallAction),
    /// Record it with [`Update::asked_again`], then have the machine look once more. What it answers does not matter.
    AskAgain,
    /// Mark the server as rebooting, if it may be rebooted now; record it with [`Update::restarted`].
    Restart,
    /// About the call to reboot.
    Reboot(CallAction),
    /// Find out what runs, and record it with [`Update::looked`].
    Look,
}

impl Update {
    /// Begins now. Without `trigger` the server is not marked: nothing is being updated.
    pub fn new(goal: UpdateGoal, trigger: bool, now: Timestamp) -> Self {
        let deadline = now + SignedDuration::from_mins(65);
        let push = if trigger { CallState::new(now, deadline) } else { CallState::unmarked(now, deadline) };
        Self { goal, trigger, push, check: CallState::unmarked(now, deadline), asked: Vec::new(), restart: None }
    }

    /// With a reboot at its end.
    #[must_use]
    pub fn with_reboot(mut self) -> Self {
        self.restart = Some(Restart::Wanted);
        self
    }

    /// The reboot, once it has begun.
    pub fn reboot(&self) -> Option<&Reboot> {
        match &self.restart {
            Some(Restart::Begun { reboot, .. }) => Some(reboot),
            _ => None,
        }
    }

    /// The call that is to be made next, or was made last.
    pub fn call(&self) -> &CallState {
        match self.reboot() {
            Some(reboot) => &reboot.call,
            None if self.push.progress == Progress::Accepted => &self.check,
            None => &self.push,
        }
    }

    /// Takes note of what was done about [`Self::call`].
    pub fn advance(&mut self, outcome: Outcome) {
        match &mut self.restart {
            Some(Restart::Begun { reboot, .. }) => reboot.call.advance(outcome),
            _ if self.push.progress == Progress::Accepted => self.check.advance(outcome),
            _ => self.push.advance(outcome),
        }
    }

    /// Takes note that the machine is asked again to look.
    pub fn asked_again(&mut self, now: Timestamp) {
        self.asked.push(now);
    }

    /// Takes note that the server is marked as rebooting, or why it must not be rebooted.
    pub fn restarted(&mut self, outcome: Result<(), String>, now: Timestamp) {
        self.restart = Some(match outcome {
            Err(why) => Restart::Refused(why),
            Ok(()) => {
                let mut reboot = Reboot::new(now);
                reboot.call.advance(Outcome::Marked);
                Restart::Begun { reboot, looks: 0, looked: None }
            }
        });
    }

    /// Takes note of a look at what runs.
    pub fn looked(&mut self, now: Timestamp) {
        if let Some(Restart::Begun { looks, looked, .. }) = &mut self.restart {
            (*looks, *looked) = (*looks + 1, Some(now));
        }
    }

    /// The names of its steps.
    pub fn steps(&self) -> &'static [&'static str] {
        if self.restart.is_some() { Self::STEPS } else { &Self::STEPS[..3] }
    }

    /// What is next. `outstanding`: one of the calls is running in this process. The first two calls may be repeated. `seen`:
    /// which boot answers, looked at while the call to reboot is in doubt.
    pub fn next(
        &self,
        server: &Enrolment,
        installed: &Installed,
        seen: Seen,
        outstanding: bool,
        now: Timestamp,
    ) -> Decision<UpdateAction> {
        match &self.restart {
            Some(Restart::Refused(why)) => {
                let text = format!("the update is installed, and the server cannot be rebooted into it: {why}");
                return Decision::Failed(Cause::new("reboot", text));
            }
            Some(Restart::Begun { reboot, looks, looked }) => {
                return match reboot.next(server, seen, outstanding, now) {
                    Decision::Done => Self::came_back(installed, *looks, *looked, now),
                    Decision::Failed(cause) => Decision::Failed(Cause::new(self.step(), cause.text)),
                    other => other.map(UpdateAction::Reboot),
                };
            }
            Some(Restart::Wanted) | None => {}
        }
        if let Some(decision) = self.push.until_accepted(outstanding, false) {
            return decision.map(UpdateAction::Push);
        }
        if !self.trigger {
            return Decision::Done;
        }
        let reached = self.goal.is_reached(installed);
        if let Some(decision) = self.check.until_accepted(outstanding, reached) {
            return decision.map(UpdateAction::Check);
        }
        if reached {
            let pending = installed.os.needs_reboot || installed.os.installed() != installed.os.version;
            return if self.restart.is_some() && pending {
                Decision::Do(UpdateAction::Restart)
            } else {
                Decision::Done
            };
        }
        match (server.status, server.detail) {
            (ServerStatus::Ready, StatusDetail::Updating) => {
                let last = self.asked.last().copied().unwrap_or(self.check.started);
                let again = AGAIN.get(self.asked.len()).map(|pause| last + *pause);
                match (self.check.wait(now, "the machine is installing the update"), again) {
                    (Decision::Wait { .. }, Some(again)) if now >= again => Decision::Do(UpdateAction::AskAgain),
                    (Decision::Wait { until, reason }, Some(again)) => {
                        Decision::Wait { until: until.min(again), reason }
                    }
                    (other, _) => other,
                }
            }
            (ServerStatus::Ready, _) => {
                Decision::Failed(Cause::new("confirm", "the update ended before everything was installed"))
            }
            _ => self.check.wait(now, "waiting for the machine to answer again"),
        }
    }

    /// The machine is back: whether it runs what was installed. What is known of it is of before until it was looked at.
    fn came_back(
        installed: &Installed,
        looks: u32,
        looked: Option<Timestamp>,
        now: Timestamp,
    ) -> Decision<UpdateAction> {
        let os = &installed.os;
        let runs = os.installed() == os.version && !os.needs_reboot;
        match looked {
            Some(_) if runs => Decision::Done,
            Some(_) if looks >= LOOKS => {
                let text = format!(
                    "the machine came back with {:?}, and {:?} still waits for a reboot: it did not take the update",
                    os.version,
                    os.installed()
                );
                Decision::Failed(Cause::new("return", text))
            }
            Some(at) if now < at + LOOK => {
                Decision::Wait { until: at + LOOK, reason: "waiting for the machine to say what it runs".to_owned() }
            }
            _ => Decision::Do(UpdateAction::Look),
        }
    }
}

impl Stored for Update {
    const KIND: &'static str = "update";
    const VERSION: u32 = 1;
    const STEPS: &'static [&'static str] = &["push", "check", "confirm", "reboot", "return"];
    fn step(&self) -> &'static str {
        match (&self.restart, self.push.is_answered(), self.check.is_answered()) {
            (Some(Restart::Begun { reboot, .. }), ..) if reboot.call.progress == Progress::Accepted => "return",
            (Some(Restart::Begun { .. } | Restart::Refused(_)), ..) => "reboot",
            (_, false, _) => "push",
            (_, true, false) => "check",
            (_, true, true) => "confirm",
        }
    }
}
