//! Reports (`lifecycle.md` 1.7): read row by row, so that memory grows with what is shown only.

use crate::{Engine, Error};
use muster_api::{
    machine::Asset,
    report::{Used, UtilisationReport},
    time::Time,
};
use muster_domain::{
    hardware::Inventory,
    machine::{Lifecycle, axes},
    report::{usage::Usage, utilisation::Utilisation},
};
use muster_store::{
    StoreError, Tx,
    tables::{
        reports::{self, Counted},
        server_types,
    },
};
use serde::{Deserialize, de::DeserializeOwned};
use std::borrow::Cow;
use std::collections::BTreeMap;

pub use muster_domain::report::utilisation::Grouping;

/// What a report is to show.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    /// Its rows.
    pub by: Grouping,
    /// With the ids of the machines in each cell.
    pub ids: bool,
    /// With server-hours by month, owner and type.
    pub usage: bool,
}

/// How many machines of each group are in which state, all of one moment.
///
/// # Errors
/// The store's, or rows that cannot be read.
pub async fn utilisation(engine: &Engine, wanted: Wanted) -> Result<UtilisationReport, Error> {
    let now = engine.clock().now();
    let made = engine.store().read(move |tx| {
        let mut report = Utilisation::new(wanted.ids);
        reports::for_each_machine(tx, |machine| {
            let state: Lifecycle = machine.lifecycle.parse().map_err(|e| corrupt(machine.id, &e))?;
            report.add(&group(wanted.by, &machine)?, state, machine.id);
            Ok(())
        })?;
        let usage = if wanted.usage { used(tx, now)? } else { Vec::new() };
        Ok((report.finish(), usage))
    });
    let ((groups, total), usage) = made.await?;
    Ok(UtilisationReport { at: now, by: wanted.by.name().to_owned(), groups, total, usage })
}

fn corrupt(id: &str, what: &dyn std::fmt::Display) -> StoreError {
    StoreError::Corrupt(format!("machine {id}: {what}"))
}

/// The group of a machine; empty when it belongs to none.
fn group<'a>(by: Grouping, machine: &Counted<'a>) -> Result<Cow<'a, str>, StoreError> {
    fn read<T: DeserializeOwned>(id: &str, text: &str) -> Result<T, StoreError> {
        serde_json::from_str(text).map_err(|e| corrupt(id, &e))
    }
    Ok(match by {
        Grouping::Type => machine.server_type.into(),
        Grouping::Cluster => machine.cluster.into(),
        Grouping::Site if machine.asset.is_empty() => "".into(),
        Grouping::Site => read::<Asset>(machine.id, machine.asset)?.site.into(),
        Grouping::Ram => match read::<Inventory>(machine.id, machine.inventory)?.memory_gib {
            0 => "".into(),
            gib => format!("{gib} GiB").into(),
        },
        Grouping::Product => read::<Inventory>(machine.id, machine.inventory)?.system.product.into(),
        Grouping::Owner => match (machine.allocation, machine.reservation) {
            (Some(text), _) => read::<axes::Allocation>(machine.id, text)?.claim.owner.into(),
            (None, Some(text)) => read::<axes::Reservation>(machine.id, text)?.holder.into(),
            (None, None) => "".into(),
        },
    })
}

/// What a transition says of who has the machine then.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Detail {
    owner: Option<String>,
    server_type: String,
}

/// Server-hours, with the labels that types have now.
fn used(tx: &mut Tx<'_>, now: Time) -> Result<Vec<Used>, StoreError> {
    let labels: BTreeMap<String, String> =
        server_types::list(tx, None, i64::MAX)?.into_iter().map(|kind| (kind.id, kind.label)).collect();
    let mut usage = Usage::default();
    reports::for_each_transition(tx, |entry| {
        let detail: Detail = serde_json::from_str(entry.detail).unwrap_or_default();
        // Types may have been merged, or have become one.
        let kind = labels.get(&detail.server_type).map(String::as_str).unwrap_or_default();
        usage.transition(
            Time::from_micros(entry.at).0,
            entry.machine,
            entry.to,
            detail.owner.as_deref().unwrap_or_default(),
            kind,
        );
        Ok(())
    })?;
    Ok(usage.finish(now.0))
}
