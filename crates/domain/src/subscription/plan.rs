//! What has to be bound and let go so that each subscription has what it asks for, as far as there is any.
//!
//! The older subscription is served first. What is bound stays bound to whom it is, so a younger one never loses a machine to
//! an older one, and the same plan made again changes nothing. Of machines that nobody has, those that answer are taken
//! first; one that an operator put on hold, or that an alert keeps from being allocated, is not taken at all, and one that
//! became so while it was bound is let go once another stands in for it.

use std::collections::{BTreeMap, BTreeSet};

use muster_api::time::Time;

use super::matching::{Need, assign};
use super::shortage::{Shortage, shortage};
use super::{Phase, Status, Subscription, Term, Wanted};
use crate::machine::allocatable::{Obstacle, obstacles};
use crate::machine::{Lifecycle, Machine};

/// A machine as subscriptions look at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Its id.
    pub id: String,
    /// The id of its server type, or empty.
    pub server_type: String,
    /// Where it stands, or empty.
    pub site: String,
    /// Its axes.
    pub machine: Machine,
}

/// A machine that a subscription gets.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Binding {
    /// The subscription's id.
    pub subscription: String,
    /// Its holder.
    pub holder: String,
    /// The machine's id.
    pub machine: String,
}

/// A machine that a subscription lets go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unbinding {
    /// The subscription's id.
    pub subscription: String,
    /// The machine's id.
    pub machine: String,
    /// Why.
    pub why: Why,
}

/// Why a machine is let go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Why {
    /// The subscription was stopped.
    Stopped,
    /// Its term is over.
    Ended,
    /// There is no such subscription.
    Gone,
    /// It is kept for somebody else than the subscription's holder.
    Holder,
    /// It is not, or not any more, what the subscription asks for.
    Other,
    /// The subscription asks for fewer machines.
    Fewer,
    /// It could not be allocated, and another one stands in for it.
    Replaced(Obstacle),
}

impl std::fmt::Display for Why {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Stopped => "the subscription was stopped",
            Self::Ended => "the term of the subscription is over",
            Self::Gone => "the subscription is gone",
            Self::Holder => "the subscription has another holder",
            Self::Other => "it is not what the subscription asks for any more",
            Self::Fewer => "the subscription asks for fewer machines",
            Self::Replaced(obstacle) => {
                return write!(f, "another machine stands in for it: {}", obstacle.text());
            }
        })
    }
}

/// A term that goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Renewal {
    /// The subscription's id.
    pub subscription: String,
    /// Its term from now on.
    pub term: Term,
}

/// What has to be done, in this order: terms, then what is let go, then what is bound.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// Subscriptions whose term is over.
    pub ended: Vec<String>,
    /// Subscriptions whose term goes on.
    pub renewed: Vec<Renewal>,
    /// Machines to let go.
    pub unbind: Vec<Unbinding>,
    /// Machines to bind; one that is let go may be among them.
    pub bind: Vec<Binding>,
    /// Subscriptions that lack machines, with how many and why.
    pub unfulfilled: Vec<(String, Shortage)>,
    /// When time alone will make a difference.
    pub next: Option<Time>,
}

impl Plan {
    /// Whether nothing has to be done.
    pub fn is_done(&self) -> bool {
        self.ended.is_empty() && self.renewed.is_empty() && self.unbind.is_empty() && self.bind.is_empty()
    }
}

/// A subscription that keeps machines, and what it has.
struct Keeper<'a> {
    subscription: &'a Subscription,
    /// In use, or about to be.
    in_use: u32,
    /// Bound and idle, and nothing in the way of an allocation.
    sound: Vec<usize>,
    /// Bound and idle, and something is.
    hindered: Vec<(usize, Obstacle)>,
    /// How many sound ones it should have beside these.
    lacks: u32,
}

