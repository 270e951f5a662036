//! Health alerts of machines (`lifecycle.md` 3.3): what tools report and people answer for.

use crate::{
    Actor, Engine, Error,
    machine::{
        By,
        alerts::{self, Taken},
    },
};
use jiff::Timestamp;
use muster_api::{
    alert::{Alert, AlertOverride, AlertOverridePut, AlertReport},
    time::Time,
};
use muster_domain::machine::alert::{self as domain, Mode, OWN_SOURCE, Override, Report, Reported, Unfit};
use muster_store::{
    StoreError, Tx,
    tables::{machine_alerts, machines},
};

/// Machines looked at in one transaction.
const BATCH: i64 = 100;

fn missing(id: &str) -> Error {
    Error::NotFound(format!("machine {id:?}"))
}

fn shown(alert: domain::Alert, now: Timestamp) -> Alert {
    let counts = alert.counts(now);
    let overridden = alert.overridden.clone().filter(|_| alert.is_overridden(now));
    Alert {
        source: alert.source,
        name: alert.name,
        classes: alert.classes.into_iter().map(|class| class.as_str().to_owned()).collect(),
        message: alert.message,
        author: alert.author,
        at: Time(alert.at),
        expires_at: alert.expires.map(Time),
        overridden: overridden.map(|o| AlertOverride {
            author: o.author,
            reason: o.reason,
            at: Time(o.at),
            expires_at: o.expires.map(Time),
        }),
        counts,
    }
}

/// The alerts of a machine, by source and name.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn list(engine: &Engine, id: &str) -> Result<Vec<Alert>, Error> {
    let (wanted, now) = (id.to_owned(), engine.clock().now());
    let found = engine.store().read(move |tx| match machines::get(tx, &wanted)? {
        None => Ok(None),
        Some(_) => alerts::list(tx, &wanted, now.micros()).map(Some),
    });
    let found = found.await?.ok_or_else(|| missing(id))?;
    Ok(found.into_iter().map(|alert| shown(alert, now.0)).collect())
}

/// Takes in what a source reports about a machine: `replace` ends what is not reported any more.
///
/// # Errors
/// [`Error::NotFound`], [`Error::Invalid`] with the field at fault, [`Error::Refused`] for a decommissioned machine.
pub async fn report(engine: &Engine, actor: &Actor, id: &str, post: AlertReport, replace: bool) -> Result<(), Error> {
    let now = engine.clock().now();
    let report = read(post, actor, replace).and_then(|report| report.check(now.0).map(|()| report)).map_err(unfit)?;
    let reason = format!("reported by {}", report.source);
    change(engine, actor, id, reason, move |tx, row, by| alerts::report(tx, row, report.clone(), by)).await
}

fn read(post: AlertReport, actor: &Actor, replace: bool) -> Result<Report, Unfit> {
    let mut alerts = Vec::new();
    for (n, alert) in post.alerts.into_iter().enumerate() {
        let classes = alert.classes.iter().map(|class| class.parse()).collect::<Result<_, domain::UnknownClass>>();
        let classes = classes.map_err(|e| Unfit { field: format!("alerts[{n}].classes"), why: e.to_string() })?;
        let expires = alert.expires_at.map(|at| at.0);
        alerts.push(Reported { name: alert.name, classes, message: alert.message.trim().to_owned(), expires });
    }
    let mode = if replace { Mode::Replace } else { Mode::Merge };
    Ok(Report { source: post.source, mode, alerts, author: actor.0.clone() })
}

fn unfit(e: Unfit) -> Error {
    Error::Invalid(format!("Invalid alert report, {e}"))
}

/// Ends an alert that somebody outside reported.
///
/// # Errors
/// [`Error::NotFound`], [`Error::NotPermitted`] for one of the center's own, [`Error::Refused`].
pub async fn delete(engine: &Engine, actor: &Actor, id: &str, source: &str, name: &str) -> Result<(), Error> {
    if source == OWN_SOURCE {
        let text = "the center reports this itself and ends it when its cause is gone; override it instead";
        return Err(Error::NotPermitted(text.into()));
    }
    let (source, name) = (source.to_owned(), name.to_owned());
    let reason = format!("{source}/{name} was taken back");
    change(engine, actor, id, reason, move |tx, row, by| alerts::end(tx, row, (&source, &name), by)).await
}

