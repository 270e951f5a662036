//! Compares the index with what is here, and says for every update what becomes of it, and why.
//!
//! The rule that makes it calm: **an update is removed only when it would not be fetched again, and fetched only when
//! it would not be removed.** Both look at the same places ([`retention`]), so doing what the plan says and planning
//! again changes nothing. What is fetched is judged as if all downloads had succeeded; what is removed must have no place
//! then, and none now: until a newer update is ready, the older one stays, and one that takes the place of a file that
//! the source no longer lists stays too.
//!
//! Apply it one step at a time and plan again after each, or all at once: the end is the same.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use uuid::Uuid;

use super::held::{Age, Arrival, Held, Progress, components};
use super::index::{File, Published};
use super::retention::{self, Candidate, Place, Policy};

/// An update in the index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offered {
    /// Its description, with only those files that passed the filter of files.
    pub update: Published,
    /// Whether it passed the filter of updates.
    pub passes: bool,
}

/// What is known of the source.
#[derive(Debug, Clone, Copy)]
pub enum Source<'a> {
    /// None is configured.
    None,
    /// Its index could not be had, or was refused: nothing is concluded from that.
    Unknown,
    /// Its index, before any filter.
    Index(&'a [Offered]),
}

/// All that the selection depends on.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// What is here.
    pub held: &'a [Held],
    /// What could be.
    pub source: Source<'a>,
    /// Versions that machines run or have installed, of the system and of applications.
    pub in_use: &'a BTreeSet<String>,
    /// Withdrawn updates; also those that are not here, so that they do not come back.
    pub withdrawn: &'a BTreeSet<Uuid>,
    /// Updates that a channel will get after its delay ([`super::promotion`]).
    pub awaited: &'a BTreeSet<Uuid>,
    /// How much is kept.
    pub policy: &'a Policy,
    /// The channel that fetched updates enter.
    pub default_channel: &'a str,
}

/// What becomes of an update.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Store it as pending and download its files.
    Fetch,
    /// It is pending: go on downloading.
    Resume,
    /// It is ready, and its list of files has changed: download what is new, then drop what is not listed.
    Complete,
    /// Nothing to do.
    Keep,
    /// Delete it and its files.
    Remove,
    /// It is at the source and stays there.
    Leave,
}

/// Why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// It is one of the newest in a channel, or will be.
    Newest(Place),
    /// A machine runs it or has it installed.
    InUse,
    /// A channel waits for it.
    Awaited,
    /// Removed, it would be fetched again for the default channel.
    WouldComeBack,
    /// The source cannot be asked now; it is decided when it answers.
    SourceUnknown,
    /// Enough newer ones are there, of each of its components and in each of its channels.
    Outranked,
    /// It was withdrawn here.
    Withdrawn,
    /// Its download was not finished, and the source has it no more.
    Gone,
    /// It does not pass the filter of updates.
    FilteredOut,
    /// None of its files pass the filter of files, or none is of a known component.
    NoFiles,
    /// It is not among the newest of the index that are looked at.
    TooOld,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Newest(Place { channel: Some(channel), component, place }) => {
                return write!(f, "number {place} of the newest with {component} in channel {channel}");
            }
            Self::Newest(Place { channel: None, component, place }) => {
                return write!(f, "number {place} of the newest with {component} that are in no channel");
            }
            Self::InUse => "a server has it installed",
            Self::Awaited => "a channel will get it",
            Self::WouldComeBack => "it would be fetched again",
            Self::SourceUnknown => "the update source cannot be asked now",
            Self::Outranked => "there are enough newer ones in each of its channels",
            Self::Withdrawn => "it was withdrawn",
            Self::Gone => "the update source took it back before it was complete",
            Self::FilteredOut => "the filter of updates leaves it out",
            Self::NoFiles => "the filter of files leaves nothing of it",
            Self::TooOld => "it is older than what is looked at",
        })
    }
}

/// What becomes of one update.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Identity.
    pub id: Uuid,
    /// Release, for the reader.
    pub version: String,
    /// What.
    pub action: Action,
    /// Why.
    pub reason: Reason,
    /// The source describes it otherwise than it is stored (severity, channels of the publisher, folder): store that.
    pub amended: bool,
}

/// What becomes of all of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// Each update once, the newest first.
    pub entries: Vec<Entry>,
    /// Updates that are here and that the source took back, the newest first: its index has older ones, and not these.
    /// Worth a warning: the publisher may have had a reason.
    pub taken_back: Vec<Uuid>,
}

