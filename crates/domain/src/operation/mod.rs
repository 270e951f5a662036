//! Plans of what outlives one request: each a small pure `next(state, observed, now)`.
//!
//! The engine loads the state and what is observed, asks for the decision, performs at most one action, records its
//! outcome with `advance`, and asks again. A crash at any point leaves a state from which `next` goes on; where a
//! call may or may not have arrived, the observation decides whether it is repeated.

pub mod call;
pub mod checkup;
pub mod configure;
pub mod factory_reset;
pub mod maintenance;
pub mod poweroff;
pub mod provider;
pub mod reboot;
pub mod refresh;
pub mod register;
pub mod update;

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// What is next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision<A> {
    /// Nothing now. Ask again at `until`, or sooner when something was observed.
    Wait {
        /// When to ask again at the latest; this is at most the deadline.
        until: Timestamp,
        /// What it waits for, for people.
        reason: String,
    },
    /// Perform this one action.
    Do(A),
    /// It is over and went well.
    Done,
    /// It is over and did not.
    Failed(Cause),
}

impl<A> Decision<A> {
    /// The same decision with another kind of action.
    pub fn map<B>(self, change: impl FnOnce(A) -> B) -> Decision<B> {
        match self {
            Self::Wait { until, reason } => Decision::Wait { until, reason },
            Self::Do(action) => Decision::Do(change(action)),
            Self::Done => Decision::Done,
            Self::Failed(cause) => Decision::Failed(cause),
        }
    }
}

/// Why an operation failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{step}: {text}")]
pub struct Cause {
    /// The step that failed.
    pub step: String,
    /// What happened.
    pub text: String,
}

impl Cause {
    /// A cause at a step.
    pub fn new(step: &str, text: impl Into<String>) -> Self {
        Self { step: step.to_owned(), text: text.into() }
    }
}

/// A state that can be stored and read back by a later version.
pub trait Stored: Serialize + DeserializeOwned {
    /// The kind of operation, as stored.
    const KIND: &'static str;
    /// The version of this shape.
    const VERSION: u32;
    /// The names of its steps, in order.
    const STEPS: &'static [&'static str];

    /// The name of the step it is at.
    fn step(&self) -> &'static str;
}

/// A stored state that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum UnreadableState {
    /// Of another kind.
    #[error("this is the state of {0:?}, not of {1:?}")]
    Kind(String, &'static str),
    /// Written by a newer version.
    #[error("the state of {0:?} has version {1}, newer than {2}; it was written by a newer release")]
    Version(&'static str, u32, u32),
    /// Not a state.
    #[error("the state of an operation cannot be read")]
    Shape(#[from] serde_json::Error),
}

#[derive(Serialize, Deserialize)]
struct Envelope {
    kind: String,
    version: u32,
    state: serde_json::Value,
}

/// Writes a state with its kind and version.
pub fn encode<S: Stored>(state: &S) -> Result<String, UnreadableState> {
    let state = serde_json::to_value(state)?;
    Ok(serde_json::to_string(&Envelope { kind: S::KIND.to_owned(), version: S::VERSION, state })?)
}

/// Reads a state back.
pub fn decode<S: Stored>(text: &str) -> Result<S, UnreadableState> {
    let envelope: Envelope = serde_json::from_str(text)?;
    if envelope.kind != S::KIND {
        return Err(UnreadableState::Kind(envelope.kind, S::KIND));
    }
    if envelope.version > S::VERSION {
        return Err(UnreadableState::Version(S::KIND, envelope.version, S::VERSION));
    }
    Ok(serde_json::from_value(envelope.state)?)
}

#[cfg(test)]
mod tests;
