//! Random fleets and histories.

use std::collections::BTreeMap;

use muster_domain::machine::allocatable::{Obstacle, obstacles};
use muster_domain::machine::axes::{Alerts, AllocationKind, Claim, Connectivity, TypeMatch};
use muster_domain::machine::{Command, Lifecycle};
use muster_domain::subscription::{Candidate, Status, Subscription, Term, Wanted};
use proptest::prelude::*;
use proptest::test_runner::Config;

use crate::site::{DAY, Site, at, machine, subscription};

const TYPES: [&str; 2] = ["big", "small"];
const SITES: [&str; 2] = ["berlin", "paris"];
const HOLDERS: [&str; 3] = ["ann", "bob", "cat"];

fn config() -> Config {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(256);
    Config { cases, failure_persistence: None, ..Config::default() }
}

fn machines() -> impl Strategy<Value = Vec<Candidate>> {
    prop::collection::vec((0usize..2, 0usize..2), 1..14)
        .prop_map(|kinds| kinds.into_iter().enumerate().map(|(n, (t, s))| machine(n, TYPES[t], SITES[s])).collect())
}

fn wish(id: usize) -> impl Strategy<Value = Subscription> {
    let site = prop::option::weighted(0.4, 0usize..2);
    let named = prop::option::weighted(0.2, 0usize..14);
    (0usize..3, 0usize..2, 1u32..5, site, named, 0i64..60, prop::option::of(1i64..90), 0i64..3, any::<bool>()).prop_map(
        move |(holder, t, quantity, site, named, starts, lasts, cycle, renew)| {
            let mut made = subscription(id, HOLDERS[holder], TYPES[t], quantity);
            made.site = site.map(|s| SITES[s].to_owned()).unwrap_or_default();
            if let Some(n) = named {
                made.wanted = Wanted::Machine(format!("m{n:03}"));
                made.quantity = 1;
            }
            let starts = starts.max(30) - 30;
            made.term = Term::new(at(starts), lasts.map(|days| at(starts + days)), cycle, renew && cycle > 0).unwrap();
            made
        },
    )
}

#[derive(Debug, Clone)]
enum Event {
    Pass(i64),
    Subscribe(Subscription),
    Stop(usize),
    Quantity(usize, u32),
    Forget(usize),
    Set(usize, usize),
    Hold(usize, bool),
    Alert(usize, bool),
    Type(usize, usize),
    Mismatch(usize, bool),
    Offline(usize, bool),
    Lock(usize, usize),
    Go(usize, bool),
    Release(usize),
}

fn event() -> impl Strategy<Value = Event> {
    let (n, h) = (0usize..14, 0usize..3);
    prop_oneof![
        3 => (0i64..40).prop_map(Event::Pass),
        3 => wish(0).prop_map(Event::Subscribe),
        1 => n.clone().prop_map(Event::Stop),
        2 => (n.clone(), 1u32..6).prop_map(|(n, q)| Event::Quantity(n, q)),
        1 => n.clone().prop_map(Event::Forget),
        3 => (n.clone(), 0usize..4).prop_map(|(n, b)| Event::Set(n, b)),
        1 => (n.clone(), any::<bool>()).prop_map(|(n, on)| Event::Hold(n, on)),
        1 => (n.clone(), any::<bool>()).prop_map(|(n, on)| Event::Alert(n, on)),
        1 => (n.clone(), 0usize..2).prop_map(|(n, t)| Event::Type(n, t)),
        1 => (n.clone(), any::<bool>()).prop_map(|(n, on)| Event::Mismatch(n, on)),
        1 => (n.clone(), any::<bool>()).prop_map(|(n, on)| Event::Offline(n, on)),
        4 => (n.clone(), h).prop_map(|(n, h)| Event::Lock(n, h)),
        4 => (n.clone(), any::<bool>()).prop_map(|(n, on)| Event::Go(n, on)),
        2 => n.prop_map(Event::Release),
    ]
}

