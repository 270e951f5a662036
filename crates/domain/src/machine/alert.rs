//! Health alerts (`lifecycle.md` 3.3, 5.2): what is wrong with a machine, by who says so, and what that forbids. Each source
//! reports for itself, and replaces or adds to what it reported before; a person may answer for an alert, so that it does not
//! count for a while.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::axes::Alerts;

/// The source of what the center finds out itself; nobody else reports under it.
pub const OWN_SOURCE: &str = "muster";
/// The source of what users say of a machine when they give it back; people end these alerts.
pub const RELEASE_SOURCE: &str = "release";

/// Most alerts of one machine.
pub const MOST: usize = 256;
/// Longest name of a source or an alert, in bytes.
const NAME: usize = 64;
/// Longest message or reason, in bytes.
const TEXT: usize = 2048;

/// What an alert does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Nobody gets the machine.
    PreventAllocations,
    /// Nobody changes its state by request.
    PreventStateChanges,
    /// No warnings about the machine.
    SuppressAlerting,
    /// Its times do not count against what was promised.
    ExcludeFromSla,
    /// Nothing is tried by itself to bring it back.
    StopAutomaticRecovery,
    /// It does not enter the pool, and nobody gets it.
    Blocking,
}

impl Class {
    /// Every one.
    pub const ALL: [Self; 6] = [
        Self::PreventAllocations,
        Self::PreventStateChanges,
        Self::SuppressAlerting,
        Self::ExcludeFromSla,
        Self::StopAutomaticRecovery,
        Self::Blocking,
    ];

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PreventAllocations => "prevent_allocations",
            Self::PreventStateChanges => "prevent_state_changes",
            Self::SuppressAlerting => "suppress_alerting",
            Self::ExcludeFromSla => "exclude_from_sla",
            Self::StopAutomaticRecovery => "stop_automatic_recovery",
            Self::Blocking => "blocking",
        }
    }
}

impl std::fmt::Display for Class {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for Class {
    type Err = UnknownClass;
    fn from_str(s: &str) -> Result<Self, UnknownClass> {
        Self::ALL.into_iter().find(|class| class.as_str() == s).ok_or_else(|| UnknownClass(s.to_owned()))
    }
}

/// A text that names no class.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no class of alerts: prevent_allocations, prevent_state_changes, suppress_alerting, exclude_from_sla, stop_automatic_recovery or blocking"
)]
pub struct UnknownClass(pub String);

/// Somebody answers for an alert: it does not count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Override {
    /// Who.
    pub author: String,
    /// Why.
    pub reason: String,
    /// Since when.
    pub at: Timestamp,
    /// Until when; none: as long as the alert is reported.
    pub expires: Option<Timestamp>,
}

/// Something that is wrong with a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    /// What reports it.
    pub source: String,
    /// What is wrong, unique for the source.
    pub name: String,
    /// What it does; empty: it is only shown.
    pub classes: BTreeSet<Class>,
    /// The same in words.
    pub message: String,
    /// Who reported it last.
    pub author: String,
    /// Since when it is reported without a break.
    pub at: Timestamp,
    /// When it ends by itself.
    pub expires: Option<Timestamp>,
    /// Who answers for it.
    pub overridden: Option<Override>,
}

impl Alert {
    /// Whether it has not ended by itself.
    pub fn is_open(&self, now: Timestamp) -> bool {
        self.expires.is_none_or(|end| now < end)
    }

    /// Whether somebody answers for it now.
    pub fn is_overridden(&self, now: Timestamp) -> bool {
        self.overridden.as_ref().is_some_and(|o| o.expires.is_none_or(|end| now < end))
    }

    /// Whether its classes count now.
    pub fn counts(&self, now: Timestamp) -> bool {
        self.is_open(now) && !self.is_overridden(now)
    }

    /// When time alone changes whether it counts, next.
    pub fn due(&self, now: Timestamp) -> Option<Timestamp> {
        let answered = self.overridden.as_ref().and_then(|o| o.expires).filter(|end| *end > now);
        [self.expires, answered].into_iter().flatten().min()
    }
}

