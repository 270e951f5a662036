//! Each plan from beginning to end, with the crashes and failures in between.

use jiff::{SignedDuration, Timestamp};
use muster_api::provisioning::status::{Maintenance, ServerStatus, StatusDetail};
use uuid::Uuid;

use super::call::{CallAction, Outcome};
use super::configure::{Configure, Target};
use super::factory_reset::{FactoryReset, ResetAction, ResetOutcome, Seen};
use super::maintenance::{Direction, IncusOperation, MemberMaintenance};
use super::poweroff::{Poweroff, Presence};
use super::provider::PushProvider;
use super::reboot::Reboot;
use super::register::Register;
use super::update::{Update, UpdateAction};
use super::*;
use crate::server::enrolment::{Enrolment, Failure, FailureKind};
use crate::server::version::{Installed, InstalledOs, UpdateGoal};

fn at(s: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + s).unwrap()
}

fn server(status: ServerStatus, detail: StatusDetail) -> Enrolment {
    Enrolment::new(status, detail, at(0))
}

fn ready() -> Enrolment {
    server(ServerStatus::Ready, StatusDetail::None)
}

fn reason<A: std::fmt::Debug>(decision: Decision<A>) -> String {
    match decision {
        Decision::Wait { reason, .. } => reason,
        other => panic!("no wait: {other:?}"),
    }
}

fn cause<A: std::fmt::Debug>(decision: Decision<A>) -> String {
    match decision {
        Decision::Failed(cause) => cause.to_string(),
        other => panic!("no failure: {other:?}"),
    }
}

/// Stored and read back, as after a crash.
fn reload<S: Stored + PartialEq + std::fmt::Debug>(state: S) -> S {
    let again = decode(&encode(&state).unwrap()).unwrap();
    assert_eq!(state, again);
    assert!(S::STEPS.contains(&state.step()));
    again
}

#[test]
fn a_reboot_is_marked_called_and_confirmed() {
    let rebooting = server(ServerStatus::Offline, StatusDetail::Rebooting);
    let mut plan = Reboot::new(at(0));
    assert_eq!(plan.next(&ready(), Seen::Nothing, false, at(0)), Decision::Do(CallAction::Mark));
    plan.call.advance(Outcome::Marked);
    plan = reload(plan);
    assert_eq!(plan.next(&rebooting, Seen::Nothing, false, at(0)), Decision::Do(CallAction::Call));
    plan.call.advance(Outcome::Begun);
    assert!(reason(plan.next(&rebooting, Seen::Nothing, true, at(1))).contains("not answered the call"));
    assert!(!plan.call.is_answered());
    plan.call.advance(Outcome::Accepted);
    plan = reload(plan);
    assert!(plan.call.is_answered());
    assert_eq!(reason(plan.next(&rebooting, Seen::Nothing, false, at(2))), "waiting for a new boot");
    assert_eq!(plan.next(&ready(), Seen::Nothing, false, at(90)), Decision::Done);
    let lost = server(ServerStatus::Offline, StatusDetail::Unresponsive);
    assert_eq!(
        cause(plan.next(&lost, Seen::Nothing, false, at(90))),
        "confirm: the server did not come back from its reboot"
    );
    assert!(cause(plan.next(&rebooting, Seen::Nothing, false, at(26 * 60))).contains("not over in time"));
}

#[test]
fn a_reboot_in_doubt_is_not_done_twice() {
    let mut plan = Reboot::new(at(0));
    plan.call.advance(Outcome::Marked);
    plan.call.advance(Outcome::Begun);
    plan = reload(plan);
    assert!(plan.is_in_doubt());
    // The process died with the call. The boot of before answers: the call goes out again.
    let mut seen = server(ServerStatus::Offline, StatusDetail::Rebooting);
    seen.boot_at = Some(at(-5000));
    assert_eq!(plan.next(&seen, Seen::OldBoot, false, at(60)), Decision::Do(CallAction::Call));
    // Nothing is known, and what polls saw is of before: it is looked at again, and not called.
    assert_eq!(reason(plan.next(&seen, Seen::Nothing, false, at(60))), "finding out whether the reboot had begun");
    assert!(cause(plan.next(&seen, Seen::Nothing, false, at(26 * 60))).starts_with("call: not over in time"));
    // It is away, or has booted since: the call had arrived.
    assert_eq!(reason(plan.next(&seen, Seen::Away, false, at(60))), "waiting for a new boot");
    seen.seen_away = true;
    assert_eq!(reason(plan.next(&seen, Seen::Nothing, false, at(60))), "waiting for a new boot");
    assert_eq!(plan.next(&seen, Seen::OldBoot, false, at(60)), Decision::Do(CallAction::Call), "it is back as it was");
    let back = Enrolment { boot_at: Some(at(30)), ..ready() };
    assert_eq!(plan.next(&back, Seen::Away, false, at(60)), Decision::Done);
    // It has reported itself ready, which names no boot.
    let reported = Enrolment { boot_at: None, ..ready() };
    assert_eq!(plan.next(&reported, Seen::Away, false, at(60)), Decision::Done);
}

