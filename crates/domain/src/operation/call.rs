//! The part that all operations of one call share: mark the server, call the machine, take the mark back when the
//! call fails.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Cause, Decision};

/// How far the call is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Progress {
    /// Nothing was done.
    Fresh,
    /// The server's status says what is coming.
    Marked,
    /// The call was begun; after a crash nobody knows whether it arrived.
    Calling,
    /// The machine took the call.
    Accepted,
    /// The call failed, and the mark is still there.
    Refused(String),
    /// The call failed, and the mark is gone.
    Undone(String),
}

/// What the engine did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The mark is written.
    Marked,
    /// The call is about to go out.
    Begun,
    /// The machine took the call.
    Accepted,
    /// The call failed, with this error.
    Refused(String),
    /// The mark is taken back.
    Undone,
}

/// What to do about the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallAction {
    /// Write the status that says what is coming.
    Mark,
    /// Record `Begun`, call the machine, record the answer.
    Call,
    /// Take the mark back, unless something newer happened.
    Undo,
}

/// The state of the call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallState {
    /// How far it is.
    pub progress: Progress,
    /// When the operation began.
    pub started: Timestamp,
    /// When it has to be over.
    pub deadline: Timestamp,
}

/// The names of the steps of a call and its confirmation.
pub const STEPS: &[&str] = &["mark", "call", "confirm"];

impl CallState {
    /// At the beginning.
    pub fn new(started: Timestamp, deadline: Timestamp) -> Self {
        Self { progress: Progress::Fresh, started, deadline }
    }

    /// At the beginning of a call that puts no mark.
    pub fn unmarked(started: Timestamp, deadline: Timestamp) -> Self {
        Self { progress: Progress::Marked, started, deadline }
    }

    /// Takes note of what was done. What does not fit is late or doubled and changes nothing.
    pub fn advance(&mut self, outcome: Outcome) {
        let next = match (&self.progress, outcome) {
            (Progress::Fresh, Outcome::Marked) => Progress::Marked,
            (Progress::Marked, Outcome::Begun) => Progress::Calling,
            (Progress::Calling, Outcome::Accepted) => Progress::Accepted,
            (Progress::Calling, Outcome::Refused(error)) => Progress::Refused(error),
            (Progress::Refused(error), Outcome::Undone) => Progress::Undone(error.clone()),
            _ => return,
        };
        self.progress = next;
    }

    /// Whether a person who waits for the call can be answered: the machine took it, or it failed.
    pub fn is_answered(&self) -> bool {
        matches!(self.progress, Progress::Accepted | Progress::Undone(_))
    }

    /// The step's name.
    pub fn step(&self) -> &'static str {
        match self.progress {
            Progress::Fresh => "mark",
            Progress::Marked | Progress::Calling | Progress::Refused(_) | Progress::Undone(_) => "call",
            Progress::Accepted => "confirm",
        }
    }

    /// The decision until the machine has taken the call; none from then on. `outstanding`: the call is running in
    /// this very process. `arrived`: what is observed shows that a call in doubt had arrived.
    pub fn until_accepted(&self, outstanding: bool, arrived: bool) -> Option<Decision<CallAction>> {
        Some(match &self.progress {
            Progress::Fresh => Decision::Do(CallAction::Mark),
            Progress::Marked => Decision::Do(CallAction::Call),
            Progress::Calling if outstanding => {
                Decision::Wait { until: self.deadline, reason: "the machine has not answered the call yet".into() }
            }
            Progress::Calling if arrived => return None,
            Progress::Calling => Decision::Do(CallAction::Call),
            Progress::Refused(_) => Decision::Do(CallAction::Undo),
            Progress::Undone(error) => Decision::Failed(Cause::new("call", error)),
            Progress::Accepted => return None,
        })
    }

    /// Waits until the deadline, and fails after it.
    pub fn wait<A>(&self, now: Timestamp, reason: &str) -> Decision<A> {
        if now >= self.deadline {
            return Decision::Failed(Cause::new(self.step(), format!("not over in time: {reason}")));
        }
        Decision::Wait { until: self.deadline, reason: reason.to_owned() }
    }
}
