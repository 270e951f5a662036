//! Updates (`updates-and-system.md` 10, 13, 14): what there is, who gets it, and how it comes and goes.

mod changelog;
mod downloads;
mod export;
mod upload;
mod withdrawal;

pub use crate::updates::list::{List, Listed};
pub use changelog::{Wanted, history, of_server, of_update};
pub use downloads::{Download, Downloads};
pub use export::{Export, export};
pub(crate) use upload::forget_kept;
pub use upload::{missing, upload};
pub use withdrawal::{restore, withdraw, withdrawals};

use crate::updates::files::Files;
use crate::{Actor, Engine, Error, services::audit, services::channel};
use muster_api::provisioning::update::UpdateFile;
use muster_store::{
    Store, StoreError, Tx,
    tables::{channels, updates},
};
use std::collections::HashSet;
use std::fs::File;
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::SystemTime;
use uuid::Uuid;

/// Uploads that are read at the same time; further ones wait.
pub(crate) const UPLOADS: usize = 4;

/// A disk with less left than this is full, in bytes.
const FULL: u64 = 1 << 20;

/// All updates, the newest first.
///
/// # Errors
/// The store's.
pub async fn list(engine: &Engine) -> Result<Arc<List>, Error> {
    engine.updates().await
}

/// One update with its files.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn get(engine: &Engine, uuid: Uuid) -> Result<Listed, Error> {
    engine.updates().await?.get(uuid).cloned().ok_or_else(|| unknown(uuid))
}

fn unknown(uuid: Uuid) -> Error {
    Error::NotFound(format!("update {:?}", uuid.to_string()))
}

/// A file of an update, opened.
#[derive(Debug)]
pub struct Content {
    /// What it is.
    pub file: UpdateFile,
    /// Its bytes.
    pub content: File,
}

/// Opens a file of an update, whatever state that is in: what is stored is whole.
///
/// # Errors
/// [`Error::NotFound`] for a file that is not listed or not here.
pub async fn content(engine: &Engine, uuid: Uuid, name: &str) -> Result<Content, Error> {
    let list = engine.updates().await?;
    let listed = list.get(uuid).ok_or_else(|| unknown(uuid))?;
    let file = listed.files.iter().find(|file| file.filename == name).cloned().ok_or_else(|| {
        let uuid = uuid.to_string();
        Error::NotFound(format!("Requested file {name:?} is not part of update {uuid:?}"))
    })?;
    let engine = engine.clone();
    let opened = blocking(move || {
        let content = match engine.files().get(&file.sha256) {
            Err(error) if error.cause.kind() == ErrorKind::NotFound => {
                let name = &file.filename;
                let text = format!(
                    "File {name:?} of update {:?} is not stored here; upload the update again",
                    uuid.to_string()
                );
                return Err(Error::NotFound(text));
            }
            found => found?,
        };
        let length = content.metadata().map_err(|error| Error::Internal(error.to_string()))?.len();
        if i64::try_from(length) != Ok(file.size) {
            let (name, size) = (&file.filename, file.size);
            let text = format!(
                "the stored file {name:?} is damaged: it has {length} of {size} bytes; upload the update again"
            );
            return Err(Error::Internal(text));
        }
        Ok(Content { file, content })
    });
    opened.await
}

