//! Where the seed lies in an image (`servers.md` 12.5): at the beginning of its second partition, which is 100 MiB.
//!
//! The place is taken apart in pieces of equal size, so that a seed of any size replaces whole pieces, and what is before
//! and behind them is the same for every seed.

/// Where the place of the seed is, in bytes of the uncompressed image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// Where it begins.
    pub offset: u64,
    /// Size of a piece.
    pub piece: u64,
    /// Pieces at most; an image that ends early has fewer.
    pub pieces: u64,
}

impl Layout {
    /// Of IncusOS images, raw and ISO alike: behind an ESP of 2 GiB that begins at 1 MiB.
    pub const INCUSOS: Self = Self { offset: 2_148_532_224, piece: 1 << 20, pieces: 100 };

    /// The largest seed archive, in bytes.
    pub fn room(self) -> u64 {
        self.piece.saturating_mul(self.pieces)
    }
}
