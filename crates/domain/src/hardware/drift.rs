//! What has changed in a machine's hardware, and what has to be done about it (`lifecycle.md` 1.5).

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::inventory::{Card, Disk, Gpu, Inventory};

/// What a change asks for, the gravest last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Nothing; it is recorded.
    Note,
    /// The same type with another serial number: re-registering is advised.
    Advice,
    /// Another network card, or another capacity: it has to be registered again before it is given to anybody.
    ReRegister,
    /// Another system UUID or serial number: this is not the machine of the record.
    Blocking,
}

/// One thing that is not as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum Change {
    /// Another system UUID.
    SystemUuid {
        /// Before.
        from: String,
        /// Now.
        to: String,
    },
    /// Another serial number of the system.
    SystemSerial {
        /// Before.
        from: String,
        /// Now.
        to: String,
    },
    /// Another serial number of the chassis.
    ChassisSerial {
        /// Before.
        from: String,
        /// Now.
        to: String,
    },
    /// Another mainboard, under the machine's own UUID and serial number: its vendor's service has written them to it.
    BoardSerial {
        /// Before.
        from: String,
        /// Now.
        to: String,
    },
    /// The firmware has another version.
    Firmware {
        /// Before.
        from: String,
        /// Now.
        to: String,
    },
    /// Other processors.
    Processors {
        /// Before, in words.
        from: String,
        /// Now, in words.
        to: String,
    },
    /// As many cores, but other threads: a setting of the firmware.
    Threads {
        /// Before.
        from: u64,
        /// Now.
        to: u64,
    },
    /// More or less memory, in GiB.
    Memory {
        /// Before.
        from: u64,
        /// Now.
        to: u64,
    },
    /// Another disk of the same class and size.
    DiskReplaced {
        /// Before.
        from: Disk,
        /// Now.
        to: Disk,
    },
    /// A disk more.
    DiskAdded {
        /// Which.
        disk: Disk,
    },
    /// A disk less.
    DiskRemoved {
        /// Which.
        disk: Disk,
    },
    /// A network card with a hardware address that was not there before, or one more.
    CardAdded {
        /// Which.
        card: Card,
    },
    /// A network card is gone.
    CardRemoved {
        /// Which.
        card: Card,
    },
    /// An accelerator more.
    GpuAdded {
        /// Which.
        gpu: Gpu,
    },
    /// An accelerator less.
    GpuRemoved {
        /// Which.
        gpu: Gpu,
    },
}

impl Change {
    /// What it asks for.
    pub const fn severity(&self) -> Severity {
        match self {
            Self::Firmware { .. } | Self::Threads { .. } => Severity::Note,
            Self::DiskReplaced { .. } => Severity::Advice,
            Self::BoardSerial { .. }
            | Self::Processors { .. }
            | Self::Memory { .. }
            | Self::DiskAdded { .. }
            | Self::DiskRemoved { .. }
            | Self::CardAdded { .. }
            | Self::CardRemoved { .. }
            | Self::GpuAdded { .. }
            | Self::GpuRemoved { .. } => Severity::ReRegister,
            Self::SystemUuid { .. } | Self::SystemSerial { .. } | Self::ChassisSerial { .. } => Severity::Blocking,
        }
    }
}

impl std::fmt::Display for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::SystemUuid { from, to } => write!(f, "the system UUID was {from} and is {to}"),
            Self::SystemSerial { from, to } => write!(f, "the serial number was {from} and is {to}"),
            Self::ChassisSerial { from, to } => write!(f, "the serial number of the chassis was {from} and is {to}"),
            Self::BoardSerial { from, to } => write!(f, "the serial number of the mainboard was {from} and is {to}"),
            Self::Firmware { from, to } => write!(f, "the firmware was {from:?} and is {to:?}"),
            Self::Processors { from, to } => write!(f, "the processors were {from} and are {to}"),
            Self::Threads { from, to } => write!(f, "there were {from} threads and are {to}"),
            Self::Memory { from, to } => write!(f, "the memory was {from} GiB and is {to} GiB"),
            Self::DiskReplaced { from, to } => write!(f, "{} is now {}", Words(from), Words(to)),
            Self::DiskAdded { disk } => write!(f, "{} is new", Words(disk)),
            Self::DiskRemoved { disk } => write!(f, "{} is gone", Words(disk)),
            Self::CardAdded { card } => write!(f, "{} is new", Words(card)),
            Self::CardRemoved { card } => write!(f, "{} is gone", Words(card)),
            Self::GpuAdded { gpu } => write!(f, "the accelerator {} is new", named(&gpu.name, &gpu.id)),
            Self::GpuRemoved { gpu } => write!(f, "the accelerator {} is gone", named(&gpu.name, &gpu.id)),
        }
    }
}

