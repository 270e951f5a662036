//! The enumerations of a server (`servers.md` 2.2). Their texts are the wire.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An enumeration value that is not one of the known ones.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{value:?} is no {kind}; known are {known}")]
pub struct UnknownValue {
    /// What the value should have been.
    pub kind: &'static str,
    /// What was given.
    pub value: String,
    /// The known texts, comma separated.
    pub known: String,
}

/// Declares an enum whose variants have one wire text each. An empty text reads as the default variant.
macro_rules! text_enum {
    ($(#[$doc:meta])* $name:ident, $kind:literal { $($(#[$vdoc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, ToSchema)]
        pub enum $name { $($(#[$vdoc])* #[serde(rename = $text)] $variant),+ }

        impl $name {
            /// Every value, in the order of the contract.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The text on the wire.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { f.write_str(self.as_str()) }
        }

        impl std::str::FromStr for $name {
            type Err = UnknownValue;
            fn from_str(s: &str) -> Result<Self, UnknownValue> {
                if s.is_empty() { return Ok(Self::default()); }
                Self::ALL.iter().copied().find(|v| v.as_str() == s).ok_or_else(|| UnknownValue {
                    kind: $kind,
                    value: s.to_owned(),
                    known: Self::ALL.iter().map(|v| v.as_str()).filter(|s| !s.is_empty()).collect::<Vec<_>>().join(", "),
                })
            }
        }
    };
}

text_enum! {
    /// What a server is for: its first primary application.
    ServerType, "server type" {
        /// Not known (yet).
        #[default] Unknown = "unknown",
        /// Incus.
        Incus = "incus",
        /// Incus, long term support.
        IncusLts = "incus-lts-7.0",
        /// Migration Manager.
        MigrationManager = "migration-manager",
        /// An operations center.
        OperationsCenter = "operations-center",
    }
}

impl ServerType {
    /// Whether it runs Incus, of either kind.
    pub const fn is_incus(self) -> bool {
        matches!(self, Self::Incus | Self::IncusLts)
    }
}

text_enum! {
    /// Connectivity of a server's enrolment.
    ServerStatus, "server status" {
        /// A missing value.
        #[default] Unknown = "unknown",
        /// Known, but no operating system registered yet.
        Unregistered = "unregistered",
        /// Registered or being reconfigured; not seen by a poll since.
        Pending = "pending",
        /// Answers.
        Ready = "ready",
        /// Does not answer, or is not expected to.
        Offline = "offline",
    }
}

text_enum! {
    /// Why the status is what it is.
    StatusDetail, "server status detail" {
        /// Nothing to say.
        #[default] None = "",
        /// Waiting for the first poll.
        Registering = "registering",
        /// Its network or storage is being changed.
        ReConfiguring = "re-configuring",
        /// An operating system update is under way.
        Updating = "updating",
        /// An application update is under way.
        UpdatingApplication = "updating application",
        /// Workloads are leaving.
        Evacuating = "evacuating",
        /// Workloads are coming back.
        Restoring = "restoring",
        /// Going down to come back.
        Rebooting = "rebooting",
        /// Switched off on purpose.
        ShutDown = "shut down",
        /// Stopped answering.
        Unresponsive = "unresponsive",
    }
}

text_enum! {
    /// Why a machine reports itself (`PUT /servers/:self`, `servers.md` 6.3).
    SelfUpdateCause, "self-update cause" {
        /// None given: the address may have changed.
        #[default] Unspecified = "",
        /// New network configuration.
        NetworkConfigChanged = "network-config-changed",
        /// Boot finished.
        SystemIsReady = "system-is-ready",
        /// OS update written.
        OsUpdateApplied = "os-update-applied",
        /// Application installed or updated.
        ApplicationUpdateApplied = "application-update-applied",
        /// A network interface went up or down.
        NetworkInterfaceStateChanged = "network-interface-state-changed",
        /// Storage changed.
        StorageConfigChanged = "storage-config-changed",
        /// About to reboot.
        SystemRebootTriggered = "system-reboot-triggered",
        /// About to power off.
        SystemShutdownTriggered = "system-shutdown-triggered",
        /// Secure Boot keys updated.
        SecureBootUpdateApplied = "secure-boot-update-applied",
        /// About to suspend.
        SuspendTriggered = "suspend-triggered",
    }
}

/// Maintenance of an Incus application; an integer on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Maintenance {
    /// Not in maintenance.
    #[default]
    None = 0,
    /// Workloads are leaving.
    Evacuating = 1,
    /// Empty.
    Evacuated = 2,
    /// Workloads are coming back.
    Restoring = 3,
}

impl Maintenance {
    /// Every value.
    pub const ALL: &'static [Self] = &[Self::None, Self::Evacuating, Self::Evacuated, Self::Restoring];
}

impl From<i64> for Maintenance {
    /// Values beyond the known ones count as none.
    fn from(n: i64) -> Self {
        Self::ALL.iter().copied().find(|m| *m as i64 == n).unwrap_or_default()
    }
}
