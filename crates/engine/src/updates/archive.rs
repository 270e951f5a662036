//! An uploaded tar (`updates-and-system.md` 13): read once from beginning to end, each entry checked as it comes.
//!
//! Nothing of it is visible before all of it is good. `update.sjson` may lie anywhere; what comes before it is stored
//! unseen and judged by it afterwards. What it does not list is read over.

use super::feed::{BrokenOff, FeedReader};
use super::files::{FileError, Files, Part};
use super::manifests;
use super::names::{Meaning, Names, shown};
use bytes::Bytes;
use muster_clients::updates::{Authority, MESSAGE_LIMIT, VerifyError, verify};
use muster_domain::update::index::{self, DocumentError, FILE_SIZE_LIMIT, FILES_LIMIT, File, Published};
use muster_store::tables::updates::Manifest as ManifestRow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io::{self, Read, Write};
use std::time::SystemTime;

/// The signed description, at the root of the archive.
pub(crate) const DESCRIPTION: &str = "update.sjson";
/// The same without signature; nobody believes it.
const UNSIGNED: &str = "update.json";
/// Most entries, folders and headers about headers included.
const ENTRIES_LIMIT: usize = 5 * FILES_LIMIT;
/// Bytes behind the end of the archive that are read over; tar fills its last record.
const TAIL_LIMIT: u64 = 16 << 20;
/// Room that stays for the database and everybody else, in bytes.
const RESERVE: u64 = 16 << 20;
const BUFFER: usize = 256 << 10;

/// What of the system a machine has to find whole, or not at all.
const SYSTEM: [&str; 4] = ["update-efi", "update-usr", "update-usr-verity", "update-usr-verity-signature"];

/// Why an archive is refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ArchiveError {
    /// The body ended early.
    #[error(transparent)]
    BrokenOff(BrokenOff),
    /// It cannot be read as a tar.
    #[error("Invalid archive: {0}")]
    NoTar(String),
    /// One entry is not as it has to be.
    #[error("Invalid archive: {name} {why}")]
    Entry {
        /// Its name, quoted.
        name: String,
        /// What is wrong, and what to do.
        why: String,
    },
    /// The description is not signed by whom it has to be.
    #[error("Invalid archive, {DESCRIPTION}: {0}")]
    Signature(#[from] VerifyError),
    /// The description is not as it has to be.
    #[error("Invalid archive, {DESCRIPTION}: {0}")]
    Description(#[from] DocumentError),
    /// It lacks what it has to have.
    #[error("Invalid archive, {0}")]
    Lacks(String),
    /// There is no room for it.
    #[error(
        "no room for {name}: it has {size} bytes, and of {available} that are available {RESERVE} stay free; make room, or \
         remove updates"
    )]
    Room {
        /// Its name, quoted.
        name: String,
        /// Its size in bytes.
        size: u64,
        /// Bytes available.
        available: u64,
    },
    /// It cannot be stored.
    #[error(transparent)]
    Store(#[from] FileError),
    /// It cannot be written.
    #[error("cannot store {name}: {cause}")]
    Write {
        /// Its name, quoted.
        name: String,
        /// What the system said.
        cause: io::Error,
    },
}

impl ArchiveError {
    /// From reading the body, at this entry.
    pub(super) fn read(error: io::Error, at: &str) -> Self {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<BrokenOff>()) {
            Some(broken) => Self::BrokenOff(broken.clone()),
            // Its text may quote the bytes that it could not read.
            None => Self::NoTar(format!("at {at}: {}", shown(error.to_string().as_bytes()))),
        }
    }

    /// Whether it is the sender's to mend.
    pub(crate) fn by_sender(&self) -> bool {
        !matches!(self, Self::Room { .. } | Self::Store(_) | Self::Write { .. })
    }
}

/// An update that arrived whole, not visible yet.
#[derive(Debug)]
pub(crate) struct Arrived {
    /// Its description, with the files that are here.
    pub(crate) published: Published,
    /// The files that came, by SHA-256.
    pub(crate) parts: BTreeMap<String, Part>,
    /// SHA-256 of the files that did not come because they are here.
    pub(crate) held: BTreeSet<String>,
    /// What its images are made of.
    pub(crate) manifests: Vec<ManifestRow>,
    /// Its description as it was signed.
    pub(crate) document: Bytes,
    /// Who signed it.
    pub(crate) signer: String,
}

/// Reads an archive. `sparing`: its sender left out files that are here, stored or kept. Blocks.
///
/// # Errors
/// Why it is refused. Nothing of it stays, but for what was whole when it broke off: that is kept for a while.
pub(crate) fn read(
    files: &Files,
    authority: &Authority,
    now: SystemTime,
    body: FeedReader,
    sparing: bool,
) -> Result<Arrived, ArchiveError> {
    let mut reading = Reading::new(files);
    match entries(&mut reading, authority, now, body) {
        Ok((document, signer)) => reading.arrived(document, signer, sparing),
        Err(error @ ArchiveError::BrokenOff(_)) => {
            files.keep(std::mem::take(&mut reading.parts))?;
            Err(error)
        }
        Err(error) => Err(error),
    }
}

