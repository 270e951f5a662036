//! `provisioning update export`: updates as tar files, to be carried to a center that has no way to their publisher.

use super::items;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::names;
use crate::remote::{ApiPath, Remote};
use crate::text::{decimal_size, field};
use crate::transfer;
use clap::Args;
use clap_complete::engine::ArgValueCandidates;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;

/// Arguments of `export`.
#[derive(Debug, Args)]
pub(crate) struct Export {
    /// A folder for all that are asked for, a new file ending in .tar for the newest of them, or "-" for standard output
    target: String,
    /// UUIDs of updates [default: all]
    #[arg(add = ArgValueCandidates::new(names::updates))]
    uuids: Vec<String>,
    /// Only updates that are in this channel
    #[arg(long, add = ArgValueCandidates::new(names::channels))]
    channel: Option<String>,
    /// Only updates of this release, as in 202511020000
    #[arg(long)]
    release: Option<String>,
}

/// Runs it.
pub(crate) async fn run(ctx: &Context, remote: &Remote, args: &Export) -> Result {
    let all = remote.get(&ApiPath::of(&["provisioning", "updates"]).recursive()).await?;
    if let Some(unknown) = args.uuids.iter().find(|uuid| !items(&all).iter().any(|o| field(o, "uuid") == **uuid)) {
        return Err(Error::NotFound(format!("update {unknown:?}")));
    }
    let wanted = args.wanted(&all);
    let newest = wanted.first().ok_or_else(|| Error::NotFound("no update that is ready is meant by that".into()))?;
    let path = |update: &Value| ApiPath::of(&["provisioning", "updates", &field(update, "uuid"), ":export"]);
    if args.target == "-" {
        return transfer::print_file(remote, &path(newest)).await;
    }
    let target = Path::new(&args.target);
    if args.target.ends_with(".tar") && !target.is_dir() {
        if target.exists() {
            return Err(Error::Usage(format!("{} is there already; name a new file", target.display())));
        }
        return write(ctx, remote, newest, &path(newest), target).await;
    }
    tokio::fs::create_dir_all(target).await.map_err(Error::io(format!("cannot make {}", target.display())))?;
    let named = file_names(&wanted);
    for (update, name) in wanted.iter().zip(named) {
        let file = target.join(name);
        if file.exists() {
            ctx.print(&format!("{} is there already\n", file.display()));
        } else {
            write(ctx, remote, update, &path(update), &file).await?;
        }
    }
    Ok(())
}

async fn write(ctx: &Context, remote: &Remote, update: &Value, path: &ApiPath, file: &Path) -> Result {
    let size = transfer::copy_file(ctx, remote, path, file).await?;
    let (version, size) = (field(update, "version"), decimal_size(&size.into()));
    ctx.print(&format!("Wrote update {version}, {size}, to {}\n", file.display()));
    Ok(())
}

impl Export {
    /// What is meant, the newest first, as the center lists them.
    fn wanted<'a>(&self, all: &'a Value) -> Vec<&'a Value> {
        let in_channel =
            |update: &Value, channel: &String| items(&update["channels"]).iter().any(|name| name == channel);
        let meant = |update: &&Value| {
            let named = self.uuids.is_empty() || self.uuids.contains(&field(update, "uuid"));
            // What was withdrawn is refused where it is asked for by its UUID, and left out elsewhere.
            let told = !self.uuids.is_empty() || !update.get("withdrawn").is_some_and(Value::is_object);
            named
                && told
                && field(update, "update_status") == "ready"
                && self.channel.as_ref().is_none_or(|channel| in_channel(update, channel))
                && self.release.as_ref().is_none_or(|release| field(update, "version") == *release)
        };
        items(all).iter().filter(meant).collect()
    }
}

/// A name for the file of each: its version, and its UUID where another one has the same version.
fn file_names(updates: &[&Value]) -> Vec<String> {
    let plain = |update: &Value| -> String {
        let fit = |c: char| if c.is_ascii_alphanumeric() || "._-+".contains(c) { c } else { '_' };
        field(update, "version").trim_start_matches('.').chars().map(fit).collect()
    };
    let mut seen = BTreeSet::new();
    let mut name = |update: &Value| {
        let version = plain(update);
        if !version.is_empty() && seen.insert(version.clone()) {
            format!("{version}.tar")
        } else {
            format!("{version}-{}.tar", field(update, "uuid"))
        }
    };
    updates.iter().map(|update| name(update)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_meant_and_what_it_is_called() {
        let all = json!([
            {"uuid": "a", "version": "3", "channels": [], "update_status": "ready", "withdrawn": {"reason": "bad"}},
            {"uuid": "b", "version": "2", "channels": ["stable"], "update_status": "ready"},
            {"uuid": "c", "version": "2", "channels": ["late", "stable"], "update_status": "ready"},
            {"uuid": "d", "version": "../1", "channels": ["stable"], "update_status": "ready"},
            {"uuid": "e", "version": "0", "channels": [], "update_status": "pending"},
        ]);
        let wanted = |uuids: &[&str], channel: Option<&str>, release: Option<&str>| {
            let uuids = uuids.iter().map(|uuid| (*uuid).to_owned()).collect();
            let (channel, release) = (channel.map(str::to_owned), release.map(str::to_owned));
            let found = Export { target: "x".into(), uuids, channel, release };
            found.wanted(&all).into_iter().map(|update| field(update, "uuid")).collect::<Vec<_>>()
        };
        assert_eq!(wanted(&[], None, None), ["b", "c", "d"]);
        assert_eq!(wanted(&[], Some("late"), None), ["c"]);
        assert_eq!(wanted(&[], None, Some("2")), ["b", "c"]);
        assert_eq!(wanted(&["a", "d"], None, None), ["a", "d"]);
        let updates: Vec<&Value> = items(&all).iter().skip(1).collect();
        assert_eq!(file_names(&updates), ["2.tar", "2-c.tar", "_1.tar", "0.tar"]);
    }
}
