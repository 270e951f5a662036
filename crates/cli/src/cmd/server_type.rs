//! `server-type`: classes of hardware.

use super::{items, labelled};
use crate::args::{ListArgs, ShowArgs, YesArgs};
use crate::context::{Context, Loss};
use crate::error::{Error, Result};
use crate::names;
use crate::output::{List, Order, show};
use crate::remote::{ApiPath, Remote};
use crate::text::{field, time_field};
use clap::Subcommand;
use clap_complete::engine::ArgValueCandidates;
use serde_json::{Value, json};

/// `server-type`.
#[derive(Debug, Subcommand)]
pub(crate) enum ServerType {
    /// List the server types and how many machines are of each
    #[command(visible_alias = "ls")]
    List {
        /// Format.
        #[command(flatten)]
        list: ListArgs,
    },
    /// Show a server type
    Show {
        /// Label or id of the type
        #[arg(add = ArgValueCandidates::new(names::server_types))]
        server_type: String,
        /// Format.
        #[command(flatten)]
        show: ShowArgs,
    },
    /// Give a server type another label
    Rename {
        /// Label or id of the type
        #[arg(add = ArgValueCandidates::new(names::server_types))]
        server_type: String,
        /// The new label
        label: String,
    },
    /// Say what a server type is for
    Describe {
        /// Label or id of the type
        #[arg(add = ArgValueCandidates::new(names::server_types))]
        server_type: String,
        /// What it is for
        description: String,
    },
    /// Make two server types one: machines, subscriptions and hardware of the first become those of the second
    Merge {
        /// Label or id of the type that goes
        #[arg(add = ArgValueCandidates::new(names::server_types))]
        server_type: String,
        /// Label or id of the type that stays
        #[arg(add = ArgValueCandidates::new(names::server_types))]
        into: String,
        /// Consent.
        #[command(flatten)]
        yes: YesArgs,
    },
    /// Remove a server type of which no machine is
    #[command(visible_alias = "rm")]
    Delete {
        /// Label or id of the type
        #[arg(add = ArgValueCandidates::new(names::server_types))]
        server_type: String,
    },
}

fn path(id: &str) -> ApiPath {
    ApiPath::of(&["server-types", id])
}

/// The type with a label or an id.
async fn find(remote: &Remote, text: &str) -> Result<Value> {
    let all = remote.get(&ApiPath::of(&["server-types"])).await?;
    let found = items(&all).iter().find(|o| field(o, "label") == text || field(o, "id") == text);
    found.cloned().ok_or_else(|| Error::NotFound(format!("no server type has the label or id {text:?}")))
}

/// Runs it.
pub(crate) async fn run(ctx: &Context, command: ServerType) -> Result {
    let remote = ctx.remote()?;
    match command {
        ServerType::List { list } => {
            let raw = remote.get(&ApiPath::of(&["server-types"])).await?;
            ctx.print(&rows(&raw).render(list.format));
        }
        ServerType::Show { server_type, show: args } => {
            let raw = find(&remote, &server_type).await?;
            ctx.print(&show(args.format, &raw, || human(&raw)));
        }
        ServerType::Rename { server_type, label } => set(&remote, &server_type, Some(&label), None).await?,
        ServerType::Describe { server_type, description } => {
            set(&remote, &server_type, None, Some(&description)).await?
        }
        ServerType::Merge { server_type, into, yes } => {
            let (from, kept) = (find(&remote, &server_type).await?, find(&remote, &into).await?);
            if ctx.must_confirm(yes.yes) {
                let (from, kept) = (field(&from, "label"), field(&kept, "label"));
                let lost = vec![format!("server type {from}: its machines and subscriptions become those of {kept}")];
                ctx.confirm(&Loss { action: format!("merge {from} into {kept}"), lost })?;
            }
            let body = json!({"into": field(&kept, "id")});
            let done = remote.post(&path(&field(&from, "id")).below(":merge"), Some(&body)).await?;
            let (machines, matched) = (field(&done.metadata, "machines"), field(&done.metadata, "matched"));
            if !ctx.quiet {
                ctx.print(&format!("{machines} machines moved, {matched} match their type again\n"));
            }
        }
        ServerType::Delete { server_type } => {
            let found = find(&remote, &server_type).await?;
            remote.delete(&path(&field(&found, "id"))).await?;
        }
    }
    Ok(())
}

