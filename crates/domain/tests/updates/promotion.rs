//! Promotion over random histories: nothing early, nothing withdrawn, nothing into a frozen channel, nothing against an
//! operator, and everything in the end.

use std::collections::{BTreeMap, BTreeSet};

use muster_api::time::Time;
use muster_domain::update::held::Age;
use muster_domain::update::index::Severity;
use muster_domain::update::promotion::{
    Hold, Member, Rule, Rules, RulesError, newest, promote, refused_by_freeze, told,
};
use proptest::prelude::*;
use uuid::Uuid;

use crate::{config, published};

const CHANNELS: [&str; 4] = ["daily", "testing", "stable", "slow"];
const DAY: i64 = 86_400;

fn at(seconds: i64) -> Time {
    Time::from_micros(seconds * 1_000_000)
}

fn rule(text: &str) -> Rule {
    text.parse().unwrap()
}

#[derive(Debug, Clone)]
enum Event {
    Ready(u8),
    Pass(i64),
    Assign(usize, usize),
    TakeOut(usize, usize),
    Withdraw(usize),
    Reinstate(usize),
    Freeze(usize),
    Thaw(usize),
}

fn event() -> impl Strategy<Value = Event> {
    let (n, c) = (0usize..16, 0usize..4);
    prop_oneof![
        3 => (0u8..5).prop_map(Event::Ready),
        4 => (0i64..5 * DAY).prop_map(Event::Pass),
        1 => (n.clone(), c.clone()).prop_map(|(n, c)| Event::Assign(n, c)),
        1 => (n.clone(), c.clone()).prop_map(|(n, c)| Event::TakeOut(n, c)),
        1 => n.clone().prop_map(Event::Withdraw),
        1 => n.prop_map(Event::Reinstate),
        1 => c.clone().prop_map(Event::Freeze),
        1 => c.prop_map(Event::Thaw),
    ]
}

fn rules() -> impl Strategy<Value = Rules> {
    // Each channel may follow one before it: no circles.
    let one = |n: usize| {
        prop::option::weighted(0.8, (0..n, 0i64..10 * DAY, prop::option::of(0usize..5))).prop_map(move |rule| {
            rule.map(|(follows, after, severity)| Rule {
                channel: CHANNELS[n].to_owned(),
                follows: CHANNELS[follows].to_owned(),
                after,
                at_once: severity.map(|s| Severity::ALL[s]),
            })
        })
    };
    (one(1), one(2), one(3)).prop_map(|(a, b, c)| Rules::new([c, a, b].into_iter().flatten()).unwrap())
}

struct Site {
    rules: Rules,
    members: Vec<Member>,
    frozen: BTreeSet<String>,
    withdrawn: BTreeSet<Uuid>,
    now: i64,
}

impl Site {
    fn happens(&mut self, event: Event) {
        let count = self.members.len().max(1);
        match event {
            Event::Ready(severity) => {
                let id = Uuid::from_u128(self.members.len() as u128);
                let since = BTreeMap::from([(CHANNELS[0].to_owned(), at(self.now))]);
                let entered = since.keys().cloned().collect();
                self.members.push(Member { id, severity: Severity::ALL[usize::from(severity)], since, entered });
            }
            Event::Pass(seconds) => self.now += seconds,
            Event::Assign(n, c) => {
                if let Some(member) = self.members.get_mut(n % count) {
                    member.since.entry(CHANNELS[c].to_owned()).or_insert(at(self.now));
                    member.entered.insert(CHANNELS[c].to_owned());
                }
            }
            Event::TakeOut(n, c) => {
                if let Some(member) = self.members.get_mut(n % count) {
                    member.since.remove(CHANNELS[c]);
                }
            }
            Event::Withdraw(n) => self.withdrawn.extend(self.members.get(n % count).map(|m| m.id)),
            Event::Reinstate(n) => {
                self.withdrawn.remove(&Uuid::from_u128((n % count) as u128));
            }
            Event::Freeze(c) => {
                self.frozen.insert(CHANNELS[c].to_owned());
            }
            Event::Thaw(c) => {
                self.frozen.remove(CHANNELS[c]);
            }
        }
    }

