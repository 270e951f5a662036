//! Versions: which is newer, what a channel offers, what a server lacks (`servers.md` 2.3).

use std::collections::{BTreeMap, HashMap};

use muster_api::provisioning::status::Maintenance;
use serde::{Deserialize, Serialize};

/// A version as a number: the text read as a base-16 integer of 64 bits. Anything else is no number.
pub fn number(version: &str) -> Option<i64> {
    i64::from_str_radix(version, 16).ok()
}

/// Whether `a` is newer than `b`. What is no number sorts below everything and is never newer.
pub fn is_newer(a: &str, b: &str) -> bool {
    number(a) > number(b)
}

/// Whether a file of an update carries the component, by its base name: `X.raw.gz` or `X_….img.gz`.
pub fn provides(file: &str, component: &str) -> bool {
    component_of(file).is_some_and(|found| found == component)
}

/// The component a file carries, by its base name.
fn component_of(file: &str) -> Option<&str> {
    let base = file.rsplit('/').next().unwrap_or(file);
    if let Some(component) = base.strip_suffix(".raw.gz") {
        return Some(component);
    }
    base.strip_suffix(".img.gz")?.split_once('_').map(|(os, _)| os)
}

/// What a channel offers, for looking up many servers: built once, asked often.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChannelIndex {
    newest: HashMap<String, String>,
    empty: bool,
}

impl ChannelIndex {
    /// From the channel's updates, newest first, each with its version and its file names. The first hit of a
    /// component wins.
    pub fn new<'a, F>(updates: impl IntoIterator<Item = (&'a str, F)>) -> Self
    where
        F: IntoIterator<Item = &'a str>,
    {
        let mut newest = HashMap::new();
        let mut empty = true;
        for (version, files) in updates {
            empty = false;
            for component in files.into_iter().filter_map(component_of) {
                if !newest.contains_key(component) {
                    newest.insert(component.to_owned(), version.to_owned());
                }
            }
        }
        Self { newest, empty }
    }

    /// The newest version of a component, if any update carries it.
    pub fn available(&self, component: &str) -> Option<&str> {
        self.newest.get(component).map(String::as_str)
    }
}

/// The operating system's versions.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct InstalledOs {
    /// Its name, which is also its component.
    pub name: String,
    /// The running release.
    pub version: String,
    /// The release that is installed and not booted; may be empty.
    pub version_next: String,
    /// It says that it needs a reboot.
    pub needs_reboot: bool,
}

impl InstalledOs {
    /// The release that counts for updates: the installed one, booted or not.
    pub fn installed(&self) -> &str {
        if self.version_next.is_empty() { &self.version } else { &self.version_next }
    }
}

/// One application's version.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct InstalledApplication {
    /// Its name, which is also its component.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its maintenance; only ever other than none for Incus.
    pub in_maintenance: Maintenance,
}

impl InstalledApplication {
    /// Whether it is Incus, of either kind.
    pub fn is_incus(&self) -> bool {
        matches!(self.name.as_str(), "incus" | "incus-lts-7.0")
    }
}

/// Everything installed on a server.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Installed {
    /// The operating system.
    pub os: InstalledOs,
    /// The applications, in the machine's order.
    pub applications: Vec<InstalledApplication>,
}

impl Installed {
    /// Whether an Incus application is present.
    pub fn has_incus(&self) -> bool {
        self.applications.iter().any(InstalledApplication::is_incus)
    }

    /// Maintenance of the first Incus application, else none.
    pub fn in_maintenance(&self) -> Maintenance {
        self.applications.iter().find(|a| a.is_incus()).map_or(Maintenance::None, |a| a.in_maintenance)
    }
}

/// What one component could get.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Offer {
    /// The newest version in the channel.
    pub available_version: Option<String>,
    /// Whether that is newer than what is installed.
    pub needs_update: bool,
}

/// What every read of a server's versions fills in.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Computed {
    /// For the operating system.
    pub os: Offer,
    /// For each application, in the server's order.
    pub applications: Vec<Offer>,
    /// Something needs an update.
    pub needs_update: bool,
    /// It needs a reboot.
    pub needs_reboot: bool,
    /// Maintenance of the first Incus application.
    pub in_maintenance: Maintenance,
    /// Components that no update of the channel carries: worth a warning.
    pub missing: Vec<String>,
}

/// Compares what is installed with what the server's channel offers.
pub fn compute(installed: &Installed, channel: &ChannelIndex) -> Computed {
    let mut missing = Vec::new();
    let mut offer = |component: &str, version: &str| {
        let available = channel.available(component);
        if available.is_none() && !channel.empty && !component.is_empty() {
            missing.push(component.to_owned());
        }
        Offer {
            needs_update: available.is_some_and(|available| is_newer(available, version)),
            available_version: available.map(str::to_owned),
        }
    };
    let os = offer(&installed.os.name, installed.os.installed());
    let applications: Vec<_> = installed.applications.iter().map(|a| offer(&a.name, &a.version)).collect();
    Computed {
        needs_update: os.needs_update || applications.iter().any(|a| a.needs_update),
        needs_reboot: installed.os.needs_reboot,
        in_maintenance: installed.in_maintenance(),
        os,
        applications,
        missing,
    }
}

/// What an update has to reach: the versions offered when it was started, so that a newer one that enters the
/// channel meanwhile does not keep it from ending (`servers.md` 16, defect 9).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct UpdateGoal(pub BTreeMap<String, String>);

impl UpdateGoal {
    /// The components that need an update now, each with the version offered now.
    pub fn new(installed: &Installed, computed: &Computed) -> Self {
        let names = std::iter::once(&installed.os.name).chain(installed.applications.iter().map(|a| &a.name));
        let offers = std::iter::once(&computed.os).chain(&computed.applications);
        let wanted = names.zip(offers).filter(|(_, offer)| offer.needs_update);
        Self(wanted.filter_map(|(name, offer)| Some((name.clone(), offer.available_version.clone()?))).collect())
    }

