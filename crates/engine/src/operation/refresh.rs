//! What a refresh of the updates does: compare, store, download, remove (`updates-and-system.md` 11).

use super::{plan::Observed, work::Held as Work};
use crate::{
    Actor, Engine, Error, promotion,
    services::{audit, channel, update::sweep},
    updates::{
        download::{self, Partial, Progress},
        index::{self, Index},
        manifests, rows,
    },
};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use muster_api::{system::SystemUpdates, time::Time};
use muster_domain::{
    operation::refresh::{Compared, RefreshAction, RefreshOutcome},
    update::{
        held::{Arrival, Held, Progress as Here},
        index::{File, Published},
        retention::Policy,
        select::{self, Action, Input},
        space,
    },
};
use muster_store::{
    StoreError, Tx,
    tables::{
        operations::Operation,
        servers, updates,
        warnings::{self, Emitted},
    },
};
use std::collections::{BTreeSet, HashSet};
use std::sync::{Arc, atomic::Ordering};
use uuid::Uuid;

/// Files that are downloaded at the same time.
const AT_ONCE: usize = 4;
/// The warning of a refresh that failed (`updates-and-system.md` 21).
const WARNING: (&str, &str, &str, &str) = ("Update refresh failed", "refresh", "update", "-");

/// What a decision is made from, and the stored updates.
pub(super) async fn observe(engine: &Engine, index: &mut Option<Arc<Index>>) -> Result<Observed, Error> {
    // One that was read by other settings says nothing any more.
    if index.as_ref().is_some_and(|index| index.settings != engine.settings().updates) {
        *index = None;
    }
    let mut observed = super::passive(None);
    if let Some(index) = index.clone() {
        let comparing = index.clone();
        let now = engine.clock().now();
        let (held, plan) = engine.store().read(move |tx| Ok(select(tx, &comparing, now))).await??;
        let looking = engine.clone();
        let lacking = blocking(move || Ok(lacking(&looking, &index, &held))).await?;
        observed.refresh = Some(Compared { plan, lacking });
    }
    Ok(observed)
}

/// Updates that are ready, can be fetched, and are not here in full all the same. Blocks.
fn lacking(engine: &Engine, index: &Index, held: &[Held]) -> BTreeSet<Uuid> {
    let offered: HashSet<Uuid> = index.offered.iter().map(|offered| offered.update.source_id()).collect();
    let lacking = held.iter().filter(|held| {
        held.arrival == Arrival::Source
            && held.progress == Here::Ready
            && offered.contains(&held.id)
            && held.update.files.iter().any(|file| !engine.files().has(&file.sha256, file.size))
    });
    lacking.map(|held| held.id).collect()
}

fn select(tx: &mut Tx<'_>, index: &Index, now: Time) -> Result<(Vec<Held>, select::Plan), Error> {
    let rows = updates::list(tx, &updates::Filter::default())?;
    let held = rows.iter().map(rows::held).collect::<Result<Vec<_>, _>>()?;
    let in_use = in_use(&servers::version_documents(tx)?);
    let (withdrawn, awaited) = (updates::withdrawn(tx)?, promotion::outcome(tx, now)??.awaited());
    let plan = select::select(&Input {
        held: &held,
        source: index.as_source(),
        in_use: &in_use,
        withdrawn: &withdrawn,
        awaited: &awaited,
        policy: &policy(&index.settings),
        default_channel: &index.settings.updates_default_channel,
    });
    Ok((held, plan))
}

/// How much is kept, by the settings. What is kept has to be looked at.
fn policy(settings: &SystemUpdates) -> Policy {
    let newest = settings.retained_updates.map_or(Policy::default().newest, |count| count as usize);
    Policy { newest, considered: Policy::default().considered.max(newest) }
}

/// Versions that any server runs or has installed.
fn in_use(documents: &[String]) -> BTreeSet<String> {
    let mut versions = BTreeSet::new();
    for document in documents {
        let data: muster_api::provisioning::server::VersionData = serde_json::from_str(document).unwrap_or_default();
        versions.extend([data.os.version, data.os.version_next]);
        versions.extend(data.applications.into_iter().flatten().map(|application| application.version));
    }
    versions.remove("");
    versions
}

/// Does one thing.
pub(super) async fn act(engine: &Engine, work: &mut Work, action: RefreshAction) -> Result<(), StoreError> {
    let actor = Actor(work.operation.actor.clone());
    let outcome = match action {
        RefreshAction::Index => {
            work.save(engine, "running", "reading the index of the update source").await?;
            let older = work.accept_older();
            match work.holding(engine, index::read(engine, &actor, older)).await? {
                Ok(index) => {
                    work.index = Some(Arc::new(index));
                    RefreshOutcome::Read
                }
                Err(unread) => RefreshOutcome::Unread { why: unread.why, passing: unread.passing },
            }
        }
        action => {
            let Some(index) = work.index.clone() else { return Ok(()) };
            match action {
                RefreshAction::Download(id) => return download(engine, work, &index, id).await,
                RefreshAction::Remove(ids) => {
                    remove(engine, &work.operation, index, ids).await?;
                    RefreshOutcome::Done
                }
                _ => {
                    store(engine, &index).await?;
                    RefreshOutcome::Done
                }
            }
        }
    };
    work.plan.advance_refresh(outcome, engine.clock().now().0);
    Ok(())
}

