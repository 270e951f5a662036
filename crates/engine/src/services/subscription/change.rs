//! What people do with subscriptions. Whatever follows for machines is part of the same transaction.

use super::missing;
use crate::{
    Actor, Engine, Error,
    reservation::{self, SCOPE, Scope},
    services::audit::{self, Entry},
};
use muster_api::{
    subscription::{SubscriptionPost, SubscriptionPut},
    time::Time,
};
use muster_domain::subscription::{Phase, Status, Subscription, Term, Wanted};
use muster_store::{
    StoreError, Tx,
    tables::{
        machines,
        subscriptions::{self, Subscription as Row},
        warnings,
    },
};
use uuid::Uuid;

/// Most subscriptions that are active at once.
const ACTIVE_LIMIT: i64 = 10_000;

fn invalid(why: impl std::fmt::Display) -> Error {
    Error::Invalid(format!("Invalid subscription, {why}"))
}

/// A time of a request that a database can hold, and that people can mean.
fn sane(field: &str, at: Time) -> Result<Time, Error> {
    // From 1970 on, and to whole microseconds, as it is stored.
    match at.micros() {
        micros if micros >= 0 => Ok(Time::from_micros(micros)),
        _ => Err(invalid(format!("{field} {at} is before 1970"))),
    }
}

/// Settles and appends everything to the audit: the person's entry first, then what followed.
fn finish(tx: &mut Tx<'_>, id: &str, entry: &Entry, now: i64) -> Result<(), StoreError> {
    let settled = reservation::settle(tx, Scope::subscription(id), now)?;
    audit::append(tx, entry)?;
    settled.iter().try_for_each(|entry| audit::append(tx, entry))
}

/// Makes a subscription; answers its id. If its term runs, what there is of machines is bound to it.
///
/// # Errors
/// [`Error::Invalid`] with the field at fault, [`Error::Constraint`] for a type or machine that does not exist or when there
/// are too many.
pub async fn create(engine: &Engine, actor: &Actor, post: SubscriptionPost) -> Result<String, Error> {
    let (id, now) = (Uuid::now_v7().to_string(), engine.clock().now());
    let (holder, site) = (post.holder.trim().to_owned(), post.site.trim().to_owned());
    let wanted = match (post.server_type.trim(), post.machine.trim()) {
        ("", "") => return Err(invalid("server_type or machine has to be given")),
        (server_type, "") => Wanted::Type(server_type.to_owned()),
        ("", machine) => Wanted::Machine(machine.to_owned()),
        _ => return Err(invalid("server_type and machine exclude each other; give one of them")),
    };
    let starts = post.starts.map(|at| sane("starts", at)).transpose()?;
    let ends = post.ends.map(|at| sane("ends", at)).transpose()?;
    let starts = starts.unwrap_or(Time::from_micros(now.micros()));
    let made = Subscription {
        id: id.clone(),
        holder,
        wanted,
        quantity: Subscription::quantity_of(post.quantity).map_err(invalid)?,
        site,
        term: Term::new(starts, ends, post.cycle_months, post.renew).map_err(invalid)?,
        status: Status::Active,
        created_at: now,
    };
    made.check(&post.description).map_err(invalid)?;
    not_over(&made.term, now)?;
    let mut entry = audit::entry(now.micros(), actor, "subscription.create", SCOPE, &id);
    entry.reason = Some(told(&made));
    let row = row(&made, post.description);
    let done = engine.store().write(move |tx| {
        if subscriptions::totals(tx)?.0 >= ACTIVE_LIMIT {
            let text = format!("there are {ACTIVE_LIMIT} active subscriptions already; stop those nobody needs");
            return Ok(Err(Error::Constraint(text)));
        }
        let mut row = row.clone();
        if let Some(name) = &row.type_id {
            let Some((id, _)) = subscriptions::server_type(tx, name)? else {
                return Ok(Err(Error::Constraint(format!("server_type {name:?} is none; see the server types"))));
            };
            row.type_id = Some(id);
        }
        if let Some(machine) = &row.machine_id
            && machines::get(tx, machine)?.is_none()
        {
            return Ok(Err(Error::Constraint(format!("machine {machine:?} is none; see the machines"))));
        }
        subscriptions::insert(tx, &row)?;
        finish(tx, &row.id, &entry, now.micros())?;
        Ok(Ok(()))
    });
    done.await??;
    Ok(id)
}

