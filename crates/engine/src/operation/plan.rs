//! The planners of the domain behind one face: load, decide, take note, store.

use jiff::Timestamp;
use muster_api::provisioning::status::ServerStatus;
use muster_domain::{
    operation::{
        Cause, Decision, Stored, UnreadableState,
        call::{CallAction, CallState, Outcome, Progress},
        checkup::{Checkup, CheckupAction},
        configure::{Configure, Target},
        decode, encode,
        factory_reset::{FactoryReset, ResetAction, ResetOutcome, Seen},
        maintenance::{Direction, IncusOperation, MemberMaintenance},
        poweroff::{Poweroff, Presence},
        provider::PushProvider,
        reboot::Reboot,
        refresh::{Compared, Refresh, RefreshAction, RefreshOutcome},
        register::Register,
        update::{Update, UpdateAction},
    },
    server::{enrolment::Enrolment, version::Installed},
};

/// Where an operation stands, of whatever kind.
#[derive(Debug, Clone)]
pub(crate) enum Plan {
    /// Reboot.
    Reboot(Reboot),
    /// Power off.
    Poweroff(Poweroff),
    /// Evacuate or restore.
    Maintenance(MemberMaintenance),
    /// Update.
    Update(Update),
    /// Network, storage or update configuration.
    Configure(Configure),
    /// Factory reset.
    Reset(FactoryReset),
    /// The first poll after a registration.
    Register(Register),
    /// Provider configuration.
    Provider(PushProvider),
    /// Updates from their source.
    Refresh(Refresh),
    /// A look at a machine before something is decided about it.
    Checkup(Checkup),
}

/// One request to a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    /// Reboot.
    Reboot,
    /// Power off.
    Poweroff,
    /// Move workloads away, or back.
    Member(Direction),
    /// Tell it its channel.
    Channel,
    /// Have it look for updates.
    CheckUpdate,
    /// Give it a network or storage document.
    Document(Target),
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Act {
    /// Take note that the mark is written: it was, together with the operation.
    Mark,
    /// Call the machine.
    Call(Call),
    /// Take the mark back.
    Undo,
    /// A step of a factory reset.
    Reset(ResetAction),
    /// Poll the machine, in full.
    Poll,
    /// Give the machine its provider configuration.
    Provider,
    /// A step of a refresh.
    Refresh(RefreshAction),
    /// A step of a checkup.
    Checkup(CheckupAction),
    /// Mark the server as rebooting, in the middle of an update.
    Restart,
    /// Have a machine that is being updated look once more.
    AskAgain,
    /// Poll the machine in full, to see what it runs after an update.
    Look,
}

/// What a decision is made from.
#[derive(Debug, Clone)]
pub(crate) struct Observed {
    /// The server; none when its record is gone.
    pub server: Option<Enrolment>,
    /// What it runs.
    pub installed: Installed,
    /// Whether it still answers.
    pub presence: Presence,
    /// How Incus' own operation stands.
    pub incus: IncusOperation,
    /// Where the machine is in a factory reset, or in a reboot whose call is in doubt.
    pub seen: Seen,
    /// What a refresh has to do; none as long as it has no index.
    pub refresh: Option<Compared>,
}

impl Plan {
    /// Reads a stored state.
    pub fn decode(text: &str) -> Result<Self, UnreadableState> {
        let envelope: serde_json::Value = serde_json::from_str(text)?;
        let kind = envelope.get("kind").and_then(serde_json::Value::as_str).unwrap_or_default();
        Ok(match kind {
            Poweroff::KIND => Self::Poweroff(decode(text)?),
            MemberMaintenance::KIND => Self::Maintenance(decode(text)?),
            Update::KIND => Self::Update(decode(text)?),
            Configure::KIND => Self::Configure(decode(text)?),
            FactoryReset::KIND => Self::Reset(decode(text)?),
            Checkup::KIND => Self::Checkup(decode(text)?),
            Register::KIND => Self::Register(decode(text)?),
            PushProvider::KIND => Self::Provider(decode(text)?),
            Refresh::KIND => Self::Refresh(decode(text)?),
            _ => Self::Reboot(decode(text)?),
        })
    }

