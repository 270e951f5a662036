//! The list of updates, from memory: every machine asks for it again and again.
//!
//! It is read anew when the count of changes in the database is another one. The count is looked at after each commit,
//! by whichever daemon, and at times without one, in case word of a commit got lost.

use crate::{Engine, Error};
use bytes::Bytes;
use muster_api::provisioning::update::{Update, UpdateFile, Withdrawn};
use muster_api::time::{Time, TimeText};
use muster_domain::update::{
    held::Age,
    index::{Published, Severity},
    promotion,
};
use muster_store::tables::updates::{self, Update as UpdateRow, Withdrawal};
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, OnceLock};
use uuid::Uuid;

/// How long a list is good without a look at its count, in microseconds.
const UNSEEN_US: i64 = 30_000_000;

/// An update with its files.
#[derive(Debug, Clone, PartialEq)]
pub struct Listed {
    /// As it is on the wire.
    pub update: Update,
    /// Its files.
    pub files: Vec<UpdateFile>,
    /// Counts its changes: the time of the last one, in microseconds.
    pub generation: i64,
    age: Age,
}

/// All updates at one point in time, the newest first.
#[derive(Debug, Default)]
pub struct List {
    updates: Vec<Listed>,
    body: OnceLock<Bytes>,
}

impl List {
    /// Of these rows.
    ///
    /// # Errors
    /// Rows that cannot be read.
    fn new(rows: Vec<UpdateRow>, withdrawn: Vec<Withdrawal>) -> Result<Self, Error> {
        let mut withdrawn: HashMap<String, Withdrawal> =
            withdrawn.into_iter().map(|withdrawal| (withdrawal.uuid.clone(), withdrawal)).collect();
        let listed = |row: UpdateRow| {
            let withdrawal = withdrawn.remove(&row.uuid);
            listed(row, withdrawal)
        };
        let mut updates = rows.into_iter().map(listed).collect::<Result<Vec<_>, _>>()?;
        updates.sort_by(|a, b| b.age.cmp(&a.age));
        Ok(Self { updates, body: OnceLock::new() })
    }

    /// The newest first.
    pub fn updates(&self) -> &[Listed] {
        &self.updates
    }

    /// One of them.
    pub fn get(&self, uuid: Uuid) -> Option<&Listed> {
        self.updates.iter().find(|listed| listed.update.uuid == uuid)
    }

    /// The whole list as an answer, which `make` writes once for as long as the list stands.
    pub fn body(&self, make: impl FnOnce(&[Listed]) -> Bytes) -> Bytes {
        self.body.get_or_init(|| make(&self.updates)).clone()
    }
}

/// Machines that run a withdrawn update find it in the list, without a channel, and stay; the others are not told of it.
fn listed(row: UpdateRow, withdrawal: Option<Withdrawal>) -> Result<Listed, Error> {
    let broken = |what: &str| Error::Internal(format!("the stored update {} has a broken {what}", row.uuid));
    let id = row.uuid.parse().map_err(|_| broken("uuid"))?;
    let upstream_channels = serde_json::from_str(&row.upstream_channels).map_err(|_| broken("list of channels"))?;
    let files = serde_json::from_str(&row.files).map_err(|_| broken("list of files"))?;
    let gone: BTreeSet<Uuid> = withdrawal.iter().map(|_| id).collect();
    let told = promotion::told(id, &row.channels.iter().cloned().collect(), &gone);
    let withdrawn = withdrawal.map(|Withdrawal { mark, .. }| Withdrawn {
        at: Time::from_micros(mark.at),
        by: mark.actor,
        reason: mark.reason,
        channels: row.channels,
    });
    let update = Update {
        channels: told.into_iter().collect(),
        uuid: id,
        version: row.version.clone(),
        published_at: row.published_at.clone(),
        severity: row.severity,
        origin: row.origin,
        url: row.url,
        upstream_channels,
        update_status: row.status,
        withdrawn,
    };
    let published = Published {
        version: row.version.clone(),
        origin: String::new(),
        published_at: row.published_at.parse::<TimeText>().unwrap_or_else(|_| Time::never().into()),
        severity: Severity::None,
        channels: Vec::new(),
        url: String::new(),
        files: Vec::new(),
        dropped: 0,
    };
    let age = Age::new(update.uuid, &published);
    Ok(Listed { update, files, generation: row.last_updated, age })
}

#[derive(Debug, Clone)]
struct Cached {
    /// Commits that were seen before the look.
    tick: u64,
    /// When the count was looked at, in microseconds.
    at: i64,
    /// Changes of the updates by then.
    changes: i64,
    list: Arc<List>,
}

/// The list that was read last.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    kept: arc_swap::ArcSwapOption<Cached>,
    reading: tokio::sync::Mutex<()>,
}

impl Cache {
    fn fresh(&self, tick: u64, now: i64) -> Option<Arc<List>> {
        let kept = self.kept.load();
        let kept = kept.as_ref()?;
        let seen = kept.tick == tick && (0..UNSEEN_US).contains(&(now - kept.at));
        seen.then(|| kept.list.clone())
    }
}

impl Engine {
    /// All updates, the newest first.
    ///
    /// # Errors
    /// The store's, or rows that cannot be read.
    pub async fn updates(&self) -> Result<Arc<List>, Error> {
        let cache = self.update_list();
        let tick = || *self.store().changed().borrow();
        if let Some(list) = cache.fresh(tick(), self.clock().micros()) {
            return Ok(list);
        }
        let _one_reader = cache.reading.lock().await;
        let (tick, at) = (tick(), self.clock().micros());
        if let Some(list) = cache.fresh(tick, at) {
            return Ok(list);
        }
        let known = cache.kept.load_full();
        let count = known.as_ref().map(|known| known.changes);
        let found = self.store().read(move |tx| {
            let changes = updates::changes(tx)?;
            let read = match count == Some(changes) {
                true => None,
                false => Some((updates::list(tx, &updates::Filter::default())?, updates::withdrawals(tx)?)),
            };
            Ok((changes, read))
        });
        let (changes, read) = found.await?;
        let list = match (read, known) {
            (None, Some(known)) => known.list.clone(),
            (read, _) => {
                let (rows, withdrawn) = read.unwrap_or_default();
                Arc::new(List::new(rows, withdrawn)?)
            }
        };
        cache.kept.store(Some(Arc::new(Cached { tick, at, changes, list: list.clone() })));
        Ok(list)
    }
}
