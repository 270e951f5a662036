//! Machines as they are on the wire.

use crate::{Error, machine::load, services::operation::is_on_machine};
use muster_api::{
    machine::{
        AlertClasses, Allocation, Asset, Flags, Machine, MachineBmc, MachineDetail, MachineOperation, MachineWork,
        OpenMove, Reservation,
    },
    provisioning::server::MASK,
    time::Time,
};
use muster_domain::machine::{
    self as domain, Move,
    allocatable::obstacles,
    axes::{AllocationKind, Claim, Media},
    moves::Terms,
};
use muster_store::tables::{
    machine_notes::Note, machines::Machine as Row, operations::Operation, servers::Server as ServerRow,
};
use serde::{Serialize, de::DeserializeOwned};

/// A machine, without what asks for its enrolment.
pub(super) fn machine(row: Row, server: String) -> Result<Machine, Error> {
    let known = load(&row, None)?;
    show(row, server, &known)
}

fn show(row: Row, server: String, known: &domain::Machine) -> Result<Machine, Error> {
    let operation = known.operation.as_ref().map(|o| MachineOperation {
        kind: word(&o.kind),
        method: o.method.map(|m| word(&m)).unwrap_or_default(),
        phase: word(&o.phase),
    });
    let allocation = known.allocation.as_ref().map(|a| Allocation {
        kind: word(&a.claim.kind),
        owner: a.claim.owner.clone(),
        reference: a.claim.reference.clone(),
        subscription: a.subscription.clone().unwrap_or_default(),
        since: Time::from_micros(row.allocated_at.unwrap_or(row.since)),
    });
    let reservation = known
        .reservation
        .as_ref()
        .map(|r| Reservation { subscription: r.subscription.clone(), holder: r.holder.clone() });
    let flags = known.flags;
    let bmc = document::<Option<MachineBmc>>(&row.bmc, "{}")?
        .map(|bmc| MachineBmc { password: if bmc.password.is_empty() { String::new() } else { MASK.into() }, ..bmc });
    Ok(Machine {
        lifecycle: known.lifecycle.as_str().into(),
        since: Time::from_micros(row.since),
        operation,
        media: word(&known.media),
        allocation,
        reservation,
        type_match: word(&known.type_match),
        flags: Flags {
            retire: flags.retire,
            hold: flags.hold,
            protected: flags.protected,
            requires_re_register: flags.requires_re_register,
        },
        alerts: AlertClasses {
            prevent_allocation: known.alerts.prevent_allocation,
            prevent_state_changes: known.alerts.prevent_state_changes,
            blocking: known.alerts.blocking,
        },
        asset: asset(&row)?,
        bmc,
        system_uuid: row.system_uuid.unwrap_or_default(),
        machine_id: row.machine_id.unwrap_or_default(),
        serial: row.serial.unwrap_or_default(),
        vendor: row.chassis_vendor.unwrap_or_default(),
        server,
        erased: row.erased.as_deref().map(|text| document(text, "")).transpose()?,
        needs_manual_cleaning: known.needs_manual_cleaning(),
        successor_of: row.successor_of.unwrap_or_default(),
        created_at: Time::from_micros(row.created_at),
        server_type: row.server_type,
        id: row.id,
    })
}

/// What people wrote about it.
pub(super) fn asset(row: &Row) -> Result<Asset, Error> {
    document(&row.asset, "")
}

/// What is kept beside a machine.
pub(super) struct Beside {
    /// The newest note.
    pub newest: Option<Note>,
    /// Its operations that are not over.
    pub work: Vec<Operation>,
    /// Label of its server type, or empty.
    pub type_label: String,
}