#[test]
fn a_refused_call_takes_its_mark_back() {
    let mut plan = Poweroff::new(at(0));
    for outcome in [Outcome::Marked, Outcome::Begun, Outcome::Refused("no route".into())] {
        plan.call.advance(outcome);
    }
    plan = reload(plan);
    assert_eq!(plan.next(Presence::Unknown, false, at(1)), Decision::Do(CallAction::Undo));
    plan.call.advance(Outcome::Undone);
    assert_eq!(cause(plan.next(Presence::Unknown, false, at(1))), "call: no route");
    // What comes late or twice changes nothing.
    let over = plan.clone();
    for outcome in [Outcome::Accepted, Outcome::Marked, Outcome::Begun, Outcome::Refused("again".into())] {
        plan.call.advance(outcome);
        assert_eq!(plan, over);
    }
}

#[test]
fn a_power_off_waits_for_silence() {
    let mut plan = Poweroff::new(at(0));
    for outcome in [Outcome::Marked, Outcome::Begun, Outcome::Accepted] {
        plan.call.advance(outcome);
    }
    assert_eq!(reason(plan.next(Presence::Answers, false, at(5))), "the machine still answers");
    assert_eq!(plan.next(Presence::Gone, false, at(9)), Decision::Done);
    assert!(cause(plan.next(Presence::Answers, false, at(16 * 60))).contains("still answers"));
}

#[test]
fn maintenance_ends_well_or_with_incus_error() {
    for (direction, running, reached, detail) in [
        (Direction::Evacuate, Maintenance::Evacuating, Maintenance::Evacuated, StatusDetail::Evacuating),
        (Direction::Restore, Maintenance::Restoring, Maintenance::None, StatusDetail::Restoring),
    ] {
        let seen = |maintenance| Enrolment { maintenance, ..server(ServerStatus::Ready, detail) };
        let mut plan = MemberMaintenance::new(direction, at(0));
        plan.call.advance(Outcome::Marked);
        plan.call.advance(Outcome::Begun);
        let unknown = IncusOperation::Unknown;
        assert_eq!(plan.next(&seen(running), &unknown, false, at(1)), Decision::Do(CallAction::Call));
        plan.call.advance(Outcome::Accepted);
        plan = reload(plan);
        assert!(reason(plan.next(&seen(running), &IncusOperation::Running, false, at(2))).contains("workloads"));
        assert_eq!(plan.next(&seen(reached), &unknown, false, at(3)), Decision::Done);
        let failed = IncusOperation::Failed("no space".into());
        assert!(cause(plan.next(&seen(running), &failed, false, at(3))).ends_with("failed: no space"));
    }
    let mut plan = MemberMaintenance::new(Direction::Evacuate, at(0));
    for outcome in [Outcome::Marked, Outcome::Begun, Outcome::Accepted] {
        plan.call.advance(outcome);
    }
    assert!(cause(plan.next(&ready(), &IncusOperation::Unknown, false, at(400))).contains("without effect"));
}

