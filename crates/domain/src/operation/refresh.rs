//! Refresh the updates from their source (`updates-and-system.md` 11): read its index, then do what [`select`] says, one
//! thing at a time, until nothing is left to do.
//!
//! What is to be done is never stored: it follows each time from the index and from what is here. So a crash
//! anywhere costs no more than reading the index again.
//!
//! [`select`]: crate::update::select

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Cause, Decision, Stored};
use crate::update::select::{Action, Plan};

/// Attempts to read the index.
pub const ATTEMPTS: u32 = 3;
/// Pauses between them, in seconds.
const PAUSES: [i64; 2] = [2, 10];
/// A refresh may take a day: a slow line, and many updates.
const LONGEST: SignedDuration = SignedDuration::from_hours(24);

/// The state of a refresh.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refresh {
    /// When it has to be over.
    pub deadline: Timestamp,
    /// An operator accepts an index that is older than the last one.
    pub accept_older: bool,
    /// The index was read; after a crash it is read again.
    pub read: bool,
    /// Failed attempts to read it.
    pub attempts: u32,
    /// Not before this.
    pub not_before: Timestamp,
    /// Why the last attempt to read the index failed.
    pub error: Option<String>,
    /// Whether another attempt makes no sense.
    pub hopeless: bool,
    /// Updates that could not be had this time, with the reason.
    pub failed: BTreeMap<Uuid, String>,
}

