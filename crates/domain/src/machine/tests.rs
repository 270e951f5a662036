//! What each call of the Operations Center does to the lifecycle (`lifecycle.md` 5.4), and what refusals say.

use muster_api::provisioning::status::Maintenance;

use super::allocatable::{Obstacle, allocatable, obstacles};
use super::axes::*;
use super::birth::{Birth, birth};
use super::lifecycle::Lifecycle::{self, *};
use super::refusal::{Guard, Rule};
use super::registration::{Known, Registration, register_with_token};
use super::{Command, Machine, transition};

fn run(machine: &Machine, commands: &[Command]) -> Machine {
    commands.iter().fold(machine.clone(), |m, c| transition(&m, c).unwrap_or_else(|e| panic!("{c:?}: {e}")).machine)
}

/// The states a command passes through.
fn path(machine: &Machine, command: &Command) -> Vec<Lifecycle> {
    transition(machine, command).unwrap().records.iter().map(|r| r.to).collect()
}

fn claim(owner: &str, kind: AllocationKind) -> Claim {
    Claim { owner: owner.into(), kind, reference: "c1".into() }
}

const POLL: Command = Command::FirstPoll { open: true, accepts_data: false };
const TOKEN: Command = Command::SelfRegister { same_certificate: false };

/// Registered with a token and opened by policy.
fn available() -> Machine {
    run(&birth(&Birth::SelfRegistered { predecessor: None }).machine, &[POLL])
}

fn unavailable() -> Machine {
    run(&available(), &[Command::SetStatus(Unavailable)])
}

fn used(kind: AllocationKind) -> Machine {
    run(&available(), &[Command::Lock(claim("anna", kind)), Command::Commit])
}

#[test]
fn a_token_makes_registering_then_unavailable_then_by_policy_available() {
    let new = birth(&Birth::SelfRegistered { predecessor: None });
    assert_eq!((new.machine.lifecycle, new.machine.media), (Registering, Media::Unknown));
    assert_eq!(path(&new.machine, &POLL), [Unavailable, Available]);
    let closed = Command::FirstPoll { open: false, accepts_data: false };
    assert_eq!(path(&new.machine, &closed), [Unavailable]);
    // A successor of dirty hardware stays out of the pool, unless its token accepts the data.
    let successor = birth(&Birth::SelfRegistered { predecessor: Some(Media::Dirty) }).machine;
    assert_eq!(path(&successor, &POLL), [Unavailable]);
    let waived = transition(&successor, &Command::FirstPoll { open: true, accepts_data: true }).unwrap();
    assert_eq!((waived.machine.lifecycle, waived.waiver), (Available, true));
}

#[test]
fn delete_means_decommission_from_everywhere_upstream_allows_it() {
    let registering = birth(&Birth::SelfRegistered { predecessor: None }).machine;
    let waiting = birth(&Birth::PreRegistered { bmc: false, predecessor: None }).machine;
    let defective = run(&available(), &[Command::SetStatus(Defective)]);
    let standalone = used(AllocationKind::Standalone);
    for (machine, states) in [
        (&registering, &[Decommissioned][..]),
        (&waiting, &[Decommissioned]),
        (&available(), &[Unavailable, Decommissioned]),
        (&unavailable(), &[Decommissioned]),
        (&defective, &[Decommissioned]),
        (&standalone, &[Cleaning, Unavailable, Decommissioned]),
    ] {
        assert_eq!(path(machine, &Command::DeleteServer), states, "{}", machine.lifecycle);
    }
    assert_eq!(run(&standalone, &[Command::DeleteServer]).media, Media::Dirty);
    let member = used(AllocationKind::Cluster);
    let refusal = transition(&member, &Command::DeleteServer).unwrap_err();
    assert_eq!(refusal.rule, Rule::Guard(Guard::Clustered));
}

