//! What the status machine knows about one enrolment, and what it hands back.

use jiff::{SignedDuration, Timestamp};
use muster_api::provisioning::status::{Maintenance, ServerStatus, StatusDetail};
use serde::{Deserialize, Serialize};

use super::version::{Installed, UpdateGoal};

/// The stored part of a server that the status machine reads and writes (`servers.md` 8).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enrolment {
    /// Connectivity.
    pub status: ServerStatus,
    /// Why the status is what it is.
    pub detail: StatusDetail,
    /// Since when status and detail are what they are.
    pub since: Timestamp,
    /// Member of a cluster.
    pub clustered: bool,
    /// An update or reboot of its whole cluster is under way: that loop ends `restoring`, not the poll.
    pub cluster_update: bool,
    /// Maintenance of its Incus application, as last observed.
    pub maintenance: Maintenance,
    /// When it booted last, as last observed.
    pub boot_at: Option<Timestamp>,
    /// Polls that failed in a row.
    pub failures: u32,
    /// What the last failed poll said; none once a poll succeeds.
    pub last_failure: Option<Failure>,
    /// Whether it was seen away since the reboot was asked for.
    pub seen_away: bool,
    /// What the running update has to reach.
    pub goal: Option<UpdateGoal>,
    /// An operation through its BMC owns the machine: silence is expected (`lifecycle.md` 5.3).
    pub silence_expected: bool,
}

impl Enrolment {
    /// An enrolment in the given status, with nothing else known.
    pub fn new(status: ServerStatus, detail: StatusDetail, since: Timestamp) -> Self {
        Self {
            status,
            detail,
            since,
            clustered: false,
            cluster_update: false,
            maintenance: Maintenance::None,
            boot_at: None,
            failures: 0,
            last_failure: None,
            seen_away: false,
            goal: None,
            silence_expected: false,
        }
    }

    /// Whether status and detail are these two.
    pub fn is(&self, status: ServerStatus, detail: StatusDetail) -> bool {
        self.status == status && self.detail == detail
    }

    /// How long status and detail have been what they are; never negative.
    pub fn age(&self, now: Timestamp) -> SignedDuration {
        now.duration_since(self.since).max(SignedDuration::ZERO)
    }

    /// Puts another status and detail; `since` moves only when one of them differs.
    pub(crate) fn put(&mut self, status: ServerStatus, detail: StatusDetail, now: Timestamp) {
        if !self.is(status, detail) {
            self.status = status;
            self.detail = detail;
            self.since = now;
            self.seen_away = false;
            if detail != StatusDetail::Updating {
                self.goal = None;
            }
        }
    }
}

/// Which part of reaching a machine failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// Its name does not resolve or its address is no address.
    Address,
    /// Nothing took the connection in time.
    Timeout,
    /// The connection was refused or broke.
    Connect,
    /// The certificate is not the expected one, or TLS failed otherwise.
    Certificate,
    /// It answered, but not as expected.
    Answer,
}

impl FailureKind {
    /// What failed, for a sentence.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Address => "the address could not be resolved",
            Self::Timeout => "no answer in time",
            Self::Connect => "the connection failed",
            Self::Certificate => "the certificate was not accepted",
            Self::Answer => "the answer was not understood",
        }
    }
}

/// A poll that did not reach its machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Which part failed.
    pub what: FailureKind,
    /// How, in the words of whoever noticed; never a secret.
    pub how: String,
}

/// What a machine said when it was reached.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Observation {
    /// When it booted: now minus the uptime it reports. None when it reports none.
    pub boot_at: Option<Timestamp>,
    /// Whether its channel offers something newer than what it has.
    pub needs_update: bool,
    /// Its versions, when they were collected.
    pub installed: Option<Installed>,
    /// Maintenance of its Incus application, when it was collected.
    pub maintenance: Option<Maintenance>,
}

/// How a poll ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PollOutcome {
    /// Reached and ready.
    Reached(Observation),
    /// Reached, but its start is not finished.
    NotReady {
        /// When it booted, if it says.
        boot_at: Option<Timestamp>,
    },
    /// Reached, but it does not run IncusOS: nothing can be said (`servers.md` 17, 17).
    NotIncusOs,
    /// Not reached.
    Failed(Failure),
}

/// Who asked for a poll.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PollOrigin {
    /// A background task: one failure proves nothing.
    Background,
    /// A person, with `:resync`: the answer is what is the case now.
    Person,
}

