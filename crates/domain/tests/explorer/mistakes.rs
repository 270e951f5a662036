//! The eight deliberate mistakes of `lifecycle.md` 5.9, each as the corruption it would be. None may go unnoticed.

use muster_domain::machine::axes::{Media, OperationKind};
use muster_domain::machine::lifecycle::{Kind, Lifecycle};
use muster_domain::machine::{Actor, Change, Command, EdgeId, Machine, Refusal, transition};

/// A mistake in the transition function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mistake {
    AbandonedCleaningReturnsToThePool,
    ClusterLinkSurvivesRelease,
    ReservationSurvivesUnreserve,
    EnrolmentSurvivesDecommission,
    EvacuationWithoutACluster,
    UsedReRegistersAsRegistering,
    MediaGuardSkipped,
    RetireIgnored,
}

impl Mistake {
    /// All eight.
    pub const ALL: [Self; 8] = [
        Self::AbandonedCleaningReturnsToThePool,
        Self::ClusterLinkSurvivesRelease,
        Self::ReservationSurvivesUnreserve,
        Self::EnrolmentSurvivesDecommission,
        Self::EvacuationWithoutACluster,
        Self::UsedReRegistersAsRegistering,
        Self::MediaGuardSkipped,
        Self::RetireIgnored,
    ];

    /// The invariants that have to notice.
    pub const fn caught_by(self) -> &'static [u8] {
        match self {
            Self::AbandonedCleaningReturnsToThePool | Self::MediaGuardSkipped | Self::RetireIgnored => &[11],
            Self::ClusterLinkSurvivesRelease => &[5],
            Self::ReservationSurvivesUnreserve => &[4],
            Self::EnrolmentSurvivesDecommission => &[8],
            Self::EvacuationWithoutACluster => &[6],
            Self::UsedReRegistersAsRegistering => &[1, 3],
        }
    }

    /// The transition function with this mistake in it.
    pub fn transition(self, before: &Machine, command: &Command) -> Result<Change, Refusal> {
        let honest = transition(before, command);
        match self {
            Self::AbandonedCleaningReturnsToThePool => honest.map(|mut change| {
                let abandoned = before.has_failed() && before.operation_kind() == Some(OperationKind::Clean);
                if abandoned && change.machine.lifecycle == Lifecycle::Unavailable {
                    change.machine.lifecycle = Lifecycle::Available;
                    for record in &mut change.records {
                        (record.edge, record.to) = (EdgeId::Edge(21), Lifecycle::Available);
                        (record.kind, record.actor) = (Kind::System, Actor::System);
                    }
                }
                change
            }),
            Self::ClusterLinkSurvivesRelease => honest.map(|mut change| {
                if before.lifecycle == Lifecycle::Used && change.machine.lifecycle == Lifecycle::Cleaning {
                    change.machine.enrolment = before.enrolment.clone();
                }
                change
            }),
            Self::ReservationSurvivesUnreserve => honest.map(|mut change| {
                if *command == Command::Unreserve {
                    change.machine.reservation = before.reservation.clone();
                }
                change
            }),
            Self::EnrolmentSurvivesDecommission => honest.map(|mut change| {
                if change.machine.lifecycle == Lifecycle::Decommissioned {
                    change.machine.enrolment = before.enrolment.clone();
                }
                change
            }),
            Self::EvacuationWithoutACluster => match (command, honest) {
                (Command::Maintenance(to), Err(_)) if before.enrolment.is_some() => {
                    let mut machine = before.clone();
                    if let Some(enrolment) = &mut machine.enrolment {
                        enrolment.maintenance = *to;
                    }
                    Ok(Change { machine, records: Vec::new(), waiver: false })
                }
                (_, honest) => honest,
            },
            Self::UsedReRegistersAsRegistering => honest.map(|mut change| {
                let re_register = matches!(command, Command::Register { .. });
                if re_register && before.lifecycle == Lifecycle::Used {
                    change.machine.lifecycle = Lifecycle::Registering;
                    for record in &mut change.records {
                        record.to = Lifecycle::Registering;
                    }
                }
                change
            }),
            Self::MediaGuardSkipped => {
                let blind = Machine { media: Media::Clean, ..before.clone() };
                match command {
                    Command::SetStatus(Lifecycle::Available) => transition(&blind, command).map(|mut change| {
                        change.machine.media = before.media;
                        change
                    }),
                    _ => honest,
                }
            }
            Self::RetireIgnored => {
                let mut blind = before.clone();
                blind.flags.retire = false;
                match command {
                    Command::SetRetire(_) => honest,
                    _ => transition(&blind, command).map(|mut change| {
                        change.machine.flags.retire = before.flags.retire;
                        change
                    }),
                }
            }
        }
    }
}
