//! What the names and kinds of a tar's entries may be, whoever wrote it: old ones, GNU's long names, and pax.

use super::archive::ArchiveError;
use muster_domain::update::path;
use std::io::Read;
use tar::{EntryType, PaxExtensions};

/// Longest header about another header, in bytes.
const EXTENSION_LIMIT: u64 = 64 << 10;

/// What an entry is to us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Meaning {
    /// A file of this name and size in bytes.
    File(String, u64),
    /// A folder, or a remark about the archive: nothing to store.
    Nothing,
}

/// Reads names that are spread over several entries.
#[derive(Debug, Default)]
pub(super) struct Names {
    long: Option<Vec<u8>>,
    size: Option<u64>,
}

impl Names {
    /// What an entry is. `entry` is read only where it is about the next one.
    pub(super) fn meaning(&mut self, entry: &mut tar::Entry<'_, impl Read>) -> Result<Meaning, ArchiveError> {
        let kind = entry.header().entry_type();
        let named = shown(&entry.header().path_bytes());
        match kind {
            EntryType::GNULongName => {
                let mut name = extension(entry, &named)?;
                name.truncate(name.iter().position(|byte| *byte == 0).unwrap_or(name.len()));
                self.long = Some(name);
                return Ok(Meaning::Nothing);
            }
            EntryType::XHeader => {
                let text = extension(entry, &named)?;
                self.pax(&text, &named)?;
                return Ok(Meaning::Nothing);
            }
            EntryType::XGlobalHeader => {
                extension(entry, &named)?;
                return Ok(Meaning::Nothing);
            }
            _ => {}
        }
        let name = self.long.take().unwrap_or_else(|| entry.header().path_bytes().into_owned());
        let size = entry
            .header()
            .entry_size()
            .map_err(|_| ArchiveError::NoTar(format!("entry {} has no size", shown(&name))))?;
        if self.size.take().is_some_and(|pax| pax != size) {
            return Err(ArchiveError::Entry {
                name: shown(&name),
                why: "has two sizes; write the archive with tar --format=gnu".into(),
            });
        }
        let refused = |why: String| ArchiveError::Entry { name: shown(&name), why };
        let text = std::str::from_utf8(&name).map_err(|_| refused("is no UTF-8".into()))?;
        // As `tar -c .` writes it.
        let mut text = text;
        while let Some(rest) = text.strip_prefix("./") {
            text = rest;
        }
        let folder = kind == EntryType::Directory || (kind == EntryType::Regular && text.ends_with('/') && size == 0);
        if folder {
            let text = text.trim_end_matches('/');
            if !matches!(text, "" | ".") {
                path::check(text).map_err(|why| refused(why.to_string()))?;
            }
            if size > 0 {
                return Err(refused("is a folder with a content".into()));
            }
            return Ok(Meaning::Nothing);
        }
        match kind {
            EntryType::Regular => {}
            EntryType::Symlink | EntryType::Link => {
                return Err(refused("is a link; only files and folders are possible".into()));
            }
            EntryType::GNUSparse => {
                return Err(refused("is stored as a sparse file; write the archive without --sparse".into()));
            }
            _ => return Err(refused("is neither a file nor a folder; nothing else is possible".into())),
        }
        if !path::RESERVED.contains(&text) {
            path::check(text).map_err(|why| refused(why.to_string()))?;
        }
        Ok(Meaning::File(text.to_owned(), size))
    }

    fn pax(&mut self, text: &[u8], named: &str) -> Result<(), ArchiveError> {
        for record in PaxExtensions::new(text) {
            let refused = |why: &str| ArchiveError::Entry { name: named.to_owned(), why: why.to_owned() };
            let record = record.map_err(|_| refused("is a pax header that cannot be read"))?;
            match record.key_bytes() {
                b"path" => self.long = Some(record.value_bytes().to_vec()),
                b"size" => {
                    let size = record.value().ok().and_then(|value| value.parse().ok());
                    self.size = Some(size.ok_or_else(|| refused("is a pax header whose size is no number"))?);
                }
                key if key.starts_with(b"GNU.sparse.") => {
                    return Err(refused("is of a sparse file; write the archive without --sparse"));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// The content of a header about another one.
fn extension(entry: &mut tar::Entry<'_, impl Read>, named: &str) -> Result<Vec<u8>, ArchiveError> {
    let mut content = Vec::new();
    entry.take(EXTENSION_LIMIT + 1).read_to_end(&mut content).map_err(|error| ArchiveError::read(error, named))?;
    if content.len() as u64 > EXTENSION_LIMIT {
        let why = format!("is a header of more than {EXTENSION_LIMIT} bytes");
        return Err(ArchiveError::Entry { name: named.to_owned(), why });
    }
    Ok(content)
}

/// A name from outside for people: quoted and cut.
pub(super) fn shown(name: &[u8]) -> String {
    const SHOWN: usize = 80;
    let text = String::from_utf8_lossy(name);
    match text.char_indices().nth(SHOWN) {
        None => format!("{text:?}"),
        Some((end, _)) => format!("{:?}…", &text[..end]),
    }
}