#[test]
fn an_update_pushes_checks_and_reaches_its_goal() {
    let goal = UpdateGoal([("IncusOS".to_owned(), "2".to_owned())].into());
    let has = |version: &str| Installed {
        os: InstalledOs { name: "IncusOS".into(), version: version.into(), ..Default::default() },
        applications: Vec::new(),
    };
    let updating = server(ServerStatus::Ready, StatusDetail::Updating);
    let mut plan = Update::new(goal.clone(), true, at(0));
    assert_eq!(
        plan.next(&ready(), &has("1"), Seen::Nothing, false, at(0)),
        Decision::Do(UpdateAction::Push(CallAction::Mark))
    );
    for outcome in [Outcome::Marked, Outcome::Begun, Outcome::Accepted] {
        plan.push.advance(outcome);
    }
    assert_eq!(plan.step(), "check");
    assert_eq!(
        plan.next(&updating, &has("1"), Seen::Nothing, false, at(1)),
        Decision::Do(UpdateAction::Check(CallAction::Call))
    );
    plan.check.advance(Outcome::Begun);
    plan.check.advance(Outcome::Accepted);
    plan = reload(plan);
    assert!(reason(plan.next(&updating, &has("1"), Seen::Nothing, false, at(2))).contains("installing"));
    // It took the call, and nothing comes of it: it is asked a few times more.
    let mut silent = plan.clone();
    let mut now = at(2);
    let ended = loop {
        match silent.next(&updating, &has("1"), Seen::Nothing, false, now) {
            Decision::Wait { until, .. } => now = until,
            Decision::Do(UpdateAction::AskAgain) => {
                silent.asked_again(now);
                silent = reload(silent);
            }
            other => break other,
        }
    };
    assert_eq!(silent.asked, [at(20), at(200), at(1100)]);
    assert!(cause(ended).contains("not over in time"));
    assert_eq!((now, silent.step()), (at(65 * 60), "confirm"));
    assert_eq!(plan.next(&updating, &has("2"), Seen::Nothing, false, at(3)), Decision::Done);
    assert!(cause(plan.next(&ready(), &has("1"), Seen::Nothing, false, at(3))).contains("before everything"));
    let away = server(ServerStatus::Offline, StatusDetail::Rebooting);
    assert!(reason(plan.next(&away, &has("1"), Seen::Nothing, false, at(3))).contains("answer again"));
    // The check is refused: the mark goes.
    let mut refused = plan.clone();
    refused.check.progress = super::call::Progress::Refused("busy".into());
    assert_eq!(
        refused.next(&updating, &has("1"), Seen::Nothing, false, at(3)),
        Decision::Do(UpdateAction::Check(CallAction::Undo))
    );
    // Without trigger: pushed, unmarked, over.
    let mut push = Update::new(goal, false, at(0));
    assert_eq!(
        push.next(&ready(), &has("1"), Seen::Nothing, false, at(0)),
        Decision::Do(UpdateAction::Push(CallAction::Call))
    );
    push.push.advance(Outcome::Begun);
    push.push.advance(Outcome::Accepted);
    assert_eq!(push.next(&ready(), &has("1"), Seen::Nothing, false, at(0)), Decision::Done);
}

