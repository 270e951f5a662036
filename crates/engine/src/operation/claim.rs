//! What this process holds: claimed by a lease, given back when the work on it pauses or ends.
//!
//! A process never claims what it is at, however long ago a lease ran out. What it holds without being at it, because the answer
//! to a claim was lost with its connection, is claimed again when the lease runs out.

use crate::Engine;
use muster_store::{
    StoreError, Tx,
    tables::operations::{self, Operation},
};
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
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
        Self { owner, at_work: Arc::default() }
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
        let now = engine.clock().micros();
        let at_work = self.at_work();
        match engine.store().read(move |tx| operations::next_due(tx, &at_work)).await? {
            None => return Ok((Vec::new(), LONGEST)),
            Some(due) if due > now => {
                let micros = u64::try_from(due - now).unwrap_or(0);
                return Ok((Vec::new(), Duration::from_micros(micros).min(LONGEST)));
            }
            Some(_) => {}
        }
        let (owner, at_work, until) = (self.owner.clone(), self.at_work(), now + engine.lease_us());
        let room = i64::try_from(room).unwrap_or(i64::MAX);
        let claim = move |tx: &mut Tx<'_>| operations::claim_due(tx, &owner, now, until, room, &at_work);
        let claimed = engine.store().write(claim).await?;
        // The claim itself ticks, so the next round looks at once.
        Ok((claimed.into_iter().map(|operation| self.begin(operation)).collect(), LONGEST))
    }

    fn at_work(&self) -> Vec<String> {
        self.at_work.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    fn begin(&self, operation: Operation) -> (Operation, Working) {
        let (id, owner, at_work) = (operation.id.clone(), self.owner.clone(), self.at_work.clone());
        at_work.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone());
        (operation, Working { id, owner, at_work })
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
            let (dir, clock) = (tempfile::tempdir().unwrap(), Clock::at(1_900_000_000_000_000));
            let engine = Engine::start(store.clone(), clock.clone(), dir.path().into()).unwrap();
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
                clock.advance(engine.lease_us());
                let again = claim(&holder, &engine).await;
                assert_eq!(again.iter().map(|(row, _)| row.id.as_str()).collect::<Vec<_>>(), ["b"]);
                clock.advance(engine.lease_us());
                assert!(claim(&holder, &engine).await.is_empty(), "it is at both, however late");
                for (_, working) in claimed.into_iter().chain(again) {
                    working.release(&engine, &CancellationToken::new()).await;
                }
                assert_eq!(claim(&holder, &engine).await.len(), 2, "what was given back is free");
            });
        });
    }
}