impl Plan {
    /// The updates with this action, the newest first.
    pub fn with(&self, action: Action) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(move |entry| entry.action == action)
    }

    /// Whether nothing is to be done.
    pub fn is_settled(&self) -> bool {
        !self.entries.iter().any(|e| {
            e.amended || matches!(e.action, Action::Fetch | Action::Resume | Action::Complete | Action::Remove)
        })
    }
}

/// Says what becomes of every update.
pub fn select(input: &Input<'_>) -> Plan {
    let index = Index::new(input);
    let wanted = index.wanted(None);
    let ready: Vec<Candidate<'_>> =
        input.held.iter().filter(|h| h.progress == Progress::Ready).map(|h| held(input, h)).collect();
    let places = retention::places(&ready, input.policy.kept());
    let mut entries: Vec<(Age, Entry)> = Vec::new();
    for held in input.held {
        let (action, reason) = match held.progress {
            Progress::Pending => index.pending(held, &wanted),
            Progress::Ready => index.ready(held, places.get(&held.id).or(wanted.get(&held.id))),
        };
        let amended = action != Action::Remove && index.amends(held);
        let version = held.update.version.clone();
        entries.push((Age::new(held.id, &held.update), Entry { id: held.id, version, action, reason, amended }));
    }
    let here: BTreeSet<Uuid> = input.held.iter().map(|h| h.id).collect();
    for (id, offered) in index.offered.iter().filter(|(id, _)| !here.contains(*id)) {
        let (action, reason) = index.new_one(*id, offered, &wanted);
        let version = offered.update.version.clone();
        entries.push((Age::new(*id, &offered.update), Entry { id: *id, version, action, reason, amended: false }));
    }
    entries.sort_by(|(a, _), (b, _)| b.cmp(a));
    Plan { entries: entries.into_iter().map(|(_, entry)| entry).collect(), taken_back: index.taken_back() }
}

fn held<'a>(input: &Input<'a>, held: &'a Held) -> Candidate<'a> {
    Candidate {
        id: held.id,
        age: Age::new(held.id, &held.update),
        channels: held.channels.iter().map(String::as_str).collect(),
        components: components(&held.update.files),
        counts: !input.withdrawn.contains(&held.id),
    }
}

/// The source's index, looked up by identity.
struct Index<'a> {
    input: &'a Input<'a>,
    offered: BTreeMap<Uuid, &'a Offered>,
    /// Those that pass the filter and are new enough to be looked at.
    considered: BTreeSet<Uuid>,
}

impl<'a> Index<'a> {
    fn new(input: &'a Input<'a>) -> Self {
        let offered: BTreeMap<Uuid, &Offered> = match input.source {
            Source::Index(list) => list.iter().map(|o| (o.update.source_id(), o)).collect(),
            Source::None | Source::Unknown => BTreeMap::new(),
        };
        // By time of publication, as the reference looks at them.
        let mut newest: Vec<_> = offered.iter().filter(|(_, o)| o.passes).collect();
        newest.sort_by_key(|(id, o)| std::cmp::Reverse((o.update.published_at.at(), Age::new(**id, &o.update))));
        let considered = newest.into_iter().take(input.policy.considered).map(|(id, _)| *id).collect();
        Self { input, offered, considered }
    }

