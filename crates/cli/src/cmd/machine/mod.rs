//! `machine`: the physical machines behind the servers, and their whole life.

mod alerts;
mod expected;
mod find;
mod hardware;
mod known;
mod moves;
mod page;

pub(crate) use find::one;

use super::{items, labelled};
use crate::args::{ListArgs, ShowArgs};
use crate::clock;
use crate::context::{Context, read_file};
use crate::edit::{Document, Keys, edit, read_as};
use crate::error::{Error, Result};
use crate::follow::TimeoutArgs;
use crate::names;
use crate::output::{List, Order, show};
use crate::remote::{ApiPath, Remote};
use crate::text::{field, time_field};
use alerts::Alerts;
use clap::{Args, Subcommand};
use clap_complete::engine::ArgValueCandidates;
use expected::Expected;
use known::KnownArgs;
use moves::Moves;
use muster_api::machine::{Asset, ClaimPost, MachineBmc, MachinePost};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::time::Duration;

/// How often a wait looks.
const LOOK: Duration = Duration::from_secs(1);

/// `machine`.
#[derive(Debug, Subcommand)]
pub(crate) enum Machine {
    /// List the machines; decommissioned ones only with --all or --lifecycle decommissioned
    #[command(visible_alias = "ls")]
    List {
        /// Only machines in this state, e.g. available
        #[arg(long, add = ArgValueCandidates::new(names::lifecycles))]
        lifecycle: Option<String>,
        /// Decommissioned ones, too
        #[arg(long)]
        all: bool,
        /// Only machines for which this expression holds, e.g. 'asset.rack == "r7" and media == "dirty"'
        #[arg(long)]
        filter: Option<String>,
        /// Format.
        #[command(flatten)]
        list: ListArgs,
    },
    /// Show a machine: its state, what can be done with it, and what happened last
    Show {
        /// Id, server, serial number or inventory number
        #[arg(add = ArgValueCandidates::new(names::machines))]
        machine: String,
        /// Format.
        #[command(flatten)]
        show: ShowArgs,
    },
    /// Name a machine in advance, or take one over that is in production
    Add(Box<AddArgs>),
    /// Edit what is known of a machine as YAML: rack, units, inventory number, tags, properties, BMC
    Edit {
        /// Id, server, serial number or inventory number
        #[arg(add = ArgValueCandidates::new(names::machines))]
        machine: String,
    },
    /// Add a note to a machine; nothing takes it back
    Note {
        /// Id, server, serial number or inventory number
        #[arg(add = ArgValueCandidates::new(names::machines))]
        machine: String,
        /// What it says; - reads it from standard input
        text: String,
        /// What kind of note (note|fault|repair)
        #[arg(long, default_value = "note")]
        kind: String,
    },
    /// Show the notes of a machine, the newest first
    Notes {
        /// Id, server, serial number or inventory number
        #[arg(add = ArgValueCandidates::new(names::machines))]
        machine: String,
        /// Format.
        #[command(flatten)]
        list: ListArgs,
    },
    /// Show everything that happened to a machine
    History {
        /// Id, server, serial number or inventory number
        #[arg(add = ArgValueCandidates::new(names::machines))]
        machine: String,
        /// Format.
        #[command(flatten)]
        list: ListArgs,
    },
    /// Wait until a machine is in a state
    Wait {
        /// Id, server, serial number or inventory number
        #[arg(add = ArgValueCandidates::new(names::machines))]
        machine: String,
        /// The state, e.g. available
        #[arg(add = ArgValueCandidates::new(names::lifecycles))]
        state: String,
        /// How long.
        #[command(flatten)]
        timeout: TimeoutArgs,
    },
    /// Look at what is wrong with a machine, report it, and answer for it
    #[command(subcommand, visible_alias = "alerts")]
    Alert(Alerts),
    /// Show what a machine is made of, or how that changed
    Hardware {
        /// Id, server, serial number or inventory number
        #[arg(add = ArgValueCandidates::new(names::machines))]
        machine: String,
        /// Show how it changed, the newest change first
        #[arg(long)]
        changes: bool,
        /// Format.
        #[command(flatten)]
        show: ShowArgs,
    },
    /// Hardware on its way.
    #[command(flatten)]
    Expected(Expected),
    /// What can be done with machines.
    #[command(flatten)]
    Move(Moves),
}

