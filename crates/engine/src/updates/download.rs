//! A file on its way from the update source to its place among the [`Files`]: it grows in `downloads/<sha256>`, and what
//! is there of it after a break, or a crash, is not asked for again.

use super::files::{FileError, Files, Publishing, failed};
use crate::{Error, services::update::Download as Turns};
use muster_clients::source::{Source, SourceError};
use muster_domain::update::index::File as Listed;
use muster_store::crash;
use sha2::{Digest, Sha256};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Bytes that are written at once, and that a crash costs at most.
const BATCH: usize = 1 << 20;
/// Breaks in a row, without a byte between them, until it is given up.
const BREAKS: u32 = 4;

/// Why a file could not be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DownloadError {
    /// The source did not give it.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The source gives something else than its index says.
    #[error("file {name:?}: {why}")]
    Wrong {
        /// Its name.
        name: String,
        /// What is wrong.
        why: String,
    },
    /// Another process is at it.
    #[error("file {0:?} is being downloaded by another process")]
    Busy(String),
    /// It cannot be stored.
    #[error(transparent)]
    Store(#[from] FileError),
    /// The thread for it ended early.
    #[error("the download ended early: {0}")]
    Ended(String),
}

impl DownloadError {
    fn is_passing(&self) -> bool {
        matches!(self, Self::Source(error) if error.is_passing())
    }
}

/// Bytes that have come, for whoever shows how far it is.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// Bytes that are here.
    pub(crate) done: AtomicU64,
    /// Files that are here.
    pub(crate) files: AtomicU64,
}

/// A file that is written, and locked for as long as this lives. It stays when this is dropped.
#[derive(Debug)]
pub(crate) struct Partial {
    file: File,
    path: PathBuf,
    sha256: String,
    hash: Sha256,
    size: u64,
}