    /// Writes the state.
    pub fn encode(&self) -> Result<String, UnreadableState> {
        match self {
            Self::Reboot(p) => encode(p),
            Self::Poweroff(p) => encode(p),
            Self::Maintenance(p) => encode(p),
            Self::Update(p) => encode(p),
            Self::Configure(p) => encode(p),
            Self::Reset(p) => encode(p),
            Self::Register(p) => encode(p),
            Self::Provider(p) => encode(p),
            Self::Refresh(p) => encode(p),
            Self::Checkup(p) => encode(p),
        }
    }

    /// The names of its steps, in order.
    pub fn steps(&self) -> &'static [&'static str] {
        match self {
            Self::Reboot(_) => Reboot::STEPS,
            Self::Poweroff(_) => Poweroff::STEPS,
            Self::Maintenance(_) => MemberMaintenance::STEPS,
            Self::Update(p) => p.steps(),
            Self::Configure(_) => Configure::STEPS,
            Self::Reset(_) => FactoryReset::STEPS,
            Self::Register(_) => Register::STEPS,
            Self::Provider(_) => PushProvider::STEPS,
            Self::Refresh(_) => Refresh::STEPS,
            Self::Checkup(_) => Checkup::STEPS,
        }
    }

    /// The step it is at.
    pub fn step(&self) -> &'static str {
        match self {
            Self::Reboot(p) => p.step(),
            Self::Poweroff(p) => p.step(),
            Self::Maintenance(p) => p.step(),
            Self::Update(p) => p.step(),
            Self::Configure(p) => p.step(),
            Self::Reset(p) => p.step(),
            Self::Register(p) => p.step(),
            Self::Provider(p) => p.step(),
            Self::Refresh(p) => p.step(),
            Self::Checkup(p) => p.step(),
        }
    }

    /// When it has to be over.
    pub fn deadline(&self) -> Timestamp {
        match self {
            Self::Reset(p) => p.deadline,
            Self::Register(p) => p.deadline,
            Self::Provider(p) => p.deadline,
            Self::Refresh(p) => p.deadline,
            Self::Checkup(p) => p.deadline,
            other => other.call().map_or(Timestamp::MAX, |call| call.deadline),
        }
    }

    /// The call that is to be made next, or was made last.
    fn call(&self) -> Option<&CallState> {
        match self {
            Self::Reboot(p) => Some(&p.call),
            Self::Poweroff(p) => Some(&p.call),
            Self::Maintenance(p) => Some(&p.call),
            Self::Update(p) => Some(p.call()),
            Self::Configure(p) => Some(&p.call),
            Self::Reset(_) | Self::Register(_) | Self::Provider(_) | Self::Refresh(_) | Self::Checkup(_) => None,
        }
    }

    /// Whether a poll or a report of the machine tells all that it waits for: each of them wakes it.
    pub fn is_woken(&self) -> bool {
        !matches!(self, Self::Poweroff(_) | Self::Maintenance(_) | Self::Reset(_))
    }

    /// What is next. It is never asked while a call is under way: whoever calls waits for the answer first.
    pub fn next(&self, observed: &Observed, now: Timestamp) -> Decision<Act> {
        let act = |action: CallAction, call: Call| match action {
            CallAction::Mark => Act::Mark,
            CallAction::Call => Act::Call(call),
            CallAction::Undo => Act::Undo,
        };
        match (self, &observed.server) {
            (Self::Reset(p), _) => p.next(observed.seen, false, now).map(Act::Reset),
            (Self::Refresh(p), _) => p.next(observed.refresh.as_ref(), now).map(Act::Refresh),
            (Self::Checkup(p), _) => p.next(now).map(Act::Checkup),
            (_, None) => Decision::Failed(Cause::new(self.step(), "the server's record is gone")),
            (Self::Reboot(p), Some(server)) => p.next(server, observed.seen, false, now).map(|a| act(a, Call::Reboot)),
            (Self::Poweroff(p), Some(_)) => p.next(observed.presence, false, now).map(|a| act(a, Call::Poweroff)),
            (Self::Maintenance(p), Some(server)) => {
                p.next(server, &observed.incus, false, now).map(|a| act(a, Call::Member(p.direction)))
            }
            (Self::Update(p), Some(server)) => {
                p.next(server, &observed.installed, observed.seen, false, now).map(|a| match a {
                    UpdateAction::Push(a) => act(a, Call::Channel),
                    UpdateAction::Check(a) => act(a, Call::CheckUpdate),
                    UpdateAction::Reboot(a) => act(a, Call::Reboot),
                    UpdateAction::Restart => Act::Restart,
                    UpdateAction::Look => Act::Look,
                    UpdateAction::AskAgain => Act::AskAgain,
                })
            }
            (Self::Configure(p), Some(server)) => p.next(server, false, false, now).map(|a| match p.target {
                Target::Update => act(a, Call::Channel),
                target => act(a, Call::Document(target)),
            }),
            (Self::Register(p), Some(server)) => p.next(server, false, now).map(|()| Act::Poll),
            (Self::Provider(p), Some(server)) => {
                p.next(server.status == ServerStatus::Ready, false, now).map(|()| Act::Provider)
            }
        }
    }

    /// Takes note of what was done about a call.
    pub fn advance(&mut self, outcome: Outcome) {
        match self {
            Self::Reboot(p) => p.call.advance(outcome),
            Self::Poweroff(p) => p.call.advance(outcome),
            Self::Maintenance(p) => p.call.advance(outcome),
            Self::Update(p) => p.advance(outcome),
            Self::Configure(p) => p.call.advance(outcome),
            Self::Reset(_) | Self::Register(_) | Self::Provider(_) | Self::Refresh(_) | Self::Checkup(_) => {}
        }
    }

    /// Takes note of a poll, however it ended.
    pub fn advance_poll(&mut self, now: Timestamp) {
        if let Self::Register(plan) = self {
            plan.advance(now);
        }
    }

    /// Takes note of an attempt to give the machine its provider configuration.
    pub fn advance_provider(&mut self, outcome: Result<(), String>, now: Timestamp) {
        if let Self::Provider(plan) = self {
            plan.advance(outcome, now);
        }
    }

    /// The reboot that it is at, or that it is.
    pub fn reboot(&self) -> Option<&Reboot> {
        match self {
            Self::Reboot(plan) => Some(plan),
            Self::Update(plan) => plan.reboot(),
            _ => None,
        }
    }

    /// Takes note that the server is marked as rebooting, or why not.
    pub fn advance_restart(&mut self, outcome: Result<(), String>, now: Timestamp) {
        if let Self::Update(plan) = self {
            plan.restarted(outcome, now);
        }
    }

    /// Takes note that a machine that is being updated is asked again to look.
    pub fn advance_asked(&mut self, now: Timestamp) {
        if let Self::Update(plan) = self {
            plan.asked_again(now);
        }
    }

    /// Takes note of a look at what an updated machine runs.
    pub fn advance_looked(&mut self, now: Timestamp) {
        if let Self::Update(plan) = self {
            plan.looked(now);
        }
    }

    /// Takes note of a step of a refresh.
    pub fn advance_refresh(&mut self, outcome: RefreshOutcome, now: Timestamp) {
        if let Self::Refresh(plan) = self {
            plan.advance(outcome, now);
        }
    }

    /// Takes note of a look at the machine.
    pub fn advance_look(&mut self, outcome: Result<(), String>, now: Timestamp) {
        if let Self::Checkup(plan) = self {
            plan.looked(outcome, now);
        }
    }

    /// Takes note of what was written after it.
    pub fn advance_commit(&mut self, outcome: Result<(), String>) {
        if let Self::Checkup(plan) = self {
            plan.committed(outcome);
        }
    }

    /// Takes note of a step of a factory reset.
    pub fn advance_reset(&mut self, outcome: ResetOutcome) {
        if let Self::Reset(plan) = self {
            plan.advance(outcome);
        }
    }

    /// Whether a person who waits can be answered: the machine took what there was to take, or it failed.
    pub fn is_answered(&self) -> bool {
        match self {
            Self::Update(p) if p.push.progress == Progress::Accepted && p.reboot().is_none() => {
                !p.trigger || p.check.is_answered()
            }
            Self::Reset(p) => p.is_answered(),
            other => other.call().is_some_and(CallState::is_answered),
        }
    }

    /// The machine took the call.
    pub fn is_accepted(&self) -> bool {
        match self {
            Self::Reset(p) => p.step() == "return",
            other => other.is_answered() && other.call().is_some_and(|call| call.progress == Progress::Accepted),
        }
    }

    /// Whether it may be cancelled here: a call that was begun is answered first.
    pub fn may_stop(&self) -> bool {
        match self {
            Self::Reset(p) => p.step() != "call" && p.step() != "drop",
            other => other.call().is_none_or(|call| !matches!(call.progress, Progress::Calling | Progress::Refused(_))),
        }
    }
}
