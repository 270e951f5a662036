//! `provisioning update`: releases of the operating system and its applications (cli.md 7.7).

use super::channel::marked;
use super::update_add;
use super::update_export::{self, Export};
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
use std::path::PathBuf;

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
        /// Updates that were withdrawn, those that are not here any more too
        #[arg(long, conflicts_with_all = ["upstream_channel", "channel", "origin", "status"])]
        withdrawn: bool,
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
    /// Let no machine get an update any more; each channel offers the one before it
    Withdraw {
        /// UUID of the update
        #[arg(add = ArgValueCandidates::new(names::updates))]
        uuid: String,
        /// Why
        #[arg(long)]
        reason: String,
    },
    /// Take a withdrawal back
    Restore {
        /// UUID of the update
        #[arg(add = ArgValueCandidates::new(names::withdrawn_updates))]
        uuid: String,
    },
    /// Write updates to tar files, to be added to another center
    Export(Export),
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
    /// Load a file of an update; one that broke off goes on where it was
    Get {
        /// UUID of the update
        #[arg(add = ArgValueCandidates::new(names::updates))]
        uuid: String,
        /// Name of the file
        filename: String,
        /// Where it is written to, replacing what is there, or "-" for standard output
        target: PathBuf,
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
        Update::List { withdrawn: true, list, .. } => {
            let raw = remote.get(&ApiPath::of(&["provisioning", "updates", ":withdrawn"])).await?;
            ctx.print(&withdrawn_rows(&raw).render(list.format));
        }
        Update::List { upstream_channel, channel, origin, status, withdrawn: false, list } => {
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
            let sent = update_add::send(ctx, &remote, &filename).await?;
            let uuid = sent.created.unwrap_or_default();
            ctx.created(ShowFormat::Human, "uuid", &uuid);
            if !ctx.official && !ctx.quiet {
                let update = remote.get(&ApiPath::of(&["provisioning", "updates", &uuid])).await?;
                eprint!("{}", unoffered(&update));
            }
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
        Update::Withdraw { uuid, reason } => {
            let path = ApiPath::of(&["provisioning", "updates", &uuid, ":withdraw"]);
            remote.post(&path, Some(&json!({"reason": reason}))).await?;
        }
        Update::Restore { uuid } => {
            remote.post(&ApiPath::of(&["provisioning", "updates", &uuid, ":restore"]), None).await?;
        }
        Update::Export(command) => update_export::run(ctx, &remote, &command).await?,
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
        Update::File(UpdateFile::Get { uuid, filename, target }) => {
            let raw = remote.get(&files(&uuid)).await?;
            let wanted = file_of(&raw, &uuid, &filename)?;
            let path = filename.split('/').fold(files(&uuid), |path, segment| path.below(segment));
            if target.as_os_str() == "-" {
                return transfer::print_file(&remote, &path).await;
            }
            let size = transfer::copy_file(ctx, &remote, &path, &target).await?;
            transfer::check_file(&target, &field(wanted, "sha256")).await?;
            ctx.print(&format!("Wrote {}, {}\n", target.display(), decimal_size(&size.into())));
        }
        Update::File(UpdateFile::Show { uuid, filename, show: args }) => {
            let raw = remote.get(&files(&uuid)).await?;
            let file = file_of(&raw, &uuid, &filename)?;
            ctx.print(&show(args.format, file, || {
                let cells = file_cells(file, field(file, "sha256"));
                labelled(&FILE_TITLES.into_iter().zip(cells).collect::<Vec<_>>())
            }));
        }
    }
    Ok(())
}

fn file_of<'a>(files: &'a Value, uuid: &str, filename: &str) -> Result<&'a Value> {
    let found = items(files).iter().find(|file| field(file, "filename") == filename);
    found.ok_or_else(|| Error::NotFound(format!("file {filename:?} of update {uuid:?}")))
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
        status(o),
    ]
}

fn status(o: &Value) -> String {
    let withdrawn = o.get("withdrawn").is_some_and(Value::is_object);
    field(o, "update_status") + if withdrawn { ", withdrawn" } else { "" }
}

const WITHDRAWN_TITLES: [&str; 7] = ["UUID", "Origin", "Version", "Withdrawn At", "By", "Reason", "Here"];

fn withdrawn_rows(raw: &Value) -> List<'_> {
    let cells = |o: &Value| {
        let here = if o["here"] == true { "yes" } else { "no" };
        let mut cells = ["uuid", "origin", "version", "at", "by", "reason"].map(|key| field(o, key)).to_vec();
        cells[3] = time_field(o, "at");
        cells.push(here.to_owned());
        cells
    };
    List { titles: &WITHDRAWN_TITLES, rows: items(raw).iter().map(cells).collect(), raw, order: Order::Given }
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
    let withdrawn = match raw.get("withdrawn") {
        None | Some(Value::Null) => String::new(),
        Some(mark) => {
            let channels = items(&mark["channels"]).iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", ");
            format!("Withdrawn: {}\nChannels When Restored: {channels}\n", marked(mark))
        }
    };
    format!("{}{withdrawn}Files:\n{}", labelled(&lines), items(files).iter().map(file).collect::<String>())
}

/// What to say of an update that no machine gets.
fn unoffered(update: &Value) -> String {
    let withdrawn = update.get("withdrawn").filter(|mark| mark.is_object());
    match (withdrawn, items(&update["channels"])) {
        (Some(mark), _) => format!("No machine is told of it: it was withdrawn {}\n", marked(mark)),
        (None, []) => "It is in no channel, so no machine is told of it; see \"assign-channels\"\n".to_owned(),
        (None, _) => String::new(),
    }
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

    #[test]
    fn what_was_withdrawn_says_so_and_why() {
        let mark = json!({"at": "2026-08-21T10:00:00Z", "by": "unix", "reason": "bad", "channels": ["stable"]});
        let raw = json!({"uuid": "u", "version": "1", "channels": [], "update_status": "ready", "withdrawn": mark});
        let told = "since 2026-08-21 10:00:00 +0000 UTC by unix: bad";
        let text = human(&raw, &json!([]));
        assert!(
            text.contains(&format!("Status: ready, withdrawn\nWithdrawn: {told}\nChannels When Restored: stable\n"))
        );
        assert!(unoffered(&raw).contains(told));
        assert!(unoffered(&json!({"channels": []})).contains("assign-channels"));
        assert_eq!(unoffered(&json!({"channels": ["stable"]})), "");
        let list = json!([{"uuid": "u", "origin": "o", "version": "1", "at": "2026-08-21T10:00:00Z", "by": "unix",
            "reason": "bad", "here": false}]);
        let rows = withdrawn_rows(&list).render("csv".parse().unwrap());
        assert_eq!(rows, "u,o,1,2026-08-21 10:00:00 +0000 UTC,unix,bad,no\n");
    }
}