/// Stores new updates as pending, and what the source says otherwise of known ones. What is still to be done is looked at
/// once more: an operator may have deleted or uploaded something.
async fn store(engine: &Engine, index: &Arc<Index>) -> Result<(), StoreError> {
    let (index, now) = (index.clone(), engine.clock().micros());
    let done = engine.store().write(move |tx| {
        let (held, plan) = match select(tx, &index, Time::from_micros(now)) {
            Ok(selected) => selected,
            Err(error) => return Ok(Err(error)),
        };
        for entry in plan.entries.iter().filter(|e| e.amended || e.action == Action::Fetch) {
            let Some(offered) = index.offered.iter().find(|offered| offered.update.source_id() == entry.id) else {
                continue;
            };
            let mut row = rows::of_source(entry.id, &offered.update, now);
            match held.iter().find(|held| held.id == entry.id) {
                // What is ready stays as it is until its new files are here.
                Some(held) if held.progress == Here::Ready => {
                    (row.files, row.status) = (files(&held.update.files), rows::READY.to_owned());
                }
                _ => row.files = files(&offered.update.files),
            }
            updates::upsert(tx, &row)?;
        }
        Ok(Ok(()))
    });
    done.await?.map_err(as_store)
}

fn files(files: &[File]) -> String {
    rows::listed(files).unwrap_or_default()
}

/// The steps of an operation report what the store says; a broken row is one of its errors.
fn as_store(error: Error) -> StoreError {
    StoreError::Database(error.to_string())
}

/// Deletes what is still to be deleted, then the files that nothing names any more.
async fn remove(engine: &Engine, operation: &Operation, index: Arc<Index>, ids: Vec<Uuid>) -> Result<(), StoreError> {
    let (now, actor, operation) = (engine.clock().micros(), operation.actor.clone(), operation.id.clone());
    let done = engine.store().write(move |tx| {
        let (held, plan) = match select(tx, &index, Time::from_micros(now)) {
            Ok(selected) => selected,
            Err(error) => return Ok(Err(error)),
        };
        for entry in plan.with(Action::Remove).filter(|entry| ids.contains(&entry.id)) {
            updates::delete(tx, &entry.id.to_string())?;
            let mut note = audit::by(now, &actor, "update.remove", "update", &entry.id.to_string());
            let channels = held.iter().find(|held| held.id == entry.id).map(|held| &held.channels);
            note.from_state = channels.map(|channels| channels.iter().cloned().collect::<Vec<_>>().join(", "));
            note.reason = Some(format!("version {:?}: {}", entry.version, entry.reason));
            note.operation_id = Some(operation.clone());
            audit::append(tx, &note)?;
        }
        Ok(Ok(()))
    });
    done.await?.map_err(as_store)?;
    clear(engine).await;
    Ok(())
}

/// Removes files that nothing names. What cannot be removed now is at the next start.
async fn clear(engine: &Engine) {
    let clearing = engine.clone();
    let cleared = blocking(move || sweep(clearing.store(), clearing.files())).await;
    if let Err(error) = cleared {
        tracing::warn!(%error, "files that no update names are left until the next start");
    }
}

/// Downloads what is missing of an update and makes it ready.
async fn download(engine: &Engine, work: &mut Work, index: &Arc<Index>, id: Uuid) -> Result<(), StoreError> {
    let offered = index.offered.iter().find(|offered| offered.update.source_id() == id);
    let (Some(offered), Some(source)) = (offered, &index.source) else {
        work.index = None;
        return Ok(());
    };
    let update = &offered.update;
    let (progress, total) = (Arc::new(Progress::default()), update.files.iter().map(|file| file.size).sum::<u64>());
    let reason = {
        let (progress, version, count) = (progress.clone(), update.version.clone(), update.files.len());
        move || {
            let (done, files) = (progress.done.load(Ordering::Relaxed), progress.files.load(Ordering::Relaxed));
            format!("downloading {version}: {files} of {count} files, {} of {}", size(done), size(total))
        }
    };
    let all = async {
        room(engine, update).await?;
        let distinct = distinct(&update.files);
        let downloads = distinct.iter().map(|file| download::file(engine, source, &update.url, file, &progress));
        let whole: Vec<Option<Partial>> =
            stream::iter(downloads.collect::<Vec<_>>()).buffer_unordered(AT_ONCE).try_collect().await?;
        let document = index::description(engine, index, update).await;
        Ok::<_, Error>((whole.into_iter().flatten().collect::<Vec<_>>(), document))
    };
    let fetched = match work.watching(engine, all, reason).await? {
        // Asked to end; what is here of it stays.
        None => return Ok(()),
        Some(Ok(had)) => publish(engine, &work.operation, index, update.clone(), had).await,
        Some(Err(error)) => Err(error),
    };
    let outcome = match fetched {
        Ok(()) => RefreshOutcome::Done,
        Err(error) => RefreshOutcome::Failed(id, format!("update {:?}: {error}", update.version)),
    };
    work.plan.advance_refresh(outcome, engine.clock().now().0);
    Ok(())
}

