//! Files of updates, kept by content: `files/<sha256>`. Two updates that share a file share its bytes.
//!
//! An uploaded file is written to `parts/` first, synced, and its size and SHA-256 compared; then it is renamed, so that what has a
//! name in `files/` is whole. A part is locked by who writes it: after a crash nobody holds the lock, and the next start
//! removes it. Between the rename and the row that names the file, and while files without a row are removed, the lock
//! of the directory is held, shared by those who publish, alone by those who remove. So several daemons may share the
//! directory. A file that is fetched is known by its content beforehand: it grows in `downloads/<sha256>`, and a crash
//! leaves it there to be gone on with (see `download`). What an upload that broke off had brought whole lies in
//! `kept/` for a while (see `kept`).
//!
//! What is made of an image for seeding lies in `images/` under the SHA-256 of the image, and goes with it.

use muster_store::crash;
use sha2::{Digest, Sha256};
use std::collections::HashSet;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Why a file cannot be stored or found.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what} {}: {cause}", path.display())]
pub struct FileError {
    what: &'static str,
    path: PathBuf,
    /// What the system said.
    #[source]
    pub cause: io::Error,
}

pub(super) fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FileError {
    let path = path.to_owned();
    move |cause| FileError { what, path, cause }
}

/// Bytes of a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Bytes that we may still write.
    pub available: u64,
    /// Bytes in all.
    pub total: u64,
}

/// Files by content, in a directory of their own.
#[derive(Debug)]
pub struct Files {
    files: PathBuf,
    images: PathBuf,
    parts: PathBuf,
    pub(super) downloads: PathBuf,
    pub(super) kept: PathBuf,
    lock: PathBuf,
    splitting: PathBuf,
    next: AtomicU64,
}

