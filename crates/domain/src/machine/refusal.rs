//! A refusal names the rule, the machine's state and the way out.

use super::lifecycle::{Lifecycle, Reason, reason};

/// A guard that did not hold (`lifecycle.md` 1.3, 5.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Guard {
    /// An operation is in flight.
    Busy,
    /// The operation has neither failed nor been aborted.
    NotFailed,
    /// There is no operation this could be about.
    NoOperation,
    /// Only the system writes this state.
    SystemOnly,
    /// Its disks may hold data.
    MediaDirty,
    /// Somebody has it.
    InUse,
    /// Its disks hold nobody's data.
    NotDirty,
    /// It is to retire.
    Retiring,
    /// It is in the pool.
    InPool,
    /// A blocking alert is open.
    BlockingAlert,
    /// An alert prevents changes of its state.
    StateAlert,
    /// Its type is not known or not right.
    TypeMismatch,
    /// It has no BMC.
    NoBmc,
    /// It has no operating system that is registered.
    NoEnrolment,
    /// Its operating system does not answer, or is busy.
    NotReady,
    /// Its first poll is still to come.
    FirstPollPending,
    /// It is a member of a cluster.
    Clustered,
    /// It is no member of a cluster.
    NotClustered,
    /// It still carries workloads.
    NotEvacuated,
    /// Workloads are moving.
    MaintenanceRunning,
    /// It is protected.
    Protected,
    /// It is reserved for somebody else.
    NotHolder,
    /// It cannot be allocated.
    NotAllocatable,
    /// The hardware is not the one of the record.
    IdentityDiffers,
    /// Somebody else registers as a machine in use.
    Takeover,
    /// Nothing expects a registration of it now.
    NotExpected,
    /// The operation cannot be done this way.
    WrongMethod,
    /// The state does not take this.
    WrongState,
    /// It is so already.
    Already,
}

impl Guard {
    /// The rule and the way out.
    pub const fn texts(self) -> (&'static str, &'static str) {
        match self {
            Self::Busy | Self::NotFailed => {
                ("a running process has to end, fail or be cancelled first", "wait for the operation, or cancel it")
            }
            Self::NoOperation => ("there is no such operation", "look at the machine again; it has moved on"),
            Self::SystemOnly => ("only the system writes this state", "start the process that leads there"),
            Self::MediaDirty => (
                "its disks may hold the data of the owner before",
                "clean it, or register it with a token that accepts existing data",
            ),
            Self::InUse => ("somebody has it", "release it first"),
            Self::NotDirty => ("its disks are not marked as dirty", "nothing has to be accepted"),
            Self::Retiring => ("it is marked to retire", "take the mark back first"),
            Self::InPool => ("it is in the pool", "set it unavailable first"),
            Self::BlockingAlert => ("a blocking alert is open", "resolve the alert or override it"),
            Self::StateAlert => ("an alert prevents changes of its state", "resolve the alert or override it"),
            Self::TypeMismatch => ("its hardware is not what its type says", "re-register it, or assign another type"),
            Self::NoBmc => ("it has no BMC", "add its BMC, or do it through its operating system"),
            Self::NoEnrolment => {
                ("no operating system is registered from it", "boot it from an image made with a token")
            }
            Self::NotReady => {
                ("its operating system does not answer or is busy", "wait until it is ready, or do it through the BMC")
            }
            Self::FirstPollPending => ("its first poll is still to come", "wait until it was reached"),
            Self::Clustered => ("it is a member of a cluster", "remove it from the cluster first"),
            Self::NotClustered => ("it is no member of a cluster", "only members of clusters have maintenance"),
            Self::NotEvacuated => ("it still carries workloads", "evacuate it first, or use force"),
            Self::MaintenanceRunning => ("its workloads are moving", "wait until that has ended"),
            Self::Protected => ("it is protected", "take the protection off first"),
            Self::NotHolder => ("it is reserved for somebody else", "ask its holder, or take another machine"),
            Self::NotAllocatable => ("it cannot be allocated", "see its obstacles"),
            Self::IdentityDiffers => {
                ("serial number or UUID differ from the record's", "decommission the record and add the hardware anew")
            }
            Self::Takeover => (
                "a machine in use cannot be registered by somebody else",
                "release the machine first; if that was you, look at the alert",
            ),
            Self::NotExpected => ("nothing expects it to register now", "wait for its operation, or cancel it"),
            Self::WrongMethod => ("this cannot be done this way", "choose another method"),
            Self::Already => ("it is so already", "nothing has to be done"),
            Self::WrongState => ("it is in a state that does not take this", "look at the way its lifecycle goes"),
        }
    }

    /// Its number among the reasons, where it is one of them.
    pub const fn number(self) -> Option<u8> {
        match self {
            Self::Busy | Self::NotFailed => Some(12),
            _ => None,
        }
    }
}

/// The rule that forbids it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// There is no such edge; one of the fifteen reasons.
    Reason(&'static Reason),
    /// There is, and a guard does not hold.
    Guard(Guard),
}

/// Why a command is not carried out. Nothing was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// Where the machine is.
    pub from: Lifecycle,
    /// Where it was to go, if anywhere.
    pub to: Option<Lifecycle>,
    /// The rule.
    pub rule: Rule,
}

impl Refusal {
    /// A guard that does not hold.
    pub const fn guard(from: Lifecycle, to: Option<Lifecycle>, guard: Guard) -> Self {
        Self { from, to, rule: Rule::Guard(guard) }
    }

    /// One of the fifteen reasons, by number; an unknown number is a wrong state.
    pub fn reason(from: Lifecycle, to: Option<Lifecycle>, number: u8) -> Self {
        let rule = reason(number).map_or(Rule::Guard(Guard::WrongState), Rule::Reason);
        Self { from, to, rule }
    }

    /// The reason's number, if it has one.
    pub const fn number(&self) -> Option<u8> {
        match self.rule {
            Rule::Reason(reason) => Some(reason.number),
            Rule::Guard(guard) => guard.number(),
        }
    }

    /// The rule in words.
    pub const fn text(&self) -> &'static str {
        match self.rule {
            Rule::Reason(reason) => reason.text,
            Rule::Guard(guard) => guard.texts().0,
        }
    }

    /// What to do instead.
    pub const fn way_out(&self) -> &'static str {
        match self.rule {
            Rule::Reason(reason) => reason.way_out,
            Rule::Guard(guard) => guard.texts().1,
        }
    }

    /// Whether somebody has to be alerted: the attempt itself is suspicious (`lifecycle.md` 5.4).
    pub fn is_alert(&self) -> bool {
        matches!(self.rule, Rule::Guard(Guard::Takeover | Guard::NotExpected))
            || (self.from == Lifecycle::RemovedFromRack && self.to.is_none() && self.number() == Some(15))
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the machine is {}", self.from)?;
        if let Some(to) = self.to {
            write!(f, " and cannot become {to}")?;
        }
        write!(f, ": {}", self.text())?;
        if let Some(number) = self.number() {
            write!(f, " (reason {number})")?;
        }
        write!(f, "; {}", self.way_out())
    }
}

impl std::error::Error for Refusal {}