impl Partial {
    /// Opens what is there of a file, or begins it; none when another process writes it. Blocks: what is there is read.
    fn open(files: &Files, sha256: &str) -> Result<Option<Self>, FileError> {
        // Who clears up must not find one that is not locked yet.
        let _lock = files.locked(false)?;
        let path = files.downloads.join(sha256);
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
        let mut file = file.map_err(failed("open", &path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(failed("lock", &path)(error)),
        }
        let (mut hash, mut size, mut buffer) = (Sha256::new(), 0, vec![0; BATCH]);
        loop {
            let length = file.read(&mut buffer).map_err(failed("read", &path))?;
            if length == 0 {
                break;
            }
            hash.update(&buffer[..length]);
            size += length as u64;
        }
        Ok(Some(Self { file, path, sha256: sha256.to_owned(), hash, size }))
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), FileError> {
        self.file.write_all(bytes).map_err(failed("write", &self.path))?;
        self.hash.update(bytes);
        self.size += bytes.len() as u64;
        crash::point("file:written");
        Ok(())
    }

    /// Forgets what is there.
    fn restart(&mut self) -> Result<(), FileError> {
        self.file.set_len(0).map_err(failed("cut", &self.path))?;
        self.file.seek(SeekFrom::Start(0)).map_err(failed("write", &self.path))?;
        (self.hash, self.size) = (Sha256::new(), 0);
        Ok(())
    }

    /// The SHA-256 of what is there.
    fn digest(&self) -> String {
        hex::encode(self.hash.clone().finalize())
    }

    fn sync(&self) -> Result<(), FileError> {
        self.file.sync_all().map_err(failed("write", &self.path))
    }
}

impl Publishing {
    /// Makes whole files visible. Blocks.
    ///
    /// # Errors
    /// As [`Publishing::publish`].
    pub(crate) fn publish_downloads(&self, whole: &[Partial]) -> Result<(), FileError> {
        self.rename(whole.iter().map(|partial| (partial.path.as_path(), partial.sha256.as_str())))
    }
}

/// Downloads a file to its end, through breaks of the connection; none when it is stored already. `folder`: that of the
/// update at its source.
///
/// # Errors
/// What keeps it from being had.
pub(crate) async fn file(
    engine: &crate::Engine,
    source: &Source,
    folder: &str,
    listed: &Listed,
    progress: &Progress,
) -> Result<Option<Partial>, DownloadError> {
    let (looking, sha256, size) = (engine.clone(), listed.sha256.clone(), listed.size);
    let opened = blocking(move || match looking.files().has(&sha256, size) {
        true => Ok(None),
        false => Partial::open(looking.files(), &sha256).map(Some),
    });
    let mut partial = match opened.await? {
        None => {
            progress.done.fetch_add(listed.size, Ordering::Relaxed);
            progress.files.fetch_add(1, Ordering::Relaxed);
            return Ok(None);
        }
        Some(None) => return Err(DownloadError::Busy(listed.filename.clone())),
        Some(Some(partial)) => partial,
    };
    progress.done.fetch_add(partial.size, Ordering::Relaxed);
    let path = format!("{folder}/{}", listed.filename);
    // Whether all of it came in one answer: a wrong byte of an earlier answer is worth another try.
    let (mut breaks, mut in_one) = (0, false);
    let mut turns = engine.fetches().begin();
    loop {
        if partial.size > listed.size {
            partial = restart(partial, progress).await?;
        }
        if partial.size == listed.size {
            let digest = partial.digest();
            if digest == listed.sha256 {
                partial = with(partial, |partial| partial.sync()).await?;
                progress.files.fetch_add(1, Ordering::Relaxed);
                return Ok(Some(partial));
            }
            partial = restart(partial, progress).await?;
            if in_one {
                let why =
                    format!("Invalid update, file sha256 mismatch, the index says {}, it has {digest}", listed.sha256);
                return Err(DownloadError::Wrong { name: listed.filename.clone(), why });
            }
        }
        let before = partial.size;
        let came;
        (partial, in_one, came) = answer(source, &path, partial, listed, (progress, &mut turns)).await?;
        engine.refreshes().fetched(partial.size.saturating_sub(before));
        match came {
            Ok(()) => breaks = 0,
            Err(error) if !error.is_passing() => return Err(error),
            Err(error) => {
                breaks = if partial.size > before { 1 } else { breaks + 1 };
                if breaks > BREAKS {
                    return Err(error);
                }
                tracing::info!(file = listed.filename, %error, "a download broke off and goes on");
                tokio::time::sleep(Duration::from_secs(1 << (breaks - 1))).await;
            }
        }
    }
}

/// One request, and as much of its answer as comes; answers also whether all of the file came in it.
async fn answer(
    source: &Source,
    path: &str,
    mut partial: Partial,
    listed: &Listed,
    (progress, turns): (&Progress, &mut Turns),
) -> Result<(Partial, bool, Result<(), DownloadError>), DownloadError> {
    let wrong = |why: String| DownloadError::Wrong { name: listed.filename.clone(), why };
    let mut download = match source.file(path, partial.size).await {
        Ok(download) => download,
        Err(error) => return Ok((partial, false, Err(error.into()))),
    };
    if download.from == 0 && partial.size > 0 {
        partial = restart(partial, progress).await?;
    }
    let in_one = partial.size == 0;
    if let Some(length) = download.length()
        && partial.size.saturating_add(length) != listed.size
    {
        let why = format!(
            "the source announces {} bytes, and its index says {}",
            partial.size.saturating_add(length),
            listed.size
        );
        return Ok((partial, in_one, Err(wrong(why))));
    }
    let (mut batch, mut allowed) = (Vec::with_capacity(BATCH), 0);
    let ended = loop {
        if allowed == 0 {
            allowed = turns.turn(listed.size).await;
        }
        let chunk = match download.chunk().await {
            Ok(chunk) => chunk,
            Err(error) => break Err(error.into()),
        };
        let Some(chunk) = chunk else { break Ok(()) };
        if partial.size + batch.len() as u64 + chunk.len() as u64 > listed.size {
            break Err(wrong(format!("the source sends more than the {} bytes of its index", listed.size)));
        }
        allowed = allowed.saturating_sub(chunk.len() as u64);
        progress.done.fetch_add(chunk.len() as u64, Ordering::Relaxed);
        batch.extend_from_slice(&chunk);
        if batch.len() >= BATCH {
            let full = std::mem::replace(&mut batch, Vec::with_capacity(BATCH));
            partial = with(partial, move |partial| partial.write(&full)).await?;
        }
    };
    partial = with(partial, move |partial| partial.write(&batch)).await?;
    let ended = match ended {
        // The end came early, and nobody said so.
        Ok(()) if partial.size < listed.size => {
            let why = format!("the answer ended at byte {} of {}", partial.size, listed.size);
            Err(SourceError::BrokenOff { url: path.to_owned(), bytes: partial.size, why }.into())
        }
        ended => ended,
    };
    Ok((partial, in_one, ended))
}

async fn restart(partial: Partial, progress: &Progress) -> Result<Partial, DownloadError> {
    progress.done.fetch_sub(partial.size, Ordering::Relaxed);
    with(partial, Partial::restart).await
}

/// Works on a file on a thread for that.
async fn with(
    mut partial: Partial,
    work: impl FnOnce(&mut Partial) -> Result<(), FileError> + Send + 'static,
) -> Result<Partial, DownloadError> {
    blocking(move || work(&mut partial).map(|()| partial)).await
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, FileError> + Send + 'static,
) -> Result<T, DownloadError> {
    let done = tokio::task::spawn_blocking(work).await;
    Ok(done.map_err(|error| DownloadError::Ended(error.to_string()))??)
}

impl From<DownloadError> for Error {
    fn from(error: DownloadError) -> Self {
        match error {
            DownloadError::Store(error) => error.into(),
            DownloadError::Ended(text) => Self::Internal(text),
            other => Self::Machine(other.to_string()),
        }
    }
}