#[test]
fn a_factory_reset_comes_back_through_cleaning() {
    let reset = Command::OsReset;
    assert_eq!(path(&available(), &reset), [Unavailable, Cleaning]);
    assert_eq!(path(&unavailable(), &reset), [Cleaning]);
    let standalone = used(AllocationKind::Standalone);
    assert_eq!(path(&standalone, &reset), [Cleaning]);
    let gone = run(&standalone, std::slice::from_ref(&reset));
    assert!(gone.enrolment.is_none() && gone.allocation.is_none());
    let back = run(&gone, &[TOKEN, POLL]);
    assert_eq!((back.lifecycle, back.media, back.is_ready()), (Available, Media::Clean, true));
    // A retiring machine does not return to the pool.
    let retiring = run(&gone, &[Command::SetRetire(true), TOKEN, POLL]);
    assert_eq!((retiring.lifecycle, retiring.media), (Unavailable, Media::Clean));
    // It is away, whatever it was doing: a lock is gone with it.
    let locked = run(&available(), &[Command::Lock(claim("anna", AllocationKind::Standalone)), reset.clone()]);
    assert_eq!((locked.lifecycle, locked.operation_kind()), (Cleaning, Some(OperationKind::Clean)));
    let member = run(&used(AllocationKind::Cluster), std::slice::from_ref(&reset));
    assert!(member.lifecycle == Cleaning && member.cluster().is_none());
}

#[test]
fn clusters_take_and_give_back() {
    let member = used(AllocationKind::Cluster);
    assert_eq!((member.lifecycle, member.cluster(), member.media), (Used, Some("c1"), Media::Dirty));
    let release = Command::Release { method: Method::OsReset, force: false };
    assert_eq!(transition(&member, &release).unwrap_err().rule, Rule::Guard(Guard::NotEvacuated));
    let evacuated = run(&member, &[Command::Maintenance(Maintenance::Evacuated)]);
    assert_eq!(path(&evacuated, &release), [Cleaning]);
    // Deleted by force: forgotten, dirty, failed, and out of the pool until a person acts.
    let forgotten = run(&member, &[Command::Forget]);
    assert!(forgotten.lifecycle == Cleaning && forgotten.has_failed() && forgotten.media == Media::Dirty);
    let given_up = run(&forgotten, &[Command::SetStatus(Unavailable)]);
    assert!(given_up.needs_manual_cleaning());
    // Never touched: the lock is dropped and nothing has happened.
    let locked = run(&available(), &[Command::Lock(claim("anna", AllocationKind::Cluster))]);
    assert_eq!(run(&locked, &[Command::Cancel]), available());
}

#[test]
fn without_an_operating_system_the_allocation_installs_one() {
    let bare = run(
        &birth(&Birth::Bmc { predecessor: None }).machine,
        &[Command::Done { erased: true }, Command::SetStatus(Available)],
    );
    let installing = run(&bare, &[Command::Lock(claim("anna", AllocationKind::Cluster)), Command::Commit]);
    assert_eq!((installing.operation_kind(), installing.cluster()), (Some(OperationKind::Install), None));
    assert!(installing.expects_silence());
    let registered = run(&installing, &[TOKEN]);
    assert!(!registered.expects_silence(), "its first poll is what the installation waits for");
    let done = run(&registered, &[POLL]);
    assert_eq!((done.lifecycle, done.operation_kind(), done.cluster()), (Used, None, Some("c1")));
}

#[test]
fn resync_registers_in_band_where_that_is_possible() {
    assert_eq!(path(&used(AllocationKind::Cluster), &Command::Resync), [UsedRegistering, Used]);
    assert_eq!(path(&unavailable(), &Command::Resync), [Registering, Unavailable]);
    assert_eq!(path(&available(), &Command::Resync), []);
    let away = run(&unavailable(), &[Command::Connectivity(Connectivity::Unresponsive)]);
    assert_eq!(path(&away, &Command::Resync), []);
}

