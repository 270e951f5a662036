//! The site key: what it is sealed with, and its change (`muster_store::rekey`).
//!
//! A change takes three steps: the next key is on disk; every other daemon of the site has it at hand; one transaction seals
//! everything anew. Only then the key file is replaced. Whatever stops it between two steps, the database names the key
//! that counts.

use crate::{Actor, Engine, Error, presence, services::audit};
use muster_api::system::{SystemKey, SystemKeyChange, SystemKeyChanged, SystemKeyDaemon};
use muster_store::{
    Key, KeyOrigin, SealError, StoreError,
    rekey::{self, KeyChange},
    tables::daemons::{self, Daemon},
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// Time between two looks at the other daemons.
const LOOK: Duration = Duration::from_millis(200);
/// A daemon that has looked at its key files so often since the next key was there will not find it.
const LOOKS: i64 = 2;

/// How far a change in this process is.
#[derive(Debug, Clone, Default)]
pub(crate) struct Progress(Arc<Mutex<Option<SystemKeyChange>>>);

impl Progress {
    fn get(&self) -> Option<SystemKeyChange> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, now: Option<SystemKeyChange>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = now;
    }
}

/// Takes the progress back when the change is over, however it ended.
struct Shown(Progress);

impl Drop for Shown {
    fn drop(&mut self) {
        self.0.set(None);
    }
}

/// The key in use, where it comes from, and who has it.
///
/// # Errors
/// The store's.
pub async fn show(engine: &Engine) -> Result<SystemKey, Error> {
    let now = engine.clock().micros();
    let present = engine.store().read(move |tx| daemons::present(tx, now)).await?;
    let keys = engine.store().keys();
    let (origin, path) = match keys.origin() {
        KeyOrigin::File(path) => ("file", path.display().to_string()),
        KeyOrigin::Environment => ("environment", String::new()),
        KeyOrigin::Credential => ("credential", String::new()),
    };
    let daemons = present.into_iter().map(|daemon| SystemKeyDaemon {
        this: daemon.id == engine.0.daemon.id,
        id: daemon.id,
        host: daemon.host,
        keys: daemon.keys,
    });
    Ok(SystemKey {
        id: keys.current_id(),
        origin: origin.into(),
        path,
        keys: keys.ids(),
        daemons: daemons.collect(),
        change: engine.0.key_progress.get(),
    })
}

/// Changes the site key and seals everything anew. Who stops waiting stops nothing.
///
/// # Errors
/// [`Error::NotPermitted`] when the key is given to the daemon, another daemon cannot follow, or a change is under way: the
/// text says what to do. [`Error::Internal`] for what the store or the file system refuses.
pub async fn change(engine: &Engine, actor: &Actor) -> Result<SystemKeyChanged, Error> {
    let (engine, actor) = (engine.clone(), actor.clone());
    let tasks = engine.0.tasks.clone();
    let done = tasks.spawn(async move { steps(&engine, &actor).await }).await;
    done.map_err(|e| Error::Internal(format!("the change of the site key ended early: {e}")))?
}

async fn steps(engine: &Engine, actor: &Actor) -> Result<SystemKeyChanged, Error> {
    let store = engine.store().clone();
    let begun = tokio::task::spawn_blocking(move || KeyChange::begin(&store)).await;
    let begun = begun.map_err(|e| Error::Internal(format!("the change of the site key ended early: {e}")))?;
    let change = begun.map_err(|e| match e {
        StoreError::Sealed(e @ (SealError::Given { .. } | SealError::Locked { .. })) => {
            Error::NotPermitted(e.to_string())
        }
        e => e.into(),
    })?;
    let _shown = Shown(engine.0.key_progress.clone());
    let former = engine.store().keys().current_id();
    let sealed = loop {
        others_have(engine, change.next_id()).await?;
        // A daemon may have come in the meantime.
        if let Some(sealed) = seal_anew(engine, actor, &former, change.next()).await? {
            break sealed;
        }
    };
    let id = change.next_id().to_owned();
    let (store, origin) = (engine.store().clone(), engine.store().keys().origin());
    presence::blocking(move || change.finish(&store)).await.map_err(|e| match origin {
        KeyOrigin::File(path) => Error::Internal(format!(
            "the database uses the new key, but it could not take its place in {0}: {e}; leave {0}.new where it is, mend \
             that, and restart the daemon",
            path.display()
        )),
        _ => e,
    })?;
    tracing::warn!(former, id, sealed, "the site key was changed");
    Ok(SystemKeyChanged { former, id, sealed })
}

/// Step 2 and its audit entry; `None` when a daemon is there that cannot follow.
async fn seal_anew(engine: &Engine, actor: &Actor, former: &str, next: Key) -> Result<Option<u64>, Error> {
    let now = engine.clock().micros();
    let mut entry = audit::entry(now, actor, "key.change", "system", "key");
    entry.from_state = Some(former.to_owned());
    entry.to_state = Some(next.id().to_owned());
    let (me, progress) = (engine.0.daemon.id.clone(), engine.0.key_progress.clone());
    let done = engine.store().write(move |tx| {
        if !presence::lacking(tx, &me, next.id(), now)?.is_empty() {
            return Ok(None);
        }
        let total = rekey::count_sealed(tx)?;
        let each = |sealed| {
            let next = next.id().to_owned();
            progress.set(Some(SystemKeyChange { next, waits_for: Vec::new(), sealed, total }));
        };
        each(0);
        let sealed = rekey::reseal(tx, &next, &each)?;
        audit::append(tx, &entry)?;
        Ok(Some(sealed))
    });
    done.await.map_err(|e| match e {
        StoreError::Interrupted(why) => Error::Internal(format!(
            "whether the site key was changed is not known ({why}): look at /1.0/system/key when the database is back"
        )),
        e => e.into(),
    })
}

/// Waits until every other daemon has the key at hand or is gone.
async fn others_have(engine: &Engine, key: &str) -> Result<(), Error> {
    let mut first: HashMap<String, i64> = HashMap::new();
    loop {
        let (me, wanted, now) = (engine.0.daemon.id.clone(), key.to_owned(), engine.clock().micros());
        let lacking = engine.store().read(move |tx| presence::lacking(tx, &me, &wanted, now)).await?;
        if lacking.is_empty() {
            return Ok(());
        }
        for daemon in &lacking {
            let began = *first.entry(daemon.id.clone()).or_insert(daemon.beats);
            if daemon.beats > began + LOOKS {
                return Err(Error::NotPermitted(remedy(engine, daemon, key)));
            }
        }
        let waits_for = lacking.into_iter().map(|daemon| daemon.host).collect();
        let change = SystemKeyChange { next: key.to_owned(), waits_for, sealed: 0, total: 0 };
        engine.0.key_progress.set(Some(change));
        tokio::time::sleep(LOOK).await;
    }
}

fn remedy(engine: &Engine, daemon: &Daemon, key: &str) -> String {
    let give = match engine.store().keys().origin() {
        KeyOrigin::File(path) => format!(
            "copy {}.new of host {:?} to the name of its own key file with .new behind it (mode 0600), or where its key \
             is given in MUSTER_KEY, restart it with that key there and the present one in MUSTER_KEY_OLD",
            path.display(),
            engine.0.daemon.host
        ),
        _ => "give it both keys as this one has them, and restart it".to_owned(),
    };
    format!(
        "the daemon {} on host {:?} works on the same database and does not have the next key {key}, so it could open \
         nothing any more: {give}; or stop it. Then ask again; nothing was changed",
        daemon.id, daemon.host
    )
}
