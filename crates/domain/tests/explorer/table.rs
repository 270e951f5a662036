//! The table of legal combinations of lifecycle and connectivity (`lifecycle.md` 5.3) against what is reachable.

use std::collections::HashMap;

use muster_domain::machine::axes::Connectivity;
use muster_domain::machine::{Lifecycle, Machine};

/// Columns of the table; the first is "no enrolment".
const COLUMNS: [Option<Connectivity>; 8] = [
    None,
    Some(Connectivity::PendingRegistering),
    Some(Connectivity::PendingReConfiguring),
    Some(Connectivity::Ready),
    Some(Connectivity::Updating),
    Some(Connectivity::Rebooting),
    Some(Connectivity::ShutDown),
    Some(Connectivity::Unresponsive),
];

/// `y` also at rest, `o` only during the state's own operation, `-` impossible.
const TABLE: [(Lifecycle, &str); 10] = [
    (Lifecycle::Registering, "oo-o-ooo"),
    (Lifecycle::Unavailable, "yyyyyyyy"),
    (Lifecycle::Available, "yyyyyyyy"),
    (Lifecycle::AvailableReserved, "yyyyyyyy"),
    (Lifecycle::Used, "oyyyyyyy"),
    (Lifecycle::UsedRegistering, "-o-o-ooo"),
    (Lifecycle::Cleaning, "oo-o-ooo"),
    (Lifecycle::Defective, "yyyyyyyy"),
    (Lifecycle::Decommissioned, "y-------"),
    (Lifecycle::RemovedFromRack, "y-------"),
];

/// Compares what is reachable with the table, cell by cell.
pub fn check(states: &[Machine]) {
    let mut found: HashMap<(Lifecycle, Option<Connectivity>), bool> = HashMap::new();
    for m in states {
        *found.entry((m.lifecycle, m.connectivity())).or_default() |= m.operation.is_none();
    }
    for (lifecycle, expected) in TABLE {
        let row: String = COLUMNS
            .iter()
            .map(|column| match found.get(&(lifecycle, *column)) {
                None => '-',
                Some(false) => 'o',
                Some(true) => 'y',
            })
            .collect();
        assert_eq!(row, expected, "{lifecycle}");
    }
}
