//! Machines that are kept for somebody (`lifecycle.md` 1.8): what `domain` plans for the subscriptions is written here.
//!
//! It is part of the transaction in which something changes: a machine that becomes available is bound before anybody else
//! sees it, and a subscription that is stopped has let go when its call is answered. What only time changes, a background
//! run of one daemon of the site sees to; it looks at everything from time to time, too, but finds something only where a
//! transaction was not part of this.
//!
//! Two daemons never bind a machine twice: each reads what it decides about in the transaction that it writes in, and of
//! two such transactions the database lets one come first.

use crate::{
    Engine, Error,
    machine::{self, By, enrolled, load},
    services::audit::{self, Entry},
};
use muster_api::{machine::Asset, time::Time};
use muster_domain::{
    machine::{Command, Lifecycle, axes::Reservation},
    subscription::{self as domain, Candidate, Phase, Plan, Status, Subscription, Term, Wanted},
};
use muster_store::{
    StoreError, Tx,
    tables::{
        leases,
        machines::Machine as MachineRow,
        subscriptions::{self, Of, Subscription as Row},
        warnings::{self, Emitted},
    },
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};
use tokio_util::sync::CancellationToken;

/// Commits within this time are looked at together.
const GATHER: Duration = Duration::from_millis(200);
/// After it was seen to something: a look at what is next.
const AGAIN: Duration = Duration::from_secs(1);
/// Longest time without a look, in case word of a commit got lost.
const LONGEST: Duration = Duration::from_secs(60);
/// How often everything is looked at, in microseconds.
const EVERYTHING_US: i64 = 600_000_000;
/// How long a daemon that died keeps others from it, in microseconds.
const LEASE_US: i64 = 120_000_000;

/// Where the warnings of subscriptions come from.
pub(crate) const SCOPE: &str = "subscription";
const KIND: &str = "subscription_unfulfilled";

/// What is concerned.
#[derive(Debug, Clone, Default)]
pub(crate) struct Scope {
    /// Server types by id; empty: that of machines without one.
    types: BTreeSet<String>,
    machines: BTreeSet<String>,
    subscriptions: BTreeSet<String>,
}

impl Scope {
    /// A subscription, and whoever wants what it wants.
    pub fn subscription(id: &str) -> Self {
        Self { subscriptions: BTreeSet::from([id.to_owned()]), ..Self::default() }
    }

    /// A server type: its machines, and who wants some.
    pub fn of_type(id: String) -> Self {
        Self { types: BTreeSet::from([id]), ..Self::default() }
    }
}

/// A machine was changed: what that means for subscriptions. Answers what to append to the audit.
pub(crate) fn follow(
    tx: &mut Tx<'_>,
    before: &MachineRow,
    after: &MachineRow,
    now: i64,
) -> Result<Vec<Entry>, StoreError> {
    let pool = |row: &MachineRow| row.lifecycle.parse::<Lifecycle>().is_ok_and(Lifecycle::is_pool);
    if !pool(before) && !pool(after) && before.lifecycle == after.lifecycle {
        return Ok(Vec::new());
    }
    let bound = [&before.subscription, &after.subscription].into_iter().flatten().cloned().collect();
    settle(
        tx,
        Scope { types: BTreeSet::new(), machines: BTreeSet::from([after.id.clone()]), subscriptions: bound },
        now,
    )
}

/// Binds and lets go what has to be now, as far as it is concerned. Answers what to append to the audit behind the change that
/// it follows from.
pub(crate) fn settle(tx: &mut Tx<'_>, scope: Scope, now: i64) -> Result<Vec<Entry>, StoreError> {
    let mut known = Known::concerned(tx, scope)?;
    if known.subscriptions.is_empty() && known.machines.is_empty() {
        return Ok(Vec::new());
    }
    let at = Time::from_micros(now);
    let mut plan = known.plan(at)?;
    if !plan.unfulfilled.is_empty() {
        // Only who lacks something has to know what else there is.
        known.add_pool(tx)?;
        plan = known.plan(at)?;
    }
    write(tx, known, plan, now)
}

/// What is known of those concerned.
struct Known {
    types: BTreeSet<String>,
    subscriptions: BTreeMap<String, Row>,
    machines: BTreeMap<String, Candidate>,
}