fn happens(site: &mut Site, event: Event) {
    let n = |n: usize| n % site.machines.len();
    let s = |n: usize| n % site.subscriptions.len().max(1);
    match event {
        Event::Pass(days) => site.now = muster_api::time::Time::from_micros(site.now.micros() + days * DAY),
        Event::Subscribe(mut made) => {
            let id = site.subscriptions.len();
            (made.id, made.created_at) = (format!("s{id}"), at(i64::try_from(id).unwrap()));
            site.subscriptions.push(made);
        }
        Event::Stop(i) => {
            let i = s(i);
            if let Some(stopped) = site.subscriptions.get_mut(i) {
                stopped.status = Status::Stopped;
            }
        }
        Event::Quantity(i, quantity) => {
            let i = s(i);
            if let Some(changed) = site.subscriptions.get_mut(i) {
                let one = matches!(changed.wanted, Wanted::Machine(_));
                changed.quantity = if one { 1 } else { quantity };
            }
        }
        Event::Forget(i) => {
            let i = s(i);
            // Its id stays taken, as with real ids.
            if let Some(gone) = site.subscriptions.get_mut(i) {
                gone.id = format!("{}-gone", gone.id);
                gone.status = Status::Stopped;
            }
        }
        Event::Set(i, button) => {
            site.command(n(i), &Command::SetStatus(Lifecycle::BUTTONS[button]));
        }
        Event::Hold(i, on) => {
            site.command(n(i), &Command::SetHold(on));
        }
        Event::Alert(i, prevent_allocation) => {
            site.command(n(i), &Command::SetAlerts(Alerts { prevent_allocation, ..Alerts::default() }));
        }
        Event::Type(i, t) => {
            let i = n(i);
            site.machines[i].server_type = TYPES[t].into();
        }
        Event::Mismatch(i, on) => {
            site.command(n(i), &Command::SetType(if on { TypeMatch::Mismatch } else { TypeMatch::Matched }));
        }
        Event::Offline(i, on) => {
            let to = if on { Connectivity::Unresponsive } else { Connectivity::Ready };
            site.command(n(i), &Command::Connectivity(to));
        }
        Event::Lock(i, holder) => {
            let claim =
                Claim { owner: HOLDERS[holder].into(), kind: AllocationKind::Standalone, reference: "w".into() };
            site.command(n(i), &Command::Lock(claim));
        }
        Event::Go(i, on) => {
            site.command(n(i), if on { &Command::Commit } else { &Command::Cancel });
        }
        Event::Release(i) => {
            site.release(n(i));
        }
    }
}

/// Only what passes by itself may be in the way of a machine that was bound just now.
fn bindable(candidate: &Candidate, holder: &str) -> bool {
    let passing = [Obstacle::NotReady, Obstacle::UpdateDue, Obstacle::Unreachable];
    obstacles(&candidate.machine, holder).iter().all(|o| passing.contains(o))
}

/// What holds after every step.
fn check(before: &Site, site: &Site, plan: &muster_domain::subscription::Plan) {
    for s in &site.subscriptions {
        let (bound, used) = (site.bound(&s.id), site.used(&s.id));
        let idle = |id: &&str| site.machines[site.index(id)].machine.operation.is_none();
        // More than asked for is there only as long as it is in use, or about to be.
        let taken = used.len() + bound.iter().filter(|id| !idle(id)).count();
        assert!(bound.len() + used.len() <= taken.max(s.quantity as usize), "{s:?} has {bound:?} and uses {used:?}");
        if !s.keeps(site.now) {
            assert!(!bound.iter().any(&idle), "{s:?} still has {bound:?}");
            assert!(!plan.unfulfilled.iter().any(|(id, _)| *id == s.id));
        }
        for id in bound.iter().filter(|id| idle(id)) {
            let candidate = &site.machines[site.index(id)];
            assert_eq!(candidate.machine.reservation.as_ref().unwrap().holder, s.holder);
            match &s.wanted {
                Wanted::Type(t) => assert_eq!(candidate.server_type, *t),
                Wanted::Machine(m) => assert_eq!(candidate.id, *m),
            }
            assert!(s.site.is_empty() || s.site == candidate.site);
        }
    }
    for binding in &plan.bind {
        let candidate = &site.machines[site.index(&binding.machine)];
        assert!(bindable(candidate, &binding.holder), "{binding:?} has {:?}", candidate.machine);
        // Nobody lost a machine that was rightly theirs.
        let had = before.machines[before.index(&binding.machine)].machine.reservation.clone();
        assert!(had.is_none_or(|_| plan.unbind.iter().any(|u| u.machine == binding.machine)), "{binding:?}");
    }
    for (id, shortage) in &plan.unfulfilled {
        let s = site.subscriptions.iter().find(|s| s.id == *id).unwrap();
        let free = |m: &&Candidate| m.machine.lifecycle == Lifecycle::Available && bindable(m, &s.holder);
        let fits = |m: &&Candidate| {
            let wanted = match &s.wanted {
                Wanted::Type(t) => m.server_type == *t,
                Wanted::Machine(machine) => m.id == *machine,
            };
            wanted && (s.site.is_empty() || s.site == m.site)
        };
        assert_eq!(site.machines.iter().filter(free).filter(fits).count(), 0, "{s:?} could have more: {shortage}");
        assert!(shortage.missing > 0 && shortage.missing <= s.quantity);
        assert!(shortage.to_string().len() < 1000);
    }
    let again = site.plan();
    assert!(again.is_done(), "the same again changes nothing: {again:?}");
    assert_eq!(again.unfulfilled.len(), plan.unfulfilled.len());
    assert_eq!(again.next, plan.next);
    assert!(again.next.is_none_or(|next| next > site.now));
}