#[test]
fn an_update_with_a_reboot_ends_when_the_machine_runs_it() {
    let goal = UpdateGoal([("IncusOS".to_owned(), "2".to_owned())].into());
    let has = |version: &str, next: &str| Installed {
        os: InstalledOs {
            name: "IncusOS".into(),
            version: version.into(),
            version_next: next.into(),
            needs_reboot: !next.is_empty(),
        },
        applications: Vec::new(),
    };
    let rebooting = server(ServerStatus::Offline, StatusDetail::Rebooting);
    let mut plan = Update::new(goal.clone(), true, at(0)).with_reboot();
    for outcome in [Outcome::Marked, Outcome::Begun, Outcome::Accepted, Outcome::Begun, Outcome::Accepted] {
        plan.advance(outcome);
    }
    plan = reload(plan);
    assert_eq!(plan.step(), "confirm");
    // Nothing waits for a boot: there is nothing to reboot for.
    assert_eq!(plan.next(&ready(), &has("2", ""), Seen::Nothing, false, at(9)), Decision::Done);
    let restart = plan.next(&ready(), &has("1", "2"), Seen::Nothing, false, at(9));
    assert_eq!(restart, Decision::Do(UpdateAction::Restart));
    let mut refused = plan.clone();
    refused.restarted(Err("its cluster is busy".into()), at(10));
    refused = reload(refused);
    let why = cause(refused.next(&ready(), &has("1", "2"), Seen::Nothing, false, at(10)));
    assert!(why.starts_with("reboot: the update is installed") && why.ends_with("its cluster is busy"), "{why}");

    plan.restarted(Ok(()), at(10));
    plan = reload(plan);
    assert_eq!(plan.step(), "reboot");
    let call = plan.next(&rebooting, &has("1", "2"), Seen::Nothing, false, at(10));
    assert_eq!(call, Decision::Do(UpdateAction::Reboot(CallAction::Call)));
    plan.advance(Outcome::Begun);
    // A crash: it is not rebooted twice.
    plan = reload(plan);
    let doubt = plan.next(&rebooting, &has("1", "2"), Seen::Nothing, false, at(20));
    assert_eq!(reason(doubt), "finding out whether the reboot had begun");
    let mut undone = plan.clone();
    undone.advance(Outcome::Refused("no route".into()));
    let undo = undone.next(&rebooting, &has("1", "2"), Seen::Nothing, false, at(20));
    assert_eq!(undo, Decision::Do(UpdateAction::Reboot(CallAction::Undo)));
    undone.advance(Outcome::Undone);
    assert_eq!(cause(undone.next(&ready(), &has("1", "2"), Seen::Nothing, false, at(20))), "reboot: no route");
    plan.advance(Outcome::Accepted);
    plan = reload(plan);
    assert_eq!(plan.step(), "return");
    assert_eq!(reason(plan.next(&rebooting, &has("1", "2"), Seen::Nothing, false, at(30))), "waiting for a new boot");
    let lost = server(ServerStatus::Offline, StatusDetail::Unresponsive);
    let why = cause(plan.next(&lost, &has("1", "2"), Seen::Nothing, false, at(30)));
    assert_eq!(why, "return: the server did not come back from its reboot");
    // What is known when it is back is of before.
    let mut now = 40;
    let mut looks = 0;
    let why = loop {
        match plan.next(&ready(), &has("1", "2"), Seen::Nothing, false, at(now)) {
            Decision::Do(UpdateAction::Look) => {
                plan.looked(at(now));
                looks += 1;
                let runs = plan.next(&ready(), &has("2", ""), Seen::Nothing, false, at(now));
                assert_eq!(runs, Decision::Done);
            }
            Decision::Wait { until, .. } => now = until.as_second() - at(0).as_second(),
            Decision::Failed(cause) => break cause.to_string(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(looks, 5);
    assert!(why.contains("came back with \"1\", and \"2\" still waits"), "{why}");
}

#[test]
fn a_network_whose_answer_got_lost_is_confirmed_by_the_machine() {
    let pending = server(ServerStatus::Pending, StatusDetail::ReConfiguring);
    for (target, done) in [(Target::Network, true), (Target::Storage, false)] {
        let mut plan = Configure::new(target, at(0));
        plan.call.advance(Outcome::Marked);
        plan.call.advance(Outcome::Begun);
        plan = reload(plan);
        assert!(matches!(plan.next(&pending, true, true, at(5)), Decision::Wait { .. }));
        assert_eq!(plan.next(&ready(), true, true, at(9)) == Decision::Done, done, "{target:?}");
        assert!(matches!(plan.next(&ready(), false, true, at(9)), Decision::Wait { .. }));
        plan.call.advance(Outcome::Accepted);
        assert!(reason(plan.next(&pending, false, false, at(9))).contains("new configuration"));
        assert_eq!(plan.next(&ready(), false, false, at(9)), Decision::Done);
        assert!(cause(plan.next(&pending, false, false, at(1800))).contains("not over in time"));
    }
    let mut update = Configure::new(Target::Update, at(0));
    assert_eq!(update.next(&ready(), false, false, at(0)), Decision::Do(CallAction::Call));
    update.call.advance(Outcome::Begun);
    update.call.advance(Outcome::Accepted);
    assert_eq!(update.next(&ready(), false, false, at(0)), Decision::Done);
}

#[test]
fn a_push_is_tried_again_and_given_up_in_the_end() {
    let mut plan = PushProvider::new(at(0));
    assert!(reason(plan.next(false, false, at(0))).contains("waiting for the machine"));
    let mut now = 0;
    for pause in [10, 20, 40, 80, 160, 320, 600, 600] {
        assert_eq!(plan.next(true, false, at(now)), Decision::Do(()));
        plan.advance(Err("refused".into()), at(now));
        assert!(reason(plan.next(true, false, at(now + pause - 1))).contains("refused"));
        now += pause;
    }
    assert!(matches!(plan.next(true, true, at(now)), Decision::Wait { .. }));
    assert!(cause(plan.next(true, false, at(7 * 86_400))).contains("after 8 attempts: refused"));
    plan.advance(Ok(()), at(now));
    assert_eq!(reload(plan).next(false, false, at(now)), Decision::Done);
}

#[test]
fn a_registration_polls_ten_times_a_second_apart_then_waits_to_be_found() {
    let mut plan = Register::new(at(0));
    let mut pending = server(ServerStatus::Pending, StatusDetail::Registering);
    for now in 0..10 {
        assert!(matches!(plan.next(&pending, false, at(now)), Decision::Wait { until, .. } if until == at(now + 1)));
        assert_eq!(plan.next(&pending, false, at(now + 1)), Decision::Do(()));
        plan.advance(at(now + 1));
    }
    assert!(matches!(plan.next(&pending, false, at(3600)), Decision::Wait { until, .. } if until == at(86_400)));
    pending.last_failure = Some(Failure { what: FailureKind::Connect, how: "refused".into() });
    let plan = reload(plan);
    assert!(
        reason(plan.next(&pending, false, at(10))).ends_with("the last poll failed, the connection failed: refused")
    );
    assert_eq!(plan.next(&ready(), false, at(10)), Decision::Done);
    assert!(cause(plan.next(&pending, false, at(86_400))).starts_with("first poll: never reached"));
}

#[test]
fn a_factory_reset_reaches_calls_drops_and_waits_for_the_return() {
    let token = Uuid::from_u128(7);
    let mut plan = FactoryReset::new(None, at(0));
    assert_eq!(plan.next(Seen::Nothing, false, at(0)), Decision::Do(ResetAction::Ping));
    plan.advance(ResetOutcome::Reached);
    assert_eq!(plan.next(Seen::Nothing, false, at(0)), Decision::Do(ResetAction::CreateToken));
    plan.advance(ResetOutcome::TokenCreated(token));
    assert_eq!(plan.next(Seen::Nothing, false, at(0)), Decision::Do(ResetAction::Reset(token)));
    plan.advance(ResetOutcome::Begun);
    plan = reload(plan);
    // In doubt after a crash: only a machine that still runs its old boot is called again.
    assert!(reason(plan.next(Seen::Nothing, false, at(1))).contains("finding out"));
    assert_eq!(plan.next(Seen::OldBoot, false, at(1)), Decision::Do(ResetAction::Reset(token)));
    assert_eq!(plan.next(Seen::Away, false, at(1)), Decision::Do(ResetAction::DropEnrolment));
    assert!(reason(plan.next(Seen::Registered, false, at(1))).contains("registered again"));
    assert_eq!(plan.next(Seen::Back, false, at(1)), Decision::Done);
    assert!(cause(plan.next(Seen::Nothing, false, at(7200))).contains("could not be found out"));
    plan.advance(ResetOutcome::Accepted);
    assert_eq!(plan.next(Seen::Nothing, false, at(1)), Decision::Do(ResetAction::DropEnrolment));
    assert!(!plan.is_answered());
    plan.advance(ResetOutcome::Dropped);
    plan = reload(plan);
    assert!(plan.is_answered());
    assert!(reason(plan.next(Seen::Away, false, at(60))).contains("wiping itself"));
    assert!(reason(plan.next(Seen::Registered, false, at(60))).contains("first answer"));
    assert_eq!(plan.next(Seen::Back, false, at(60)), Decision::Done);
    assert_eq!(cause(plan.next(Seen::Away, false, at(7200))), "return: the machine did not register again in time");

    let mut later = FactoryReset::after(SignedDuration::from_secs(30), at(0));
    let Decision::Wait { until, reason } = later.next(Seen::Nothing, false, at(29)) else { panic!("{later:?}") };
    assert_eq!(until, at(30));
    assert!(reason.contains(":00:30"), "{reason}");
    assert_eq!(later.next(Seen::Nothing, false, at(30)), Decision::Do(ResetAction::Ping));
    later.advance(ResetOutcome::Reached);
    assert_eq!(later.next(Seen::Nothing, false, at(31)), Decision::Do(ResetAction::CreateToken));
    assert_eq!(FactoryReset::after(SignedDuration::ZERO, at(0)), FactoryReset::new(None, at(0)));
    let mut dead = FactoryReset::new(Some(token), at(0));
    dead.advance(ResetOutcome::Failed("no route".into()));
    assert_eq!(cause(reload(dead).next(Seen::Nothing, false, at(0))), "reach: no route");
    let mut named = FactoryReset::new(Some(token), at(0));
    named.advance(ResetOutcome::Reached);
    assert_eq!(named.next(Seen::Nothing, false, at(0)), Decision::Do(ResetAction::Reset(token)));
}

#[test]
fn foreign_and_newer_states_are_not_misread() {
    let text = encode(&Reboot::new(at(0))).unwrap();
    assert!(matches!(decode::<Poweroff>(&text), Err(UnreadableState::Kind(..))));
    let newer = text.replace("\"version\":1", "\"version\":2");
    assert!(matches!(decode::<Reboot>(&newer), Err(UnreadableState::Version("reboot", 2, 1))));
    assert!(matches!(decode::<Reboot>("{}"), Err(UnreadableState::Shape(_))));
}
