//! Calls of the Operations Center that are several edges at once (`lifecycle.md` 5.4).

use muster_api::provisioning::status::Maintenance;

use super::super::axes::{AllocationKind, Media, Method, OperationKind, Phase};
use super::super::lifecycle::Lifecycle;
use super::super::refusal::{Guard, Refusal};
use super::{Actor, Draft};

/// Delete means decommission: the record stays as a tombstone.
pub(super) fn delete_server(d: &mut Draft) -> Result<(), Refusal> {
    d.need(!d.machine.flags.protected, Guard::Protected)?;
    d.need(d.machine.cluster().is_none(), Guard::Clustered)?;
    let listed = d.machine.enrolment.is_some() || d.machine.lifecycle == Lifecycle::Registering;
    d.need(listed, Guard::NoEnrolment)?;
    match d.machine.lifecycle {
        Lifecycle::Registering => abort(d),
        Lifecycle::Used => {
            let given_up = d.machine.operation_kind() == Some(OperationKind::Install) && d.machine.has_failed();
            d.need(d.machine.operation.is_none() || given_up, Guard::Busy)?;
            d.go(Lifecycle::Cleaning, Actor::System)?;
            // Skipped, and on record as such: its disks hold what they held.
            d.begin_cleaning(Method::OsReset);
            d.machine.media = Media::Dirty;
            abort(d);
            d.go(Lifecycle::Unavailable, Actor::Person)?;
        }
        Lifecycle::Available | Lifecycle::AvailableReserved => {
            d.need_idle()?;
            d.lift_reservation()?;
            d.go(Lifecycle::Unavailable, Actor::Person)?;
        }
        Lifecycle::Unavailable | Lifecycle::Defective => d.need_idle()?,
        _ => return d.refuse(Guard::Busy),
    }
    d.decommissioned()
}

/// Aborts the operation, so that a person may go on.
fn abort(d: &mut Draft) {
    if let Some(operation) = &mut d.machine.operation {
        operation.phase = Phase::Failed;
    }
}

/// The operating system wipes itself and comes back by registering. That is so, whatever the machine was doing.
pub(super) fn os_reset(d: &mut Draft) -> Result<(), Refusal> {
    let from = d.machine.lifecycle;
    // The center's own machine has nobody who could have asked for it. Any other one is protected by who asks for a reset.
    let appliance = d.machine.allocation.as_ref().is_some_and(|a| a.claim.kind == AllocationKind::Appliance);
    d.need(!(appliance && d.machine.flags.protected), Guard::Protected)?;
    match from {
        Lifecycle::Used => d.go(Lifecycle::Cleaning, Actor::System)?,
        Lifecycle::UsedRegistering => {
            d.go(Lifecycle::Used, Actor::System)?;
            d.go(Lifecycle::Cleaning, Actor::System)?;
        }
        Lifecycle::Available | Lifecycle::AvailableReserved => {
            d.lift_reservation()?;
            d.go(Lifecycle::Unavailable, Actor::Person)?;
            d.go(Lifecycle::Cleaning, Actor::Person)?;
        }
        Lifecycle::Unavailable | Lifecycle::Defective => d.go(Lifecycle::Cleaning, Actor::Person)?,
        // Cleaned again, for instance after it came back too late.
        Lifecycle::Cleaning => {}
        // Registered by another operating system than it will have.
        Lifecycle::Registering => {
            if let Some(operation) = &mut d.machine.operation {
                (operation.method, operation.phase) = (Some(Method::InBand), Phase::Waiting);
            }
            d.machine.enrolment = None;
            return Ok(());
        }
        Lifecycle::RemovedFromRack => return Err(Refusal::reason(from, None, 15)),
        Lifecycle::Decommissioned => return Err(Refusal::reason(from, None, 11)),
    }
    d.begin_cleaning(Method::OsReset);
    Ok(())
}

/// A full poll on request: where a registration in band is possible it is one, and it is over at once; everywhere
/// else it only refreshes.
pub(super) fn resync(d: &mut Draft) -> Result<(), Refusal> {
    let settled = matches!(d.machine.maintenance(), Maintenance::None | Maintenance::Evacuated);
    if d.machine.operation.is_some() || !d.machine.is_ready() || !settled {
        return Ok(());
    }
    match d.machine.lifecycle {
        Lifecycle::Used => {
            d.go(Lifecycle::UsedRegistering, Actor::Person)?;
            d.go(Lifecycle::Used, Actor::System)?;
        }
        Lifecycle::Unavailable => {
            d.go(Lifecycle::Registering, Actor::Person)?;
            d.go(Lifecycle::Unavailable, Actor::System)?;
        }
        _ => return Ok(()),
    }
    d.machine.flags.requires_re_register = false;
    Ok(())
}