    /// The description at the source, when it counts.
    fn considered(&self, id: Uuid) -> Option<&'a Offered> {
        if self.considered.contains(&id) { self.offered.get(&id).copied() } else { None }
    }

    /// As if it were ready, in the default channel.
    fn fetched(&self, id: Uuid, files: &'a [File], update: &Published) -> Candidate<'a> {
        Candidate {
            id,
            age: Age::new(id, update),
            channels: BTreeSet::from([self.input.default_channel]),
            components: components(files),
            counts: true,
        }
    }

    /// Places when all downloads have succeeded, and `as_new` were one of them.
    fn wanted(&self, as_new: Option<&'a Held>) -> BTreeMap<Uuid, Place> {
        let mut all = Vec::new();
        for held in self.input.held {
            if as_new.is_some_and(|new| new.id == held.id) {
                let files = self.offered.get(&held.id).map_or(&held.update.files, |o| &o.update.files);
                all.push(self.fetched(held.id, files, &held.update));
            } else if held.progress == Progress::Ready {
                let mut candidate = self::held(self.input, held);
                if let Some(files) = self.changed(held) {
                    candidate.components = components(files);
                }
                all.push(candidate);
            }
        }
        let ready: BTreeSet<Uuid> =
            self.input.held.iter().filter(|h| h.progress == Progress::Ready).map(|h| h.id).collect();
        let possible = self.considered.iter().filter(|id| !ready.contains(*id) && !self.input.withdrawn.contains(*id));
        all.extend(possible.filter_map(|id| {
            let offered = self.offered.get(id)?;
            Some(self.fetched(*id, &offered.update.files, &offered.update))
        }));
        retention::places(&all, self.input.policy.kept())
    }

    fn pending(&self, held: &Held, wanted: &BTreeMap<Uuid, Place>) -> (Action, Reason) {
        if self.input.withdrawn.contains(&held.id) {
            return (Action::Remove, Reason::Withdrawn);
        }
        match (held.arrival, self.input.source) {
            // An upload becomes visible when it is complete; one that is pending was broken off.
            (Arrival::Upload, _) | (_, Source::None) => (Action::Remove, Reason::Gone),
            (Arrival::Source, Source::Unknown) => (Action::Keep, Reason::SourceUnknown),
            (Arrival::Source, Source::Index(_)) => match self.offered.get(&held.id) {
                None => (Action::Remove, Reason::Gone),
                Some(offered) => match self.new_one(held.id, offered, wanted) {
                    (Action::Fetch, reason) => (Action::Resume, reason),
                    (_, reason) => (Action::Remove, reason),
                },
            },
        }
    }

    fn ready(&self, held: &'a Held, place: Option<&Place>) -> (Action, Reason) {
        let withdrawn = self.input.withdrawn.contains(&held.id);
        let reason = if let Some(place) = place {
            Reason::Newest(place.clone())
        } else if self.input.in_use.contains(&held.update.version) {
            Reason::InUse
        } else if self.input.awaited.contains(&held.id) && !withdrawn {
            Reason::Awaited
        } else if !withdrawn && self.would_come_back(held) {
            Reason::WouldComeBack
        } else {
            let reason = if withdrawn { Reason::Withdrawn } else { Reason::Outranked };
            return (Action::Remove, reason);
        };
        let changed = self.changed(held).is_some();
        (if changed { Action::Complete } else { Action::Keep }, reason)
    }

    /// The files at the source, when they are not those that are here. What is withdrawn is not worth a download.
    fn changed(&self, held: &Held) -> Option<&'a [File]> {
        let files = &self.considered(held.id)?.update.files;
        let differs = !files.is_empty() && sorted(files) != sorted(&held.update.files);
        (differs && held.arrival == Arrival::Source && !self.input.withdrawn.contains(&held.id)).then_some(files)
    }

    fn would_come_back(&self, held: &'a Held) -> bool {
        let possible = match self.input.source {
            Source::None => false,
            // It may be in the index.
            Source::Unknown => true,
            Source::Index(_) => self.considered.contains(&held.id),
        };
        held.arrival == Arrival::Source && possible && self.wanted(Some(held)).contains_key(&held.id)
    }

    fn new_one(&self, id: Uuid, offered: &Offered, wanted: &BTreeMap<Uuid, Place>) -> (Action, Reason) {
        let leave = |reason| (Action::Leave, reason);
        if self.input.withdrawn.contains(&id) {
            leave(Reason::Withdrawn)
        } else if !offered.passes {
            leave(Reason::FilteredOut)
        } else if !self.considered.contains(&id) {
            leave(Reason::TooOld)
        } else if offered.update.files.is_empty() {
            leave(Reason::NoFiles)
        } else if let Some(place) = wanted.get(&id) {
            (Action::Fetch, Reason::Newest(place.clone()))
        } else {
            leave(Reason::Outranked)
        }
    }

    /// Whether the source describes it otherwise, its files aside (defect 25: upstream never learns of it).
    fn amends(&self, held: &Held) -> bool {
        let told = |u: &Published| (u.severity, u.channels.clone(), u.url.clone(), u.published_at.clone());
        held.arrival == Arrival::Source
            && self.offered.get(&held.id).is_some_and(|offered| told(&offered.update) != told(&held.update))
    }

    fn taken_back(&self) -> Vec<Uuid> {
        let Some(oldest) = self.offered.iter().map(|(id, o)| Age::new(*id, &o.update)).min() else { return Vec::new() };
        let here = self.input.held.iter().filter(|h| h.arrival == Arrival::Source);
        let gone = here.filter(|h| !self.offered.contains_key(&h.id)).map(|h| (Age::new(h.id, &h.update), h.id));
        let mut gone: Vec<(Age, Uuid)> = gone.filter(|(age, _)| *age > oldest).collect();
        gone.sort_by(|a, b| b.cmp(a));
        gone.into_iter().map(|(_, id)| id).collect()
    }
}

fn sorted(files: &[File]) -> Vec<&File> {
    let mut sorted: Vec<&File> = files.iter().collect();
    sorted.sort();
    sorted
}
