//! `servers.md` 8.2 as data, and the limits.

use super::super::enrolment::FailureKind;
use super::*;

fn at(s: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + s).unwrap()
}

fn fail() -> PollOutcome {
    PollOutcome::Failed(Failure { what: FailureKind::Connect, how: "refused".into() })
}

fn ok(boot: i64) -> PollOutcome {
    PollOutcome::Reached(Observation { boot_at: Some(at(boot)), ..Default::default() })
}

fn background(e: &Enrolment, outcome: &PollOutcome, now: i64) -> Step {
    after_poll(e, outcome, PollOrigin::Background, &Limits::default(), at(now))
}

fn by_person(e: &Enrolment, outcome: &PollOutcome, now: i64) -> Step {
    after_poll(e, outcome, PollOrigin::Person, &Limits::default(), at(now))
}

fn state(step: &Step) -> (ServerStatus, StatusDetail) {
    (step.enrolment.status, step.enrolment.detail)
}

#[test]
fn a_poll_that_answers_makes_ready() {
    for (from, registered) in [
        ((Pending, Detail::Registering), true),
        ((Pending, Detail::ReConfiguring), false),
        ((Offline, Detail::Unresponsive), false),
        ((Offline, Detail::ShutDown), false),
        ((Unknown, Detail::None), false),
    ] {
        let step = by_person(&Enrolment::new(from.0, from.1, at(0)), &ok(-100), 60);
        assert_eq!(state(&step), (Ready, Detail::None), "{from:?}");
        assert_eq!(step.registered, registered, "{from:?}");
        assert!(step.changed && step.seen && step.wait.is_none());
        assert!(step.clear.contains(&WarningKind::Unreachable));
        assert_eq!(step.enrolment.boot_at, Some(at(-100)));
    }
}

#[test]
fn a_ready_server_needs_three_failures_in_a_row() {
    let mut e = Enrolment::new(Ready, Detail::Updating, at(0));
    for n in 1..=2 {
        let step = background(&e, &fail(), n);
        assert_eq!(state(&step), (Ready, Detail::Updating));
        assert!(step.raise.is_empty() && !step.changed);
        assert_eq!(
            step.wait.unwrap().to_string(),
            format!("no answer, {n} of 3 in a row: the connection failed: refused")
        );
        e = step.enrolment;
    }
    // An answer in between starts the count anew.
    assert_eq!(background(&e, &ok(-9), 3).enrolment.failures, 0);
    let third = background(&e, &fail(), 3);
    assert_eq!(state(&third), (Offline, Detail::Unresponsive));
    assert_eq!(third.raise[0].message, "Server connection test failed (status ready)");
    assert_eq!(third.raise[0].kind.text(), "Server unreachable");
}

#[test]
fn a_person_is_told_at_once() {
    let ready = Enrolment::new(Ready, Detail::None, at(0));
    let step = by_person(&ready, &fail(), 1);
    assert_eq!(state(&step), (Offline, Detail::Unresponsive));
    assert!(step.changed && step.wait.is_none() && step.raise.len() == 1);
}

#[test]
fn failures_leave_pending_shut_down_and_unknown_alone() {
    let pending = Enrolment::new(Pending, Detail::Registering, at(0));
    let step = by_person(&pending, &fail(), 60);
    assert_eq!(
        (state(&step), step.wait.as_ref().unwrap().to_string()),
        ((Pending, Detail::Registering), "still pending".into())
    );
    assert!(step.wait.unwrap().is_error() && step.raise.is_empty());
    assert_eq!(background(&pending, &fail(), 16 * 60).raise.len(), 1);
    let off = background(&Enrolment::new(Offline, Detail::ShutDown, at(0)), &fail(), 60);
    assert!(off.raise.is_empty() && !off.changed && off.wait.is_none());
    let unknown = background(&Enrolment::new(Unknown, Detail::None, at(0)), &fail(), 60);
    assert!(unknown.raise.len() == 1 && !unknown.changed);
    let dead = background(&Enrolment::new(Offline, Detail::Unresponsive, at(0)), &fail(), 60);
    assert!(dead.raise.len() == 1 && !dead.changed);
}

#[test]
fn not_ready_changes_nothing_but_tells() {
    for from in [(Pending, Detail::Registering), (Offline, Detail::Unresponsive), (Ready, Detail::None)] {
        let step = by_person(&Enrolment::new(from.0, from.1, at(0)), &PollOutcome::NotReady { boot_at: None }, 9);
        assert_eq!((state(&step), step.changed), (from, false));
        assert_eq!(step.wait.unwrap().to_string(), "Server is not yet ready");
    }
}

