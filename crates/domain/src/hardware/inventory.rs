//! The inventory: what of a machine's hardware stays the same from one boot to the next. No names of devices and no places on a
//! bus, which the kernel gives anew at every boot, and no load, link or counter.

use serde::{Deserialize, Serialize};

/// A machine's hardware. Each list has one order, so that the same hardware is always the same value.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Inventory {
    /// What it is as a whole.
    pub system: System,
    /// Architecture of its processors, such as `x86_64`; empty when not known.
    pub architecture: String,
    /// Its processors, one a socket.
    pub processors: Vec<Processor>,
    /// Installed memory in GiB: what the kernel reports, rounded up to what modules come in.
    pub memory_gib: u64,
    /// Its disks, without removable, virtual and remote ones.
    pub disks: Vec<Disk>,
    /// Its network cards.
    pub cards: Vec<Card>,
    /// Its accelerators, without the graphics of the BMC.
    pub gpus: Vec<Gpu>,
}

/// A machine as a whole, as its firmware says. A vendor's placeholder (`To Be Filled By O.E.M.`) counts as not known.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct System {
    /// SMBIOS system UUID, lower case.
    pub uuid: Option<String>,
    /// Who made it.
    pub vendor: String,
    /// Product name.
    pub product: String,
    /// Serial number of the system.
    pub serial: Option<String>,
    /// Vendor of the chassis.
    pub chassis_vendor: String,
    /// Serial number of the chassis.
    pub chassis_serial: Option<String>,
    /// Serial number of the mainboard.
    pub board_serial: Option<String>,
    /// Version of its firmware.
    pub firmware: String,
}

impl System {
    /// By what it is told apart from others of its vendor: its own serial number, else that of its chassis. The system's comes
    /// first, because several machines may share a chassis.
    pub fn identifying_serial(&self) -> Option<(&str, &str)> {
        match (&self.serial, &self.chassis_serial) {
            (Some(serial), _) => Some((serial, &self.vendor)),
            (None, Some(serial)) => Some((serial, &self.chassis_vendor)),
            (None, None) => None,
        }
    }
}

/// A processor.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Processor {
    /// Its model.
    pub model: String,
    /// Cores.
    pub cores: u64,
    /// Threads of all cores; a setting of the firmware may switch half of them off.
    pub threads: u64,
}

/// What a disk is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DiskClass {
    /// NVMe.
    Nvme,
    /// Flash behind another interface.
    Ssd,
    /// It turns.
    Hdd,
    /// Not known.
    #[default]
    Other,
}

impl DiskClass {
    /// In labels.
    pub const fn mark(self) -> &'static str {
        match self {
            Self::Nvme => "NVME",
            Self::Ssd => "SSD",
            Self::Hdd => "HDD",
            Self::Other => "DISK",
        }
    }
}

/// A disk.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Disk {
    /// What it is.
    pub class: DiskClass,
    /// Size in GB (10^9 bytes), rounded: disks of one kind differ by a few blocks.
    pub gb: u64,
    /// Its model.
    pub model: String,
    /// Its serial number, else its world-wide name.
    pub serial: Option<String>,
}

/// A network card.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Card {
    /// `vendor:product` in hex, as on the bus; without those, their names.
    pub id: String,
    /// Its name, for people; a newer list of names may have another one for the same card.
    pub name: String,
    /// Its ports.
    pub ports: Vec<Port>,
}

/// A port of a network card.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Port {
    /// Its hardware address, lower case; empty when not known.
    pub mac: String,
    /// The fastest that it says it can, in Mbit/s; 0 when it does not say. With pluggable optics a matter of the module.
    pub speed: u64,
}

/// An accelerator.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Gpu {
    /// `vendor:product` in hex, as on the bus; without those, their names.
    pub id: String,
    /// Its name, for people.
    pub name: String,
}

impl Inventory {
    /// Whether it tells nothing of what the machine can do: such an answer says that the machine does not know, not that it
    /// has lost all of its hardware.
    pub fn says_nothing(&self) -> bool {
        self.processors.is_empty() && self.memory_gib == 0
    }

    /// Cores of all processors.
    pub fn cores(&self) -> u64 {
        self.processors.iter().fold(0, |sum, p| sum.saturating_add(p.cores))
    }

    /// The hardware addresses of its ports, each once.
    pub fn macs(&self) -> Vec<&str> {
        let ports = self.cards.iter().flat_map(|card| &card.ports);
        let mut macs: Vec<&str> = ports.map(|port| port.mac.as_str()).filter(|mac| !mac.is_empty()).collect();
        macs.sort_unstable();
        macs.dedup();
        macs
    }
}