/// What has to be done at a time. `machines` holds all that are bound or in use through one of the subscriptions, and those
/// that may be bound; `subscriptions` all that one of these machines is bound to.
pub fn plan(now: Time, subscriptions: &[Subscription], machines: &[Candidate]) -> Plan {
    let mut plan = Plan::default();
    let begun = machines.iter().filter_map(through).collect();
    let mut keepers = keepers(now, subscriptions, &begun, &mut plan);
    let places: BTreeMap<&str, usize> =
        keepers.iter().enumerate().map(|(place, k)| (k.subscription.id.as_str(), place)).collect();
    let known: BTreeMap<&str, &Subscription> = subscriptions.iter().map(|s| (s.id.as_str(), s)).collect();

    let mut order: Vec<usize> = (0..machines.len()).collect();
    order.sort_by(|a, b| (rank(&machines[*a]), &machines[*a].id).cmp(&(rank(&machines[*b]), &machines[*b].id)));
    let mut free = Vec::new();
    for &index in &order {
        let candidate = &machines[index];
        if let Some(allocation) = &candidate.machine.allocation {
            let place = allocation.subscription.as_deref().and_then(|id| places.get(id));
            if let Some(&place) = place {
                keepers[place].in_use += 1;
            }
        } else if let Some(reservation) = &candidate.machine.reservation {
            let place = places.get(reservation.subscription.as_str()).copied();
            if candidate.machine.operation.is_some() {
                // Its holder is about to take it: neither to be let go nor to be counted twice.
                if let Some(place) = place {
                    keepers[place].in_use += 1;
                }
                continue;
            }
            let wrong = match (place, known.get(reservation.subscription.as_str())) {
                (_, None) => Some(Why::Gone),
                (Some(_), Some(s)) if s.holder != reservation.holder => Some(Why::Holder),
                (Some(_), Some(s)) if !s.asks_for(candidate) => Some(Why::Other),
                (Some(_), Some(_)) => None,
                (None, Some(s)) => Some(if s.status == Status::Stopped { Why::Stopped } else { Why::Ended }),
            };
            match (wrong, place) {
                (None, Some(place)) => match hindrance(candidate) {
                    None => keepers[place].sound.push(index),
                    Some(obstacle) => keepers[place].hindered.push((index, obstacle)),
                },
                (why, _) => plan.unbind.push(unbinding(candidate, why.unwrap_or(Why::Gone))),
            }
            if wrong.is_some() && hindrance(candidate).is_none() {
                free.push(index);
            }
        } else if candidate.machine.lifecycle == Lifecycle::Available && hindrance(candidate).is_none() {
            free.push(index);
        }
    }
    for keeper in &mut keepers {
        let room = keeper.subscription.quantity.saturating_sub(keeper.in_use) as usize;
        // Those that answer come first, so the others go.
        for index in keeper.sound.split_off(keeper.sound.len().min(room)) {
            plan.unbind.push(unbinding(&machines[index], Why::Fewer));
            free.push(index);
        }
        keeper.lacks = u32::try_from(room - keeper.sound.len()).unwrap_or(u32::MAX);
    }
    fill(&mut plan, &keepers, machines, free);
    plan
}

/// The subscription that a machine is bound to or in use through.
fn through(candidate: &Candidate) -> Option<&str> {
    let machine = &candidate.machine;
    let taken = machine.allocation.as_ref().and_then(|a| a.subscription.as_deref());
    machine.reservation.as_ref().map(|r| r.subscription.as_str()).or(taken)
}

/// Subscriptions that keep machines now, the oldest first; what becomes of the terms is planned on the way. Clocks differ, and
/// of two who look at once the later one may have read its clock first: what has machines has begun, whatever the time is.
fn keepers<'a>(
    now: Time,
    subscriptions: &'a [Subscription],
    begun: &BTreeSet<&str>,
    plan: &mut Plan,
) -> Vec<Keeper<'a>> {
    let mut keepers = Vec::new();
    for subscription in subscriptions.iter().filter(|s| s.status == Status::Active) {
        let now = now.max(subscription.created_at);
        let mut term = subscription.term;
        if term.phase(now) == Phase::Over {
            match term.renewed(now) {
                Some(renewed) => {
                    term = renewed;
                    plan.renewed.push(Renewal { subscription: subscription.id.clone(), term });
                }
                None => plan.ended.push(subscription.id.clone()),
            }
        }
        plan.next = [plan.next, term.next(now)].into_iter().flatten().min();
        let waits = term.phase(now) == Phase::Waiting && !begun.contains(subscription.id.as_str());
        if !waits && term.phase(now) != Phase::Over {
            keepers.push(Keeper { subscription, in_use: 0, sound: Vec::new(), hindered: Vec::new(), lacks: 0 });
        }
    }
    keepers.sort_by_key(|k| (k.subscription.created_at, &k.subscription.id));
    plan.ended.sort();
    plan.renewed.sort_by(|a, b| a.subscription.cmp(&b.subscription));
    keepers
}