/// The kinds of warning of a poll (`servers.md` 9.3); each is raised and cleared on its own (defect 14).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WarningKind {
    /// The machine does not answer.
    Unreachable,
    /// A reboot was asked for and did not happen.
    RebootNotDone,
    /// An update did not finish in time.
    UpdateNotFinished,
    /// An evacuation or restore did not finish in time.
    MaintenanceNotFinished,
}

impl WarningKind {
    /// The type text on the wire.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Unreachable => "Server unreachable",
            Self::RebootNotDone => "Server did not reboot",
            Self::UpdateNotFinished => "Server update not finished",
            Self::MaintenanceNotFinished => "Server maintenance not finished",
        }
    }
}

/// A warning to raise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// Its kind.
    pub kind: WarningKind,
    /// Its message.
    pub message: String,
}

/// Why a server is not where it should be yet; to a person who asked, a retryable error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WaitReason {
    /// Registered or being reconfigured, and not reached.
    #[error("still pending")]
    StillPending,
    /// Rebooting, and not reached.
    #[error("still rebooting")]
    StillRebooting,
    /// Asked to reboot, and still the boot of before answers.
    #[error("still rebooting (in reboot grace period)")]
    RebootNotBegun,
    /// Its start is not finished.
    #[error("Server is not yet ready")]
    NotReady,
    /// It did not answer, not often enough in a row to be called unresponsive.
    #[error("no answer, {failures} of {limit} in a row: {how}")]
    NoAnswer {
        /// Failures so far.
        failures: u32,
        /// Failures that make it unresponsive.
        limit: u32,
        /// How the last one failed.
        how: String,
    },
    /// Switched off, and still the boot of before answers.
    #[error("still going down")]
    GoingDown,
    /// An operation through the BMC owns the machine.
    #[error("silence is expected while an operation works through the BMC")]
    SilenceExpected,
}

impl WaitReason {
    /// Whether a person's `:resync` that ends so is answered with a retryable error (`servers.md` 3.8).
    pub const fn is_error(&self) -> bool {
        !matches!(self, Self::NoAnswer { .. } | Self::GoingDown | Self::SilenceExpected)
    }
}

/// What to write after an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The enrolment as it is now.
    pub enrolment: Enrolment,
    /// Status or detail changed: the life-cycle signal is due.
    pub changed: bool,
    /// The machine was reached: last seen is now.
    pub seen: bool,
    /// This was the first poll after a registration: the scriptlet runs before the row is written.
    pub registered: bool,
    /// Warnings to raise.
    pub raise: Vec<Warning>,
    /// Kinds of warning to clear.
    pub clear: Vec<WarningKind>,
    /// Why it is not where it should be yet.
    pub wait: Option<WaitReason>,
}

impl Step {
    /// A step that leaves everything as it is.
    pub(crate) fn unchanged(enrolment: &Enrolment) -> Self {
        Self {
            enrolment: enrolment.clone(),
            changed: false,
            seen: false,
            registered: false,
            raise: Vec::new(),
            clear: Vec::new(),
            wait: None,
        }
    }

    /// Adds a warning.
    pub(crate) fn warn(&mut self, kind: WarningKind, message: impl Into<String>) {
        self.raise.push(Warning { kind, message: message.into() });
    }
}

/// The limits of the status machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Failed background polls in a row that make a ready server unresponsive.
    pub failures: u32,
    /// How far the boot instant must have moved for a new boot: clocks and roundings differ.
    pub boot_margin: SignedDuration,
    /// How much too late a boot instant may be: uptimes come in whole seconds.
    pub boot_rounding: SignedDuration,
    /// A reboot that takes longer has failed.
    pub reboot: SignedDuration,
    /// How long a machine that was switched off may still answer.
    pub shut_down: SignedDuration,
    /// An update that takes longer has failed.
    pub update: SignedDuration,
    /// An evacuation or restore that takes longer and is not under way by observation has failed.
    pub maintenance: SignedDuration,
    /// A pending server that is not reached for longer is worth a warning.
    pub pending: SignedDuration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            failures: 3,
            boot_margin: SignedDuration::from_secs(10),
            boot_rounding: SignedDuration::from_secs(1),
            reboot: SignedDuration::from_mins(20),
            shut_down: SignedDuration::from_mins(10),
            update: SignedDuration::from_mins(60),
            maintenance: SignedDuration::from_mins(5),
            pending: SignedDuration::from_mins(15),
        }
    }
}