/// One alert of a report.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reported {
    /// What is wrong, unique for the source.
    pub name: String,
    /// What it does.
    pub classes: BTreeSet<Class>,
    /// The same in words.
    pub message: String,
    /// When it ends by itself.
    pub expires: Option<Timestamp>,
}

/// What a report does with what its source reported before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// What is not in it stays.
    Merge,
    /// What is not in it has ended.
    Replace,
}

/// A report of a source about a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// What reports.
    pub source: String,
    /// What it does with those before.
    pub mode: Mode,
    /// What is wrong.
    pub alerts: Vec<Reported>,
    /// Who sends it.
    pub author: String,
}

/// A report that is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {why}")]
pub struct Unfit {
    /// The field, as in the request.
    pub field: String,
    /// What is wrong with it, and what would be right.
    pub why: String,
}

fn unfit<T>(field: impl Into<String>, why: impl Into<String>) -> Result<T, Unfit> {
    Err(Unfit { field: field.into(), why: why.into() })
}

/// Checks a name of a source or of an alert.
///
/// # Errors
/// [`Unfit`] with this field.
pub fn check_name(field: &str, name: &str) -> Result<(), Unfit> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || name.len() > NAME || !name.chars().all(fits) {
        return unfit(field, format!("{name:?} has to be 1 to {NAME} letters, digits, dashes, underscores and dots"));
    }
    Ok(())
}

/// Checks a message or a reason.
///
/// # Errors
/// [`Unfit`] with this field.
pub fn check_text(field: &str, text: &str) -> Result<(), Unfit> {
    if text.trim().is_empty() {
        return unfit(field, "is missing: say in words what is the matter");
    }
    if text.len() > TEXT {
        return unfit(field, format!("has {} bytes, at most {TEXT} are kept", text.len()));
    }
    if text.chars().any(|c| c.is_control() && c != '\n') {
        return unfit(field, "has a control character");
    }
    Ok(())
}

impl Report {
    /// Checks a report of somebody outside.
    ///
    /// # Errors
    /// The first field that is unfit.
    pub fn check(&self, now: Timestamp) -> Result<(), Unfit> {
        check_name("source", &self.source)?;
        if [OWN_SOURCE, RELEASE_SOURCE].contains(&self.source.as_str()) {
            let text = format!("{:?} is the center itself: report under a name of your own", self.source);
            return unfit("source", text);
        }
        if self.alerts.len() > MOST {
            return unfit("alerts", format!("has {} alerts, at most {MOST} are kept", self.alerts.len()));
        }
        let mut names = BTreeSet::new();
        for (n, alert) in self.alerts.iter().enumerate() {
            check_name(&format!("alerts[{n}].name"), &alert.name)?;
            check_text(&format!("alerts[{n}].message"), &alert.message)?;
            if alert.expires.is_some_and(|end| end <= now) {
                return unfit(format!("alerts[{n}].expires_at"), "is over already: give a time to come, or none");
            }
            if !names.insert(&alert.name) {
                return unfit(format!("alerts[{n}].name"), format!("{:?} is there twice", alert.name));
            }
        }
        Ok(())
    }
}

/// What a report makes of the alerts of a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// All alerts of the machine as they are now, of every source, by source and name.
    pub alerts: Vec<Alert>,
    /// Names of those that are new.
    pub opened: Vec<String>,
    /// Names of those that have ended.
    pub closed: Vec<String>,
    /// Whether one that stays says something else than before, or one of another source has ended by itself.
    pub altered: bool,
}

