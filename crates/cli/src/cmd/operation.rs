//! `operation`: work that outlives a request.

use super::{items, labelled};
use crate::args::{ListArgs, ShowArgs};
use crate::context::Context;
use crate::error::Result;
use crate::follow::{FollowArgs, TimeoutArgs, follow};
use crate::names;
use crate::output::{List, Order, show};
use crate::progress;
use crate::remote::{ApiPath, Remote};
use crate::text::{field, time_field};
use clap::Subcommand;
use clap_complete::engine::ArgValueCandidates;
use serde_json::Value;

/// `operation`.
#[derive(Debug, Subcommand)]
pub(crate) enum Operation {
    /// List the operations
    #[command(visible_alias = "ls")]
    List {
        /// Only operations on this object, e.g. a server's name
        #[arg(long, add = ArgValueCandidates::new(names::servers))]
        target: Option<String>,
        /// Only operations of this kind, e.g. reboot
        #[arg(long)]
        kind: Option<String>,
        /// Only operations in this state (pending|running|waiting|succeeded|failed|cancelled)
        #[arg(long, add = ArgValueCandidates::new(names::operation_states))]
        status: Option<String>,
        /// Only the newest so many
        #[arg(long)]
        limit: Option<u32>,
        /// Format.
        #[command(flatten)]
        list: ListArgs,
    },
    /// Show an operation and its steps
    Show {
        /// Id of the operation
        #[arg(add = ArgValueCandidates::new(names::operations))]
        id: String,
        /// Format.
        #[command(flatten)]
        show: ShowArgs,
    },
    /// Follow an operation to its end and show its steps; leaving does not cancel it
    Watch {
        /// Id of the operation
        #[arg(add = ArgValueCandidates::new(names::unfinished_operations))]
        id: String,
        /// How long.
        #[command(flatten)]
        timeout: TimeoutArgs,
    },
    /// Wait for the end of an operation; the exit code tells how it ended
    Wait {
        /// Id of the operation
        #[arg(add = ArgValueCandidates::new(names::unfinished_operations))]
        id: String,
        /// How long.
        #[command(flatten)]
        timeout: TimeoutArgs,
    },
    /// Cancel an operation
    Cancel {
        /// Id of the operation
        #[arg(add = ArgValueCandidates::new(names::unfinished_operations))]
        id: String,
    },
    /// Try a failed operation again
    Retry {
        /// Id of the operation
        #[arg(add = ArgValueCandidates::new(names::failed_operations))]
        id: String,
        /// Whether to stay.
        #[command(flatten)]
        follow: FollowArgs,
    },
}

fn path(id: &str) -> ApiPath {
    ApiPath::of(&["operations", id])
}

/// Runs it.
pub(crate) async fn run(ctx: &Context, command: Operation) -> Result {
    let remote = ctx.remote()?;
    match command {
        Operation::List { target, kind, status, limit, list } => {
            let path = ApiPath::of(&["operations"])
                .recursive()
                .maybe("target", target.as_deref())
                .maybe("kind", kind.as_deref())
                .maybe("status", status.as_deref())
                .maybe("limit", limit.map(|n| n.to_string()).as_deref());
            let raw = remote.get(&path).await?;
            ctx.print(&rows(&raw).render(list.format));
            Ok(())
        }
        Operation::Show { id, show: args } => {
            let raw = remote.get(&path(&id)).await?;
            ctx.print(&show(args.format, &raw, || human(&raw)));
            Ok(())
        }
        Operation::Watch { id, timeout } => follow(ctx, &remote, &id, &FollowArgs::watching(timeout.timeout)).await,
        Operation::Wait { id, timeout } => follow(ctx, &remote, &id, &FollowArgs::waiting(timeout.timeout)).await,
        Operation::Cancel { id } => remote.post(&ApiPath::of(&["operations", &id, ":cancel"]), None).await.map(drop),
        Operation::Retry { id, follow: args } => {
            remote.post(&ApiPath::of(&["operations", &id, ":retry"]), None).await?;
            if args.wanted() { follow(ctx, &remote, &id, &args).await } else { Ok(()) }
        }
    }
}

/// The table of a server's latest operations with the time of each step; nothing where the center has none to tell.
pub(crate) async fn of_server(remote: &Remote, server: &str) -> String {
    /// So many fit on a screen with their steps.
    const LATEST: &str = "5";
    let path = ApiPath::of(&["operations"]).query("target_kind", "server").query("target", server);
    // An older center, or one that keeps them from this caller: what was asked for is the server.
    let Ok(raw) = remote.get(&path.query("limit", LATEST)).await else { return String::new() };
    let rows = progress::rows(&raw, crate::clock::now());
    if rows.is_empty() {
        return String::new();
    }
    format!("Operations:\n{}", crate::table::framed(Some(&progress::TITLES), &rows))
}

const TITLES: [&str; 8] = ["ID", "Kind", "Target", "Status", "Reason", "Actor", "Created At", "Updated At"];

fn cells(o: &Value) -> Vec<String> {
    vec![
        field(o, "id"),
        field(o, "kind"),
        field(o, "target"),
        field(o, "status"),
        field(o, "reason"),
        field(o, "actor"),
        time_field(o, "created_at"),
        time_field(o, "updated_at"),
    ]
}

fn rows(raw: &Value) -> List<'_> {
    List { titles: &TITLES, rows: items(raw).iter().map(cells).collect(), raw, order: Order::By(&[6, 0]) }
}

fn human(raw: &Value) -> String {
    let lines: Vec<(&str, String)> = TITLES.into_iter().zip(cells(raw)).collect();
    let steps = progress::lines(raw, crate::clock::now()).into_iter().skip(1);
    let steps: String = steps.map(|line| format!("{line}\n")).collect();
    format!("{}Error: {}\nSteps:\n{steps}", labelled(&lines), field(raw, "error"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_operation_is_shown_with_its_steps() {
        let raw = json!({"id": "o", "kind": "reboot", "target": "m1", "status": "failed", "reason": "no answer", "error": "no answer",
            "actor": "unix", "created_at": "2026-08-20T19:58:00Z", "updated_at": "2026-08-20T19:58:02Z", "finished_at": "2026-08-20T19:58:02Z",
            "steps": [{"name": "call", "status": "failed", "detail": "no answer", "started_at": "2026-08-20T19:58:00Z", "finished_at": "2026-08-20T19:58:02Z"}]});
        let text = human(&raw);
        assert!(text.ends_with("Error: no answer\nSteps:\n  failed  call     2.0 s  no answer\n"), "{text}");
        assert!(rows(&json!([raw])).render("csv".parse().unwrap()).starts_with("o,reboot,m1,failed,no answer,unix,"));
    }
}
