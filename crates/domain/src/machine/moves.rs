//! What a person can do with a machine, by name: which of it is open now, and why the rest is not (`lifecycle.md` 1.1, 1.3).

use super::axes::{Claim, Machine, Method, OperationKind};
use super::command::Command;
use super::lifecycle::Lifecycle;
use super::refusal::{Guard, Refusal};
use super::transition::{Change, transition};

/// Something a person can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Move {
    /// Offer it.
    SetAvailable,
    /// Do not offer it.
    SetUnavailable,
    /// Note a fault.
    SetDefective,
    /// It left the rack; its record stays.
    RemoveFromRack,
    /// Find out again what it is.
    ReRegister,
    /// End its record.
    Decommission,
    /// Make it fit for the next owner.
    Clean,
    /// Give it back.
    Release,
    /// Take it.
    Allocate,
    /// End what is being done with it; what has failed already is given up, where that leads somewhere.
    Cancel,
    /// Accept the data on its disks.
    Waive,
    /// No new allocation for now.
    Hold,
    /// The end of that.
    Unhold,
    /// Not to be released, reset, cleaned or decommissioned.
    Protect,
    /// The end of that.
    Unprotect,
    /// Never back into the pool.
    Retire,
    /// The end of that.
    Unretire,
}

/// What a move is made with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// Who asks for it, and what for: an allocation.
    pub claim: Claim,
    /// Although it still carries workloads: a release or a registration.
    pub force: bool,
    /// Its operating system cannot be reached: a release without a reset.
    pub unreachable: bool,
}

impl Move {
    /// Every one, in the order in which they are shown.
    pub const ALL: [Self; 17] = [
        Self::SetAvailable,
        Self::SetUnavailable,
        Self::SetDefective,
        Self::RemoveFromRack,
        Self::Allocate,
        Self::Release,
        Self::Clean,
        Self::ReRegister,
        Self::Cancel,
        Self::Decommission,
        Self::Waive,
        Self::Hold,
        Self::Unhold,
        Self::Protect,
        Self::Unprotect,
        Self::Retire,
        Self::Unretire,
    ];

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SetAvailable => "set-available",
            Self::SetUnavailable => "set-unavailable",
            Self::SetDefective => "set-defective",
            Self::RemoveFromRack => "remove-from-rack",
            Self::ReRegister => "re-register",
            Self::Decommission => "decommission",
            Self::Clean => "clean",
            Self::Release => "release",
            Self::Allocate => "allocate",
            Self::Cancel => "cancel",
            Self::Waive => "waive",
            Self::Hold => "hold",
            Self::Unhold => "unhold",
            Self::Protect => "protect",
            Self::Unprotect => "unprotect",
            Self::Retire => "retire",
            Self::Unretire => "unretire",
        }
    }

    /// The state it is meant to lead to at once, if it is about the state.
    pub const fn aim(self, machine: &Machine) -> Option<Lifecycle> {
        match self {
            Self::SetAvailable => Some(Lifecycle::Available),
            Self::SetUnavailable => Some(Lifecycle::Unavailable),
            Self::SetDefective => Some(Lifecycle::Defective),
            Self::RemoveFromRack => Some(Lifecycle::RemovedFromRack),
            Self::ReRegister if machine.lifecycle.is_allocated() => Some(Lifecycle::UsedRegistering),
            Self::ReRegister => Some(Lifecycle::Registering),
            Self::Decommission => Some(Lifecycle::Decommissioned),
            Self::Clean | Self::Release => Some(Lifecycle::Cleaning),
            Self::Allocate => Some(Lifecycle::Used),
            _ => None,
        }
    }

    /// Whether a note has to say why: a fault and its repair are found in the notes (`lifecycle.md` 1.3, 7, 14, 24).
    pub fn needs_note(self, machine: &Machine) -> bool {
        match self {
            Self::SetDefective => machine.lifecycle != Lifecycle::Defective,
            Self::SetAvailable => machine.lifecycle == Lifecycle::Defective,
            Self::Waive => true,
            _ => false,
        }
    }

    /// Whether it takes the machine away from somebody, or something from the machine.
    pub const fn is_destructive(self) -> bool {
        matches!(self, Self::RemoveFromRack | Self::Decommission | Self::Clean | Self::Release)
    }

    /// What it asks of the machine. Some of it is work that goes on: see [`Self::is_work`].
    pub fn command(self, machine: &Machine, terms: &Terms) -> Command {
        let force = terms.force;
        match self {
            Self::SetAvailable => Command::SetStatus(Lifecycle::Available),
            Self::SetUnavailable => Command::SetStatus(Lifecycle::Unavailable),
            Self::SetDefective => Command::SetStatus(Lifecycle::Defective),
            Self::RemoveFromRack => Command::SetStatus(Lifecycle::RemovedFromRack),
            Self::ReRegister if Self::again(machine, OperationKind::Register) => Command::Retry { method: None },
            Self::ReRegister => Command::Register { method: Method::InBand, force, same_identity: true },
            Self::Decommission => Command::Decommission,
            Self::Clean if Self::again(machine, OperationKind::Clean) => {
                Command::Retry { method: Some(Method::OsReset) }
            }
            Self::Clean => Command::Clean { method: Method::OsReset },
            Self::Release if terms.unreachable => Command::Forget,
            Self::Release => Command::Release { method: Method::OsReset, force },
            Self::Allocate => Command::Lock(terms.claim.clone()),
            Self::Cancel => Command::Cancel,
            Self::Waive => Command::Waive,
            Self::Hold => Command::SetHold(true),
            Self::Unhold => Command::SetHold(false),
            Self::Protect => Command::SetProtected(true),
            Self::Unprotect => Command::SetProtected(false),
            Self::Retire => Command::SetRetire(true),
            Self::Unretire => Command::SetRetire(false),
        }
    }

    fn again(machine: &Machine, kind: OperationKind) -> bool {
        machine.operation_kind() == Some(kind) && machine.has_failed()
    }

    /// Whether it begins an operation that goes on by itself.
    pub const fn is_work(self, terms: &Terms) -> bool {
        match self {
            Self::ReRegister | Self::Clean | Self::Allocate => true,
            Self::Release => !terms.unreachable,
            _ => false,
        }
    }

    /// What would become of the machine, or why not. Of work, as far as it is known before.
    ///
    /// # Errors
    /// The refusal; a move to where it is already is one, too.
    pub fn plan(self, machine: &Machine, terms: &Terms) -> Result<Change, Refusal> {
        let mut change = transition(machine, &self.command(machine, terms))?;
        let already = change.machine == *machine && change.records.is_empty();
        if already && !matches!(self, Self::Waive) {
            return Err(Refusal::guard(machine.lifecycle, None, Guard::Already));
        }
        // What begins with a lock or a look ends with what it is for.
        let end = match self {
            Self::Allocate => Some(Command::Commit),
            Self::ReRegister => Some(Command::Done { erased: false }),
            _ => None,
        };
        if let Some(end) = end
            && let Ok(then) = transition(&change.machine, &end)
        {
            change.records.extend(then.records);
            change.machine = then.machine;
        }
        Ok(change)
    }
}

impl std::fmt::Display for Move {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for Move {
    type Err = UnknownMove;
    fn from_str(s: &str) -> Result<Self, UnknownMove> {
        Self::ALL.into_iter().find(|m| m.as_str() == s).ok_or_else(|| UnknownMove(s.to_owned()))
    }
}

/// A text that names no move.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is nothing that can be done with a machine")]
pub struct UnknownMove(pub String);