/// Reads all entries; the description as it was signed, and who signed it.
fn entries(
    reading: &mut Reading<'_>,
    authority: &Authority,
    now: SystemTime,
    body: FeedReader,
) -> Result<(Bytes, String), ArchiveError> {
    let mut archive = tar::Archive::new(body);
    let mut names = Names::default();
    let (mut signer, mut document) = (String::new(), Bytes::new());
    let mut last = "its beginning".to_owned();
    let entries = archive.entries().map_err(|error| ArchiveError::read(error, &last))?.raw(true);
    for (number, entry) in entries.enumerate() {
        if number >= ENTRIES_LIMIT {
            return Err(ArchiveError::NoTar(format!("it has more than {ENTRIES_LIMIT} entries")));
        }
        let mut entry = entry.map_err(|error| ArchiveError::read(error, &last))?;
        let Meaning::File(name, size) = names.meaning(&mut entry)? else { continue };
        last = shown(name.as_bytes());
        if !reading.seen.insert(name.clone()) {
            return Err(ArchiveError::Entry { name: last, why: "is there twice".into() });
        }
        if name == DESCRIPTION {
            document = small(&mut entry, size, &last)?.into();
            let verified = verify(&document, authority, now)?;
            signer = verified.signer;
            reading.describe(index::update(&verified.payload)?)?;
        } else if name != UNSIGNED {
            reading.file(name, size, &mut entry)?;
        }
    }
    let mut body = archive.into_inner();
    if body.ended() {
        let cut = "it ends without the mark of a tar's end; it was cut off, or is none";
        return Err(ArchiveError::NoTar(if reading.seen.is_empty() { "it is empty".into() } else { cut.into() }));
    }
    let tail = io::copy(&mut (&mut body).take(TAIL_LIMIT), &mut io::sink());
    tail.map_err(|error| ArchiveError::read(error, "its end"))?;
    Ok((document, signer))
}

/// The content of the description.
fn small(entry: &mut impl Read, size: u64, name: &str) -> Result<Vec<u8>, ArchiveError> {
    if size > MESSAGE_LIMIT as u64 {
        return Err(VerifyError::TooLarge(usize::try_from(size).unwrap_or(usize::MAX)).into());
    }
    let mut content = Vec::new();
    entry.read_to_end(&mut content).map_err(|error| ArchiveError::read(error, name))?;
    whole(content.len() as u64, size, name)?;
    Ok(content)
}

fn whole(read: u64, size: u64, name: &str) -> Result<(), ArchiveError> {
    if read == size {
        return Ok(());
    }
    Err(ArchiveError::Entry { name: name.to_owned(), why: format!("is cut off after {read} of {size} bytes") })
}

struct Spooled {
    part: Part,
    size: u64,
    sha256: String,
}

struct Reading<'a> {
    files: &'a Files,
    buffer: Vec<u8>,
    seen: HashSet<String>,
    description: Option<Published>,
    /// Listed files by name, with their place in the list.
    listed: HashMap<String, usize>,
    /// Files that came before the description.
    early: Vec<(String, Spooled)>,
    /// Places of the listed files that are here.
    here: BTreeSet<usize>,
    parts: BTreeMap<String, Part>,
}

impl<'a> Reading<'a> {
    fn new(files: &'a Files) -> Self {
        Self {
            files,
            buffer: vec![0; BUFFER],
            seen: HashSet::new(),
            description: None,
            listed: HashMap::new(),
            early: Vec::new(),
            here: BTreeSet::new(),
            parts: BTreeMap::new(),
        }
    }

    fn describe(&mut self, published: Published) -> Result<(), ArchiveError> {
        self.listed = published.files.iter().enumerate().map(|(place, file)| (file.filename.clone(), place)).collect();
        self.description = Some(published);
        for (name, spooled) in std::mem::take(&mut self.early) {
            self.judge(&name, spooled)?;
        }
        Ok(())
    }

    fn file(&mut self, name: String, size: u64, content: &mut impl Read) -> Result<(), ArchiveError> {
        match &self.description {
            Some(published) => match self.listed.get(&name).map(|place| &published.files[*place]) {
                // Read over.
                None => return Ok(()),
                Some(file) => sized(file, size)?,
            },
            None if self.early.len() >= FILES_LIMIT || size > FILE_SIZE_LIMIT => {
                let why = format!("is too much before {DESCRIPTION}; put that first");
                return Err(ArchiveError::Entry { name: shown(name.as_bytes()), why });
            }
            None => {}
        }
        let spooled = self.spool(&shown(name.as_bytes()), size, content)?;
        match self.description {
            Some(_) => self.judge(&name, spooled),
            None => {
                self.early.push((name, spooled));
                Ok(())
            }
        }
    }

