//! The commands of IncusOS as a table (cli.md 8): where each is in the tree, what it asks of a system's own API.

use serde_json::Value;

/// One command.
#[derive(Debug)]
pub(super) struct Verb {
    /// Its place in the tree, its own name last.
    pub(super) path: &'static [&'static str],
    /// For the help.
    pub(super) about: &'static str,
    /// Path below `/os/1.0`.
    pub(super) at: &'static str,
    /// What the name behind the server is the name of; none takes no name.
    pub(super) of: Option<&'static str>,
    /// What happens.
    pub(super) does: Does,
}

/// What a command does.
#[derive(Debug)]
pub(super) enum Does {
    /// Prints the document.
    Show,
    /// Prints the names of a collection.
    List,
    /// Edits the document.
    Edit,
    /// Prints the document for people.
    Info(fn(&Value) -> String),
    /// Prints the system at a glance.
    Overview,
    /// Prints the journal.
    Log,
    /// Prints a text as it is.
    Text,
    /// Adds to the collection.
    Add,
    /// Calls an action.
    Run(Run),
}

/// A call of an action.
#[derive(Debug)]
pub(super) struct Run {
    /// Its name, without the colon.
    pub(super) action: &'static str,
    /// The body it takes.
    pub(super) data: Data,
    /// What the user is asked to agree to.
    pub(super) asks: Option<&'static str>,
    /// The file it reads or writes.
    pub(super) file: Transfer,
    /// Whether parts can be left out.
    pub(super) skips: bool,
}

/// The body of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Data {
    /// It takes none.
    None,
    /// What `--data` says.
    Given,
    /// What `--data` says, else `{}`.
    OrEmpty,
}

/// A file beside a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transfer {
    /// There is none.
    None,
    /// The answer is written to one.
    To,
    /// The body is read from one.
    From,
}

const fn verb(path: &'static [&'static str], about: &'static str, at: &'static str, does: Does) -> Verb {
    Verb { path, about, at, of: None, does }
}

const fn run(action: &'static str) -> Run {
    Run { action, data: Data::None, asks: None, file: Transfer::None, skips: false }
}

impl Verb {
    const fn of(mut self, what: &'static str) -> Self {
        self.of = Some(what);
        self
    }
}

impl Run {
    const fn data(mut self, data: Data) -> Does {
        self.data = data;
        Does::Run(self)
    }

    const fn asks(mut self, to: &'static str) -> Self {
        self.asks = Some(to);
        self
    }

    const fn file(mut self, file: Transfer) -> Self {
        self.file = file;
        self
    }

    const fn skips(mut self) -> Self {
        self.skips = true;
        self
    }
}

/// The groups, for the help.
pub(super) const GROUPS: &[(&[&str], &str)] = &[
    (&["application"], "Manage the applications of a system"),
    (&["debug"], "Look into a system"),
    (&["debug", "secureboot"], "Look into secure boot"),
    (&["service"], "Manage the services of a system"),
    (&["system"], "Manage the system itself"),
    (&["system", "fallback-listener"], "Listener for when no application listens"),
    (&["system", "kernel"], "Kernel"),
    (&["system", "logging"], "Where the log goes"),
    (&["system", "network"], "Network"),
    (&["system", "provider"], "Who provides updates and configuration"),
    (&["system", "resources"], "Hardware"),
    (&["system", "security"], "Encryption and trusted boot"),
    (&["system", "storage"], "Drives and pools"),
    (&["system", "update"], "Updates"),
];

