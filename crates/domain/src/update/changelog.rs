//! What changed between two updates, from the manifests in them (`updates-and-system.md` 15).
//!
//! A [`Manifest`] is parsed once, when its update arrives, and kept in its short form: comparing needs neither the
//! files nor decompression.

use std::collections::{BTreeMap, HashMap, HashSet};

use muster_api::provisioning::update::{Changelog, ChangelogEntries};
use serde::{Deserialize, Serialize};

use super::index::File;
use crate::server::version;

/// Kind of the files that are manifests.
pub const KIND: &str = "image-manifest";
/// Largest manifest, in bytes of JSON.
pub const MANIFEST_LIMIT: usize = 32 << 20;
/// Most packages and artifacts of a manifest, each.
pub const ITEMS_LIMIT: usize = 100_000;
/// Longest name or version, in bytes.
pub const TEXT_LIMIT: usize = 512;
/// Architecture that is meant when none is named, or one that there are no manifests for.
pub const DEFAULT_ARCHITECTURE: &str = "x86_64";

const SUFFIX: &str = ".manifest.json.gz";

/// Why a manifest cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// Larger than [`MANIFEST_LIMIT`].
    #[error("the manifest has {0} bytes, and at most {MANIFEST_LIMIT} are read")]
    Size(usize),
    /// No JSON of the shape of a manifest.
    #[error("{field} of the manifest cannot be read: {cause}")]
    Shape {
        /// Path of the field.
        field: String,
        /// What the reader said.
        cause: String,
    },
    /// More than [`ITEMS_LIMIT`].
    #[error("{list} of the manifest has {count} entries, and at most {ITEMS_LIMIT} are read")]
    Items {
        /// `packages` or `artifacts`.
        list: &'static str,
        /// Found.
        count: usize,
    },
    /// Longer than [`TEXT_LIMIT`].
    #[error("{list}[{index}] of the manifest has a name or version longer than {TEXT_LIMIT} bytes")]
    Text {
        /// `packages` or `artifacts`.
        list: &'static str,
        /// Which one.
        index: usize,
    },
}

/// A package or artifact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(default)]
pub struct Item {
    /// Its name.
    #[serde(deserialize_with = "muster_api::lenient::null_as_default")]
    pub name: String,
    /// Its version.
    #[serde(deserialize_with = "muster_api::lenient::null_as_default")]
    pub version: String,
}

/// What one image is made of: all of a manifest that a changelog needs. Packages come before artifacts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Manifest {
    /// In the order of the file.
    pub items: Vec<Item>,
}

impl Manifest {
    /// Reads the JSON of a manifest, decompressed.
    ///
    /// # Errors
    /// The field that is not as it has to be.
    pub fn parse(json: &[u8]) -> Result<Self, ManifestError> {
        #[derive(Deserialize, Default)]
        #[serde(default)]
        struct Raw {
            #[serde(deserialize_with = "muster_api::lenient::null_as_default")]
            packages: Vec<Item>,
            #[serde(deserialize_with = "muster_api::lenient::null_as_default")]
            artifacts: Vec<Item>,
        }
        if json.len() > MANIFEST_LIMIT {
            return Err(ManifestError::Size(json.len()));
        }
        super::index::object(json)
            .map_err(|shape| ManifestError::Shape { field: "the document".to_owned(), cause: shape.to_string() })?;
        let raw: Raw =
            serde_path_to_error::deserialize(&mut serde_json::Deserializer::from_slice(json)).map_err(|error| {
                let path = error.path().to_string();
                let field = if path == "." { "the document".to_owned() } else { path };
                ManifestError::Shape { field, cause: error.into_inner().to_string() }
            })?;
        for (list, items) in [("packages", &raw.packages), ("artifacts", &raw.artifacts)] {
            if items.len() > ITEMS_LIMIT {
                return Err(ManifestError::Items { list, count: items.len() });
            }
            if let Some(index) = items.iter().position(|i| i.name.len().max(i.version.len()) > TEXT_LIMIT) {
                return Err(ManifestError::Text { list, index });
            }
        }
        Ok(Self { items: raw.packages.into_iter().chain(raw.artifacts).collect() })
    }
}

/// The manifests of one update for one architecture, by component as the changelog names it.
pub type Manifests = BTreeMap<String, Manifest>;

