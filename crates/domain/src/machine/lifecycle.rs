//! The ten states, the thirty edges between them, and why there are no others (`lifecycle.md` 1.1-1.3).

use serde::{Deserialize, Serialize};

/// Where a machine is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lifecycle {
    /// First pass of a new, or unused and re-registered, machine.
    Registering,
    /// Known and not offered.
    Unavailable,
    /// Healthy, may be taken by a new allocation.
    Available,
    /// Available to one holder only.
    AvailableReserved,
    /// Allocated.
    Used,
    /// Allocated and going through registration again.
    UsedRegistering,
    /// Being made fit for the next owner.
    Cleaning,
    /// A person found a fault.
    Defective,
    /// Removed for good; this record is a tombstone.
    Decommissioned,
    /// No longer needed; kept for audit.
    RemovedFromRack,
}

use Lifecycle::*;

impl Lifecycle {
    /// Every state, in the order of the contract's matrix.
    pub const ALL: [Self; 10] = [
        Registering,
        Unavailable,
        Available,
        AvailableReserved,
        Used,
        UsedRegistering,
        Cleaning,
        Defective,
        Decommissioned,
        RemovedFromRack,
    ];

    /// The states a person may set by hand.
    pub const BUTTONS: [Self; 4] = [Available, Unavailable, Defective, RemovedFromRack];

    /// The text on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Registering => "registering",
            Unavailable => "unavailable",
            Available => "available",
            AvailableReserved => "available_reserved",
            Used => "used",
            UsedRegistering => "used_registering",
            Cleaning => "cleaning",
            Defective => "defective",
            Decommissioned => "decommissioned",
            RemovedFromRack => "removed_from_rack",
        }
    }

    /// Whether a machine in it is allocated.
    pub const fn is_allocated(self) -> bool {
        matches!(self, Used | UsedRegistering)
    }

    /// Whether it is in the pool that allocations take from.
    pub const fn is_pool(self) -> bool {
        matches!(self, Available | AvailableReserved)
    }

    /// Whether nothing of it is left but the record.
    pub const fn is_inert(self) -> bool {
        matches!(self, Decommissioned | RemovedFromRack)
    }

    /// Its place in the matrix.
    const fn index(self) -> usize {
        self as usize
    }
}

impl std::fmt::Display for Lifecycle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for Lifecycle {
    type Err = UnknownLifecycle;
    fn from_str(s: &str) -> Result<Self, UnknownLifecycle> {
        Self::ALL.into_iter().find(|l| l.as_str() == s).ok_or_else(|| UnknownLifecycle(s.to_owned()))
    }
}

/// A text that names no state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no lifecycle state")]
pub struct UnknownLifecycle(pub String);

/// Who writes the new state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// `A`: the system on its own.
    System,
    /// `T`: a person starts a process, the system writes.
    Started,
    /// `M`: a person by hand.
    Manual,
    /// `M*/A`: a person by hand after a failure, or the system.
    ManualOrSystem,
}

/// One allowed change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edge {
    /// Its number in the contract.
    pub number: u8,
    /// The state before.
    pub from: Lifecycle,
    /// The state after.
    pub to: Lifecycle,
    /// Who writes it.
    pub kind: Kind,
    /// `*`: for a person, only once the running operation has failed or was aborted.
    pub after_failure: bool,
}

/// Writes one line of the table.
const fn edge(number: u8, from: Lifecycle, to: Lifecycle, kind: Kind, after_failure: bool) -> Edge {
    Edge { number, from, to, kind, after_failure }
}