/// Binds what is free to those who lack something, and lets go what was replaced.
fn fill(plan: &mut Plan, keepers: &[Keeper<'_>], machines: &[Candidate], mut free: Vec<usize>) {
    // A machine that somebody asks for by its id is the last that anybody else gets.
    let named: BTreeSet<&str> = keepers
        .iter()
        .filter(|k| k.lacks > 0)
        .filter_map(|k| match &k.subscription.wanted {
            Wanted::Machine(id) => Some(id.as_str()),
            Wanted::Type(_) => None,
        })
        .collect();
    free.sort_by_key(|i| (named.contains(&machines[*i].id.as_str()), rank(&machines[*i]), &machines[*i].id));
    let needs: Vec<Need> = keepers
        .iter()
        .map(|keeper| {
            let fits = |i: &usize| keeper.lacks > 0 && keeper.subscription.asks_for(&machines[*i]);
            Need { count: keeper.lacks as usize, fits: free.iter().copied().filter(fits).collect() }
        })
        .collect();
    let assigned = assign(needs);
    for (keeper, got) in keepers.iter().zip(&assigned) {
        let missing = keeper.lacks as usize - got.len();
        for index in got {
            plan.bind.push(Binding {
                subscription: keeper.subscription.id.clone(),
                holder: keeper.subscription.holder.clone(),
                machine: machines[*index].id.clone(),
            });
        }
        // One that cannot be allocated now is better than none: it stays until another stands in for it.
        for (index, obstacle) in keeper.hindered.iter().skip(missing) {
            let why = if got.is_empty() { Why::Fewer } else { Why::Replaced(*obstacle) };
            plan.unbind.push(unbinding(&machines[*index], why));
        }
    }
    plan.bind.sort();
    plan.unbind.sort_by(|a, b| a.machine.cmp(&b.machine));
    for (keeper, got) in keepers.iter().zip(&assigned) {
        let missing = keeper.lacks - u32::try_from(got.len()).unwrap_or(u32::MAX);
        if missing > 0 {
            let found = shortage(keeper.subscription, missing, machines, plan);
            plan.unfulfilled.push((keeper.subscription.id.clone(), found));
        }
    }
}

fn unbinding(candidate: &Candidate, why: Why) -> Unbinding {
    let reservation = candidate.machine.reservation.as_ref();
    let subscription = reservation.map(|r| r.subscription.clone()).unwrap_or_default();
    Unbinding { subscription, machine: candidate.id.clone(), why }
}

/// What would keep even its holder from a machine of the pool, but for what passes by itself: whether it answers just now
/// is not asked for a binding that lasts for months.
pub(super) fn hindrance(candidate: &Candidate) -> Option<Obstacle> {
    let holder = candidate.machine.reservation.as_ref().map_or("", |r| r.holder.as_str());
    obstacles(&candidate.machine, holder)
        .into_iter()
        .find(|o| !matches!(o, Obstacle::NotReady | Obstacle::UpdateDue | Obstacle::Unreachable))
}

/// Those that could be used at once come first.
fn rank(candidate: &Candidate) -> u8 {
    let machine = &candidate.machine;
    match &machine.enrolment {
        Some(enrolment) if machine.is_ready() => u8::from(enrolment.update_due),
        None if machine.bmc => 2,
        Some(_) => 3,
        None => 4,
    }
}
