//! The reference's defects of `servers.md` 16 that are decided here, each with what happens instead.

use jiff::Timestamp;
use muster_api::provisioning::status::{Maintenance, ServerStatus, StatusDetail};

use super::action::{ActionContext, ActionRefused, ServerAction, begin, begin_update};
use super::address::connection_url;
use super::enrolment::{
    Enrolment, Failure, FailureKind, Limits, Observation, PollOrigin, PollOutcome, Step, WarningKind,
};
use super::status::{MaintenanceEvent, after_maintenance_event, after_poll, poll_interval};
use super::version::{Installed, InstalledOs, UpdateGoal};
use ServerStatus::{Offline, Ready};
use StatusDetail as Detail;

fn at(s: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + s).unwrap()
}

fn poll(e: &Enrolment, outcome: PollOutcome, now: i64) -> Step {
    after_poll(e, &outcome, PollOrigin::Background, &Limits::default(), at(now))
}

fn fail() -> PollOutcome {
    PollOutcome::Failed(Failure { what: FailureKind::Timeout, how: "10.0.0.1:8443".into() })
}

fn answer(boot: Option<i64>) -> PollOutcome {
    PollOutcome::Reached(Observation { boot_at: boot.map(at), ..Default::default() })
}

fn free() -> ActionContext {
    ActionContext { incus: true, cluster_busy: false, in_flight: None, force: false }
}

#[test]
fn defect_5_a_chosen_connection_url_is_kept() {
    let management = ["10.0.0.5".parse().unwrap(), "10.0.0.4".parse().unwrap()];
    let url = |current| connection_url(current, &management).unwrap();
    assert_eq!(url("https://10.0.0.5:9000"), "https://10.0.0.5:9000");
    assert_eq!(url("https://node1.example.test:8443"), "https://node1.example.test:8443");
    // The address is gone: another one takes its place, the port stays.
    assert_eq!(url("https://10.0.0.77:9000"), "https://10.0.0.4:9000");
    assert_eq!(url("https://10.0.0.77"), "https://10.0.0.4:443");
    assert_eq!(url(""), "https://10.0.0.4:8443");
}

#[test]
fn defect_6_a_reboot_ends_with_a_new_boot_not_after_30_seconds() {
    let mut ready = Enrolment::new(Ready, Detail::None, at(-5000));
    ready.boot_at = Some(at(-5000));
    let rebooting = begin(&ready, ServerAction::Reboot, free(), at(0)).unwrap();
    // It needs minutes to go down: the old boot answers (its uptime is rounded), and that ends nothing.
    for now in [1, 31, 120, 600] {
        let step = poll(&rebooting, answer(Some(-4998)), now);
        assert!(step.enrolment.is(Offline, Detail::Rebooting), "after {now} s");
        assert_eq!(step.wait.unwrap().to_string(), "still rebooting (in reboot grace period)");
    }
    // A fast machine that is up again after 8 s has rebooted.
    assert!(poll(&rebooting, answer(Some(4)), 12).enrolment.is(Ready, Detail::None));
    // The boot before was never seen: one that began after the request is new, one before it is not.
    let unseen = Enrolment { boot_at: None, ..rebooting.clone() };
    assert!(poll(&unseen, answer(Some(4)), 40).enrolment.is(Ready, Detail::None));
    assert!(poll(&unseen, answer(Some(-4)), 40).enrolment.is(Offline, Detail::Rebooting));
    // A machine that reports no uptime must have been seen away.
    assert!(poll(&rebooting, answer(None), 300).enrolment.is(Offline, Detail::Rebooting));
    let away = poll(&rebooting, fail(), 40).enrolment;
    assert!(poll(&away, answer(None), 70).enrolment.is(Ready, Detail::None));
}

#[test]
fn defect_7_a_refused_action_leaves_the_running_one_alone() {
    let ready = Enrolment::new(Ready, Detail::None, at(0));
    let rebooting = begin(&ready, ServerAction::Reboot, free(), at(0)).unwrap();
    let busy = ActionContext { in_flight: Some(ServerAction::Reboot), force: true, ..free() };
    // However often it is asked, also with force: the answer is the same and nothing is cleared.
    for _ in 0..3 {
        let refused = begin(&rebooting, ServerAction::Reboot, busy, at(5)).unwrap_err();
        assert_eq!(refused, ActionRefused::InFlight { wanted: ServerAction::Reboot, running: ServerAction::Reboot });
        assert!(refused.is_retryable());
    }
}

