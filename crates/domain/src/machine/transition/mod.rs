//! The one function that changes a machine.

mod allocation;
mod calls;
mod enrolment;
mod hand;
mod operation;

use serde::{Deserialize, Serialize};

use super::axes::{Machine, Method, Operation, OperationKind, TypeMatch};
use super::command::Command;
use super::lifecycle::{Kind, Lifecycle, find, forbidden};
use super::refusal::{Guard, Refusal};

/// Which edge a record is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EdgeId {
    /// b1 or b2.
    Birth(u8),
    /// 1 to 30.
    Edge(u8),
}

/// What kind of actor made a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Actor {
    /// The system on its own, or the subscription engine.
    System,
    /// A policy, standing in for a person.
    Policy,
    /// A person.
    Person,
}

/// One change of lifecycle, for the audit log. One command may make several, each with its own record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record {
    /// The edge.
    pub edge: EdgeId,
    /// The state before; none at a birth.
    pub from: Option<Lifecycle>,
    /// The state after.
    pub to: Lifecycle,
    /// The edge's kind.
    pub kind: Kind,
    /// Who.
    pub actor: Actor,
}

/// The machine after a command, and what to record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The machine as it is now.
    pub machine: Machine,
    /// The changes of lifecycle, in order; empty when there was none.
    pub records: Vec<Record>,
    /// Existing data was accepted without cleaning: record that waiver.
    pub waiver: bool,
}

/// Carries out a command, or refuses it and changes nothing. Total: every command has an answer in every state.
pub fn transition(machine: &Machine, command: &Command) -> Result<Change, Refusal> {
    let mut draft = Draft { machine: machine.clone(), records: Vec::new(), waiver: false };
    let d = &mut draft;
    if machine.lifecycle == Lifecycle::Decommissioned {
        let to = if let Command::SetStatus(to) = command { Some(*to) } else { None };
        return Err(Refusal::reason(machine.lifecycle, to, 11));
    }
    match command {
        Command::SetStatus(to) => hand::set_status(d, *to)?,
        Command::Decommission => hand::decommission(d)?,
        Command::SetRetire(on) => hand::set_retire(d, *on)?,
        Command::SetBmc(on) => hand::set_bmc(d, *on)?,
        Command::SetHold(on) => d.machine.flags.hold = *on,
        Command::SetProtected(on) => d.machine.flags.protected = *on,
        Command::Waive => hand::waive(d)?,
        Command::RequireReRegister => d.machine.flags.requires_re_register = true,
        Command::SetType(type_match) => d.machine.type_match = *type_match,
        Command::SetAlerts(alerts) => d.machine.alerts = *alerts,

        Command::Register { method, force, same_identity } => operation::register(d, *method, *force, *same_identity)?,
        Command::Clean { method } => operation::clean(d, *method)?,
        Command::Firmware => operation::firmware(d)?,
        Command::Diagnose => operation::diagnose(d)?,
        Command::Advance(phase) => operation::advance(d, *phase)?,
        Command::Done { erased } => operation::done(d, *erased)?,
        Command::Fail => operation::fail(d)?,
        Command::Retry { method } => operation::retry(d, *method)?,
        Command::Cancel => operation::cancel(d)?,

        Command::Reserve(reservation) => allocation::reserve(d, reservation.clone())?,
        Command::Unreserve => allocation::unreserve(d)?,
        Command::Lock(claim) => allocation::lock(d, claim.clone())?,
        Command::Commit => allocation::commit(d)?,
        Command::Release { method, force } => allocation::release(d, *method, *force)?,
        Command::Forget => allocation::forget(d)?,

        Command::SelfRegister { same_certificate } => enrolment::self_register(d, *same_certificate)?,
        Command::FirstPoll { open, accepts_data } => enrolment::first_poll(d, *open, *accepts_data)?,
        Command::Connectivity(to) => enrolment::connectivity(d, *to)?,
        Command::Maintenance(to) => enrolment::maintenance(d, *to)?,

        Command::DeleteServer => calls::delete_server(d)?,
        Command::OsReset => calls::os_reset(d)?,
        Command::Resync => calls::resync(d)?,
    }
    // Last, so that what cannot be at all is refused for its own reason.
    if machine.alerts.prevent_state_changes && command.is_request() {
        return Err(Refusal::guard(machine.lifecycle, None, Guard::StateAlert));
    }
    Ok(Change { machine: draft.machine, records: draft.records, waiver: draft.waiver })
}