/// The name of a component in a changelog, from its manifest's file: `x86_64/IncusOS_1.manifest.json.gz` is `IncusOS` in
/// update `1`. `None` when the file is no manifest or of another architecture.
pub fn component(file: &File, version: &str, architecture: &str) -> Option<String> {
    let name = file.filename.strip_prefix(architecture)?.strip_prefix('/')?.strip_suffix(SUFFIX)?;
    (file.kind == KIND).then(|| name.replacen(&format!("_{version}"), "", 1))
}

/// The architecture to compare for: the one asked for when any of the files is a manifest for it.
pub fn architecture<'a>(files: &[File], asked: &'a str) -> &'a str {
    let found = files.iter().any(|f| component(f, "", asked).is_some());
    if found { asked } else { DEFAULT_ARCHITECTURE }
}

/// An update as changelogs see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release<'a> {
    /// Its version.
    pub version: &'a str,
    /// Its manifests for the architecture compared.
    pub manifests: &'a Manifests,
}

/// Orders the updates of a channel, the newest first: by version as a number, those that have none last.
pub fn newest_first(releases: &mut [Release<'_>]) {
    releases.sort_by(|a, b| (version::number(b.version), b.version).cmp(&(version::number(a.version), a.version)));
}

/// What changed from `prior` to `current`. Components that `current` does not carry are left out: an update that brings
/// only an application does not remove the rest. Without `prior` everything is new.
pub fn between(current: &Release<'_>, prior: Option<&Release<'_>>, channel: &str) -> Changelog {
    let nothing = Manifest::default();
    let mut components = BTreeMap::new();
    for (name, manifest) in current.manifests {
        let before = prior.and_then(|prior| prior.manifests.get(name)).unwrap_or(&nothing);
        let changes = compare(before, manifest);
        if changes != ChangelogEntries::default() {
            components.insert(name.clone(), changes);
        }
    }
    Changelog {
        current_version: current.version.to_owned(),
        prior_version: prior.map(|p| p.version.to_owned()).unwrap_or_default(),
        channel: channel.to_owned(),
        components: Some(components),
    }
}

/// The changelog of one update within its channel; `None` when it is not there. `releases` are the channel's, the newest
/// first.
pub fn of(releases: &[Release<'_>], version: &str, channel: &str) -> Option<Changelog> {
    let at = releases.iter().position(|r| r.version == version)?;
    Some(between(&releases[at], releases.get(at + 1), channel))
}

/// The changelog of a channel: every update against the one before. The oldest one is not compared with nothing,
/// unless it is the only one. `releases` are the channel's, newest first.
pub fn history(releases: &[Release<'_>], channel: &str) -> Vec<Changelog> {
    match releases {
        [only] => vec![between(only, None, channel)],
        _ => releases.windows(2).map(|pair| between(&pair[0], Some(&pair[1]), channel)).collect(),
    }
}

fn compare(prior: &Manifest, current: &Manifest) -> ChangelogEntries {
    let (before, after) = (by_name(prior), by_name(current));
    let mut entries = ChangelogEntries::default();
    for item in distinct(current) {
        let known = before.get(item.name.as_str());
        // A name that is there several times has no one version to come from: it gains and loses versions.
        let replaces = known.is_some_and(|known| known.len() == 1 && after[item.name.as_str()].len() == 1);
        if !replaces && known.is_none_or(|known| !known.contains(&item.version.as_str())) {
            entries.added.push(format!("{} version {}", item.name, item.version));
        }
    }
    for item in distinct(prior) {
        match (after.get(item.name.as_str()), before[item.name.as_str()].len()) {
            (Some(now), 1) if now.len() == 1 => {
                if let Some(now) = now.iter().find(|now| **now != item.version) {
                    entries.updated.push(format!("{} version {} to version {now}", item.name, item.version));
                }
            }
            (now, _) => {
                if now.is_none_or(|now| !now.contains(&item.version.as_str())) {
                    entries.removed.push(format!("{} version {}", item.name, item.version));
                }
            }
        }
    }
    entries
}

fn by_name(manifest: &Manifest) -> HashMap<&str, HashSet<&str>> {
    let mut names: HashMap<&str, HashSet<&str>> = HashMap::new();
    for item in &manifest.items {
        names.entry(&item.name).or_default().insert(&item.version);
    }
    names
}

/// Each name and version once, in the manifest's order.
fn distinct(manifest: &Manifest) -> impl Iterator<Item = &Item> {
    let mut seen = HashSet::new();
    manifest.items.iter().filter(move |item| seen.insert((item.name.as_str(), item.version.as_str())))
}

#[cfg(test)]
#[path = "changelog_tests.rs"]
mod tests;
