//! `provisioning update`: releases of the operating system and its applications (cli.md 7.7).

use super::{items, labelled};
use crate::args::{ListArgs, ShowArgs, YesArgs};
use crate::context::{Context, Loss};
use crate::error::{Error, Result};
use crate::follow::{FollowArgs, follow, hint};
use crate::names;
use crate::natural;
use crate::output::{List, Order, ShowFormat, show, yaml_block};
use crate::remote::ApiPath;
use crate::text::{decimal_size, field, short, time_field};
use crate::transfer;
use clap::Subcommand;
use clap_complete::engine::ArgValueCandidates;
use serde_json::{Value, json};

/// `provisioning update`.
#[derive(Debug, Subcommand)]
pub(crate) enum Update {
    /// List the updates, the newest version first
    #[command(visible_alias = "ls")]
    List {
        /// Only updates that their source has in this channel
        #[arg(long)]
        upstream_channel: Option<String>,
        /// Only updates that are in this channel here
        #[arg(long, add = ArgValueCandidates::new(names::channels))]
        channel: Option<String>,
        /// Only updates from here
        #[arg(long)]
        origin: Option<String>,
        /// Only updates in this state (pending|ready)
        #[arg(long, add = ArgValueCandidates::new(names::update_states))]
        status: Option<String>,
        /// Format.
        #[command(flatten)]
        list: ListArgs,
    },
    /// Show an update and its files
    Show {
        /// UUID of the update
        #[arg(add = ArgValueCandidates::new(names::updates))]
        uuid: String,
        /// Format.
        #[command(flatten)]
        show: ShowArgs,
    },
    /// Upload an update from a tar file, such as a medium brought it
    Add {
        /// The file, or "-" for standard input
        filename: String,
    },
    /// Show what an update changes
    Changelog {
        /// UUID of the update
        #[arg(add = ArgValueCandidates::new(names::updates))]
        uuid: String,
        /// Architecture to compare
        #[arg(long, default_value = "x86_64")]
        architecture: String,
        /// Channel to compare in [default: stable, or the first one that offers the update]
        #[arg(long, add = ArgValueCandidates::new(names::channels))]
        channel: Option<String>,
        /// The channel is one of the publisher's
        #[arg(long)]
        upstream: bool,
        /// Format.
        #[command(flatten)]
        show: ShowArgs,
    },
    /// Replace the channels that offer an update
    AssignChannels {
        /// UUID of the update
        #[arg(add = ArgValueCandidates::new(names::updates))]
        uuid: String,
        /// The channels; none take it out of all
        #[arg(long, value_delimiter = ',', add = ArgValueCandidates::new(names::channels))]
        channel: Vec<String>,
    },
    /// Fetch what is new from the update source
    Refresh {
        /// Once, accept an index that is older than the last one: the publisher went back on purpose
        #[arg(long)]
        accept_older: bool,
        /// Whether to stay.
        #[command(flatten)]
        follow: FollowArgs,
    },
    /// Delete all updates and their files
    Cleanup {
        /// Do not ask.
        #[command(flatten)]
        yes: YesArgs,
    },
    /// Look at the files of an update
    #[command(subcommand)]
    File(UpdateFile),
}

/// `provisioning update file`.
#[derive(Debug, Subcommand)]
pub(crate) enum UpdateFile {
    /// List the files of an update
    #[command(visible_alias = "ls")]
    List {
        /// UUID of the update
        #[arg(add = ArgValueCandidates::new(names::updates))]
        uuid: String,
        /// Format.
        #[command(flatten)]
        list: ListArgs,
    },
    /// Show a file of an update
    Show {
        /// UUID of the update
        #[arg(add = ArgValueCandidates::new(names::updates))]
        uuid: String,
        /// Name of the file
        filename: String,
        /// Format.
        #[command(flatten)]
        show: ShowArgs,
    },
}

