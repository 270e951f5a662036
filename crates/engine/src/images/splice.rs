//! A split image with a seed in it: which bytes of the answer come from the file, and which are made for this seed.

use super::split::{Index, Packer, Segment};
use bytes::Bytes;
use flate2::{Decompress, FlushDecompress};
use muster_domain::image::Layout;
use sha2::{Digest, Sha256};
use std::io;
use std::os::unix::fs::FileExt;

/// Begins a gzip file: deflate, no name, no time, no system.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
/// The last block of a deflate stream, without content.
const LAST: [u8; 2] = [3, 0];

/// Why a seed cannot be spliced in.
#[derive(Debug, thiserror::Error)]
pub enum SpliceError {
    /// The seed is larger than its place.
    #[error("the seed is {size} bytes large, and the image has room for {room}; shorten its documents")]
    NoRoom {
        /// Size of the seed, in bytes.
        size: u64,
        /// Room for it, in bytes.
        room: u64,
    },
    /// The prepared image cannot be read.
    #[error("the prepared image cannot be read: {0}")]
    Source(#[from] io::Error),
}

/// Bytes of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Span {
    /// So many of the file, from there on.
    File {
        /// Where they begin.
        at: u64,
        /// How many there are.
        length: u64,
    },
    /// These.
    Bytes(Bytes),
}

impl Span {
    /// How many bytes it has.
    pub fn length(&self) -> u64 {
        match self {
            Self::File { length, .. } => *length,
            Self::Bytes(bytes) => bytes.len() as u64,
        }
    }
}

/// Fills all of `chunk` with what is from `at` on in these parts. Blocks.
///
/// # Errors
/// A file that cannot be read, or parts that end before.
pub fn read_at(file: &impl FileExt, spans: &[Span], at: u64, mut chunk: &mut [u8]) -> io::Result<()> {
    let mut skip = at;
    for span in spans {
        let length = span.length();
        if skip >= length {
            skip -= length;
            continue;
        }
        let count = usize::try_from(length - skip).unwrap_or(usize::MAX).min(chunk.len());
        let (here, rest) = chunk.split_at_mut(count);
        match span {
            Span::File { at, .. } => file.read_exact_at(here, at + skip)?,
            Span::Bytes(bytes) => {
                let from = usize::try_from(skip).map_err(io::Error::other)?;
                here.copy_from_slice(&bytes[from..from + count]);
            }
        }
        (chunk, skip) = (rest, 0);
        if chunk.is_empty() {
            return Ok(());
        }
    }
    if chunk.is_empty() { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

/// A gzip file, in parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spliced {
    /// Its parts in order.
    pub spans: Vec<Span>,
    /// Identifies its content: equal for equal bytes. Lower-case hex.
    pub tag: String,
    /// Uncompressed bytes.
    pub image: u64,
}

/// Puts a seed in its place. What is in the place behind the seed stays as it is. Blocks.
///
/// # Errors
/// [`SpliceError`].
pub fn splice(file: &impl FileExt, index: &Index, layout: Layout, seed: &[u8]) -> Result<Spliced, SpliceError> {
    let size = seed.len() as u64;
    let room = index.pieces.iter().map(|piece| piece.size).sum();
    if size > room {
        return Err(SpliceError::NoRoom { size, room });
    }
    // Whole pieces are replaced; all but the last one that the seed reaches into are full.
    let replaced = usize::try_from(size.div_ceil(layout.piece)).map_err(io::Error::other)?;
    let (gone, kept) = index.pieces.split_at(replaced.min(index.pieces.len()));
    let mut content = seed.to_vec();
    if let Some((last, full)) = gone.split_last() {
        let covered = seed.len() - usize::try_from(sum(full, |piece| piece.size)).map_err(io::Error::other)?;
        let original = unpack(file, index.before.length + sum(full, |piece| piece.length), last)?;
        content.extend_from_slice(original.get(covered..).unwrap_or_default());
    }
    let mut packed = Vec::new();
    let mut packer = Packer::default();
    packer.add(&content, &mut packed)?;
    let made = packer.end(&mut packed)?;

    let mut crc = crc32fast::Hasher::new();
    let mut image = 0;
    for segment in [&index.before, &made].into_iter().chain(kept).chain([&index.after]) {
        crc.combine(&crc32fast::Hasher::new_with_initial_len(segment.crc, segment.size));
        image += segment.size;
    }
    let mut end = LAST.to_vec();
    end.extend_from_slice(&crc.finalize().to_le_bytes());
    // The size modulo 2^32, as the format has it.
    end.extend_from_slice(&image.to_le_bytes()[..4]);

    let mut tag = Sha256::new();
    tag.update(&index.sha256);
    tag.update(replaced.to_le_bytes());
    tag.update(&packed);
    let behind = index.before.length + sum(gone, |piece| piece.length);
    let spans = vec![
        Span::Bytes(Bytes::from_static(&HEADER)),
        Span::File { at: 0, length: index.before.length },
        Span::Bytes(packed.into()),
        Span::File { at: behind, length: sum(kept, |piece| piece.length) + index.after.length },
        Span::Bytes(end.into()),
    ];
    Ok(Spliced { spans, tag: hex::encode(tag.finalize()), image })
}

fn sum(segments: &[Segment], of: impl Fn(&Segment) -> u64) -> u64 {
    segments.iter().map(of).sum()
}

/// The uncompressed bytes of a segment that begins at `at`.
fn unpack(file: &impl FileExt, at: u64, segment: &Segment) -> io::Result<Vec<u8>> {
    let broken = || io::Error::new(io::ErrorKind::InvalidData, "a piece of it is damaged");
    let length = |bytes: u64| usize::try_from(bytes).map_err(io::Error::other);
    let mut packed = vec![0; length(segment.length)?];
    file.read_exact_at(&mut packed, at)?;
    let size = length(segment.size)?;
    // A byte more than needed: the inflater has to see the end of the segment.
    let mut content = Vec::with_capacity(size + 1);
    Decompress::new(false).decompress_vec(&packed, &mut content, FlushDecompress::Sync).map_err(|_| broken())?;
    if content.len() != size || crc32fast::hash(&content) != segment.crc { Err(broken()) } else { Ok(content) }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