impl Files {
    /// In this directory, which is made where it is missing. Blocks.
    ///
    /// # Errors
    /// Directories that cannot be made.
    pub fn open(directory: &Path) -> Result<Self, FileError> {
        let [files, images, parts, downloads, kept] =
            ["files", "images", "parts", "downloads", "kept"].map(|name| directory.join(name));
        for path in [&files, &images, &parts, &downloads, &kept] {
            DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed("make", path))?;
        }
        let [lock, splitting] = ["lock", "images.lock"].map(|name| directory.join(name));
        Ok(Self { files, images, parts, downloads, kept, lock, splitting, next: AtomicU64::new(0) })
    }

    fn path(&self, sha256: &str) -> PathBuf {
        self.files.join(sha256)
    }

    pub(super) fn locked(&self, alone: bool) -> Result<File, FileError> {
        let file = lock_file(&self.lock)?;
        if alone { file.lock() } else { file.lock_shared() }.map_err(failed("lock", &self.lock))?;
        Ok(file)
    }

    /// Begins a file that is not visible yet. Blocks.
    ///
    /// # Errors
    /// A file that cannot be made.
    pub fn part(&self) -> Result<Part, FileError> {
        // Who clears parts away must not find one that is not locked yet.
        let _lock = self.locked(false)?;
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let path = self.parts.join(format!("{}-{}", uuid::Uuid::new_v4(), number));
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path);
        let file = file.map_err(failed("make", &path))?;
        file.lock().map_err(failed("lock", &path))?;
        Ok(Part { file, path, hash: Sha256::new(), size: 0 })
    }

    /// Holds off the removal of files that no update names, until the answer is dropped: whoever makes files visible
    /// holds it until the row that names them is committed. Blocks.
    ///
    /// # Errors
    /// A lock that cannot be had.
    pub fn publishing(&self) -> Result<Publishing, FileError> {
        let (files, images, kept) = (self.files.clone(), self.images.clone(), self.kept.clone());
        Ok(Publishing { _lock: self.locked(false)?, files, images, kept })
    }

    /// Opens a stored file. Blocks.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] as the cause when it is not there.
    pub fn get(&self, sha256: &str) -> Result<File, FileError> {
        let path = self.path(sha256);
        File::open(&path).map_err(failed("open", &path))
    }

    /// Opens what was made of an image for seeding. Blocks.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] as the cause when it is not there.
    pub fn image(&self, sha256: &str) -> Result<File, FileError> {
        let path = self.images.join(sha256);
        File::open(&path).map_err(failed("open", &path))
    }

    /// The right to make something of an image for seeding, which one daemon has at a time, until the answer is dropped;
    /// none while another one has it. Blocks for a moment.
    ///
    /// # Errors
    /// A lock that cannot be asked for.
    pub fn splitting(&self) -> Result<Option<File>, FileError> {
        let file = lock_file(&self.splitting)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(failed("lock", &self.splitting)(error)),
        }
    }

    /// Removes what was made of images for seeding whose SHA-256 is not among `kept`; answers how many went. Blocks.
    ///
    /// # Errors
    /// Of the directory.
    pub fn drop_images(&self, kept: &HashSet<String>) -> Result<usize, FileError> {
        let mut removed = 0;
        for path in entries(&self.images)?.into_iter().filter(|path| !is_among(kept, path)) {
            removed += usize::from(remove(&path)?);
        }
        Ok(removed)
    }

    /// Whether a file is there in full. Blocks.
    pub fn has(&self, sha256: &str, size: u64) -> bool {
        is_whole(&self.path(sha256), size)
    }

    /// Bytes that are here of a file that is being fetched. Blocks.
    pub(crate) fn begun(&self, sha256: &str) -> u64 {
        fs::metadata(self.downloads.join(sha256)).map_or(0, |found| found.len())
    }

    /// Removes parts that nobody writes any more, and files and downloads whose name is not among `named`, which is asked
    /// once nobody can publish; answers how many went. Blocks.
    ///
    /// # Errors
    /// Of `named`, or of the directory.
    pub fn sweep<E: From<FileError>>(&self, named: impl FnOnce() -> Result<HashSet<String>, E>) -> Result<usize, E> {
        let _lock = self.locked(true)?;
        let mut removed = 0;
        for path in entries(&self.parts)? {
            removed += usize::from(remove_idle(&path)?);
        }
        let named = named()?;
        for path in entries(&self.downloads)?.into_iter().filter(|path| !is_among(&named, path)) {
            removed += usize::from(remove_idle(&path)?);
        }
        for path in entries(&self.files)?.into_iter().filter(|path| !is_among(&named, path)) {
            removed += usize::from(remove(&path)?);
        }
        Ok(removed + self.drop_images(&named)?)
    }

    /// What is left of the file system.
    ///
    /// # Errors
    /// A file system that does not tell.
    pub fn space(&self) -> Result<Space, FileError> {
        let told = rustix::fs::statvfs(&self.files)
            .map_err(|e| failed("look at the file system of", &self.files)(e.into()))?;
        Ok(Space {
            available: told.f_bavail.saturating_mul(told.f_frsize),
            total: told.f_blocks.saturating_mul(told.f_frsize),
        })
    }
}

fn lock_file(path: &Path) -> Result<File, FileError> {
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path);
    file.map_err(failed("open", path))
}

fn is_among(names: &HashSet<String>, path: &Path) -> bool {
    path.file_name().and_then(|name| name.to_str()).is_some_and(|name| names.contains(name))
}

/// Whether a file is there in full.
pub(super) fn is_whole(path: &Path, size: u64) -> bool {
    fs::metadata(path).is_ok_and(|found| found.is_file() && found.len() == size)
}

fn synced(directory: &Path) -> Result<(), FileError> {
    File::open(directory).and_then(|opened| opened.sync_all()).map_err(failed("sync", directory))
}

pub(super) fn entries(directory: &Path) -> Result<Vec<PathBuf>, FileError> {
    let read = || fs::read_dir(directory)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>();
    read().map_err(failed("list", directory))
}