/// A part in words.
struct Words<'a, T>(&'a T);

impl std::fmt::Display for Words<'_, Disk> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Disk { class, gb, model, serial } = self.0;
        write!(f, "the {} disk {model:?} of {gb} GB", class.mark())?;
        serial.as_ref().map_or(Ok(()), |serial| write!(f, " with serial number {serial}"))
    }
}

impl std::fmt::Display for Words<'_, Card> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Card { id, name, ports } = self.0;
        let macs: Vec<&str> = ports.iter().map(|port| port.mac.as_str()).collect();
        write!(f, "the network card {} with {}", named(name, id), macs.join(", "))
    }
}

fn named<'a>(name: &'a str, id: &'a str) -> &'a str {
    if name.is_empty() { id } else { name }
}

/// Everything that differs. What is not known on one side is no difference: a machine that does not tell its serial number any
/// more is still the same machine.
pub fn difference(old: &Inventory, new: &Inventory) -> Vec<Change> {
    let mut found = Vec::new();
    identity(old, new, &mut found);
    processors(old, new, &mut found);
    if old.memory_gib != new.memory_gib {
        found.push(Change::Memory { from: old.memory_gib, to: new.memory_gib });
    }
    disks(old, new, &mut found);
    cards(old, new, &mut found);
    let (gone, come) = without_common(&old.gpus, &new.gpus, |a, b| a.id == b.id);
    found.extend(gone.into_iter().map(|gpu| Change::GpuRemoved { gpu: gpu.clone() }));
    found.extend(come.into_iter().map(|gpu| Change::GpuAdded { gpu: gpu.clone() }));
    found
}

/// What the differences ask for: the gravest; none when nothing differs.
pub fn drift(changes: &[Change]) -> Option<Severity> {
    changes.iter().map(Change::severity).max()
}

fn identity(old: &Inventory, new: &Inventory, found: &mut Vec<Change>) {
    let (a, b) = (&old.system, &new.system);
    let differ = |from: &Option<String>, to: &Option<String>| match (from, to) {
        (Some(from), Some(to)) if from != to => Some((from.clone(), to.clone())),
        _ => None,
    };
    found.extend(differ(&a.uuid, &b.uuid).map(|(from, to)| Change::SystemUuid { from, to }));
    found.extend(differ(&a.serial, &b.serial).map(|(from, to)| Change::SystemSerial { from, to }));
    let chassis = differ(&a.chassis_serial, &b.chassis_serial);
    found.extend(chassis.map(|(from, to)| Change::ChassisSerial { from, to }));
    let board = differ(&a.board_serial, &b.board_serial);
    found.extend(board.map(|(from, to)| Change::BoardSerial { from, to }));
    if a.firmware != b.firmware && !a.firmware.is_empty() && !b.firmware.is_empty() {
        found.push(Change::Firmware { from: a.firmware.clone(), to: b.firmware.clone() });
    }
}

