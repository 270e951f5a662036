//! Actions a person asks of one server, and the status they put before the machine is called (`servers.md` 3.11, 3.13).

use jiff::Timestamp;
use muster_api::provisioning::status::{Maintenance, ServerStatus, StatusDetail};
use serde::{Deserialize, Serialize};

use super::enrolment::Enrolment;
use super::version::UpdateGoal;

/// An action on a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServerAction {
    /// Move its workloads away.
    Evacuate,
    /// Take its workloads back.
    Restore,
    /// Switch it off.
    Poweroff,
    /// Reboot it.
    Reboot,
    /// Update operating system and applications.
    Update,
    /// Put a network or storage configuration.
    Configure,
}

impl ServerAction {
    /// Every action.
    pub const ALL: [Self; 6] =
        [Self::Evacuate, Self::Restore, Self::Poweroff, Self::Reboot, Self::Update, Self::Configure];

    /// Its name in a sentence.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Evacuate => "evacuate",
            Self::Restore => "restore",
            Self::Poweroff => "power off",
            Self::Reboot => "reboot",
            Self::Update => "update",
            Self::Configure => "configure",
        }
    }
}

/// What is known about a server when an action is asked of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ActionContext {
    /// It runs Incus.
    pub incus: bool,
    /// Its cluster has an update or reboot in progress.
    pub cluster_busy: bool,
    /// The action of this server that has not ended yet.
    pub in_flight: Option<ServerAction>,
    /// The caller insists.
    pub force: bool,
}

/// Why an action is not begun.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ActionRefused {
    /// Only servers that run Incus have workloads.
    #[error("a server that does not run Incus cannot {}", .0.text())]
    NotIncus(ServerAction),
    /// Its cluster is being updated or rebooted as a whole.
    #[error("its cluster has an update or reboot in progress; pause that first, or use force")]
    ClusterBusy,
    /// Updates need a ready server.
    #[error("the server is {0}, an update needs it to be ready")]
    NotReady(ServerStatus),
    /// Something else is under way. Worth trying again later, whatever the force.
    #[error("cannot {} while the server's {} has not ended", .wanted.text(), .running.text())]
    InFlight {
        /// What was asked.
        wanted: ServerAction,
        /// What is under way.
        running: ServerAction,
    },
    /// Never registered: there is nothing to call.
    #[error("the server has not registered yet")]
    Unregistered,
}

impl ActionRefused {
    /// Whether the same request can succeed later without anybody changing anything.
    pub const fn is_retryable(&self) -> bool {
        matches!(self, Self::InFlight { .. })
    }
}

/// The enrolment to write before the machine is called. A refusal changes nothing, in particular not the mark of
/// the action that is under way (`servers.md` 16, defect 7).
pub fn begin(
    enrolment: &Enrolment,
    action: ServerAction,
    context: ActionContext,
    now: Timestamp,
) -> Result<Enrolment, ActionRefused> {
    if enrolment.status == ServerStatus::Unregistered {
        return Err(ActionRefused::Unregistered);
    }
    if matches!(action, ServerAction::Evacuate | ServerAction::Restore) && !context.incus {
        return Err(ActionRefused::NotIncus(action));
    }
    // An offline server is asked to reboot or power off all the same: its BMC may be the only one to know better.
    if action == ServerAction::Update && enrolment.status != ServerStatus::Ready {
        return Err(ActionRefused::NotReady(enrolment.status));
    }
    if let Some(running) = context.in_flight {
        return Err(ActionRefused::InFlight { wanted: action, running });
    }
    if context.cluster_busy && !context.force && action != ServerAction::Configure {
        return Err(ActionRefused::ClusterBusy);
    }
    let mut next = enrolment.clone();
    let status = enrolment.status;
    let (status, detail) = match action {
        ServerAction::Evacuate => (status, StatusDetail::Evacuating),
        ServerAction::Restore => (status, StatusDetail::Restoring),
        ServerAction::Poweroff => (ServerStatus::Offline, StatusDetail::ShutDown),
        ServerAction::Reboot => (ServerStatus::Offline, StatusDetail::Rebooting),
        ServerAction::Update => (status, StatusDetail::Updating),
        ServerAction::Configure => (ServerStatus::Pending, StatusDetail::ReConfiguring),
    };
    next.put(status, detail, now);
    // Asked again, it starts again: the deadline counts from the newest request.
    next.since = now;
    next.seen_away = false;
    match action {
        ServerAction::Evacuate => next.maintenance = Maintenance::Evacuating,
        ServerAction::Restore => next.maintenance = Maintenance::Restoring,
        _ => {}
    }
    Ok(next)
}