impl Known {
    /// The subscriptions concerned, and what is bound to them or in use through them.
    fn concerned(tx: &mut Tx<'_>, scope: Scope) -> Result<Self, StoreError> {
        let mut known = Self { types: scope.types, subscriptions: BTreeMap::new(), machines: BTreeMap::new() };
        let mut named = scope.machines;
        for id in &scope.subscriptions {
            if let Some(row) = subscriptions::get(tx, id)? {
                known.types.extend(row.type_id.clone());
                named.extend(row.machine_id.clone());
                known.subscriptions.insert(row.id.clone(), row);
            }
            known.add(tx, Of::Subscription(id))?;
        }
        for id in &named {
            known.add(tx, Of::Machine(id))?;
        }
        known.types.extend(known.machines.values().map(|machine| machine.server_type.clone()));
        for id in known.types.clone() {
            for row in subscriptions::active_of_type(tx, &id)? {
                if let Some(machine) = &row.machine_id {
                    known.add(tx, Of::Machine(machine))?;
                    known.add(tx, Of::Subscription(&row.id))?;
                }
                known.subscriptions.insert(row.id.clone(), row);
            }
            if !id.is_empty() {
                known.add(tx, Of::Subscribed(&id))?;
            }
        }
        known.add_bindings(tx, &scope.subscriptions)?;
        Ok(known)
    }

    /// What a machine is bound to is known, too. A machine whose subscription is gone is let go when that is looked at.
    fn add_bindings(&mut self, tx: &mut Tx<'_>, looked_at: &BTreeSet<String>) -> Result<(), StoreError> {
        let bound = |machine: &Candidate| machine.machine.reservation.as_ref().map(|r| r.subscription.clone());
        let ids: BTreeSet<String> = self.machines.values().filter_map(bound).collect();
        for id in ids.into_iter().filter(|id| !looked_at.contains(id)) {
            if self.subscriptions.contains_key(&id) {
                continue;
            }
            match subscriptions::get(tx, &id)? {
                Some(row) => drop(self.subscriptions.insert(id, row)),
                None => self.machines.retain(|_, machine| bound(machine).as_ref() != Some(&id)),
            }
        }
        Ok(())
    }

    fn add_pool(&mut self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        for id in self.types.clone().iter().filter(|id| !id.is_empty()) {
            self.add(tx, Of::Type(id))?;
        }
        self.add_bindings(tx, &BTreeSet::new())
    }

    fn add(&mut self, tx: &mut Tx<'_>, of: Of<'_>) -> Result<(), StoreError> {
        for (row, server) in subscriptions::candidates(tx, of)? {
            let machine = load(&row, server.as_ref().and_then(enrolled))?;
            let site = serde_json::from_str::<Asset>(&row.asset).map(|asset| asset.site).unwrap_or_default();
            let candidate = Candidate { id: row.id.clone(), server_type: row.server_type, site, machine };
            self.machines.insert(row.id, candidate);
        }
        Ok(())
    }

    fn plan(&self, now: Time) -> Result<Plan, StoreError> {
        let subscriptions = self.subscriptions.values().map(subscription).collect::<Result<Vec<_>, _>>()?;
        let machines: Vec<Candidate> = self.machines.values().cloned().collect();
        Ok(domain::plan(now, &subscriptions, &machines))
    }
}

/// A row as `domain` sees it.
pub(crate) fn subscription(row: &Row) -> Result<Subscription, StoreError> {
    let corrupt = |what: &dyn std::fmt::Display| StoreError::Corrupt(format!("subscription {}: {what}", row.id));
    let wanted = match (&row.type_id, &row.machine_id) {
        (Some(id), None) => Wanted::Type(id.clone()),
        (None, Some(id)) => Wanted::Machine(id.clone()),
        _ => return Err(corrupt(&"neither for a type nor for a machine")),
    };
    let ends = row.ends_at.map(Time::from_micros);
    let term = Term::new(Time::from_micros(row.starts_at), ends, row.cycle_months, row.renew);
    Ok(Subscription {
        id: row.id.clone(),
        holder: row.holder.clone(),
        wanted,
        quantity: Subscription::quantity_of(row.quantity).map_err(|e| corrupt(&e))?,
        site: row.site.clone(),
        term: term.map_err(|e| corrupt(&e))?,
        status: row.status.parse().map_err(|e| corrupt(&e))?,
        created_at: Time::from_micros(row.created_at),
    })
}

