//! How a record begins (`lifecycle.md` 1.3 b1 and b2, 5.4).

use muster_api::provisioning::status::Maintenance;

use super::axes::{
    Alerts, Allocation, AllocationKind, Claim, Connectivity, Enrolled, Flags, Machine, Media, Method, Operation,
    OperationKind, Phase, TypeMatch,
};
use super::lifecycle::{Kind, Lifecycle};
use super::transition::{Actor, Change, EdgeId, Record};

/// The beginning of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Birth {
    /// A person names it in advance; it waits for a start through the BMC or for its operating system.
    PreRegistered {
        /// Its BMC is known.
        bmc: bool,
        /// The decommissioned record of the same hardware.
        predecessor: Option<Media>,
    },
    /// A BMC was added or discovered; registration through it begins.
    Bmc {
        /// The decommissioned record of the same hardware.
        predecessor: Option<Media>,
    },
    /// Unknown hardware, or hardware whose record is decommissioned, registers with a token.
    SelfRegistered {
        /// The decommissioned record of the same hardware.
        predecessor: Option<Media>,
    },
    /// A machine already in production is taken over as it is.
    Adopted {
        /// Whose it is.
        claim: Claim,
        /// Its BMC is known.
        bmc: bool,
    },
    /// The operations center's own machine.
    Center {
        /// The center's own name, as owner.
        owner: String,
    },
}

/// What a new record knows about its disks: dirty ones stay dirty, whatever became of the record before.
fn inherited(predecessor: Option<Media>) -> Media {
    match predecessor {
        Some(Media::Dirty) => Media::Dirty,
        _ => Media::Unknown,
    }
}

/// The new machine, with the records of its birth.
pub fn birth(birth: &Birth) -> Change {
    let mut machine = Machine {
        lifecycle: Lifecycle::Registering,
        operation: None,
        media: Media::Unknown,
        allocation: None,
        reservation: None,
        type_match: TypeMatch::Unmatched,
        alerts: Alerts::default(),
        flags: Flags::default(),
        bmc: false,
        enrolment: None,
    };
    let mut number = 1;
    match birth {
        Birth::PreRegistered { bmc, predecessor } => {
            let method = if *bmc { Method::Bmc } else { Method::InBand };
            let register = Operation::running(OperationKind::Register, method);
            machine.operation = Some(Operation { phase: Phase::Waiting, ..register });
            machine.bmc = *bmc;
            machine.media = inherited(*predecessor);
        }
        Birth::Bmc { predecessor } => {
            machine.operation = Some(Operation::running(OperationKind::Register, Method::Bmc));
            machine.bmc = true;
            machine.media = inherited(*predecessor);
        }
        Birth::SelfRegistered { predecessor } => {
            machine.operation = Some(Operation::running(OperationKind::Register, Method::InBand));
            machine.enrolment = Some(Enrolled::registering());
            machine.media = inherited(*predecessor);
        }
        Birth::Adopted { claim, bmc } => {
            number = 2;
            adopt(&mut machine, claim.clone());
            machine.operation = Some(Operation::running(OperationKind::Register, Method::InBand));
            machine.bmc = *bmc;
        }
        Birth::Center { owner } => {
            number = 2;
            let reference = owner.clone();
            adopt(&mut machine, Claim { owner: owner.clone(), kind: AllocationKind::Appliance, reference });
            machine.flags.protected = true;
        }
    }
    let mut records = vec![Record {
        edge: EdgeId::Birth(number),
        from: None,
        to: machine.lifecycle,
        kind: Kind::System,
        actor: Actor::System,
    }];
    if matches!(birth, Birth::Center { .. }) {
        // It knows itself: its registration has nothing to wait for.
        machine.lifecycle = Lifecycle::Used;
        machine.enrolment = Some(Enrolled { connectivity: Connectivity::Ready, ..Enrolled::registering() });
        machine.type_match = TypeMatch::Matched;
        records.push(Record {
            edge: EdgeId::Edge(20),
            from: Some(Lifecycle::UsedRegistering),
            to: Lifecycle::Used,
            kind: Kind::System,
            actor: Actor::System,
        });
    }
    Change { machine, records, waiver: false }
}

/// In use from the beginning.
fn adopt(machine: &mut Machine, claim: Claim) {
    machine.lifecycle = Lifecycle::UsedRegistering;
    machine.media = Media::Dirty;
    let cluster = (claim.kind == AllocationKind::Cluster).then(|| claim.reference.clone());
    machine.enrolment = Some(Enrolled { cluster, maintenance: Maintenance::None, ..Enrolled::registering() });
    machine.allocation = Some(Allocation { claim, subscription: None });
}
