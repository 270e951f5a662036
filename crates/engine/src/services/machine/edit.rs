//! What people write about a machine: where it stands, what it is called, how its BMC is reached.

use super::{create::split, missing, moves::forget};
use crate::{
    Actor, Engine, Error,
    machine::{self, By},
    reservation,
    services::audit,
};
use muster_api::{machine::MachinePut, provisioning::server::MASK};
use muster_domain::machine::{Command, Lifecycle, asset};
use muster_store::tables::machines;

/// Replaces what people wrote about a machine, if it is still of this generation.
///
/// # Errors
/// [`Error::NotFound`], [`Error::Invalid`] with every field at fault, [`Error::Stale`], [`Error::Constraint`] when another
/// machine has the BMC's MAC address, [`Error::Refused`] for a BMC that is in use.
pub async fn edit(engine: &Engine, actor: &Actor, id: &str, put: MachinePut, expected: i64) -> Result<(), Error> {
    let mut found = Vec::new();
    let kept = asset::asset(put.asset, "asset").unwrap_or_else(|faults| {
        found.extend(faults);
        Default::default()
    });
    let bmc = match put.bmc {
        Some(Some(bmc)) => asset::bmc(bmc, "bmc").map(|bmc| Some(Some(bmc))).unwrap_or_else(|faults| {
            found.extend(faults);
            None
        }),
        other => other,
    };
    if !found.is_empty() {
        return Err(Error::Invalid(format!("Invalid machine, {}", asset::faults(&found))));
    }
    let (wanted, now, actor) = (id.to_owned(), engine.clock().micros(), actor.clone());
    let done = engine.store().write(move |tx| {
        let Some((mut row, server, known)) = machine::read(tx, &wanted)? else { return Ok(Err(missing(&wanted))) };
        if row.generation != expected {
            return Err(muster_store::StoreError::Stale);
        }
        if known.lifecycle == Lifecycle::Decommissioned && bmc.is_some() {
            let text = "the machine is decommissioned: nothing secret is kept of it any more";
            return Ok(Err(Error::NotPermitted(text.into())));
        }
        row.asset = serde_json::to_string(&kept).unwrap_or_default();
        let by = By::new(&actor.0, "edited", now);
        let (mut gone, mut settled) = (None, Vec::new());
        if let Some(bmc) = bmc.clone() {
            let masked = bmc.as_ref().is_some_and(|bmc| bmc.password == MASK);
            let stored = if masked { machines::bmc_password(tx, &wanted)? } else { None };
            if masked && stored.is_none() {
                let text = "Invalid machine, bmc.password: is masked and none is stored; give the password itself";
                return Ok(Err(Error::Invalid(text.into())));
            }
            let there = bmc.is_some();
            let (open, secret) = split(bmc);
            row.bmc_mac = open.as_ref().map(|bmc| bmc.mac.clone()).filter(|mac| !mac.is_empty());
            row.bmc = open.map_or_else(|| "{}".into(), |bmc| serde_json::to_string(&bmc).unwrap_or_default());
            machines::set_bmc_password(tx, &wanted, stored.or(secret).as_ref())?;
            match machine::change(tx, row, server.as_ref(), &Command::SetBmc(there), by)? {
                Ok(changed) => gone = changed.dropped,
                Err(refusal) => return Ok(Err(refusal.into())),
            }
        } else {
            machines::update(tx, &row)?;
            // One that stands elsewhere may be another machine to a subscription.
            settled = reservation::follow(tx, &row, &row, now)?;
        }
        audit::append(tx, &audit::entry(now, &actor, "machine.edit", "machine", &wanted))?;
        for entry in &settled {
            audit::append(tx, entry)?;
        }
        Ok(Ok(gone))
    });
    let gone = done.await.map_err(|e| match e {
        muster_store::StoreError::NotFound => missing(id),
        e => e.into(),
    })??;
    forget(engine, gone);
    Ok(())
}
