//! What a person does by hand.

use super::super::axes::{Media, Method, OperationKind};
use super::super::lifecycle::{Lifecycle, find};
use super::super::refusal::{Guard, Refusal};
use super::{Actor, Draft};

/// One of the four buttons; every other state has no button, and the refusal says why.
pub(super) fn set_status(d: &mut Draft, to: Lifecycle) -> Result<(), Refusal> {
    if to == d.machine.lifecycle {
        return Ok(());
    }
    if !Lifecycle::BUTTONS.contains(&to) {
        return Err(d.no_way(to));
    }
    let from = d.machine.lifecycle;
    if from == Lifecycle::AvailableReserved && to != Lifecycle::Available {
        d.need_idle()?;
        d.lift_reservation()?;
    }
    if d.machine.operation.is_some() && !d.machine.has_failed() {
        // A forbidden change has its own reason; an allowed one waits for the operation.
        d.go(to, Actor::Person)?;
        return Err(Refusal::guard(from, Some(to), Guard::Busy));
    }
    let own = matches!(d.machine.operation_kind(), None | Some(OperationKind::Register | OperationKind::Clean));
    if to == Lifecycle::Available && matches!(from, Lifecycle::Unavailable | Lifecycle::Defective) {
        open(d)?;
    }
    d.go(to, Actor::Person)?;
    if !own {
        return Err(Refusal::guard(from, Some(to), Guard::Busy));
    }
    d.machine.operation = None;
    if to == Lifecycle::RemovedFromRack {
        d.machine.enrolment = None;
    }
    Ok(())
}

/// What keeps a machine out of the pool.
pub(super) fn open(d: &Draft) -> Result<(), Refusal> {
    d.need_idle()?;
    d.need(d.machine.media != Media::Dirty, Guard::MediaDirty)?;
    d.need(!d.machine.flags.retire, Guard::Retiring)?;
    d.need(!d.machine.alerts.blocking, Guard::BlockingAlert)
}

/// The end of the record.
pub(super) fn decommission(d: &mut Draft) -> Result<(), Refusal> {
    d.need(!d.machine.flags.protected, Guard::Protected)?;
    // A registration is aborted or failed first, which its edge asks for itself.
    let from = d.machine.lifecycle;
    if from != Lifecycle::Registering && find(from, Lifecycle::Decommissioned).is_some() {
        d.need_idle()?;
    }
    d.decommissioned()
}

/// A machine in the pool never is one that retires.
pub(super) fn set_retire(d: &mut Draft, on: bool) -> Result<(), Refusal> {
    d.need(!(on && d.machine.lifecycle.is_pool()), Guard::InPool)?;
    if d.machine.lifecycle == Lifecycle::RemovedFromRack {
        return Err(Refusal::reason(d.machine.lifecycle, None, 15));
    }
    d.machine.flags.retire = on;
    Ok(())
}

/// Outside of the pool and at rest, a person may answer for the data on its disks.
pub(super) fn waive(d: &mut Draft) -> Result<(), Refusal> {
    d.need_idle()?;
    d.need(matches!(d.machine.lifecycle, Lifecycle::Unavailable | Lifecycle::Defective), Guard::WrongState)?;
    d.need(d.machine.media == Media::Dirty, Guard::NotDirty)?;
    d.machine.media = Media::Clean;
    d.waiver = true;
    Ok(())
}

/// An operation through the BMC keeps the BMC.
pub(super) fn set_bmc(d: &mut Draft, on: bool) -> Result<(), Refusal> {
    let in_use = d.machine.operation.as_ref().is_some_and(|o| o.method == Some(Method::Bmc));
    let locked = d.machine.operation_kind() == Some(OperationKind::Allocate);
    d.need(on || !(in_use || locked), Guard::Busy)?;
    d.machine.bmc = on;
    Ok(())
}
