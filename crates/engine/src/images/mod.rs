//! Images with a seed in them.
//!
//! A stored image is taken apart once ([`split`]); a request's answer is put together of that and of the seed
//! ([`splice`]), so that it has a length, an entity tag and ranges, and costs what a plain file costs.

mod ahead;
pub mod splice;
pub mod split;

pub use ahead::run;
pub use muster_domain::image::Layout;

use crate::updates::files::Part;
use crate::{Engine, Error};
use muster_api::provisioning::update::UpdateFile;
use muster_store::crash;
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

/// Time between two looks whether another daemon is done with an image.
const PAUSE: Duration = Duration::from_millis(500);

/// The splitting of images: one at a time, since each takes a whole processor.
#[derive(Debug)]
pub struct Splitting {
    turn: Arc<Semaphore>,
    /// Bytes of the present one that are read, and its size.
    progress: Arc<(AtomicU64, AtomicU64)>,
    done: AtomicU64,
    failed: AtomicU64,
    unprepared: AtomicU64,
}

impl Default for Splitting {
    fn default() -> Self {
        let [done, failed, unprepared] = [const { AtomicU64::new(0) }; 3];
        Self { turn: Arc::new(Semaphore::new(1)), progress: Arc::default(), done, failed, unprepared }
    }
}

impl Splitting {
    /// Images that were prepared since the start.
    pub fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// Times that an image could not be prepared since the start.
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// Images that can be asked for and are not prepared yet.
    pub fn unprepared(&self) -> u64 {
        self.unprepared.load(Ordering::Relaxed)
    }

    /// Bytes of the image that is being prepared: those that are read, and all of them; both 0 when there is none.
    pub fn progress(&self) -> (u64, u64) {
        (self.progress.0.load(Ordering::Relaxed), self.progress.1.load(Ordering::Relaxed))
    }

    /// Room that preparing an image needs, in bytes.
    fn needed(image: &UpdateFile) -> u64 {
        let size = u64::try_from(image.size).unwrap_or_default();
        size.saturating_add(size / 4).saturating_add(SPARE)
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
    let split = tokio::spawn(async move { ensure(&work, &wanted, blocking).await });
    match tokio::time::timeout(PATIENCE, split).await {
        Ok(ended) => {
            ended.map_err(|error| Error::Internal(format!("the splitting of an image ended early: {error}")))?
        }
        Err(_) => {
            let (done, size) = engine.splitting().progress();
            let percent = done * 100 / size.max(1);
            let name = &image.filename;
            Err(Error::Retryable(format!("image {name:?} is still being prepared ({percent} %); ask again in a while")))
        }
    }
}

/// What splits an image, to be run on a thread.
type Work = Box<dyn FnOnce() -> Result<(), Error> + Send>;

/// As [`get`], however long it takes. `run` runs the work, if there is some.
async fn ensure<F: Future<Output = Result<(), Error>>>(
    engine: &Engine,
    image: &UpdateFile,
    run: impl FnOnce(Work) -> F,
) -> Result<Split, Error> {
    if let Some(found) = find(engine, image).await? {
        return Ok(found);
    }
    let turn = engine.splitting().turn.clone().acquire_owned().await;
    let turn = turn.map_err(|_| Error::Retryable("the daemon stops".into()))?;
    // Somebody else may have done it meanwhile.
    if let Some(found) = find(engine, image).await? {
        return Ok(found);
    }
    let (maker, wanted) = (engine.clone(), image.clone());
    let work = move || {
        let _turn = turn;
        let made = make(&maker, &wanted);
        let splitting = maker.splitting();
        if !maker.stopping().is_cancelled() {
            let count = if made.is_ok() { &splitting.done } else { &splitting.failed };
            count.fetch_add(1, Ordering::Relaxed);
        }
        splitting.progress.0.store(0, Ordering::Relaxed);
        splitting.progress.1.store(0, Ordering::Relaxed);
        made
    };
    run(Box::new(work)).await?;
    find(engine, image).await?.ok_or_else(|| Error::Retryable(format!("image {:?} is gone again", image.filename)))
}

async fn find(engine: &Engine, image: &UpdateFile) -> Result<Option<Split>, Error> {
    let (engine, image) = (engine.clone(), image.clone());
    blocking(move || look(&engine, &image)).await
}

fn look(engine: &Engine, image: &UpdateFile) -> Result<Option<Split>, Error> {
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
}

fn make(engine: &Engine, image: &UpdateFile) -> Result<(), Error> {
    let (name, size) = (&image.filename, u64::try_from(image.size).unwrap_or_default());
    let files = engine.files();
    // Of the daemons that share the directory one is at it, and the others find what it made.
    let _alone = loop {
        match files.splitting()? {
            Some(alone) => break alone,
            None if engine.stopping().is_cancelled() => return Err(Error::Retryable("the daemon stops".into())),
            None => std::thread::sleep(PAUSE),
        }
    };
    if look(engine, image)?.is_some() {
        return Ok(());
    }
    let needed = Splitting::needed(image);
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
        crash::point("file:growing");
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
