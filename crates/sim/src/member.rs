//! The Incus on a machine, as far as evacuating and restoring goes. Pure. Source: clusters.md 14.

use std::time::Duration;

use serde_json::{Value, json};
use uuid::Uuid;

/// Whether instances may run on the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemberState {
    /// They may.
    Online,
    /// They are being moved away.
    Evacuating,
    /// They are gone.
    Evacuated,
    /// They are coming back.
    Restoring,
}

impl MemberState {
    /// On the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Online => "Online",
            Self::Evacuating => "Evacuating",
            Self::Evacuated => "Evacuated",
            Self::Restoring => "Restoring",
        }
    }
}

/// A background operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// Its id.
    pub id: Uuid,
    /// What it leads to.
    pub target: MemberState,
    /// When it began.
    pub begun: Duration,
    /// When it is done.
    pub done: Duration,
}

/// The member, and the operations of this boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// How it stands.
    pub state: MemberState,
    /// Newest last.
    pub operations: Vec<Operation>,
}

/// Operations that are remembered.
const REMEMBERED: usize = 16;

impl Member {
    /// A member that works.
    pub fn online() -> Self {
        Self { state: MemberState::Online, operations: vec![] }
    }

    /// Begins what `action` asks for, or says why not.
    pub fn begin(&mut self, action: &str, id: Uuid, begun: Duration, done: Duration) -> Result<&Operation, String> {
        use MemberState::{Evacuated, Evacuating, Online, Restoring};
        let (through, target) = match (action, self.state) {
            ("evacuate", Online) => (Evacuating, Evacuated),
            ("restore", Evacuated) => (Restoring, Online),
            ("evacuate" | "restore", state) => {
                return Err(format!("Cluster member is {}", state.as_str().to_lowercase()));
            }
            _ => return Err(format!("Unknown action {action:?}")),
        };
        self.state = through;
        if self.operations.len() == REMEMBERED {
            self.operations.remove(0);
        }
        self.operations.push(Operation { id, target, begun, done });
        Ok(&self.operations[self.operations.len() - 1])
    }

    /// Ends the operation with this id and says which event that is.
    pub fn finish(&mut self, id: Uuid) -> Option<&'static str> {
        let target = self.operation(id)?.target;
        self.state = target;
        match target {
            MemberState::Evacuated => Some("cluster-member-evacuated"),
            MemberState::Online => Some("cluster-member-restored"),
            MemberState::Evacuating | MemberState::Restoring => None,
        }
    }

    /// What a reboot leaves: an interrupted evacuation or restore ends where it began, operations are forgotten.
    pub fn rebooted(&mut self) {
        self.operations.clear();
        self.state = match self.state {
            MemberState::Evacuating | MemberState::Online => MemberState::Online,
            MemberState::Restoring | MemberState::Evacuated => MemberState::Evacuated,
        };
    }

    /// The operation with this id.
    pub fn operation(&self, id: Uuid) -> Option<&Operation> {
        self.operations.iter().find(|o| o.id == id)
    }
}

impl Operation {
    /// As Incus shows it at `now`; `wall` writes a time.
    pub fn document(&self, now: Duration, wall: impl Fn(Duration) -> String) -> Value {
        let (status, code) = if now >= self.done { ("Success", 200) } else { ("Running", 103) };
        let description = match self.target {
            MemberState::Evacuated | MemberState::Evacuating => "Evacuating cluster member",
            MemberState::Online | MemberState::Restoring => "Restoring cluster member",
        };
        json!({"id": self.id, "class": "task", "description": description, "created_at": wall(self.begun),
               "updated_at": wall(now.min(self.done)), "status": status, "status_code": code, "resources": null,
               "metadata": null, "may_cancel": false, "err": "", "location": "none"})
    }
}