    fn spool(&mut self, name: &str, size: u64, content: &mut impl Read) -> Result<Spooled, ArchiveError> {
        let mut available = self.files.space()?.available;
        if size > available.saturating_sub(RESERVE) && self.files.forget(SystemTime::UNIX_EPOCH, 0)? > 0 {
            available = self.files.space()?.available;
        }
        if size > available.saturating_sub(RESERVE) {
            return Err(ArchiveError::Room { name: name.to_owned(), size, available });
        }
        let mut part = self.files.part()?;
        loop {
            let length = match content.read(&mut self.buffer) {
                Ok(0) => break,
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(ArchiveError::read(error, name)),
            };
            let written = part.write_all(&self.buffer[..length]);
            written.map_err(|cause| ArchiveError::Write { name: name.to_owned(), cause })?;
        }
        let (read, sha256) = part.finish()?;
        whole(read, size, name)?;
        Ok(Spooled { part, size, sha256 })
    }

    /// Keeps a stored file that is listed, if it is the one that is listed.
    fn judge(&mut self, name: &str, spooled: Spooled) -> Result<(), ArchiveError> {
        let (Some(published), Some(place)) = (&self.description, self.listed.get(name)) else { return Ok(()) };
        let file = &published.files[*place];
        sized(file, spooled.size)?;
        if file.sha256 != spooled.sha256 {
            let why = format!("has the SHA-256 {}, and {DESCRIPTION} says {}", spooled.sha256, file.sha256);
            return Err(ArchiveError::Entry { name: shown(name.as_bytes()), why });
        }
        self.here.insert(*place);
        self.parts.entry(spooled.sha256).or_insert(spooled.part);
        Ok(())
    }

    fn arrived(mut self, document: Bytes, signer: String, sparing: bool) -> Result<Arrived, ArchiveError> {
        let Some(mut published) = self.description else {
            return Err(ArchiveError::Lacks(format!("it has no {DESCRIPTION} at its root")));
        };
        let all = std::mem::take(&mut published.files);
        if all.is_empty() {
            return Err(ArchiveError::Lacks(format!(
                "its {DESCRIPTION} lists no file of a component that is known here"
            )));
        }
        let mut held = BTreeSet::new();
        let absent = all.iter().enumerate().filter(|(place, _)| sparing && !self.here.contains(place));
        let found = absent
            .filter(|(_, file)| self.files.has(&file.sha256, file.size) || self.files.keeps(&file.sha256, file.size));
        for (place, file) in found.collect::<Vec<_>>() {
            self.here.insert(place);
            held.insert(file.sha256.clone());
        }
        if self.here.is_empty() {
            return Err(ArchiveError::Lacks(format!("it has none of the files that {DESCRIPTION} lists")));
        }
        let (here, absent): (Vec<_>, Vec<_>) =
            all.into_iter().enumerate().partition(|(place, _)| self.here.contains(place));
        published.files = here.into_iter().map(|(_, file)| file).collect();
        let absent: Vec<File> = absent.into_iter().map(|(_, file)| file).collect();
        system_is_whole(&published.files, &absent)?;
        let manifests = manifests::of(&published, |file| match self.parts.get(&file.sha256) {
            Some(part) => part.read().map_err(|error| error.to_string()),
            None => self.files.open_any(&file.sha256).map_err(|error| error.to_string()),
        });
        Ok(Arrived { published, parts: self.parts, held, manifests, document, signer })
    }
}

fn sized(file: &File, size: u64) -> Result<(), ArchiveError> {
    if file.size == size {
        return Ok(());
    }
    let why = format!("has {size} bytes, and {DESCRIPTION} says {}", file.size);
    Err(ArchiveError::Entry { name: shown(file.filename.as_bytes()), why })
}

/// An archive may leave out what its sender does not need. Half a system, or none at all where one is listed, would be
/// offered to machines that cannot use it.
fn system_is_whole(here: &[File], absent: &[File]) -> Result<(), ArchiveError> {
    let system = |file: &&File| file.component == "os";
    if let Some(first) = absent.iter().find(system)
        && !here.iter().any(|file| system(&file))
    {
        let name = &first.filename;
        return Err(ArchiveError::Lacks(format!(
            "it has no file of the system, of which {DESCRIPTION} lists {name:?}"
        )));
    }
    let updates = |file: &&File| file.component == "os" && SYSTEM.contains(&file.kind.as_str());
    for missing in absent.iter().filter(updates) {
        if let Some(other) = here.iter().filter(updates).find(|file| file.architecture == missing.architecture) {
            let (missing, other) = (&missing.filename, &other.filename);
            let why =
                format!("it lacks {missing:?}, without which machines cannot use {other:?}: add it, or leave out both");
            return Err(ArchiveError::Lacks(why));
        }
    }
    Ok(())
}
