//! What a machine's report about itself changes (`PUT /servers/:self`, `servers.md` 6.3).

use jiff::Timestamp;
use muster_api::provisioning::status::{SelfUpdateCause, ServerStatus, StatusDetail};

use super::enrolment::Enrolment;

/// What to write and do after a machine's report. An unknown cause never gets here: it is answered and ignored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SelfUpdateStep {
    /// The enrolment as it is now.
    pub enrolment: Enrolment,
    /// Status or detail changed.
    pub changed: bool,
    /// The sent URL becomes the connection URL; it must be a valid one.
    pub takes_url: bool,
    /// Its versions no longer ask for a reboot.
    pub reboot_done: bool,
    /// A full poll follows in the background.
    pub poll: bool,
}

/// Whether reports of this cause carry a connection URL that is taken, so that a missing one is an error.
pub const fn takes_url(cause: SelfUpdateCause) -> bool {
    matches!(cause, SelfUpdateCause::Unspecified | SelfUpdateCause::NetworkConfigChanged)
}

/// What a report makes of an enrolment.
pub fn after_self_update(enrolment: &Enrolment, cause: SelfUpdateCause, now: Timestamp) -> SelfUpdateStep {
    let mut step = SelfUpdateStep {
        enrolment: enrolment.clone(),
        changed: false,
        takes_url: takes_url(cause),
        reboot_done: false,
        poll: false,
    };
    let e = &mut step.enrolment;
    let registering = e.is(ServerStatus::Pending, StatusDetail::Registering);
    match cause {
        SelfUpdateCause::Unspecified
        | SelfUpdateCause::NetworkConfigChanged
        | SelfUpdateCause::OsUpdateApplied
        | SelfUpdateCause::NetworkInterfaceStateChanged => step.poll = true,
        // A registering server stays so: its first poll runs the scriptlet.
        SelfUpdateCause::SystemIsReady if registering => {}
        SelfUpdateCause::SystemIsReady => {
            e.put(ServerStatus::Ready, StatusDetail::None, now);
            e.failures = 0;
            e.last_failure = None;
            // It says itself that a boot finished; which one, the poll that follows will tell.
            e.boot_at = None;
            step.reboot_done = true;
            step.poll = true;
        }
        SelfUpdateCause::ApplicationUpdateApplied => {
            if e.detail == StatusDetail::UpdatingApplication {
                let status = e.status;
                e.put(status, StatusDetail::None, now);
                step.poll = true;
            }
        }
        SelfUpdateCause::StorageConfigChanged
        | SelfUpdateCause::SecureBootUpdateApplied
        | SelfUpdateCause::SuspendTriggered => {}
        SelfUpdateCause::SystemRebootTriggered => e.put(ServerStatus::Offline, StatusDetail::Rebooting, now),
        SelfUpdateCause::SystemShutdownTriggered => e.put(ServerStatus::Offline, StatusDetail::ShutDown, now),
    }
    step.changed = !enrolment.is(step.enrolment.status, step.enrolment.detail);
    step
}

#[cfg(test)]
mod tests {
    use super::*;
    use ServerStatus::*;
    use StatusDetail as D;

    fn at(s: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + s).unwrap()
    }

    /// `servers.md` 6.3 as data: cause, from, to, takes the URL, polls.
    #[test]
    fn every_cause_does_what_the_contract_says() {
        use SelfUpdateCause as C;
        let rows = [
            (C::Unspecified, (Ready, D::None), (Ready, D::None), true, true),
            (C::NetworkConfigChanged, (Pending, D::ReConfiguring), (Pending, D::ReConfiguring), true, true),
            (C::SystemIsReady, (Pending, D::Registering), (Pending, D::Registering), false, false),
            (C::SystemIsReady, (Pending, D::ReConfiguring), (Ready, D::None), false, true),
            (C::SystemIsReady, (Offline, D::Rebooting), (Ready, D::None), false, true),
            (C::SystemIsReady, (Offline, D::ShutDown), (Ready, D::None), false, true),
            (C::SystemIsReady, (Ready, D::Updating), (Ready, D::None), false, true),
            (C::OsUpdateApplied, (Ready, D::Updating), (Ready, D::Updating), false, true),
            (C::ApplicationUpdateApplied, (Ready, D::UpdatingApplication), (Ready, D::None), false, true),
            (C::ApplicationUpdateApplied, (Ready, D::Updating), (Ready, D::Updating), false, false),
            (C::NetworkInterfaceStateChanged, (Ready, D::None), (Ready, D::None), false, true),
            (C::StorageConfigChanged, (Pending, D::ReConfiguring), (Pending, D::ReConfiguring), false, false),
            (C::SecureBootUpdateApplied, (Ready, D::None), (Ready, D::None), false, false),
            (C::SuspendTriggered, (Ready, D::None), (Ready, D::None), false, false),
            (C::SystemRebootTriggered, (Ready, D::Updating), (Offline, D::Rebooting), false, false),
            (C::SystemShutdownTriggered, (Ready, D::None), (Offline, D::ShutDown), false, false),
        ];
        for (cause, from, to, url, poll) in rows {
            let step = after_self_update(&Enrolment::new(from.0, from.1, at(0)), cause, at(5));
            assert_eq!((step.enrolment.status, step.enrolment.detail), to, "{cause:?} from {from:?}");
            assert_eq!((step.takes_url, step.poll), (url, poll), "{cause:?} from {from:?}");
            assert_eq!(step.changed, from != to);
            assert_eq!(step.enrolment.since, if from == to { at(0) } else { at(5) });
        }
        let seen: std::collections::HashSet<_> = rows.iter().map(|r| r.0).collect();
        assert_eq!(seen.len(), SelfUpdateCause::ALL.len());
    }

    #[test]
    fn a_finished_boot_ends_the_need_to_reboot() {
        let from = Enrolment::new(Offline, D::Rebooting, at(0));
        assert!(after_self_update(&from, SelfUpdateCause::SystemIsReady, at(1)).reboot_done);
        let registering = Enrolment::new(Pending, D::Registering, at(0));
        assert!(!after_self_update(&registering, SelfUpdateCause::SystemIsReady, at(1)).reboot_done);
    }
}
