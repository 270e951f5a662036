//! A look at a machine before something is decided about it: an allocation that is locked, a registration in band
//! (`lifecycle.md` 5.6, 1.4). Nothing is changed at the machine.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Cause, Decision, Stored};

/// Looks at most.
const ATTEMPTS: u32 = 3;

/// How far it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum At {
    /// It has to answer.
    Check,
    /// It did; what hangs on it is to be written.
    Commit,
    /// Written.
    Done,
    /// Over, badly.
    Failed(Cause),
}

/// The state of a checkup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkup {
    at: At,
    /// When it has to be over.
    pub deadline: Timestamp,
    attempts: u32,
    last: Timestamp,
    why: String,
}

/// What to do for a checkup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckupAction {
    /// Poll the machine in full.
    Look,
    /// Write what hangs on it.
    Commit,
}

impl Checkup {
    /// Begins now, and has two minutes.
    pub fn new(now: Timestamp) -> Self {
        let deadline = now + SignedDuration::from_mins(2);
        Self { at: At::Check, deadline, attempts: 0, last: now, why: String::new() }
    }

    /// What is next.
    pub fn next(&self, now: Timestamp) -> Decision<CheckupAction> {
        match &self.at {
            At::Failed(cause) => Decision::Failed(cause.clone()),
            At::Done => Decision::Done,
            At::Commit => Decision::Do(CheckupAction::Commit),
            At::Check if self.attempts == 0 => Decision::Do(CheckupAction::Look),
            At::Check if self.attempts >= ATTEMPTS || now >= self.deadline => {
                Decision::Failed(Cause::new("check", format!("the machine did not answer: {}", self.why)))
            }
            At::Check => {
                let due = self.last + SignedDuration::from_secs(2);
                if now >= due {
                    return Decision::Do(CheckupAction::Look);
                }
                Decision::Wait { until: due, reason: format!("trying again: {}", self.why) }
            }
        }
    }

    /// Takes note of a look.
    pub fn looked(&mut self, outcome: Result<(), String>, now: Timestamp) {
        if self.at != At::Check {
            return;
        }
        (self.attempts, self.last) = (self.attempts.saturating_add(1), now);
        match outcome {
            Ok(()) => self.at = At::Commit,
            Err(why) => self.why = why,
        }
    }

    /// Takes note of what was written, or why it could not be.
    pub fn committed(&mut self, outcome: Result<(), String>) {
        if self.at == At::Commit {
            self.at = match outcome {
                Ok(()) => At::Done,
                Err(why) => At::Failed(Cause::new("commit", why)),
            };
        }
    }
}

impl Stored for Checkup {
    const KIND: &'static str = "checkup";
    const VERSION: u32 = 1;
    const STEPS: &'static [&'static str] = &["check", "commit"];
    fn step(&self) -> &'static str {
        match self.at {
            At::Check => "check",
            _ => "commit",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_machine_that_answers_is_committed_once() {
        let mut plan = Checkup::new(at(0));
        assert_eq!(plan.next(at(0)), Decision::Do(CheckupAction::Look));
        plan.looked(Err("timeout".into()), at(1));
        assert!(matches!(plan.next(at(1)), Decision::Wait { until, .. } if until == at(3)));
        assert_eq!(plan.next(at(3)), Decision::Do(CheckupAction::Look));
        plan.looked(Ok(()), at(4));
        assert_eq!((plan.next(at(4)), plan.step()), (Decision::Do(CheckupAction::Commit), "commit"));
        plan.looked(Err("late".into()), at(5));
        plan.committed(Ok(()));
        assert_eq!(plan.next(at(5)), Decision::Done);
        plan.committed(Err("late".into()));
        assert_eq!(plan.next(at(6)), Decision::Done);
    }

    #[test]
    fn one_that_does_not_ends_it_with_the_reason() {
        let mut plan = Checkup::new(at(0));
        for second in [0, 3, 6] {
            assert_eq!(plan.next(at(second)), Decision::Do(CheckupAction::Look));
            plan.looked(Err("connection refused".into()), at(second));
        }
        let Decision::Failed(cause) = plan.next(at(9)) else { panic!("{plan:?}") };
        assert!(cause.text.contains("connection refused"), "{cause}");
        let mut refused = Checkup::new(at(0));
        refused.looked(Ok(()), at(0));
        refused.committed(Err("taken".into()));
        assert_eq!(refused.next(at(1)), Decision::Failed(Cause::new("commit", "taken")));
    }
}
