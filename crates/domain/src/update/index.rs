//! The publisher's documents (`updates-and-system.md` 8): the index of updates, and the description of one.
//!
//! Their signature was verified before, and still nothing in them is believed: counts, sizes, names and texts have
//! limits, and the error names the field. What a later publisher may add (keys, architectures, kinds of files) passes;
//! files of unknown components are dropped, as machines could not use them.

use std::collections::HashSet;
use std::fmt;
use std::str::FromStr;

use muster_api::lenient::null_as_default;
use muster_api::time::TimeText;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::path::{self, PathError, Quoted};

/// The format that is understood.
pub const FORMAT: &str = "1.0";
/// Largest document, in bytes. A real index of ten updates has about 100 kB.
pub const DOCUMENT_LIMIT: usize = 8 << 20;
/// Most updates in an index.
pub const UPDATES_LIMIT: usize = 1_000;
/// Most files of one update.
pub const FILES_LIMIT: usize = 1_000;
/// Most channels of one update.
pub const CHANNELS_LIMIT: usize = 64;
/// Largest file, in bytes: 1 TiB.
pub const FILE_SIZE_LIMIT: u64 = 1 << 40;
/// Longest text besides names of files, in bytes.
pub const TEXT_LIMIT: usize = 128;

/// What a file can be part of; files of anything else are dropped.
pub const COMPONENTS: [&str; 9] = [
    "os",
    "debug",
    "gpu-support",
    "incus",
    "incus-ceph",
    "incus-linstor",
    "migration-manager",
    "openfga",
    "operations-center",
];

/// How urgent an update is; ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Not at all.
    None,
    /// A little.
    Low,
    /// Some.
    Medium,
    /// Soon.
    High,
    /// Now.
    Critical,
}

impl Severity {
    /// All, the least urgent first.
    pub const ALL: [Self; 5] = [Self::None, Self::Low, Self::Medium, Self::High, Self::Critical];

    /// Its name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Severity {
    type Err = Problem;
    fn from_str(text: &str) -> Result<Self, Problem> {
        Self::ALL.into_iter().find(|s| s.as_str() == text).ok_or_else(|| Problem::Severity(text.to_owned()))
    }
}

/// What is wrong with a field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The whole document is too large.
    #[error("has {0} bytes, and at most {DOCUMENT_LIMIT} are read")]
    Size(usize),
    /// Not JSON, or another type than expected.
    #[error("cannot be read: {0}")]
    Shape(String),
    /// Another format.
    #[error("is {quoted}, and only {FORMAT:?} can be read: a newer release of Muster may know it", quoted = Quoted(.0))]
    Format(String),
    /// Must be there.
    #[error("is missing or empty")]
    Missing,
    /// Longer than its limit.
    #[error("is longer than {0} bytes")]
    TooLong(usize),
    /// More entries than its limit.
    #[error("has {count} entries, and at most {limit} are possible")]
    TooMany {
        /// Found.
        count: usize,
        /// Possible.
        limit: usize,
    },
    /// A character that has no place there.
    #[error("has the character {0:?}, which is not possible there")]
    Character(char),
    /// A bad name of a file or folder.
    #[error("{quoted} {cause}", quoted = Quoted(name))]
    Path {
        /// The name.
        name: String,
        /// Why.
        cause: PathError,
    },
    /// In the index, the folder of an update begins at the source's root.
    #[error("is {quoted}, and has to begin with a slash", quoted = Quoted(.0))]
    Relative(String),
    /// Not one of [`Severity::ALL`].
    #[error("is {quoted}; possible are none, low, medium, high and critical", quoted = Quoted(.0))]
    Severity(String),
    /// No RFC 3339 time.
    #[error("is {quoted}, which is no RFC 3339 time", quoted = Quoted(.0))]
    Time(String),
    /// No SHA-256 in lower-case hex. An empty one would leave the file unchecked.
    #[error("is {quoted}, which is no SHA-256 of 64 lower-case hex digits", quoted = Quoted(.0))]
    Digest(String),
    /// Negative, a fraction, or more than [`FILE_SIZE_LIMIT`].
    #[error("is {0}, and has to be between 0 and {FILE_SIZE_LIMIT}")]
    FileSize(String),
    /// The same again.
    #[error("{quoted} is there twice", quoted = Quoted(.0))]
    Twice(String),
    /// A file where another file needs a folder.
    #[error("{quoted} is a file and a folder", quoted = Quoted(.0))]
    FileAndFolder(String),
}

/// What is wrong with a document, and where: `updates[3].files[0].sha256 is …`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} {problem}")]
pub struct DocumentError {
    /// Path of the field; `the document` for all of it.
    pub field: String,
    /// What is wrong.
    pub problem: Problem,
}

fn wrong(field: impl Into<String>, problem: Problem) -> DocumentError {
    DocumentError { field: field.into(), problem }
}

