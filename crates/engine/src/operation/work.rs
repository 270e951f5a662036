//! One claimed operation: look, decide, do one thing, record it; until it has to wait or is over.

use super::{
    Ending, Mark, Params, Plan, State, machine, observe,
    perform::{self, Given},
    plan::{Act, Call},
    provider, record, refresh, reset,
};
use crate::{
    Engine, Error,
    poll::{self, hidden},
    services::server::tracking,
    updates::index::Index,
};
use muster_api::{provisioning::status::ServerType, time::Time};
use muster_domain::{
    operation::{Cause, Decision, call::Outcome},
    server::{
        action::{self, ActionContext, ServerAction},
        enrolment::PollOrigin,
    },
};
use muster_store::{
    Secret, StoreError, Tx,
    tables::{
        operations::{self, Operation},
        servers::{self, Server as ServerRow},
    },
};
use serde_json::Value;
use std::{sync::Arc, time::Duration};

/// One claim takes at most so many steps; a planner that asks for more is broken.
const MOST_STEPS: usize = 256;
/// Shortest and longest time between two looks at what nothing wakes for, in microseconds.
const LOOK_US: (i64, i64) = (2_000_000, 30_000_000);
/// Time between two looks at what is woken, so that the reason shown does not grow old, in microseconds.
const REFRESH_US: i64 = 60_000_000;
/// A machine that is being updated for longer is asked at each look, in microseconds.
const STALE_US: i64 = 10_000_000;
/// How often the progress of one long step is recorded.
const SHOW: Duration = Duration::from_secs(2);

/// An operation under our lease.
pub(super) struct Held {
    pub operation: Operation,
    pub params: Params,
    pub state: State,
    pub plan: Plan,
    /// The index that a refresh works from; never stored.
    pub index: Option<Arc<Index>>,
    owner: String,
}

/// Why the work ended early.
#[derive(Debug, thiserror::Error)]
enum Stop {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Unreadable(#[from] Error),
}

/// Works on it for as long as there is something to do.
pub(super) async fn work(engine: &Engine, owner: &str, operation: Operation) {
    let id = operation.id.clone();
    let broken = operation.clone();
    let outcome = match Held::open(operation, owner) {
        Ok(mut held) => held.drive(engine).await,
        Err(e) => Err(e.into()),
    };
    match outcome {
        Ok(()) => {}
        // Somebody else has it, or has ended it: nothing that we know counts any more.
        Err(Stop::Store(StoreError::Stale | StoreError::NotFound)) => {
            tracing::debug!(operation = %id, "an operation went on elsewhere");
        }
        Err(Stop::Store(e)) => tracing::error!(operation = %id, error = %e, "cannot record an operation"),
        Err(Stop::Unreadable(e)) => {
            tracing::error!(operation = %id, error = %e, "cannot go on with an operation");
            let now = engine.clock().micros();
            let mut failed = broken;
            failed.status = Ending::Failed.as_str().into();
            failed.error = Some(e.to_string());
            (failed.finished_at, failed.updated_at) = (Some(now), now);
            engine.store().write(move |tx| operations::save(tx, &failed)).await.ok();
        }
    }
}

impl Held {
    fn open(operation: Operation, owner: &str) -> Result<Self, Error> {
        let params = serde_json::from_str(&operation.params).map_err(record::unreadable)?;
        let state: State = serde_json::from_str(&operation.state).map_err(record::unreadable)?;
        let plan = Plan::decode(&state.plan).map_err(record::unreadable)?;
        Ok(Self { operation, params, state, plan, index: None, owner: owner.to_owned() })
    }

