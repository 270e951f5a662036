//! The status machine of an enrolment: what a poll makes of it (`servers.md` 8.2), without the reference's
//! defects 6 and 8 to 10 (`servers.md` 16).

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use muster_api::provisioning::status::{Maintenance, ServerStatus, StatusDetail};

use super::enrolment::{
    Enrolment, Failure, FailureKind, Limits, Observation, PollOrigin, PollOutcome, Step, WaitReason, WarningKind,
};

use ServerStatus::{Offline, Pending, Ready, Unknown, Unregistered};
use StatusDetail as Detail;

/// What a poll makes of an enrolment.
pub fn after_poll(
    enrolment: &Enrolment,
    outcome: &PollOutcome,
    origin: PollOrigin,
    limits: &Limits,
    now: Timestamp,
) -> Step {
    let mut step = Step::unchanged(enrolment);
    if enrolment.status == Unregistered {
        return step;
    }
    if enrolment.silence_expected {
        step.wait = Some(WaitReason::SilenceExpected);
        return step;
    }
    match outcome {
        // Neither alive nor dead as a server; whoever waits for it is told why.
        PollOutcome::NotIncusOs => {
            let how = "it is an Incus without IncusOS below it".to_owned();
            step.enrolment.last_failure = Some(Failure { what: FailureKind::Answer, how });
        }
        PollOutcome::Failed(failure) => failed(&mut step, failure, origin, limits, now),
        PollOutcome::NotReady { boot_at } => not_ready(&mut step, *boot_at, limits, now),
        PollOutcome::Reached(seen) => reached(&mut step, seen, origin, limits, now),
    }
    step.changed = !enrolment.is(step.enrolment.status, step.enrolment.detail);
    step
}

/// It did not answer.
fn failed(step: &mut Step, failure: &Failure, origin: PollOrigin, limits: &Limits, now: Timestamp) {
    let e = &mut step.enrolment;
    e.failures = e.failures.saturating_add(1);
    e.last_failure = Some(failure.clone());
    let tested = format!("Server connection test failed (status {})", e.status);
    match (e.status, e.detail) {
        (Pending, _) => {
            step.wait = Some(WaitReason::StillPending);
            if e.age(now) > limits.pending {
                step.warn(WarningKind::Unreachable, tested);
            }
        }
        (Ready, _) => {
            if origin == PollOrigin::Background && e.failures < limits.failures {
                step.wait = Some(WaitReason::NoAnswer {
                    failures: e.failures,
                    limit: limits.failures,
                    how: format!("{}: {}", failure.what.text(), failure.how),
                });
            } else {
                e.put(Offline, Detail::Unresponsive, now);
                step.warn(WarningKind::Unreachable, tested);
            }
        }
        (Offline, Detail::Rebooting) => {
            e.seen_away = true;
            if e.age(now) > limits.reboot {
                let message = format!("Server did not come back from its reboot within {}", minutes(limits.reboot));
                e.put(Offline, Detail::Unresponsive, now);
                step.warn(WarningKind::Unreachable, message);
            } else {
                step.wait = Some(WaitReason::StillRebooting);
            }
        }
        (Offline, Detail::ShutDown) => {}
        (Offline | Unknown, _) => step.warn(WarningKind::Unreachable, tested),
        (Unregistered, _) => {}
    }
}

/// It answered, its start is not finished.
fn not_ready(step: &mut Step, boot_at: Option<Timestamp>, limits: &Limits, now: Timestamp) {
    step.seen = true;
    step.wait = Some(WaitReason::NotReady);
    answered(step);
    if step.enrolment.is(Offline, Detail::Rebooting) {
        // A start under way is the new boot's, or the old one's that was asked to reboot before it was up.
        // The known boot instant stays: it is what the next answer is compared with.
        if new_boot(&step.enrolment, boot_at, limits, now) {
            step.enrolment.seen_away = true;
        }
    }
}

