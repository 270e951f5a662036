//! A site to plan for: subscriptions, machines, and the one function that changes machines.

use muster_api::provisioning::status::Maintenance;
use muster_api::time::Time;
use muster_domain::machine::axes::{
    Alerts, AllocationKind, Claim, Connectivity, Enrolled, Flags, Media, Method, Reservation, TypeMatch,
};
use muster_domain::machine::{Command, Lifecycle, Machine, transition};
use muster_domain::subscription::{Candidate, Plan, Status, Subscription, Term, Wanted, plan};

pub const DAY: i64 = 86_400_000_000;

pub fn at(days: i64) -> Time {
    Time::from_micros(1_700_000_000_000_000 + days * DAY)
}

/// An available machine that nothing is in the way of.
pub fn machine(id: usize, server_type: &str, site: &str) -> Candidate {
    let machine = Machine {
        lifecycle: Lifecycle::Available,
        operation: None,
        media: Media::Clean,
        allocation: None,
        reservation: None,
        type_match: TypeMatch::Matched,
        alerts: Alerts::default(),
        flags: Flags::default(),
        bmc: false,
        enrolment: Some(Enrolled {
            connectivity: Connectivity::Ready,
            maintenance: Maintenance::None,
            cluster: None,
            update_due: false,
        }),
    };
    Candidate { id: format!("m{id:03}"), server_type: server_type.into(), site: site.into(), machine }
}

/// A subscription for so many of a type, from day 0 on.
pub fn subscription(id: usize, holder: &str, server_type: &str, quantity: u32) -> Subscription {
    Subscription {
        id: format!("s{id}"),
        holder: holder.into(),
        wanted: Wanted::Type(server_type.into()),
        quantity,
        site: String::new(),
        term: Term::new(at(0), None, 0, false).unwrap(),
        status: Status::Active,
        created_at: at(i64::try_from(id).unwrap() - 1000),
    }
}

#[derive(Debug, Clone)]
pub struct Site {
    pub now: Time,
    pub subscriptions: Vec<Subscription>,
    pub machines: Vec<Candidate>,
}

impl Site {
    pub fn new(subscriptions: Vec<Subscription>, machines: Vec<Candidate>) -> Self {
        Self { now: at(0), subscriptions, machines }
    }

    pub fn plan(&self) -> Plan {
        plan(self.now, &self.subscriptions, &self.machines)
    }

    /// Something happens to a machine, if its rules allow it.
    pub fn command(&mut self, index: usize, command: &Command) -> bool {
        match transition(&self.machines[index].machine, command) {
            Ok(change) => {
                self.machines[index].machine = change.machine;
                true
            }
            Err(_) => false,
        }
    }

    /// Does what was planned: everything in it must be allowed.
    pub fn settle(&mut self) -> Plan {
        let plan = self.plan();
        for id in &plan.ended {
            self.of(id).status = Status::Ended;
        }
        for renewal in &plan.renewed {
            self.of(&renewal.subscription).term = renewal.term;
        }
        for unbinding in &plan.unbind {
            let index = self.index(&unbinding.machine);
            let reservation = self.machines[index].machine.reservation.clone().unwrap();
            assert_eq!(reservation.subscription, unbinding.subscription);
            assert!(self.command(index, &Command::Unreserve), "{unbinding:?}");
        }
        for binding in &plan.bind {
            let index = self.index(&binding.machine);
            let reservation =
                Reservation { subscription: binding.subscription.clone(), holder: binding.holder.clone() };
            assert!(self.command(index, &Command::Reserve(reservation)), "{binding:?}");
        }
        plan
    }

    pub fn of(&mut self, id: &str) -> &mut Subscription {
        self.subscriptions.iter_mut().find(|s| s.id == id).unwrap()
    }

    pub fn index(&self, machine: &str) -> usize {
        self.machines.iter().position(|m| m.id == machine).unwrap()
    }

    /// The machines bound to a subscription.
    pub fn bound(&self, id: &str) -> Vec<&str> {
        let bound = |m: &&Candidate| m.machine.reservation.as_ref().is_some_and(|r| r.subscription == id);
        self.machines.iter().filter(bound).map(|m| m.id.as_str()).collect()
    }

    /// The machines in use through a subscription.
    pub fn used(&self, id: &str) -> Vec<&str> {
        let used =
            |m: &&Candidate| m.machine.allocation.as_ref().is_some_and(|a| a.subscription.as_deref() == Some(id));
        self.machines.iter().filter(used).map(|m| m.id.as_str()).collect()
    }

    /// Somebody takes a machine, whole.
    pub fn allocate(&mut self, index: usize, owner: &str) -> bool {
        let claim = Claim { owner: owner.into(), kind: AllocationKind::Standalone, reference: "w".into() };
        self.command(index, &Command::Lock(claim)) && self.command(index, &Command::Commit)
    }

    /// Its owner gives a machine back, and it is cleaned and comes back.
    pub fn release(&mut self, index: usize) -> bool {
        self.command(index, &Command::Release { method: Method::OsReset, force: true })
            && self.command(index, &Command::SelfRegister { same_certificate: false })
            && self.command(index, &Command::FirstPoll { open: false, accepts_data: false })
    }
}