/// A machine being changed.
struct Draft {
    machine: Machine,
    records: Vec<Record>,
    waiver: bool,
}

impl Draft {
    /// A guard that does not hold, about no state in particular.
    fn refuse<T>(&self, guard: Guard) -> Result<T, Refusal> {
        Err(Refusal::guard(self.machine.lifecycle, None, guard))
    }

    /// Refuses unless the guard holds.
    fn need(&self, holds: bool, guard: Guard) -> Result<(), Refusal> {
        if holds { Ok(()) } else { self.refuse(guard) }
    }

    /// Refuses while an operation is there.
    fn need_idle(&self) -> Result<(), Refusal> {
        self.need(self.machine.operation.is_none(), Guard::Busy)
    }

    /// Why the lifecycle cannot go there: the matrix' reason, else that only the system goes there.
    fn no_way(&self, to: Lifecycle) -> Refusal {
        let from = self.machine.lifecycle;
        match forbidden(Some(from), to) {
            Some(reason) => Refusal::reason(from, Some(to), reason.number),
            None => Refusal::guard(from, Some(to), Guard::SystemOnly),
        }
    }

    /// Changes the lifecycle along an edge and records it. The operation is still the one of the state before.
    fn go(&mut self, to: Lifecycle, actor: Actor) -> Result<(), Refusal> {
        let from = self.machine.lifecycle;
        let Some(edge) = find(from, to) else { return Err(self.no_way(to)) };
        let fits = match edge.kind {
            Kind::System => actor == Actor::System,
            Kind::Started => actor == Actor::Person,
            Kind::Manual => actor != Actor::System,
            Kind::ManualOrSystem => true,
        };
        if !fits {
            return Err(Refusal::guard(from, Some(to), Guard::SystemOnly));
        }
        if edge.after_failure && actor != Actor::System && !self.machine.has_failed() {
            return Err(Refusal::guard(from, Some(to), Guard::NotFailed));
        }
        self.machine.lifecycle = to;
        self.records.push(Record { edge: EdgeId::Edge(edge.number), from: Some(from), to, kind: edge.kind, actor });
        Ok(())
    }

    /// Lifts a reservation, if there is one, as a step of its own.
    fn lift_reservation(&mut self) -> Result<(), Refusal> {
        if self.machine.lifecycle == Lifecycle::AvailableReserved {
            self.go(Lifecycle::Available, Actor::System)?;
            self.machine.reservation = None;
        }
        Ok(())
    }

    /// Refuses unless a method has what it needs.
    fn need_method(&self, method: Method) -> Result<(), Refusal> {
        match method {
            Method::Bmc => self.need(self.machine.bmc, Guard::NoBmc),
            Method::InBand | Method::OsReset => {
                self.need(self.machine.enrolment.is_some(), Guard::NoEnrolment)?;
                self.need(self.machine.is_ready(), Guard::NotReady)
            }
        }
    }

    /// Begins the cleaning of a machine that just became `cleaning`: no owner, no operating system.
    fn begin_cleaning(&mut self, method: Method) {
        self.machine.allocation = None;
        self.machine.enrolment = None;
        self.machine.operation = Some(Operation::running(OperationKind::Clean, method));
    }

    /// A registration ends: where nobody has compared its hardware with its type, it is of its type.
    fn registered_type(&mut self) {
        if self.machine.type_match == TypeMatch::Unmatched {
            self.machine.type_match = TypeMatch::Matched;
        }
    }

    /// Makes a tombstone: no operating system, no secrets.
    fn decommissioned(&mut self) -> Result<(), Refusal> {
        self.go(Lifecycle::Decommissioned, Actor::Person)?;
        self.machine.operation = None;
        self.machine.enrolment = None;
        self.machine.bmc = false;
        Ok(())
    }
}
