//! How many machines of each group are in each of the ten states. Every record is counted once, so the cells add up to the
//! number of records; the roll-ups are sums of cells.

use std::collections::BTreeMap;

use muster_api::report::{Cell, Group, RollUp};

use crate::machine::Lifecycle;

/// What the rows of the report are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grouping {
    /// Server type.
    Type,
    /// Installed memory.
    Ram,
    /// Product name.
    Product,
    /// Who has it; else for whom it is kept.
    Owner,
    /// Cluster.
    Cluster,
    /// Site.
    Site,
}

impl Grouping {
    /// All of them with their names.
    pub const ALL: [(Self, &'static str); 6] = [
        (Self::Type, "type"),
        (Self::Ram, "ram"),
        (Self::Product, "product"),
        (Self::Owner, "owner"),
        (Self::Cluster, "cluster"),
        (Self::Site, "site"),
    ];

    /// By its name; none for another word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find_map(|(grouping, name)| (name == text).then_some(grouping))
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::ALL.into_iter().find_map(|(grouping, name)| (grouping == self).then_some(name)).unwrap_or_default()
    }
}

/// The column that a state is rolled up into.
pub fn roll_up(state: Lifecycle) -> RollUp {
    match state {
        Lifecycle::Available | Lifecycle::Cleaning => RollUp::Available,
        Lifecycle::Used | Lifecycle::UsedRegistering => RollUp::Used,
        Lifecycle::Defective | Lifecycle::RemovedFromRack => RollUp::Defective,
        Lifecycle::Registering | Lifecycle::Unavailable | Lifecycle::AvailableReserved | Lifecycle::Decommissioned => {
            RollUp::Other
        }
    }
}

/// Counts machines. Memory grows with the number of groups, and with that of machines where their ids are wanted.
#[derive(Debug, Default)]
pub struct Utilisation {
    groups: BTreeMap<String, BTreeMap<&'static str, Cell>>,
    ids: bool,
}

impl Utilisation {
    /// With the ids of the machines in each cell, or without.
    pub fn new(ids: bool) -> Self {
        Self { groups: BTreeMap::new(), ids }
    }

    /// Counts a machine; an empty group means that it belongs to none.
    pub fn add(&mut self, group: &str, state: Lifecycle, id: &str) {
        // Most machines fall into a group that is there.
        if !self.groups.contains_key(group) {
            self.groups.insert(group.to_owned(), BTreeMap::new());
        }
        let Some(cells) = self.groups.get_mut(group) else { return };
        let cell = cells.entry(state.as_str()).or_default();
        cell.count += 1;
        if self.ids {
            cell.ids.get_or_insert_default().push(id.to_owned());
        }
    }

    /// The groups in their order, and all of them together. Every group has a cell for each state.
    pub fn finish(self) -> (Vec<Group>, Group) {
        let mut total = empty(String::new());
        let groups = self.groups.into_iter().map(|(name, cells)| {
            let mut group = empty(name);
            for (state, cell) in cells {
                let column = state.parse::<Lifecycle>().map_or(RollUp::Other, roll_up);
                for sum in [&mut group, &mut total] {
                    sum.count += cell.count;
                    *sum.roll_ups.entry(column).or_default() += cell.count;
                }
                total.states.entry(state.to_owned()).or_default().count += cell.count;
                group.states.insert(state.to_owned(), cell);
            }
            group
        });
        (groups.collect(), total)
    }
}

fn empty(name: String) -> Group {
    Group {
        name,
        count: 0,
        states: Lifecycle::ALL.into_iter().map(|state| (state.as_str().to_owned(), Cell::default())).collect(),
        roll_ups: RollUp::ALL.into_iter().map(|column| (column, 0)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_cells_add_up_to_the_number_of_records(records in prop::collection::vec((0..4usize, 0..10usize), 0..200)) {
            let mut report = Utilisation::new(true);
            for (n, (group, state)) in records.iter().enumerate() {
                report.add(["", "a", "b", "c"][*group], Lifecycle::ALL[*state], &n.to_string());
            }
            let (groups, total) = report.finish();
            let all = records.len() as u64;
            prop_assert_eq!(total.count, all);
            prop_assert_eq!(groups.iter().map(|group| group.count).sum::<u64>(), all);
            let mut ids = Vec::new();
            for group in groups.iter().chain([&total]) {
                prop_assert_eq!(group.states.len(), 10);
                prop_assert_eq!(group.states.values().map(|cell| cell.count).sum::<u64>(), group.count);
                prop_assert_eq!(group.roll_ups.values().sum::<u64>(), group.count);
                for cell in group.states.values() {
                    let here = cell.ids.iter().flatten();
                    prop_assert!(cell.ids.is_none() || here.clone().count() as u64 == cell.count);
                    ids.extend(here.cloned());
                }
            }
            ids.sort();
            ids.dedup();
            prop_assert_eq!(ids.len() as u64, all, "each machine once");
        }
    }

    #[test]
    fn states_are_rolled_up_as_contracted() {
        let column = |wanted: RollUp| {
            let states = Lifecycle::ALL.into_iter().filter(|state| roll_up(*state) == wanted);
            states.map(Lifecycle::as_str).collect::<Vec<_>>()
        };
        assert_eq!(column(RollUp::Available), ["available", "cleaning"]);
        assert_eq!(column(RollUp::Used), ["used", "used_registering"]);
        assert_eq!(column(RollUp::Defective), ["defective", "removed_from_rack"]);
        assert_eq!(column(RollUp::Other).len(), 4);
        assert_eq!(Grouping::parse("ram"), Some(Grouping::Ram));
        assert_eq!((Grouping::parse("colour"), Grouping::Owner.name()), (None, "owner"));
    }
}
