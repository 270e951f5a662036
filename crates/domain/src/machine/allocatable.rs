//! Whether a machine can be allocated, and if not, everything that is in the way (`lifecycle.md` 5.2).

use super::axes::{Connectivity, Machine, Media, TypeMatch};
use super::lifecycle::Lifecycle;

/// Something in the way of an allocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Obstacle {
    /// It is not in the pool.
    NotInPool,
    /// It is reserved for somebody else.
    Reserved,
    /// An operation is in flight.
    Operation,
    /// Its disks may hold data.
    MediaDirty,
    /// Its type is not known or not right.
    Type,
    /// It is to retire.
    Retire,
    /// An operator paused it.
    Hold,
    /// It has to be registered again.
    ReRegister,
    /// An alert prevents allocations.
    Alert,
    /// Its operating system does not answer, or is busy.
    NotReady,
    /// An update or a reboot is due.
    UpdateDue,
    /// It has neither an operating system nor a BMC that could boot an installer.
    Unreachable,
}

impl Obstacle {
    /// What is in the way, in words.
    pub const fn text(self) -> &'static str {
        match self {
            Self::NotInPool => "it is not available",
            Self::Reserved => "it is reserved for somebody else",
            Self::Operation => "an operation is in flight",
            Self::MediaDirty => "its disks may hold data",
            Self::Type => "its type is not known or does not match",
            Self::Retire => "it is marked to retire",
            Self::Hold => "an operator put it on hold",
            Self::ReRegister => "its hardware changed; it has to be registered again",
            Self::Alert => "an alert prevents allocations",
            Self::NotReady => "its operating system does not answer or is busy",
            Self::UpdateDue => "an update or a reboot is due",
            Self::Unreachable => "it has neither an operating system nor a BMC",
        }
    }
}

/// Everything in the way of an allocation by this user; empty when it can be allocated.
pub fn obstacles(machine: &Machine, user: &str) -> Vec<Obstacle> {
    let mut found = Vec::new();
    let mut check = |bad: bool, obstacle| {
        if bad {
            found.push(obstacle);
        }
    };
    let foreign = machine.reservation.as_ref().is_some_and(|r| r.holder != user);
    check(!machine.lifecycle.is_pool(), Obstacle::NotInPool);
    check(machine.lifecycle == Lifecycle::AvailableReserved && foreign, Obstacle::Reserved);
    check(machine.operation.is_some(), Obstacle::Operation);
    check(machine.media == Media::Dirty, Obstacle::MediaDirty);
    check(machine.type_match != TypeMatch::Matched, Obstacle::Type);
    check(machine.flags.retire, Obstacle::Retire);
    check(machine.flags.hold, Obstacle::Hold);
    check(machine.flags.requires_re_register, Obstacle::ReRegister);
    check(machine.alerts.prevent_allocation, Obstacle::Alert);
    match &machine.enrolment {
        Some(enrolment) => {
            check(enrolment.connectivity != Connectivity::Ready, Obstacle::NotReady);
            check(enrolment.update_due, Obstacle::UpdateDue);
        }
        None => check(!machine.bmc, Obstacle::Unreachable),
    }
    found
}

/// Whether this user can allocate the machine.
pub fn allocatable(machine: &Machine, user: &str) -> bool {
    obstacles(machine, user).is_empty()
}