/// Removes a file that nobody writes: who does holds its lock.
fn remove_idle(path: &Path) -> Result<bool, FileError> {
    let Ok(file) = File::open(path) else { return Ok(false) };
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => Ok(false),
        Ok(()) => remove(path),
        Err(TryLockError::Error(error)) => Err(failed("lock", path)(error)),
    }
}

pub(super) fn remove(path: &Path) -> Result<bool, FileError> {
    match fs::remove_file(path) {
        Ok(()) => {
            crash::point("file:removed");
            Ok(true)
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(failed("remove", path)(error)),
    }
}

/// A file that is being written, or waits to be published; it goes when it is dropped.
#[derive(Debug)]
pub struct Part {
    file: File,
    pub(super) path: PathBuf,
    hash: Sha256,
    size: u64,
}

impl Part {
    /// Makes what was written durable; answers its size and SHA-256 in lower-case hex. Blocks.
    ///
    /// # Errors
    /// A disk that does not take it.
    pub fn finish(&mut self) -> Result<(u64, String), FileError> {
        self.file.sync_all().map_err(failed("write", &self.path))?;
        crash::point("file:written");
        Ok((self.size, hex::encode(std::mem::take(&mut self.hash).finalize())))
    }

    /// To read what was written, from the beginning. Blocks.
    ///
    /// # Errors
    /// A file that cannot be opened.
    pub fn read(&self) -> Result<File, FileError> {
        File::open(&self.path).map_err(failed("open", &self.path))
    }
}

impl Write for Part {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hash.update(&bytes[..written]);
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // What was published has another name already. What cannot be removed now is at the next sweep.
        drop(fs::remove_file(&self.path));
    }
}

/// Files are being made visible; see [`Files::publishing`].
#[derive(Debug)]
pub struct Publishing {
    _lock: File,
    files: PathBuf,
    images: PathBuf,
    kept: PathBuf,
}

impl Publishing {
    /// Makes parts visible, each under its SHA-256, and the names durable. A file that is there already is replaced by
    /// the same content, so that a damaged one is healed. Blocks.
    ///
    /// # Errors
    /// A directory that does not take them; those that were renamed by then are files without a row.
    pub fn publish<'a>(&self, parts: impl IntoIterator<Item = (&'a Part, &'a str)>) -> Result<(), FileError> {
        self.rename(parts.into_iter().map(|(part, sha256)| (part.path.as_path(), sha256)))
    }

    /// As [`Self::publish`], for anything that lies beside the files.
    pub(super) fn rename<'a>(&self, found: impl IntoIterator<Item = (&'a Path, &'a str)>) -> Result<(), FileError> {
        for (path, sha256) in found {
            let target = self.files.join(sha256);
            fs::rename(path, &target).map_err(failed("rename a part to", &target))?;
            crash::point("file:renamed");
        }
        synced(&self.files)
    }

    /// Makes kept files visible (see `kept`). One that another upload has made visible by now is fine. Blocks.
    ///
    /// # Errors
    /// A file that is not here any more, or a directory that does not take it.
    pub fn publish_kept<'a>(&self, kept: impl IntoIterator<Item = &'a str>) -> Result<(), FileError> {
        for sha256 in kept {
            let target = self.files.join(sha256);
            match fs::rename(self.kept.join(sha256), &target) {
                Err(error) if error.kind() == ErrorKind::NotFound && target.exists() => {}
                renamed => renamed.map_err(failed("rename a kept file to", &target))?,
            }
        }
        synced(&self.files)
    }

    /// Makes visible what was made of an image for seeding, unless the image itself is gone meanwhile. Blocks.
    ///
    /// # Errors
    /// A directory that does not take it, or an image that is gone.
    pub fn publish_image(&self, part: &Part, sha256: &str) -> Result<(), FileError> {
        let (image, target) = (self.files.join(sha256), self.images.join(sha256));
        fs::metadata(&image).map_err(failed("find", &image))?;
        fs::rename(&part.path, &target).map_err(failed("rename a part to", &target))?;
        crash::point("file:renamed");
        synced(&self.images)
    }
}

#[cfg(test)]
#[path = "files_tests.rs"]
mod tests;
