//! How machines go wrong, and which ones.

use std::fmt;
use std::str::FromStr;

use crate::spec::draw;

/// One way to go wrong, for as long as it lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fault {
    /// Takes the request and never answers.
    Hang,
    /// Does not listen. Behind a listener that is shared ([`crate::Bind::Shared`]) it resets connections at once.
    Refuse,
    /// Answers late.
    Slow,
    /// Presents another certificate than the one it registered with.
    WrongCertificate,
    /// Answers with what is no JSON.
    Garbage,
    /// Closes the connection in the middle of an answer.
    HalfAnswer,
    /// Stays down after a reboot.
    RebootNeverReturns,
    /// Its clock is a day ahead: its certificate is not valid yet.
    ClockSkew,
}

/// All of them.
pub const ALL: [Fault; 8] = [
    Fault::Hang,
    Fault::Refuse,
    Fault::Slow,
    Fault::WrongCertificate,
    Fault::Garbage,
    Fault::HalfAnswer,
    Fault::RebootNeverReturns,
    Fault::ClockSkew,
];

impl Fault {
    /// Its name on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hang => "hang",
            Self::Refuse => "refuse",
            Self::Slow => "slow",
            Self::WrongCertificate => "wrong-certificate",
            Self::Garbage => "garbage",
            Self::HalfAnswer => "half-answer",
            Self::RebootNeverReturns => "reboot-never-returns",
            Self::ClockSkew => "clock-skew",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How many machines have a fault: `hang=2`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FaultCount {
    /// Which.
    pub fault: Fault,
    /// Of how many machines.
    pub count: usize,
}

/// A text that is no `fault=count`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FaultError {
    /// No such fault.
    #[error("there is no fault {0:?}; there are {known}", known = ALL.map(Fault::as_str).join(", "))]
    Unknown(String),
    /// Not a number.
    #[error("{0:?} is no number of machines")]
    Count(String),
}

impl FromStr for Fault {
    type Err = FaultError;
    fn from_str(text: &str) -> Result<Self, FaultError> {
        ALL.into_iter().find(|f| f.as_str() == text).ok_or_else(|| FaultError::Unknown(text.to_owned()))
    }
}

impl FromStr for FaultCount {
    type Err = FaultError;
    fn from_str(text: &str) -> Result<Self, FaultError> {
        let (fault, count) = text.split_once('=').unwrap_or((text, "1"));
        let count = count.parse().map_err(|_| FaultError::Count(count.to_owned()))?;
        Ok(Self { fault: fault.parse()?, count })
    }
}

/// The fault of each of `machines` machines: which ones are hit is decided by the seed, and nobody is hit twice.
/// Faults that find no machine left are dropped.
pub fn assign(seed: u64, machines: usize, faults: &[FaultCount]) -> Vec<Option<Fault>> {
    let mut order: Vec<usize> = (0..machines).collect();
    order.sort_by_key(|index| draw(seed, index + 1, "fault"));
    let mut assigned = vec![None; machines];
    let wanted = faults.iter().flat_map(|f| std::iter::repeat_n(f.fault, f.count.min(machines)));
    for (index, fault) in order.into_iter().zip(wanted) {
        assigned[index] = Some(fault);
    }
    assigned
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_both_ways() {
        for fault in ALL {
            assert_eq!(fault.to_string().parse(), Ok(fault));
        }
        assert_eq!("hang=2".parse(), Ok(FaultCount { fault: Fault::Hang, count: 2 }));
        assert_eq!("slow".parse(), Ok(FaultCount { fault: Fault::Slow, count: 1 }));
        assert_eq!("hang=x".parse::<FaultCount>(), Err(FaultError::Count("x".to_owned())));
        assert!("quake=1".parse::<FaultCount>().unwrap_err().to_string().contains("reboot-never-returns"));
    }

    #[test]
    fn the_seed_decides_who_is_hit() {
        let faults = ["hang=3".parse().unwrap(), "refuse=2".parse().unwrap()];
        let hit = assign(7, 100, &faults);
        let count = |fault| hit.iter().filter(|f| **f == Some(fault)).count();
        assert_eq!((count(Fault::Hang), count(Fault::Refuse)), (3, 2));
        assert_eq!(hit, assign(7, 100, &faults));
        assert_ne!(hit, assign(8, 100, &faults));
        assert_eq!(assign(7, 2, &faults).iter().flatten().count(), 2);
    }
}