/// The thirty allowed changes. Nothing else exists, except for births.
pub const EDGES: [Edge; 30] = [
    edge(1, Registering, Unavailable, Kind::System, false),
    edge(2, Registering, Defective, Kind::Manual, true),
    edge(3, Registering, RemovedFromRack, Kind::Manual, true),
    edge(4, Registering, Decommissioned, Kind::Started, true),
    edge(5, Unavailable, Available, Kind::Manual, false),
    edge(6, Unavailable, Registering, Kind::Started, false),
    edge(7, Unavailable, Defective, Kind::Manual, false),
    edge(8, Unavailable, RemovedFromRack, Kind::Manual, false),
    edge(9, Unavailable, Decommissioned, Kind::Started, false),
    edge(10, Unavailable, Cleaning, Kind::Started, false),
    edge(11, Available, Unavailable, Kind::Manual, false),
    edge(12, Available, AvailableReserved, Kind::System, false),
    edge(13, Available, Used, Kind::System, false),
    edge(14, Available, Defective, Kind::Manual, false),
    edge(15, Available, RemovedFromRack, Kind::Manual, false),
    edge(16, AvailableReserved, Available, Kind::System, false),
    edge(17, AvailableReserved, Used, Kind::System, false),
    edge(18, Used, UsedRegistering, Kind::Started, false),
    edge(19, Used, Cleaning, Kind::System, false),
    edge(20, UsedRegistering, Used, Kind::System, false),
    edge(21, Cleaning, Available, Kind::System, false),
    edge(22, Cleaning, Unavailable, Kind::ManualOrSystem, true),
    edge(23, Cleaning, Defective, Kind::Manual, true),
    edge(24, Defective, Available, Kind::Manual, false),
    edge(25, Defective, Unavailable, Kind::Manual, false),
    edge(26, Defective, RemovedFromRack, Kind::Manual, false),
    edge(27, Defective, Decommissioned, Kind::Started, false),
    edge(28, Defective, Cleaning, Kind::Started, false),
    edge(29, RemovedFromRack, Registering, Kind::Started, false),
    edge(30, RemovedFromRack, Decommissioned, Kind::Started, false),
];

/// The edge between two states.
pub fn find(from: Lifecycle, to: Lifecycle) -> Option<&'static Edge> {
    EDGES.iter().find(|e| e.from == from && e.to == to)
}

/// Why a change is not allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reason {
    /// Its number in the contract.
    pub number: u8,
    /// The rule.
    pub text: &'static str,
    /// What to do instead.
    pub way_out: &'static str,
}

/// Writes one reason.
const fn reason_line(number: u8, text: &'static str, way_out: &'static str) -> Reason {
    Reason { number, text, way_out }
}

/// The fifteen reasons.
pub const REASONS: [Reason; 15] = [
    reason_line(
        1,
        "only an allocation makes a machine used, and only out of the pool",
        "make it available, then allocate it",
    ),
    reason_line(2, "nobody takes a used machine out by hand", "release it; it is cleaned and comes back by itself"),
    reason_line(
        3,
        "a machine must not be in use when it is marked defective",
        "release it first, then mark it defective",
    ),
    reason_line(4, "a defective machine never becomes used", "repair it, set it available, then allocate it"),
    reason_line(
        5,
        "registration ends in unavailable; a person opens the machine",
        "let the registration end, then set it available",
    ),
    reason_line(
        6,
        "an unused machine is registered again from unavailable only",
        "set it unavailable first, then re-register",
    ),
    reason_line(
        7,
        "registering is for machines nobody uses, used_registering for machines in use",
        "re-register it in the state it is in",
    ),
    reason_line(
        8,
        "only a machine outside every infrastructure and unavailable is decommissioned",
        "release it if it is used, set it unavailable, then decommission it",
    ),
    reason_line(
        9,
        "only a subscription reserves a machine, and only an available one",
        "make the machine available and let the subscription bind it",
    ),
    reason_line(10, "the machine is reserved", "lift the reservation first"),
    reason_line(11, "a decommissioned record is final", "register the hardware again; it gets a new record"),
    reason_line(12, "a running process has to end, fail or be cancelled first", "wait for the operation, or cancel it"),
    reason_line(
        13,
        "disk clean-up during a registration is a step of the registration",
        "let the registration end, then clean the machine",
    ),
    reason_line(
        14,
        "cleaning follows a release, or a request on a machine outside the pool",
        "set it unavailable first, then clean it",
    ),
    reason_line(15, "nobody watched hardware that left the rack", "register it again first"),
];