/// Runs it.
pub(crate) async fn run(ctx: &Context, command: Update) -> Result {
    let remote = ctx.remote()?;
    let files = |uuid: &str| ApiPath::of(&["provisioning", "updates", uuid, "files"]);
    match command {
        Update::List { upstream_channel, channel, origin, status, list } => {
            let path = ApiPath::of(&["provisioning", "updates"])
                .recursive()
                .maybe("channel", upstream_channel.as_deref())
                .maybe("origin", origin.as_deref())
                .maybe("status", status.as_deref());
            let mut raw = remote.get(&path).await?;
            if let (Some(channel), Value::Array(updates)) = (channel, &mut raw) {
                updates.retain(|update| items(&update["channels"]).iter().any(|name| *name == *channel));
            }
            ctx.print(&rows(&raw).render(list.format));
        }
        Update::Show { uuid, show: args } => {
            let raw = remote.get(&ApiPath::of(&["provisioning", "updates", &uuid])).await?;
            let files = remote.get(&files(&uuid)).await?;
            ctx.print(&show(args.format, &raw, || human(&raw, &files)));
        }
        Update::Add { filename } => {
            let sent =
                transfer::upload_shown(ctx, &remote, &ApiPath::of(&["provisioning", "updates"]), &filename).await?;
            ctx.created(ShowFormat::Human, "uuid", &sent.created.unwrap_or_default());
        }
        Update::Changelog { uuid, architecture, channel, upstream, show: args } => {
            let path = ApiPath::of(&["provisioning", "updates", &uuid, "changelog"])
                .query("architecture", &architecture)
                .maybe("channel", channel.as_deref())
                .flag("upstream", upstream);
            let raw = remote.get(&path).await?;
            ctx.print(&show(args.format, &raw, || yaml_block("Changelog", &raw)));
        }
        Update::AssignChannels { uuid, channel } => {
            let path = ApiPath::of(&["provisioning", "updates", &uuid]);
            remote.put(&path, &json!({"channels": channel}), None).await?;
        }
        Update::Refresh { accept_older, follow: args } => {
            let path = ApiPath::of(&["provisioning", "updates", ":refresh"]).flag("accept_older", accept_older);
            match remote.post(&path, None).await?.operation {
                Some(id) if args.wanted() => follow(ctx, &remote, &id, &args).await?,
                Some(id) => hint(ctx, Some(&id)),
                // The reference has no operation to follow: it answers at the end, if it is asked to.
                None if args.wanted() => drop(remote.post(&path.flag("wait", true), None).await?),
                None => {}
            }
        }
        Update::Cleanup { yes } => {
            let path = ApiPath::of(&["provisioning", "updates"]);
            if ctx.must_confirm(yes.yes) {
                let updates = remote.get(&path.clone().recursive()).await?;
                let lost = |o: &Value| format!("update {} of {}", field(o, "version"), field(o, "origin"));
                let lost = items(&updates).iter().map(lost).collect();
                ctx.confirm(&Loss { action: "delete all updates and their files".into(), lost })?;
            }
            remote.delete(&path).await?;
        }
        Update::File(UpdateFile::List { uuid, list }) => {
            let raw = remote.get(&files(&uuid)).await?;
            ctx.print(&file_rows(&raw).render(list.format));
        }
        Update::File(UpdateFile::Show { uuid, filename, show: args }) => {
            let raw = remote.get(&files(&uuid)).await?;
            let found = items(&raw).iter().find(|file| field(file, "filename") == filename);
            let file = found.ok_or_else(|| Error::NotFound(format!("file {filename:?} of update {uuid:?}")))?;
            ctx.print(&show(args.format, file, || {
                let cells = file_cells(file, field(file, "sha256"));
                labelled(&FILE_TITLES.into_iter().zip(cells).collect::<Vec<_>>())
            }));
        }
    }
    Ok(())
}

const TITLES: [&str; 8] =
    ["UUID", "Origin", "Channels", "Upstream Channels", "Version", "Published At", "Severity", "Status"];
/// Places of [`TITLES`] that the list is sorted by.
const UUID: usize = 0;
const ORIGIN: usize = 1;
const VERSION: usize = 4;

fn cells(o: &Value) -> Vec<String> {
    let joined = |key: &str| items(&o[key]).iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", ");
    vec![
        field(o, "uuid"),
        field(o, "origin"),
        joined("channels"),
        joined("upstream_channels"),
        field(o, "version"),
        time_field(o, "published_at"),
        field(o, "severity"),
        field(o, "update_status"),
    ]
}

fn rows(raw: &Value) -> List<'_> {
    let mut rows: Vec<Vec<String>> = items(raw).iter().map(cells).collect();
    rows.sort_by(|a, b| {
        natural::compare(&b[VERSION], &a[VERSION])
            .then_with(|| natural::compare(&a[ORIGIN], &b[ORIGIN]))
            .then_with(|| natural::compare(&a[UUID], &b[UUID]))
    });
    List { titles: &TITLES, rows, raw, order: Order::Given }
}

fn human(raw: &Value, files: &Value) -> String {
    let lines: Vec<(&str, String)> = TITLES.into_iter().zip(cells(raw)).collect();
    let file = |o: &Value| format!("- {} ({})\n", field(o, "filename"), decimal_size(&o["size"]));
    format!("{}Files:\n{}", labelled(&lines), items(files).iter().map(file).collect::<String>())
}

const FILE_TITLES: [&str; 6] = ["Filename", "Size", "SHA256", "Component", "Type", "Architecture"];

fn file_cells(o: &Value, hash: String) -> Vec<String> {
    let mut cells = vec![field(o, "filename"), decimal_size(&o["size"]), hash];
    cells.extend(["component", "type", "architecture"].map(|key| field(o, key)));
    cells
}

fn file_rows(raw: &Value) -> List<'_> {
    let cells = |o: &Value| file_cells(o, short(&field(o, "sha256")));
    List { titles: &FILE_TITLES, rows: items(raw).iter().map(cells).collect(), raw, order: Order::All }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn lists_as_recorded() {
        let update = |uuid: &str, origin: &str, version: &str| {
            json!({"uuid": uuid, "origin": origin, "channels": ["stable"], "upstream_channels": ["stable", "testing"],
            "version": version, "published_at": "2025-11-02T10:00:00Z", "severity": "none", "update_status": "ready"})
        };
        let raw = json!([
            update("b", "o", "202511010000"),
            update("a", "o", "202511010000"),
            update("c", "o", "202511020000")
        ]);
        let text = rows(&raw).render("csv".parse().unwrap());
        assert!(
            text.starts_with(
                "c,o,stable,\"stable, testing\",202511020000,2025-11-02 10:00:00 +0000 UTC,none,ready\na,"
            ),
            "{text}"
        );
        let files = json!([{"filename": "x86_64/incus.raw.gz", "size": 43, "sha256": "72493086989aff", "component": "incus", "type": "application", "architecture": "x86_64"}]);
        assert_eq!(
            file_rows(&files).render("csv".parse().unwrap()),
            "x86_64/incus.raw.gz,43 B,72493086989a,incus,application,x86_64\n"
        );
        assert!(human(&raw[0], &files).ends_with("Status: ready\nFiles:\n- x86_64/incus.raw.gz (43 B)\n"));
    }
}