/// One machine with its moves. `actor` is who would take it.
pub(super) fn detail(
    row: Row,
    server: Option<&ServerRow>,
    known: &domain::Machine,
    actor: &str,
    beside: Beside,
) -> Result<MachineDetail, Error> {
    let claim = Claim { owner: actor.to_owned(), kind: AllocationKind::Standalone, reference: actor.to_owned() };
    let holder = known.reservation.as_ref().map_or(actor, |r| &r.holder);
    let terms = Terms { claim: Claim { owner: holder.to_owned(), ..claim }, force: false, unreachable: false };
    let mut moves: Vec<OpenMove> = Move::ALL.into_iter().map(|m| open(m, known, &terms)).collect();
    // Work that has not changed the machine yet can be ended, too.
    if beside.work.iter().any(is_on_machine)
        && let Some(cancel) = moves.iter_mut().find(|m| m.name == Move::Cancel.as_str())
    {
        *cancel = OpenMove { open: true, reason: None, why: String::new(), way_out: String::new(), ..cancel.clone() };
    }
    let shown = |o: &Operation| MachineWork {
        id: o.id.clone(),
        kind: o.kind.clone(),
        status: o.status.clone(),
        reason: o.reason.clone(),
    };
    let work = beside.work.iter().map(shown).collect();
    let obstacles = obstacles(known, holder).into_iter().map(|o| o.text().to_owned()).collect();
    let machine = show(row, server.map(|s| s.name.clone()).unwrap_or_default(), known)?;
    let comment = beside.newest.map(|n| n.note).unwrap_or_default();
    Ok(MachineDetail { machine, server_type_label: beside.type_label, moves, obstacles, comment, work })
}

/// Whether a move can be made now, and why not.
fn open(wanted: Move, known: &domain::Machine, terms: &Terms) -> OpenMove {
    let mut shown = OpenMove {
        name: wanted.as_str().into(),
        to: wanted.aim(known).map(|l| l.as_str().to_owned()).unwrap_or_default(),
        open: true,
        reason: None,
        why: String::new(),
        way_out: String::new(),
    };
    if let Err(refusal) = wanted.plan(known, terms) {
        shown.open = false;
        shown.reason = refusal.number();
        shown.why = refusal.text().into();
        shown.way_out = refusal.way_out().into();
    }
    shown
}

/// What a move takes away, in words.
pub(super) fn losses(wanted: Move, known: &domain::Machine, row: &Row, server: Option<&ServerRow>) -> Vec<String> {
    let mut lost = Vec::new();
    let mut lose = |condition: bool, text: String| {
        if condition {
            lost.push(text);
        }
    };
    let wipes = matches!(wanted, Move::Clean | Move::Release);
    let ends = matches!(wanted, Move::Decommission | Move::RemoveFromRack);
    if let (Some(server), true) = (server, wipes || ends) {
        let what = if wipes { "the operating system is reset and its data with it" } else { "it is forgotten here" };
        lose(true, format!("server {:?}: {what}", server.name));
    }
    if let (Some(allocation), Move::Release) = (&known.allocation, wanted) {
        let claim = &allocation.claim;
        lose(true, format!("the allocation to {} for {:?}", claim.owner, claim.reference));
    }
    if let (Some(reservation), true) = (&known.reservation, wanted.aim(known).is_some() && wanted != Move::Allocate) {
        lose(true, format!("the reservation for {} (subscription {})", reservation.holder, reservation.subscription));
    }
    lose(wanted == Move::Decommission, "this record: the hardware gets a new one when it is added again".into());
    lose(wanted == Move::Decommission && row.bmc != "{}", "the stored credentials of its BMC".into());
    lose(
        wanted == Move::Waive && known.media == Media::Dirty,
        "the proof that nobody's data is left on its disks".into(),
    );
    lost
}

/// As it is written in JSON.
pub(super) fn word<T: Serialize>(value: &T) -> String {
    serde_json::to_value(value).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
}

/// A stored document; `none` is one that counts as absent.
fn document<T: DeserializeOwned>(text: &str, none: &str) -> Result<T, Error> {
    let text = if text == none { "null" } else { text };
    serde_json::from_str(text).map_err(|e| Error::Internal(format!("a machine's document cannot be read: {e}")))
}