#[test]
fn a_machine_in_use_is_not_taken_over() {
    let member = used(AllocationKind::Cluster);
    let known = |machine, same_certificate| register_with_token(Known::Machine { machine, same_certificate });
    let refusal = known(&member, false).unwrap_err();
    assert!(refusal.is_alert() && refusal.rule == Rule::Guard(Guard::Takeover));
    assert_eq!(known(&member, true), Ok(Registration::Repeated));
    // Unallocated: reinstalled by hand, whoever asks.
    let free = available();
    for same in [false, true] {
        let Ok(Registration::Known(change)) = known(&free, same) else { panic!("not taken") };
        assert_eq!(change.machine.connectivity(), Some(Connectivity::PendingRegistering));
        assert!(change.records.is_empty());
    }
    let waiting = birth(&Birth::PreRegistered { bmc: true, predecessor: None }).machine;
    assert!(matches!(known(&waiting, false), Ok(Registration::Known(_))));
    let gone = run(&used(AllocationKind::Standalone), &[Command::DeleteServer]);
    let Ok(Registration::Successor(change)) = known(&gone, false) else { panic!("no successor") };
    assert_eq!((change.machine.lifecycle, change.machine.media), (Registering, Media::Dirty));
    let off = run(&available(), &[Command::SetStatus(RemovedFromRack)]);
    let refusal = known(&off, false).unwrap_err();
    assert!(refusal.is_alert() && refusal.number() == Some(15));
    assert!(matches!(register_with_token(Known::Unknown), Ok(Registration::New(_))));
}

#[test]
fn refusals_name_reason_and_way_out() {
    let member = used(AllocationKind::Cluster);
    let registering = birth(&Birth::SelfRegistered { predecessor: None }).machine;
    let defective = run(&available(), &[Command::SetStatus(Defective)]);
    let gone = run(&unavailable(), &[Command::Decommission]);
    for (machine, command, reason) in [
        (&available(), Command::SetStatus(Registering), 6),
        (&available(), Command::Decommission, 8),
        (&available(), Command::Clean { method: Method::OsReset }, 14),
        (&available(), Command::Register { method: Method::InBand, force: false, same_identity: false }, 6),
        (&unavailable(), Command::SetStatus(Used), 1),
        (&unavailable(), Command::SetStatus(AvailableReserved), 9),
        (&member, Command::SetStatus(Defective), 3),
        (&member, Command::SetStatus(Available), 2),
        (&member, Command::Decommission, 8),
        (&registering, Command::SetStatus(Available), 5),
        (&registering, Command::SetStatus(Defective), 12),
        (&defective, Command::SetStatus(Used), 4),
        (&gone, Command::SetStatus(Available), 11),
        (&gone, Command::DeleteServer, 11),
    ] {
        let refusal = transition(machine, &command).unwrap_err();
        assert_eq!(refusal.number(), Some(reason), "{command:?}: {refusal}");
    }
    let refusal = transition(&member, &Command::SetStatus(Defective)).unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "the machine is used and cannot become defective: a machine must not be in use when it is marked defective \
         (reason 3); release it first, then mark it defective"
    );
}

#[test]
fn a_reserved_machine_takes_two_recorded_steps() {
    let reservation = Reservation { subscription: "s1".into(), holder: "anna".into() };
    let reserved = run(&available(), &[Command::Reserve(reservation)]);
    assert_eq!(path(&reserved, &Command::SetStatus(Defective)), [Available, Defective]);
    assert!(allocatable(&reserved, "anna"));
    assert_eq!(obstacles(&reserved, "ben"), [Obstacle::Reserved]);
    let refusal = transition(&reserved, &Command::Lock(claim("ben", AllocationKind::Standalone))).unwrap_err();
    assert_eq!(refusal.rule, Rule::Guard(Guard::NotHolder));
    let taken = run(&reserved, &[Command::Lock(claim("anna", AllocationKind::Standalone)), Command::Commit]);
    assert_eq!(taken.allocation.unwrap().subscription.as_deref(), Some("s1"));
}