/// It answered and is ready.
fn reached(step: &mut Step, seen: &Observation, origin: PollOrigin, limits: &Limits, now: Timestamp) {
    step.seen = true;
    answered(step);
    if step.enrolment.is(Offline, Detail::Rebooting) && !new_boot(&step.enrolment, seen.boot_at, limits, now) {
        if step.enrolment.age(now) <= limits.reboot {
            step.wait = Some(WaitReason::RebootNotBegun);
            return;
        }
        let message = format!("Server still runs the boot of before, {} after the reboot", minutes(limits.reboot));
        step.warn(WarningKind::RebootNotDone, message);
    } else {
        step.clear.push(WarningKind::RebootNotDone);
    }
    // On its way down it may answer once more; whoever asks in person is told what answers.
    if step.enrolment.is(Offline, Detail::ShutDown)
        && origin == PollOrigin::Background
        && step.enrolment.age(now) <= limits.shut_down
        && !new_boot(&step.enrolment, seen.boot_at, limits, now)
    {
        step.wait = Some(WaitReason::GoingDown);
        return;
    }
    let e = &mut step.enrolment;
    e.boot_at = seen.boot_at.or(e.boot_at);
    e.maintenance = seen.maintenance.unwrap_or(e.maintenance);
    match (e.status, e.detail) {
        (Pending, detail) => {
            step.registered = detail == Detail::Registering;
            step.enrolment.put(Ready, Detail::None, now);
        }
        (Offline | Unknown, _) => step.enrolment.put(Ready, Detail::None, now),
        (Ready, Detail::Updating) => updating(step, seen, limits, now),
        (Ready, Detail::Evacuating) => evacuating(step, limits, now),
        (Ready, Detail::Restoring) => restoring(step, limits, now),
        (Ready, _) | (Unregistered, _) => {}
    }
}

/// Ends the count of failures.
fn answered(step: &mut Step) {
    step.enrolment.failures = 0;
    step.enrolment.last_failure = None;
    step.clear.push(WarningKind::Unreachable);
}

/// Whether the boot that answers is another one than the boot that was asked to reboot (defect 6).
fn new_boot(e: &Enrolment, boot_at: Option<Timestamp>, limits: &Limits, now: Timestamp) -> bool {
    match (boot_at, e.boot_at) {
        // A machine may be asked soon after a boot: one that began after the request is a new one all the same.
        (Some(new), Some(old)) => {
            new.duration_since(old) > limits.boot_margin || new.duration_since(e.since) > limits.boot_rounding
        }
        // Never observed before: a boot that began after the request is a new one.
        (Some(new), None) => new > e.since,
        // It reports no uptime: only having been away, and having had the time, speaks for a new boot.
        (None, _) => e.seen_away && e.age(now) >= SignedDuration::from_secs(30),
    }
}

/// An update ends when what it was started for is installed, not when nothing newer exists (defect 9).
fn updating(step: &mut Step, seen: &Observation, limits: &Limits, now: Timestamp) {
    let e = &mut step.enrolment;
    let reached = match (&e.goal, &seen.installed) {
        (Some(goal), Some(installed)) => goal.is_reached(installed),
        _ => false,
    };
    if reached || !seen.needs_update {
        e.put(Ready, Detail::None, now);
        step.clear.push(WarningKind::UpdateNotFinished);
    } else if e.age(now) > limits.update {
        e.put(Ready, Detail::None, now);
        step.warn(
            WarningKind::UpdateNotFinished,
            format!("Update not finished within {}; it can be started again", minutes(limits.update)),
        );
    }
}

/// An evacuation ends when the member is evacuated, or when it is not even evacuating any more (defect 8).
fn evacuating(step: &mut Step, limits: &Limits, now: Timestamp) {
    let e = &mut step.enrolment;
    match e.maintenance {
        Maintenance::Evacuated => {
            e.put(Ready, Detail::None, now);
            step.clear.push(WarningKind::MaintenanceNotFinished);
        }
        Maintenance::None | Maintenance::Restoring if e.age(now) > limits.maintenance => {
            e.put(Ready, Detail::None, now);
            step.warn(WarningKind::MaintenanceNotFinished, "The evacuation ended without the member being evacuated");
        }
        _ => {}
    }
}