    fn run(&mut self) {
        let outcome = promote(&self.rules, &self.members, &self.frozen, &self.withdrawn, at(self.now));
        let rules: Vec<Rule> = self.rules.iter().cloned().collect();
        for promotion in &outcome.promotions {
            assert!(!self.withdrawn.contains(&promotion.id), "withdrawn: {promotion:?}");
            assert!(!self.frozen.contains(&promotion.channel), "frozen: {promotion:?}");
            let rule = rules.iter().find(|r| r.channel == promotion.channel).unwrap();
            let member = self.members.iter_mut().find(|m| m.id == promotion.id).unwrap();
            assert!(member.entered.insert(promotion.channel.clone()), "a second time: {promotion:?}");
            let since = member.since[&rule.follows].micros();
            let urgent = rule.at_once.is_some_and(|s| member.severity >= s);
            assert_eq!(promotion.at_once, urgent);
            assert!(urgent || since + rule.after * 1_000_000 <= at(self.now).micros(), "early: {promotion:?}");
            member.since.insert(promotion.channel.clone(), at(self.now));
        }
        for waiting in &outcome.waiting {
            match waiting.hold {
                Hold::Delay(until) => assert!(until > at(self.now), "{waiting:?}"),
                Hold::Frozen(due) => assert!(due <= at(self.now) && self.frozen.contains(&waiting.channel)),
            }
        }
        let again = promote(&self.rules, &self.members, &self.frozen, &self.withdrawn, at(self.now));
        assert_eq!(again.promotions, [], "the same again changes nothing");
        assert_eq!(again.waiting, outcome.waiting);
        assert!(again.next().is_none_or(|next| next > at(self.now)));
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn histories_keep_the_rules(rules in rules(), events in prop::collection::vec(event(), 1..40)) {
        let (frozen, withdrawn) = (BTreeSet::new(), BTreeSet::new());
        let mut site = Site { rules, members: Vec::new(), frozen, withdrawn, now: 0 };
        for event in events {
            site.happens(event);
            site.run();
        }
        // In the end everything that may enter has entered, in at most as many waits as there are rules in a row.
        site.frozen.clear();
        site.withdrawn.clear();
        for _ in 0..12 * CHANNELS.len() {
            site.run();
            let outcome = promote(&site.rules, &site.members, &site.frozen, &site.withdrawn, at(site.now));
            match outcome.next() {
                Some(next) => site.now = next.micros().div_euclid(1_000_000) + 1,
                None => break,
            }
        }
        // A wait for each member and rule at most; what is left could not have been waited for.
        while let Some(next) = promote(&site.rules, &site.members, &site.frozen, &site.withdrawn, at(site.now)).next() {
            site.now = next.micros() / 1_000_000 + 1;
            site.run();
        }
        for member in &site.members {
            for rule in site.rules.iter().filter(|r| member.since.contains_key(&r.follows)) {
                prop_assert!(member.entered.contains(&rule.channel), "{member:?} never entered {}", rule.channel);
            }
        }
    }

    #[test]
    fn machines_are_told_the_one_before_a_withdrawn_one(
        updates in prop::collection::btree_map(any::<u8>(), (0u8..4, any::<bool>()), 1..12),
    ) {
        let described: Vec<_> = updates.keys().map(|n| published(*n, 1, 0)).collect();
        let ages: Vec<_> = described.iter().map(|u| Age::new(u.source_id(), u)).collect();
        let channels: Vec<BTreeSet<String>> = updates.values().map(|(bits, _)| {
            (0..2).filter(|bit| bits & (1 << bit) != 0).map(|bit| CHANNELS[bit].to_owned()).collect()
        }).collect();
        let withdrawn: BTreeSet<Uuid> =
            updates.values().zip(&described).filter(|((_, w), _)| *w).map(|(_, u)| u.source_id()).collect();
        let list = || described.iter().zip(&ages).zip(&channels).map(|((u, age), channels)| (u.source_id(), age, channels));
        for channel in &CHANNELS[..2] {
            // As a machine chooses: the first in the list, by the text of its version, that names the channel.
            let machine = list().rev()
                .find(|(id, _, channels)| told(*id, channels, &withdrawn).contains(*channel)).map(|(id, ..)| id);
            let ours = newest(list(), channel, &withdrawn);
            prop_assert_eq!(ours, machine);
            prop_assert!(ours.is_none_or(|id| !withdrawn.contains(&id)));
        }
    }
}

#[test]
fn a_delay_counts_from_the_channel_that_is_followed() {
    let rules = Rules::new([
        rule(r#""stable" follows "testing" after 7 days, severity critical at once"#),
        rule(r#""testing" follows "daily" after 1 day"#),
    ])
    .unwrap();
    let none = BTreeSet::new();
    let member = |id: u128, severity| Member {
        id: Uuid::from_u128(id),
        severity,
        since: BTreeMap::from([("daily".to_owned(), at(0))]),
        entered: BTreeSet::from(["daily".to_owned()]),
    };
    let members = [member(1, Severity::Low), member(2, Severity::Critical)];
    let early = promote(&rules, &members, &none, &BTreeSet::new(), at(DAY - 1));
    assert_eq!((early.promotions.len(), early.next()), (0, Some(at(DAY))));
    assert_eq!(early.awaited().len(), 2);
    let later = promote(&rules, &members, &none, &BTreeSet::new(), at(DAY));
    let entered: Vec<_> = later.promotions.iter().map(|p| (p.id.as_u128(), p.channel.as_str(), p.at_once)).collect();
    assert_eq!(entered, [(1, "testing", false), (2, "testing", false), (2, "stable", true)]);
    assert_eq!(later.next(), Some(at(8 * DAY)));
    assert_eq!(later.waiting[0].hold.to_string(), format!("until {}", at(8 * DAY)));
}

#[test]
fn rules_that_do_not_go_together_are_named() {
    let circle = Rules::new([
        rule(r#""a" follows "b""#),
        rule(r#""b" follows "c""#),
        rule(r#""c" follows "b""#),
        rule(r#""d" follows "a""#),
    ]);
    let error = circle.unwrap_err();
    assert_eq!(error.to_string(), "channels follow each other in a circle: b follows c follows b");
    let twice = Rules::new([rule(r#""a" follows "b""#), rule(r#""a" follows "c""#)]);
    assert_eq!(twice, Err(RulesError::Twice("a".into())));
}

#[test]
fn a_frozen_channel_gets_nothing_by_hand_either() {
    let set = |names: &[&str]| -> BTreeSet<String> { names.iter().map(|n| (*n).to_owned()).collect() };
    let frozen = set(&["stable"]);
    assert_eq!(refused_by_freeze(&set(&["testing"]), &set(&["testing", "stable"]), &frozen), ["stable"]);
    let nothing: [&str; 0] = [];
    assert_eq!(refused_by_freeze(&set(&["stable"]), &set(&["stable", "testing"]), &frozen), nothing);
    assert_eq!(refused_by_freeze(&set(&["stable"]), &set(&[]), &frozen), nothing);
}
