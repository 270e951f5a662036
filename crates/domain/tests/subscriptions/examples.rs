//! What happens in the cases that an operator meets.

use muster_domain::machine::allocatable::Obstacle;
use muster_domain::machine::axes::{Alerts, AllocationKind, Claim, Connectivity};
use muster_domain::machine::{Command, Lifecycle};
use muster_domain::subscription::{Status, Term, Wanted, Why};

use crate::site::{Site, at, machine, subscription};

fn fleet(count: usize) -> Vec<muster_domain::subscription::Candidate> {
    (0..count).map(|n| machine(n, "big", "")).collect()
}

fn texts(site: &Site) -> Vec<(String, String)> {
    site.plan().unfulfilled.into_iter().map(|(id, shortage)| (id, shortage.to_string())).collect()
}

#[test]
fn the_older_subscription_is_served_first_and_the_younger_one_told_why() {
    let mut site = Site::new(vec![subscription(2, "bob", "big", 2), subscription(1, "ann", "big", 2)], fleet(3));
    let plan = site.settle();
    assert_eq!((site.bound("s1"), site.bound("s2")), (vec!["m000", "m001"], vec!["m002"]));
    let (id, shortage) = &plan.unfulfilled[0];
    assert_eq!((id.as_str(), shortage.missing), ("s2", 1));
    assert_eq!(shortage.to_string(), "1 of 2 missing: of this type, 2 are reserved for others");
    // What is bound stays where it is, even if an older one would like more.
    site.of("s1").quantity = 3;
    assert!(site.settle().is_done());
    assert_eq!(site.bound("s2"), ["m002"]);
}

#[test]
fn machines_that_answer_are_taken_first_and_those_with_obstacles_never() {
    let mut site = Site::new(vec![subscription(1, "ann", "big", 3)], fleet(6));
    site.command(0, &Command::Connectivity(Connectivity::Unresponsive));
    site.command(1, &Command::SetHold(true));
    site.command(2, &Command::SetAlerts(Alerts { prevent_allocation: true, ..Alerts::default() }));
    site.command(3, &Command::RequireReRegister);
    site.settle();
    assert_eq!(site.bound("s1"), ["m000", "m004", "m005"], "one that does not answer is better than none");
    site.of("s1").quantity = 5;
    let text = &texts(&site)[0].1;
    assert_eq!(
        text,
        "2 of 5 missing: of this type, 1 is available, but an operator put it on hold, 1 is available, but its hardware \
         changed; it has to be registered again, 1 is available, but an alert prevents allocations"
    );
    site.of("s1").quantity = 2;
    let plan = site.settle();
    assert_eq!(plan.unbind.iter().map(|u| (u.machine.as_str(), u.why)).collect::<Vec<_>>(), [("m000", Why::Fewer)]);
}

#[test]
fn a_bound_machine_that_leaves_the_pool_is_replaced_and_not_taken_back() {
    let mut site = Site::new(vec![subscription(1, "ann", "big", 1)], fleet(2));
    site.settle();
    assert!(site.command(0, &Command::SetStatus(Lifecycle::Defective)));
    site.settle();
    assert_eq!(site.bound("s1"), ["m001"]);
    assert!(site.command(0, &Command::SetStatus(Lifecycle::Available)));
    assert!(site.settle().is_done());
}

#[test]
fn a_bound_machine_with_an_obstacle_stays_until_another_stands_in() {
    let mut site = Site::new(vec![subscription(1, "ann", "big", 2)], fleet(2));
    site.settle();
    site.command(1, &Command::SetHold(true));
    assert!(site.plan().is_done());
    assert_eq!(
        texts(&site)[0].1,
        "1 of 2 missing: of this type, 1 is bound and cannot be allocated (an operator put it on hold)"
    );
    site.machines.push(machine(7, "big", ""));
    let plan = site.settle();
    assert_eq!(plan.unbind[0].why, Why::Replaced(Obstacle::Hold));
    assert_eq!(plan.unbind[0].why.to_string(), "another machine stands in for it: an operator put it on hold");
    assert_eq!(site.bound("s1"), ["m000", "m007"]);
    site.command(1, &Command::SetHold(false));
    assert!(site.settle().is_done());
}

#[test]
fn the_holder_uses_and_gives_back_and_it_is_kept_again() {
    let mut site = Site::new(vec![subscription(1, "ann", "big", 1)], fleet(1));
    site.settle();
    assert!(!site.allocate(0, "bob"), "reserved");
    assert!(site.allocate(0, "ann"));
    assert!(site.settle().is_done());
    assert_eq!((site.used("s1"), texts(&site)), (vec!["m000"], vec![]));
    assert!(site.release(0));
    assert_eq!(site.machines[0].machine.lifecycle, Lifecycle::Available);
    site.settle();
    assert_eq!(site.bound("s1"), ["m000"]);
    // What is in use is not taken away when the subscription stops; it comes back and stays free.
    assert!(site.allocate(0, "ann"));
    site.of("s1").status = Status::Stopped;
    assert!(site.settle().is_done());
    assert!(site.release(0) && site.settle().is_done());
    assert_eq!(site.machines[0].machine.lifecycle, Lifecycle::Available);
}