/// Each content once.
fn distinct(files: &[File]) -> Vec<&File> {
    let mut seen = HashSet::new();
    files.iter().filter(|file| seen.insert(file.sha256.as_str())).collect()
}

fn size(bytes: u64) -> String {
    const MIB: u64 = 1 << 20;
    if bytes < MIB { format!("{bytes} bytes") } else { format!("{} MiB", bytes / MIB) }
}

/// Whether what is missing of an update leaves the disk its reserve.
async fn room(engine: &Engine, update: &Published) -> Result<(), Error> {
    let (looking, files) = (engine.clone(), update.files.clone());
    blocking(move || {
        let stored = files.iter().filter(|file| looking.files().has(&file.sha256, file.size));
        let stored: BTreeSet<String> = stored.map(|file| file.sha256.clone()).collect();
        let begun: u64 = distinct(&files).iter().map(|file| looking.files().begun(&file.sha256)).sum();
        let free = looking.files().space()?;
        let needed = space::needed(&files, &stored).saturating_sub(begun);
        space::check(needed, free.available, free.total).map_err(|short| Error::Machine(short.to_string()))
    })
    .await
}

/// Makes an update ready: its files first, then the row that names them.
async fn publish(
    engine: &Engine,
    operation: &Operation,
    index: &Arc<Index>,
    update: Published,
    (whole, document): (Vec<Partial>, Option<Bytes>),
) -> Result<(), Error> {
    let (looking, published) = (engine.clone(), update.clone());
    let (publishing, manifests) = blocking(move || {
        let publishing = looking.files().publishing()?;
        publishing.publish_downloads(&whole)?;
        let manifests =
            manifests::of(&published, |file| looking.files().get(&file.sha256).map_err(|error| error.to_string()));
        Ok((publishing, manifests))
    })
    .await?;
    let (now, actor, operation) = (engine.clock().micros(), operation.actor.clone(), operation.id.clone());
    let default = index.settings.updates_default_channel.clone();
    let list = rows::listed(&update.files)?;
    let bytes: u64 = update.files.iter().map(|file| file.size).sum();
    let done = engine.store().write(move |tx| {
        let id = update.source_id().to_string();
        // Deleted meanwhile: it comes back with the next refresh, if it is still wanted.
        let Some(mut row) = updates::get(tx, &id)? else { return Ok(()) };
        let fresh = row.status != rows::READY;
        (row.files, row.last_updated) = (list.clone(), now.max(row.last_updated + 1));
        rows::READY.clone_into(&mut row.status);
        updates::upsert(tx, &row)?;
        let mut why =
            format!("version {:?} of {:?}: {} files, {bytes} bytes", row.version, row.origin, update.files.len());
        if fresh {
            match channel::refused(tx, &[], std::slice::from_ref(&default))? {
                None => {
                    updates::set_channels(tx, &id, std::slice::from_ref(&default), row.last_updated)?;
                    row.channels = vec![default.clone()];
                }
                Some(frozen) => why = format!("{why}; in no channel: {frozen}"),
            }
        }
        updates::put_manifests(tx, &id, &manifests)?;
        if let Some(document) = &document {
            updates::put_document(tx, &id, document)?;
        }
        let mut note = audit::by(now, &actor, "update.fetch", "update", &id);
        note.to_state = Some(row.channels.join(", "));
        note.reason = Some(why);
        note.operation_id = Some(operation.clone());
        audit::append(tx, &note)
    });
    let done = done.await;
    drop(publishing);
    clear(engine).await;
    Ok(done?)
}

/// The end of a refresh, in the transaction that writes it: the warning comes or goes.
pub(super) fn ended(tx: &mut Tx<'_>, failure: Option<&str>, now: i64) -> Result<(), StoreError> {
    let (kind, scope, entity_type, entity) = WARNING;
    let Some(failure) = failure else {
        return warnings::remove(tx, kind, scope, entity_type, entity).map(drop);
    };
    let emitted = Emitted {
        kind: kind.into(),
        scope: scope.into(),
        entity_type: entity_type.into(),
        entity: entity.into(),
        messages: vec![failure.to_owned()],
    };
    warnings::emit(tx, &emitted, &Uuid::now_v7().to_string(), now).map(drop)
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Error> + Send + 'static) -> Result<T, Error> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Error::Internal(format!("the work with files ended early: {error}")))?
}
