//! An update that is carried in by hand (`updates-and-system.md` 13).

use super::{blocking, sweep};
use crate::updates::{
    archive::{self, Arrived},
    feed::{Feed, FeedReader, feed},
    index,
    kept::KEPT_FOR,
};
use crate::{Actor, Engine, Error, services::audit, services::channel};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use muster_api::provisioning::update::Missing;
use muster_clients::updates::{Authority, verify};
use muster_domain::update::index::{File, update as described};
use muster_store::{
    StoreError, Tx,
    tables::{
        audit::Entry,
        updates::{self, Update as UpdateRow},
    },
};
use std::collections::HashSet;
use std::time::{Duration, SystemTime};
use uuid::Uuid;

/// How long a sender may be silent.
const PATIENCE: Duration = Duration::from_secs(60);
/// What is still taken from a sender whose upload is refused, so that it comes to read why: in bytes, and for how long.
const REST: usize = 64 << 20;
const REST_WITHIN: Duration = Duration::from_secs(10);

/// Takes in an update: an uncompressed tar with `update.sjson` and the files that it lists. All of it becomes visible at
/// once, in the configured channel for updates unless that is frozen, or nothing does.
///
/// With `sparing` the archive may lack files whose content is here: those of other updates, and those that an upload which
/// broke off had brought whole ([`missing`] says which are not).
///
/// An update that is here already is completed by files that it lacks, or that got lost, or by its signed description
/// where that was not kept.
///
/// # Errors
/// [`Error::Invalid`] that names the entry, [`Error::NotPermitted`] for an upload that brings nothing new.
pub async fn upload(
    engine: &Engine,
    actor: &Actor,
    body: impl Stream<Item = Result<Bytes, String>> + Send + Unpin,
    sparing: bool,
) -> Result<Uuid, Error> {
    let permit = engine.uploads().acquire().await;
    let _permit = permit.map_err(|_| Error::Retryable("the daemon stops".into()))?;
    let (feed, reader) = feed();
    let authority = index::authority(&engine.settings().updates);
    // A task of its own: once the body is here, a sender who goes away aborts nothing.
    let work = tokio::spawn(take_in(engine.clone(), actor.clone(), authority, reader, sparing));
    pump(body, feed).await;
    work.await.map_err(|error| Error::Internal(format!("the upload ended early: {error}")))?
}

/// The engine's time, as those who look at certificates and files want it.
fn system_time(engine: &Engine) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_micros(u64::try_from(engine.clock().micros()).unwrap_or_default())
}

/// What of an update is not here, neither stored nor kept from an upload that broke off. `document` is its description as it
/// was signed.
///
/// # Errors
/// [`Error::Invalid`] for a description that is not signed by whom it has to be, or not as it has to be.
pub async fn missing(engine: &Engine, document: Bytes) -> Result<Missing, Error> {
    let (authority, now, engine) = (index::authority(&engine.settings().updates)?, system_time(engine), engine.clone());
    blocking(move || {
        let invalid = |error: &dyn std::fmt::Display| Error::Invalid(format!("update.sjson: {error}"));
        let verified = verify(&document, &authority, now).map_err(|error| invalid(&error))?;
        let published = described(&verified.payload).map_err(|error| invalid(&error))?;
        let files = engine.files();
        let here = |file: &File| files.has(&file.sha256, file.size) || files.keeps(&file.sha256, file.size);
        let (held, missing): (Vec<&File>, Vec<&File>) = published.files.iter().partition(|file| here(file));
        Ok(Missing {
            uuid: published.upload_id(),
            version: published.version.clone(),
            missing: missing.into_iter().map(|file| file.filename.clone()).collect(),
            held: held.into_iter().map(|file| file.filename.clone()).collect(),
        })
    })
    .await
}

/// Forgets what uploads that broke off have brought, when it was not sent for again in time.
///
/// # Errors
/// Files that cannot be removed.
pub(crate) async fn forget_kept(engine: &Engine) -> Result<(), Error> {
    let (before, engine) = (system_time(engine) - KEPT_FOR, engine.clone());
    blocking(move || {
        let removed = engine.files().forget(before, u64::MAX)?;
        if removed > 0 {
            tracing::info!(removed, "files of uploads that broke off are forgotten");
        }
        Ok(())
    })
    .await
}