/// One file of an update.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct File {
    /// Name relative to the update's folder; passes [`path::check`].
    pub filename: String,
    /// Bytes as stored, that is compressed.
    pub size: u64,
    /// SHA-256 of the stored bytes, lower-case hex.
    pub sha256: String,
    /// One of [`COMPONENTS`].
    pub component: String,
    /// Kind, such as `application` or `image-raw`; kinds that are not known pass.
    #[serde(rename = "type")]
    pub kind: String,
    /// Empty when it fits all.
    pub architecture: String,
}

/// An update as its publisher describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// Release. Only an uploaded description can leave it empty.
    pub version: String,
    /// Publisher; may be empty.
    pub origin: String,
    /// When, with the publisher's offset.
    pub published_at: TimeText,
    /// How urgent.
    pub severity: Severity,
    /// The publisher's channels; no relation to ours.
    pub channels: Vec<String>,
    /// Folder at the source, with a leading slash; empty in an uploaded description.
    pub url: String,
    /// Its files.
    pub files: Vec<File>,
    /// How many files were dropped because their component is not known.
    pub dropped: usize,
}

impl Published {
    /// Identity of an update that came from a source (`updates-and-system.md` 10.1).
    pub fn source_id(&self) -> Uuid {
        Uuid::new_v5(&Uuid::from_u128(2), format!("{}:{}", self.origin, self.version).as_bytes())
    }

    /// Identity of the same update when it was uploaded; another one, so that both can be there.
    pub fn upload_id(&self) -> Uuid {
        Uuid::new_v5(&Uuid::from_u128(1), format!("{}:{}", self.upload_origin(), self.version).as_bytes())
    }

