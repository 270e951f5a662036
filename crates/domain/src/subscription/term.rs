//! From when to when a subscription keeps machines.
//!
//! Cycles are calendar months in UTC, counted from the start: what starts on the 31st ends on the last day of a shorter month
//! and on the 31st again of the next long one. A renewal moves the end to the next such day, and as many further as have
//! passed while nobody looked.

use jiff::{Span, civil::DateTime, tz::TimeZone};
use muster_api::time::Time;

/// Longest cycle, in months: ten years.
pub const CYCLE_LIMIT: u16 = 120;

/// Why a term cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TermError {
    /// The end comes first.
    #[error("ends {ends} must be after starts {starts}")]
    Order {
        /// The start.
        starts: Time,
        /// The end.
        ends: Time,
    },
    /// A cycle of this many months.
    #[error("cycle_months {0} must be from 0 to {CYCLE_LIMIT}")]
    Cycle(i64),
    /// Renewed, but for how long?
    #[error("renew needs cycle_months: the months that each renewal adds")]
    RenewWithoutCycle,
    /// Beyond the years that can be counted.
    #[error("starts {0} with this cycle ends after the year 9999")]
    TooFar(Time),
}

/// Where a time is in a term.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// It has not begun.
    Waiting,
    /// It runs.
    Running,
    /// It is over, or due to be renewed.
    Over,
}

/// From when to when, and what then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Term {
    starts: Time,
    ends: Option<Time>,
    cycle_months: u16,
    renew: bool,
}

impl Term {
    /// A term. With a cycle and without an end it ends after one cycle; without both it has no end.
    ///
    /// # Errors
    /// What does not go together, by field.
    pub fn new(starts: Time, ends: Option<Time>, cycle_months: i64, renew: bool) -> Result<Self, TermError> {
        let cycle = u16::try_from(cycle_months).ok().filter(|cycle| *cycle <= CYCLE_LIMIT);
        let cycle = cycle.ok_or(TermError::Cycle(cycle_months))?;
        if renew && cycle == 0 {
            return Err(TermError::RenewWithoutCycle);
        }
        let mut term = Self { starts, ends, cycle_months: cycle, renew };
        if ends.is_none() && cycle > 0 {
            term.ends = Some(term.after_cycles(1).ok_or(TermError::TooFar(starts))?);
        }
        match term.ends {
            Some(ends) if ends <= starts => Err(TermError::Order { starts, ends }),
            _ => Ok(term),
        }
    }

    /// When it begins.
    pub fn starts(&self) -> Time {
        self.starts
    }

    /// When it ends, if ever.
    pub fn ends(&self) -> Option<Time> {
        self.ends
    }

    /// The length of a cycle in months; 0 for none.
    pub fn cycle_months(&self) -> u16 {
        self.cycle_months
    }

    /// Whether a cycle follows a cycle.
    pub fn renew(&self) -> bool {
        self.renew
    }

    /// Where a time is in it. The end itself is outside.
    pub fn phase(&self, now: Time) -> Phase {
        match self.ends {
            _ if now < self.starts => Phase::Waiting,
            Some(ends) if ends <= now => Phase::Over,
            _ => Phase::Running,
        }
    }

    /// The term as renewed at a time at which it is over: it ends after that time. None when it is not to be renewed, or
    /// when the calendar ends.
    pub fn renewed(&self, now: Time) -> Option<Self> {
        if !self.renew || self.phase(now) != Phase::Over {
            return None;
        }
        self.end_of_cycle(now).map(|ends| Self { ends: Some(ends), ..*self })
    }

    /// The end of the cycle in which a time is: the first day that counts from the start and is after that time. None
    /// without a cycle, or when the calendar ends.
    pub fn end_of_cycle(&self, now: Time) -> Option<Time> {
        if self.cycle_months == 0 {
            return None;
        }
        let (start, at) = (civil(self.starts), civil(now));
        let months =
            (i64::from(at.year()) - i64::from(start.year())) * 12 + i64::from(at.month()) - i64::from(start.month());
        let mut count = (months / i64::from(self.cycle_months)).max(1);
        loop {
            let ends = self.after_cycles(count)?;
            if ends > now {
                return Some(ends);
            }
            count += 1;
        }
    }

    /// When it has to be looked at next: at its start, and at its end.
    pub fn next(&self, now: Time) -> Option<Time> {
        match self.phase(now) {
            Phase::Waiting => Some(self.starts),
            Phase::Running => self.ends,
            Phase::Over => None,
        }
    }

