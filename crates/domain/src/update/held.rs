//! An update that is here, and the one order of updates.

use std::collections::BTreeSet;

use muster_api::time::Time;
use uuid::Uuid;

use super::index::{File, Published};
use crate::server::version;

/// Where an update came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// From the update source: it can be fetched again.
    Source,
    /// Carried in by hand: when it is gone, it is gone.
    Upload,
}

/// How much of it is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Not all files are; it has no channels, and machines do not see it.
    Pending,
    /// All are.
    Ready,
}

/// An update that is here, at least in part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Identity.
    pub id: Uuid,
    /// Where it came from.
    pub arrival: Arrival,
    /// How much is here.
    pub progress: Progress,
    /// Our channels that it is assigned to.
    pub channels: BTreeSet<String>,
    /// As it was described when it came; its files are those that passed the filter.
    pub update: Published,
}

/// Orders updates by age: the greater one is the newer one. There is one order for everything (defect 20 of
/// `updates-and-system.md` 28): first what machines compare, the version as a number, then its text, then when it was
/// published, and for the rest the identity, so that no two are equal.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Age {
    number: Option<i64>,
    version: String,
    published: Time,
    id: Uuid,
}

impl Age {
    /// Of an update with this identity.
    pub fn new(id: Uuid, update: &Published) -> Self {
        let published = update.published_at.at();
        Self { number: version::number(&update.version), version: update.version.clone(), published, id }
    }
}

/// The components that these files provide.
pub fn components(files: &[File]) -> BTreeSet<&str> {
    files.iter().map(|file| file.component.as_str()).collect()
}
