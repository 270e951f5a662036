//! Operations: how they begin, go on and end.

use muster_api::provisioning::status::Maintenance;

use super::super::axes::{Connectivity, Media, Method, Operation, OperationKind, Phase};
use super::super::lifecycle::Lifecycle;
use super::super::refusal::{Guard, Refusal};
use super::{Actor, Draft};

/// Registers a known machine again.
pub(super) fn register(d: &mut Draft, method: Method, force: bool, same_identity: bool) -> Result<(), Refusal> {
    d.need(method != Method::OsReset, Guard::WrongMethod)?;
    let from = d.machine.lifecycle;
    let to = if from.is_allocated() { Lifecycle::UsedRegistering } else { Lifecycle::Registering };
    match from {
        Lifecycle::Registering | Lifecycle::UsedRegistering => return d.refuse(Guard::Busy),
        Lifecycle::Unavailable => {
            d.need_idle()?;
            d.need_method(method)?;
        }
        Lifecycle::Used => {
            d.need_idle()?;
            d.need(
                matches!(d.machine.maintenance(), Maintenance::None | Maintenance::Evacuated),
                Guard::MaintenanceRunning,
            )?;
            d.need_method(method)?;
            let evacuated = d.machine.cluster().is_none() || d.machine.maintenance() == Maintenance::Evacuated;
            // In band it keeps running; through the BMC it reboots.
            d.need(method == Method::InBand || evacuated || force, Guard::NotEvacuated)?;
        }
        Lifecycle::RemovedFromRack => {
            d.need(method == Method::Bmc, Guard::WrongMethod)?;
            d.need_method(method)?;
            d.need(same_identity, Guard::IdentityDiffers)?;
        }
        _ => return Err(d.no_way(to)),
    }
    d.go(to, Actor::Person)?;
    d.machine.operation = Some(Operation::running(OperationKind::Register, method));
    if method == Method::Bmc {
        if to == Lifecycle::Registering {
            d.machine.enrolment = None;
        } else if let Some(enrolment) = &mut d.machine.enrolment {
            enrolment.connectivity = Connectivity::Rebooting;
        }
    }
    Ok(())
}

/// Cleans a machine that nobody uses and that is not in the pool.
pub(super) fn clean(d: &mut Draft, method: Method) -> Result<(), Refusal> {
    if !matches!(d.machine.lifecycle, Lifecycle::Unavailable | Lifecycle::Defective) {
        // A used machine is released, which is not the same as being cleaned.
        return match d.machine.lifecycle {
            Lifecycle::Used => Err(Refusal::guard(d.machine.lifecycle, Some(Lifecycle::Cleaning), Guard::InUse)),
            Lifecycle::Cleaning => d.refuse(Guard::Busy),
            _ => Err(d.no_way(Lifecycle::Cleaning)),
        };
    }
    d.need(!d.machine.flags.protected, Guard::Protected)?;
    d.need(method != Method::InBand, Guard::WrongMethod)?;
    d.need_idle()?;
    d.need_method(method)?;
    d.go(Lifecycle::Cleaning, Actor::Person)?;
    d.begin_cleaning(method);
    Ok(())
}

/// Firmware: where a reboot disturbs nobody.
pub(super) fn firmware(d: &mut Draft) -> Result<(), Refusal> {
    let fits = matches!(d.machine.lifecycle, Lifecycle::Available | Lifecycle::Unavailable | Lifecycle::Used);
    d.need(fits, Guard::WrongState)?;
    d.need_idle()?;
    let evacuated = d.machine.cluster().is_none() || d.machine.maintenance() == Maintenance::Evacuated;
    d.need(evacuated, Guard::NotEvacuated)?;
    d.need_method(Method::Bmc)?;
    d.machine.operation = Some(Operation::running(OperationKind::Firmware, Method::Bmc));
    Ok(())
}

/// Diagnostics: everywhere outside the pool.
pub(super) fn diagnose(d: &mut Draft) -> Result<(), Refusal> {
    let fits = matches!(d.machine.lifecycle, Lifecycle::Unavailable | Lifecycle::Defective | Lifecycle::Used);
    d.need(fits, Guard::WrongState)?;
    d.need_idle()?;
    let evacuated = d.machine.cluster().is_none() || d.machine.maintenance() == Maintenance::Evacuated;
    d.need(evacuated, Guard::NotEvacuated)?;
    d.need_method(Method::Bmc)?;
    d.machine.operation = Some(Operation::running(OperationKind::Diagnostics, Method::Bmc));
    Ok(())
}

/// A live operation moves on, is held or resumed.
pub(super) fn advance(d: &mut Draft, phase: Phase) -> Result<(), Refusal> {
    d.need(phase != Phase::Failed, Guard::WrongState)?;
    let live = d.machine.operation.as_ref().is_some_and(Operation::is_live);
    d.need(live, Guard::NoOperation)?;
    if let Some(operation) = &mut d.machine.operation {
        operation.phase = phase;
    }
    Ok(())
}

