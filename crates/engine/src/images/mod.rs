//! Images with a seed in them.
//!
//! A stored image is taken apart once ([`split`]); a request's answer is put together of that and of the seed
//! ([`splice`]), so that it has a length, an entity tag and ranges, and costs what a plain file costs.

pub mod splice;
pub mod split;

pub use muster_domain::image::Layout;

use crate::updates::files::Part;
use crate::{Engine, Error};
use muster_api::provisioning::update::UpdateFile;
use sha2::{Digest, Sha256};
use split::{Index, SplitError};
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::Semaphore;

/// How long a request waits for an image to be split. The work goes on behind it.
const PATIENCE: Duration = Duration::from_secs(900);
/// Left free beside a split image, in bytes.
const SPARE: u64 = 64 << 20;

/// The splitting of images: one at a time, since each takes a whole processor.
#[derive(Debug)]
pub(crate) struct Splitting {
    turn: Arc<Semaphore>,
    /// Bytes of the present one that are read, and its size.
    progress: Arc<(AtomicU64, AtomicU64)>,
}

impl Default for Splitting {
    fn default() -> Self {
        Self { turn: Arc::new(Semaphore::new(1)), progress: Arc::default() }
    }
}

/// A split image, opened.
#[derive(Debug)]
pub(crate) struct Split {
    pub(crate) file: File,
    pub(crate) index: Index,
}

/// The split image of a stored one, which is split first where that was not done yet.
///
/// # Errors
/// [`Error::Retryable`] when that takes too long; [`Error::Internal`] for a stored image that is damaged, or a full disk.
pub(crate) async fn get(engine: &Engine, image: &UpdateFile) -> Result<Split, Error> {
    let (work, wanted) = (engine.clone(), image.clone());
    let split = tokio::spawn(async move {
        if let Some(found) = find(&work, &wanted).await? {
            return Ok(found);
        }
        let turn = work.splitting().turn.clone().acquire_owned().await;
        let turn = turn.map_err(|_| Error::Retryable("the daemon stops".into()))?;
        // Somebody else may have done it meanwhile.
        if let Some(found) = find(&work, &wanted).await? {
            return Ok(found);
        }
        let (maker, image) = (work.clone(), wanted.clone());
        blocking(move || {
            let _turn = turn;
            make(&maker, &image)
        })
        .await?;
        find(&work, &wanted)
            .await?
            .ok_or_else(|| Error::Retryable(format!("image {:?} is gone again", wanted.filename)))
    });
    match tokio::time::timeout(PATIENCE, split).await {
        Ok(ended) => {
            ended.map_err(|error| Error::Internal(format!("the splitting of an image ended early: {error}")))?
        }
        Err(_) => {
            let (done, size) = &*engine.splitting().progress;
            let percent = done.load(Ordering::Relaxed) * 100 / size.load(Ordering::Relaxed).max(1);
            let name = &image.filename;
            Err(Error::Retryable(format!("image {name:?} is still being prepared ({percent} %); ask again in a while")))
        }
    }
}

async fn find(engine: &Engine, image: &UpdateFile) -> Result<Option<Split>, Error> {
    let (engine, image) = (engine.clone(), image.clone());
    blocking(move || {
        let file = match engine.files().image(&image.sha256) {
            Err(error) if error.cause.kind() == ErrorKind::NotFound => return Ok(None),
            found => found?,
        };
        let read = file.metadata().and_then(|found| Index::read(&file, found.len()));
        match read {
            Ok(index) => Ok(Some(Split { file, index })),
            Err(error) if error.kind() == ErrorKind::InvalidData => {
                tracing::warn!(image = image.filename, %error, "a prepared image is damaged, or of another version");
                Ok(None)
            }
            Err(error) => Err(Error::Internal(format!("the prepared image cannot be read: {error}"))),
        }
    })
    .await
}

fn make(engine: &Engine, image: &UpdateFile) -> Result<(), Error> {
    let (name, size) = (&image.filename, u64::try_from(image.size).unwrap_or_default());
    let files = engine.files();
    let needed = size.saturating_add(size / 4).saturating_add(SPARE);
    let available = files.space()?.available;
    if available < needed {
        let text = format!("no room to prepare image {name:?}: {needed} bytes are needed, {available} are available");
        return Err(Error::Internal(text));
    }
    let stored = match files.get(&image.sha256) {
        Err(error) if error.cause.kind() == ErrorKind::NotFound => {
            return Err(Error::NotFound(format!("image {name:?} is not stored here; upload the update again")));
        }
        stored => stored?,
    };
    tracing::info!(image = name, bytes = size, "an image is prepared for seeds, once");
    let part = split_into_part(engine, stored, image, size)?;
    files.publishing()?.publish_image(&part, &image.sha256)?;
    tracing::info!(image = name, "the image is prepared");
    Ok(())
}

fn split_into_part(engine: &Engine, stored: File, image: &UpdateFile, size: u64) -> Result<Part, Error> {
    let name = &image.filename;
    let damaged = |why: &dyn std::fmt::Display| {
        Error::Internal(format!("the stored image {name:?} is damaged: {why}; upload the update again"))
    };
    let progress = engine.splitting().progress.clone();
    progress.0.store(0, Ordering::Relaxed);
    progress.1.store(size, Ordering::Relaxed);
    let mut part = engine.files().part()?;
    let mut source = Watched { source: stored, hash: Sha256::new(), done: &progress.0 };
    let mut told = 0;
    let mut watch = |_| {
        if engine.stopping().is_cancelled() {
            return Err(io::Error::other("the daemon stops"));
        }
        let tenth = progress.0.load(Ordering::Relaxed) * 10 / size.max(1);
        if tenth > told && tenth < 10 {
            told = tenth;
            tracing::info!(image = name, percent = tenth * 10, "preparing");
        }
        Ok(())
    };
    split::split(&mut source, &mut part, engine.image_layout(), &mut watch).map_err(|error| match error {
        SplitError::Source(why) => damaged(&why),
        SplitError::TooShort { .. } => Error::Internal(format!("image {name:?} takes no seed: {error}")),
        SplitError::Target(_) => Error::Internal(error.to_string()),
    })?;
    if hex::encode(source.hash.finalize()) != image.sha256 {
        return Err(damaged(&"its SHA-256 is another one"));
    }
    part.finish()?;
    Ok(part)
}

/// Counts and hashes what is read.
struct Watched<'a> {
    source: File,
    hash: Sha256,
    done: &'a AtomicU64,
}

impl Read for Watched<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(out)?;
        self.hash.update(&out[..count]);
        self.done.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}

/// Runs what waits for the disk or the processor on a thread for that.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Error::Internal(format!("the work with an image ended early: {error}")))?
}
