//! Selection over random histories (`updates-and-system.md` 11.3, and 11.4 for what must not happen).

use std::collections::{BTreeMap, BTreeSet};

use muster_domain::update::held::{Age, Arrival, Held, Progress, components};
use muster_domain::update::index::Published;
use muster_domain::update::retention::Policy;
use muster_domain::update::select::{Action, Input, Offered, Plan, Reason, Source, select};
use proptest::prelude::*;
use uuid::Uuid;

use crate::{config, published};

const DEFAULT: &str = "stable";
const CHANNELS: [&str; 3] = [DEFAULT, "testing", "slow"];

#[derive(Debug, Clone)]
enum Event {
    /// The next update appears at the source, with these components.
    Publish(u16),
    /// The source takes one back.
    TakeBack(usize),
    /// The source changes the files of one, or its description.
    Change(usize, u16, u8),
    /// The oldest leave the index.
    Shorten(usize),
    /// Update is uploaded.
    Upload(u16),
    /// The source can be asked, cannot, or there is none.
    Reach(u8),
    /// The filter of updates lets only those pass whose number is a multiple.
    Filter(u8),
    /// The filter of files lets only these components pass.
    FilterFiles(u16),
    /// An operator assigns one to channels.
    Assign(usize, u8),
    Withdraw(usize),
    Reinstate(usize),
    /// Machines run these.
    Use(usize, usize),
    /// Another default channel.
    Default(u8),
    /// A refresh of which this many steps are done before the daemon dies, downloads failing by the bits.
    Broken(usize, u8),
    /// A refresh to its end.
    Refresh,
    /// A rule waits for one.
    Await(usize),
}

fn event() -> impl Strategy<Value = Event> {
    let n = 0usize..32;
    let some = prop_oneof![2 => Just(0x1ff), 1 => 0u16..0x200];
    prop_oneof![
        6 => some.clone().prop_map(Event::Publish),
        1 => n.clone().prop_map(Event::TakeBack),
        1 => (n.clone(), some.clone(), any::<u8>()).prop_map(|(n, c, x)| Event::Change(n, c, x)),
        1 => (0usize..12).prop_map(Event::Shorten),
        1 => some.clone().prop_map(Event::Upload),
        1 => (0u8..4).prop_map(Event::Reach),
        1 => (1u8..4).prop_map(Event::Filter),
        1 => some.prop_map(Event::FilterFiles),
        3 => (n.clone(), 0u8..8).prop_map(|(n, c)| Event::Assign(n, c)),
        1 => n.clone().prop_map(Event::Withdraw),
        1 => n.clone().prop_map(Event::Reinstate),
        1 => (n.clone(), n.clone()).prop_map(|(a, b)| Event::Use(a, b)),
        1 => (0u8..3).prop_map(Event::Default),
        3 => (0usize..6, any::<u8>()).prop_map(|(steps, fail)| Event::Broken(steps, fail)),
        4 => Just(Event::Refresh),
        1 => n.prop_map(Event::Await),
    ]
}

/// A site and its source.
struct World {
    published: Vec<Published>,
    count: u8,
    reach: u8,
    every: u8,
    files: u16,
    held: Vec<Held>,
    in_use: BTreeSet<String>,
    withdrawn: BTreeSet<Uuid>,
    awaited: BTreeSet<Uuid>,
    default: &'static str,
    policy: Policy,
    downloads: usize,
}

fn pick<T>(list: &mut [T], n: usize) -> Option<&mut T> {
    let length = list.len();
    if length == 0 { None } else { list.get_mut(n % length) }
}

impl World {
    fn new() -> Self {
        Self {
            published: Vec::new(),
            count: 0,
            reach: 2,
            every: 1,
            files: 0x1ff,
            held: Vec::new(),
            in_use: BTreeSet::new(),
            withdrawn: BTreeSet::new(),
            awaited: BTreeSet::new(),
            default: DEFAULT,
            policy: Policy::default(),
            downloads: 0,
        }
    }

    fn offered(&self) -> Vec<Offered> {
        let kept = published(0, self.files, 0);
        let kept = components(&kept.files);
        let filtered = self.published.iter().map(|update| {
            let mut update = update.clone();
            update.files.retain(|file| kept.contains(file.component.as_str()));
            let number: u32 = update.url[1..].parse().unwrap();
            Offered { passes: number.is_multiple_of(u32::from(self.every)), update }
        });
        filtered.collect()
    }

    fn plan(&self) -> Plan {
        let offered = self.offered();
        self.plan_of(&self.held, &offered)
    }

    fn plan_of(&self, held: &[Held], offered: &[Offered]) -> Plan {
        select(&Input {
            held,
            source: match self.reach {
                0 => Source::None,
                1 => Source::Unknown,
                _ => Source::Index(offered),
            },
            in_use: &self.in_use,
            withdrawn: &self.withdrawn,
            awaited: &self.awaited,
            policy: &self.policy,
            default_channel: self.default,
        })
    }

