//! What an operation's row holds as JSON: its state, what it was asked for, and its steps.

use super::plan::Plan;
use crate::Error;
use jiff::Timestamp;
use muster_api::{provisioning::status::Maintenance, time::Time};
use muster_domain::{
    machine::axes::Claim,
    server::{enrolment::Enrolment, version::UpdateGoal},
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wish {
    /// Move its workloads away.
    Evacuate,
    /// Take its workloads back.
    Restore,
    /// Reboot it.
    Reboot,
    /// Switch it off.
    Poweroff,
    /// Push its channel; with `trigger` it looks for updates at once.
    Update {
        /// Look at once.
        trigger: bool,
        /// Reboot it into what was installed.
        #[serde(default)]
        reboot: bool,
    },
    /// Another network configuration. The document is kept sealed, beside this.
    Network,
    /// Another storage configuration. The document is kept sealed, beside this.
    Storage,
    /// Follow this channel.
    Channel(String),
    /// Poll it for the first time. Follows from a registration.
    Register,
    /// Tell it where the center is. Follows from a change of the center's address or certificate.
    Provider,
    /// Wipe it.
    FactoryReset {
        /// The token to come back with; none makes one.
        token: Option<Uuid>,
        /// A seed of that token.
        seed: Option<String>,
    },
    /// Give it back: it is reset and comes back clean.
    Release {
        /// Nothing is done for so many seconds.
        grace_seconds: u32,
    },
    /// Reset it, to be fit for the next owner.
    Clean {
        /// Nothing is done for so many seconds.
        grace_seconds: u32,
    },
    /// Have somebody take it.
    Allocate(Claim),
    /// Find out again what it is.
    ReRegister,
    /// Read the update source and do what follows from it.
    RefreshUpdates {
        /// Accept an index that is older than the last one.
        accept_older: bool,
    },
}

impl Wish {
    /// The kind of operation, as shown.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Evacuate => "evacuate",
            Self::Restore => "restore",
            Self::Reboot => "reboot",
            Self::Poweroff => "poweroff",
            Self::Update { .. } => "update",
            Self::Network => "configure-network",
            Self::Storage => "configure-storage",
            Self::Channel(_) => "configure-update",
            Self::Register => "register",
            Self::Provider => "configure-provider",
            Self::FactoryReset { .. } => "factory-reset",
            Self::Release { .. } => "release",
            Self::Clean { .. } => "clean",
            Self::Allocate(_) => "allocate",
            Self::ReRegister => "re-register",
            Self::RefreshUpdates { .. } => "refresh-updates",
        }
    }

    /// The document of the machine that it replaces.
    pub fn part(&self) -> Option<&'static str> {
        match self {
            Self::Network => Some("network"),
            Self::Storage => Some("storage"),
            _ => None,
        }
    }
}

/// The `params` column.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Params {
    /// What is asked for.
    pub wish: Wish,
    /// The enrolment that it is about; empty for what is about no server.
    pub server: String,
    /// The caller insisted.
    pub force: bool,
}

/// The part of an enrolment that a mark changes and an undo puts back.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Standing {
    status: String,
    detail: String,
    since: i64,
    seen_away: bool,
    goal: Option<UpdateGoal>,
    maintenance: i64,
}

impl From<&Enrolment> for Standing {
    fn from(e: &Enrolment) -> Self {
        Self {
            status: e.status.as_str().into(),
            detail: e.detail.as_str().into(),
            since: e.since.as_microsecond(),
            seen_away: e.seen_away,
            goal: e.goal.clone(),
            maintenance: e.maintenance as i64,
        }
    }
}

impl Standing {
    /// As far as it goes.
    pub fn enrolment(&self) -> Enrolment {
        let (status, detail) = (self.status.parse().unwrap_or_default(), self.detail.parse().unwrap_or_default());
        let mut e = Enrolment::new(status, detail, Time::from_micros(self.since).0);
        e.seen_away = self.seen_away;
        e.goal.clone_from(&self.goal);
        e.maintenance = Maintenance::from(self.maintenance);
        e
    }
}

/// The server before and after the mark.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Mark {
    /// Before.
    pub before: Standing,
    /// After.
    pub begun: Standing,
}

/// The `state` column.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct State {
    /// The planner's state, with kind and version.
    pub plan: String,
    /// What was written to the server when it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mark: Option<Mark>,
    /// Incus' own operation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incus_operation: Option<String>,
}

/// What a configuration pushes, and what was there before. With secrets: the `documents` column is sealed.
#[derive(Serialize, Deserialize)]
pub(crate) struct Documents {
    /// To be pushed.
    pub wanted: serde_json::Value,
    /// Before.
    pub before: serde_json::Value,
}

/// One step with its progress.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepView {
    /// Its name.
    pub name: String,
    /// `pending`, `running`, `done`, `failed`, `skipped`.
    pub status: String,
    /// For people.
    pub detail: String,
    /// When it began.
    pub started_at: Option<Time>,
    /// When it ended.
    pub finished_at: Option<Time>,
}

/// How an operation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Well.
    Succeeded,
    /// Not well.
    Failed,
    /// Somebody asked for it to end.
    Cancelled,
}

impl Ending {
    /// The operation's status.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// The steps of a plan, brought forward from what they were.
pub(crate) fn steps(old: &str, plan: &Plan, detail: &str, ending: Option<Ending>, now: Timestamp) -> String {
    let old: Vec<StepView> = serde_json::from_str(old).unwrap_or_default();
    let now = Time(now);
    let at = plan.steps().iter().position(|name| *name == plan.step()).unwrap_or_default();
    let steps = plan.steps().iter().enumerate().map(|(i, name)| {
        let known = old.iter().find(|step| step.name == *name);
        let mut step = known.cloned().unwrap_or_else(|| StepView {
            name: (*name).to_owned(),
            status: "pending".into(),
            detail: String::new(),
            started_at: None,
            finished_at: None,
        });
        let ended_well = ending == Some(Ending::Succeeded);
        let status = match (i.cmp(&at), ending) {
            (std::cmp::Ordering::Less, _) => "done",
            (std::cmp::Ordering::Equal, Some(Ending::Succeeded)) => "done",
            (std::cmp::Ordering::Equal, Some(Ending::Failed)) => "failed",
            (std::cmp::Ordering::Equal, Some(Ending::Cancelled)) | (std::cmp::Ordering::Greater, Some(_)) => "skipped",
            (std::cmp::Ordering::Equal, None) => "running",
            (std::cmp::Ordering::Greater, None) => "pending",
        };
        status.clone_into(&mut step.status);
        if i <= at {
            step.started_at = step.started_at.or(Some(now));
        }
        if i < at || i == at && ending.is_some() {
            step.finished_at = step.finished_at.or(Some(now));
        }
        if i == at {
            if ended_well { String::new() } else { detail.to_owned() }.clone_into(&mut step.detail);
        } else if i < at {
            step.detail.clear();
        }
        step
    });
    serde_json::to_string(&steps.collect::<Vec<_>>()).unwrap_or_default()
}

/// A row that a later version wrote, or that was damaged.
pub(crate) fn unreadable(e: impl std::fmt::Display) -> Error {
    Error::Internal(format!("the stored operation cannot be read: {e}"))
}
