//! Evacuate a member, or restore it, and see that it really happened (`servers.md` 16, defect 8).

use jiff::{SignedDuration, Timestamp};
use muster_api::provisioning::status::Maintenance;
use serde::{Deserialize, Serialize};

use super::call::{self, CallAction, CallState};
use super::{Cause, Decision, Stored};
use crate::server::enrolment::Enrolment;

/// Which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Workloads leave.
    Evacuate,
    /// Workloads come back.
    Restore,
}

/// How Incus' own operation stands, as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IncusOperation {
    /// Nothing is known: the events were missed, or it has been forgotten.
    Unknown,
    /// Running.
    Running,
    /// Ended well.
    Succeeded,
    /// Failed with this error.
    Failed(String),
}

/// The state of an evacuation or restore.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberMaintenance {
    /// Which way.
    pub direction: Direction,
    /// Its call.
    pub call: CallState,
}

impl MemberMaintenance {
    /// Begins now. Live migrations of big instances take their time: the deadline is a day, and the reason of the
    /// wait says what is going on.
    pub fn new(direction: Direction, now: Timestamp) -> Self {
        Self { direction, call: CallState::new(now, now + SignedDuration::from_hours(24)) }
    }

    /// What is next. `outstanding`: the call is running in this process.
    pub fn next(
        &self,
        server: &Enrolment,
        incus: &IncusOperation,
        outstanding: bool,
        now: Timestamp,
    ) -> Decision<CallAction> {
        let (reached, running, verb) = match self.direction {
            Direction::Evacuate => (Maintenance::Evacuated, Maintenance::Evacuating, "evacuation"),
            Direction::Restore => (Maintenance::None, Maintenance::Restoring, "restore"),
        };
        // The mark itself says `running`: only what Incus reports shows that a call in doubt had arrived.
        let arrived = server.maintenance == reached || *incus != IncusOperation::Unknown;
        if let Some(decision) = self.call.until_accepted(outstanding, arrived) {
            return decision;
        }
        match incus {
            IncusOperation::Failed(error) => {
                Decision::Failed(Cause::new("confirm", format!("the {verb} failed: {error}")))
            }
            _ if server.maintenance == reached => Decision::Done,
            IncusOperation::Succeeded => self.call.wait(now, "waiting for the member to report its new state"),
            IncusOperation::Unknown if server.maintenance != running => {
                Decision::Failed(Cause::new("confirm", format!("the {verb} ended without effect")))
            }
            IncusOperation::Running | IncusOperation::Unknown => self.call.wait(
                now,
                match self.direction {
                    Direction::Evacuate => "workloads are leaving",
                    Direction::Restore => "workloads are coming back",
                },
            ),
        }
    }
}

impl Stored for MemberMaintenance {
    const KIND: &'static str = "maintenance";
    const VERSION: u32 = 1;
    const STEPS: &'static [&'static str] = call::STEPS;
    fn step(&self) -> &'static str {
        self.call.step()
    }
}
