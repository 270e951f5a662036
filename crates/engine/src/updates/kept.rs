//! What an upload that broke off had brought whole: it need not be sent again.
//!
//! Only files that a verified description lists are kept, each after its SHA-256 was compared; so nobody fills the disk with
//! anything else than updates. They go after a day, when there are too many of them, and when there is no room for what is
//! being sent. A process that dies keeps nothing: what it was at is removed at the next start, as any part.

use super::files::{FileError, Files, Part, entries, failed, is_whole, remove};
use std::fs::{self, File};
use std::time::{Duration, SystemTime};

/// How long they are kept.
pub(crate) const KEPT_FOR: Duration = Duration::from_secs(24 * 3600);
/// How much is kept, in bytes: a few whole updates.
const LIMIT: u64 = 32 << 30;

impl Files {
    /// Keeps parts, each under its SHA-256. Blocks.
    ///
    /// # Errors
    /// A directory that does not take them.
    pub(crate) fn keep(&self, parts: impl IntoIterator<Item = (String, Part)>) -> Result<(), FileError> {
        for (sha256, part) in parts {
            let target = self.kept.join(sha256);
            fs::rename(&part.path, &target).map_err(failed("rename a part to", &target))?;
        }
        let directory = File::open(&self.kept).and_then(|directory| directory.sync_all());
        directory.map_err(failed("sync", &self.kept))?;
        self.forget(SystemTime::UNIX_EPOCH, LIMIT).map(drop)
    }

    /// Whether a file is kept in full. Blocks.
    pub(crate) fn keeps(&self, sha256: &str, size: u64) -> bool {
        is_whole(&self.kept.join(sha256), size)
    }

    /// Opens a file, stored or kept. Blocks.
    ///
    /// # Errors
    /// One that is neither.
    pub(crate) fn open_any(&self, sha256: &str) -> Result<File, FileError> {
        let kept = self.kept.join(sha256);
        self.get(sha256).or_else(|_| File::open(&kept).map_err(failed("open", &kept)))
    }

    /// Forgets kept files that were written before a time, and the oldest ones until no more than `limit` bytes are left;
    /// answers how many went. Blocks.
    ///
    /// # Errors
    /// A directory that cannot be read, or a file that cannot be removed.
    pub(crate) fn forget(&self, before: SystemTime, limit: u64) -> Result<usize, FileError> {
        // Who publishes has looked whether they are here.
        let _lock = self.locked(true)?;
        let mut kept = Vec::new();
        for path in entries(&self.kept)? {
            let Ok(found) = fs::metadata(&path) else { continue };
            kept.push((found.modified().unwrap_or(SystemTime::UNIX_EPOCH), found.len(), path));
        }
        kept.sort();
        let mut left: u64 = kept.iter().map(|(_, size, _)| size).sum();
        let mut removed = 0;
        for (written, size, path) in kept {
            if written >= before && left <= limit {
                break;
            }
            removed += usize::from(remove(&path)?);
            left -= size;
        }
        Ok(removed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn part(files: &Files, content: &[u8]) -> (String, Part) {
        let mut part = files.part().unwrap();
        part.write_all(content).unwrap();
        let (_, sha256) = part.finish().unwrap();
        (sha256, part)
    }

    #[test]
    fn they_are_kept_whole_and_go_by_age_and_number() {
        let directory = tempfile::tempdir().unwrap();
        let files = Files::open(directory.path()).unwrap();
        let (a, b) = (part(&files, b"one"), part(&files, b"another"));
        let (first, second) = (a.0.clone(), b.0.clone());
        files.keep([a]).unwrap();
        assert!(files.keeps(&first, 3) && !files.keeps(&first, 4) && !files.has(&first, 3));
        // Times of files are as coarse as the file system makes them.
        let old = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
        File::options().append(true).open(files.kept.join(&first)).unwrap().set_modified(old).unwrap();
        files.keep([b]).unwrap();
        assert_eq!(files.forget(SystemTime::UNIX_EPOCH, 10).unwrap(), 0);
        assert_eq!(files.forget(SystemTime::UNIX_EPOCH, 9).unwrap(), 1, "the older one");
        assert!(files.keeps(&second, 7) && !files.keeps(&first, 3));
        files.publishing().unwrap().publish_kept([second.as_str()]).unwrap();
        assert!(files.has(&second, 7) && !files.keeps(&second, 7));
        files.publishing().unwrap().publish_kept([second.as_str()]).unwrap();
        files.publishing().unwrap().publish_kept([first.as_str()]).unwrap_err();
        files.keep([part(&files, b"old")]).unwrap();
        assert_eq!(files.forget(old + KEPT_FOR, u64::MAX).unwrap(), 0);
        let far = SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 40);
        assert_eq!(files.forget(far, u64::MAX).unwrap(), 1);
    }
}