    fn apply(&mut self, id: Uuid, action: Action, amended: bool, succeeds: bool) {
        let offered = self.offered().into_iter().find(|o| o.update.source_id() == id).map(|o| o.update);
        let channels = BTreeSet::from([self.default.to_owned()]);
        match action {
            Action::Fetch | Action::Resume => {
                let update = offered.expect("only what is offered can be fetched");
                self.held.retain(|h| h.id != id);
                let (progress, channels) =
                    if succeeds { (Progress::Ready, channels) } else { (Progress::Pending, BTreeSet::new()) };
                self.held.push(Held { id, arrival: Arrival::Source, progress, channels, update });
                self.downloads += usize::from(succeeds);
            }
            Action::Complete if succeeds => {
                let held = self.held.iter_mut().find(|h| h.id == id).unwrap();
                held.update = offered.expect("only what is offered can be completed");
                self.downloads += 1;
            }
            Action::Remove => self.held.retain(|h| h.id != id),
            Action::Keep | Action::Complete if amended => {
                let held = self.held.iter_mut().find(|h| h.id == id).unwrap();
                let files = std::mem::take(&mut held.update.files);
                held.update = Published { files, ..offered.expect("only what is offered can be amended") };
            }
            Action::Keep | Action::Complete | Action::Leave => {}
        }
    }

    fn happens(&mut self, event: Event) {
        match event {
            Event::Publish(components) => {
                self.count += 1;
                self.published.insert(0, published(self.count, components, 0));
            }
            Event::TakeBack(n) => {
                if !self.published.is_empty() {
                    self.published.remove(n % self.published.len());
                }
            }
            Event::Change(n, components, content) => {
                if let Some(update) = pick(&mut self.published, n) {
                    let number = update.url[1..].parse().unwrap();
                    *update = published(number, components, content);
                    update.channels = vec![format!("other{content}")];
                }
            }
            Event::Shorten(to) => self.published.truncate(to),
            Event::Upload(components) => {
                self.count += 1;
                let update = published(self.count, components, 0);
                let (id, channels) = (update.upload_id(), BTreeSet::from([self.default.to_owned()]));
                self.held.push(Held { id, arrival: Arrival::Upload, progress: Progress::Ready, channels, update });
            }
            Event::Reach(reach) => self.reach = reach,
            Event::Filter(every) => self.every = every,
            Event::FilterFiles(files) => self.files = files,
            Event::Assign(n, bits) => {
                let channels = CHANNELS.iter().enumerate().filter(|(bit, _)| bits & (1 << bit) != 0);
                let channels: BTreeSet<String> = channels.map(|(_, name)| (*name).to_owned()).collect();
                if let Some(held) = pick(&mut self.held, n).filter(|h| h.progress == Progress::Ready) {
                    held.channels = channels;
                }
            }
            Event::Withdraw(n) => {
                // Also what is only at the source, or gone.
                let all: Vec<Uuid> =
                    self.held.iter().map(|h| h.id).chain(self.published.iter().map(Published::source_id)).collect();
                self.withdrawn.extend(all.get(n % all.len().max(1)));
            }
            Event::Reinstate(n) => {
                let id = self.withdrawn.iter().nth(n % self.withdrawn.len().max(1)).copied();
                id.map(|id| self.withdrawn.remove(&id));
            }
            Event::Use(a, b) => {
                let version = |n: usize| self.held.get(n % self.held.len().max(1)).map(|h| h.update.version.clone());
                self.in_use = [a, b].into_iter().filter_map(version).collect();
            }
            Event::Default(n) => self.default = CHANNELS[usize::from(n) % CHANNELS.len()],
            Event::Broken(steps, fail) => {
                let plan = self.plan();
                for (n, entry) in plan.entries.iter().filter(|e| e.action != Action::Keep).take(steps).enumerate() {
                    self.apply(entry.id, entry.action, entry.amended, fail & (1 << (n % 8)) == 0);
                }
            }
            Event::Refresh => self.refresh(),
            Event::Await(n) => self.awaited = pick(&mut self.held, n).map(|h| h.id).into_iter().collect(),
        }
    }

    fn run(&mut self) -> Plan {
        let plan = self.plan();
        for entry in &plan.entries {
            self.apply(entry.id, entry.action, entry.amended, true);
        }
        plan
    }