    /// The start and so many whole cycles. Days that a month does not have become its last one.
    fn after_cycles(&self, count: i64) -> Option<Time> {
        let months = count.checked_mul(i64::from(self.cycle_months))?;
        let span = Span::new().try_months(months).ok()?;
        let moved = civil(self.starts).checked_add(span).ok()?;
        TimeZone::UTC.to_timestamp(moved).ok().map(Time)
    }
}

fn civil(at: Time) -> DateTime {
    TimeZone::UTC.to_datetime(at.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Time {
        let text = if text.contains('T') { text.to_owned() } else { format!("{text}T00:00:00Z") };
        Time(text.parse().unwrap())
    }

    fn ends(term: Option<Term>) -> Time {
        term.unwrap().ends().unwrap()
    }

    #[test]
    fn a_cycle_gives_the_end_and_a_renewal_the_next_one() {
        let term = Term::new(at("2026-01-31"), None, 1, true).unwrap();
        assert_eq!(term.ends(), Some(at("2026-02-28")));
        assert_eq!(term.renewed(at("2026-02-27")), None, "not over yet");
        let march = term.renewed(at("2026-02-28")).unwrap();
        assert_eq!(march.ends(), Some(at("2026-03-31")), "counted from the start, not from February");
        assert_eq!(ends(march.renewed(at("2026-03-31"))), at("2026-04-30"));
        assert_eq!(ends(term.renewed(at("2028-02-10"))), at("2028-02-29"), "as many as have passed, leap days too");
        assert_eq!(ends(term.renewed(at("2028-02-29"))), at("2028-03-31"));
        let year = Term::new(at("2024-02-29T12:30:00Z"), None, 12, true).unwrap();
        assert_eq!(year.ends(), Some(at("2025-02-28T12:30:00Z")));
        assert_eq!(ends(year.renewed(at("2027-12-01"))), at("2028-02-29T12:30:00Z"));
    }

    #[test]
    fn an_end_of_ones_own_is_followed_by_the_days_that_count_from_the_start() {
        let term = Term::new(at("2026-01-10"), Some(at("2026-01-20")), 3, true).unwrap();
        assert_eq!(ends(term.renewed(at("2026-01-20"))), at("2026-04-10"));
        let late = Term::new(at("2026-01-10"), Some(at("2027-01-11")), 6, true).unwrap();
        assert_eq!(ends(late.renewed(at("2027-01-11"))), at("2027-07-10"));
    }

    #[test]
    fn phases_and_when_to_look_again() {
        let term = Term::new(at("2026-01-01"), Some(at("2026-02-01")), 0, false).unwrap();
        for (now, phase, next) in [
            ("2025-12-31", Phase::Waiting, Some("2026-01-01")),
            ("2026-01-01", Phase::Running, Some("2026-02-01")),
            ("2026-01-31", Phase::Running, Some("2026-02-01")),
            ("2026-02-01", Phase::Over, None),
        ] {
            assert_eq!((term.phase(at(now)), term.next(at(now))), (phase, next.map(at)), "{now}");
        }
        assert_eq!(term.renewed(at("2026-03-01")), None);
        let open = Term::new(at("2026-01-01"), None, 0, false).unwrap();
        assert_eq!((open.phase(at("9999-01-01")), open.next(at("9999-01-01"))), (Phase::Running, None));
    }

    #[test]
    fn what_does_not_go_together_is_named() {
        let new = |starts: &str, ends: Option<&str>, cycle, renew| {
            Term::new(at(starts), ends.map(at), cycle, renew).unwrap_err().to_string()
        };
        assert!(new("2026-01-01", Some("2026-01-01"), 0, false).contains("ends 2026-01-01T00:00:00Z must be after"));
        assert!(new("2026-01-01", None, 0, true).contains("renew needs cycle_months"));
        for cycle in [-1, 121, i64::MAX, i64::MIN] {
            assert!(new("2026-01-01", None, cycle, false).contains("cycle_months"), "{cycle}");
        }
        assert!(new("9999-12-01", None, 1, false).contains("9999"));
        let last = Term::new(at("9999-01-01"), Some(at("9999-12-01")), 12, true).unwrap();
        assert_eq!(last.renewed(at("9999-12-01")), None, "the calendar ends");
        let first = Term::new(Time::never(), None, 1, true).unwrap();
        assert_eq!(ends(first.renewed(at("2026-05-17"))), at("2026-06-01"), "found at once, from year 1");
    }
}