/// Writes a plan.
fn write(tx: &mut Tx<'_>, known: Known, plan: Plan, now: i64) -> Result<Vec<Entry>, StoreError> {
    let Known { mut subscriptions, .. } = known;
    let mut entries = Vec::new();
    for id in &plan.ended {
        if let Some(row) = subscriptions.get_mut(id) {
            let mut entry = audit::by(now, "system", "subscription.end", SCOPE, id);
            entry.reason = Some("its term is over".to_owned());
            (entry.from_state, entry.to_state) = (Some(row.status.clone()), Some(Status::Ended.to_string()));
            entries.push(entry);
            row.status = Status::Ended.to_string();
            row.generation = subscriptions::update(tx, row)?;
        }
    }
    for renewal in &plan.renewed {
        if let Some(row) = subscriptions.get_mut(&renewal.subscription) {
            let mut entry = audit::by(now, "system", "subscription.renew", SCOPE, &row.id);
            entry.from_state = row.ends_at.map(|ends| Time::from_micros(ends).to_string());
            entry.to_state = renewal.term.ends().map(|ends| ends.to_string());
            entries.push(entry);
            row.ends_at = renewal.term.ends().map(Time::micros);
            row.generation = subscriptions::update(tx, row)?;
        }
    }
    for unbinding in &plan.unbind {
        let reason = format!("subscription {}: {}", unbinding.subscription, unbinding.why);
        reserve(tx, &unbinding.machine, &Command::Unreserve, &reason, now, &mut entries)?;
    }
    for binding in &plan.bind {
        let reason = format!("subscription {} of {}", binding.subscription, binding.holder);
        let reservation = Reservation { subscription: binding.subscription.clone(), holder: binding.holder.clone() };
        reserve(tx, &binding.machine, &Command::Reserve(reservation), &reason, now, &mut entries)?;
    }
    let lacks: BTreeMap<&str, (i64, String)> =
        plan.unfulfilled.iter().map(|(id, s)| (id.as_str(), (i64::from(s.missing), s.to_string()))).collect();
    for row in subscriptions.values() {
        // Whose clock is behind knows nothing of what it lacks.
        let waits = subscription(row)?.phase(Time::from_micros(now)) == Phase::Waiting;
        if waits && row.status == subscriptions::ACTIVE && !lacks.contains_key(row.id.as_str()) {
            continue;
        }
        let (missing, why) = lacks.get(row.id.as_str()).cloned().unwrap_or_default();
        if (row.missing, row.unfulfilled.as_str()) != (missing, why.as_str()) {
            entries.extend(tell(tx, row, missing, &why, now)?);
        }
    }
    Ok(entries)
}

fn reserve(
    tx: &mut Tx<'_>,
    machine: &str,
    command: &Command,
    reason: &str,
    now: i64,
    entries: &mut Vec<Entry>,
) -> Result<(), StoreError> {
    match machine::reserve(tx, machine, command, By::new("system", reason, now))? {
        Ok(done) => entries.extend(done),
        // The plan keeps to the same rules. Should it not, whoever caused it must not suffer.
        Err(refusal) => tracing::error!(machine, %refusal, reason, "a subscription planned what is not allowed"),
    }
    Ok(())
}

/// A subscription lacks something else than before: told to operators, and on record when it begins and when it ends.
fn tell(tx: &mut Tx<'_>, row: &Row, missing: i64, why: &str, now: i64) -> Result<Option<Entry>, StoreError> {
    subscriptions::set_missing(tx, &row.id, missing, why)?;
    let text = format!("subscription {} of {}: {why}", row.id, row.holder);
    let emitted = Emitted {
        kind: KIND.into(),
        scope: SCOPE.into(),
        entity_type: SCOPE.into(),
        entity: row.id.clone(),
        messages: vec![text],
    };
    if missing == 0 {
        warnings::remove(tx, KIND, SCOPE, SCOPE, &row.id)?;
    } else if missing > row.missing || !warnings::reword(tx, &emitted, now)? {
        warnings::emit(tx, &emitted, &uuid::Uuid::now_v7().to_string(), now)?;
        warnings::reword(tx, &emitted, now)?;
    }
    let action = match (row.missing > 0, missing > 0) {
        (false, true) => "subscription.unfulfilled",
        (true, false) if row.status == subscriptions::ACTIVE => "subscription.fulfilled",
        _ => return Ok(None),
    };
    let mut entry = audit::by(now, "system", action, SCOPE, &row.id);
    entry.reason = Some(why.to_owned()).filter(|why| !why.is_empty());
    Ok(Some(entry))
}