/// Replaces the channels that offer an update. `expected` is the generation that the caller saw.
///
/// # Errors
/// [`Error::NotFound`] for an unknown update or channel, [`Error::Constraint`] for a channel that is named twice,
/// [`Error::NotPermitted`] for an update that is not here in full or withdrawn, and for a frozen channel; [`Error::Stale`].
pub async fn assign(
    engine: &Engine,
    actor: &Actor,
    uuid: Uuid,
    names: Vec<String>,
    expected: Option<i64>,
) -> Result<(), Error> {
    let what = format!("Failed to assign channels {names:?} to update {:?}", uuid.to_string());
    let mut seen = HashSet::new();
    if let Some(twice) = names.iter().find(|name| !seen.insert(name.as_str())) {
        return Err(Error::Constraint(format!("{what}: {twice:?} is there twice")));
    }
    let now = engine.clock().micros();
    let entry = audit::entry(now, actor, "update.assign", "update", &uuid.to_string());
    let done = engine.store().write(move |tx| {
        let Some(row) = updates::get(tx, &uuid.to_string())? else { return Ok(Err(unknown(uuid))) };
        if expected.is_some_and(|seen| seen != row.last_updated) {
            return Err(StoreError::Stale);
        }
        if let Some(missing) = unknown_channel(tx, &names)? {
            return Ok(Err(Error::NotFound(format!("{what}: channel {missing:?}"))));
        }
        if row.status != "ready" && !names.is_empty() {
            let status = &row.status;
            return Ok(Err(Error::NotPermitted(format!(
                "{what}: it is {status}, and machines could not load all of it"
            ))));
        }
        if let Some(why) = withdrawal::refused(tx, &row, &names)? {
            return Ok(Err(Error::NotPermitted(format!("{what}: {why}"))));
        }
        if let Some(why) = channel::refused(tx, &row.channels, &names)? {
            return Ok(Err(Error::NotPermitted(format!("{what}: {why}"))));
        }
        updates::set_channels(tx, &row.uuid, &names, now.max(row.last_updated + 1))?;
        let mut entry = entry.clone();
        entry.from_state = Some(row.channels.join(", "));
        entry.to_state = Some(names.join(", "));
        audit::append(tx, &entry)?;
        Ok(Ok(()))
    });
    done.await?
}

fn unknown_channel(tx: &mut Tx<'_>, names: &[String]) -> Result<Option<String>, StoreError> {
    for name in names {
        if channels::get(tx, name)?.is_none() {
            return Ok(Some(name.clone()));
        }
    }
    Ok(None)
}

/// Deletes every update, uploaded ones and those in use too, and every file.
///
/// Rows go first, so that nothing is listed that is not there. On a full disk the database may not be able to; then, as
/// the reference, the files do.
///
/// # Errors
/// The store's, or files that cannot be removed; the next start removes those.
pub async fn delete_all(engine: &Engine, actor: &Actor) -> Result<(), Error> {
    if let Err(error) = delete_rows(engine, actor).await {
        let full = engine.files().space().is_ok_and(|space| space.available < FULL);
        if !full {
            return Err(error);
        }
        tracing::warn!(%error, "the disk is full: the files of all updates are removed before their rows");
        let files = engine.clone();
        blocking(move || {
            files.files().forget(SystemTime::UNIX_EPOCH, 0)?;
            files.files().sweep(|| Ok::<_, Error>(HashSet::new()))
        })
        .await?;
        delete_rows(engine, actor).await?;
    }
    let (files, store) = (engine.clone(), engine.store().clone());
    blocking(move || {
        files.files().forget(SystemTime::UNIX_EPOCH, 0)?;
        sweep(&store, files.files())
    })
    .await
}

async fn delete_rows(engine: &Engine, actor: &Actor) -> Result<(), Error> {
    let entry = audit::entry(engine.clock().micros(), actor, "update.delete", "update", "*");
    let done = engine.store().write(move |tx| {
        let mut entry = entry.clone();
        let deleted = updates::delete_all(tx)?;
        entry.reason = Some(format!("all updates, {deleted} of them"));
        audit::append(tx, &entry)
    });
    Ok(done.await?)
}

/// Removes files that no update names, and parts of files that nobody writes any more. Blocks.
///
/// # Errors
/// The store's, rows that cannot be read, or files that cannot be removed.
pub(crate) fn sweep(store: &Store, files: &Files) -> Result<(), Error> {
    #[derive(serde::Deserialize)]
    struct Named {
        sha256: String,
    }
    let removed = files.sweep(|| {
        let mut named = HashSet::new();
        for list in store.read_blocking(updates::file_lists)? {
            let list: Vec<Named> = serde_json::from_str(&list)
                .map_err(|_| Error::Internal("an update has a broken list of files; no file is removed".into()))?;
            named.extend(list.into_iter().map(|file| file.sha256));
        }
        Ok::<_, Error>(named)
    })?;
    if removed > 0 {
        tracing::info!(removed, "files that no update names are removed");
    }
    Ok(())
}

/// Runs what waits for the disk on a thread for that.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Error> + Send + 'static) -> Result<T, Error> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Error::Internal(format!("the work with files ended early: {error}")))?
}