/// `machine add`.
#[derive(Debug, Args)]
pub(crate) struct AddArgs {
    /// What is known of it.
    #[command(flatten)]
    known: KnownArgs,
    /// Vendor of the chassis
    #[arg(long, default_value = "", hide_default_value = true)]
    vendor: String,
    /// It is in production already and belongs to this owner: nothing is done to it
    #[arg(long)]
    adopt: Option<String>,
    /// A note to begin with
    #[arg(long, default_value = "", hide_default_value = true)]
    note: String,
    /// Format.
    #[command(flatten)]
    show: ShowArgs,
}

impl AddArgs {
    fn body(self) -> Result<MachinePost> {
        Ok(MachinePost {
            bmc: self.known.bmc()?,
            asset: self.known.asset(),
            system_uuid: self.known.uuid,
            serial: self.known.serial,
            vendor: self.vendor,
            adopt: self.adopt.map(|owner| ClaimPost { owner, ..ClaimPost::default() }),
            note: self.note,
        })
    }
}

fn path(id: &str) -> ApiPath {
    ApiPath::of(&["machines", id])
}

/// Runs it.
pub(crate) async fn run(ctx: &Context, command: Machine) -> Result {
    let remote = ctx.remote()?;
    match command {
        Machine::List { lifecycle, all, filter, list } => {
            let path = ApiPath::of(&["machines"])
                .maybe("lifecycle", lifecycle.as_deref())
                .maybe("filter", filter.as_deref())
                .flag("all", all);
            let raw = remote.get(&path).await?;
            ctx.print(&rows(&raw).render(list.format));
        }
        Machine::Show { machine, show: args } => {
            let id = find::one(&remote, &machine).await?;
            let raw = remote.get(&path(&id)).await?;
            let text = match args.format {
                crate::output::ShowFormat::Human => {
                    let history = page::recent(&remote, &id).await;
                    page::page(&raw, &history, clock::now())
                }
                format => show(format, &raw, String::new),
            };
            ctx.print(&text);
        }
        Machine::Add(args) => {
            let format = args.show.format;
            let body = serde_json::to_value(args.body()?).unwrap_or_default();
            let reply = remote.post(&ApiPath::of(&["machines"]), Some(&body)).await?;
            ctx.created(format, "id", &field(&reply.metadata, "id"));
        }
        Machine::Edit { machine } => {
            let id = find::one(&remote, &machine).await?;
            let document = Document { title: format!("machine {machine}"), keys: &["asset", "bmc"], read, open };
            edit(ctx, &remote, &path(&id), &document).await?;
        }
        Machine::Note { machine, text, kind } => {
            let text = if text == "-" { read_file("-")? } else { text };
            let id = find::one(&remote, &machine).await?;
            remote.post(&path(&id).below("notes"), Some(&json!({"kind": kind, "note": text}))).await?;
        }
        Machine::Notes { machine, list } => {
            let id = find::one(&remote, &machine).await?;
            let raw = remote.get(&path(&id).below("notes")).await?;
            ctx.print(&notes(&raw).render(list.format));
        }
        Machine::History { machine, list } => {
            let id = find::one(&remote, &machine).await?;
            let raw = page::history(&remote, &id).await?;
            ctx.print(&page::history_rows(&raw).render(list.format));
        }
        Machine::Wait { machine, state, timeout } => wait(&remote, &machine, &state, timeout.timeout).await?,
        Machine::Alert(command) => alerts::run(ctx, &remote, command).await?,
        Machine::Hardware { machine, changes, show: args } => {
            hardware::run(ctx, &remote, &machine, changes, args.format).await?;
        }
        Machine::Expected(command) => expected::run(ctx, &remote, command).await?,
        Machine::Move(command) => moves::run(ctx, &remote, command).await?,
    }
    Ok(())
}