    async fn drive(&mut self, engine: &Engine) -> Result<(), Stop> {
        let mut fresh = false;
        for _ in 0..MOST_STEPS {
            if self.operation.cancel_requested && self.plan.may_stop() {
                return Ok(self.cancel(engine).await?);
            }
            let (row, observed) = match &self.plan {
                Plan::Refresh(_) => (None, refresh::observe(engine, &mut self.index).await?),
                plan => observe::observe(engine, &self.operation, &self.params, &self.state, plan, fresh).await?,
            };
            fresh = false;
            let now = engine.clock().now();
            match self.plan.next(&observed, now.0) {
                Decision::Wait { until, reason } => {
                    // What it runs is asked rarely, and its own word may have gone to a daemon that died since.
                    if let (Plan::Update(_), Some(row)) = (&self.plan, &row)
                        && now.micros() - self.operation.created_at > STALE_US
                    {
                        engine.poll_soon(&row.id);
                    }
                    let age = (now.micros() - self.operation.created_at) / 10;
                    let pause = if self.plan.is_woken() { REFRESH_US } else { age.clamp(LOOK_US.0, LOOK_US.1) };
                    self.operation.not_before = until.as_microsecond().min(now.micros() + pause);
                    return Ok(self.save(engine, "waiting", &reason).await?);
                }
                Decision::Done => return Ok(self.finish(engine, Ending::Succeeded, None).await?),
                Decision::Failed(cause) => return Ok(self.finish(engine, Ending::Failed, Some(cause)).await?),
                // The mark was written in the transaction that made the operation.
                Decision::Do(Act::Mark) => self.plan.advance(Outcome::Marked),
                Decision::Do(Act::Undo) => self.undo(engine).await?,
                Decision::Do(Act::Refresh(action)) => refresh::act(engine, self, action).await?,
                Decision::Do(Act::Checkup(action)) => machine::act(engine, self, row.as_ref(), action).await?,
                Decision::Do(Act::Reset(action)) => reset::act(engine, self, row.as_ref(), action).await?,
                Decision::Do(Act::Poll) => {
                    let poll = poll::poll(engine, &self.params.server, true, PollOrigin::Background);
                    // How it ended stands at the server.
                    self.holding(engine, poll).await?.ok();
                    self.plan.advance_poll(engine.clock().now().0);
                }
                Decision::Do(Act::Look) => {
                    let poll = poll::poll(engine, &self.params.server, true, PollOrigin::Background);
                    self.holding(engine, poll).await?.ok();
                    self.plan.advance_looked(engine.clock().now().0);
                    self.save(engine, "running", "finding out what the machine runs").await?;
                }
                Decision::Do(Act::AskAgain) => self.ask_again(engine, row.as_ref()).await?,
                Decision::Do(Act::Restart) => self.restart(engine).await?,
                Decision::Do(Act::Provider) => {
                    let outcome = match &row {
                        Some(row) => self.holding(engine, provider::push(engine, row)).await?,
                        None => Err("the server's record is gone".into()),
                    };
                    self.plan.advance_provider(outcome, engine.clock().now().0);
                }
                Decision::Do(Act::Call(call)) => {
                    self.call(engine, row.as_ref(), call).await?;
                    fresh = true;
                }
            }
        }
        Err(Error::Internal("the operation asks for more steps than there are".into()).into())
    }

    async fn call(&mut self, engine: &Engine, row: Option<&ServerRow>, call: Call) -> Result<(), StoreError> {
        let Some(row) = row else {
            self.plan.advance(Outcome::Begun);
            self.plan.advance(Outcome::Refused("the server's record is gone".into()));
            return Ok(());
        };
        self.plan.advance(Outcome::Begun);
        self.save(engine, "running", "calling the machine").await?;
        let channel = match &self.params.wish {
            super::Wish::Channel(channel) => channel.clone(),
            _ => row.channel.clone(),
        };
        let id = self.operation.id.clone();
        let given = Given { operation: &id, channel: &channel };
        match self.holding(engine, perform::call(engine, row, call, given)).await? {
            Ok(incus) => {
                self.state.incus_operation = incus.or_else(|| self.state.incus_operation.take());
                self.plan.advance(Outcome::Accepted);
                match call {
                    // Who asked for it sees the channel that the machine reports.
                    Call::Channel => {
                        drop(self.holding(engine, poll::poll(engine, &row.id, true, PollOrigin::Background)).await?)
                    }
                    Call::CheckUpdate => engine.poll_soon(&row.id),
                    _ => {}
                }
            }
            Err(refusal) => self.plan.advance(Outcome::Refused(refusal)),
        }
        Ok(())
    }

    /// The machine took the call to look, and nothing came of it. A refusal says that it is busy, and the wait goes on.
    async fn ask_again(&mut self, engine: &Engine, row: Option<&ServerRow>) -> Result<(), StoreError> {
        self.plan.advance_asked(engine.clock().now().0);
        self.save(engine, "running", "asking the machine again to look for its update").await?;
        let Some(row) = row else { return Ok(()) };
        let id = self.operation.id.clone();
        let given = Given { operation: &id, channel: &row.channel };
        match self.holding(engine, perform::call(engine, row, Call::CheckUpdate, given)).await? {
            Ok(_) => engine.poll_soon(&row.id),
            Err(refusal) => tracing::info!(operation = %id, refusal, "a machine does not look for updates again"),
        }
        Ok(())
    }

    /// Waits for `call` and keeps the lease meanwhile. A lease that is lost ends the wait.
    pub async fn holding<T>(&self, engine: &Engine, call: impl Future<Output = T>) -> Result<T, StoreError> {
        let mut call = std::pin::pin!(call);
        let third = engine.lease() / 3;
        let mut renew = tokio::time::interval_at(tokio::time::Instant::now() + third, third);
        loop {
            tokio::select! {
                answer = &mut call => return Ok(answer),
                _ = renew.tick() => {
                    let (id, owner) = (self.operation.id.clone(), self.owner.clone());
                    let until = engine.clock().micros() + engine.lease_us();
                    if !engine.store().write(move |tx| operations::renew(tx, &id, &owner, until)).await? {
                        return Err(StoreError::Stale);
                    }
                }
            }
        }
    }

