//! Reservation, two-phase allocation and release (`lifecycle.md` 1.8, 5.5, 5.6).

use muster_api::provisioning::status::Maintenance;

use super::super::allocatable::allocatable;
use super::super::axes::{
    Allocation, AllocationKind, Claim, Media, Method, Operation, OperationKind, Phase, Reservation, TypeMatch,
};
use super::super::lifecycle::Lifecycle;
use super::super::refusal::{Guard, Refusal};
use super::{Actor, Draft};

/// A subscription binds an idle available machine.
pub(super) fn reserve(d: &mut Draft, reservation: Reservation) -> Result<(), Refusal> {
    if d.machine.lifecycle == Lifecycle::Available {
        d.need_idle()?;
        d.need(d.machine.type_match == TypeMatch::Matched, Guard::TypeMismatch)?;
    } else if d.machine.lifecycle == Lifecycle::AvailableReserved {
        return Err(Refusal::reason(d.machine.lifecycle, Some(Lifecycle::AvailableReserved), 10));
    }
    d.go(Lifecycle::AvailableReserved, Actor::System)?;
    d.machine.reservation = Some(reservation);
    Ok(())
}

/// A subscription lets go. Not while its holder is about to take the machine.
pub(super) fn unreserve(d: &mut Draft) -> Result<(), Refusal> {
    d.need(d.machine.lifecycle == Lifecycle::AvailableReserved, Guard::WrongState)?;
    d.need_idle()?;
    d.lift_reservation()
}

/// Phase one: nobody else can take it, nothing has changed.
pub(super) fn lock(d: &mut Draft, claim: Claim) -> Result<(), Refusal> {
    let foreign = d.machine.reservation.as_ref().is_some_and(|r| r.holder != claim.owner);
    d.need(!foreign, Guard::NotHolder)?;
    d.need(!d.machine.lifecycle.is_allocated(), Guard::InUse)?;
    if !d.machine.lifecycle.is_pool() {
        return Err(d.no_way(Lifecycle::Used));
    }
    d.need_idle()?;
    d.need(allocatable(&d.machine, &claim.owner), Guard::NotAllocatable)?;
    d.machine.operation =
        Some(Operation { kind: OperationKind::Allocate, method: None, phase: Phase::Running, claim: Some(claim) });
    Ok(())
}

/// Phase two: used, owned and dirty in one step. Without an operating system its installation begins.
pub(super) fn commit(d: &mut Draft) -> Result<(), Refusal> {
    let lock = d.machine.operation.as_ref().filter(|o| o.kind == OperationKind::Allocate && o.phase == Phase::Running);
    let Some(claim) = lock.and_then(|o| o.claim.clone()) else { return d.refuse(Guard::NoOperation) };
    let foreign = d.machine.reservation.as_ref().is_some_and(|r| r.holder != claim.owner);
    d.need(!foreign, Guard::NotHolder)?;
    let install = d.machine.enrolment.is_none();
    d.need_method(if install { Method::Bmc } else { Method::InBand })?;
    d.go(Lifecycle::Used, Actor::System)?;
    if let Some(enrolment) = &mut d.machine.enrolment {
        enrolment.cluster = (claim.kind == AllocationKind::Cluster).then(|| claim.reference.clone());
    }
    d.machine.operation = install.then(|| Operation::running(OperationKind::Install, Method::Bmc));
    let subscription = d.machine.reservation.take().map(|r| r.subscription);
    d.machine.allocation = Some(Allocation { claim, subscription });
    d.machine.media = Media::Dirty;
    Ok(())
}

/// The owner gives it back: the allocation ends with the beginning of the cleaning.
pub(super) fn release(d: &mut Draft, method: Method, force: bool) -> Result<(), Refusal> {
    if d.machine.lifecycle != Lifecycle::Used {
        return Err(match d.machine.lifecycle {
            Lifecycle::UsedRegistering => d.no_way(Lifecycle::Cleaning),
            from => Refusal::guard(from, Some(Lifecycle::Cleaning), Guard::WrongState),
        });
    }
    d.need(!d.machine.flags.protected, Guard::Protected)?;
    let given_up = d.machine.operation_kind() == Some(OperationKind::Install) && d.machine.has_failed();
    d.need(d.machine.operation.is_none() || given_up, Guard::Busy)?;
    let evacuated = d.machine.cluster().is_none() || d.machine.maintenance() == Maintenance::Evacuated;
    d.need(evacuated || force, Guard::NotEvacuated)?;
    d.need(method != Method::InBand, Guard::WrongMethod)?;
    d.need_method(method)?;
    d.go(Lifecycle::Cleaning, Actor::System)?;
    d.begin_cleaning(method);
    Ok(())
}

/// The owner forgets it: cleaning that has failed before it began, so that nobody takes it for clean. Never refused
/// for what is under way: the owner is gone.
pub(super) fn forget(d: &mut Draft) -> Result<(), Refusal> {
    d.need(!d.machine.flags.protected, Guard::Protected)?;
    if !d.machine.lifecycle.is_allocated() {
        return Err(Refusal::guard(d.machine.lifecycle, Some(Lifecycle::Cleaning), Guard::WrongState));
    }
    if d.machine.lifecycle == Lifecycle::UsedRegistering {
        d.go(Lifecycle::Used, Actor::System)?;
    }
    d.go(Lifecycle::Cleaning, Actor::System)?;
    d.begin_cleaning(if d.machine.bmc { Method::Bmc } else { Method::OsReset });
    if let Some(operation) = &mut d.machine.operation {
        operation.phase = Phase::Failed;
    }
    d.machine.media = Media::Dirty;
    Ok(())
}
