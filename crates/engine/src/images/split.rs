//! A stored image taken apart once, so that a seed is spliced in without compressing the image again for every download.
//!
//! The image is compressed anew as one deflate stream in segments: all that is before the place of the seed, the place in
//! pieces, and all that is behind it. Each segment ends at a byte and refers to nothing before itself, so a segment can be
//! replaced, and the whole is still **one** gzip member. Several members would be simpler and just as valid, but browsers
//! read only the first one of a compressed answer.
//!
//! A split image is one file: the segments, then the index as JSON, its length, and a mark.

use flate2::{Compress, Compression, FlushCompress, Status, bufread::MultiGzDecoder};
use muster_domain::image::Layout;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::FileExt;

/// Ends a split image; another form gets another mark.
const MARK: &[u8; 8] = b"MUSTSPL1";
/// The index is small; a longer one is none.
const INDEX_LIMIT: u64 = 1 << 20;
/// Bytes that are read or compressed at once.
const CHUNK: usize = 256 << 10;

/// Why an image cannot be split.
#[derive(Debug, thiserror::Error)]
pub enum SplitError {
    /// The stored file cannot be read, or is no whole gzip file.
    #[error("the stored image cannot be unpacked: {0}")]
    Source(#[source] io::Error),
    /// The result cannot be written.
    #[error("the prepared image cannot be written: {0}")]
    Target(#[source] io::Error),
    /// There is no place for a seed.
    #[error(
        "the image has {size} bytes and ends before the place of the seed at {offset}: it is no image that takes one"
    )]
    TooShort {
        /// Uncompressed size, in bytes.
        size: u64,
        /// Where the seed would begin.
        offset: u64,
    },
}

/// A part of the image that stands for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// Compressed bytes.
    pub length: u64,
    /// Uncompressed bytes.
    pub size: u64,
    /// CRC-32 of the uncompressed bytes.
    pub crc: u32,
}

/// What a split image is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Index {
    /// Before the place of the seed.
    pub before: Segment,
    /// The place of the seed.
    pub pieces: Vec<Segment>,
    /// Behind it; may be empty.
    pub after: Segment,
    /// SHA-256 of all segments, in lower-case hex.
    pub sha256: String,
}

impl Index {
    /// All segments in order.
    pub fn segments(&self) -> impl Iterator<Item = &Segment> {
        std::iter::once(&self.before).chain(&self.pieces).chain(std::iter::once(&self.after))
    }

    /// Reads the index of a split image of `length` bytes. Blocks.
    ///
    /// # Errors
    /// A file that cannot be read, or is not a split image.
    pub fn read(file: &impl FileExt, length: u64) -> io::Result<Self> {
        let broken = |what: &str| io::Error::new(io::ErrorKind::InvalidData, format!("no prepared image: {what}"));
        let tail = length.checked_sub(16).ok_or_else(|| broken("too short"))?;
        let mut end = [0; 16];
        file.read_exact_at(&mut end, tail)?;
        let (size, mark) = end.split_at(8);
        if mark != MARK {
            return Err(broken("the mark is missing"));
        }
        let size = u64::from_le_bytes(size.try_into().unwrap_or_default());
        let at = tail.checked_sub(size).filter(|_| size <= INDEX_LIMIT).ok_or_else(|| broken("no index"))?;
        let mut text = vec![0; usize::try_from(size).map_err(|_| broken("no index"))?];
        file.read_exact_at(&mut text, at)?;
        let index: Self = serde_json::from_slice(&text).map_err(|_| broken("the index cannot be read"))?;
        let sum = index.segments().try_fold(0u64, |sum, segment| sum.checked_add(segment.length));
        if sum != Some(at) { Err(broken("its segments are not all there")) } else { Ok(index) }
    }
}