/// What is to be decided from: the index is in our hands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Compared {
    /// What becomes of each update.
    pub plan: Plan,
    /// Updates whose stored files are not all there, though they should be.
    pub lacking: BTreeSet<Uuid>,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RefreshAction {
    /// Read and verify the index.
    Index,
    /// Store new updates as pending, and what the source says otherwise of known ones.
    Store,
    /// Download what is missing of this update; then it is ready.
    Download(Uuid),
    /// Delete these.
    Remove(Vec<Uuid>),
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RefreshOutcome {
    /// The index was read.
    Read,
    /// It was not.
    Unread {
        /// Why.
        why: String,
        /// Another attempt may succeed.
        passing: bool,
    },
    /// An update could not be had.
    Failed(Uuid, String),
    /// It is done; what is next follows from what is here.
    Done,
}

impl Refresh {
    /// Begins now.
    pub fn new(accept_older: bool, now: Timestamp) -> Self {
        Self {
            deadline: now + LONGEST,
            accept_older,
            read: false,
            attempts: 0,
            not_before: now,
            error: None,
            hopeless: false,
            failed: BTreeMap::new(),
        }
    }

    /// What is next. `compared`: none as long as the index is not in our hands.
    pub fn next(&self, compared: Option<&Compared>, now: Timestamp) -> Decision<RefreshAction> {
        if let Some(error) = self.error.as_ref().filter(|_| self.hopeless || self.attempts >= ATTEMPTS) {
            return Decision::Failed(Cause::new("index", error));
        }
        if now >= self.deadline {
            return Decision::Failed(Cause::new(self.step(), "not over within a day; the next refresh goes on"));
        }
        let Some(compared) = compared else {
            if now < self.not_before {
                let error = self.error.as_deref().unwrap_or_default();
                let reason = format!("attempt {} of {ATTEMPTS} failed: {error}", self.attempts);
                return Decision::Wait { until: self.not_before, reason };
            }
            return Decision::Do(RefreshAction::Index);
        };
        // What goes makes room for what comes; it has been replaced by then.
        let gone: Vec<Uuid> = compared.plan.with(Action::Remove).map(|entry| entry.id).collect();
        if !gone.is_empty() {
            return Decision::Do(RefreshAction::Remove(gone));
        }
        if compared.plan.entries.iter().any(|entry| entry.amended || entry.action == Action::Fetch) {
            return Decision::Do(RefreshAction::Store);
        }
        let wanted = compared.plan.entries.iter().find(|entry| {
            let unfinished = matches!(entry.action, Action::Resume | Action::Complete);
            (unfinished || compared.lacking.contains(&entry.id)) && !self.failed.contains_key(&entry.id)
        });
        if let Some(entry) = wanted {
            return Decision::Do(RefreshAction::Download(entry.id));
        }
        if self.failed.is_empty() {
            return Decision::Done;
        }
        let reasons: Vec<&str> = self.failed.values().map(String::as_str).collect();
        Decision::Failed(Cause::new("updates", reasons.join("; ")))
    }

    /// Takes note of what was done.
    pub fn advance(&mut self, outcome: RefreshOutcome, now: Timestamp) {
        match outcome {
            RefreshOutcome::Read => {
                (self.read, self.attempts, self.error) = (true, 0, None);
                // The permission was for this one index.
                self.accept_older = false;
            }
            RefreshOutcome::Unread { why, passing } => {
                let pause = PAUSES.get(self.attempts as usize).copied().unwrap_or_default();
                self.not_before = now + SignedDuration::from_secs(pause);
                self.attempts = self.attempts.saturating_add(1);
                (self.error, self.hopeless) = (Some(why), !passing);
            }
            RefreshOutcome::Failed(id, why) => drop(self.failed.insert(id, why)),
            RefreshOutcome::Done => {}
        }
    }
}

impl Stored for Refresh {
    const KIND: &'static str = "refresh_updates";
    const VERSION: u32 = 1;
    const STEPS: &'static [&'static str] = &["index", "updates"];
    fn step(&self) -> &'static str {
        if self.read { "updates" } else { "index" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::update::select::{Entry, Reason};

    fn id(n: u128) -> Uuid {
        Uuid::from_u128(n)
    }

    fn compared(entries: &[(u128, Action)]) -> Compared {
        let entry = |(n, action): &(u128, Action)| Entry {
            id: id(*n),
            version: n.to_string(),
            action: *action,
            reason: Reason::InUse,
            amended: false,
        };
        let plan = Plan { entries: entries.iter().map(entry).collect(), taken_back: Vec::new() };
        Compared { plan, lacking: BTreeSet::new() }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    #[test]
    fn removes_stores_and_downloads_in_this_order_and_ends() {
        let refresh = Refresh::new(false, at(0));
        let next = |c: &Compared| refresh.next(Some(c), at(1));
        assert_eq!(refresh.next(None, at(1)), Decision::Do(RefreshAction::Index));
        let all = compared(&[(3, Action::Resume), (2, Action::Fetch), (1, Action::Remove)]);
        assert_eq!(next(&all), Decision::Do(RefreshAction::Remove(vec![id(1)])));
        let rest = compared(&[(3, Action::Resume), (2, Action::Fetch)]);
        assert_eq!(next(&rest), Decision::Do(RefreshAction::Store));
        let mut rest = compared(&[(4, Action::Keep), (3, Action::Resume), (2, Action::Complete)]);
        assert_eq!(next(&rest), Decision::Do(RefreshAction::Download(id(3))));
        rest.lacking.insert(id(4));
        assert_eq!(next(&rest), Decision::Do(RefreshAction::Download(id(4))));
        assert_eq!(next(&compared(&[(4, Action::Keep), (9, Action::Leave)])), Decision::Done);
    }

    #[test]
    fn one_update_that_cannot_be_had_does_not_keep_the_others_from_coming() {
        let mut refresh = Refresh::new(false, at(0));
        refresh.advance(RefreshOutcome::Read, at(1));
        refresh.advance(RefreshOutcome::Failed(id(3), "three is damaged".into()), at(2));
        let both = compared(&[(3, Action::Resume), (2, Action::Resume)]);
        assert_eq!(refresh.next(Some(&both), at(3)), Decision::Do(RefreshAction::Download(id(2))));
        let one = compared(&[(3, Action::Resume), (2, Action::Keep)]);
        let failed = Cause::new("updates", "three is damaged");
        assert_eq!(refresh.next(Some(&one), at(3)), Decision::Failed(failed));
    }

    #[test]
    fn a_source_that_is_away_is_asked_again_and_a_forged_index_is_not() {
        let mut refresh = Refresh::new(true, at(0));
        let away = |passing| RefreshOutcome::Unread { why: "away".into(), passing };
        refresh.advance(away(true), at(1));
        assert!(matches!(refresh.next(None, at(2)), Decision::Wait { until, .. } if until == at(3)));
        assert_eq!(refresh.next(None, at(3)), Decision::Do(RefreshAction::Index));
        refresh.advance(away(true), at(3));
        refresh.advance(away(true), at(13));
        assert_eq!(refresh.next(None, at(13)), Decision::Failed(Cause::new("index", "away")));
        let mut refresh = Refresh::new(true, at(0));
        refresh.advance(away(false), at(1));
        assert_eq!(refresh.next(None, at(1)), Decision::Failed(Cause::new("index", "away")));
    }
}
