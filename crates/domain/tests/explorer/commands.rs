//! What can be asked of a machine, with every parameter that decides something.

use muster_api::provisioning::status::Maintenance;
use muster_domain::machine::axes::{AllocationKind, Claim, Connectivity, Media, Method, Phase, Reservation};
use muster_domain::machine::birth::Birth;
use muster_domain::machine::{Command, Lifecycle};

/// An owner and what for.
fn claim(owner: &str, kind: AllocationKind) -> Claim {
    Claim { owner: owner.into(), kind, reference: "c1".into() }
}

/// Every way a record begins, but the center's.
pub fn births() -> Vec<Birth> {
    let mut all = Vec::new();
    for predecessor in [None, Some(Media::Dirty), Some(Media::Clean)] {
        all.push(Birth::Bmc { predecessor });
        all.push(Birth::SelfRegistered { predecessor });
        all.push(Birth::PreRegistered { bmc: true, predecessor });
        all.push(Birth::PreRegistered { bmc: false, predecessor });
    }
    for bmc in [true, false] {
        all.push(Birth::Adopted { claim: claim("anna", AllocationKind::Standalone), bmc });
        all.push(Birth::Adopted { claim: claim("anna", AllocationKind::Cluster), bmc });
    }
    all
}

/// The center's own machine.
pub fn center() -> Birth {
    Birth::Center { owner: "operations-center".into() }
}

/// Every command.
pub fn commands() -> Vec<Command> {
    let mut all: Vec<_> = Lifecycle::ALL.into_iter().map(Command::SetStatus).collect();
    all.extend([
        Command::Decommission,
        Command::Reserve(Reservation { subscription: "s1".into(), holder: "anna".into() }),
        Command::Unreserve,
        Command::Lock(claim("anna", AllocationKind::Standalone)),
        Command::Lock(claim("anna", AllocationKind::Cluster)),
        Command::Lock(claim("ben", AllocationKind::Standalone)),
        Command::Commit,
        Command::Forget,
        Command::Fail,
        Command::Cancel,
        Command::Firmware,
        Command::Diagnose,
        Command::DeleteServer,
        Command::OsReset,
        Command::Waive,
        Command::Resync,
    ]);
    all.extend([Phase::Waiting, Phase::Running, Phase::Held].map(Command::Advance));
    all.extend(Connectivity::ALL.map(Command::Connectivity));
    all.extend(Maintenance::ALL.iter().copied().map(Command::Maintenance));
    for method in [Method::Bmc, Method::InBand, Method::OsReset] {
        all.push(Command::Clean { method });
        all.push(Command::Retry { method: Some(method) });
        for on in [false, true] {
            all.push(Command::Register { method, force: on, same_identity: true });
            all.push(Command::Register { method, force: on, same_identity: false });
            all.push(Command::Release { method, force: on });
        }
    }
    all.push(Command::Retry { method: None });
    for on in [false, true] {
        all.push(Command::Done { erased: on });
        all.push(Command::SelfRegister { same_certificate: on });
        all.push(Command::FirstPoll { open: on, accepts_data: false });
        all.push(Command::FirstPoll { open: on, accepts_data: true });
        all.push(Command::SetRetire(on));
        all.push(Command::SetBmc(on));
    }
    all
}