    /// Publisher of an uploaded update.
    pub fn upload_origin(&self) -> String {
        format!("{} (local)", self.origin)
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct RawIndex {
    #[serde(deserialize_with = "null_as_default")]
    format: String,
    #[serde(deserialize_with = "null_as_default")]
    updates: Vec<RawUpdate>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct RawUpdate {
    #[serde(deserialize_with = "null_as_default")]
    version: String,
    #[serde(deserialize_with = "null_as_default")]
    origin: String,
    #[serde(deserialize_with = "null_as_default")]
    published_at: String,
    #[serde(deserialize_with = "null_as_default")]
    severity: String,
    #[serde(deserialize_with = "null_as_default")]
    channels: Vec<String>,
    #[serde(deserialize_with = "null_as_default")]
    url: String,
    #[serde(deserialize_with = "null_as_default")]
    files: Vec<RawFile>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct RawFile {
    #[serde(deserialize_with = "null_as_default")]
    filename: String,
    size: Option<serde_json::Number>,
    #[serde(deserialize_with = "null_as_default")]
    sha256: String,
    #[serde(deserialize_with = "null_as_default")]
    component: String,
    #[serde(deserialize_with = "null_as_default", rename = "type")]
    kind: String,
    #[serde(deserialize_with = "null_as_default")]
    architecture: String,
}

fn read<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<T, DocumentError> {
    if json.len() > DOCUMENT_LIMIT {
        return Err(wrong("the document", Problem::Size(json.len())));
    }
    object(json).map_err(|shape| wrong("the document", shape))?;
    let mut reader = serde_json::Deserializer::from_slice(json);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        let field = if path == "." { "the document".to_owned() } else { path };
        wrong(field, Problem::Shape(error.into_inner().to_string()))
    })?;
    reader.end().map_err(|error| wrong("the document", Problem::Shape(error.to_string())))?;
    Ok(value)
}

/// A list would be read as an object without keys.
pub(super) fn object(json: &[u8]) -> Result<(), Problem> {
    match json.trim_ascii_start().first() {
        Some(b'{') => Ok(()),
        _ => Err(Problem::Shape("it does not begin with a brace, as a JSON object does".to_owned())),
    }
}

fn counted(field: &str, count: usize, limit: usize) -> Result<(), DocumentError> {
    if count > limit { Err(wrong(field, Problem::TooMany { count, limit })) } else { Ok(()) }
}

/// A short text without control characters.
fn text(field: impl Fn() -> String, text: &str) -> Result<(), DocumentError> {
    if text.len() > TEXT_LIMIT {
        return Err(wrong(field(), Problem::TooLong(TEXT_LIMIT)));
    }
    match text.chars().find(|c| c.is_control()) {
        Some(c) => Err(wrong(field(), Problem::Character(c))),
        None => Ok(()),
    }
}

/// A short text of letters, digits and `._-+~`.
fn word(field: impl Fn() -> String, value: &str) -> Result<(), DocumentError> {
    text(&field, value)?;
    match value.chars().find(|c| !c.is_ascii_alphanumeric() && !"._-+~".contains(*c)) {
        Some(c) => Err(wrong(field(), Problem::Character(c))),
        None => Ok(()),
    }
}

/// Reads `index.json`, the order of the publisher kept.
///
/// # Errors
/// The first field that is not as it has to be.
pub fn index(json: &[u8]) -> Result<Vec<Published>, DocumentError> {
    let raw: RawIndex = read(json)?;
    if raw.format != FORMAT {
        return Err(wrong("format", Problem::Format(raw.format)));
    }
    counted("updates", raw.updates.len(), UPDATES_LIMIT)?;
    let mut seen = HashSet::new();
    let mut updates = Vec::with_capacity(raw.updates.len());
    for (n, raw) in raw.updates.into_iter().enumerate() {
        let field = |name: &str| format!("updates[{n}].{name}");
        if raw.version.is_empty() {
            return Err(wrong(field("version"), Problem::Missing));
        }
        let Some(folder) = raw.url.strip_prefix('/') else {
            return Err(wrong(field("url"), Problem::Relative(raw.url)));
        };
        path::check(folder).map_err(|cause| wrong(field("url"), Problem::Path { name: raw.url.clone(), cause }))?;
        let update = published(raw, &field)?;
        if !seen.insert(update.source_id()) {
            return Err(wrong(field("version"), Problem::Twice(update.version)));
        }
        updates.push(update);
    }
    Ok(updates)
}

/// Reads `update.json` of an uploaded archive. As the reference, it looks at neither `format` nor `url`, and takes an
/// empty version.
///
/// # Errors
/// The first field that is not as it has to be.
pub fn update(json: &[u8]) -> Result<Published, DocumentError> {
    let mut raw: RawUpdate = read(json)?;
    raw.url.clear();
    published(raw, &str::to_owned)
}

fn published(raw: RawUpdate, field: &dyn Fn(&str) -> String) -> Result<Published, DocumentError> {
    word(|| field("version"), &raw.version)?;
    text(|| field("origin"), &raw.origin)?;
    text(|| field("published_at"), &raw.published_at)?;
    let published_at = match raw.published_at.parse::<TimeText>() {
        Ok(time) => time,
        Err(_) => return Err(wrong(field("published_at"), Problem::Time(raw.published_at))),
    };
    let severity = raw.severity.parse().map_err(|problem| wrong(field("severity"), problem))?;
    counted(&field("channels"), raw.channels.len(), CHANNELS_LIMIT)?;
    for (n, channel) in raw.channels.iter().enumerate() {
        text(|| field(&format!("channels[{n}]")), channel)?;
    }
    let (files, dropped) = files(raw.files, field)?;
    let RawUpdate { version, origin, channels, url, .. } = raw;
    Ok(Published { version, origin, published_at, severity, channels, url, files, dropped })
}

fn files(raw: Vec<RawFile>, field: &dyn Fn(&str) -> String) -> Result<(Vec<File>, usize), DocumentError> {
    counted(&field("files"), raw.len(), FILES_LIMIT)?;
    let all = raw.len();
    let mut files = Vec::with_capacity(all);
    let (mut names, mut folders) = (HashSet::new(), HashSet::new());
    for (n, raw) in raw.into_iter().enumerate() {
        let field = |name: &str| field(&format!("files[{n}].{name}"));
        word(|| field("component"), &raw.component)?;
        if !COMPONENTS.contains(&raw.component.as_str()) {
            continue;
        }
        let name = raw.filename;
        if let Err(cause) = path::check(&name) {
            return Err(wrong(field("filename"), Problem::Path { name, cause }));
        }
        word(|| field("type"), &raw.kind)?;
        word(|| field("architecture"), &raw.architecture)?;
        if raw.sha256.len() != 64 || !raw.sha256.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(wrong(field("sha256"), Problem::Digest(raw.sha256)));
        }
        let size = match &raw.size {
            None => 0,
            Some(size) => match size.as_u64() {
                Some(size) if size <= FILE_SIZE_LIMIT => size,
                _ => return Err(wrong(field("size"), Problem::FileSize(size.to_string()))),
            },
        };
        let above: Vec<String> = name.match_indices('/').map(|(at, _)| name[..at].to_owned()).collect();
        if let Some(clash) = above.iter().find(|folder| names.contains(*folder)).or(folders.get(&name)) {
            return Err(wrong(field("filename"), Problem::FileAndFolder(clash.clone())));
        }
        folders.extend(above);
        if !names.insert(name.clone()) {
            return Err(wrong(field("filename"), Problem::Twice(name)));
        }
        files.push(File {
            filename: name,
            size,
            sha256: raw.sha256,
            component: raw.component,
            kind: raw.kind,
            architecture: raw.architecture,
        });
    }
    let dropped = all - files.len();
    Ok((files, dropped))
}

#[cfg(test)]
#[path = "index_tests.rs"]
mod tests;