    /// To the end, with all that has to be true of it.
    fn refresh(&mut self) {
        let before = self.held.clone();
        let first = self.plan();
        self.check(&first, &before);
        let mut fetched = BTreeSet::new();
        let mut removed = BTreeSet::new();
        let mut runs = 0;
        loop {
            let plan = self.run();
            if plan.is_settled() {
                break;
            }
            runs += 1;
            assert!(runs <= 3, "does not settle: {plan:?}");
            for entry in plan.with(Action::Fetch) {
                assert!(!removed.contains(&entry.id), "{} was removed and is fetched: {plan:?}", entry.version);
                fetched.insert(entry.id);
            }
            for entry in plan.with(Action::Remove) {
                assert!(!fetched.contains(&entry.id), "{} was fetched and is removed: {plan:?}", entry.version);
                removed.insert(entry.id);
            }
        }
        if self.reach != 1 {
            let pending = self.held.iter().find(|h| h.progress == Progress::Pending);
            assert!(pending.is_none(), "stuck: {pending:?}");
        }
        self.check_newest_offered();
        let downloads = self.downloads;
        self.run();
        self.run();
        assert_eq!(self.downloads, downloads, "the same again downloads nothing");
    }

    /// What a plan must not do to what is here, computed by other means than the plan was.
    fn check(&self, plan: &Plan, before: &[Held]) {
        let removed: BTreeSet<Uuid> = plan.with(Action::Remove).map(|e| e.id).collect();
        let usable = |h: &&Held| h.progress == Progress::Ready && !self.withdrawn.contains(&h.id);
        let mut by_place: BTreeMap<(&str, &str), Vec<(Age, &Held)>> = BTreeMap::new();
        for held in before.iter().filter(usable) {
            let channels: Vec<&str> = match held.channels.is_empty() {
                true => vec!["(none)"],
                false => held.channels.iter().map(String::as_str).collect(),
            };
            for channel in channels {
                for component in components(&held.update.files) {
                    by_place.entry((channel, component)).or_default().push((Age::new(held.id, &held.update), held));
                }
            }
        }
        for ((channel, component), mut there) in by_place {
            there.sort_by(|a, b| b.0.cmp(&a.0));
            for (_, held) in there.iter().take(3) {
                let version = &held.update.version;
                assert!(!removed.contains(&held.id), "{version}: of the newest three of {component} in {channel}");
            }
        }
        for held in before.iter().filter(|h| h.progress == Progress::Ready && removed.contains(&h.id)) {
            assert!(!self.in_use.contains(&held.update.version), "{} is in use", held.update.version);
            assert!(self.withdrawn.contains(&held.id) || !self.awaited.contains(&held.id), "awaited");
        }
        // Every update has one entry, and the order of what comes in does not matter.
        let ids: BTreeSet<Uuid> = plan.entries.iter().map(|e| e.id).collect();
        assert_eq!(ids.len(), plan.entries.len());
        let (mut held, mut offered) = (before.to_vec(), self.offered());
        held.reverse();
        offered.reverse();
        assert_eq!(*plan, self.plan_of(&held, &offered));
        for entry in &plan.entries {
            let doubtful = matches!(entry.reason, Reason::SourceUnknown);
            assert!(!doubtful || self.reach == 1);
            assert!(!entry.reason.to_string().is_empty());
        }
    }

    /// The newest three of each component that are looked at are ready, unless an operator decided otherwise.
    fn check_newest_offered(&self) {
        if self.reach < 2 {
            return;
        }
        let mut offered: Vec<Offered> = self.offered().into_iter().filter(|o| o.passes).collect();
        offered.sort_by_key(|o| std::cmp::Reverse(o.update.published_at.at()));
        offered.truncate(10);
        let mut all: BTreeMap<&str, usize> = BTreeMap::new();
        for offered in offered.iter().filter(|o| !self.withdrawn.contains(&o.update.source_id())) {
            let mut needed = false;
            for component in components(&offered.update.files) {
                let before = all.entry(component).or_default();
                *before += 1;
                needed |= *before <= 3;
            }
            let ready = self.held.iter().find(|h| h.id == offered.update.source_id());
            // An upload may take its place.
            let uploads = self.held.iter().any(|h| h.arrival == Arrival::Upload);
            assert!(!needed || ready.is_some() || uploads || self.by_hand(&offered.update), "{:?}", offered.update);
            assert!(ready.is_none_or(|h| h.update.files == offered.update.files || offered.update.files.is_empty()));
        }
    }

