//! The invariants, by their numbers in the contract.

use muster_api::provisioning::status::Maintenance;
use muster_domain::machine::axes::{AllocationKind, Media, Method, OperationKind as Op};
use muster_domain::machine::lifecycle::{Kind, Lifecycle, find};
use muster_domain::machine::{Actor, Change, Command, EdgeId, Machine};

/// A broken invariant.
#[derive(Debug)]
pub struct Violation {
    /// Its number.
    pub invariant: u8,
    what: &'static str,
    step: String,
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "invariant {} ({}): {}", self.invariant, self.what, self.step)
    }
}

/// What must hold in every state.
pub fn check_state(m: &Machine) -> Vec<Violation> {
    let l = m.lifecycle;
    let op = m.operation_kind();
    let used = matches!(l, Lifecycle::Used | Lifecycle::UsedRegistering);
    let pool = matches!(l, Lifecycle::Available | Lifecycle::AvailableReserved);
    let inert = matches!(l, Lifecycle::Decommissioned | Lifecycle::RemovedFromRack);
    let registering = matches!(l, Lifecycle::Registering | Lifecycle::UsedRegistering);
    let linked = m.cluster().is_some();
    let of_cluster = m.allocation.as_ref().is_some_and(|a| a.claim.kind == AllocationKind::Cluster);
    let nothing = m.operation.is_none() && m.enrolment.is_none() && m.allocation.is_none() && m.reservation.is_none();
    let method = m.operation.as_ref().and_then(|o| o.method);
    let in_use_maintenance = l == Lifecycle::Used
        || m.maintenance() == Maintenance::None
        || (l == Lifecycle::UsedRegistering && m.maintenance() == Maintenance::Evacuated);
    let rules = [
        (3, "allocation <=> used", m.allocation.is_some() == used),
        (4, "reservation <=> available_reserved", m.reservation.is_some() == (l == Lifecycle::AvailableReserved)),
        (5, "cluster link => allocation of kind cluster", !linked || of_cluster),
        (6, "maintenance => enrolment and cluster", m.maintenance() == Maintenance::None || linked),
        (6, "maintenance only where 5.3 allows it", in_use_maintenance),
        (7, "register <=> registering", (op == Some(Op::Register)) == registering),
        (7, "clean <=> cleaning", (op == Some(Op::Clean)) == (l == Lifecycle::Cleaning)),
        (7, "install => used", op != Some(Op::Install) || l == Lifecycle::Used),
        (7, "allocate => pool", op != Some(Op::Allocate) || pool),
        (
            7,
            "diagnostics outside the pool",
            op != Some(Op::Diagnostics) || matches!(l, Lifecycle::Unavailable | Lifecycle::Defective | Lifecycle::Used),
        ),
        (
            7,
            "firmware where 5.3 allows it",
            op != Some(Op::Firmware) || matches!(l, Lifecycle::Unavailable | Lifecycle::Available | Lifecycle::Used),
        ),
        (8, "decommissioned and off the rack are inert", !inert || nothing),
        (8, "decommissioned has no secrets", l != Lifecycle::Decommissioned || !m.bmc),
        (9, "used at rest has an enrolment", l != Lifecycle::Used || m.operation.is_some() || m.enrolment.is_some()),
        (11, "the pool is not dirty", !pool || m.media != Media::Dirty),
        (11, "the pool does not retire", !pool || !m.flags.retire),
        (13, "nothing destructive in use", !used || (method != Some(Method::OsReset) && op != Some(Op::Clean))),
    ];
    let broken = rules.into_iter().filter(|(_, _, holds)| !holds);
    broken.map(|(invariant, what, _)| Violation { invariant, what, step: format!("{m:?}") }).collect()
}

/// What must hold for every step.
pub fn check_step(before: &Machine, command: &Command, change: &Change) -> Vec<Violation> {
    let after = &change.machine;
    let mut at = Some(before.lifecycle);
    let mut edges = true;
    let mut actors = true;
    let mut holder = true;
    let mut cleaned = change.waiver || matches!(command, Command::Done { erased: true });
    for r in &change.records {
        let edge = r.from.and_then(|from| find(from, r.to));
        edges &= r.from == at && edge.is_some_and(|e| r.edge == EdgeId::Edge(e.number) && r.kind == e.kind);
        actors &= match (r.kind, r.actor) {
            (Kind::System, actor) => actor == Actor::System,
            (Kind::Started, actor) => actor == Actor::Person,
            // Edge 5 is the one a policy may press.
            (Kind::Manual, Actor::Policy) => r.edge == EdgeId::Edge(5),
            (Kind::Manual, actor) => actor == Actor::Person,
            (Kind::ManualOrSystem, actor) => actor != Actor::Policy,
        };
        if (r.from, r.to) == (Some(Lifecycle::AvailableReserved), Lifecycle::Used) {
            let owner = after.allocation.as_ref().map(|a| &a.claim.owner);
            holder &= before.reservation.as_ref().map(|r| &r.holder) == owner;
        }
        cleaned |= r.from == Some(Lifecycle::Cleaning) && r.actor == Actor::System;
        at = Some(r.to);
    }
    edges &= at == Some(after.lifecycle);
    let allowed = |to: Lifecycle| Lifecycle::BUTTONS.contains(&to) || to == before.lifecycle;
    let by_value = !matches!(command, Command::SetStatus(to) if !allowed(*to));
    let poll = matches!(command, Command::Connectivity(_) | Command::Maintenance(_));
    let takeover = before.lifecycle.is_allocated()
        && matches!(command, Command::SelfRegister { same_certificate: false })
        && before.operation.is_none();
    let rules = [
        (1, "every change is an edge", edges),
        (1, "made by the right kind of actor", actors),
        (2, "only buttons are written as a value", by_value),
        (8, "decommissioned is absorbing", before.lifecycle != Lifecycle::Decommissioned),
        (
            12,
            "clean comes from cleaning or a waiver",
            after.media != Media::Clean || before.media == Media::Clean || cleaned,
        ),
        (15, "only the holder", holder),
        (17, "no takeover", !takeover),
        (26, "connectivity never changes the lifecycle", !poll || change.records.is_empty()),
    ];
    let broken = rules.into_iter().filter(|(_, _, holds)| !holds);
    broken
        .map(|(invariant, what, _)| Violation {
            invariant,
            what,
            step: format!("{before:?}\n  {command:?}\n  {after:?}\n  {:?}", change.records),
        })
        .collect()
}
