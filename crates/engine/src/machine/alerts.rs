//! The health alerts of a machine: reports are merged by `domain`, stored, and what they forbid is written to the machine, all
//! in the caller's transaction.

use super::{By, change};
use crate::services::audit;
use jiff::Timestamp;
use muster_api::time::Time;
use muster_domain::machine::{
    Command, Refusal,
    alert::{self, Alert, Class, Mode, OWN_SOURCE, Outcome, Override, Report, Reported, Unfit},
    transition,
};
use muster_store::{
    StoreError, Tx,
    tables::{
        machine_alerts::{self, Alert as Row},
        machines::Machine as MachineRow,
    },
};
use serde_json::json;
use std::collections::BTreeSet;

/// All alerts of a machine that have not ended, whether they count or not.
pub(crate) fn list(tx: &mut Tx<'_>, machine: &str, now: i64) -> Result<Vec<Alert>, StoreError> {
    let now = Time::from_micros(now).0;
    Ok(read(&machine_alerts::list(tx, machine)?)?.into_iter().filter(|alert| alert.is_open(now)).collect())
}

fn read(rows: &[Row]) -> Result<Vec<Alert>, StoreError> {
    rows.iter().map(alert).collect()
}

/// The classes that count for a machine now.
pub(crate) fn classes(tx: &mut Tx<'_>, machine: &str, now: i64) -> Result<BTreeSet<Class>, StoreError> {
    let open = list(tx, machine, now)?;
    Ok(alert::classes(&open, Time::from_micros(now).0))
}

/// Whether nothing is to be told about a machine: an alert of class *suppress alerting* counts.
pub(crate) fn is_silent(tx: &mut Tx<'_>, machine: &str, now: i64) -> Result<bool, StoreError> {
    Ok(classes(tx, machine, now)?.contains(&Class::SuppressAlerting))
}

/// What became of a request about alerts.
pub(crate) enum Taken {
    /// The machine as it is now.
    Done(Box<MachineRow>),
    /// The machine's lifecycle does not allow it.
    Refused(Refusal),
    /// The machine has too many alerts for it.
    Unfit(Unfit),
    /// There is no such alert.
    Missing,
}

/// Takes in a report, with its audit entry.
pub(crate) fn report(tx: &mut Tx<'_>, row: MachineRow, report: Report, by: By<'_>) -> Result<Taken, StoreError> {
    let stored = machine_alerts::list(tx, &row.id)?;
    let source = report.source.clone();
    let Outcome { alerts, opened, closed, altered } = alert::take(read(&stored)?, report, Time::from_micros(by.now).0);
    if alerts.len() > alert::MOST {
        let why = format!("the machine would have {} alerts, at most {} are kept", alerts.len(), alert::MOST);
        return Ok(Taken::Unfit(Unfit { field: "alerts".into(), why }));
    }
    let changed = altered || !opened.is_empty() || !closed.is_empty();
    let detail = json!({"source": source, "opened": opened, "closed": closed});
    write(tx, row, &stored, &alerts, changed.then_some(("machine.alerts", detail)), by)
}

/// Lets somebody answer for an alert, or ends that.
pub(crate) fn answer(
    tx: &mut Tx<'_>,
    row: MachineRow,
    (source, name): (&str, &str),
    answer: Option<Override>,
    by: By<'_>,
) -> Result<Taken, StoreError> {
    let stored = machine_alerts::list(tx, &row.id)?;
    let mut alerts = read(&stored)?;
    let Some(wanted) = alerts.iter_mut().find(|a| a.source == source && a.name == name) else {
        return Ok(Taken::Missing);
    };
    let action = if answer.is_some() { "machine.alert-override" } else { "machine.alert-override-end" };
    wanted.overridden = answer;
    let detail = json!({"source": source, "alert": name, "override": wanted.overridden});
    write(tx, row, &stored, &alerts, Some((action, detail)), by)
}

/// Ends an alert before its source does.
pub(crate) fn end(
    tx: &mut Tx<'_>,
    row: MachineRow,
    (source, name): (&str, &str),
    by: By<'_>,
) -> Result<Taken, StoreError> {
    let stored = machine_alerts::list(tx, &row.id)?;
    let mut alerts = read(&stored)?;
    let all = alerts.len();
    alerts.retain(|a| !(a.source == source && a.name == name));
    if alerts.len() == all {
        return Ok(Taken::Missing);
    }
    let detail = json!({"source": source, "opened": [], "closed": [name]});
    write(tx, row, &stored, &alerts, Some(("machine.alerts", detail)), by)
}

/// Why nothing is reported about a machine any more: its record has ended.
pub(crate) fn closed(row: &MachineRow) -> Result<Option<Refusal>, StoreError> {
    let known = super::load(row, None)?;
    Ok(transition(&known, &Command::SetAlerts(known.alerts)).err())
}