    /// As [`Self::holding`], for a long step: records how far it is, and ends it when somebody asks for that (none).
    pub async fn watching<T>(
        &mut self,
        engine: &Engine,
        call: impl Future<Output = T>,
        reason: impl Fn() -> String,
    ) -> Result<Option<T>, StoreError> {
        let mut call = std::pin::pin!(call);
        let mut show = tokio::time::interval(SHOW.min(engine.lease() / 3));
        loop {
            tokio::select! {
                answer = &mut call => return Ok(Some(answer)),
                _ = show.tick() => {
                    self.save(engine, "running", &reason()).await?;
                    let (id, owner) = (self.operation.id.clone(), self.owner.clone());
                    let until = engine.clock().micros() + engine.lease_us();
                    let asked = engine.store().write(move |tx| {
                        if !operations::renew(tx, &id, &owner, until)? {
                            return Err(StoreError::Stale);
                        }
                        Ok(operations::get(tx, &id)?.is_some_and(|row| row.cancel_requested))
                    });
                    if asked.await? {
                        self.operation.cancel_requested = true;
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// Whether an index that is older than the last one is taken.
    pub fn accept_older(&self) -> bool {
        matches!(&self.plan, Plan::Refresh(plan) if plan.accept_older)
    }

    /// The row as it is to be saved.
    pub fn row(&mut self, engine: &Engine, status: &str, reason: &str) -> Operation {
        self.fill(engine, status, reason, None);
        self.operation.clone()
    }

    fn fill(&mut self, engine: &Engine, status: &str, reason: &str, ending: Option<Ending>) {
        let now = engine.clock().now();
        if let Ok(plan) = self.plan.encode() {
            self.state.plan = plan;
        }
        if let Ok(state) = serde_json::to_string(&self.state) {
            self.operation.state = state;
        }
        self.operation.steps = record::steps(&self.operation.steps, &self.plan, reason, ending, now.0);
        status.clone_into(&mut self.operation.status);
        reason.clone_into(&mut self.operation.reason);
        self.operation.updated_at = now.micros();
        self.operation.deadline = Some(self.plan.deadline().as_microsecond());
    }

    /// Records where it stands.
    pub async fn save(&mut self, engine: &Engine, status: &str, reason: &str) -> Result<(), StoreError> {
        let saved = self.row(engine, status, reason);
        self.operation.generation = engine.store().write(move |tx| operations::save(tx, &saved)).await?;
        Ok(())
    }

    async fn finish(&mut self, engine: &Engine, ending: Ending, cause: Option<Cause>) -> Result<(), StoreError> {
        let reason = cause.as_ref().map(|c| c.text.clone()).unwrap_or_default();
        self.fill(engine, ending.as_str(), &reason, Some(ending));
        self.operation.error = cause.map(|c| c.text);
        self.operation.finished_at = Some(self.operation.updated_at);
        let saved = self.operation.clone();
        let (params, plan) = (self.params.clone(), self.plan.clone());
        let refreshed = matches!(self.plan, Plan::Refresh(_));
        let generation = engine.store().write(move |tx| {
            machine::ended(tx, &saved, &params, &plan, ending)?;
            if refreshed {
                refresh::ended(tx, saved.error.as_deref(), saved.updated_at)?;
            }
            operations::save(tx, &saved)
        });
        self.operation.generation = generation.await?;
        if refreshed {
            engine.refreshes().ended(ending == Ending::Succeeded, self.operation.updated_at);
        }
        Ok(())
    }

    /// Marks the server as rebooting, unless it must not be rebooted now. The mark and the note of it are one transaction.
    async fn restart(&mut self, engine: &Engine) -> Result<(), StoreError> {
        let (before, now) = (self.plan.clone(), engine.clock().now());
        self.plan.advance_restart(Ok(()), now.0);
        let saved = self.row(engine, "running", "rebooting the server");
        let (server, state, force) = (self.params.server.clone(), self.state.clone(), self.params.force);
        let done = engine.store().write(move |tx| {
            let Some(row) = servers::get_by_id(tx, &server)? else {
                return Ok(Err("the server's record is gone".to_owned()));
            };
            match reboot_mark(tx, &row, force, now)? {
                Err(refused) => Ok(Err(refused)),
                Ok(mark) => {
                    let state = State { mark: Some(mark), ..state.clone() };
                    let text = serde_json::to_string(&state).map_err(|e| StoreError::Database(e.to_string()))?;
                    let saved = Operation { state: text, ..saved.clone() };
                    Ok(Ok((operations::save(tx, &saved)?, state)))
                }
            }
        });
        match done.await? {
            Ok((generation, state)) => (self.operation.generation, self.state) = (generation, state),
            Err(why) => {
                self.plan = before;
                self.plan.advance_restart(Err(why), now.0);
            }
        }
        Ok(())
    }

    /// The call failed: the mark goes, unless something newer happened to the server, and the note of it is written.
    async fn undo(&mut self, engine: &Engine) -> Result<(), StoreError> {
        self.plan.advance(Outcome::Undone);
        let saved = self.row(engine, "running", "putting the server back");
        self.operation.generation = self.unmark(engine, saved).await?;
        Ok(())
    }

    /// Ends it here. What the machine took already goes on, unwatched.
    async fn cancel(&mut self, engine: &Engine) -> Result<(), StoreError> {
        let begun = self.plan.is_accepted();
        let reason = match &self.plan {
            Plan::Refresh(_) => "cancelled; what is downloaded stays, and the next refresh goes on from there",
            _ if begun => "cancelled; what the machine has begun goes on",
            _ => "cancelled before the machine was called",
        };
        self.fill(engine, Ending::Cancelled.as_str(), reason, Some(Ending::Cancelled));
        self.operation.finished_at = Some(self.operation.updated_at);
        let saved = self.operation.clone();
        if begun || self.state.mark.is_none() {
            let (params, plan) = (self.params.clone(), self.plan.clone());
            let done = engine.store().write(move |tx| {
                machine::ended(tx, &saved, &params, &plan, Ending::Cancelled)?;
                operations::save(tx, &saved)
            });
            self.operation.generation = done.await?;
        } else {
            self.operation.generation = self.unmark(engine, saved).await?;
        }
        Ok(())
    }

    async fn unmark(&self, engine: &Engine, saved: Operation) -> Result<i64, StoreError> {
        let (server, mark) = (self.params.server.clone(), self.state.mark.clone());
        let part = self.params.wish.part();
        let now = engine.clock().micros();
        let done = engine.store().write(move |tx| {
            if let (Some(mark), Some(row)) = (&mark, servers::get_by_id(tx, &server)?) {
                let current = tracking::enrolment(&row);
                let restored = action::undo(&mark.before.enrolment(), &mark.begun.enrolment(), &current);
                if restored != current {
                    let mut observation = tracking::observation(&row, &restored);
                    observation.last_updated = Some(now);
                    if let (Some(part), Some(documents)) = (part, operations::documents(tx, &saved.id).ok().flatten())
                        && let Ok(documents) = serde_json::from_str::<record::Documents>(documents.expose())
                    {
                        replace(tx, &row, &mut observation, part, documents.before)?;
                    }
                    servers::update_observation(tx, &row.id, row.observed, &observation)?;
                }
            }
            operations::save(tx, &saved)
        });
        done.await
    }
}

/// Writes to a server that it reboots, or says why it must not.
fn reboot_mark(tx: &mut Tx<'_>, row: &ServerRow, force: bool, now: Time) -> Result<Result<Mark, String>, StoreError> {
    let before = tracking::enrolment(row);
    let incus = row.server_type.parse::<ServerType>().unwrap_or(ServerType::Unknown).is_incus();
    let context = ActionContext { incus, cluster_busy: false, in_flight: None, force };
    let after = match action::begin(&before, ServerAction::Reboot, context, now.0) {
        Ok(after) => after,
        Err(refused) => return Ok(Err(refused.to_string())),
    };
    let mut observation = tracking::observation(row, &after);
    observation.last_updated = Some(now.micros());
    servers::update_observation(tx, &row.id, row.observed, &observation)?;
    Ok(Ok(Mark { before: (&before).into(), begun: (&after).into() }))
}

/// Puts one of a server's documents: readable with its secrets masked, and sealed with them.
pub(crate) fn replace(
    tx: &mut Tx<'_>,
    row: &ServerRow,
    observation: &mut servers::Observation,
    part: &str,
    document: Value,
) -> Result<(), StoreError> {
    let mut readable: Value = serde_json::from_str(&row.os_data).unwrap_or_default();
    let mut secret = stored(tx, row)?;
    secret[part] = document.clone();
    let mut masked = document;
    hidden::mask(&mut masked);
    readable[part] = masked;
    observation.os_data = Some(readable.to_string());
    observation.os_secrets = Some(Secret::new(secret.to_string()));
    Ok(())
}

/// A server's documents with their secrets; the readable ones of a server that was never polled.
pub(crate) fn stored(tx: &mut Tx<'_>, row: &ServerRow) -> Result<Value, StoreError> {
    let secrets = servers::secrets(tx, &row.id)?.os_secrets;
    let text = secrets.as_ref().map_or(row.os_data.as_str(), |s| s.expose());
    Ok(serde_json::from_str(text).unwrap_or_default())
}
