//! Update a server: push its update configuration, have it look, see the goal reached.

use jiff::{SignedDuration, Timestamp};
use muster_api::provisioning::status::{ServerStatus, StatusDetail};
use serde::{Deserialize, Serialize};

use super::call::{CallAction, CallState};
use super::{Cause, Decision, Stored};
use crate::server::enrolment::Enrolment;
use crate::server::version::{Installed, UpdateGoal};

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
}

/// What to do for an update.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpdateAction {
    /// About the push of the configuration.
    Push(CallAction),
    /// About the call to look. Undoing it takes the same mark back.
    Check(CallAction),
}

impl Update {
    /// Begins now. Without `trigger` the server is not marked: nothing is being updated.
    pub fn new(goal: UpdateGoal, trigger: bool, now: Timestamp) -> Self {
        let deadline = now + SignedDuration::from_mins(65);
        let push = if trigger { CallState::new(now, deadline) } else { CallState::unmarked(now, deadline) };
        Self { goal, trigger, push, check: CallState::unmarked(now, deadline) }
    }

    /// What is next. `outstanding`: one of the calls is running in this process. Both calls may be repeated.
    pub fn next(
        &self,
        server: &Enrolment,
        installed: &Installed,
        outstanding: bool,
        now: Timestamp,
    ) -> Decision<UpdateAction> {
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
            return Decision::Done;
        }
        match (server.status, server.detail) {
            (ServerStatus::Ready, StatusDetail::Updating) => {
                self.check.wait(now, "the machine is installing the update")
            }
            (ServerStatus::Ready, _) => {
                Decision::Failed(Cause::new("confirm", "the update ended before everything was installed"))
            }
            _ => self.check.wait(now, "waiting for the machine to answer again"),
        }
    }
}

impl Stored for Update {
    const KIND: &'static str = "update";
    const VERSION: u32 = 1;
    const STEPS: &'static [&'static str] = &["push", "check", "confirm"];
    fn step(&self) -> &'static str {
        match (self.push.is_answered(), self.check.is_answered()) {
            (false, _) => "push",
            (true, false) => "check",
            (true, true) => "confirm",
        }
    }
}