/// The record of a machine has ended: nothing of its alerts comes due any more.
pub(crate) fn forget(tx: &mut Tx<'_>, machine: &str, now: i64) -> Result<(), StoreError> {
    for alert in machine_alerts::list(tx, machine)?.into_iter().filter(|a| a.due_at.is_some_and(|due| due <= now)) {
        machine_alerts::remove(tx, machine, &alert.source, &alert.name)?;
    }
    Ok(())
}

/// Time has gone on: what has ended goes, and what counts now is written to the machine.
pub(crate) fn refresh(tx: &mut Tx<'_>, row: MachineRow, by: By<'_>) -> Result<Taken, StoreError> {
    let nothing =
        Report { source: OWN_SOURCE.into(), mode: Mode::Merge, alerts: Vec::new(), author: by.actor.to_owned() };
    report(tx, row, nothing, by)
}

/// Opens, keeps or closes an alert of the center's own. Answers the machine as it is now.
pub(crate) fn own(
    tx: &mut Tx<'_>,
    row: MachineRow,
    name: &str,
    wanted: Option<(Class, String)>,
    by: By<'_>,
) -> Result<MachineRow, StoreError> {
    let stored = read(&machine_alerts::list(tx, &row.id)?)?;
    let present = stored.iter().find(|a| a.source == OWN_SOURCE && a.name == name);
    let same = match (&present, &wanted) {
        (None, None) => true,
        (Some(alert), Some((class, message))) => alert.classes == [*class].into() && alert.message == *message,
        _ => false,
    };
    if same {
        return Ok(row);
    }
    let others = stored.iter().filter(|a| a.source == OWN_SOURCE && a.name != name).map(|a| Reported {
        name: a.name.clone(),
        classes: a.classes.clone(),
        message: a.message.clone(),
        expires: a.expires,
    });
    let mut alerts: Vec<Reported> = others.collect();
    alerts.extend(wanted.map(|(class, message)| Reported {
        name: name.into(),
        classes: [class].into(),
        message,
        expires: None,
    }));
    let all = Report { source: OWN_SOURCE.into(), mode: Mode::Replace, alerts, author: by.actor.to_owned() };
    let id = row.id.clone();
    match report(tx, row, all, by)? {
        Taken::Done(row) => Ok(*row),
        Taken::Refused(refusal) => Err(StoreError::Corrupt(format!("machine {id}: an alert was refused: {refusal}"))),
        Taken::Unfit(unfit) => Err(StoreError::Corrupt(format!("machine {id}: an alert was refused: {unfit}"))),
        Taken::Missing => Err(StoreError::NotFound),
    }
}

fn write(
    tx: &mut Tx<'_>,
    row: MachineRow,
    before: &[Row],
    after: &[Alert],
    entry: Option<(&str, serde_json::Value)>,
    by: By<'_>,
) -> Result<Taken, StoreError> {
    let now = Time::from_micros(by.now).0;
    for gone in before.iter().filter(|b| !after.iter().any(|a| a.source == b.source && a.name == b.name)) {
        machine_alerts::remove(tx, &row.id, &gone.source, &gone.name)?;
    }
    for alert in after.iter().map(|alert| stored(alert, now)).filter(|alert| !before.contains(alert)) {
        machine_alerts::put(tx, &row.id, &alert)?;
    }
    let id = row.id.clone();
    let axes = alert::axes(after, now);
    let known = super::load(&row, None)?;
    let row = if known.alerts == axes {
        row
    } else {
        match change(tx, row, None, &Command::SetAlerts(axes), by)? {
            Ok(changed) => changed.row,
            Err(refusal) => return Ok(Taken::Refused(refusal)),
        }
    };
    if let Some((action, detail)) = entry {
        let mut entry = audit::by(by.now, by.actor, action, "machine", &id);
        entry.reason = Some(by.reason.to_owned());
        entry.operation_id = by.operation.map(str::to_owned);
        entry.detail = detail.to_string();
        audit::append(tx, &entry)?;
    }
    Ok(Taken::Done(Box::new(row)))
}

fn alert(row: &Row) -> Result<Alert, StoreError> {
    let corrupt = |e: serde_json::Error| StoreError::Corrupt(format!("alert {}/{}: {e}", row.source, row.name));
    Ok(Alert {
        source: row.source.clone(),
        name: row.name.clone(),
        classes: serde_json::from_str(&row.classes).map_err(corrupt)?,
        message: row.message.clone(),
        author: row.author.clone(),
        at: Time::from_micros(row.at).0,
        expires: row.expires_at.map(|at| Time::from_micros(at).0),
        overridden: row.overridden.as_deref().map(serde_json::from_str).transpose().map_err(corrupt)?,
    })
}

fn stored(alert: &Alert, now: Timestamp) -> Row {
    Row {
        source: alert.source.clone(),
        name: alert.name.clone(),
        classes: super::row::text(&alert.classes),
        message: alert.message.clone(),
        author: alert.author.clone(),
        at: micros(alert.at),
        expires_at: alert.expires.map(micros),
        overridden: alert.overridden.as_ref().map(super::row::text),
        due_at: alert.due(now).map(micros),
    }
}

fn micros(at: Timestamp) -> i64 {
    at.as_microsecond()
}
