//! Hours for which machines were in use, by month, owner and type: from the transitions of the audit.

use std::collections::{BTreeMap, HashMap};

use jiff::{Timestamp, ToSpan, civil::Date, tz::TimeZone};
use muster_api::report::Used;

/// One that is in use.
#[derive(Debug)]
struct Open {
    since: Timestamp,
    owner: String,
    kind: String,
}

/// Adds up. Memory grows with the number of machines and of months, owners and types, not with that of transitions.
#[derive(Debug, Default)]
pub struct Usage {
    open: HashMap<String, Open>,
    /// Microseconds.
    sums: BTreeMap<(Date, String, String), u64>,
}

impl Usage {
    /// Takes the next transition of a machine; they come in the order of their time. `owner` has it from then on.
    pub fn transition(&mut self, at: Timestamp, machine: &str, to: &str, owner: &str, kind: &str) {
        if let Some(open) = self.open.remove(machine) {
            self.close(&open, at);
        }
        if matches!(to, "used" | "used_registering") {
            let open = Open { since: at, owner: owner.to_owned(), kind: kind.to_owned() };
            self.open.insert(machine.to_owned(), open);
        }
    }

    /// The sums up to now, by month, owner and type.
    pub fn finish(mut self, now: Timestamp) -> Vec<Used> {
        for (_, open) in std::mem::take(&mut self.open) {
            self.close(&open, now);
        }
        let used = self.sums.into_iter().map(|((month, owner, server_type), micros)| Used {
            month: month.strftime("%Y-%m").to_string(),
            owner,
            server_type,
            hours: micros as f64 / 3_600_000_000.0,
        });
        used.collect()
    }

    /// Spreads a time over the months that it is in.
    fn close(&mut self, open: &Open, until: Timestamp) {
        let mut at = open.since;
        while at < until {
            let month = TimeZone::UTC.to_datetime(at).date().first_of_month();
            let next = month.checked_add(1.month()).and_then(|next| TimeZone::UTC.to_timestamp(next.at(0, 0, 0, 0)));
            let end = next.unwrap_or(until).min(until);
            let micros = u64::try_from(end.duration_since(at).as_micros()).unwrap_or_default();
            *self.sums.entry((month, open.owner.clone(), open.kind.clone())).or_default() += micros;
            at = end;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn told(usage: Usage, now: &str) -> Vec<(String, String, f64)> {
        usage.finish(at(now)).into_iter().map(|used| (used.month, used.owner, used.hours)).collect()
    }

    #[test]
    fn hours_belong_to_their_month_and_owner() {
        let mut usage = Usage::default();
        usage.transition(at("2026-10-31T22:00:00Z"), "a", "available", "", "t");
        usage.transition(at("2026-10-31T23:00:00Z"), "a", "used", "anna", "t");
        usage.transition(at("2026-11-01T02:00:00Z"), "a", "used_registering", "anna", "t");
        usage.transition(at("2026-11-01T03:00:00Z"), "a", "used", "anna", "t");
        usage.transition(at("2026-11-01T04:30:00Z"), "a", "cleaning", "", "t");
        usage.transition(at("2026-12-31T23:00:00Z"), "b", "used", "bert", "t");
        let anna = |month: &str, hours| (month.to_owned(), "anna".to_owned(), hours);
        let bert = |month: &str, hours| (month.to_owned(), "bert".to_owned(), hours);
        let expected = [
            anna("2026-10", 1.0),
            anna("2026-11", 4.5),
            bert("2026-12", 1.0),
            bert("2027-01", 31.0 * 24.0),
            bert("2027-02", 1.0),
        ];
        assert_eq!(told(usage, "2027-02-01T01:00:00Z"), expected);
    }

    proptest! {
        #[test]
        fn no_hour_is_lost_or_counted_twice(steps in prop::collection::vec((1..5_000_000i64, 0..3usize, any::<bool>()), 0..60)) {
            let (mut usage, mut now, mut expected) = (Usage::default(), 1_790_000_000, 0i64);
            let mut used = [None; 3];
            for (pause, machine, uses) in steps {
                now += pause;
                let to = if uses { "used" } else { "available" };
                usage.transition(Timestamp::from_second(now).unwrap(), ["a", "b", "c"][machine], to, "o", "t");
                expected += used[machine].map_or(0, |since| now - since);
                used[machine] = uses.then_some(now);
            }
            now += 1;
            expected += used.iter().flatten().map(|since| now - since).sum::<i64>();
            let hours: f64 = usage.finish(Timestamp::from_second(now).unwrap()).iter().map(|used| used.hours).sum();
            prop_assert!((hours * 3600.0 - expected as f64).abs() < 0.01, "{} of {expected} s", hours * 3600.0);
        }
    }
}