/// Hands the body on, until its end or until the reader leaves.
async fn pump(mut body: impl Stream<Item = Result<Bytes, String>> + Unpin, feed: Feed) {
    loop {
        match tokio::time::timeout(PATIENCE, body.next()).await {
            Err(_) => return feed.broken(format!("nothing came for {} s", PATIENCE.as_secs())).await,
            Ok(None) => return feed.end().await,
            Ok(Some(Err(why))) => return feed.broken(why).await,
            Ok(Some(Ok(bytes))) => {
                if !feed.bytes(bytes).await {
                    break;
                }
            }
        }
    }
    let rest = async {
        let mut left = REST;
        while let Some(Ok(bytes)) = body.next().await {
            left = left.saturating_sub(bytes.len());
            if left == 0 {
                return;
            }
        }
    };
    tokio::time::timeout(REST_WITHIN, rest).await.ok();
}

async fn take_in(
    engine: Engine,
    actor: Actor,
    authority: Result<Authority, Error>,
    reader: FeedReader,
    sparing: bool,
) -> Result<Uuid, Error> {
    let authority = authority?;
    let now = system_time(&engine);
    let reading = engine.clone();
    let arrived = blocking(move || {
        archive::read(reading.files(), &authority, now, reader, sparing).map_err(|error| match error.by_sender() {
            true => Error::Invalid(error.to_string()),
            false => Error::Internal(error.to_string()),
        })
    });
    publish(&engine, &actor, arrived.await?).await
}

/// Makes an update visible: its files first, then the row that names them.
async fn publish(engine: &Engine, actor: &Actor, arrived: Arrived) -> Result<Uuid, Error> {
    let uuid = arrived.published.upload_id();
    let files = engine.clone();
    let looking = blocking(move || {
        let publishing = files.files().publishing()?;
        let lost = arrived.published.files.iter().filter(|file| !files.files().has(&file.sha256, file.size));
        let lost: HashSet<String> = lost.map(|file| file.sha256.clone()).collect();
        let here = |file: &File| !lost.contains(&file.sha256) || files.files().keeps(&file.sha256, file.size);
        if let Some(gone) = arrived.published.files.iter().find(|f| arrived.held.contains(&f.sha256) && !here(f)) {
            let name = &gone.filename;
            return Err(Error::Retryable(format!("{name:?} was here and is not any more: send the update again")));
        }
        Ok((publishing, arrived, lost))
    });
    let (publishing, arrived, lost) = looking.await?;
    let bringing = Bringing::new(engine, actor, uuid, &arrived, lost);
    let looked = bringing.clone();
    engine.store().read(move |tx| Ok(looked.row(Stored::find(tx, &looked.uuid)?).map(drop))).await??;

    let (publishing, arrived) = blocking(move || {
        let parts = arrived.parts.iter().map(|(sha256, part)| (part, sha256.as_str()));
        publishing.publish(parts)?;
        publishing.publish_kept(arrived.held.iter().map(String::as_str))?;
        Ok((publishing, arrived))
    })
    .await?;
    let manifests = arrived.manifests;
    let written = engine.store().write(move |tx| {
        let mut brought = match bringing.row(Stored::find(tx, &bringing.uuid)?) {
            Err(refused) => return Ok(Err(refused)),
            Ok(brought) => brought,
        };
        bringing.write(tx, &mut brought)?;
        updates::put_manifests(tx, &bringing.uuid, &manifests)?;
        updates::put_document(tx, &bringing.uuid, &bringing.document)?;
        audit::append(tx, &brought.entry)?;
        Ok(Ok(()))
    });
    let written = written.await.map_err(Error::from).and_then(|refused| refused);
    drop(publishing);
    if let Err(error) = written {
        // What was made visible has no row.
        let (files, store) = (engine.clone(), engine.store().clone());
        if let Err(left) = blocking(move || sweep(&store, files.files())).await {
            tracing::warn!(error = %left, "files of an update that did not come to be are left until the next start");
        }
        return Err(error);
    }
    Ok(uuid)
}

/// An update on its way into the database.
#[derive(Debug, Clone)]
struct Bringing {
    uuid: String,
    now: i64,
    channel: String,
    row: UpdateRow,
    files: Vec<File>,
    /// SHA-256 of what is not stored here yet.
    lost: HashSet<String>,
    entry: Entry,
    document: Bytes,
    signer: String,
}