    /// Whether every component is at least at its version; one that is gone needs none.
    pub fn is_reached(&self, installed: &Installed) -> bool {
        self.0.iter().all(|(component, wanted)| {
            if *component == installed.os.name {
                return !is_newer(wanted, installed.os.installed());
            }
            let application = installed.applications.iter().find(|a| a.name == *component);
            application.is_none_or(|a| !is_newer(wanted, &a.version))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn installed(os: &str, next: &str, incus: &str) -> Installed {
        Installed {
            os: InstalledOs {
                name: "IncusOS".into(),
                version: os.into(),
                version_next: next.into(),
                needs_reboot: false,
            },
            applications: vec![InstalledApplication {
                name: "incus".into(),
                version: incus.into(),
                ..Default::default()
            }],
        }
    }

    fn channel(updates: &[(&'static str, &'static [&'static str])]) -> ChannelIndex {
        ChannelIndex::new(updates.iter().map(|(v, f)| (*v, f.iter().copied())))
    }

    #[test]
    fn versions_compare_as_hexadecimal_numbers() {
        for (a, b, newer) in [
            ("202511020000", "202511010000", true),
            ("202511010000", "202511010000", false),
            ("a", "9", true),
            ("10", "f", true),
            ("0010", "10", false),
            ("1", "", true),
            ("1", "7.0.2", true),
            ("7.0.2", "1", false),
            ("zz", "yy", false),
            ("", "", false),
            ("-1", "x", true),
            ("ffffffffffffffff", "1", false),
        ] {
            assert_eq!(is_newer(a, b), newer, "{a:?} newer than {b:?}");
        }
    }

    #[test]
    fn files_name_their_component() {
        for (file, component, yes) in [
            ("x86_64/incus.raw.gz", "incus", true),
            ("incus.raw.gz", "incus", true),
            ("x86_64/incus-lts-7.0.raw.gz", "incus", false),
            ("x86_64/incus-lts-7.0.raw.gz", "incus-lts-7.0", true),
            ("x86_64/IncusOS_202511010000.img.gz", "IncusOS", true),
            ("x86_64/IncusOS_1_2.img.gz", "IncusOS", true),
            ("x86_64/IncusOS_202511010000.iso.gz", "IncusOS", false),
            ("x86_64/IncusOS.img.gz", "IncusOS", false),
            ("x86_64/incus.raw", "incus", false),
        ] {
            assert_eq!(provides(file, component), yes, "{file} {component}");
        }
    }

    #[test]
    fn the_first_update_that_carries_a_component_wins() {
        let index = channel(&[
            ("3", &["x86_64/incus.raw.gz"]),
            ("2", &["x86_64/IncusOS_2.img.gz", "x86_64/incus.raw.gz"]),
            ("1", &["x86_64/IncusOS_1.img.gz", "x86_64/debug.raw.gz"]),
        ]);
        assert_eq!(index.available("incus"), Some("3"));
        assert_eq!(index.available("IncusOS"), Some("2"));
        assert_eq!(index.available("debug"), Some("1"));
        let computed = compute(&installed("1", "", "3"), &index);
        assert!(computed.os.needs_update && !computed.applications[0].needs_update && computed.needs_update);
        // What is installed and only waits for a reboot counts.
        assert!(!compute(&installed("1", "2", "3"), &index).needs_update);
    }

    #[test]
    fn components_without_an_update_are_named_unless_the_channel_is_empty() {
        let mut server = installed("1", "", "1");
        server.applications.push(InstalledApplication {
            name: "debug".into(),
            version: "1".into(),
            ..Default::default()
        });
        let some = compute(&server, &channel(&[("2", &["IncusOS_2.img.gz", "incus.raw.gz"])]));
        assert_eq!(some.missing, ["debug"]);
        assert_eq!(some.applications[1], Offer::default());
        let none = compute(&server, &channel(&[]));
        assert_eq!(none, Computed { applications: vec![Offer::default(); 2], ..Default::default() });
        // An update without any file of ours still makes the components missing.
        assert_eq!(compute(&server, &channel(&[("2", &[])])).missing, ["IncusOS", "incus", "debug"]);
        // A server that never registered has no components.
        assert_eq!(compute(&Installed::default(), &channel(&[("2", &["incus.raw.gz"])])).missing, Vec::<String>::new());
    }

    #[test]
    fn maintenance_is_the_first_incus_applications() {
        let mut server = installed("1", "", "1");
        server.applications[0].in_maintenance = Maintenance::Evacuated;
        let debug =
            InstalledApplication { name: "debug".into(), in_maintenance: Maintenance::Restoring, ..Default::default() };
        server.applications.insert(0, debug);
        assert_eq!(server.in_maintenance(), Maintenance::Evacuated);
        assert!(server.has_incus());
        assert_eq!(Installed::default().in_maintenance(), Maintenance::None);
    }

    #[test]
    fn a_goal_holds_what_was_offered_when_it_was_made() {
        let before = installed("1", "", "1");
        let offered = compute(&before, &channel(&[("2", &["IncusOS_2.img.gz", "incus.raw.gz"])]));
        let goal = UpdateGoal::new(&before, &offered);
        assert_eq!(goal.0.len(), 2);
        assert!(!goal.is_reached(&before));
        assert!(!goal.is_reached(&installed("1", "2", "1")));
        assert!(goal.is_reached(&installed("1", "2", "2")));
        assert!(goal.is_reached(&installed("3", "", "2")));
    }
}
