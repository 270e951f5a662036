//! Breadth first over everything that can happen.

use std::collections::{BTreeSet, HashMap, VecDeque};

use muster_domain::machine::birth::{Birth, birth};
use muster_domain::machine::{Command, EdgeId, Machine, transition};

use super::commands::commands;
use super::invariants::{Violation, check_state, check_step};
use super::mistakes::Mistake;

/// What was found.
#[derive(Default)]
pub struct Explored {
    /// Every reachable state.
    pub states: Vec<Machine>,
    /// Commands that were carried out.
    pub transitions: usize,
    /// Commands that were refused.
    pub refusals: usize,
    /// Edges and births that were recorded.
    pub edges: BTreeSet<EdgeId>,
    /// Violations, in order.
    pub violations: Vec<Violation>,
    /// For each state, the states that lead to it without anybody adding a BMC.
    before: Vec<Vec<u32>>,
    index: HashMap<Machine, u32>,
}

impl Explored {
    /// The number of a state, and whether it is new.
    fn number(&mut self, machine: &Machine) -> (u32, bool) {
        if let Some(n) = self.index.get(machine) {
            return (*n, false);
        }
        let n = self.states.len() as u32;
        self.index.insert(machine.clone(), n);
        self.states.push(machine.clone());
        self.before.push(Vec::new());
        (n, true)
    }

    /// For each state, whether one that fits can be reached from it.
    pub fn leads_to(&self, fits: impl Fn(&Machine) -> bool) -> Vec<bool> {
        let mut found: Vec<_> = self.states.iter().map(fits).collect();
        let mut queue: VecDeque<_> = (0..found.len()).filter(|i| found[*i]).collect();
        while let Some(i) = queue.pop_front() {
            for &from in &self.before[i] {
                if !std::mem::replace(&mut found[from as usize], true) {
                    queue.push_back(from as usize);
                }
            }
        }
        found
    }
}

/// Explores from these births, with or without a mistake, until so many violations were found.
pub fn explore(births: &[Birth], mistake: Option<Mistake>, limit: usize) -> Explored {
    let commands = commands();
    let mut seen = Explored::default();
    let mut queue = VecDeque::new();
    for b in births {
        let change = birth(b);
        seen.edges.extend(change.records.iter().map(|r| r.edge));
        let (n, new) = seen.number(&change.machine);
        if new {
            seen.violations.extend(check_state(&change.machine));
            queue.push_back(n);
        }
    }
    while let Some(n) = queue.pop_front() {
        let machine = seen.states[n as usize].clone();
        for command in &commands {
            if seen.violations.len() >= limit {
                return seen;
            }
            let result = match mistake {
                Some(mistake) => mistake.transition(&machine, command),
                None => transition(&machine, command),
            };
            let Ok(change) = result else {
                seen.refusals += 1;
                continue;
            };
            seen.transitions += 1;
            seen.violations.extend(check_step(&machine, command, &change));
            seen.edges.extend(change.records.iter().map(|r| r.edge));
            let (to, new) = seen.number(&change.machine);
            if *command != Command::SetBmc(true) && to != n {
                seen.before[to as usize].push(n);
            }
            if new {
                seen.violations.extend(check_state(&change.machine));
                queue.push_back(to);
            }
        }
    }
    seen
}