/// All of them.
pub(super) const VERBS: &[Verb] = {
    use super::info::{kernel, network, resources, storage};
    use Data::{Given, None as Nothing, OrEmpty};
    use Does::{Add, Edit, Info, List, Log, Overview, Show, Text};
    const APPS: &str = "applications";
    const NET: &str = "system/network";
    const SECURITY: &str = "system/security";
    const DISKS: &str = "system/storage";
    &[
        verb(&["info"], "Show a system at a glance", "", Overview),
        verb(&["show"], "Show what a system says of itself", "", Show),
        verb(&["application", "list"], "List the applications", APPS, List),
        verb(&["application", "show"], "Show an application", APPS, Show).of("application"),
        verb(&["application", "edit"], "Edit the configuration of an application as YAML", APPS, Edit)
            .of("application"),
        verb(&["application", "add"], "Add an application", APPS, Add).of("application"),
        verb(&["application", "action"], "Run an action of the application's own", APPS, run("action").data(OrEmpty))
            .of("application"),
        verb(&["application", "check-update"], "Look for an update", APPS, run("check-update").data(Nothing))
            .of("application"),
        verb(
            &["application", "switch-version"],
            "Change to another version",
            APPS,
            run("switch-version").asks("change the running version of the application").data(OrEmpty),
        )
        .of("application"),
        verb(
            &["application", "backup"],
            "Write a backup of an application to a file",
            APPS,
            run("backup").file(Transfer::To).data(OrEmpty),
        )
        .of("application"),
        verb(
            &["application", "restore"],
            "Restore an application from a backup",
            APPS,
            run("restore").asks("replace the application's state by the backup").file(Transfer::From).data(Nothing),
        )
        .of("application"),
        verb(
            &["application", "restart"],
            "Restart an application",
            APPS,
            run("restart").asks("restart the application").data(Nothing),
        )
        .of("application"),
        verb(
            &["application", "remove"],
            "Remove an application",
            APPS,
            run("remove").asks("remove the application").data(Nothing),
        )
        .of("application"),
        verb(
            &["application", "factory-reset"],
            "Wipe an application's state",
            APPS,
            run("factory-reset").asks("wipe the application's state").data(OrEmpty),
        )
        .of("application"),
        verb(&["application", "debug"], "Debug an application", APPS, run("debug").data(OrEmpty)).of("application"),
        verb(&["debug", "kernel"], "Show the loaded parts of the kernel", "debug/kernel", Show),
        verb(&["debug", "log"], "Show the log", "debug/log", Log),
        verb(&["debug", "processes"], "Show the processes", "debug/processes", Text),
        verb(&["debug", "secureboot", "event-log"], "Show the TPM's event log", "debug/secureboot/event-log", Show),
        verb(
            &["debug", "secureboot", "update"],
            "Update the keys of secure boot",
            "debug/secureboot",
            run("update").data(Nothing),
        ),
        verb(&["service", "list"], "List the services", "services", List),
        verb(&["service", "show"], "Show a service", "services", Show).of("service"),
        verb(&["service", "edit"], "Edit the configuration of a service as YAML", "services", Edit).of("service"),
        verb(
            &["service", "reset"],
            "Reset a service",
            "services",
            run("reset").asks("reset the service").data(Nothing),
        )
        .of("service"),
        verb(
            &["system", "backup"],
            "Write a backup of the system to a file",
            "system",
            run("backup").file(Transfer::To).data(OrEmpty),
        ),
        verb(
            &["system", "restore"],
            "Restore the system from a backup",
            "system",
            run("restore").asks("replace the system's state by the backup").file(Transfer::From).skips().data(Nothing),
        ),
        verb(
            &["system", "factory-reset"],
            "Wipe the system",
            "system",
            run("factory-reset").asks("wipe the system").data(OrEmpty),
        ),
        verb(
            &["system", "reboot"],
            "Reboot the system",
            "system",
            run("reboot").asks("reboot the system").data(Nothing),
        ),
        verb(
            &["system", "poweroff"],
            "Switch the system off",
            "system",
            run("poweroff").asks("switch off the system").data(Nothing),
        ),
        verb(
            &["system", "suspend"],
            "Suspend the system",
            "system",
            run("suspend").asks("suspend the system").data(Nothing),
        ),
        verb(&["system", "fallback-listener", "edit"], "Edit it as YAML", "system/fallback-listener", Edit),
        verb(&["system", "fallback-listener", "show"], "Show it", "system/fallback-listener", Show),
        verb(&["system", "kernel", "edit"], "Edit its configuration as YAML", "system/kernel", Edit),
        verb(&["system", "kernel", "show"], "Show its configuration", "system/kernel", Show),
        verb(&["system", "kernel", "info"], "Show its state", "system/kernel", Info(kernel)),
        verb(&["system", "logging", "edit"], "Edit the configuration as YAML", "system/logging", Edit),
        verb(&["system", "logging", "show"], "Show the configuration", "system/logging", Show),
        verb(&["system", "network", "edit"], "Edit the configuration as YAML", NET, Edit),
        verb(&["system", "network", "show"], "Show configuration and state", NET, Show),
        verb(&["system", "network", "info"], "Show the interfaces", NET, Info(network)),
        verb(
            &["system", "network", "confirm"],
            "Keep the new configuration, before the system takes it back by itself",
            NET,
            run("confirm").data(Nothing),
        ),
        verb(&["system", "network", "flush-dns"], "Forget the names looked up", NET, run("flush-dns").data(Nothing)),
        verb(&["system", "provider", "edit"], "Edit the configuration as YAML", "system/provider", Edit),
        verb(&["system", "provider", "show"], "Show configuration and state", "system/provider", Show),
        verb(&["system", "resources", "show"], "Show the hardware", "system/resources", Show),
        verb(&["system", "resources", "info"], "Show the hardware for people", "system/resources", Info(resources)),
        verb(&["system", "security", "edit"], "Edit the configuration as YAML", SECURITY, Edit),
        verb(&["system", "security", "show"], "Show configuration and state", SECURITY, Show),
        verb(
            &["system", "security", "retrieved"],
            "Say that the recovery keys are kept safely elsewhere",
            SECURITY,
            run("retrieved").data(Nothing),
        ),
        verb(
            &["system", "security", "tpm-rebind"],
            "Bind the encryption to the TPM anew",
            SECURITY,
            run("tpm-rebind").asks("bind the encryption to the TPM anew and reboot the system").data(Nothing),
        ),
        verb(&["system", "storage", "edit"], "Edit the configuration as YAML", DISKS, Edit),
        verb(&["system", "storage", "show"], "Show configuration and state", DISKS, Show),
        verb(&["system", "storage", "info"], "Show drives and pools", DISKS, Info(storage)),
        verb(&["system", "storage", "create-volume"], "Create a volume", DISKS, run("create-volume").data(Given)),
        verb(
            &["system", "storage", "delete-volume"],
            "Delete a volume",
            DISKS,
            run("delete-volume").asks("delete the volume").data(Given),
        ),
        verb(
            &["system", "storage", "delete"],
            "Delete a pool",
            DISKS,
            run("delete-pool").asks("delete the pool").data(Given),
        ),
        verb(&["system", "storage", "scrub-pool"], "Check the content of a pool", DISKS, run("scrub-pool").data(Given)),
        verb(
            &["system", "storage", "import-storage-pool"],
            "Take over an existing encrypted pool",
            DISKS,
            run("import-pool").data(Given),
        ),
        verb(
            &["system", "storage", "encrypt-drive"],
            "Wipe and encrypt a drive",
            DISKS,
            run("encrypt-drive").asks("wipe and encrypt the drive").data(Given),
        ),
        verb(
            &["system", "storage", "import-encrypted-drive"],
            "Take over an existing encrypted drive",
            DISKS,
            run("import-encrypted-drive").data(Given),
        ),
        verb(
            &["system", "storage", "wipe-drive"],
            "Wipe a drive",
            DISKS,
            run("wipe-drive").asks("wipe the drive").data(Given),
        ),
        verb(
            &["system", "storage", "cleanup-root"],
            "Remove what is left over on the system's own volume",
            DISKS,
            run("cleanup-root").data(Nothing),
        ),
        verb(&["system", "update", "edit"], "Edit the configuration as YAML", "system/update", Edit),
        verb(&["system", "update", "show"], "Show configuration and state", "system/update", Show),
        verb(
            &["system", "update", "check"],
            "Look for updates and apply them",
            "system/update",
            run("check").asks("apply any pending update").data(OrEmpty),
        ),
    ]
};
