//! Images are prepared for seeds before somebody asks: when an update becomes ready, its images are split in the background,
//! one after the other and at a low priority, so that the first download need not wait.
//!
//! Only what can be asked for is prepared: images of the newest update of a channel. What was made of others is removed,
//! since an image that is prepared takes as much room as the image itself; should it be asked for after all (the newer
//! update was withdrawn), it is prepared again. Nothing is stored of what is still to be done: it follows from the list of
//! updates and from what is there, so after a crash it is done anew.

use super::{Splitting, blocking, ensure, find};
use crate::services::update::List;
use crate::{Engine, Error};
use muster_api::provisioning::update::UpdateFile;
use muster_domain::update::space;
use muster_store::tables::images as prepared;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, atomic::Ordering};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Commits within this time are looked at together.
const GATHER: Duration = Duration::from_millis(200);
/// Longest time without a look, in case word of a commit got lost; room may have been made, too.
const LONGEST: Duration = Duration::from_secs(600);
/// How much less urgent the work is than everything else of the daemon.
const NICE: i32 = 10;

/// What an update calls images that take a seed.
const TYPES: [&str; 2] = ["image-iso", "image-raw"];

/// Prepares images until it is told to stop.
pub async fn run(engine: Engine, shutdown: CancellationToken) {
    let mut changed = engine.store().changed();
    let mut ahead = Ahead::default();
    loop {
        changed.borrow_and_update();
        tokio::select! {
            () = shutdown.cancelled() => return,
            looked = ahead.look(&engine) => {
                if let Err(error) = looked {
                    tracing::error!(%error, "cannot see which images are to be prepared");
                }
            }
        }
        let woken = async {
            changed.changed().await.ok();
            tokio::time::sleep(GATHER).await;
        };
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(LONGEST) => ahead.late = true,
            () = woken => {}
        }
    }
}

/// What was seen, so that most looks are short.
#[derive(Default)]
struct Ahead {
    seen: Option<Arc<List>>,
    /// It is time to look for room again.
    late: bool,
    /// Images that could not be prepared, by SHA-256.
    failed: HashMap<String, Failure>,
}

/// Why an image could not be prepared. It is said once.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Failure {
    /// Somebody may make room.
    Room(String),
    /// Another try would end the same way for as long as the updates are the same.
    Image(String),
}

impl Ahead {
    async fn look(&mut self, engine: &Engine) -> Result<(), Error> {
        let list = engine.updates().await?;
        let same = self.seen.as_ref().is_some_and(|seen| Arc::ptr_eq(seen, &list));
        if same && !self.late {
            return Ok(());
        }
        let wanted = wanted(&list);
        self.failed.retain(|sha256, _| wanted.iter().any(|image| image.sha256 == *sha256));
        drop_others(engine, &wanted).await?;
        let mut missing = Vec::new();
        for image in wanted {
            if find(engine, &image).await?.is_none() {
                missing.push(image);
            }
        }
        let unprepared = |count: usize| engine.splitting().unprepared.store(count as u64, Ordering::Relaxed);
        let mut left = missing.len();
        unprepared(left);
        for image in &missing {
            if same && matches!(self.failed.get(&image.sha256), Some(Failure::Image(_))) {
                continue;
            }
            match prepare(engine, image).await {
                Ok(()) => {
                    left -= 1;
                    unprepared(left);
                    self.failed.remove(&image.sha256);
                }
                Err(_) if engine.stopping().is_cancelled() => return Ok(()),
                Err(failure) => {
                    let former = self.failed.insert(image.sha256.clone(), failure.clone());
                    if former.as_ref() != Some(&failure) {
                        let (Failure::Room(why) | Failure::Image(why)) = failure;
                        tracing::warn!(image = image.filename, why, "an image is not prepared for seeds ahead");
                    }
                }
            }
        }
        (self.seen, self.late) = (Some(list), false);
        Ok(())
    }
}

/// Images that can be asked for: those of the newest update that is ready, for each channel.
fn wanted(list: &List) -> Vec<UpdateFile> {
    let (mut channels, mut images) = (HashSet::new(), Vec::<UpdateFile>::new());
    for listed in list.updates().iter().filter(|listed| listed.update.update_status == "ready") {
        // All of its channels are noted, so no short cut.
        let newest = listed.update.channels.iter().filter(|name| channels.insert(name.as_str())).count() > 0;
        for file in listed.files.iter().filter(|file| newest && TYPES.contains(&file.kind.as_str())) {
            if images.iter().all(|image| image.sha256 != file.sha256) {
                images.push(file.clone());
            }
        }
    }
    images
}

/// Removes what was made of images that nobody can ask for any more, those of broken downloads excepted.
async fn drop_others(engine: &Engine, wanted: &[UpdateFile]) -> Result<(), Error> {
    let now = engine.clock().micros();
    let mut kept: HashSet<String> = wanted.iter().map(|image| image.sha256.clone()).collect();
    kept.extend(engine.store().read(move |tx| prepared::sources(tx, now)).await?);
    let engine = engine.clone();
    let dropped = blocking(move || Ok(engine.files().drop_images(&kept)?)).await?;
    if dropped > 0 {
        tracing::info!(dropped, "prepared images of older updates are removed");
    }
    Ok(())
}

/// Prepares an image where that leaves the disk its reserve.
async fn prepare(engine: &Engine, image: &UpdateFile) -> Result<(), Failure> {
    let (looking, needed) = (engine.clone(), Splitting::needed(image));
    let free = blocking(move || Ok(looking.files().space()?)).await;
    let free = free.map_err(|error| Failure::Room(error.to_string()))?;
    // How much is free is another number each time, and nothing new.
    if space::check(needed, free.available, free.total).is_err() {
        let text =
            format!("{needed} bytes are needed, and a tenth of the disk has to stay free; its first download tries");
        return Err(Failure::Room(text));
    }
    ensure(engine, image, quietly).await.map(drop).map_err(|error| Failure::Image(error.to_string()))
}

/// Runs work on a thread of its own that gives way to all others.
async fn quietly<T: Send + 'static>(work: impl FnOnce() -> Result<T, Error> + Send + 'static) -> Result<T, Error> {
    let (tell, told) = tokio::sync::oneshot::channel();
    let thread = std::thread::Builder::new().name("prepare-image".into()).spawn(move || {
        // On Linux this is of the calling thread alone. Where it is refused the work is done all the same.
        rustix::process::setpriority_process(None, NICE).ok();
        tell.send(work()).ok();
    });
    thread.map_err(|error| Error::Internal(format!("no thread to prepare an image: {error}")))?;
    told.await.map_err(|_| Error::Internal("the work with an image ended early".into()))?
}
