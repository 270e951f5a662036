//! Channels that follow others, frozen channels, and withdrawn updates.
//!
//! A rule reads as it is written: `"stable" follows "testing" after 7 days, severity critical at once`. The delay
//! begins when the update enters the channel that is followed, so a chain of rules adds its delays up.
//!
//! A rule gives an update to a channel once. What was in a channel before and is not now was taken out by hand, and a
//! rule does not argue with an operator.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use muster_api::time::Time;
use uuid::Uuid;

use super::held::Age;
use super::index::Severity;

mod text;
pub use text::{DELAY_LIMIT, RuleError};

const MICROS: i64 = 1_000_000;

/// How a channel gets updates by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The channel that gets them.
    pub channel: String,
    /// The channel that had them before.
    pub follows: String,
    /// How long after, in seconds; at most [`DELAY_LIMIT`].
    pub after: i64,
    /// From this severity on, without the delay.
    pub at_once: Option<Severity>,
}

/// Rules that do not go together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RulesError {
    /// Two for one channel.
    #[error("channel {0:?} follows two channels; it can follow one")]
    Twice(String),
    /// A channel follows itself in the end.
    #[error("channels follow each other in a circle: {}", .0.join(" follows "))]
    Circle(Vec<String>),
}

/// Rules that go together: one for each channel at most, and no circle.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rules(Vec<Rule>);

impl Rules {
    /// Checks them, and puts them in an order in which a channel comes after the one it follows.
    ///
    /// # Errors
    /// Two rules for a channel, or a circle.
    pub fn new(rules: impl IntoIterator<Item = Rule>) -> Result<Self, RulesError> {
        let mut left: BTreeMap<String, Rule> = BTreeMap::new();
        for rule in rules {
            if let Some(other) = left.insert(rule.channel.clone(), rule) {
                return Err(RulesError::Twice(other.channel));
            }
        }
        let mut ordered = Vec::with_capacity(left.len());
        while !left.is_empty() {
            let ripe: Vec<String> =
                left.values().filter(|r| !left.contains_key(&r.follows)).map(|r| r.channel.clone()).collect();
            if ripe.is_empty() {
                return Err(RulesError::Circle(circle(&left)));
            }
            ordered.extend(ripe.iter().filter_map(|channel| left.remove(channel)));
        }
        Ok(Self(ordered))
    }

    /// In an order in which a channel comes after the one it follows.
    pub fn iter(&self) -> impl Iterator<Item = &Rule> {
        self.0.iter()
    }
}

/// One circle among rules that all lie before or on one.
fn circle(rules: &BTreeMap<String, Rule>) -> Vec<String> {
    let mut way: Vec<String> = Vec::new();
    let mut at = rules.keys().next().cloned().unwrap_or_default();
    loop {
        if let Some(start) = way.iter().position(|seen| *seen == at) {
            way.push(at);
            return way.split_off(start);
        }
        let next = rules.get(&at).map(|rule| rule.follows.clone()).unwrap_or_default();
        way.push(std::mem::replace(&mut at, next));
    }
}

/// A ready update, as far as channels look at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Identity.
    pub id: Uuid,
    /// How urgent.
    pub severity: Severity,
    /// The channels it is in, and since when.
    pub since: BTreeMap<String, Time>,
    /// Every channel it was ever in.
    pub entered: BTreeSet<String>,
}

/// What a rule waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// Its delay, until then.
    Delay(Time),
    /// The channel is frozen; it is due since then.
    Frozen(Time),
}

/// An update enters a channel now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Promotion {
    /// Which update.
    pub id: Uuid,
    /// Which channel.
    pub channel: String,
    /// The channel that is followed.
    pub from: String,
    /// Without the delay, for its severity.
    pub at_once: bool,
}

/// An update will enter a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// Which update.
    pub id: Uuid,
    /// Which channel.
    pub channel: String,
    /// What for.
    pub hold: Hold,
}

