//! The axes of a machine beside its lifecycle (`lifecycle.md` 5.2). Cluster link and maintenance live on the
//! enrolment: without an operating system neither can exist.

use muster_api::provisioning::status::{Maintenance, ServerStatus, StatusDetail};
use serde::{Deserialize, Serialize};

use super::lifecycle::Lifecycle;

/// What is being done with a machine; at most one at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OperationKind {
    /// Finding out what it is.
    Register,
    /// Making it fit for the next owner.
    Clean,
    /// Locked for an allocation that has not touched it yet.
    Allocate,
    /// Putting an operating system on it.
    Install,
    /// Updating its firmware.
    Firmware,
    /// Looking for a fault.
    Diagnostics,
}

/// How an operation reaches the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// Through its BMC and the live image.
    Bmc,
    /// Through the operating system that runs on it.
    InBand,
    /// By letting its operating system reset itself.
    OsReset,
}

/// How far an operation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Accepted, not begun.
    Queued,
    /// Waiting for something outside, such as the machine to show up.
    Waiting,
    /// Under way.
    Running,
    /// A person paused it.
    Held,
    /// Ended badly; a person decides.
    Failed,
}

/// What an allocation is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AllocationKind {
    /// Member of a cluster.
    Cluster,
    /// A machine by itself.
    Standalone,
    /// A product's own machine, such as the operations center's.
    Appliance,
}

/// Who asks for a machine, and what for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Claim {
    /// Who gets it.
    pub owner: String,
    /// What for.
    pub kind: AllocationKind,
    /// The cluster's or the workload's name.
    pub reference: String,
}

/// The operation of a machine.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Operation {
    /// What is done.
    pub kind: OperationKind,
    /// How it reaches the machine; none for a mere lock.
    pub method: Option<Method>,
    /// How far it is.
    pub phase: Phase,
    /// For an allocation: who asks.
    pub claim: Option<Claim>,
}

impl Operation {
    /// An operation that has begun.
    pub fn running(kind: OperationKind, method: Method) -> Self {
        Self { kind, method: Some(method), phase: Phase::Running, claim: None }
    }

    /// Whether it has not failed.
    pub fn is_live(&self) -> bool {
        self.phase != Phase::Failed
    }
}

/// What is known about its disks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Media {
    /// New to us.
    Unknown,
    /// Erased and verified, or waived.
    Clean,
    /// May hold somebody's data.
    Dirty,
}

/// Who has it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Allocation {
    /// Who, and what for.
    pub claim: Claim,
    /// The subscription it was taken from.
    pub subscription: Option<String>,
}

/// For whom it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Reservation {
    /// The subscription that binds it.
    pub subscription: String,
    /// Whose subscription.
    pub holder: String,
}

/// Whether its hardware is of a known type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TypeMatch {
    /// No inventory yet.
    Unmatched,
    /// Of its type.
    Matched,
    /// Not what its type says.
    Mismatch,
}

/// What people set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Flags {
    /// Never back into the pool.
    pub retire: bool,
    /// Paused by an operator: no new allocation.
    pub hold: bool,
    /// Cannot be released, reset, cleaned or decommissioned.
    pub protected: bool,
    /// Its hardware changed: no new allocation before it is registered again.
    pub requires_re_register: bool,
}

/// The alert classes that decide something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Alerts {
    /// An alert of class *prevent allocations*, or a blocking one, is open.
    pub prevent_allocation: bool,
    /// An alert of class *prevent state changes* is open.
    pub prevent_state_changes: bool,
    /// A blocking alert is open.
    pub blocking: bool,
}

/// What the enrolment's status means for the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Connectivity {
    /// Registered, not polled yet.
    PendingRegistering,
    /// A configuration was sent.
    PendingReConfiguring,
    /// Answers and does nothing else.
    Ready,
    /// Answers and is updating.
    Updating,
    /// Going down to come back.
    Rebooting,
    /// Switched off on purpose.
    ShutDown,
    /// Stopped answering.
    Unresponsive,
}

impl Connectivity {
    /// Every value.
    pub const ALL: [Self; 7] = [
        Self::PendingRegistering,
        Self::PendingReConfiguring,
        Self::Ready,
        Self::Updating,
        Self::Rebooting,
        Self::ShutDown,
        Self::Unresponsive,
    ];

