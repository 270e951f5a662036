//! Places among the newest, against a count by hand.

use std::collections::BTreeSet;

use muster_domain::update::held::Age;
use muster_domain::update::retention::{Candidate, Policy, places};
use proptest::prelude::*;

use crate::{config, published};

proptest! {
    #![proptest_config(config())]

    #[test]
    fn an_update_has_a_place_when_fewer_than_that_are_newer(
        updates in prop::collection::vec((any::<u8>(), 0u16..0x200, 0u8..8, any::<bool>()), 0..20),
        kept in 1usize..5,
    ) {
        let mut seen = BTreeSet::new();
        let updates: Vec<_> = updates.into_iter().filter(|u| seen.insert(u.0)).collect();
        let described: Vec<_> = updates.iter().map(|(n, components, ..)| published(*n, *components, 0)).collect();
        let channels = ["a", "b", "c"];
        let candidates: Vec<Candidate<'_>> = updates.iter().zip(&described).map(|((_, _, bits, counts), update)| Candidate {
            id: update.source_id(),
            age: Age::new(update.source_id(), update),
            channels: channels.iter().enumerate().filter(|(n, _)| bits & (1 << n) != 0).map(|(_, c)| *c).collect(),
            components: muster_domain::update::held::components(&update.files),
            counts: *counts,
        }).collect();
        let places = places(&candidates, kept);
        for one in &candidates {
            let shares = |other: &Candidate<'_>, component: &str, channel: Option<&str>| {
                other.components.contains(component)
                    && channel.map_or(other.channels.is_empty(), |channel| other.channels.contains(channel))
            };
            let own: Vec<Option<&str>> = match one.channels.is_empty() {
                true => vec![None],
                false => one.channels.iter().copied().map(Some).collect(),
            };
            let newer = own.iter().flat_map(|channel| one.components.iter().map(|component| {
                candidates.iter().filter(|c| c.counts && c.age > one.age && shares(c, component, *channel)).count()
            }));
            let best = newer.min().filter(|before| *before < kept).map(|before| before + 1);
            prop_assert_eq!(places.get(&one.id).map(|p| p.place), best);
        }
    }
}

#[test]
fn the_policy_can_be_read() {
    let text = Policy::default().to_string();
    assert!(text.starts_with("keep the newest 3 of each component in each channel"), "{text}");
    assert_eq!(Policy { newest: 0, considered: 10 }.kept(), 1);
}
