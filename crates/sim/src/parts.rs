//! What was changed in a machine since it left the factory.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

use crate::spec::{Spec, draw, serial_of};

/// Somebody opened the machine, or its firmware tells something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Alteration {
    /// One disk was replaced by another of the same kind.
    OtherDisk,
    /// One disk was taken out.
    FewerDisks,
    /// It has twice the memory.
    MoreMemory,
    /// One of its network cards was replaced by another of the same kind.
    OtherCard,
    /// Its mainboard was replaced: another UUID, another serial number.
    OtherBoard,
    /// It tells the serial number of another machine of the fleet.
    ForeignSerial,
}

/// All of them.
pub const ALL: [Alteration; 6] = [
    Alteration::OtherDisk,
    Alteration::FewerDisks,
    Alteration::MoreMemory,
    Alteration::OtherCard,
    Alteration::OtherBoard,
    Alteration::ForeignSerial,
];

impl Alteration {
    /// Its name on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OtherDisk => "other-disk",
            Self::FewerDisks => "fewer-disks",
            Self::MoreMemory => "more-memory",
            Self::OtherCard => "other-card",
            Self::OtherBoard => "other-board",
            Self::ForeignSerial => "foreign-serial",
        }
    }
}

impl fmt::Display for Alteration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How many machines are altered so: `other-disk=2`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AlterationCount {
    /// How.
    pub alteration: Alteration,
    /// How many machines.
    pub count: usize,
}

/// A text that is no `alteration=count`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AlterationError {
    /// No such alteration.
    #[error("there is no alteration {0:?}; there are {known}", known = ALL.map(Alteration::as_str).join(", "))]
    Unknown(String),
    /// Not a number.
    #[error("{0:?} is no number of machines")]
    Count(String),
}

impl FromStr for Alteration {
    type Err = AlterationError;
    fn from_str(text: &str) -> Result<Self, AlterationError> {
        ALL.into_iter().find(|a| a.as_str() == text).ok_or_else(|| AlterationError::Unknown(text.to_owned()))
    }
}

impl FromStr for AlterationCount {
    type Err = AlterationError;
    fn from_str(text: &str) -> Result<Self, AlterationError> {
        let (alteration, count) = text.split_once('=').unwrap_or((text, "1"));
        let count = count.parse().map_err(|_| AlterationError::Count(count.to_owned()))?;
        Ok(Self { alteration: alteration.parse()?, count })
    }
}

/// How each of `machines` machines is altered when it is reset: which ones is decided by the seed, and none twice.
pub fn assign(seed: u64, machines: usize, wanted: &[AlterationCount]) -> Vec<Option<Alteration>> {
    let mut order: Vec<usize> = (0..machines).collect();
    order.sort_by_key(|index| draw(seed, index + 1, "alteration"));
    let mut assigned = vec![None; machines];
    let wanted = wanted.iter().flat_map(|a| std::iter::repeat_n(a.alteration, a.count.min(machines)));
    for (index, alteration) in order.into_iter().zip(wanted) {
        assigned[index] = Some(alteration);
    }
    assigned
}

/// The parts that can be changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parts {
    /// How often the disk in each slot was replaced.
    pub disks: Vec<u32>,
    /// Memory in GiB.
    pub memory_gib: u64,
    /// How often its second network cards were replaced.
    pub cards: u8,
    /// UUID of its mainboard, where that is not the first.
    pub board: Option<Uuid>,
    /// The serial number that it tells, where that is not its own.
    pub serial: Option<String>,
}

impl Default for Parts {
    fn default() -> Self {
        Self { disks: vec![0; 5], memory_gib: 128, cards: 0, board: None, serial: None }
    }
}

impl Spec {
    /// Changes a part.
    pub fn alter(&mut self, alteration: Alteration) {
        match alteration {
            Alteration::OtherDisk => self.parts.disks.iter_mut().rev().take(1).for_each(|times| *times += 1),
            Alteration::FewerDisks => drop(self.parts.disks.pop()),
            Alteration::MoreMemory => self.parts.memory_gib *= 2,
            Alteration::OtherCard => self.parts.cards = self.parts.cards.wrapping_add(1),
            Alteration::OtherBoard => {
                let last = self.firmware_uuid();
                self.parts.board = Some(Uuid::new_v5(&last, b"board"));
            }
            Alteration::ForeignSerial => self.parts.serial = Some(serial_of(self.neighbour)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::documents;

    #[test]
    fn names_go_both_ways() {
        for alteration in ALL {
            assert_eq!(alteration.to_string().parse(), Ok(alteration));
        }
        let count = AlterationCount { alteration: Alteration::OtherBoard, count: 2 };
        assert_eq!("other-board=2".parse(), Ok(count));
        assert_eq!("other-disk=x".parse::<AlterationCount>(), Err(AlterationError::Count("x".into())));
        assert!("rust=1".parse::<AlterationCount>().unwrap_err().to_string().contains("foreign-serial"));
    }

    #[test]
    fn each_alteration_shows_and_shows_nothing_else() {
        let new = || Spec::new(1, 7, "127.64.0.7:8443".parse().unwrap(), "202511010000", "stable", 0);
        let before = documents::resources(&new());
        for (alteration, places) in [
            (Alteration::OtherDisk, &["storage"][..]),
            (Alteration::FewerDisks, &["storage"]),
            (Alteration::MoreMemory, &["memory"]),
            (Alteration::OtherCard, &["network"]),
            (Alteration::OtherBoard, &["system"]),
            (Alteration::ForeignSerial, &["system"]),
        ] {
            let mut spec = new();
            spec.alter(alteration);
            let after = documents::resources(&spec);
            let sections = before.as_object().unwrap();
            let changed: Vec<&str> = sections
                .iter()
                .filter(|(key, value)| after[key.as_str()] != **value)
                .map(|(key, _)| key.as_str())
                .collect();
            assert_eq!(changed, places, "{alteration}");
        }
        let mut spec = new();
        spec.alter(Alteration::ForeignSerial);
        assert_eq!(spec.serial(), Spec::new(1, 1, spec.address, "", "", 0).serial());
    }
}