/// Somebody answers for an alert: its classes do not count, for as long as it says.
///
/// # Errors
/// [`Error::NotFound`], [`Error::Invalid`] with the field at fault, [`Error::Refused`].
pub async fn set_override(
    engine: &Engine,
    actor: &Actor,
    id: &str,
    (source, name): (&str, &str),
    put: AlertOverridePut,
) -> Result<(), Error> {
    let now = engine.clock().now().0;
    let invalid = |e: Unfit| Error::Invalid(format!("Invalid override, {e}"));
    domain::check_text("reason", &put.reason).map_err(invalid)?;
    if put.expires_at.is_some_and(|end| end.0 <= now) {
        let why = "is over already: give a time to come, or none".into();
        return Err(invalid(Unfit { field: "expires_at".into(), why }));
    }
    let reason = put.reason.trim().to_owned();
    let answer =
        Override { author: actor.0.clone(), reason: reason.clone(), at: now, expires: put.expires_at.map(|end| end.0) };
    let (source, name) = (source.to_owned(), name.to_owned());
    change(engine, actor, id, reason, move |tx, row, by| {
        alerts::answer(tx, row, (&source, &name), Some(answer.clone()), by)
    })
    .await
}

/// Nobody answers for an alert any more.
///
/// # Errors
/// [`Error::NotFound`], [`Error::Refused`].
pub async fn end_override(engine: &Engine, actor: &Actor, id: &str, source: &str, name: &str) -> Result<(), Error> {
    let (source, name) = (source.to_owned(), name.to_owned());
    let reason = format!("nobody answers for {source}/{name} any more");
    change(engine, actor, id, reason, move |tx, row, by| alerts::answer(tx, row, (&source, &name), None, by)).await
}

async fn change(
    engine: &Engine,
    actor: &Actor,
    id: &str,
    reason: String,
    f: impl Fn(&mut Tx<'_>, machines::Machine, By<'_>) -> Result<Taken, StoreError> + Send + 'static,
) -> Result<(), Error> {
    let (wanted, actor, now) = (id.to_owned(), actor.clone(), engine.clock().micros());
    let done = engine.store().write(move |tx| {
        let Some(row) = machines::get(tx, &wanted)? else { return Ok(Err(missing(&wanted))) };
        let by = By::new(&actor.0, &reason, now);
        if let Some(refusal) = alerts::closed(&row)? {
            return Ok(Err(refusal.into()));
        }
        Ok(match f(tx, row, by)? {
            Taken::Done(_) => Ok(()),
            Taken::Refused(refusal) => Err(refusal.into()),
            Taken::Unfit(e) => Err(unfit(e)),
            Taken::Missing => Err(Error::NotFound(format!("machine {wanted:?} has no such alert"))),
        })
    });
    done.await?
}

/// Writes to machines what time has made of their alerts. Answers how many machines were looked at.
///
/// # Errors
/// The store's.
pub async fn expire(engine: &Engine) -> Result<u64, Error> {
    let (now, mut looked) = (engine.clock().micros(), 0);
    loop {
        let done = engine.store().write(move |tx| {
            let ids = machine_alerts::due(tx, now, BATCH)?;
            for id in &ids {
                let Some(row) = machines::get(tx, id)? else { continue };
                if alerts::closed(&row)?.is_some() {
                    alerts::forget(tx, id, now)?;
                    continue;
                }
                alerts::refresh(tx, row, By::new("system", "its time was over", now))?;
            }
            Ok(ids.len() as u64)
        });
        let batch = done.await?;
        looked += batch;
        if batch < BATCH.unsigned_abs() {
            return Ok(looked);
        }
    }
}