/// Subscriptions that are kept: exactly those in the store.
fn stored(site: &Site) -> Site {
    let mut site = site.clone();
    site.subscriptions.retain(|s| !s.id.ends_with("-gone"));
    site
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn histories_keep_the_promises(machines in machines(), events in prop::collection::vec(event(), 1..60)) {
        let mut site = Site::new(Vec::new(), machines);
        for event in events {
            happens(&mut site, event);
            let before = stored(&site);
            let mut after = before.clone();
            let plan = after.settle();
            check(&before, &after, &plan);
            site.machines = after.machines;
            for kept in after.subscriptions {
                let id = kept.id.clone();
                *site.of(&id) = kept;
            }
        }
    }

    #[test]
    fn the_order_of_rows_does_not_matter(machines in machines(), wishes in prop::collection::vec(wish(0), 1..6), turn in 0usize..6) {
        let mut wishes = wishes;
        for (id, wish) in wishes.iter_mut().enumerate() {
            wish.id = format!("s{id}");
            // Some of the same age: then the id decides.
            wish.created_at = at(i64::try_from(id / 2).unwrap());
        }
        let site = Site { now: at(20), ..Site::new(wishes, machines) };
        let mut turned = site.clone();
        let by = turn % turned.subscriptions.len();
        turned.subscriptions.rotate_left(by);
        turned.machines.reverse();
        prop_assert_eq!(site.plan().bind, turned.plan().bind);
    }

    /// Nobody lacks anything that could be had: against all ways to hand out machines.
    #[test]
    fn as_many_are_served_as_can_be(machines in prop::collection::vec((0usize..2, 0usize..2), 1..7), wishes in prop::collection::vec(wish(0), 1..4)) {
        let machines = machines.into_iter().enumerate().map(|(n, (t, s))| machine(n, TYPES[t], SITES[s])).collect();
        let mut wishes = wishes;
        for (id, wish) in wishes.iter_mut().enumerate() {
            (wish.id, wish.created_at) = (format!("s{id}"), at(i64::try_from(id).unwrap()));
            wish.term = Term::new(at(0), None, 0, false).unwrap();
        }
        let mut site = Site::new(wishes, machines);
        let best = most(&site, 0, &mut BTreeMap::new());
        site.settle();
        prop_assert_eq!(site.subscriptions.iter().map(|s| site.bound(&s.id).len()).sum::<usize>(), best);
    }
}

/// The most machines that can be bound, by trying everything.
fn most(site: &Site, machine: usize, had: &mut BTreeMap<String, u32>) -> usize {
    let Some(candidate) = site.machines.get(machine) else { return 0 };
    let mut best = most(site, machine + 1, had);
    for s in &site.subscriptions {
        let fits = match &s.wanted {
            Wanted::Type(t) => candidate.server_type == *t,
            Wanted::Machine(id) => candidate.id == *id,
        };
        if fits && (s.site.is_empty() || s.site == candidate.site) && had.get(&s.id).copied().unwrap_or(0) < s.quantity
        {
            *had.entry(s.id.clone()).or_default() += 1;
            best = best.max(1 + most(site, machine + 1, had));
            *had.get_mut(&s.id).unwrap() -= 1;
        }
    }
    best
}
