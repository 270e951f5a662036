//! Everything that can be asked of a machine or happen to it.

use muster_api::provisioning::status::Maintenance;

use super::axes::{Alerts, Claim, Connectivity, Method, Phase, Reservation, TypeMatch};
use super::lifecycle::Lifecycle;

/// A command or an event. What each does to the lifecycle: `lifecycle.md` 1.3 and 5.4.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// A person sets a state by hand. Only the four buttons can work; a reservation is lifted on the way.
    SetStatus(Lifecycle),
    /// A person starts the registration again.
    Register {
        /// Through the BMC, or in band.
        method: Method,
        /// Go on although the member still carries workloads.
        force: bool,
        /// Serial number and UUID equal the stored ones; asked for when it comes back into a rack.
        same_identity: bool,
    },
    /// A person has an unavailable or defective machine cleaned.
    Clean {
        /// Through the BMC, or by resetting its operating system.
        method: Method,
    },
    /// A person has it decommissioned.
    Decommission,

    /// A subscription binds it.
    Reserve(Reservation),
    /// A subscription lets it go.
    Unreserve,
    /// Phase one of an allocation: lock.
    Lock(Claim),
    /// Phase two: right before the first call that changes the machine.
    Commit,
    /// The owner gives it back.
    Release {
        /// How it is cleaned.
        method: Method,
        /// Although it still carries workloads.
        force: bool,
    },
    /// The owner forgets it without a reset: it stays dirty and out of the pool.
    Forget,

    /// The operation moves on; never to failed.
    Advance(Phase),
    /// The operation of the agent, or in band, ended well.
    Done {
        /// The disks were erased and that was verified.
        erased: bool,
    },
    /// The operation ended badly. A lock is just dropped.
    Fail,
    /// A person tries a failed operation again.
    Retry {
        /// Another method than before.
        method: Option<Method>,
    },
    /// A person cancels: a live operation is aborted, a failed one given up where that leads somewhere.
    Cancel,
    /// A person has its firmware updated.
    Firmware,
    /// A person looks for a fault.
    Diagnose,

    /// The operating system of this known machine registers with a token.
    SelfRegister {
        /// It presents the certificate that is stored: the same registration again.
        same_certificate: bool,
    },
    /// The first poll after a registration succeeded; resources are stored.
    FirstPoll {
        /// The policy opens it: into the pool, if nothing is in the way.
        open: bool,
        /// Its token accepts existing data, which is recorded as a waiver.
        accepts_data: bool,
    },
    /// The connectivity changed by poll, report or action. Never the lifecycle.
    Connectivity(Connectivity),
    /// Its maintenance was asked for or observed. Never the lifecycle.
    Maintenance(Maintenance),

    /// Operations Center: delete the server.
    DeleteServer,
    /// Its operating system took a reset and wipes itself: a fact, whoever asked for it.
    OsReset,
    /// Operations Center: a full poll on request, which succeeded.
    Resync,

    /// Mark or unmark to retire.
    SetRetire(bool),
    /// Pause or resume its use in new allocations.
    SetHold(bool),
    /// Protect it against being released, reset, cleaned or decommissioned, or end that.
    SetProtected(bool),
    /// A person accepts the data on its disks, on record.
    Waive,
    /// Its hardware changed so that it has to be registered again.
    RequireReRegister,
    /// Its BMC became known or was forgotten.
    SetBmc(bool),
    /// The inventory was compared with its type.
    SetType(TypeMatch),
    /// Alerts were opened or closed.
    SetAlerts(Alerts),
}

impl Command {
    /// Whether somebody asks for a change of its state, in contrast to what happens to it or goes on already.
    pub const fn is_request(&self) -> bool {
        matches!(
            self,
            Self::SetStatus(_)
                | Self::Decommission
                | Self::Register { .. }
                | Self::Clean { .. }
                | Self::Firmware
                | Self::Diagnose
                | Self::Lock(_)
                | Self::Release { .. }
                | Self::DeleteServer
        )
    }
}
