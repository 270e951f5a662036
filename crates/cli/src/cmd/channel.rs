//! `provisioning channel` (cli.md 7.3).

use super::{items, labelled};
use crate::args::{ListArgs, ShowArgs, YesArgs};
use crate::context::{Context, Loss};
use crate::edit::{Document, edit, open_whole, read_as};
use crate::error::{Error, Result};
use crate::names;
use crate::output::{List, Order, show, yaml_block};
use crate::remote::{ApiPath, Remote};
use crate::text::{field, time_field};
use clap::Subcommand;
use clap_complete::engine::ArgValueCandidates;
use muster_api::provisioning::channel::ChannelPut;
use serde_json::{Value, json};

/// `provisioning channel`.
#[derive(Debug, Subcommand)]
pub(crate) enum Channel {
    /// List the channels
    #[command(visible_alias = "ls")]
    List {
        /// Format.
        #[command(flatten)]
        list: ListArgs,
    },
    /// Show a channel and who follows it
    Show {
        /// Name of the channel
        #[arg(add = ArgValueCandidates::new(names::channels))]
        name: String,
        /// Format.
        #[command(flatten)]
        show: ShowArgs,
    },
    /// Add a channel
    Add {
        /// Name of the channel
        name: String,
        /// What it is for
        #[arg(long, default_value = "", hide_default_value = true)]
        description: String,
        /// Format.
        #[command(flatten)]
        show: ShowArgs,
    },
    /// Edit a channel as YAML
    Edit {
        /// Name of the channel
        #[arg(add = ArgValueCandidates::new(names::channels))]
        name: String,
    },
    /// Remove a channel
    #[command(visible_alias = "rm")]
    Remove {
        /// Name of the channel
        #[arg(add = ArgValueCandidates::new(names::channels))]
        name: String,
        /// Consent.
        #[command(flatten)]
        yes: YesArgs,
    },
    /// Show what the newest update of a channel changes
    Changelog {
        /// Name of the channel
        #[arg(add = ArgValueCandidates::new(names::channels))]
        name: String,
        /// Architecture to compare
        #[arg(long, default_value = "x86_64")]
        architecture: String,
        /// Format.
        #[command(flatten)]
        show: ShowArgs,
    },
}

fn path(name: &str) -> ApiPath {
    ApiPath::of(&["provisioning", "channels", name])
}

/// Runs it.
pub(crate) async fn run(ctx: &Context, command: Channel) -> Result {
    let remote = ctx.remote()?;
    match command {
        Channel::List { list } => {
            let raw = remote.get(&ApiPath::of(&["provisioning", "channels"]).recursive()).await?;
            ctx.print(&rows(&raw).render(list.format));
        }
        Channel::Show { name, show: args } => {
            let raw = remote.get(&path(&name)).await?;
            let followers = Followers::of(&remote, &name).await?;
            ctx.print(&show(args.format, &raw, || human(&raw, &followers)));
        }
        Channel::Add { name, description, show } => {
            let body = json!({"name": name, "description": description});
            remote.post(&ApiPath::of(&["provisioning", "channels"]), Some(&body)).await?;
            ctx.created(show.format, "name", &name);
        }
        Channel::Edit { name } => {
            let document = Document {
                title: format!("channel {name}"),
                keys: &["description"],
                read: read_as::<ChannelPut>,
                open: open_whole,
            };
            edit(ctx, &remote, &path(&name), &document).await?;
        }
        Channel::Remove { name, yes } => {
            if ctx.must_confirm(yes.yes) {
                let followers = Followers::of(&remote, &name).await?;
                ctx.confirm(&Loss { action: format!("remove channel {name}"), lost: followers.lost(&name) })?;
            }
            remote.delete(&path(&name)).await?;
        }
        Channel::Changelog { name, architecture, show: args } => {
            let path = ApiPath::of(&["provisioning", "channels", &name, "changelog"]);
            let raw = remote.get(&path.query("architecture", &architecture)).await?;
            ctx.print(&show(args.format, &raw, || yaml_block("Changelog", &raw)));
        }
    }
    Ok(())
}

fn rows(raw: &Value) -> List<'_> {
    let cells = |o: &Value| vec![field(o, "name"), field(o, "description"), time_field(o, "last_updated")];
    List {
        titles: &["Name", "Description", "Last Updated"],
        rows: items(raw).iter().map(cells).collect(),
        raw,
        order: Order::Bytes(0),
    }
}

