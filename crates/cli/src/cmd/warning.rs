//! `warning` (cli.md 7.7).

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
use serde_json::{Value, json};

/// `warning`.
#[derive(Debug, Subcommand)]
pub(crate) enum Warning {
    /// List the warnings
    #[command(visible_alias = "ls")]
    List {
        /// Format.
        #[command(flatten)]
        list: ListArgs,
    },
    /// Show a warning
    Show {
        /// UUID of the warning
        #[arg(add = ArgValueCandidates::new(names::warnings))]
        uuid: String,
        /// Format.
        #[command(flatten)]
        show: ShowArgs,
    },
    /// Acknowledge a warning
    #[command(visible_alias = "ack")]
    Acknowledge {
        /// UUID of the warning
        #[arg(add = ArgValueCandidates::new(names::warnings))]
        uuid: String,
    },
}

/// Runs it.
pub(crate) async fn run(ctx: &Context, command: Warning) -> Result {
    let remote = ctx.remote()?;
    let path = |uuid: &str| ApiPath::of(&["warnings", uuid]);
    match command {
        Warning::List { list } => {
            let raw = remote.get(&ApiPath::of(&["warnings"])).await?;
            ctx.print(&rows(&raw).render(list.format));
        }
        Warning::Show { uuid, show: args } => {
            let raw = remote.get(&path(&uuid)).await?;
            ctx.print(&show(args.format, &raw, || human(&raw)));
        }
        Warning::Acknowledge { uuid } => {
            remote.put(&path(&uuid), &json!({"status": "acknowledged"}), None).await?;
        }
    }
    Ok(())
}

const TITLES: [&str; 9] =
    ["UUID", "Status", "Scope", "Entity Type", "Entity", "Type", "Last Updated", "Num Messages", "Count"];

fn cells(o: &Value) -> Vec<String> {
    let mut cells: Vec<String> = ["uuid", "status", "scope.scope", "scope.entity_type", "scope.entity", "type"]
        .iter()
        .map(|key| field(o, key))
        .collect();
    cells.push(time_field(o, "last_updated"));
    cells.push(items(&o["messages"]).len().to_string());
    cells.push(field(o, "count"));
    cells
}

fn rows(raw: &Value) -> List<'_> {
    List { titles: &TITLES, rows: items(raw).iter().map(cells).collect(), raw, order: Order::By(&[2, 3, 4]) }
}

fn human(raw: &Value) -> String {
    let lines: Vec<(&str, String)> = TITLES.into_iter().zip(cells(raw)).collect();
    let messages: String =
        items(&raw["messages"]).iter().filter_map(Value::as_str).map(|text| format!("- {text}\n")).collect();
    let more = labelled(&[
        ("First Occurrence", time_field(raw, "first_occurrence")),
        ("Last Occurrence", time_field(raw, "last_occurrence")),
    ]);
    format!("{}{more}Messages:\n{messages}", labelled(&lines))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn list_as_recorded() {
        let raw = json!([{"status": "new", "uuid": "u", "scope": {"scope": "version_data", "entity_type": "server", "entity": "p1"},
            "type": "Update version details missing", "first_occurrence": "2026-08-20T19:58:04Z", "last_occurrence": "2026-08-20T19:58:04Z",
            "last_updated": "2026-08-20T19:58:04Z", "messages": ["no version"], "count": 1}]);
        assert_eq!(
            rows(&raw).render("csv".parse().unwrap()),
            "u,new,version_data,server,p1,Update version details missing,2026-08-20 19:58:04 +0000 UTC,1,1\n"
        );
        assert!(human(&raw[0]).ends_with("Messages:\n- no version\n"));
    }
}
