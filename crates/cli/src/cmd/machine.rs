//! `machine`: the physical machines behind the servers, and where they are in their life.

use super::{items, labelled};
use crate::args::{ListArgs, ShowArgs};
use crate::context::Context;
use crate::error::Result;
use crate::names;
use crate::output::{List, Order, show};
use crate::remote::ApiPath;
use crate::text::{field, time_field};
use clap::Subcommand;
use clap_complete::engine::ArgValueCandidates;
use serde_json::Value;

/// `machine`.
#[derive(Debug, Subcommand)]
pub(crate) enum Machine {
    /// List the machines; decommissioned ones only with --lifecycle decommissioned
    #[command(visible_alias = "ls")]
    List {
        /// Only machines in this state, e.g. available
        #[arg(long)]
        lifecycle: Option<String>,
        /// Format.
        #[command(flatten)]
        list: ListArgs,
    },
    /// Show a machine
    Show {
        /// Id of the machine
        #[arg(add = ArgValueCandidates::new(names::machines))]
        id: String,
        /// Format.
        #[command(flatten)]
        show: ShowArgs,
    },
}

/// Runs it.
pub(crate) async fn run(ctx: &Context, command: Machine) -> Result {
    let remote = ctx.remote()?;
    match command {
        Machine::List { lifecycle, list } => {
            let raw = remote.get(&ApiPath::of(&["machines"]).maybe("lifecycle", lifecycle.as_deref())).await?;
            ctx.print(&rows(&raw).render(list.format));
            Ok(())
        }
        Machine::Show { id, show: args } => {
            let raw = remote.get(&ApiPath::of(&["machines", &id])).await?;
            ctx.print(&show(args.format, &raw, || human(&raw)));
            Ok(())
        }
    }
}

const TITLES: [&str; 6] = ["ID", "Server", "Lifecycle", "Media", "System UUID", "Created At"];

fn cells(m: &Value) -> Vec<String> {
    vec![
        field(m, "id"),
        field(m, "server"),
        field(m, "lifecycle"),
        field(m, "media"),
        field(m, "system_uuid"),
        time_field(m, "created_at"),
    ]
}

fn rows(raw: &Value) -> List<'_> {
    List { titles: &TITLES, rows: items(raw).iter().map(cells).collect(), raw, order: Order::By(&[1, 0]) }
}

fn human(raw: &Value) -> String {
    let lines: Vec<(&str, String)> = TITLES.into_iter().zip(cells(raw)).collect();
    labelled(&lines)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_machine_is_shown_with_its_server_and_state() {
        let raw = json!({"id": "m", "server": "web1", "lifecycle": "available", "media": "unknown", "system_uuid": "u",
            "created_at": "2026-11-25T13:00:00Z"});
        let text = human(&raw);
        assert!(text.contains("Server: web1\n") && text.contains("Lifecycle: available\n"), "{text}");
    }
}
