//! The transitions of the audit, replayed: where each machine ought to be by them, to be compared with where it is.

use std::collections::HashMap;

use super::Lifecycle;

/// Differences that are told; further ones are only counted.
const TOLD: usize = 100;

/// A machine that is not where its transitions lead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Its id.
    pub machine: String,
    /// What is stored; none for one without a record.
    pub stored: Option<String>,
    /// Where its transitions lead; none for one without.
    pub replayed: Option<String>,
    /// The entry that does not go on from the one before, where that is what is wrong.
    pub seq: Option<i64>,
}

/// The states so far. Grows with the number of machines, not with that of transitions.
#[derive(Debug, Default)]
pub struct Replay {
    states: HashMap<String, Lifecycle>,
    differences: Vec<Difference>,
    count: u64,
    machines: u64,
}

impl Replay {
    /// Takes the next transition; they come in the order in which they were recorded. A birth has no state before.
    pub fn transition(&mut self, seq: i64, machine: &str, from: Option<&str>, to: Option<&str>) {
        let known = self.states.get(machine).copied();
        let next = to.and_then(|to| to.parse::<Lifecycle>().ok());
        // A birth is the first; any other begins where the one before has ended.
        let follows = known.map(Lifecycle::as_str) == from;
        let Some(next) = next.filter(|_| follows) else {
            self.differ(Difference {
                machine: machine.to_owned(),
                stored: from.map(str::to_owned),
                replayed: known.map(|state| state.as_str().to_owned()),
                seq: Some(seq),
            });
            if let Some(next) = next {
                self.states.insert(machine.to_owned(), next);
            }
            return;
        };
        match self.states.get_mut(machine) {
            Some(state) => *state = next,
            None => drop(self.states.insert(machine.to_owned(), next)),
        }
    }

    /// Compares a machine with where its transitions lead. Each is given once.
    pub fn compare(&mut self, machine: &str, stored: &str) {
        self.machines += 1;
        let replayed = self.states.remove(machine).map(Lifecycle::as_str);
        if replayed != Some(stored) {
            self.differ(Difference {
                machine: machine.to_owned(),
                stored: Some(stored.to_owned()),
                replayed: replayed.map(str::to_owned),
                seq: None,
            });
        }
    }

    /// What is wrong, once every machine was compared: records are never deleted, so one that has transitions and no record is
    /// wrong, too. Answers how many machines there are, the first differences, and how many there are of them.
    pub fn finish(mut self) -> (u64, Vec<Difference>, u64) {
        let mut left: Vec<_> = std::mem::take(&mut self.states).into_iter().collect();
        left.sort_by(|a, b| a.0.cmp(&b.0));
        for (machine, state) in left {
            let replayed = Some(state.as_str().to_owned());
            self.differ(Difference { machine, stored: None, replayed, seq: None });
        }
        (self.machines, self.differences, self.count)
    }

    fn differ(&mut self, difference: Difference) {
        self.count += 1;
        if self.differences.len() < TOLD {
            self.differences.push(difference);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_are_where_their_transitions_lead() {
        let mut replay = Replay::default();
        replay.transition(1, "a", None, Some("registering"));
        replay.transition(2, "b", None, Some("registering"));
        replay.transition(4, "a", Some("registering"), Some("unavailable"));
        replay.compare("a", "unavailable");
        replay.compare("b", "registering");
        assert_eq!(replay.finish(), (2, vec![], 0));
    }

    #[test]
    fn whatever_does_not_fit_is_told_once() {
        let mut replay = Replay::default();
        replay.transition(1, "a", None, Some("registering"));
        replay.transition(2, "a", Some("available"), Some("used"));
        replay.transition(3, "b", Some("used"), Some("cleaning"));
        replay.transition(4, "c", None, Some("registering"));
        replay.transition(5, "c", None, Some("registering"));
        replay.transition(6, "d", None, Some("none such"));
        replay.transition(7, "gone", None, Some("available"));
        for (machine, stored) in [("a", "used"), ("b", "available"), ("c", "registering"), ("new", "used")] {
            replay.compare(machine, stored);
        }
        let (machines, told, count) = replay.finish();
        let told: Vec<_> = told.iter().map(|d| (d.machine.as_str(), d.seq, d.replayed.as_deref())).collect();
        let expected = [
            ("a", Some(2), Some("registering")),
            ("b", Some(3), None),
            ("c", Some(5), Some("registering")),
            ("d", Some(6), None),
            ("b", None, Some("cleaning")),
            ("new", None, None),
            ("gone", None, Some("available")),
        ];
        assert_eq!((machines, told.as_slice(), count), (4, &expected[..], 7));
        let mut many = Replay::default();
        (0..1000).for_each(|n| many.compare(&n.to_string(), "used"));
        let (_, told, count) = many.finish();
        assert_eq!((told.len(), count), (TOLD, 1000));
    }
}