/// What the rules say now.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outcome {
    /// What enters a channel, channels before those that follow them.
    pub promotions: Vec<Promotion>,
    /// What waits.
    pub waiting: Vec<Waiting>,
}

impl Outcome {
    /// When to look again: the first delay that ends. A thaw, an assignment or a new update is a reason as well.
    pub fn next(&self) -> Option<Time> {
        let ends = self.waiting.iter().filter_map(|w| match w.hold {
            Hold::Delay(until) => Some(until),
            Hold::Frozen(_) => None,
        });
        ends.min()
    }

    /// Updates that must not be removed, because a channel will get them.
    pub fn awaited(&self) -> BTreeSet<Uuid> {
        self.waiting.iter().map(|w| w.id).chain(self.promotions.iter().map(|p| p.id)).collect()
    }
}

/// Says which updates enter which channels now, and what the others wait for. Withdrawn updates enter none, and do not
/// wait; frozen channels get none.
pub fn promote(
    rules: &Rules,
    members: &[Member],
    frozen: &BTreeSet<String>,
    withdrawn: &BTreeSet<Uuid>,
    now: Time,
) -> Outcome {
    let mut outcome = Outcome::default();
    for member in members.iter().filter(|m| !withdrawn.contains(&m.id)) {
        // What enters a channel in this run is in it since now.
        let mut since = member.since.clone();
        for rule in rules.iter().filter(|rule| !member.entered.contains(&rule.channel)) {
            let Some(entered) = since.get(&rule.follows) else { continue };
            if since.contains_key(&rule.channel) {
                continue;
            }
            let at_once = rule.at_once.is_some_and(|least| member.severity >= least);
            let delay = if at_once { 0 } else { rule.after.clamp(0, DELAY_LIMIT) * MICROS };
            let due = Time::from_micros(entered.micros().saturating_add(delay));
            let wait = |hold| Waiting { id: member.id, channel: rule.channel.clone(), hold };
            if due > now {
                outcome.waiting.push(wait(Hold::Delay(due)));
            } else if frozen.contains(&rule.channel) {
                outcome.waiting.push(wait(Hold::Frozen(due)));
            } else {
                since.insert(rule.channel.clone(), now);
                let (channel, from) = (rule.channel.clone(), rule.follows.clone());
                outcome.promotions.push(Promotion { id: member.id, channel, from, at_once });
            }
        }
    }
    outcome
}

/// The channels under which an update is told to machines: those of a withdrawn one are not told, so that the newest
/// in each channel is the one before it. A machine that runs it still finds it in the list, without a channel, and stays.
pub fn told(id: Uuid, channels: &BTreeSet<String>, withdrawn: &BTreeSet<Uuid>) -> BTreeSet<String> {
    if withdrawn.contains(&id) { BTreeSet::new() } else { channels.clone() }
}

/// The newest update that machines of a channel are told of.
pub fn newest<'a>(
    updates: impl IntoIterator<Item = (Uuid, &'a Age, &'a BTreeSet<String>)>,
    channel: &str,
    withdrawn: &BTreeSet<Uuid>,
) -> Option<Uuid> {
    let there = updates.into_iter().filter(|(id, _, channels)| !withdrawn.contains(id) && channels.contains(channel));
    there.max_by(|a, b| a.1.cmp(b.1)).map(|(id, _, _)| id)
}

/// What an operator's assignment changes in frozen channels: empty when it may be done. A withdrawn update cannot enter a
/// channel either; taking updates out is always possible.
pub fn refused_by_freeze<'a>(
    before: &BTreeSet<String>,
    after: &'a BTreeSet<String>,
    frozen: &BTreeSet<String>,
) -> Vec<&'a str> {
    after.iter().filter(|c| !before.contains(*c) && frozen.contains(*c)).map(String::as_str).collect()
}

impl fmt::Display for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Delay(until) => write!(f, "until {until}"),
            Self::Frozen(due) => write!(f, "for the channel to be thawed; due since {due}"),
        }
    }
}