/// How many subscriptions are active, and what they ask for and lack: as of the last look.
#[derive(Debug, Default)]
pub struct Totals {
    active: AtomicI64,
    wanted: AtomicI64,
    missing: AtomicI64,
}

impl Totals {
    fn set(&self, (active, wanted, missing): (i64, i64, i64)) {
        for (total, value) in [(&self.active, active), (&self.wanted, wanted), (&self.missing, missing)] {
            total.store(value, Ordering::Relaxed);
        }
    }

    /// Active subscriptions.
    pub fn active(&self) -> i64 {
        self.active.load(Ordering::Relaxed)
    }

    /// Machines that they ask for.
    pub fn wanted(&self) -> i64 {
        self.wanted.load(Ordering::Relaxed)
    }

    /// Machines that they lack.
    pub fn missing(&self) -> i64 {
        self.missing.load(Ordering::Relaxed)
    }
}

/// Sees to what time changes, until it is told to stop.
pub async fn run(engine: Engine, shutdown: CancellationToken) {
    let owner = uuid::Uuid::now_v7().to_string();
    let mut changed = engine.store().changed();
    let mut seen = Seen::default();
    loop {
        changed.borrow_and_update();
        let pause = match look(&engine, &owner, &mut seen).await {
            Ok(pause) => pause,
            Err(error) => {
                tracing::error!(%error, "cannot see to the subscriptions");
                LONGEST
            }
        };
        let woken = async {
            changed.changed().await.ok();
            tokio::time::sleep(GATHER).await;
        };
        tokio::select! {
            () = shutdown.cancelled() => break,
            () = tokio::time::sleep(pause) => {}
            () = woken => {}
        }
    }
    engine.store().write(move |tx| leases::release(tx, SCOPE, &owner)).await.ok();
}

/// What the looks before have seen to.
#[derive(Default)]
struct Seen {
    /// What had begun or ended until then is done.
    until: Option<i64>,
    /// When everything was looked at.
    everything: Option<i64>,
}

/// Looks whether something is due; for how long nothing will be.
async fn look(engine: &Engine, owner: &str, seen: &mut Seen) -> Result<Duration, Error> {
    let now = engine.clock().micros();
    let until = seen.until.unwrap_or(now);
    let found = engine.store().read(move |tx| Ok((subscriptions::next(tx, until)?, subscriptions::totals(tx)?)));
    let (next, totals) = found.await?;
    engine.subscribed().set(totals);
    let again = seen.everything.map_or(now, |at| at.saturating_add(EVERYTHING_US));
    let due = next.unwrap_or(again).min(again);
    if due > now {
        let left = u64::try_from(due.saturating_sub(now)).unwrap_or_default();
        return Ok(Duration::from_micros(left).min(LONGEST));
    }
    let owner = owner.to_owned();
    if engine.store().write(move |tx| leases::acquire(tx, SCOPE, &owner, now, now + LEASE_US)).await? {
        once(engine).await?;
    }
    *seen = Seen { until: Some(now), everything: Some(now) };
    Ok(AGAIN)
}

/// Looks at everything once, a type at a time so that no transaction is long.
///
/// # Errors
/// The store's.
pub async fn once(engine: &Engine) -> Result<(), Error> {
    let now = engine.clock().micros();
    let found = engine.store().read(|tx| Ok((subscriptions::types(tx)?, subscriptions::left_over(tx)?))).await?;
    let types = found.0.into_iter().map(Scope::of_type as fn(String) -> Scope);
    let left = found.1.iter().map(|id| Scope::subscription(id));
    for scope in types.chain(left) {
        let done = engine.store().write(move |tx| {
            let entries = settle(tx, scope.clone(), now)?;
            entries.iter().try_for_each(|entry| audit::append(tx, entry))
        });
        done.await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
