//! What this process holds: claimed by a lease, given back when the work on it pauses or ends.
//!
//! A process never claims what it holds, however long ago a lease ran out: it is at it. So whatever it holds without being
//! at it (the answer to a claim was lost with its connection) it must give back itself.

use crate::Engine;
use muster_store::{
    StoreError,
    tables::operations::{self, Operation},
};
use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio_util::sync::CancellationToken;

/// The longest sleep: what another process did to the database on SQLite is seen then at the latest.
const LONGEST: Duration = Duration::from_secs(30);
/// After a failure of the database.
pub(super) const PAUSE: Duration = Duration::from_secs(2);

/// This process, as the owner of leases.
#[derive(Debug)]
pub(super) struct Holder {
    owner: Arc<str>,
    at_work: Arc<Mutex<BTreeSet<String>>>,
    /// A claim failed, and may have been written all the same.
    doubt: AtomicBool,
}

/// An operation that is being worked on, until it is dropped.
#[derive(Debug)]
pub(super) struct Working {
    id: String,
    owner: Arc<str>,
    at_work: Arc<Mutex<BTreeSet<String>>>,
}

impl Holder {
    pub fn new() -> Self {
        let owner = uuid::Uuid::now_v7().to_string().into();
        Self { owner, at_work: Arc::default(), doubt: AtomicBool::new(false) }
    }

    /// Claims what is due, at most `room`; answers also how long to sleep. Reads first: most wake-ups are for changes that no
    /// operation waits for.
    pub async fn claim(
        &self,
        engine: &Engine,
        room: usize,
    ) -> Result<(Vec<(Operation, Working)>, Duration), StoreError> {
        if room == 0 {
            return Ok((Vec::new(), LONGEST));
        }
        if self.doubt.load(Ordering::Relaxed) {
            self.give_back(engine).await?;
            self.doubt.store(false, Ordering::Relaxed);
        }
        let now = engine.clock().micros();
        let owner = self.owner.clone();
        match engine.store().read(move |tx| operations::next_due(tx, &owner)).await? {
            None => return Ok((Vec::new(), LONGEST)),
            Some(due) if due > now => {
                let micros = u64::try_from(due - now).unwrap_or(0);
                return Ok((Vec::new(), Duration::from_micros(micros).min(LONGEST)));
            }
            Some(_) => {}
        }
        let (owner, until) = (self.owner.clone(), now + engine.lease_us());
        let room = i64::try_from(room).unwrap_or(i64::MAX);
        let claimed = engine.store().write(move |tx| operations::claim_due(tx, &owner, now, until, room)).await;
        self.doubt.store(claimed.is_err(), Ordering::Relaxed);
        // The claim itself ticks, so the next round looks at once.
        Ok((claimed?.into_iter().map(|operation| self.begin(operation)).collect(), LONGEST))
    }

    fn begin(&self, operation: Operation) -> (Operation, Working) {
        let (id, owner, at_work) = (operation.id.clone(), self.owner.clone(), self.at_work.clone());
        at_work.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone());
        (operation, Working { id, owner, at_work })
    }

    /// Gives back what it holds and is not at.
    async fn give_back(&self, engine: &Engine) -> Result<(), StoreError> {
        let (owner, at_work) = (self.owner.clone(), self.at_work.clone());
        let lost = engine.store().write(move |tx| {
            let mut lost = operations::held(tx, &owner)?;
            let at_work = at_work.lock().unwrap_or_else(PoisonError::into_inner);
            lost.retain(|id| !at_work.contains(id));
            for id in &lost {
                operations::release(tx, id, &owner)?;
            }
            Ok(lost)
        });
        for id in lost.await? {
            tracing::warn!(operation = %id, "the answer to the claim of an operation was lost; it is claimed again");
        }
        Ok(())
    }
}

impl Working {
    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// Gives the lease back, however often that fails.
    pub async fn release(self, engine: &Engine, stop: &CancellationToken) {
        loop {
            let (id, owner) = (self.id.clone(), self.owner.clone());
            let done = engine.store().write(move |tx| operations::release(tx, &id, &owner)).await;
            if done.is_ok() || stop.is_cancelled() {
                return;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        self.at_work.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use muster_store::testing::{self, TestStore};

    /// Ids of what a holder claims now.
    async fn claim(holder: &Holder, engine: &Engine) -> Vec<(Operation, Working)> {
        holder.claim(engine, 10).await.unwrap().0
    }

    #[test]
    fn what_is_held_without_being_worked_on_is_claimed_again() {
        testing::stores(|TestStore { store, .. }| {
            let dir = tempfile::tempdir().unwrap();
            let engine = Engine::start(store.clone(), Clock::system(), dir.path().into()).unwrap();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                for id in ["a", "b"] {
                    let row = Operation { id: id.into(), kind: "update".into(), ..Operation::default() };
                    engine.store().write(move |tx| operations::insert(tx, &row)).await.unwrap();
                }
                let holder = Holder::new();
                let mut claimed = claim(&holder, &engine).await;
                assert_eq!(claimed.len(), 2);
                // The answer for one of them never came.
                claimed.pop();
                assert!(claim(&holder, &engine).await.is_empty(), "it holds both");
                holder.doubt.store(true, Ordering::Relaxed);
                let again = claim(&holder, &engine).await;
                assert_eq!(again.iter().map(|(row, _)| row.id.as_str()).collect::<Vec<_>>(), ["b"]);
                for (_, working) in claimed.into_iter().chain(again) {
                    working.release(&engine, &CancellationToken::new()).await;
                }
                assert_eq!(claim(&holder, &engine).await.len(), 2, "what was given back is free");
            });
        });
    }
}