/// Splits a gzip file. `progress` is told how many uncompressed bytes are done, and ends it by an error. Blocks.
///
/// # Errors
/// [`SplitError`]; what was written by then is of no use.
pub fn split(
    source: impl Read,
    target: &mut impl Write,
    layout: Layout,
    progress: &mut dyn FnMut(u64) -> io::Result<()>,
) -> Result<Index, SplitError> {
    let mut source = BufReader::with_capacity(CHUNK, MultiGzDecoder::new(BufReader::with_capacity(CHUNK, source)));
    let mut target = Hashed { target, hash: Sha256::new() };
    let mut done = 0;
    let mut segment = |limit: u64| -> Result<Segment, SplitError> {
        let mut packer = Packer::default();
        while packer.size < limit {
            let chunk = source.fill_buf().map_err(SplitError::Source)?;
            if chunk.is_empty() {
                break;
            }
            let left = usize::try_from(limit - packer.size).unwrap_or(usize::MAX);
            let taken = chunk.len().min(left);
            packer.add(&chunk[..taken], &mut target).map_err(SplitError::Target)?;
            source.consume(taken);
            done += taken as u64;
            progress(done).map_err(SplitError::Target)?;
        }
        packer.end(&mut target).map_err(SplitError::Target)
    };
    let before = segment(layout.offset)?;
    let mut pieces = Vec::new();
    for _ in 0..layout.pieces {
        let piece = segment(layout.piece)?;
        if piece.size > 0 {
            pieces.push(piece);
        }
        if piece.size < layout.piece {
            break;
        }
    }
    let after = segment(u64::MAX)?;
    if pieces.is_empty() {
        return Err(SplitError::TooShort { size: before.size, offset: layout.offset });
    }
    let index = Index { before, pieces, after, sha256: hex::encode(target.hash.finalize()) };
    let text = serde_json::to_vec(&index).map_err(|error| SplitError::Target(error.into()))?;
    let target = target.target;
    let written = target.write_all(&text).and_then(|()| target.write_all(&(text.len() as u64).to_le_bytes()));
    written.and_then(|()| target.write_all(MARK)).map_err(SplitError::Target)?;
    Ok(index)
}

/// Counts what goes through.
struct Hashed<'a, W> {
    target: &'a mut W,
    hash: Sha256,
}

impl<W: Write> Write for Hashed<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.target.write(bytes)?;
        self.hash.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.target.flush()
    }
}

/// Compresses one segment. The window is its own, and its end is a flush, which ends at a byte.
pub(super) struct Packer {
    deflate: Compress,
    crc: crc32fast::Hasher,
    size: u64,
    out: Vec<u8>,
}

impl Default for Packer {
    fn default() -> Self {
        Self {
            deflate: Compress::new(Compression::default(), false),
            crc: crc32fast::Hasher::new(),
            size: 0,
            out: Vec::with_capacity(CHUNK),
        }
    }
}

impl Packer {
    /// Adds bytes.
    pub(super) fn add(&mut self, bytes: &[u8], target: &mut impl Write) -> io::Result<()> {
        self.crc.update(bytes);
        self.size += bytes.len() as u64;
        self.pump(bytes, FlushCompress::None, target)
    }

    /// Ends the segment. An empty one has no bytes.
    pub(super) fn end(mut self, target: &mut impl Write) -> io::Result<Segment> {
        if self.size > 0 {
            self.pump(&[], FlushCompress::Sync, target)?;
        }
        Ok(Segment { length: self.deflate.total_out(), size: self.size, crc: self.crc.finalize() })
    }

    fn pump(&mut self, mut bytes: &[u8], flush: FlushCompress, target: &mut impl Write) -> io::Result<()> {
        loop {
            self.out.clear();
            let before = self.deflate.total_in();
            let status = self.deflate.compress_vec(bytes, &mut self.out, flush).map_err(io::Error::other)?;
            let taken = usize::try_from(self.deflate.total_in() - before).map_err(io::Error::other)?;
            bytes = &bytes[taken..];
            target.write_all(&self.out)?;
            // A flush is over when it leaves room.
            let full = self.out.len() == self.out.capacity();
            if bytes.is_empty() && !full {
                return Ok(());
            }
            if status == Status::BufError && taken == 0 && self.out.is_empty() {
                return Ok(());
            }
        }
    }
}