/// Takes a report in. What has expired goes with it. An alert that is reported again is the same one: since when it is there
/// and who answers for it stay, unless it does more than it did when they answered for it.
pub fn take(present: Vec<Alert>, report: Report, now: Timestamp) -> Outcome {
    let (mut own, mut alerts): (Vec<Alert>, Vec<Alert>) = present.into_iter().partition(|a| a.source == report.source);
    let all = alerts.len();
    alerts.retain(|alert| alert.is_open(now));
    let altered = alerts.len() < all;
    let mut outcome = Outcome { alerts, opened: Vec::new(), closed: Vec::new(), altered };
    for reported in report.alerts {
        let before = own.iter().position(|a| a.name == reported.name).map(|n| own.swap_remove(n));
        let before = before.filter(|alert| alert.is_open(now));
        let same = before.as_ref().is_some_and(|a| a.classes == reported.classes && a.message == reported.message);
        match &before {
            None => outcome.opened.push(reported.name.clone()),
            Some(_) => outcome.altered |= !same,
        }
        let (at, overridden) = match before {
            Some(before) if reported.classes.is_subset(&before.classes) => (before.at, before.overridden),
            Some(before) => (before.at, None),
            None => (now, None),
        };
        outcome.alerts.push(Alert {
            source: report.source.clone(),
            name: reported.name,
            classes: reported.classes,
            message: reported.message,
            author: report.author.clone(),
            at,
            expires: reported.expires,
            overridden,
        });
    }
    for alert in own {
        if report.mode == Mode::Merge && alert.is_open(now) {
            outcome.alerts.push(alert);
        } else {
            outcome.closed.push(alert.name);
        }
    }
    outcome.closed.sort();
    outcome.alerts.sort_by(|a, b| (&a.source, &a.name).cmp(&(&b.source, &b.name)));
    outcome
}

/// The classes that count now.
pub fn classes(alerts: &[Alert], now: Timestamp) -> BTreeSet<Class> {
    alerts.iter().filter(|alert| alert.counts(now)).flat_map(|alert| alert.classes.iter().copied()).collect()
}