#[test]
fn a_boot_after_the_request_is_new_however_young_the_one_before_was() {
    let mut e = Enrolment::new(Offline, Detail::Rebooting, at(0));
    e.boot_at = Some(at(-3));
    assert_eq!(state(&background(&e, &ok(3), 8)), (Ready, Detail::None));
    // Uptimes come in whole seconds: this may be the boot of before.
    assert_eq!(state(&background(&e, &ok(1), 8)), (Offline, Detail::Rebooting));
}

#[test]
fn no_incusos_and_no_registration_change_nothing() {
    let ready = Enrolment::new(Ready, Detail::None, at(0));
    let mut step = background(&ready, &PollOutcome::NotIncusOs, 1);
    let reason = step.enrolment.last_failure.take().unwrap().how;
    assert_eq!((reason.contains("IncusOS"), step), (true, Step::unchanged(&ready)));
    let new = Enrolment::new(Unregistered, Detail::None, at(0));
    for outcome in [fail(), ok(0), PollOutcome::NotReady { boot_at: None }] {
        assert_eq!(by_person(&new, &outcome, 1), Step::unchanged(&new));
    }
    assert_eq!(poll_interval(&new, at(1)), None);
}

#[test]
fn silence_is_expected_while_the_bmc_is_used() {
    let mut e = Enrolment::new(Ready, Detail::None, at(0));
    e.silence_expected = true;
    let step = by_person(&e, &fail(), 1);
    assert_eq!((state(&step), step.raise.len(), step.enrolment.failures), ((Ready, Detail::None), 0, 0));
    assert!(!step.wait.unwrap().is_error());
}

#[test]
fn maintenance_ends_by_poll_and_by_event() {
    let mut e = Enrolment::new(Ready, Detail::Evacuating, at(0));
    e.clustered = true;
    e.maintenance = Maintenance::Evacuating;
    let seen = |m| PollOutcome::Reached(Observation { maintenance: Some(m), ..Default::default() });
    assert_eq!(background(&e, &seen(Maintenance::Evacuating), 900).enrolment.detail, Detail::Evacuating);
    assert_eq!(background(&e, &seen(Maintenance::Evacuated), 9).enrolment.detail, Detail::None);
    let event = after_maintenance_event(&e, MaintenanceEvent::Evacuated, None, at(9));
    assert_eq!((event.enrolment.detail, event.enrolment.maintenance), (Detail::None, Maintenance::Evacuated));

    let mut r = Enrolment::new(Ready, Detail::Restoring, at(0));
    r.clustered = true;
    r.maintenance = Maintenance::Restoring;
    assert_eq!(background(&r, &seen(Maintenance::None), 9).enrolment.detail, Detail::None);
    // While its cluster is updated, `restoring` with maintenance none is "post restore" and the cluster ends it.
    r.cluster_update = true;
    let step = background(&r, &seen(Maintenance::None), 9);
    assert_eq!((step.enrolment.detail, step.enrolment.maintenance), (Detail::Restoring, Maintenance::None));
    let event = after_maintenance_event(&r, MaintenanceEvent::Restored, None, at(9));
    assert_eq!((event.enrolment.detail, event.enrolment.maintenance), (Detail::Restoring, Maintenance::None));
    assert!(event.changed);
}

#[test]
fn an_event_does_not_end_another_action() {
    let mut e = Enrolment::new(Offline, Detail::Rebooting, at(0));
    e.maintenance = Maintenance::Evacuating;
    let step = after_maintenance_event(&e, MaintenanceEvent::Evacuated, None, at(9));
    assert_eq!((state(&step), step.enrolment.maintenance), ((Offline, Detail::Rebooting), Maintenance::Evacuated));
}

#[test]
fn the_cadence_follows_the_state() {
    let every = |status, detail, failures, now| {
        let mut e = Enrolment::new(status, detail, at(0));
        e.failures = failures;
        poll_interval(&e, at(now)).unwrap().as_secs()
    };
    assert_eq!(every(Pending, Detail::Registering, 0, 0), 60);
    assert_eq!(every(Ready, Detail::None, 0, 0), 300);
    assert_eq!(every(Ready, Detail::None, 1, 0), 10);
    assert_eq!(every(Ready, Detail::Updating, 0, 0), 30);
    assert_eq!(every(Offline, Detail::Rebooting, 4, 0), 30);
    assert_eq!(every(Offline, Detail::Unresponsive, 9, 0), 10);
    assert_eq!(every(Offline, Detail::Unresponsive, 9, 3600), 60);
}
