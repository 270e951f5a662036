//! An update as the archive that another center takes in: its signed description and its files, nothing added.
//!
//! It is never written down: what lies between the files is made when it is asked for, and each part is read where it
//! lies. The same update gives the same bytes, so that a copy that broke off can go on where it was.

use super::{blocking, unknown};
use crate::updates::{archive::DESCRIPTION, list::Listed};
use crate::{Engine, Error};
use bytes::Bytes;
use muster_api::time::TimeText;
use muster_store::tables::updates;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::io;
use std::os::unix::fs::FileExt;
use tar::{Builder, EntryType, Header};
use uuid::Uuid;

/// What a tar is made of, in bytes.
const BLOCK: u64 = 512;

/// An archive that can be read from any place.
pub struct Export {
    engine: Engine,
    pieces: Vec<Piece>,
    /// Name for its file.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
    /// Tells its content from any other: lower-case hex.
    pub tag: String,
}

struct Piece {
    /// Where it begins in the archive.
    at: u64,
    size: u64,
    content: Content,
}

enum Content {
    Bytes(Bytes),
    /// A stored file, by its SHA-256.
    Stored(String),
}

/// Makes the archive of an update.
///
/// # Errors
/// [`Error::NotFound`] for an unknown update or a file that is not here any more; [`Error::NotPermitted`] for one that is
/// not here in full, that is withdrawn, or whose signed description was not kept.
pub async fn export(engine: &Engine, uuid: Uuid) -> Result<Export, Error> {
    let list = engine.updates().await?;
    let listed = list.get(uuid).ok_or_else(|| unknown(uuid))?.clone();
    let refused = |why: &str| Error::NotPermitted(format!("update {:?} cannot be exported: {why}", uuid.to_string()));
    if listed.update.update_status != "ready" {
        return Err(refused("not all of its files are here yet"));
    }
    if let Some(withdrawn) = &listed.update.withdrawn {
        return Err(refused(&format!("it was withdrawn: {}; restore it first", withdrawn.reason)));
    }
    let document = engine.store().read(move |tx| updates::document(tx, &uuid.to_string())).await?;
    let Some(document) = document else {
        return Err(refused("its signed description was not kept when it came; upload it again"));
    };
    let engine = engine.clone();
    blocking(move || {
        let lost = listed.files.iter().find(|file| {
            let size = u64::try_from(file.size).unwrap_or(u64::MAX);
            !engine.files().has(&file.sha256, size)
        });
        if let Some(file) = lost {
            let uuid = uuid.to_string();
            let text =
                format!("File {:?} of update {uuid:?} is not stored here; upload the update again", file.filename);
            return Err(Error::NotFound(text));
        }
        let failed = |error: io::Error| Error::Internal(format!("cannot make an archive: {error}"));
        let (pieces, size) = pieces(&listed, document.into()).map_err(failed)?;
        let tag = tag(&pieces);
        Ok(Export { engine, pieces, size, tag, name: format!("{}.tar", listed.update.version) })
    })
    .await
}

fn pieces(listed: &Listed, document: Bytes) -> io::Result<(Vec<Piece>, u64)> {
    let published = listed.update.published_at.parse::<TimeText>().map(|time| time.at().0.as_second());
    let time = published.ok().and_then(|seconds| u64::try_from(seconds).ok()).unwrap_or_default();
    let (mut pieces, mut at) = (Vec::new(), 0);
    let mut add = |content, size| {
        pieces.push(Piece { at, size, content });
        at += size;
    };
    let mut bytes = head(EntryType::Regular, DESCRIPTION, document.len() as u64, time)?;
    bytes.extend_from_slice(&document);
    bytes.extend(padding(document.len() as u64));
    let mut folders = BTreeSet::new();
    for file in &listed.files {
        // Not every reader makes them by itself.
        for (end, _) in file.filename.match_indices('/') {
            let folder = &file.filename[..=end];
            if folders.insert(folder) {
                bytes.extend(head(EntryType::Directory, folder, 0, time)?);
            }
        }
        let size = u64::try_from(file.size).map_err(io::Error::other)?;
        bytes.extend(head(EntryType::Regular, &file.filename, size, time)?);
        let before: Bytes = std::mem::take(&mut bytes).into();
        let length = before.len() as u64;
        add(Content::Bytes(before), length);
        add(Content::Stored(file.sha256.clone()), size);
        bytes.extend(padding(size));
    }
    // Two empty blocks end it.
    bytes.extend([0; 2 * BLOCK as usize]);
    let length = bytes.len() as u64;
    add(Content::Bytes(bytes.into()), length);
    Ok((pieces, at))
}

/// What stands before the content of an entry.
fn head(kind: EntryType, name: &str, size: u64, time: u64) -> io::Result<Vec<u8>> {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(if kind == EntryType::Directory { 0o755 } else { 0o644 });
    header.set_mtime(time);
    let mut tar = Builder::new(Vec::new());
    // Without the content, what is written is its header, and one more before it where the name is long.
    tar.append_data(&mut header, name, io::empty())?;
    Ok(std::mem::take(tar.get_mut()))
}

/// What fills the last block of a content.
fn padding(size: u64) -> impl Iterator<Item = u8> {
    std::iter::repeat_n(0, (size.next_multiple_of(BLOCK) - size) as usize)
}

fn tag(pieces: &[Piece]) -> String {
    let mut hash = Sha256::new();
    for piece in pieces {
        match &piece.content {
            Content::Bytes(bytes) => hash.update(bytes),
            Content::Stored(sha256) => hash.update(sha256),
        }
    }
    hex::encode(hash.finalize())
}

impl Export {
    /// Fills all of `chunk` with what is from a place on. Blocks.
    ///
    /// # Errors
    /// A stored file that is gone or shorter than it was; a place behind the end.
    pub fn read(&self, at: u64, chunk: &mut [u8]) -> io::Result<()> {
        let (mut at, mut chunk) = (at, chunk);
        let first = self.pieces.partition_point(|piece| piece.at + piece.size <= at);
        for piece in &self.pieces[first..] {
            let from = at - piece.at;
            let count = (piece.size - from).min(chunk.len() as u64) as usize;
            let (here, rest) = chunk.split_at_mut(count);
            match &piece.content {
                Content::Bytes(bytes) => here.copy_from_slice(&bytes[from as usize..from as usize + count]),
                Content::Stored(sha256) => {
                    let file = self.engine.files().get(sha256).map_err(|error| io::Error::other(error.to_string()))?;
                    file.read_exact_at(here, from)?;
                }
            }
            (at, chunk) = (at + count as u64, rest);
            if chunk.is_empty() {
                return Ok(());
            }
        }
        if chunk.is_empty() { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }
}
