//! What happens to the operating system on a machine, and what that means for the machine (`lifecycle.md` 5.3, 5.4).

use muster_api::provisioning::status::Maintenance;

use super::super::axes::{AllocationKind, Connectivity, Enrolled, Media, Method, OperationKind, Phase};
use super::super::lifecycle::Lifecycle;
use super::super::refusal::{Guard, Refusal};
use super::operation::cleaned;
use super::{Actor, Draft, hand};

/// The operating system of a known machine registers with a token.
pub(super) fn self_register(d: &mut Draft, same_certificate: bool) -> Result<(), Refusal> {
    let live = d.machine.operation.as_ref().is_some_and(|o| o.is_live());
    match d.machine.lifecycle {
        Lifecycle::Registering => set_operation(d, Method::InBand, Phase::Running),
        Lifecycle::Cleaning if d.machine.is_live(OperationKind::Clean) => {
            let resetting = d.machine.operation.as_ref().is_some_and(|o| o.method == Some(Method::OsReset));
            d.need(resetting, Guard::NotExpected)?;
        }
        // Came back although given up: it waits, reachable, for a person.
        Lifecycle::Cleaning => set_operation(d, Method::OsReset, Phase::Failed),
        Lifecycle::Used if d.machine.operation_kind() == Some(OperationKind::Install) => {
            set_operation(d, Method::Bmc, Phase::Running);
        }
        // The same registration again, after a lost answer: nothing to do.
        Lifecycle::Used => return d.need(same_certificate, Guard::Takeover),
        // An adoption expects exactly this, until it was reached once.
        Lifecycle::UsedRegistering => {
            let waiting = d.machine.connectivity() == Some(Connectivity::PendingRegistering);
            if !(live && waiting) {
                return d.need(same_certificate, Guard::Takeover);
            }
            let cluster = d.machine.cluster().map(str::to_owned);
            d.machine.enrolment = Some(Enrolled { cluster, ..Enrolled::registering() });
            return Ok(());
        }
        // Reinstalled by hand on a machine nobody uses.
        Lifecycle::Unavailable | Lifecycle::Available | Lifecycle::AvailableReserved | Lifecycle::Defective => {
            d.need(d.machine.operation.is_none(), Guard::NotExpected)?;
        }
        Lifecycle::RemovedFromRack => return Err(Refusal::reason(d.machine.lifecycle, None, 15)),
        Lifecycle::Decommissioned => return Err(Refusal::reason(d.machine.lifecycle, None, 11)),
    }
    d.machine.enrolment = Some(Enrolled::registering());
    Ok(())
}

/// Gives the operation another method and phase.
fn set_operation(d: &mut Draft, method: Method, phase: Phase) {
    if let Some(operation) = &mut d.machine.operation {
        operation.method = Some(method);
        operation.phase = phase;
    }
}

/// The first poll after a registration succeeded: what waited for it ends, in the same step.
pub(super) fn first_poll(d: &mut Draft, open: bool, accepts_data: bool) -> Result<(), Refusal> {
    let Some(enrolment) = &mut d.machine.enrolment else { return d.refuse(Guard::NoEnrolment) };
    if enrolment.connectivity != Connectivity::PendingRegistering {
        return d.refuse(Guard::WrongState);
    }
    enrolment.connectivity = Connectivity::Ready;
    let waives = accepts_data && d.machine.media == Media::Dirty;
    match d.machine.lifecycle {
        Lifecycle::Registering if d.machine.is_live(OperationKind::Register) => {
            d.go(Lifecycle::Unavailable, Actor::System)?;
            d.machine.operation = None;
            d.registered_type();
            d.machine.flags.requires_re_register = false;
            waive(d, waives);
            if open && hand::open(d).is_ok() {
                d.go(Lifecycle::Available, Actor::Policy)?;
            }
        }
        Lifecycle::Cleaning if d.machine.is_live(OperationKind::Clean) => {
            cleaned(d)?;
            d.machine.operation = None;
        }
        Lifecycle::Used if d.machine.operation_kind() == Some(OperationKind::Install) => {
            d.machine.operation = None;
            let claim = d.machine.allocation.as_ref().map(|a| &a.claim);
            let cluster = claim.filter(|c| c.kind == AllocationKind::Cluster).map(|c| c.reference.clone());
            if let Some(enrolment) = &mut d.machine.enrolment {
                enrolment.cluster = cluster;
            }
        }
        Lifecycle::UsedRegistering if d.machine.is_live(OperationKind::Register) => {
            d.go(Lifecycle::Used, Actor::System)?;
            d.machine.operation = None;
            d.registered_type();
            d.machine.flags.requires_re_register = false;
        }
        Lifecycle::Unavailable | Lifecycle::Defective | Lifecycle::Registering => waive(d, waives),
        _ => {}
    }
    Ok(())
}

/// Accepts the data on its disks, on record.
fn waive(d: &mut Draft, waives: bool) {
    if waives {
        d.machine.media = Media::Clean;
        d.waiver = true;
    }
}

/// The connectivity changed. While an operation through the BMC owns the machine, that says nothing.
pub(super) fn connectivity(d: &mut Draft, to: Connectivity) -> Result<(), Refusal> {
    let Some(now) = d.machine.connectivity() else { return d.refuse(Guard::NoEnrolment) };
    if d.machine.expects_silence() {
        return Ok(());
    }
    d.need(now != Connectivity::PendingRegistering, Guard::FirstPollPending)?;
    d.need(to != Connectivity::PendingRegistering, Guard::NotExpected)?;
    if matches!(to, Connectivity::PendingReConfiguring | Connectivity::Updating) {
        d.need_idle()?;
    }
    if let Some(enrolment) = &mut d.machine.enrolment {
        enrolment.connectivity = to;
    }
    Ok(())
}

/// The maintenance changed: only of a cluster's member, and not under a registration that counts on it.
pub(super) fn maintenance(d: &mut Draft, to: Maintenance) -> Result<(), Refusal> {
    d.need(d.machine.enrolment.is_some(), Guard::NoEnrolment)?;
    d.need(d.machine.cluster().is_some(), Guard::NotClustered)?;
    if d.machine.lifecycle != Lifecycle::Used {
        d.need(matches!(to, Maintenance::None | Maintenance::Evacuated), Guard::Busy)?;
    }
    if let Some(enrolment) = &mut d.machine.enrolment {
        enrolment.maintenance = to;
    }
    Ok(())
}