    /// Whether updates that the index does not have take the place of this one.
    fn by_hand(&self, update: &Published) -> bool {
        let offered: BTreeSet<Uuid> = self.published.iter().map(Published::source_id).collect();
        let newer = |h: &&Held| h.update.version > update.version;
        self.held.iter().filter(newer).any(|h| !offered.contains(&h.id) || h.update.url != update.url)
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn histories_settle_and_lose_nothing(events in prop::collection::vec(event(), 1..40)) {
        let mut world = World::new();
        for event in events {
            world.happens(event);
        }
        world.refresh();
        world.reach = 2;
        world.refresh();
    }
}

/// A source with the components that a filter or publisher leaves out: upstream downloads all and deletes all but three,
/// again and again.
#[test]
fn incomplete_updates_do_not_oscillate() {
    let mut world = World::new();
    for _ in 0..10 {
        world.happens(Event::Publish(0b1000_1001));
    }
    world.refresh();
    assert_eq!((world.downloads, world.held.len()), (3, 3));
    world.happens(Event::Publish(0b1000_1001));
    world.refresh();
    assert_eq!((world.downloads, world.held.len()), (4, 3));
}

#[test]
fn an_update_taken_from_all_channels_stays_and_does_not_come_back_into_one() {
    let mut world = World::new();
    for _ in 0..3 {
        world.happens(Event::Publish(0x1ff));
    }
    world.refresh();
    let newest = world.published[0].source_id();
    world.held.iter_mut().find(|h| h.id == newest).unwrap().channels.clear();
    world.refresh();
    let held = world.held.iter().find(|h| h.id == newest).unwrap();
    assert!(held.channels.is_empty() && held.progress == Progress::Ready);
}

#[test]
fn a_failed_download_is_resumed_by_the_next_run() {
    let mut world = World::new();
    world.happens(Event::Publish(0x1ff));
    world.happens(Event::Broken(1, 1));
    assert_eq!(world.held[0].progress, Progress::Pending);
    assert_eq!(world.plan().entries[0].action, Action::Resume);
    world.happens(Event::Refresh);
    assert_eq!(world.held[0].progress, Progress::Ready);
}

#[test]
fn an_old_component_is_kept_until_three_newer_ones_carry_it() {
    let mut world = World::new();
    for components in [0x1ff, 1, 1, 1, 1] {
        world.happens(Event::Publish(components));
        world.refresh();
    }
    let numbers: Vec<&str> = world.held.iter().map(|h| h.update.url.as_str()).collect();
    assert_eq!(numbers, ["/1", "/3", "/4", "/5"]);
    let plan = world.plan();
    let oldest = plan.entries.iter().find(|e| e.version.ends_with("00001")).unwrap();
    assert!(oldest.reason.to_string().starts_with("number 1 of the newest with "), "{}", oldest.reason);
}

/// The newest one loses a component at the source: the oldest one has a place again, before anything was downloaded.
#[test]
fn an_update_whose_files_change_leaves_its_place_to_an_older_one() {
    let mut world = World::new();
    for _ in 0..4 {
        world.happens(Event::Publish(0x1ff));
        world.happens(Event::Broken(1, 0));
    }
    world.published.truncate(1);
    world.happens(Event::Change(0, 1, 0));
    let plan = world.plan();
    let actions: Vec<Action> = plan.entries.iter().map(|e| e.action).collect();
    assert_eq!(actions, [Action::Complete, Action::Keep, Action::Keep, Action::Keep]);
    world.refresh();
    assert_eq!(world.held.len(), 4);
}

#[test]
fn a_withdrawn_update_is_not_fetched_and_takes_no_place() {
    let mut world = World::new();
    for _ in 0..4 {
        world.happens(Event::Publish(0x1ff));
    }
    world.withdrawn.insert(world.published[0].source_id());
    world.refresh();
    let plan = world.plan();
    assert_eq!(plan.entries[0].reason, Reason::Withdrawn);
    assert_eq!(plan.entries[0].action, Action::Leave);
    assert_eq!(world.held.len(), 3);
    world.withdrawn.clear();
    world.refresh();
    assert_eq!(world.held.len(), 3);
    assert!(world.held.iter().any(|h| h.update.url == "/4"));
}

#[test]
fn what_the_source_took_back_is_named_and_kept() {
    let mut world = World::new();
    for _ in 0..3 {
        world.happens(Event::Publish(0x1ff));
    }
    world.refresh();
    let middle = world.published.remove(1).source_id();
    world.published.truncate(2);
    let plan = world.plan();
    assert_eq!(plan.taken_back, [middle]);
    assert!(plan.is_settled());
    // The oldest leaves an index by age: nothing is said of it.
    world.published.truncate(1);
    assert!(world.plan().taken_back.is_empty());
}

#[test]
fn a_source_that_cannot_be_asked_removes_no_download_and_retention_goes_on() {
    let mut world = World::new();
    for _ in 0..5 {
        world.happens(Event::Upload(0x1ff));
    }
    world.happens(Event::Publish(0x1ff));
    world.happens(Event::Broken(1, 1));
    world.reach = 1;
    let plan = world.plan();
    assert_eq!(plan.entries[0].reason, Reason::SourceUnknown);
    assert_eq!(plan.with(Action::Remove).count(), 2, "the oldest two uploads");
    world.reach = 0;
    assert_eq!(world.plan().entries[0].reason, Reason::Gone);
}