/// What is stored under its UUID.
struct Stored {
    row: UpdateRow,
    /// Whether its signed description is, too.
    described: bool,
}

impl Stored {
    fn find(tx: &mut Tx<'_>, uuid: &str) -> Result<Option<Self>, StoreError> {
        let Some(row) = updates::get(tx, uuid)? else { return Ok(None) };
        Ok(Some(Self { row, described: updates::has_document(tx, uuid)? }))
    }
}

/// What becomes of it.
struct Brought {
    row: UpdateRow,
    fresh: bool,
    entry: Entry,
}

impl Bringing {
    fn new(engine: &Engine, actor: &Actor, uuid: Uuid, arrived: &Arrived, lost: HashSet<String>) -> Self {
        let (now, published) = (engine.clock().micros(), &arrived.published);
        let row = UpdateRow {
            uuid: uuid.to_string(),
            origin: published.upload_origin(),
            version: published.version.clone(),
            published_at: published.published_at.as_str().to_owned(),
            severity: published.severity.to_string(),
            upstream_channels: serde_json::json!(published.channels).to_string(),
            files: String::new(),
            url: String::new(),
            status: "ready".to_owned(),
            last_updated: now,
            channels: Vec::new(),
        };
        Self {
            uuid: uuid.to_string(),
            now,
            channel: engine.settings().updates.updates_default_channel.clone(),
            row,
            files: published.files.clone(),
            lost,
            entry: audit::entry(now, actor, "update.upload", "update", &uuid.to_string()),
            document: arrived.document.clone(),
            signer: arrived.signer.clone(),
        }
    }

    /// The row as it will be, beside what is stored under its UUID.
    fn row(&self, stored: Option<Stored>) -> Result<Brought, Error> {
        let (mut files, mut row, fresh, described) = match stored {
            None => (Vec::new(), self.row.clone(), true, false),
            Some(Stored { row, described }) => {
                let files: Vec<File> = serde_json::from_str(&row.files).map_err(|_| {
                    Error::Internal(format!("the stored update {:?} has a broken list of files", self.uuid))
                })?;
                (files, row, false, described)
            }
        };
        let (mut added, mut restored, mut bytes) = (0, 0, 0u64);
        for file in &self.files {
            match files.iter().find(|known| known.filename == file.filename) {
                Some(known) if known.sha256 != file.sha256 => {
                    let name = &file.filename;
                    let text = format!(
                        "Update already existing, with another {name:?}: delete all updates first, if this one is right"
                    );
                    return Err(Error::NotPermitted(text));
                }
                Some(_) if self.lost.contains(&file.sha256) => restored += 1,
                Some(_) => continue,
                None => {
                    files.push(file.clone());
                    added += 1;
                }
            }
            bytes = bytes.saturating_add(file.size);
        }
        if added + restored == 0 && described {
            return Err(Error::NotPermitted("Update already existing, with all of these files".into()));
        }
        row.files = serde_json::to_string(&files).map_err(|error| Error::Internal(error.to_string()))?;
        row.last_updated = if fresh { self.now } else { self.now.max(row.last_updated + 1) };
        let mut entry = self.entry.clone();
        let UpdateRow { version, origin, .. } = &row;
        entry.reason =
            Some(format!("version {version:?} of {origin:?}: {added} files added, {restored} restored, {bytes} bytes"));
        entry.detail = serde_json::json!({"signer": self.signer}).to_string();
        Ok(Brought { row, fresh, entry })
    }

    fn write(&self, tx: &mut Tx<'_>, brought: &mut Brought) -> Result<(), StoreError> {
        updates::upsert(tx, &brought.row)?;
        if !brought.fresh {
            return Ok(());
        }
        let channels = std::slice::from_ref(&self.channel);
        match channel::refused(tx, &[], channels)? {
            None => updates::set_channels(tx, &self.uuid, channels, self.now),
            // It is here, and an operator may give it to another channel.
            Some(why) => {
                let told = brought.entry.reason.take().unwrap_or_default();
                brought.entry.reason = Some(format!("{told}; in no channel: {why}"));
                Ok(())
            }
        }
    }
}