/// The agent's report, or the inventory taken in band, ends the operation well.
pub(super) fn done(d: &mut Draft, erased: bool) -> Result<(), Refusal> {
    let Some(operation) = &d.machine.operation else { return d.refuse(Guard::NoOperation) };
    let (kind, method) = (operation.kind, operation.method);
    d.need(operation.phase == Phase::Running, Guard::NoOperation)?;
    match kind {
        OperationKind::Register => {
            match method {
                Some(Method::Bmc) => {}
                _ => d.need(d.machine.is_ready(), Guard::NotReady)?,
            }
            if d.machine.lifecycle == Lifecycle::UsedRegistering {
                d.need(!erased, Guard::WrongState)?;
                d.go(Lifecycle::Used, Actor::System)?;
            } else {
                d.go(Lifecycle::Unavailable, Actor::System)?;
                d.registered_type();
                if erased {
                    d.need(method == Some(Method::Bmc), Guard::WrongMethod)?;
                    d.machine.media = Media::Clean;
                }
            }
            d.machine.flags.requires_re_register = false;
        }
        OperationKind::Clean => {
            // A reset operating system proves itself by coming back, see the first poll.
            d.need(method == Some(Method::Bmc), Guard::FirstPollPending)?;
            d.need(erased, Guard::MediaDirty)?;
            cleaned(d)?;
        }
        OperationKind::Firmware | OperationKind::Diagnostics => {}
        // These end by commit and by the first poll.
        OperationKind::Allocate | OperationKind::Install => return d.refuse(Guard::WrongState),
    }
    d.machine.operation = None;
    Ok(())
}

/// The end of a cleaning that went well: back into the pool, unless it retires.
pub(super) fn cleaned(d: &mut Draft) -> Result<(), Refusal> {
    let to = if d.machine.flags.retire { Lifecycle::Unavailable } else { Lifecycle::Available };
    d.go(to, Actor::System)?;
    d.machine.media = Media::Clean;
    Ok(())
}

/// The operation ended badly: the state stays, a person decides. A lock has touched nothing and is dropped.
pub(super) fn fail(d: &mut Draft) -> Result<(), Refusal> {
    let live = d.machine.operation.as_ref().is_some_and(Operation::is_live);
    d.need(live, Guard::NoOperation)?;
    if d.machine.operation_kind() == Some(OperationKind::Allocate) {
        d.machine.operation = None;
    } else if let Some(operation) = &mut d.machine.operation {
        operation.phase = Phase::Failed;
    }
    Ok(())
}

/// Tries a failed operation again.
pub(super) fn retry(d: &mut Draft, method: Option<Method>) -> Result<(), Refusal> {
    d.need(d.machine.has_failed(), Guard::NotFailed)?;
    let Some(mut operation) = d.machine.operation.clone() else { return d.refuse(Guard::NoOperation) };
    let wanted = method.or(operation.method).unwrap_or(Method::Bmc);
    match operation.kind {
        OperationKind::Register => {
            d.need(wanted != Method::OsReset, Guard::WrongMethod)?;
            let used = d.machine.lifecycle == Lifecycle::UsedRegistering;
            // For a used machine the method carries a decision about its workloads: made once, at the start.
            d.need(!used || Some(wanted) == operation.method, Guard::WrongMethod)?;
            if wanted == Method::Bmc {
                d.need_method(wanted)?;
                if !used {
                    d.machine.enrolment = None;
                }
            }
        }
        OperationKind::Clean => {
            d.need(wanted != Method::InBand, Guard::WrongMethod)?;
            d.need_method(wanted)?;
            d.machine.enrolment = None;
        }
        OperationKind::Install | OperationKind::Firmware | OperationKind::Diagnostics => {
            d.need(wanted == Method::Bmc, Guard::WrongMethod)?;
            d.need_method(wanted)?;
            if operation.kind == OperationKind::Install {
                d.machine.enrolment = None;
            }
        }
        OperationKind::Allocate => return d.refuse(Guard::WrongState),
    }
    operation.method = Some(wanted);
    operation.phase = Phase::Running;
    d.machine.operation = Some(operation);
    Ok(())
}

/// Aborts a live operation; gives up a failed one where that leads somewhere.
pub(super) fn cancel(d: &mut Draft) -> Result<(), Refusal> {
    let Some(operation) = &d.machine.operation else { return d.refuse(Guard::NoOperation) };
    let (kind, live) = (operation.kind, operation.is_live());
    match (kind, live) {
        (OperationKind::Allocate | OperationKind::Firmware | OperationKind::Diagnostics, _) => {}
        (_, true) => return fail(d),
        (OperationKind::Register, false) if d.machine.lifecycle == Lifecycle::UsedRegistering => {
            d.go(Lifecycle::Used, Actor::System)?;
        }
        (OperationKind::Clean, false) => d.go(Lifecycle::Unavailable, Actor::Person)?,
        (OperationKind::Register | OperationKind::Install, false) => return d.refuse(Guard::WrongState),
    }
    d.machine.operation = None;
    Ok(())
}
