//! Why a subscription has not what it asks for, in words.

use std::collections::BTreeMap;
use std::fmt;

use super::plan::hindrance;
use super::{Candidate, Plan, Subscription, Wanted};
use crate::machine::Lifecycle;
use crate::machine::allocatable::Obstacle;

/// How many machines a subscription lacks, and what keeps the others of its kind from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shortage {
    /// How many are missing.
    pub missing: u32,
    /// How many it asks for.
    pub quantity: u32,
    /// Whether it asks for one machine by its id.
    pub by_id: bool,
    /// Bound to it, with something in the way of an allocation.
    pub hindered: BTreeMap<Obstacle, u32>,
    /// Reserved for others.
    pub reserved: u32,
    /// In the pool, with something in the way of a binding.
    pub obstacles: BTreeMap<Obstacle, u32>,
    /// Out of the pool: used by others, being cleaned and so on.
    pub away: BTreeMap<Lifecycle, u32>,
}

/// What is in the way after a plan.
pub(super) fn shortage(subscription: &Subscription, missing: u32, machines: &[Candidate], plan: &Plan) -> Shortage {
    let mut found = Shortage {
        missing,
        quantity: subscription.quantity,
        by_id: matches!(subscription.wanted, Wanted::Machine(_)),
        hindered: BTreeMap::new(),
        reserved: 0,
        obstacles: BTreeMap::new(),
        away: BTreeMap::new(),
    };
    let bound: BTreeMap<&str, &str> = plan.bind.iter().map(|b| (b.machine.as_str(), b.subscription.as_str())).collect();
    for candidate in machines.iter().filter(|candidate| subscription.asks_for(candidate)) {
        let machine = &candidate.machine;
        let through = machine.allocation.as_ref().and_then(|a| a.subscription.as_deref());
        let reserved = machine.reservation.as_ref().map(|r| r.subscription.as_str());
        let holds = bound.get(candidate.id.as_str()).copied().or(through).or(reserved);
        if holds == Some(subscription.id.as_str()) {
            if let (true, Some(obstacle)) = (machine.operation.is_none(), hindrance(candidate)) {
                *found.hindered.entry(obstacle).or_default() += u32::from(reserved.is_some());
            }
        } else if !machine.lifecycle.is_pool() {
            *found.away.entry(machine.lifecycle).or_default() += 1;
        } else if holds.is_some() {
            found.reserved += 1;
        } else if let Some(obstacle) = hindrance(candidate) {
            *found.obstacles.entry(obstacle).or_default() += 1;
        }
    }
    found.hindered.retain(|_, count| *count > 0);
    found
}

/// A number and its noun.
struct Count(u32);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.0, if self.0 == 1 { "is" } else { "are" })
    }
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} missing", self.missing, self.quantity)?;
        let mut parts = Vec::new();
        for (obstacle, count) in &self.hindered {
            parts.push(format!("{} bound and cannot be allocated ({})", Count(*count), obstacle.text()));
        }
        if self.reserved > 0 {
            parts.push(format!("{} reserved for others", Count(self.reserved)));
        }
        for (lifecycle, count) in &self.away {
            parts.push(format!("{} {lifecycle}", Count(*count)));
        }
        for (obstacle, count) in &self.obstacles {
            parts.push(format!("{} available, but {}", Count(*count), obstacle.text()));
        }
        match (parts.is_empty(), self.by_id) {
            (true, true) => f.write_str(": there is no such machine, or it stands elsewhere"),
            (true, false) => f.write_str(": there is no other machine of this type"),
            (false, true) => write!(f, ": the machine {}", parts.join(", ").trim_start_matches("1 ")),
            (false, false) => write!(f, ": of this type, {}", parts.join(", ")),
        }
    }
}
