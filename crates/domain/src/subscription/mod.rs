//! Subscriptions: machines that are kept for somebody (`lifecycle.md` 1.8).
//!
//! A subscription keeps a number of machines of a type, or one machine by its id, bound to its holder or in use by it.
//! What has to be bound and let go follows, at any time, from what is stored: [`plan()`] compares, whoever asks. So a crash, a
//! second daemon or a lost signal can make it late and never wrong.

mod check;
mod matching;
mod plan;
mod shortage;
mod term;

pub use check::{DESCRIPTION_LIMIT, HOLDER_LIMIT, Invalid, QUANTITY_LIMIT, SITE_LIMIT};
pub use plan::{Binding, Candidate, Plan, Renewal, Unbinding, Why, plan};
pub use shortage::Shortage;
pub use term::{CYCLE_LIMIT, Phase, Term, TermError};

use muster_api::time::Time;

/// What a subscription keeps.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Wanted {
    /// Any machine of the server type with this id.
    Type(String),
    /// The machine with this id.
    Machine(String),
}

/// What was decided about a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// It keeps machines while its term runs.
    Active,
    /// A person stopped it.
    Stopped,
    /// Its term is over.
    Ended,
}

impl Status {
    /// Every value.
    pub const ALL: [Self; 3] = [Self::Active, Self::Stopped, Self::Ended];

    /// The text on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Stopped => "stopped",
            Self::Ended => "ended",
        }
    }
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for Status {
    type Err = UnknownStatus;
    fn from_str(s: &str) -> Result<Self, UnknownStatus> {
        Self::ALL.into_iter().find(|status| status.as_str() == s).ok_or_else(|| UnknownStatus(s.to_owned()))
    }
}

/// A text that names no status.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{:?} is no status of a subscription: active, stopped or ended", .0.chars().take(40).collect::<String>())]
pub struct UnknownStatus(pub String);

/// A subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// Its id.
    pub id: String,
    /// For whom machines are kept.
    pub holder: String,
    /// What is kept.
    pub wanted: Wanted,
    /// How many machines.
    pub quantity: u32,
    /// Only machines at this site; empty: at any.
    pub site: String,
    /// From when to when, and what then.
    pub term: Term,
    /// What was decided about it.
    pub status: Status,
    /// When it was made: the older one is served first.
    pub created_at: Time,
}

impl Subscription {
    /// Where a time is in its term. It was made before anybody looks at it, whatever their clocks say.
    pub fn phase(&self, now: Time) -> Phase {
        self.term.phase(now.max(self.created_at))
    }

    /// Whether it keeps machines now.
    pub fn keeps(&self, now: Time) -> bool {
        self.status == Status::Active && self.phase(now) == Phase::Running
    }

    /// Whether a machine is one that it asks for, whatever its state.
    pub(crate) fn asks_for(&self, machine: &Candidate) -> bool {
        let wanted = match &self.wanted {
            Wanted::Type(id) => *id == machine.server_type && !id.is_empty(),
            Wanted::Machine(id) => *id == machine.id,
        };
        wanted && (self.site.is_empty() || self.site == machine.site)
    }
}