/// What depends on a channel.
struct Followers {
    clusters: Value,
    servers: Value,
    updates: Value,
}

impl Followers {
    async fn of(remote: &Remote, channel: &str) -> Result<Self> {
        let filter = format!("channel == {}", Value::String(channel.to_owned()));
        let of = |kind: &str| ApiPath::of(&["provisioning", kind]).recursive();
        Ok(Self {
            clusters: known(remote.get(&of("clusters").query("filter", &filter)).await)?,
            servers: remote.get(&of("servers").query("filter", &filter)).await?,
            updates: known(remote.get(&of("updates").query("channel", channel)).await)?,
        })
    }

    fn lost(&self, name: &str) -> Vec<String> {
        let mut lost = vec![format!("channel {name} and which updates are in it")];
        for (kind, list) in [("server", &self.servers), ("cluster", &self.clusters)] {
            lost.extend(items(list).iter().map(|o| format!("{kind} {} follows it", field(o, "name"))));
        }
        lost
    }
}

/// A center without such a collection has none of these objects.
fn known(answer: Result<Value>) -> Result<Value> {
    match answer {
        Err(Error::NotFound(_) | Error::NoSuchPath(_)) => Ok(json!([])),
        other => other,
    }
}

fn human(raw: &Value, followers: &Followers) -> String {
    let named = |list: &Value| -> String {
        items(list).iter().map(|o| format!("- {} ({})\n", field(o, "name"), field(o, "connection_url"))).collect()
    };
    let updates: String = items(&followers.updates)
        .iter()
        .map(|o| format!("- {}, {}, {}\n", field(o, "uuid"), field(o, "origin"), field(o, "version")))
        .collect();
    let head = labelled(&[
        ("Name", field(raw, "name")),
        ("Description", field(raw, "description")),
        ("Last Updated", time_field(raw, "last_updated")),
    ]);
    format!(
        "{head}Assigned Clusters\n{}Assigned Servers:\n{}Linked Updates:\n{updates}",
        named(&followers.clusters),
        named(&followers.servers)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn list_and_show_as_recorded() {
        let raw = json!([
            {"description": "t", "name": "testing", "last_updated": "2026-08-20T19:58:04.5Z"},
            {"description": "Stable updates channel", "name": "stable", "last_updated": "2026-08-20T19:58:03Z"}
        ]);
        assert_eq!(
            rows(&raw).render("csv".parse().unwrap()),
            "stable,Stable updates channel,2026-08-20 19:58:03 +0000 UTC\ntesting,t,2026-08-20 19:58:04 +0000 UTC\n"
        );
        let none = Followers { clusters: json!([]), servers: json!([]), updates: json!([]) };
        assert_eq!(
            human(&raw[0], &none),
            "Name: testing\nDescription: t\nLast Updated: 2026-08-20 19:58:04 +0000 UTC\nAssigned Clusters\nAssigned Servers:\nLinked Updates:\n"
        );
        let some = Followers {
            clusters: json!([]),
            servers: json!([{"name": "m1", "connection_url": "https://m1:8443"}]),
            updates: json!([{"uuid": "u", "origin": "o", "version": "v"}]),
        };
        assert!(human(&raw[0], &some).ends_with("Servers:\n- m1 (https://m1:8443)\nLinked Updates:\n- u, o, v\n"));
        assert_eq!(some.lost("testing").last().unwrap(), "server m1 follows it");
    }

    #[test]
    fn a_changelog_as_recorded() {
        let raw = json!({"current_version": "202511020000", "prior_version": "202511010000", "channel": "stable", "components": {
            "IncusOS": {"updated": ["linux version 202511010000 to version 202511020000"]}, "debug": {"updated": ["debug version 1 to version 2"]}}});
        assert_eq!(
            yaml_block("Changelog", &raw),
            "Changelog:\n    current_version: \"202511020000\"\n    prior_version: \"202511010000\"\n    channel: stable\n    components:\n        IncusOS:\n            updated:\n                - linux version 202511010000 to version 202511020000\n        debug:\n            updated:\n                - debug version 1 to version 2\n    \n"
        );
        let raw = json!({"current_version": "", "prior_version": "", "channel": "", "components": null});
        assert_eq!(
            yaml_block("Changelog", &raw),
            "Changelog:\n    current_version: \"\"\n    prior_version: \"\"\n    channel: \"\"\n    components: {}\n    \n"
        );
    }
}