    /// From status and detail of the enrolment; none when there is no enrolment. Evacuating and restoring are
    /// maintenance, not connectivity.
    pub const fn of(status: ServerStatus, detail: StatusDetail) -> Option<Self> {
        Some(match (status, detail) {
            (ServerStatus::Unregistered | ServerStatus::Unknown, _) => return None,
            (ServerStatus::Pending, StatusDetail::ReConfiguring) => Self::PendingReConfiguring,
            (ServerStatus::Pending, _) => Self::PendingRegistering,
            (ServerStatus::Ready, StatusDetail::Updating | StatusDetail::UpdatingApplication) => Self::Updating,
            (ServerStatus::Ready, _) => Self::Ready,
            (ServerStatus::Offline, StatusDetail::Rebooting) => Self::Rebooting,
            (ServerStatus::Offline, StatusDetail::ShutDown) => Self::ShutDown,
            (ServerStatus::Offline, _) => Self::Unresponsive,
        })
    }
}

/// The operating system on a machine, as far as the lifecycle looks at it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Enrolled {
    /// Its connectivity.
    pub connectivity: Connectivity,
    /// Its maintenance; other than none only in a cluster.
    pub maintenance: Maintenance,
    /// The cluster it is a member of.
    pub cluster: Option<String>,
    /// An update or reboot is due.
    pub update_due: bool,
}

impl Enrolled {
    /// Just registered.
    pub fn registering() -> Self {
        Self {
            connectivity: Connectivity::PendingRegistering,
            maintenance: Maintenance::None,
            cluster: None,
            update_due: false,
        }
    }
}

/// A machine, as far as decisions about its lifecycle look at it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Machine {
    /// Where it is in its life.
    pub lifecycle: Lifecycle,
    /// What is being done with it.
    pub operation: Option<Operation>,
    /// Its disks.
    pub media: Media,
    /// Who has it.
    pub allocation: Option<Allocation>,
    /// For whom it is kept.
    pub reservation: Option<Reservation>,
    /// Whether its type is known and right.
    pub type_match: TypeMatch,
    /// Open alerts that decide something.
    pub alerts: Alerts,
    /// What people set.
    pub flags: Flags,
    /// It has a BMC whose credentials are stored; decommissioning erases them.
    pub bmc: bool,
    /// The operating system on it.
    pub enrolment: Option<Enrolled>,
}

impl Machine {
    /// Its connectivity; none without an enrolment.
    pub fn connectivity(&self) -> Option<Connectivity> {
        self.enrolment.as_ref().map(|e| e.connectivity)
    }

    /// Whether its operating system answers and does nothing else.
    pub fn is_ready(&self) -> bool {
        self.connectivity() == Some(Connectivity::Ready)
    }

    /// The cluster it is a member of.
    pub fn cluster(&self) -> Option<&str> {
        self.enrolment.as_ref().and_then(|e| e.cluster.as_deref())
    }

    /// Its maintenance; none without an enrolment.
    pub fn maintenance(&self) -> Maintenance {
        self.enrolment.as_ref().map_or(Maintenance::None, |e| e.maintenance)
    }

    /// The kind of its operation.
    pub fn operation_kind(&self) -> Option<OperationKind> {
        self.operation.as_ref().map(|o| o.kind)
    }

    /// Whether an operation of this kind is there and has not failed.
    pub fn is_live(&self, kind: OperationKind) -> bool {
        self.operation.as_ref().is_some_and(|o| o.kind == kind && o.is_live())
    }

    /// Whether its operation has failed.
    pub fn has_failed(&self) -> bool {
        self.operation.as_ref().is_some_and(|o| !o.is_live())
    }

    /// Whether the poller has to expect silence: an operation through the BMC owns the machine (`lifecycle.md` 5.3).
    /// A fresh registration is no silence: it is what an installation waits for.
    pub fn expects_silence(&self) -> bool {
        self.operation.as_ref().is_some_and(|o| o.method == Some(Method::Bmc) && o.is_live())
            && self.connectivity() != Some(Connectivity::PendingRegistering)
    }

    /// Whether somebody has to clean it by hand: a cleaning was given up, or it left a cluster by force.
    pub fn needs_manual_cleaning(&self) -> bool {
        self.lifecycle == Lifecycle::Unavailable && self.media == Media::Dirty
    }
}
