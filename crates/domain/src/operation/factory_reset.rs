//! Factory reset: the machine wipes itself and comes back by registering (`servers.md` 3.12, `lifecycle.md` 5.7).

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Cause, Decision, Stored};

/// How far it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum At {
    /// The machine has to answer.
    Reach,
    /// It has to be given a token to come back with.
    Token,
    /// Everything is ready for the call.
    Call,
    /// The call was begun; after a crash nobody knows whether it arrived.
    Calling,
    /// It is wiping itself; its enrolment is still there.
    Drop,
    /// Its enrolment is gone.
    Return,
    /// Over, badly.
    Failed(Cause),
}

/// The state of a factory reset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FactoryReset {
    at: At,
    /// The token it comes back with.
    pub token: Option<Uuid>,
    /// When it has to be back.
    pub deadline: Timestamp,
    /// Nothing is done before this moment: whoever asked for it can still think better of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begins: Option<Timestamp>,
}

/// What to do for a factory reset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResetAction {
    /// See whether the machine answers.
    Ping,
    /// Make a token for one use, which expires and removes itself.
    CreateToken,
    /// Record `Begun`, call the machine with seeds made of the token, record the answer.
    Reset(Uuid),
    /// Put the machine into cleaning, which drops its enrolment.
    DropEnrolment,
}

/// What the engine did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResetOutcome {
    /// The machine answers.
    Reached,
    /// The token was made.
    TokenCreated(Uuid),
    /// The call is about to go out.
    Begun,
    /// The machine took the call.
    Accepted,
    /// The enrolment is gone.
    Dropped,
    /// The last action failed with this error; nothing was changed.
    Failed(String),
}

/// What is observed about the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// Nothing new.
    Nothing,
    /// The boot of before answers.
    OldBoot,
    /// It does not answer any more, or another boot does.
    Away,
    /// It registered again and is not polled yet.
    Registered,
    /// It registered again and its first poll succeeded.
    Back,
}

impl FactoryReset {
    /// Begins now, with the token a person named, if any. It has two hours to be back.
    pub fn new(token: Option<Uuid>, now: Timestamp) -> Self {
        Self { at: At::Reach, token, deadline: now + SignedDuration::from_hours(2), begins: None }
    }

    /// Begins after a time of grace.
    pub fn after(grace: SignedDuration, now: Timestamp) -> Self {
        let begins = now + grace;
        Self { begins: (grace > SignedDuration::ZERO).then_some(begins), ..Self::new(None, begins) }
    }

    /// What is next. `outstanding`: the call is running in this process.
    pub fn next(&self, seen: Seen, outstanding: bool, now: Timestamp) -> Decision<ResetAction> {
        let wait = |reason: &str| Decision::Wait { until: self.deadline, reason: reason.to_owned() };
        match (&self.at, self.token) {
            (At::Failed(cause), _) => Decision::Failed(cause.clone()),
            (At::Reach, _) if self.begins.is_some_and(|begins| now < begins) => {
                let until = self.begins.unwrap_or(now);
                let text = format!("nothing is done before {}; cancel it until then", until.strftime("%H:%M:%S UTC"));
                Decision::Wait { until, reason: text }
            }
            (At::Reach, _) => Decision::Do(ResetAction::Ping),
            (At::Token, _) | (At::Call | At::Calling, None) => Decision::Do(ResetAction::CreateToken),
            (At::Calling, _) if outstanding => wait("the machine has not answered the call yet"),
            (At::Call, Some(token)) => Decision::Do(ResetAction::Reset(token)),
            // A call in doubt. Only the old boot is called again; a machine that is away took the call, and one
            // that registered anew must not be wiped twice, nor lose its new enrolment.
            (At::Calling, Some(token)) => match seen {
                Seen::OldBoot => Decision::Do(ResetAction::Reset(token)),
                Seen::Away => Decision::Do(ResetAction::DropEnrolment),
                Seen::Back => Decision::Done,
                _ if now >= self.deadline => {
                    Decision::Failed(Cause::new("call", "it could not be found out whether the reset had begun"))
                }
                Seen::Registered => wait("registered again; waiting for its first answer"),
                Seen::Nothing => wait("finding out whether the reset had begun"),
            },
            (At::Drop, _) => Decision::Do(ResetAction::DropEnrolment),
            (At::Return, _) if seen == Seen::Back => Decision::Done,
            (At::Return, _) if now >= self.deadline => {
                Decision::Failed(Cause::new("return", "the machine did not register again in time"))
            }
            (At::Return, _) if seen == Seen::Registered => wait("registered again; waiting for its first answer"),
            (At::Return, _) => wait("the machine is wiping itself; waiting for it to register again"),
        }
    }

    /// Takes note of what was done. What does not fit is late or doubled and changes nothing.
    pub fn advance(&mut self, outcome: ResetOutcome) {
        let step = self.step();
        let next = match (&self.at, outcome) {
            (At::Reach, ResetOutcome::Reached) if self.token.is_some() => At::Call,
            (At::Reach, ResetOutcome::Reached) => At::Token,
            (At::Token, ResetOutcome::TokenCreated(token)) => {
                self.token = Some(token);
                At::Call
            }
            (At::Call, ResetOutcome::Begun) => At::Calling,
            (At::Calling, ResetOutcome::Accepted) => At::Drop,
            (At::Calling | At::Drop, ResetOutcome::Dropped) => At::Return,
            (At::Reach | At::Token | At::Call | At::Calling, ResetOutcome::Failed(error)) => {
                At::Failed(Cause::new(step, error))
            }
            _ => return,
        };
        self.at = next;
    }

    /// Whether the machine is away: it took the reset.
    pub fn is_away(&self) -> bool {
        matches!(self.at, At::Return)
    }

    /// Whether a person who waits for the call can be answered.
    pub fn is_answered(&self) -> bool {
        matches!(self.at, At::Return | At::Failed(_))
    }
}

impl Stored for FactoryReset {
    const KIND: &'static str = "factory_reset";
    const VERSION: u32 = 1;
    const STEPS: &'static [&'static str] = &["reach", "token", "call", "drop", "return"];
    fn step(&self) -> &'static str {
        match self.at {
            At::Reach => "reach",
            At::Token => "token",
            At::Call | At::Calling => "call",
            At::Drop => "drop",
            At::Return => "return",
            At::Failed(_) => "call",
        }
    }
}