/// A restore ends when the member is out of maintenance; during an update of its cluster that loop ends it.
fn restoring(step: &mut Step, limits: &Limits, now: Timestamp) {
    let e = &mut step.enrolment;
    match e.maintenance {
        Maintenance::None if !(e.clustered && e.cluster_update) => {
            e.put(Ready, Detail::None, now);
            step.clear.push(WarningKind::MaintenanceNotFinished);
        }
        Maintenance::Evacuated | Maintenance::Evacuating
            if e.age(now) > limits.maintenance && !(e.clustered && e.cluster_update) =>
        {
            e.put(Ready, Detail::None, now);
            step.warn(WarningKind::MaintenanceNotFinished, "The restore ended with the member still in maintenance");
        }
        _ => {}
    }
}

/// What Incus reports about a member (`servers.md` 11).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MaintenanceEvent {
    /// Event `cluster-member-evacuated`, or the evacuation's operation succeeded.
    Evacuated,
    /// Event `cluster-member-restored`, or the restore's operation succeeded.
    Restored,
    /// The evacuation's operation failed (defect 8).
    EvacuationFailed,
    /// The restore's operation failed (defect 8).
    RestoreFailed,
}

/// What an event about its maintenance makes of an enrolment.
pub fn after_maintenance_event(
    enrolment: &Enrolment,
    event: MaintenanceEvent,
    cause: Option<&str>,
    now: Timestamp,
) -> Step {
    let mut step = Step::unchanged(enrolment);
    let e = &mut step.enrolment;
    let ready_detail = |e: &mut Enrolment, running: Detail| {
        if e.detail == running || e.detail == Detail::None {
            let status = e.status;
            e.put(status, Detail::None, now);
        }
    };
    match event {
        MaintenanceEvent::Evacuated => {
            e.maintenance = Maintenance::Evacuated;
            ready_detail(e, Detail::Evacuating);
        }
        MaintenanceEvent::Restored => {
            e.maintenance = Maintenance::None;
            if !e.cluster_update {
                ready_detail(e, Detail::Restoring);
            }
        }
        MaintenanceEvent::EvacuationFailed => {
            e.maintenance = Maintenance::None;
            ready_detail(e, Detail::Evacuating);
            step.warn(
                WarningKind::MaintenanceNotFinished,
                format!("Evacuation failed: {}", cause.unwrap_or("no cause given")),
            );
        }
        MaintenanceEvent::RestoreFailed => {
            e.maintenance = Maintenance::Evacuated;
            ready_detail(e, Detail::Restoring);
            step.warn(
                WarningKind::MaintenanceNotFinished,
                format!("Restore failed: {}", cause.unwrap_or("no cause given")),
            );
        }
    }
    if matches!(event, MaintenanceEvent::Evacuated | MaintenanceEvent::Restored) {
        step.clear.push(WarningKind::MaintenanceNotFinished);
    }
    step.changed = !enrolment.is(step.enrolment.status, step.enrolment.detail)
        || enrolment.maintenance != step.enrolment.maintenance;
    step
}

/// How long to wait until the next background poll; none when there is nothing to poll (`servers.md` 9.1, defect 10).
pub fn poll_interval(enrolment: &Enrolment, now: Timestamp) -> Option<Duration> {
    let seconds = match (enrolment.status, enrolment.detail) {
        (Unregistered, _) => return None,
        (Pending | Unknown, _) => 60,
        (Ready, Detail::Updating | Detail::UpdatingApplication | Detail::Evacuating | Detail::Restoring) => 30,
        (Ready, _) if enrolment.failures > 0 => 10,
        (Ready, _) => 300,
        (Offline, Detail::Rebooting) => 30,
        // Switched off on purpose: somebody may switch it on again without telling us.
        (Offline, Detail::ShutDown) => 300,
        // Back soon or gone for long: ask often at first, then seldom.
        (Offline, _) if enrolment.age(now) < SignedDuration::from_hours(1) => 10,
        (Offline, _) => 60,
    };
    Some(Duration::from_secs(seconds))
}

/// A limit in words.
fn minutes(limit: SignedDuration) -> String {
    format!("{} minutes", limit.as_mins())
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
