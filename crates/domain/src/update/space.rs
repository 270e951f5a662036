//! Whether there is room for a download.

use std::collections::{BTreeMap, BTreeSet};

use super::index::File;

/// Part of the disk that stays free, in percent (`updates-and-system.md` 11.2).
pub const FREE_PERCENT: u64 = 10;

/// There is not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{needed} bytes are to be downloaded, and of {available} that are available {reserved} have to stay free: \
     {missing} bytes are missing; make room, or narrow the filter of files"
)]
pub struct Shortfall {
    /// Bytes to download.
    pub needed: u64,
    /// Bytes available.
    pub available: u64,
    /// Bytes that have to stay free.
    pub reserved: u64,
    /// Bytes that are missing.
    pub missing: u64,
}

/// Bytes that have to be downloaded for these files: a content that is stored already, or that two files share, is not
/// needed again (defect 23).
pub fn needed<'a>(files: impl IntoIterator<Item = &'a File>, stored: &BTreeSet<String>) -> u64 {
    let missing: BTreeMap<&str, u64> =
        files.into_iter().filter(|f| !stored.contains(&f.sha256)).map(|f| (f.sha256.as_str(), f.size)).collect();
    missing.values().fold(0, |sum, size| sum.saturating_add(*size))
}

/// Checks that `needed` bytes leave a tenth of a disk of `total` bytes free, `available` being what is free now.
///
/// # Errors
/// What is missing.
pub fn check(needed: u64, available: u64, total: u64) -> Result<(), Shortfall> {
    let reserved = total / 100 * FREE_PERCENT + total % 100 * FREE_PERCENT / 100;
    // Nothing to download needs nothing free: a full disk must not keep a complete update from becoming ready.
    let missing = if needed == 0 { 0 } else { needed.saturating_add(reserved).saturating_sub(available) };
    if missing == 0 { Ok(()) } else { Err(Shortfall { needed, available, reserved, missing }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, digest: &str, size: u64) -> File {
        let text = str::to_owned;
        let (kind, component, architecture) = (text("application"), text("incus"), text("x86_64"));
        File { filename: text(name), size, sha256: text(digest), component, kind, architecture }
    }

    #[test]
    fn what_is_stored_or_shared_is_not_counted_again() {
        let files = [file("a", "1", 10), file("b", "1", 10), file("c", "2", 5), file("d", "3", 7)];
        assert_eq!(needed(&files, &BTreeSet::from(["2".to_owned()])), 17);
        assert_eq!(needed([&file("a", "1", u64::MAX), &file("b", "2", 1)], &BTreeSet::new()), u64::MAX);
    }

    #[test]
    fn a_tenth_stays_free() {
        assert_eq!(check(40, 50, 100), Ok(()));
        assert_eq!(check(41, 50, 100).unwrap_err().missing, 1);
        assert_eq!(check(0, 0, 100), Ok(()));
        assert_eq!(check(u64::MAX, 50, u64::MAX).unwrap_err().missing, u64::MAX - 50);
        let text = check(100, 100, 1000).unwrap_err().to_string();
        assert!(text.contains("100 bytes are missing; make room"), "{text}");
    }
}