/// What the alerts of a machine decide.
pub fn axes(alerts: &[Alert], now: Timestamp) -> Alerts {
    let classes = classes(alerts, now);
    let blocking = classes.contains(&Class::Blocking);
    Alerts {
        prevent_allocation: blocking || classes.contains(&Class::PreventAllocations),
        prevent_state_changes: classes.contains(&Class::PreventStateChanges),
        blocking,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Class::{Blocking, ExcludeFromSla, PreventAllocations, PreventStateChanges};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn reported(name: &str, classes: &[Class]) -> Reported {
        let classes = classes.iter().copied().collect();
        Reported { name: name.into(), classes, message: format!("{name} is wrong"), expires: None }
    }

    fn report(source: &str, mode: Mode, alerts: Vec<Reported>) -> Report {
        Report { source: source.into(), mode, alerts, author: "tls:1".into() }
    }

    fn names(alerts: &[Alert]) -> Vec<String> {
        alerts.iter().map(|a| format!("{}/{}", a.source, a.name)).collect()
    }

    #[test]
    fn a_source_merges_or_replaces_its_own_report_only() {
        let fan = take(vec![], report("snmp", Mode::Merge, vec![reported("fan", &[])]), at(1));
        assert_eq!(fan.opened, ["fan"]);
        let both = take(fan.alerts, report("smart", Mode::Merge, vec![reported("disk", &[])]), at(2));
        let more = take(both.alerts, report("snmp", Mode::Merge, vec![reported("psu", &[])]), at(3));
        assert_eq!(names(&more.alerts), ["smart/disk", "snmp/fan", "snmp/psu"]);
        let replaced = take(more.alerts, report("snmp", Mode::Replace, vec![reported("psu", &[])]), at(4));
        assert_eq!(names(&replaced.alerts), ["smart/disk", "snmp/psu"]);
        assert_eq!((replaced.opened, replaced.closed, replaced.altered), (vec![], vec!["fan".to_owned()], false));
        assert_eq!(replaced.alerts[1].at, at(3), "since when it is there stays");
        let none = take(replaced.alerts, report("snmp", Mode::Replace, vec![]), at(5));
        assert_eq!(names(&none.alerts), ["smart/disk"]);
    }

    #[test]
    fn time_ends_alerts_and_answers_for_them() {
        let mut alert =
            take(vec![], report("a", Mode::Merge, vec![reported("x", &[Blocking])]), at(1)).alerts.remove(0);
        alert.expires = Some(at(100));
        alert.overridden =
            Some(Override { author: "anna".into(), reason: "r".into(), at: at(1), expires: Some(at(50)) });
        let due: Vec<_> = [1, 49, 50, 99].map(|s| alert.due(at(s)).unwrap().as_second()).into();
        assert_eq!(due, [50, 50, 100, 100]);
        let counts = [1, 49, 50, 99, 100, 500].map(|s| alert.counts(at(s)));
        assert_eq!(counts, [false, false, true, true, false, false]);
        let later = take(vec![alert], report("b", Mode::Merge, vec![]), at(100));
        assert_eq!(names(&later.alerts), [""; 0]);
    }

    #[test]
    fn who_answered_for_an_alert_did_not_answer_for_a_graver_one() {
        let mut first = take(vec![], report("a", Mode::Merge, vec![reported("x", &[PreventAllocations])]), at(1));
        let answer = Override { author: "anna".into(), reason: "known".into(), at: at(2), expires: None };
        first.alerts[0].overridden = Some(answer.clone());
        assert_eq!(axes(&first.alerts, at(3)), Alerts::default());
        let again = take(first.alerts, report("a", Mode::Replace, vec![reported("x", &[PreventAllocations])]), at(4));
        assert_eq!(again.alerts[0].overridden, Some(answer));
        let graver = report("a", Mode::Replace, vec![reported("x", &[PreventAllocations, Blocking])]);
        let graver = take(again.alerts, graver, at(5));
        assert!(graver.altered && graver.alerts[0].overridden.is_none() && axes(&graver.alerts, at(5)).blocking);
    }

    #[test]
    fn classes_decide_and_most_decide_nothing() {
        let of = |all: &[Class]| {
            axes(&take(vec![], report("a", Mode::Merge, vec![reported("x", all)]), at(1)).alerts, at(1))
        };
        assert_eq!(of(&[]), Alerts::default());
        assert_eq!(of(&[ExcludeFromSla]), Alerts::default());
        assert_eq!(of(&[PreventAllocations]), Alerts { prevent_allocation: true, ..Alerts::default() });
        assert_eq!(of(&[PreventStateChanges]), Alerts { prevent_state_changes: true, ..Alerts::default() });
        assert_eq!(of(&[Blocking]), Alerts { prevent_allocation: true, blocking: true, ..Alerts::default() });
        for class in Class::ALL {
            assert_eq!(class.as_str().parse(), Ok(class));
            assert_eq!(serde_json::to_value(class).unwrap(), class.as_str());
        }
        assert!("fatal".parse::<Class>().unwrap_err().to_string().contains("blocking"));
    }

    #[test]
    fn an_unfit_report_names_the_field_and_the_remedy() {
        let fails = |report: Report| report.check(at(10)).unwrap_err().to_string();
        let with = |alert: Reported| report("snmp", Mode::Merge, vec![reported("ok", &[]), alert]);
        assert!(report("snmp.v2-x_1", Mode::Replace, vec![reported("fan", &[])]).check(at(10)).is_ok());
        assert!(fails(report("muster", Mode::Merge, vec![])).starts_with("source: \"muster\" is the center itself"));
        assert!(fails(report("release", Mode::Merge, vec![])).starts_with("source: \"release\""));
        for source in ["", "a b", "ä", "a/b", &"x".repeat(65)] {
            assert!(fails(report(source, Mode::Merge, vec![])).starts_with("source: "), "{source:?}");
        }
        assert!(fails(with(reported("", &[]))).starts_with("alerts[1].name: "));
        assert!(fails(with(reported("ok", &[]))).contains("there twice"));
        let message = |text: &str| Reported { message: text.into(), ..reported("b", &[]) };
        for text in ["", " ", "a\u{0}", &"x".repeat(2049)] {
            assert!(fails(with(message(text))).starts_with("alerts[1].message: "), "{text:?}");
        }
        let over = Reported { expires: Some(at(10)), ..reported("b", &[]) };
        assert!(fails(with(over)).starts_with("alerts[1].expires_at: is over already"));
        let many = (0..257).map(|n| reported(&n.to_string(), &[])).collect();
        assert!(fails(report("snmp", Mode::Merge, many)).starts_with("alerts: has 257"));
    }
}