/// One that is over before it was ever looked at is a mistake.
fn not_over(term: &Term, now: Time) -> Result<(), Error> {
    match (term.phase(now), term.ends()) {
        (Phase::Over, Some(ends)) if term.renewed(now).is_none() => {
            Err(invalid(format!("ends {ends} has passed; a subscription is ended by stopping it")))
        }
        _ => Ok(()),
    }
}

/// What it asks for, for the record.
fn told(s: &Subscription) -> String {
    let what = match &s.wanted {
        Wanted::Type(id) => format!("{} of type {id}", s.quantity),
        Wanted::Machine(id) => format!("machine {id}"),
    };
    let until = s.term.ends().map(|ends| format!(" until {ends}")).unwrap_or_default();
    let cycle = match (s.term.renew(), s.term.cycle_months()) {
        (true, months) => format!(", renewed every {months} months"),
        (false, _) => String::new(),
    };
    let site = if s.site.is_empty() { String::new() } else { format!(" at {}", s.site) };
    format!("{what}{site} for {} from {}{until}{cycle}", s.holder, s.term.starts())
}

fn row(s: &Subscription, description: String) -> Row {
    let (type_id, machine_id) = match s.wanted.clone() {
        Wanted::Type(id) => (Some(id), None),
        Wanted::Machine(id) => (None, Some(id)),
    };
    Row {
        id: s.id.clone(),
        holder: s.holder.clone(),
        type_id,
        machine_id,
        quantity: s.quantity.into(),
        site: s.site.clone(),
        starts_at: s.term.starts().micros(),
        ends_at: s.term.ends().map(Time::micros),
        cycle_months: s.term.cycle_months().into(),
        renew: s.term.renew(),
        status: s.status.to_string(),
        description,
        created_at: s.created_at.micros(),
        ..Row::default()
    }
}

/// Changes what may be changed of an active subscription, if it is still of this generation.
///
/// # Errors
/// [`Error::NotFound`], [`Error::Stale`], [`Error::Invalid`] with the field at fault, [`Error::NotPermitted`] when it is not
/// active, or when its start is to move and has passed.
pub async fn edit(
    engine: &Engine,
    actor: &Actor,
    id: &str,
    put: SubscriptionPut,
    expected: Option<i64>,
) -> Result<(), Error> {
    let now = engine.clock().now();
    let entry = audit::entry(now.micros(), actor, "subscription.edit", SCOPE, id);
    let wanted = id.to_owned();
    let done = engine.store().write(move |tx| {
        let Some(mut stored) = subscriptions::get(tx, &wanted)? else { return Ok(Err(missing(&wanted))) };
        if expected.is_some_and(|seen| seen != stored.generation) {
            return Err(StoreError::Stale);
        }
        let before = reservation::subscription(&stored)?;
        let (after, description) = match changed(&before, &stored.description, &put, now) {
            Ok(changed) => changed,
            Err(refused) => return Ok(Err(refused)),
        };
        let mut entry = entry.clone();
        (entry.from_state, entry.to_state) = (Some(told(&before)), Some(told(&after)));
        stored.quantity = after.quantity.into();
        stored.starts_at = after.term.starts().micros();
        stored.ends_at = after.term.ends().map(Time::micros);
        stored.cycle_months = after.term.cycle_months().into();
        stored.renew = after.term.renew();
        stored.description = description;
        subscriptions::update(tx, &stored)?;
        finish(tx, &wanted, &entry, now.micros())?;
        Ok(Ok(()))
    });
    done.await?
}