#[test]
fn what_one_lets_go_another_gets_in_the_same_step() {
    let mut site = Site::new(vec![subscription(1, "ann", "big", 2), subscription(2, "bob", "big", 1)], fleet(2));
    site.settle();
    site.of("s1").status = Status::Stopped;
    let plan = site.settle();
    assert!(plan.unbind.iter().all(|u| u.why == Why::Stopped) && plan.unbind.len() == 2);
    assert_eq!((site.bound("s1").len(), site.bound("s2")), (0, vec!["m000"]));
    site.subscriptions.remove(1);
    assert_eq!(site.settle().unbind[0].why, Why::Gone);
}

#[test]
fn one_that_is_about_to_be_taken_is_neither_let_go_nor_counted_twice() {
    let mut site = Site::new(vec![subscription(1, "ann", "big", 2)], fleet(3));
    site.settle();
    let claim = Claim { owner: "ann".into(), kind: AllocationKind::Standalone, reference: "w".into() };
    assert!(site.command(1, &Command::Lock(claim)));
    site.of("s1").quantity = 1;
    assert_eq!(site.settle().unbind[0].machine, "m000", "the idle one goes");
    site.of("s1").status = Status::Stopped;
    assert!(site.settle().is_done());
    assert!(site.command(1, &Command::Cancel));
    assert_eq!(site.settle().unbind[0].machine, "m001");
}

#[test]
fn terms_begin_end_and_go_on() {
    let mut later = subscription(1, "ann", "big", 1);
    later.term = Term::new(at(10), Some(at(20)), 0, false).unwrap();
    let mut monthly = subscription(2, "bob", "big", 1);
    monthly.term = Term::new(at(0), None, 1, true).unwrap();
    let ends = monthly.term.ends().unwrap();
    let mut site = Site::new(vec![later, monthly], fleet(2));
    assert_eq!(site.settle().next, Some(at(10)));
    assert_eq!((site.bound("s1").len(), site.bound("s2")), (0, vec!["m000"]));
    site.now = at(10);
    assert_eq!(site.settle().next, Some(at(20)));
    assert_eq!(site.bound("s1"), ["m001"]);
    site.now = at(20);
    let plan = site.settle();
    assert_eq!((plan.ended, plan.unbind[0].why, plan.next), (vec!["s1".to_owned()], Why::Ended, Some(ends)));
    site.now = ends;
    let plan = site.settle();
    assert_eq!((plan.renewed.len(), plan.unbind.len()), (1, 0), "nothing moves at a renewal");
    assert!(plan.next.unwrap() > ends);
}

#[test]
fn a_clock_that_is_behind_takes_nothing_back() {
    let mut later = subscription(1, "ann", "big", 2);
    later.term = Term::new(at(10), Some(at(20)), 0, false).unwrap();
    let mut new = subscription(2, "bob", "big", 1);
    (new.created_at, new.term) = (at(10), Term::new(at(10), None, 0, false).unwrap());
    let mut site = Site { now: at(10), ..Site::new(vec![later, new], fleet(4)) };
    site.settle();
    site.now = at(9);
    assert!(site.settle().is_done());
    site.of("s1").quantity = 1;
    assert_eq!(site.settle().unbind[0].why, Why::Fewer, "and what is asked for holds");
    site.subscriptions
        .push(muster_domain::subscription::Subscription { created_at: at(11), ..subscription(3, "cat", "big", 1) });
    site.settle();
    assert_eq!((site.bound("s1").len(), site.bound("s2").len(), site.bound("s3").len()), (1, 1, 1));
}

#[test]
fn a_machine_that_became_another_is_let_go() {
    let mut site = Site::new(vec![subscription(1, "ann", "big", 1)], fleet(1));
    site.settle();
    site.machines[0].server_type = "small".into();
    let plan = site.settle();
    assert_eq!(plan.unbind[0].why, Why::Other);
    assert_eq!(texts(&site)[0].1, "1 of 1 missing: there is no other machine of this type");
}

#[test]
fn one_machine_by_its_id() {
    let mut one = subscription(2, "bob", "", 1);
    one.wanted = Wanted::Machine("m000".into());
    let mut site = Site::new(vec![subscription(1, "ann", "big", 1), one], fleet(2));
    site.settle();
    assert_eq!((site.bound("s1"), site.bound("s2")), (vec!["m001"], vec!["m000"]), "others take another one");
    assert!(site.command(0, &Command::SetStatus(Lifecycle::Unavailable)));
    assert!(site.settle().is_done());
    assert_eq!(texts(&site), [("s2".to_owned(), "1 of 1 missing: the machine is unavailable".to_owned())]);
    site.machines.remove(0);
    assert_eq!(texts(&site)[0].1, "1 of 1 missing: there is no such machine, or it stands elsewhere");
}

#[test]
fn somebody_who_can_take_another_one_does() {
    let mut here = subscription(2, "bob", "big", 1);
    here.site = "berlin".into();
    let mut site = Site::new(
        vec![subscription(1, "ann", "big", 1), here],
        vec![machine(0, "big", "berlin"), machine(1, "big", "paris")],
    );
    site.settle();
    assert_eq!((site.bound("s1"), site.bound("s2")), (vec!["m001"], vec!["m000"]));
}