/// Changes what is given, and nothing else.
async fn set(remote: &Remote, text: &str, label: Option<&str>, description: Option<&str>) -> Result {
    let id = field(&find(remote, text).await?, "id");
    let known = remote.fetch(&path(&id)).await?;
    let kept = |given: Option<&str>, key: &str| given.map_or_else(|| field(&known.metadata, key), str::to_owned);
    let body = json!({"label": kept(label, "label"), "description": kept(description, "description")});
    remote.put(&path(&id), &body, known.etag.as_deref()).await.map(drop)
}

const TITLES: [&str; 6] = ["Label", "Description", "Machines", "Available", "Used", "Since"];

fn count(o: &Value, states: &[&str]) -> String {
    let all = o["machines"].as_object();
    let counted = all.into_iter().flatten().filter(|(state, _)| states.is_empty() || states.contains(&state.as_str()));
    counted.filter_map(|(_, n)| n.as_u64()).sum::<u64>().to_string()
}

fn cells(o: &Value) -> Vec<String> {
    vec![
        field(o, "label"),
        field(o, "description"),
        count(o, &[]),
        count(o, &["available"]),
        count(o, &["used", "used_registering"]),
        time_field(o, "created_at"),
    ]
}

fn rows(raw: &Value) -> List<'_> {
    List { titles: &TITLES, rows: items(raw).iter().map(cells).collect(), raw, order: Order::By(&[0]) }
}

fn human(o: &Value) -> String {
    let specification = &o["specification"];
    let mut text = labelled(&[
        ("Label", field(o, "label")),
        ("Id", field(o, "id")),
        ("Description", field(o, "description")),
        ("Since", time_field(o, "created_at")),
        ("Memory", format!("{} GiB", field(specification, "memory_gib"))),
        ("Architecture", field(specification, "architecture")),
    ]);
    for (title, key) in
        [("Processors", "processors"), ("Disks", "disks"), ("Network cards", "cards"), ("Accelerators", "gpus")]
    {
        let parts: Vec<String> = items(&specification[key]).iter().map(part).collect();
        if !parts.is_empty() {
            text += &format!("{title}:\n{}", parts.concat());
        }
    }
    text += "Machines:\n";
    for (state, n) in o["machines"].as_object().into_iter().flatten() {
        text += &format!("- {state}: {n}\n");
    }
    text
}

/// Equal parts in a line.
fn part(group: &Value) -> String {
    let what = match (field(group, "name"), field(group, "model")) {
        (name, model) if name.is_empty() => model,
        (name, _) => name,
    };
    let more = match () {
        () if !field(group, "cores").is_empty() => format!(", {} cores", field(group, "cores")),
        () if !field(group, "gb").is_empty() => format!("{} of {} GB", field(group, "class"), field(group, "gb")),
        () if !field(group, "ports").is_empty() => format!(", {} ports", field(group, "ports")),
        () => String::new(),
    };
    format!("- {} x {what}{more}\n", field(group, "count"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw() -> Value {
        json!([{"id": "t", "label": "M.8C.64G.2xNVME-1.9T", "description": "web", "created_at": "2026-11-25T13:00:00Z",
            "machines": {"available": 2, "used": 1, "decommissioned": 1}, "fingerprints": ["v1.0"],
            "specification": {"architecture": "x86_64", "memory_gib": 64,
                "processors": [{"count": 1, "model": "Xeon", "cores": 8}], "disks": [{"count": 2, "class": "nvme", "gb": 1920}],
                "cards": [{"count": 1, "id": "8086:159b", "name": "E810", "ports": 2}], "gpus": []}}])
    }

    #[test]
    fn types_are_listed_with_how_many_machines_are_where() {
        let text = rows(&raw()).render("csv".parse().unwrap());
        assert_eq!(text, "M.8C.64G.2xNVME-1.9T,web,4,2,1,2026-11-25 13:00:00 +0000 UTC\n");
    }

    #[test]
    fn a_type_is_shown_with_its_parts() {
        let text = human(&raw()[0]);
        for line in [
            "Memory: 64 GiB\n",
            "Processors:\n- 1 x Xeon, 8 cores\n",
            "Disks:\n- 2 x nvme of 1920 GB\n",
            "Network cards:\n- 1 x E810, 2 ports\n",
            "Machines:\n- available: 2\n",
        ] {
            assert!(text.contains(line), "{line}: {text}");
        }
        assert!(!text.contains("Accelerators"));
    }
}