/// The subscription as a request would have it.
fn changed(
    before: &Subscription,
    description: &str,
    put: &SubscriptionPut,
    now: Time,
) -> Result<(Subscription, String), Error> {
    if before.status != Status::Active {
        let status = before.status;
        return Err(Error::NotPermitted(format!("the subscription is {status}; make another one")));
    }
    let term = &before.term;
    let starts = match put.starts.map(|at| sane("starts", at)).transpose()? {
        Some(starts) if starts != term.starts() && term.phase(now) != Phase::Waiting => {
            return Err(Error::NotPermitted(format!("starts {} has passed and can not be moved", term.starts())));
        }
        Some(starts) => starts,
        None => term.starts(),
    };
    let cycle = put.cycle_months.unwrap_or(term.cycle_months().into());
    let renew = put.renew.unwrap_or(term.renew());
    let ends = match put.ends {
        None => term.ends(),
        Some(None) => {
            let own = Term::new(starts, None, cycle, renew).map_err(invalid)?;
            if own.phase(now) == Phase::Over { own.end_of_cycle(now) } else { own.ends() }
        }
        Some(Some(ends)) => Some(sane("ends", ends)?),
    };
    let quantity = match put.quantity {
        None => before.quantity,
        Some(asked) => Subscription::quantity_of(asked).map_err(invalid)?,
    };
    let term = Term::new(starts, ends, cycle, renew).map_err(invalid)?;
    let after = Subscription { quantity, term, ..before.clone() };
    let description = put.description.clone().unwrap_or_else(|| description.to_owned());
    after.check(&description).map_err(invalid)?;
    not_over(&after.term, now)?;
    Ok((after, description))
}

/// Stops a subscription: it lets go of what is bound to it. What is in use stays with its holder. Doing so twice is doing it
/// once.
///
/// # Errors
/// [`Error::NotFound`], [`Error::NotPermitted`] when its term is over.
pub async fn stop(engine: &Engine, actor: &Actor, id: &str) -> Result<(), Error> {
    let now = engine.clock().micros();
    let entry = audit::entry(now, actor, "subscription.stop", SCOPE, id);
    let wanted = id.to_owned();
    let done = engine.store().write(move |tx| {
        let Some(mut stored) = subscriptions::get(tx, &wanted)? else { return Ok(Err(missing(&wanted))) };
        match reservation::subscription(&stored)?.status {
            Status::Stopped => return Ok(Ok(())),
            Status::Ended => return Ok(Err(Error::NotPermitted("the subscription has ended by itself".into()))),
            Status::Active => {}
        }
        let mut entry = entry.clone();
        (entry.from_state, entry.to_state) = (Some(stored.status), Some(Status::Stopped.to_string()));
        stored.status = Status::Stopped.to_string();
        subscriptions::update(tx, &stored)?;
        finish(tx, &wanted, &entry, now)?;
        Ok(Ok(()))
    });
    done.await?
}

/// Removes a subscription that is over and has no machine left. Its history stays in the audit.
///
/// # Errors
/// [`Error::NotFound`], [`Error::NotPermitted`] while it is active or a machine is in use through it.
pub async fn delete(engine: &Engine, actor: &Actor, id: &str) -> Result<(), Error> {
    let now = engine.clock().micros();
    let entry = audit::entry(now, actor, "subscription.delete", SCOPE, id);
    let wanted = id.to_owned();
    let done = engine.store().write(move |tx| {
        let Some(stored) = subscriptions::get(tx, &wanted)? else { return Ok(Err(missing(&wanted))) };
        if stored.status == subscriptions::ACTIVE {
            return Ok(Err(Error::NotPermitted("the subscription is active; stop it first".into())));
        }
        if let Some((_, bound, in_use)) = subscriptions::counts(tx, &wanted, &wanted)?.pop() {
            let text = format!(
                "the subscription still has machines ({in_use} in use, {bound} about to be taken); they have to be released first"
            );
            return Ok(Err(Error::NotPermitted(text)));
        }
        subscriptions::delete(tx, &wanted)?;
        warnings::remove_scope(tx, SCOPE, Some((SCOPE, &wanted)), &[], now)?;
        let mut entry = entry.clone();
        entry.from_state = Some(stored.status);
        audit::append(tx, &entry)?;
        Ok(Ok(()))
    });
    done.await?
}