/// Looks until the machine is in the state.
async fn wait(remote: &Remote, machine: &str, state: &str, timeout: Option<Duration>) -> Result {
    let id = find::one(remote, machine).await?;
    let looking = async {
        loop {
            let raw = remote.get(&path(&id)).await?;
            if field(&raw, "lifecycle") == state {
                return Ok(());
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    match timeout {
        None => looking.await,
        Some(limit) => tokio::time::timeout(limit, looking).await.unwrap_or_else(|_| {
            Err(Error::TimedOut(format!("machine {machine} did not become {state} within {} s", limit.as_secs())))
        }),
    }
}

/// What can be edited.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Edited {
    asset: Asset,
    bmc: Option<MachineBmc>,
}

fn open(machine: &Value) -> Value {
    json!({"asset": machine["asset"], "bmc": machine["bmc"]})
}

fn read(text: &str, keys: Keys) -> Result<Value, String> {
    read_as::<Edited>(text, keys)
}

const TITLES: [&str; 9] = ["ID", "Server", "Lifecycle", "Since", "Operation", "Owner", "Media", "Rack", "Serial"];

/// Its operation in a few words.
fn operation(machine: &Value) -> String {
    match machine.get("operation") {
        Some(Value::Object(_)) => {
            format!("{} ({})", field(machine, "operation.kind"), field(machine, "operation.phase"))
        }
        _ => String::new(),
    }
}

/// Who has it, or for whom it is kept.
fn owner(machine: &Value) -> String {
    match (field(machine, "allocation.owner"), field(machine, "reservation.holder")) {
        (owner, holder) if owner.is_empty() && !holder.is_empty() => format!("for {holder}"),
        (owner, _) => owner,
    }
}

/// Where it stands.
fn place(machine: &Value) -> String {
    let (rack, lower, upper) =
        (field(machine, "asset.rack"), field(machine, "asset.lower_unit"), field(machine, "asset.upper_unit"));
    match (rack.as_str(), lower.as_str()) {
        ("", _) => String::new(),
        (_, "" | "0") => rack,
        _ if lower == upper => format!("{rack}:{lower}"),
        _ => format!("{rack}:{lower}-{upper}"),
    }
}

fn cells(m: &Value) -> Vec<String> {
    vec![
        field(m, "id"),
        field(m, "server"),
        field(m, "lifecycle"),
        time_field(m, "since"),
        operation(m),
        owner(m),
        field(m, "media"),
        place(m),
        field(m, "serial"),
    ]
}

fn rows(raw: &Value) -> List<'_> {
    List { titles: &TITLES, rows: items(raw).iter().map(cells).collect(), raw, order: Order::By(&[1, 0]) }
}

const NOTE_TITLES: [&str; 5] = ["No.", "At", "Author", "Kind", "Note"];

fn notes(raw: &Value) -> List<'_> {
    let cells =
        |n: &Value| vec![field(n, "seq"), time_field(n, "at"), field(n, "author"), field(n, "kind"), field(n, "note")];
    List { titles: &NOTE_TITLES, rows: items(raw).iter().map(cells).collect(), raw, order: Order::Given }
}

/// Lines of labels, those without a value left out.
fn known(lines: &[(&str, String)]) -> String {
    let lines: Vec<(&str, String)> = lines.iter().filter(|(_, value)| !value.is_empty()).cloned().collect();
    labelled(&lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_is_listed_with_owner_and_place() {
        let raw = json!([{"id": "m", "server": "web1", "lifecycle": "used", "since": "2026-11-25T13:00:00Z", "media": "dirty",
            "operation": null, "allocation": {"owner": "anna"}, "reservation": null, "serial": "S1",
            "asset": {"rack": "r7", "lower_unit": 3, "upper_unit": 4}}]);
        let text = rows(&raw).render("csv".parse().unwrap());
        assert_eq!(text, "m,web1,used,2026-11-25 13:00:00 +0000 UTC,,anna,dirty,r7:3-4,S1\n");
        let kept = json!({"reservation": {"holder": "ben"}, "operation": {"kind": "clean", "phase": "failed"}});
        assert_eq!((owner(&kept).as_str(), operation(&kept).as_str()), ("for ben", "clean (failed)"));
        assert_eq!(place(&json!({"asset": {"rack": "r7", "lower_unit": 0}})), "r7");
    }
}
