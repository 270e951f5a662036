//! Every state a machine can reach, over the real transition function, and the invariants of `lifecycle.md` 5.8.

mod commands;
mod explore;
mod invariants;
mod mistakes;
mod table;

use std::collections::BTreeSet;

use muster_domain::machine::lifecycle::{EDGES, Lifecycle};
use muster_domain::machine::{EdgeId, Machine};

use explore::{Explored, explore};
use mistakes::Mistake;

/// The exploration of the real function, for the tests that look at it.
fn real() -> Explored {
    explore(&commands::births(), None, usize::MAX)
}

#[test]
fn the_reachable_states_keep_every_invariant() {
    let seen = real();
    println!("{} reachable states, {} transitions, {} refusals", seen.states.len(), seen.transitions, seen.refusals);
    for violation in seen.violations.iter().take(5) {
        println!("{violation}");
    }
    assert!(seen.violations.is_empty(), "{} violations", seen.violations.len());
    // A guard against an exploration that does not get anywhere: the model it replaces had 722 states.
    assert!(seen.states.len() > 722 && seen.transitions > 3976);

    let all: BTreeSet<_> =
        EDGES.iter().map(|e| EdgeId::Edge(e.number)).chain([EdgeId::Birth(1), EdgeId::Birth(2)]).collect();
    assert_eq!(seen.edges, all, "every edge and birth is exercised, and nothing else");

    table::check(&seen.states);
}

/// Invariant 14, from the edges alone: every change is one of them (invariant 1).
#[test]
fn defective_becomes_used_only_by_way_of_available() {
    let mut reached = BTreeSet::from([Lifecycle::Defective]);
    while let Some(e) =
        EDGES.iter().find(|e| e.to != Lifecycle::Available && reached.contains(&e.from) && !reached.contains(&e.to))
    {
        reached.insert(e.to);
    }
    assert!(!reached.contains(&Lifecycle::Used));
    assert!(reached.contains(&Lifecycle::Cleaning) && reached.contains(&Lifecycle::Registering));
}

/// Invariant 23, with nobody adding a BMC meanwhile.
#[test]
fn every_live_state_has_a_way_to_the_end_and_to_the_pool() {
    let seen = real();
    let end = seen.leads_to(|m| m.lifecycle == Lifecycle::Decommissioned);
    let pool = seen.leads_to(|m| m.lifecycle == Lifecycle::Available && m.operation.is_none());
    for (i, machine) in seen.states.iter().enumerate() {
        let off_without_bmc = machine.lifecycle == Lifecycle::RemovedFromRack && !machine.bmc;
        assert!(end[i], "no way to decommissioned: {machine:?}");
        assert!(
            pool[i] || off_without_bmc || machine.lifecycle == Lifecycle::Decommissioned,
            "no way to available: {machine:?}"
        );
    }
}

#[test]
fn every_deliberate_mistake_is_caught() {
    for mistake in Mistake::ALL {
        let seen = explore(&commands::births(), Some(mistake), 1);
        let caught: Vec<_> = seen.violations.iter().map(|v| v.invariant).collect();
        println!("{mistake:?}: caught by invariant {caught:?} after {} states", seen.states.len());
        assert!(caught.iter().any(|i| mistake.caught_by().contains(i)), "{mistake:?} was caught by {caught:?}");
    }
}

/// The center's own machine can never leave use.
#[test]
fn the_centers_own_machine_stays() {
    let seen = explore(&[commands::center()], None, usize::MAX);
    assert!(seen.violations.is_empty(), "{}", seen.violations[0]);
    let allocated = |m: &Machine| m.lifecycle.is_allocated() && m.flags.protected;
    assert!(seen.states.iter().all(allocated));
}
