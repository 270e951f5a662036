//! Which updates are worth their space: in each channel, the newest few of each component.
//!
//! It is counted per component, because not every update carries every one: the newest `incus` may be three updates
//! old. Updates without a channel count as a channel of their own: taking the last channel from an update must not be
//! a way to delete it (defects 19 and 11.4 of `updates-and-system.md`).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::held::Age;

/// How much is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// How many updates of each component each channel keeps, at least 1.
    pub newest: usize,
    /// How many of the newest updates of an index are looked at, after its filter. It keeps a component that is no
    /// longer published from being fetched from long ago.
    pub considered: usize,
}

impl Default for Policy {
    fn default() -> Self {
        Self { newest: 3, considered: 10 }
    }
}

impl Policy {
    /// The number that is kept, never none.
    pub fn kept(&self) -> usize {
        self.newest.max(1)
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { considered, .. } = self;
        write!(
            f,
            "keep the newest {} of each component in each channel, versions in use and updates that wait for a channel; \
             fetch from the newest {considered} at the source",
            self.kept()
        )
    }
}

/// One update, as far as retention looks at it.
#[derive(Debug, Clone)]
pub struct Candidate<'a> {
    /// Identity.
    pub id: Uuid,
    /// Its place in the order.
    pub age: Age,
    /// Channels it is in; none is a channel too.
    pub channels: BTreeSet<&'a str>,
    /// Components it provides.
    pub components: BTreeSet<&'a str>,
    /// Whether it takes a place. A withdrawn update takes none: what machines can have is counted.
    pub counts: bool,
}

/// A place among the newest that an update has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// In this channel; `None` among those without a channel.
    pub channel: Option<String>,
    /// Of this component.
    pub component: String,
    /// From 1, the newest.
    pub place: usize,
}

/// The best place of every update that has one among the newest `kept`. Who is not in the answer has none.
pub fn places(candidates: &[Candidate<'_>], kept: usize) -> BTreeMap<Uuid, Place> {
    let mut order: Vec<_> = candidates.iter().collect();
    order.sort_by(|a, b| b.age.cmp(&a.age));
    let mut taken: BTreeMap<(Option<&str>, &str), usize> = BTreeMap::new();
    let mut places: BTreeMap<Uuid, Place> = BTreeMap::new();
    for candidate in order {
        let channels: Vec<Option<&str>> = match candidate.channels.is_empty() {
            true => vec![None],
            false => candidate.channels.iter().copied().map(Some).collect(),
        };
        for (channel, component) in channels.iter().flat_map(|ch| candidate.components.iter().map(move |co| (*ch, *co)))
        {
            let before = taken.entry((channel, component)).or_default();
            if *before >= kept {
                continue;
            }
            let place = *before + 1;
            if candidate.counts {
                *before = place;
            }
            if places.get(&candidate.id).is_none_or(|best| place < best.place) {
                let channel = channel.map(str::to_owned);
                places.insert(candidate.id, Place { channel, component: component.to_owned(), place });
            }
        }
    }
    places
}
