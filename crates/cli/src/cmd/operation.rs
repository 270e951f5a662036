//! `operation`: work that outlives a request.

use super::{items, labelled};
use crate::args::{ListArgs, ShowArgs};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::output::{List, Order, show};
use crate::remote::{ApiPath, Remote};
use crate::text::{field, time_field};
use clap::Subcommand;
use serde_json::Value;
use std::time::Duration;

/// Time between two looks at an operation.
const LOOK: Duration = Duration::from_secs(1);

/// `operation`.
#[derive(Debug, Subcommand)]
pub(crate) enum Operation {
    /// List the operations
    #[command(visible_alias = "ls")]
    List {
        /// Format.
        #[command(flatten)]
        list: ListArgs,
    },
    /// Show an operation and its steps
    Show {
        /// Id of the operation
        id: String,
        /// Format.
        #[command(flatten)]
        show: ShowArgs,
    },
    /// Follow an operation to its end; leaving does not cancel it
    Watch {
        /// Id of the operation
        id: String,
        /// Give up after this time, e.g. 10m
        #[arg(long, value_parser = crate::text::duration)]
        timeout: Option<jiff::SignedDuration>,
    },
    /// Cancel an operation
    Cancel {
        /// Id of the operation
        id: String,
    },
    /// Try a failed operation again
    Retry {
        /// Id of the operation
        id: String,
    },
}

fn path(id: &str) -> ApiPath {
    ApiPath::of(&["operations", id])
}

/// Runs it.
pub(crate) async fn run(ctx: &Context, command: Operation) -> Result {
    let remote = ctx.remote()?;
    match command {
        Operation::List { list } => {
            let raw = remote.get(&ApiPath::of(&["operations"]).recursive()).await?;
            ctx.print(&rows(&raw).render(list.format));
            Ok(())
        }
        Operation::Show { id, show: args } => {
            let raw = remote.get(&path(&id)).await?;
            ctx.print(&show(args.format, &raw, || human(&raw)));
            Ok(())
        }
        Operation::Watch { id, timeout: None } => watch(ctx, &remote, &id).await,
        Operation::Watch { id, timeout: Some(limit) } => {
            let limit = Duration::try_from(limit).map_err(|_| Error::Usage("the timeout is negative".into()))?;
            let late = |_| Error::TimedOut(format!("Operation {id} did not end in time; it goes on"));
            tokio::time::timeout(limit, watch(ctx, &remote, &id)).await.map_err(late)?
        }
        Operation::Cancel { id } => remote.post(&ApiPath::of(&["operations", &id, ":cancel"]), None).await.map(drop),
        Operation::Retry { id } => remote.post(&ApiPath::of(&["operations", &id, ":retry"]), None).await.map(drop),
    }
}

async fn watch(ctx: &Context, remote: &Remote, id: &str) -> Result {
    let mut before = Value::Null;
    loop {
        let now = remote.get(&path(id)).await?;
        ctx.print(&changes(&before, &now));
        match outcome(&now) {
            Some(Ok(())) => return Ok(()),
            Some(Err(cause)) => return Err(Error::Failed(format!("Operation {id} {cause}"))),
            None => {}
        }
        before = now;
        tokio::time::sleep(LOOK).await;
    }
}

/// How it ended, if it has.
fn outcome(operation: &Value) -> Option<Result<(), String>> {
    let (status, error) = (field(operation, "status"), field(operation, "error"));
    match status.as_str() {
        "done" | "succeeded" | "success" | "completed" => Some(Ok(())),
        "failed" | "error" | "cancelled" | "canceled" => {
            let cause = if error.is_empty() { field(operation, "reason") } else { error };
            Some(Err(if cause.is_empty() { status } else { format!("{status}: {cause}") }))
        }
        _ => None,
    }
}

/// What to print of what changed since the last look.
fn changes(before: &Value, now: &Value) -> String {
    let mut out = String::new();
    let state = |o: &Value| (field(o, "status"), field(o, "reason"));
    if state(before) != state(now) {
        let (status, reason) = state(now);
        let tail = if reason.is_empty() { String::new() } else { format!(" ({reason})") };
        out += &format!("{} {}: {status}{tail}\n", field(now, "kind"), target(now));
    }
    let old = items(&before["steps"]);
    for (at, step) in items(&now["steps"]).iter().enumerate() {
        let same = old.get(at).is_some_and(|o| o["status"] == step["status"] && o["detail"] == step["detail"]);
        if !same {
            out += &step_line(step);
        }
    }
    out
}

fn step_line(step: &Value) -> String {
    let detail = field(step, "detail");
    let tail = if detail.is_empty() { String::new() } else { format!(": {detail}") };
    format!("- [{}] {}{tail}\n", field(step, "status"), field(step, "name"))
}

/// The target as text: a name, or kind and name.
fn target(operation: &Value) -> String {
    match &operation["target"] {
        Value::Object(parts) => parts.values().filter_map(Value::as_str).collect::<Vec<_>>().join(" "),
        _ => field(operation, "target"),
    }
}

const TITLES: [&str; 8] = ["ID", "Kind", "Target", "Status", "Reason", "Actor", "Created At", "Updated At"];

fn cells(o: &Value) -> Vec<String> {
    vec![
        field(o, "id"),
        field(o, "kind"),
        target(o),
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
    let steps: String = items(&raw["steps"]).iter().map(step_line).collect();
    format!("{}Error: {}\nSteps:\n{steps}", labelled(&lines), field(raw, "error"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_changes_are_printed() {
        let first = json!({"kind": "reboot", "target": "m1", "status": "running", "reason": "", "steps": [{"name": "ask", "status": "running", "detail": ""}]});
        assert_eq!(changes(&Value::Null, &first), "reboot m1: running\n- [running] ask\n");
        assert_eq!(changes(&first, &first), "");
        let mut second = first.clone();
        second["steps"] = json!([{"name": "ask", "status": "done", "detail": ""}, {"name": "wait", "status": "waiting", "detail": "for m1"}]);
        assert_eq!(changes(&first, &second), "- [done] ask\n- [waiting] wait: for m1\n");
    }

    #[test]
    fn outcomes() {
        assert_eq!(outcome(&json!({"status": "running"})), None);
        assert_eq!(outcome(&json!({"status": "done"})), Some(Ok(())));
        let failed = json!({"status": "failed", "error": "no answer"});
        assert_eq!(outcome(&failed), Some(Err("failed: no answer".into())));
        assert_eq!(outcome(&json!({"status": "cancelled"})), Some(Err("cancelled".into())));
    }
}