#[test]
fn every_obstacle_is_named() {
    let free = available();
    assert_eq!(obstacles(&free, "anna"), []);
    let with = |change: fn(&mut Machine)| {
        let mut m = available();
        change(&mut m);
        obstacles(&m, "anna")
    };
    assert_eq!(with(|m| m.flags.hold = true), [Obstacle::Hold]);
    assert_eq!(with(|m| m.flags.retire = true), [Obstacle::Retire]);
    assert_eq!(with(|m| m.flags.requires_re_register = true), [Obstacle::ReRegister]);
    assert_eq!(with(|m| m.alerts.prevent_allocation = true), [Obstacle::Alert]);
    assert_eq!(with(|m| m.type_match = TypeMatch::Mismatch), [Obstacle::Type]);
    assert_eq!(with(|m| m.media = Media::Dirty), [Obstacle::MediaDirty]);
    assert_eq!(with(|m| m.enrolment = None), [Obstacle::Unreachable]);
    assert_eq!(with(|m| m.enrolment.as_mut().unwrap().update_due = true), [Obstacle::UpdateDue]);
    let away = with(|m| m.enrolment.as_mut().unwrap().connectivity = Connectivity::ShutDown);
    assert_eq!(away, [Obstacle::NotReady]);
    assert_eq!(obstacles(&unavailable(), "anna"), [Obstacle::NotInPool]);
    let locked = run(&free, &[Command::Lock(claim("anna", AllocationKind::Standalone))]);
    assert_eq!(obstacles(&locked, "ben"), [Obstacle::Operation]);
}

#[test]
fn off_the_rack_and_back() {
    let bare = run(&birth(&Birth::Bmc { predecessor: None }).machine, &[Command::Done { erased: false }]);
    let off = run(&bare, &[Command::SetStatus(RemovedFromRack)]);
    let back = |same_identity| Command::Register { method: Method::Bmc, force: false, same_identity };
    assert_eq!(transition(&off, &back(false)).unwrap_err().rule, Rule::Guard(Guard::IdentityDiffers));
    assert_eq!(path(&off, &back(true)), [Registering]);
}

#[test]
fn connectivity_follows_status_and_detail() {
    use muster_api::provisioning::status::{ServerStatus as S, StatusDetail as D};
    assert_eq!(Connectivity::of(S::Unregistered, D::None), None);
    assert_eq!(Connectivity::of(S::Ready, D::Evacuating), Some(Connectivity::Ready));
    assert_eq!(Connectivity::of(S::Ready, D::UpdatingApplication), Some(Connectivity::Updating));
    assert_eq!(Connectivity::of(S::Offline, D::Unresponsive), Some(Connectivity::Unresponsive));
    assert_eq!(Connectivity::of(S::Pending, D::ReConfiguring), Some(Connectivity::PendingReConfiguring));
}

#[test]
fn an_alert_against_changes_of_state_refuses_requests_and_nothing_that_happens() {
    let alerts = Alerts { prevent_state_changes: true, ..Alerts::default() };
    let machine = run(&available(), &[Command::SetAlerts(alerts)]);
    // Without the alert, each works.
    let refused = |request: &Command| transition(&available(), request).ok().map(|_| Rule::Guard(Guard::StateAlert));
    for request in [
        Command::SetStatus(Unavailable),
        Command::SetStatus(Defective),
        Command::DeleteServer,
        Command::Lock(claim("anna", AllocationKind::Standalone)),
    ] {
        let rule = transition(&machine, &request).unwrap_err().rule;
        assert_eq!(Some(rule), refused(&request), "{request:?}");
    }
    // What cannot be at all keeps its own reason.
    let to_used = Command::SetStatus(Used);
    assert_eq!(transition(&machine, &to_used).unwrap_err(), transition(&available(), &to_used).unwrap_err());
    let reset = transition(&machine, &Command::OsReset).unwrap().machine;
    assert_eq!(reset.lifecycle, Cleaning);
    assert!(transition(&machine, &Command::Connectivity(Connectivity::Unresponsive)).is_ok());
}

#[test]
fn a_registration_keeps_what_its_hardware_was_found_to_be() {
    let registering = birth(&Birth::SelfRegistered { predecessor: None }).machine;
    let found = |type_match| run(&registering, &[Command::SetType(type_match), POLL]).type_match;
    assert_eq!(run(&registering, &[POLL]).type_match, TypeMatch::Matched);
    assert_eq!(found(TypeMatch::Matched), TypeMatch::Matched);
    assert_eq!(found(TypeMatch::Mismatch), TypeMatch::Mismatch);
}