fn processors(old: &Inventory, new: &Inventory, found: &mut Vec<Change>) {
    let facts = |inventory: &Inventory| {
        let processors = inventory.processors.iter().map(|p| (p.model.clone(), p.cores));
        (inventory.architecture.clone(), processors.collect::<Vec<_>>())
    };
    let threads = |inventory: &Inventory| inventory.processors.iter().map(|p| p.threads).sum::<u64>();
    if facts(old) != facts(new) {
        let words = |inventory: &Inventory| {
            let each = inventory.processors.iter().map(|p| format!("{} with {} cores", p.model, p.cores));
            let all: Vec<_> = each.collect();
            if all.is_empty() { "none".into() } else { format!("{} ({})", all.join(", "), inventory.architecture) }
        };
        found.push(Change::Processors { from: words(old), to: words(new) });
    } else if threads(old) != threads(new) {
        found.push(Change::Threads { from: threads(old), to: threads(new) });
    }
}

/// What is on one side only, of two lists in which each item has at most one partner.
fn without_common<'a, T>(old: &'a [T], new: &'a [T], same: impl Fn(&T, &T) -> bool) -> (Vec<&'a T>, Vec<&'a T>) {
    let mut come: Vec<&T> = new.iter().collect();
    let gone = old.iter().filter(|a| match come.iter().position(|b| same(a, b)) {
        Some(partner) => {
            come.remove(partner);
            false
        }
        None => true,
    });
    let gone = gone.collect();
    (gone, come)
}

fn disks(old: &Inventory, new: &Inventory, found: &mut Vec<Change>) {
    let kind = |d: &Disk| (d.class, d.gb);
    let same = |a: &Disk, b: &Disk| match (&a.serial, &b.serial) {
        (Some(x), Some(y)) => x == y && kind(a) == kind(b),
        _ => false,
    };
    let (gone, come) = without_common(&old.disks, &new.disks, same);
    // Of those without a serial number on one side, equal models are the same disk.
    let alike =
        |a: &&Disk, b: &&Disk| kind(a) == kind(b) && a.model == b.model && (a.serial.is_none() || b.serial.is_none());
    let (gone, come) = without_common(&gone, &come, alike);
    let (mut gone, mut come): (Vec<&Disk>, Vec<&Disk>) =
        (gone.into_iter().copied().collect(), come.into_iter().copied().collect());
    gone.retain(|from| match come.iter().position(|to| kind(from) == kind(to)) {
        Some(partner) => {
            let to = come.remove(partner);
            found.push(Change::DiskReplaced { from: (*from).clone(), to: to.clone() });
            false
        }
        None => true,
    });
    found.extend(gone.into_iter().map(|disk| Change::DiskRemoved { disk: disk.clone() }));
    found.extend(come.into_iter().map(|disk| Change::DiskAdded { disk: disk.clone() }));
}

/// A card is known again by its product and an address. The ports of a bond show one address on all of them, so an address that
/// is not there any more is none that went, and as many may come back as were hidden.
fn cards(old: &Inventory, new: &Inventory, found: &mut Vec<Change>) {
    let make = |card: &Card| (card.id.clone(), card.ports.len());
    let (known, mut hidden) = (old.macs(), hidden_ports(old));
    let known: BTreeSet<&str> = known.into_iter().collect();
    let same =
        |a: &Card, b: &Card| make(a) == make(b) && a.ports.iter().any(|p| b.ports.iter().any(|q| p.mac == q.mac));
    let (gone, come) = without_common(&old.cards, &new.cards, same);
    // Of those that share no address: equal products whose addresses are all known, or were hidden, are the same card.
    let mut left: Vec<&Card> = gone;
    let mut added = Vec::new();
    for card in come {
        let fresh = card.ports.iter().filter(|p| !p.mac.is_empty() && !known.contains(p.mac.as_str())).count();
        let partner = left.iter().position(|other| make(other) == make(card)).filter(|_| fresh <= hidden);
        match partner {
            Some(partner) => {
                hidden -= fresh;
                left.remove(partner);
            }
            None => added.push(card),
        }
    }
    found.extend(left.into_iter().map(|card| Change::CardRemoved { card: card.clone() }));
    found.extend(added.into_iter().map(|card| Change::CardAdded { card: card.clone() }));
}

/// Ports whose own address is not seen.
fn hidden_ports(inventory: &Inventory) -> usize {
    let ports: usize = inventory.cards.iter().map(|card| card.ports.len()).sum();
    ports.saturating_sub(inventory.macs().len())
}
