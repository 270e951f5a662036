//! Switch a server off and see it go.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::call::{self, CallAction, CallState};
use super::{Decision, Stored};

/// The state of a power off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Poweroff {
    /// Its call.
    pub call: CallState,
}

/// Whether the machine is still there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// It answered since it was called.
    Answers,
    /// It did not answer since, or its BMC says that it is off.
    Gone,
    /// Nobody looked since.
    Unknown,
}

impl Poweroff {
    /// Begins now.
    pub fn new(now: Timestamp) -> Self {
        Self { call: CallState::new(now, now + SignedDuration::from_mins(15)) }
    }

    /// What is next. `outstanding`: the call is running in this process.
    pub fn next(&self, presence: Presence, outstanding: bool, now: Timestamp) -> Decision<CallAction> {
        if let Some(decision) = self.call.until_accepted(outstanding, presence == Presence::Gone) {
            return decision;
        }
        match presence {
            Presence::Gone => Decision::Done,
            Presence::Answers => self.call.wait(now, "the machine still answers"),
            Presence::Unknown => self.call.wait(now, "waiting for the machine to go silent"),
        }
    }
}

impl Stored for Poweroff {
    const KIND: &'static str = "poweroff";
    const VERSION: u32 = 1;
    const STEPS: &'static [&'static str] = call::STEPS;
    fn step(&self) -> &'static str {
        self.call.step()
    }
}