#[test]
fn defect_8_a_failed_evacuation_or_restore_does_not_stay_for_good() {
    let ready = Enrolment::new(Ready, Detail::None, at(0));
    let evacuating = begin(&ready, ServerAction::Evacuate, free(), at(0)).unwrap();
    // Told by the operation.
    let step = after_maintenance_event(&evacuating, MaintenanceEvent::EvacuationFailed, Some("no space"), at(60));
    assert!(step.enrolment.is(Ready, Detail::None) && step.enrolment.maintenance == Maintenance::None);
    assert_eq!(step.raise[0].message, "Evacuation failed: no space");
    let restoring = begin(&ready, ServerAction::Restore, free(), at(0)).unwrap();
    let step = after_maintenance_event(&restoring, MaintenanceEvent::RestoreFailed, None, at(60));
    assert!(step.enrolment.is(Ready, Detail::None) && step.enrolment.maintenance == Maintenance::Evacuated);
    // Never told: the poll sees that nothing is under way.
    let seen = |m| PollOutcome::Reached(Observation { maintenance: Some(m), ..Default::default() });
    assert!(poll(&evacuating, seen(Maintenance::None), 60).enrolment.is(Ready, Detail::Evacuating));
    let step = poll(&evacuating, seen(Maintenance::None), 301);
    assert!(step.enrolment.is(Ready, Detail::None));
    assert_eq!(step.raise[0].kind, WarningKind::MaintenanceNotFinished);
    let step = poll(&restoring, seen(Maintenance::Evacuated), 301);
    assert!(step.enrolment.is(Ready, Detail::None) && step.raise.len() == 1);
}

#[test]
fn defect_9_updating_ends_with_what_it_was_started_for() {
    let ready = Enrolment::new(Ready, Detail::None, at(0));
    let goal = UpdateGoal([("IncusOS".to_owned(), "202511020000".to_owned())].into());
    // Only the configuration was pushed: nothing is being updated.
    let pushed = begin_update(&ready, goal.clone(), false, free(), at(1)).unwrap();
    assert_eq!(pushed, ready);
    let updating = begin_update(&ready, goal, true, free(), at(1)).unwrap();
    let seen = |version: &str| {
        let os = InstalledOs { name: "IncusOS".into(), version_next: version.into(), ..Default::default() };
        let installed = Some(Installed { os, applications: Vec::new() });
        // A newer update entered the channel meanwhile, so that an update is due all the time.
        PollOutcome::Reached(Observation { needs_update: true, installed, ..Default::default() })
    };
    assert!(poll(&updating, seen("202511010000"), 60).enrolment.is(Ready, Detail::Updating));
    assert!(poll(&updating, seen("202511020000"), 90).enrolment.is(Ready, Detail::None));
    // And one that never gets there ends with a warning.
    let step = poll(&updating, seen("202511010000"), 3700);
    assert!(step.enrolment.is(Ready, Detail::None));
    assert_eq!(step.raise[0].kind, WarningKind::UpdateNotFinished);
}

#[test]
fn defect_10_shut_down_is_polled_and_rebooting_has_an_end() {
    let off = Enrolment::new(Offline, Detail::ShutDown, at(0));
    assert_eq!(poll_interval(&off, at(9)).unwrap().as_secs(), 300);
    assert!(poll(&off, answer(Some(900)), 1000).enrolment.is(Ready, Detail::None));
    assert!(poll(&off, answer(Some(20)), 60).enrolment.is(Ready, Detail::None), "switched on again at once");
    // It answers once more while it goes down: still shut down, unless that lasts, or a person asks.
    let going = Enrolment { boot_at: Some(at(-99)), ..off };
    assert!(poll(&going, answer(Some(-99)), 60).enrolment.is(Offline, Detail::ShutDown));
    assert!(poll(&going, answer(Some(-99)), 601).enrolment.is(Ready, Detail::None));
    let asked = after_poll(&going, &answer(Some(-99)), PollOrigin::Person, &Limits::default(), at(60));
    assert!(asked.enrolment.is(Ready, Detail::None));

    let rebooting = Enrolment::new(Offline, Detail::Rebooting, at(0));
    let limit = Limits::default().reboot.as_secs();
    let step = poll(&rebooting, fail(), limit);
    assert!(step.enrolment.is(Offline, Detail::Rebooting));
    assert_eq!(step.wait.unwrap().to_string(), "still rebooting");
    let step = poll(&rebooting, fail(), limit + 1);
    assert!(step.enrolment.is(Offline, Detail::Unresponsive));
    assert_eq!(step.raise[0].message, "Server did not come back from its reboot within 20 minutes");
    // It never went down: ready it is, and somebody should know.
    let step = poll(&Enrolment { boot_at: Some(at(-99)), ..rebooting }, answer(Some(-99)), limit + 1);
    assert!(step.enrolment.is(Ready, Detail::None));
    assert_eq!(step.raise[0].kind, WarningKind::RebootNotDone);
}