/// A reason by its number.
pub fn reason(number: u8) -> Option<&'static Reason> {
    REASONS.iter().find(|r| r.number == number)
}

/// The reasons of the matrix, row by state before, column by state after; 0 where a change is allowed or none.
const MATRIX: [[u8; 10]; 10] = [
    [0, 0, 5, 9, 1, 7, 13, 0, 0, 0],
    [0, 0, 0, 9, 1, 7, 0, 0, 0, 0],
    [6, 0, 0, 0, 0, 7, 14, 0, 8, 0],
    [6, 10, 0, 0, 0, 7, 14, 10, 8, 10],
    [7, 2, 2, 9, 0, 0, 0, 3, 8, 2],
    [12, 12, 12, 9, 0, 0, 12, 3, 8, 12],
    [12, 0, 0, 9, 1, 7, 0, 0, 12, 12],
    [6, 0, 0, 9, 4, 7, 0, 0, 0, 0],
    [11, 11, 11, 11, 11, 11, 11, 11, 0, 11],
    [0, 15, 15, 9, 1, 7, 15, 15, 0, 0],
];

/// The same for births: a new record starts in registering or, adopted, in used_registering.
const BIRTHS: [u8; 10] = [0, 5, 5, 5, 1, 0, 14, 5, 11, 5];

/// Why a change is not allowed; none when it is, or when there is no change. `from` none is a birth.
pub fn forbidden(from: Option<Lifecycle>, to: Lifecycle) -> Option<&'static Reason> {
    let number = match from {
        Some(from) => MATRIX[from.index()][to.index()],
        None => BIRTHS[to.index()],
    };
    reason(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pair_is_an_edge_or_has_a_reason() {
        for from in Lifecycle::ALL {
            for to in Lifecycle::ALL {
                let allowed = find(from, to).is_some();
                assert_eq!(forbidden(Some(from), to).is_none(), allowed || from == to, "{from} {to}");
            }
        }
        for to in Lifecycle::ALL {
            assert_eq!(forbidden(None, to).is_none(), matches!(to, Registering | UsedRegistering), "birth in {to}");
        }
    }

    #[test]
    fn edges_and_reasons_are_numbered_and_edges_are_unique() {
        assert_eq!(EDGES.map(|e| e.number).to_vec(), (1..=30).collect::<Vec<u8>>());
        assert_eq!(REASONS.map(|r| r.number).to_vec(), (1..=15).collect::<Vec<u8>>());
        for e in EDGES {
            assert_eq!(find(e.from, e.to).map(|f| f.number), Some(e.number));
        }
        let used: std::collections::BTreeSet<_> = MATRIX.iter().flatten().chain(&BIRTHS).copied().collect();
        assert_eq!(used.into_iter().collect::<Vec<_>>(), (0..=15).collect::<Vec<u8>>());
    }

    #[test]
    fn the_kinds_match_who_may_press_what() {
        for e in EDGES {
            let by_hand = matches!(e.kind, Kind::Manual | Kind::ManualOrSystem);
            if by_hand {
                assert!(Lifecycle::BUTTONS.contains(&e.to), "edge {} sets a state without button", e.number);
            }
            if e.after_failure {
                assert!(matches!(e.from, Registering | Cleaning), "edge {}", e.number);
            }
        }
    }

    #[test]
    fn the_wire_has_the_same_states() {
        let mut ours: Vec<_> = Lifecycle::ALL.map(Lifecycle::as_str).to_vec();
        let mut wire = muster_api::machine::LIFECYCLES.to_vec();
        ours.sort_unstable();
        wire.sort_unstable();
        assert_eq!(ours, wire);
    }

    #[test]
    fn texts_read_back() {
        for l in Lifecycle::ALL {
            assert_eq!(l.as_str().parse::<Lifecycle>().unwrap(), l);
            assert_eq!(serde_json::to_value(l).unwrap(), l.as_str());
        }
        assert!("broken".parse::<Lifecycle>().is_err());
    }
}
