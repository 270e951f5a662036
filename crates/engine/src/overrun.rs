//! Machines that are longer in a passing state than expected (`lifecycle.md` 3.3): a warning each, and a count of them.

use crate::{
    Engine,
    machine::{self, alerts},
};
use jiff::SignedDuration;
use muster_domain::machine::{Lifecycle, alert::Class, expected::expected};
use muster_store::{
    StoreError, Tx,
    tables::{
        leases,
        machines::{self, Filter},
        warnings,
    },
};
use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio_util::sync::CancellationToken;

/// How often it is looked.
const EVERY: Duration = Duration::from_secs(60);
/// How long a daemon that died keeps others from it, in microseconds.
const LEASE_US: i64 = 180_000_000;
/// Warnings have this scope.
const SCOPE: &str = "lifecycle";
/// Rows read at once.
const PAGE: i64 = 500;

/// How many machines there are, as of the last look.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counted {
    /// By lifecycle state.
    pub states: BTreeMap<String, i64>,
    /// Longer than expected in what passes by itself.
    pub overdue: i64,
}

/// The last look.
#[derive(Debug, Default)]
pub(crate) struct Counts(Mutex<Counted>);

impl Counts {
    /// As of the last look.
    pub fn get(&self) -> Counted {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Looks until it is told to stop. One daemon of a site writes the warnings, each counts.
pub async fn run(engine: Engine, shutdown: CancellationToken) {
    let owner = uuid::Uuid::now_v7().to_string();
    loop {
        if let Err(error) = once(&engine, &owner).await {
            tracing::error!(%error, "cannot look for machines that are overdue");
        }
        tokio::select! {
            () = shutdown.cancelled() => break,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
    engine.store().write(move |tx| leases::release(tx, SCOPE, &owner)).await.ok();
}

async fn once(engine: &Engine, owner: &str) -> Result<(), StoreError> {
    let now = engine.clock().micros();
    let (late, states) = engine.store().read(move |tx| Ok((late(tx, now)?, machines::count(tx)?))).await?;
    let counted =
        Counted { states: states.into_iter().collect(), overdue: i64::try_from(late.len()).unwrap_or(i64::MAX) };
    *engine.counts().0.lock().unwrap_or_else(PoisonError::into_inner) = counted;
    let owner = owner.to_owned();
    let told = engine.store().write(move |tx| {
        if leases::acquire(tx, SCOPE, &owner, now, now + LEASE_US)? {
            tell(tx, &late, now)?;
        }
        Ok(())
    });
    told.await
}

/// A machine that is late, and what is to be said of it.
struct Late {
    id: String,
    text: String,
    /// It is counted, and nothing is said of it.
    silent: bool,
}

fn late(tx: &mut Tx<'_>, now: i64) -> Result<Vec<Late>, StoreError> {
    let mut found = Vec::new();
    let mut filter = Filter { passing: true, ..Filter::default() };
    loop {
        let page = machines::list(tx, &filter, PAGE)?;
        let Some(last) = page.last() else { return Ok(found) };
        filter.after = Some(last.id.clone());
        for row in page {
            let known = machine::load(&row, None)?;
            let Some(expected) = expected(&known) else { continue };
            let takes = SignedDuration::from_micros(now - row.since);
            if takes <= expected.within {
                continue;
            }
            let classes = alerts::classes(tx, &row.id, now)?;
            if classes.contains(&Class::ExcludeFromSla) {
                continue;
            }
            let state: Lifecycle = known.lifecycle;
            let text = format!("{state} for longer than {} minutes: {}", expected.within.as_mins(), expected.what);
            found.push(Late { id: row.id, text, silent: classes.contains(&Class::SuppressAlerting) });
        }
    }
}

/// One warning each. Nothing is counted up as long as it stays the same, and it goes when it is over.
fn tell(tx: &mut Tx<'_>, late: &[Late], now: i64) -> Result<(), StoreError> {
    let late: Vec<_> = late.iter().filter(|late| !late.silent).collect();
    let filter = warnings::Filter { scope: Some(SCOPE.into()), ..warnings::Filter::default() };
    let known = warnings::list(tx, &filter, i64::MAX)?;
    for warning in &known {
        if !late.iter().any(|late| late.id == warning.entity) {
            warnings::remove_scope(tx, SCOPE, Some(("machine", &warning.entity)), &[], now)?;
        }
    }
    for late in late {
        if known.iter().any(|warning| warning.entity == late.id && warning.messages.last() == Some(&late.text)) {
            continue;
        }
        let emitted = warnings::Emitted {
            kind: "Machine overdue".into(),
            scope: SCOPE.into(),
            entity_type: "machine".into(),
            entity: late.id.clone(),
            messages: vec![late.text.clone()],
        };
        warnings::emit(tx, &emitted, &uuid::Uuid::now_v7().to_string(), now)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::{By, New};
    use muster_domain::machine::{
        Command,
        alert::{Mode, Report, Reported},
        birth::Birth,
    };

    /// Somebody reports one alert of these classes, and nothing else any more.
    fn report(tx: &mut Tx<'_>, classes: &[Class], now: i64) -> Result<(), StoreError> {
        let Some((row, ..)) = machine::read(tx, "m")? else { panic!("it is there") };
        let classes = classes.iter().copied().collect();
        let alert = Reported { name: "move".into(), classes, message: "it moves house".into(), expires: None };
        let report = Report { source: "desk".into(), mode: Mode::Replace, alerts: vec![alert], author: "anna".into() };
        alerts::report(tx, row, report, By::new("anna", "reported", now)).map(drop)
    }

    #[test]
    fn a_late_machine_is_warned_of_once_and_no_longer_than_it_is_late() {
        muster_store::testing::stores(|test| {
            let store = &test.store;
            store
                .write_blocking(|tx| {
                    let birth = Birth::PreRegistered { bmc: false, predecessor: None };
                    machine::create(tx, "m", New::default(), &birth, By::new("anna", "named", 0)).map(drop)
                })
                .unwrap();
            let at = |now: i64| {
                store
                    .write_blocking(move |tx| {
                        let late = late(tx, now)?;
                        tell(tx, &late, now)?;
                        let filter = warnings::Filter { scope: Some(SCOPE.into()), ..warnings::Filter::default() };
                        warnings::list(tx, &filter, i64::MAX)
                    })
                    .unwrap()
            };
            let day = 86_400_000_000;
            assert_eq!(at(day).len(), 0);
            assert_eq!(at(8 * day)[0].count, 1);
            assert_eq!(at(9 * day)[0].count, 1, "the same thing is told once");
            store
                .write_blocking(move |tx| {
                    let Some((row, server, _)) = machine::read(tx, "m")? else { panic!("it is there") };
                    let by = By::new("anna", "given up", 9 * day);
                    let change = machine::change(tx, row, server.as_ref(), &Command::Fail, by)?;
                    assert!(change.is_ok());
                    Ok(())
                })
                .unwrap();
            for (classes, counted, told) in [
                (&[Class::SuppressAlerting][..], 1, 0),
                (&[Class::ExcludeFromSla], 0, 0),
                (&[Class::PreventAllocations], 1, 1),
            ] {
                store.write_blocking(move |tx| report(tx, classes, 9 * day)).unwrap();
                assert_eq!(at(9 * day).len(), told, "{classes:?}");
                let late = store.read_blocking(move |tx| Ok(late(tx, 9 * day)?.len())).unwrap();
                assert_eq!(late, counted, "{classes:?}");
            }
            let failed = at(9 * day);
            assert!(failed[0].messages.last().unwrap().contains("a person has to decide"), "{failed:?}");
            store
                .write_blocking(move |tx| {
                    let Some((row, server, _)) = machine::read(tx, "m")? else { panic!("it is there") };
                    let by = By::new("anna", "not needed", 9 * day);
                    machine::change(tx, row, server.as_ref(), &Command::Decommission, by)?.unwrap();
                    Ok(())
                })
                .unwrap();
            assert_eq!(at(9 * day).len(), 0);
        });
    }
}