/// The enrolment to write before an update is called. Without `trigger` only the configuration is pushed, so the
/// server does not become `updating`; with it, the update ends when `goal` is reached (`servers.md` 16, defect 9).
pub fn begin_update(
    enrolment: &Enrolment,
    goal: UpdateGoal,
    trigger: bool,
    context: ActionContext,
    now: Timestamp,
) -> Result<Enrolment, ActionRefused> {
    let mut next = begin(enrolment, ServerAction::Update, context, now)?;
    if !trigger {
        return Ok(enrolment.clone());
    }
    next.goal = Some(goal);
    Ok(next)
}

/// The enrolment to write when the call itself failed: what was before, unless something newer happened to the
/// server meanwhile, which is then kept (`servers.md` 16, defect 19).
pub fn undo(before: &Enrolment, begun: &Enrolment, current: &Enrolment) -> Enrolment {
    if !current.is(begun.status, begun.detail) || current.since != begun.since {
        return current.clone();
    }
    let mut restored = current.clone();
    restored.status = before.status;
    restored.detail = before.detail;
    restored.since = before.since;
    restored.goal = before.goal.clone();
    restored.seen_away = before.seen_away;
    if current.maintenance == begun.maintenance {
        restored.maintenance = before.maintenance;
    }
    restored
}

#[cfg(test)]
mod tests {
    use super::*;
    use ServerStatus::*;

    fn at(s: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + s).unwrap()
    }

    fn free() -> ActionContext {
        ActionContext { incus: true, cluster_busy: false, in_flight: None, force: false }
    }

    #[test]
    fn each_action_puts_its_status() {
        let ready = Enrolment::new(Ready, StatusDetail::None, at(0));
        for (action, status, detail, maintenance) in [
            (ServerAction::Evacuate, Ready, StatusDetail::Evacuating, Maintenance::Evacuating),
            (ServerAction::Restore, Ready, StatusDetail::Restoring, Maintenance::Restoring),
            (ServerAction::Poweroff, Offline, StatusDetail::ShutDown, Maintenance::None),
            (ServerAction::Reboot, Offline, StatusDetail::Rebooting, Maintenance::None),
            (ServerAction::Update, Ready, StatusDetail::Updating, Maintenance::None),
            (ServerAction::Configure, Pending, StatusDetail::ReConfiguring, Maintenance::None),
        ] {
            let next = begin(&ready, action, free(), at(9)).unwrap();
            assert_eq!((next.status, next.detail, next.maintenance, next.since), (status, detail, maintenance, at(9)));
            assert_eq!(undo(&ready, &next, &next), ready, "{action:?} undone");
        }
    }

    #[test]
    fn guards_hold_and_force_lifts_only_the_clusters() {
        let ready = Enrolment::new(Ready, StatusDetail::None, at(0));
        let off = Enrolment::new(Offline, StatusDetail::Unresponsive, at(0));
        let new = Enrolment::new(Unregistered, StatusDetail::None, at(0));
        let plain = ActionContext { incus: false, ..free() };
        let busy = ActionContext { cluster_busy: true, ..free() };
        for action in ServerAction::ALL {
            assert_eq!(begin(&new, action, free(), at(1)), Err(ActionRefused::Unregistered));
        }
        assert_eq!(
            begin(&ready, ServerAction::Evacuate, plain, at(1)),
            Err(ActionRefused::NotIncus(ServerAction::Evacuate))
        );
        assert!(begin(&ready, ServerAction::Reboot, plain, at(1)).is_ok());
        assert_eq!(
            begin(&off, ServerAction::Update, ActionContext { force: true, ..free() }, at(1)),
            Err(ActionRefused::NotReady(Offline))
        );
        assert_eq!(begin(&ready, ServerAction::Reboot, busy, at(1)), Err(ActionRefused::ClusterBusy));
        assert!(begin(&ready, ServerAction::Reboot, ActionContext { force: true, ..busy }, at(1)).is_ok());
    }

    #[test]
    fn a_failed_call_does_not_undo_what_happened_meanwhile() {
        let before = Enrolment::new(Ready, StatusDetail::None, at(0));
        let begun = begin(&before, ServerAction::Evacuate, free(), at(1)).unwrap();
        let mut current = begun.clone();
        current.put(Offline, StatusDetail::Unresponsive, at(2));
        assert_eq!(undo(&before, &begun, &current), current);
        // A fresh observation in other fields survives the undo.
        let seen = Enrolment { boot_at: Some(at(-5)), ..begun.clone() };
        assert_eq!(undo(&before, &begun, &seen).boot_at, Some(at(-5)));
        assert_eq!(undo(&before, &begun, &seen).maintenance, Maintenance::None);
    }
}
