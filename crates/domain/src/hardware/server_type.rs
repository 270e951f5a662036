//! Server types: machines that can do the same. A type follows from the inventory, so nobody has to enter it; its fingerprint
//! is over what decides that alone, and carries the version of that choice, so that a later version does not make every type
//! of today another one: a type may have several fingerprints.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::inventory::{DiskClass, Inventory};

/// The version of [`Fingerprint::of`].
pub const VERSION: u32 = 1;

/// Groups of disks that a label names.
const LABEL_GROUPS: usize = 3;

/// What machines of one type have in common. Serial numbers and addresses are not in it, nor are the vendor of the machine
/// and the model of a disk: neither changes what it can do.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Specification {
    /// Architecture of the processors.
    pub architecture: String,
    /// Processors by model and cores.
    pub processors: Vec<ProcessorGroup>,
    /// Installed memory in GiB.
    pub memory_gib: u64,
    /// Disks by class and size.
    pub disks: Vec<DiskGroup>,
    /// Network cards by product.
    pub cards: Vec<CardGroup>,
    /// Accelerators by product.
    pub gpus: Vec<GpuGroup>,
}

/// Equal processors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessorGroup {
    /// How many.
    pub count: u64,
    /// Their model.
    pub model: String,
    /// Cores of each.
    pub cores: u64,
}

/// Equal disks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskGroup {
    /// How many.
    pub count: u64,
    /// What they are.
    pub class: DiskClass,
    /// Size of each in GB.
    pub gb: u64,
}

/// Equal network cards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CardGroup {
    /// How many.
    pub count: u64,
    /// `vendor:product` on the bus.
    pub id: String,
    /// Their name.
    pub name: String,
    /// Ports of each.
    pub ports: u64,
}

/// Equal accelerators.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GpuGroup {
    /// How many.
    pub count: u64,
    /// `vendor:product` on the bus.
    pub id: String,
    /// Their name.
    pub name: String,
}

/// Counts by key; the name of the first one is kept.
fn groups<K: Ord, T>(items: impl Iterator<Item = (K, T)>) -> impl Iterator<Item = (K, (u64, T))> {
    let mut counted = BTreeMap::new();
    for (key, name) in items {
        counted.entry(key).or_insert((0, name)).0 += 1;
    }
    counted.into_iter()
}

impl Specification {
    /// What an inventory amounts to.
    pub fn of(inventory: &Inventory) -> Self {
        let processors = groups(inventory.processors.iter().map(|p| ((&p.model, p.cores), ())));
        let disks = groups(inventory.disks.iter().map(|d| ((d.class, d.gb), ())));
        let cards = groups(inventory.cards.iter().map(|c| ((&c.id, c.ports.len() as u64), &c.name)));
        let gpus = groups(inventory.gpus.iter().map(|g| (&g.id, &g.name)));
        Self {
            architecture: inventory.architecture.clone(),
            processors: processors
                .map(|((model, cores), (count, ()))| ProcessorGroup { count, model: model.clone(), cores })
                .collect(),
            memory_gib: inventory.memory_gib,
            disks: disks.map(|((class, gb), (count, ()))| DiskGroup { count, class, gb }).collect(),
            cards: cards
                .map(|((id, ports), (count, name))| CardGroup { count, id: id.clone(), name: name.clone(), ports })
                .collect(),
            gpus: gpus.map(|(id, (count, name))| GpuGroup { count, id: id.clone(), name: name.clone() }).collect(),
        }
    }

    /// Cores of all processors.
    pub fn cores(&self) -> u64 {
        self.processors.iter().fold(0, |sum, p| sum.saturating_add(p.cores.saturating_mul(p.count)))
    }

    /// A name for people: class, cores, memory, disks and accelerators, such as `M.32C.256G.4xNVME-3.8T.2xA100`. Not unique:
    /// types that differ in the model of the processor or in a network card alone have the same one.
    pub fn label(&self) -> String {
        if self.processors.is_empty() && self.memory_gib == 0 {
            return "unknown".into();
        }
        let class = match self.architecture.as_str() {
            "aarch64" | "armv7l" => "A",
            "ppc64le" => "P",
            "s390x" => "S",
            "riscv64" => "R",
            _ => "M",
        };
        let mut label = format!("{class}.{}C.{}G", self.cores(), self.memory_gib);
        if self.disks.is_empty() {
            label.push_str(".diskless");
        }
        for (n, group) in self.disks.iter().take(LABEL_GROUPS).enumerate() {
            let join = if n == 0 { '.' } else { '+' };
            label.push_str(&format!("{join}{}x{}-{}", group.count, group.class.mark(), size(group.gb)));
        }
        let others: u64 = self.disks.iter().skip(LABEL_GROUPS).map(|group| group.count).sum();
        if others > 0 {
            label.push_str(&format!("+{others}"));
        }
        for group in self.gpus.iter().take(LABEL_GROUPS) {
            label.push_str(&format!(".{}x{}", group.count, gpu_mark(group)));
        }
        label
    }
}

/// `3.8T` of 3840 GB: what is printed on the disk, a digit behind the point below ten.
fn size(gb: u64) -> String {
    match gb {
        0..1000 => format!("{gb}G"),
        1000..10_000 if !(gb / 100).is_multiple_of(10) => format!("{}.{}T", gb / 1000, gb / 100 % 10),
        _ => format!("{}T", gb / 1000),
    }
}

/// `A100` of `GA100 [A100 PCIe 40GB]`: the first word of what the vendor calls it.
fn gpu_mark(group: &GpuGroup) -> String {
    let inner = group.name.split_once('[').map_or(group.name.as_str(), |(_, inner)| inner);
    let word = inner.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-')).find(|word| !word.is_empty());
    word.map_or_else(|| "GPU".into(), |word| word.chars().take(16).collect())
}

/// What tells types apart: `v1.` and 64 hex digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fingerprint(String);

impl Fingerprint {
    /// The fingerprint of a specification, in the present version. Names do not count: a newer list of names may have another
    /// one for the same card.
    pub fn of(specification: &Specification) -> Self {
        let mut facts = vec![
            format!("architecture {}", specification.architecture),
            format!("memory {}", specification.memory_gib),
        ];
        facts.extend(specification.processors.iter().map(|p| format!("processor {} {} {}", p.count, p.cores, p.model)));
        facts.extend(specification.disks.iter().map(|d| format!("disk {} {} {}", d.count, d.class.mark(), d.gb)));
        facts.extend(specification.cards.iter().map(|c| format!("card {} {} {}", c.count, c.ports, c.id)));
        facts.extend(specification.gpus.iter().map(|g| format!("gpu {} {}", g.count, g.id)));
        let digest = Sha256::digest(facts.join("\n"));
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        Self(format!("v{VERSION}.{hex}"))
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}
