//! `provisioning channel` (cli.md 7.3).

use super::{items, labelled};
use crate::args::{ListArgs, ShowArgs, YesArgs};
use crate::context::{Context, Loss};
use crate::edit::{Document, Keys, edit, read_as};
use crate::error::{Error, Result};
use crate::names;
use crate::output::{List, Order, show, yaml_block};
use crate::remote::{ApiPath, Remote};
use crate::text::{duration, field, time_field};
use crate::yaml;
use clap::Subcommand;
use clap_complete::engine::ArgValueCandidates;
use muster_api::lenient::null_as_default;
use serde::{Deserialize, Serialize};
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
    /// Let a channel get the updates of another one by itself
    Follow {
        /// Name of the channel
        #[arg(add = ArgValueCandidates::new(names::channels))]
        name: String,
        /// The channel that has them before
        #[arg(add = ArgValueCandidates::new(names::channels))]
        follows: String,
        /// How long after, as in 7d or 12h
        #[arg(long, value_parser = duration, default_value = "0s", hide_default_value = true)]
        after: jiff::SignedDuration,
        /// From this severity on without the delay (none|low|medium|high|critical)
        #[arg(long, add = ArgValueCandidates::new(names::severities))]
        at_once: Option<String>,
    },
    /// Let a channel get no updates by itself any more
    Unfollow {
        /// Name of the channel
        #[arg(add = ArgValueCandidates::new(names::channels))]
        name: String,
    },
    /// Let no update enter a channel, until it is thawed
    Freeze {
        /// Name of the channel
        #[arg(add = ArgValueCandidates::new(names::channels))]
        name: String,
        /// Why
        #[arg(long)]
        reason: String,
    },
    /// Let updates enter a channel again
    Thaw {
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
            ctx.print(&rows(&raw, ctx.official).render(list.format));
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
            let document = Document { title: format!("channel {name}"), keys: &["description", "follow"], read, open };
            edit(ctx, &remote, &path(&name), &document).await?;
        }
        Channel::Follow { name, follows, after, at_once } => {
            let follow = json!({"channel": follows, "after": after.as_secs(), "at_once": at_once.unwrap_or_default()});
            set_follow(&remote, &name, &follow).await?;
        }
        Channel::Unfollow { name } => set_follow(&remote, &name, &Value::Null).await?,
        Channel::Freeze { name, reason } => {
            remote.post(&path(&name).below(":freeze"), Some(&json!({"reason": reason}))).await?;
        }
        Channel::Thaw { name } => {
            remote.post(&path(&name).below(":thaw"), None).await?;
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

async fn set_follow(remote: &Remote, name: &str, follow: &Value) -> Result {
    let channel = remote.fetch(&path(name)).await?;
    let body = json!({"description": field(&channel.metadata, "description"), "follow": follow});
    remote.put(&path(name), &body, channel.etag.as_deref()).await.map(drop)
}

/// What can be edited. The rule is edited in words.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Edited {
    #[serde(deserialize_with = "null_as_default")]
    description: String,
    follow: Value,
}

fn open(channel: &Value) -> Value {
    let follow = channel.pointer("/follow/rule").cloned().unwrap_or_default();
    json!({"description": channel["description"], "follow": follow})
}

/// A rule that a document does not speak of stays as it is.
fn read(text: &str, keys: Keys) -> Result<Value, String> {
    let mut body = read_as::<Edited>(text, keys)?;
    let given: Value = yaml::parse(text)?;
    if let (None, Some(body)) = (given.get("follow"), body.as_object_mut()) {
        body.remove("follow");
    }
    Ok(body)
}

const TITLES: [&str; 5] = ["Name", "Description", "Last Updated", "Follows", "Frozen"];

/// The official command line has the first three columns.
fn rows(raw: &Value, official: bool) -> List<'_> {
    let columns = if official { 3 } else { TITLES.len() };
    let cells = |o: &Value| {
        let mut cells =
            vec![field(o, "name"), field(o, "description"), time_field(o, "last_updated"), follows(o), frozen(o)];
        cells.truncate(columns);
        cells
    };
    List { titles: &TITLES[..columns], rows: items(raw).iter().map(cells).collect(), raw, order: Order::Bytes(0) }
}

/// The rule without the channel's own name, which stands beside it.
fn follows(o: &Value) -> String {
    let rule = field(o, "follow.rule");
    rule.split_once("\" follows ").map_or(String::new(), |(_, rest)| rest.to_owned())
}

fn frozen(o: &Value) -> String {
    match o.get("frozen") {
        None | Some(Value::Null) => String::new(),
        Some(mark) => marked(mark),
    }
}

/// Since when, by whom and why.
pub(crate) fn marked(mark: &Value) -> String {
    format!("since {} by {}: {}", time_field(mark, "at"), field(mark, "by"), field(mark, "reason"))
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

/// What the official command line knows nothing of: only where there is something.
fn more(raw: &Value) -> String {
    let mut text = String::new();
    for (label, value) in [("Follows", follows(raw)), ("Frozen", frozen(raw))] {
        if !value.is_empty() {
            text += &format!("{label}: {value}\n");
        }
    }
    if !items(&raw["awaits"]).is_empty() {
        text += "Awaits:\n";
    }
    for o in items(&raw["awaits"]) {
        let (version, uuid, due) = (field(o, "version"), field(o, "uuid"), time_field(o, "due"));
        text += &format!("- {version} ({uuid}), due {due}: waits for {}\n", field(o, "reason"));
    }
    text
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
        "{head}{}Assigned Clusters\n{}Assigned Servers:\n{}Linked Updates:\n{updates}",
        more(raw),
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
            rows(&raw, true).render("csv".parse().unwrap()),
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
    fn rules_and_freezes_are_shown_and_a_rule_is_edited_in_words() {
        let rule = r#""stable" follows "testing" after 7 days"#;
        let raw = json!([{"name": "stable", "description": "d", "last_updated": "2026-08-20T19:58:04Z",
            "follow": {"channel": "testing", "after": 604800, "at_once": "", "rule": rule},
            "frozen": {"at": "2026-08-21T10:00:00Z", "by": "unix", "reason": "an incident"},
            "awaits": [{"uuid": "u", "version": "202511020000", "due": "2026-08-27T10:00:00Z", "reason": "its delay"}]}]);
        assert_eq!(
            rows(&raw, false).render("csv".parse().unwrap()),
            "stable,d,2026-08-20 19:58:04 +0000 UTC,\"\"\"testing\"\" after 7 days\",since 2026-08-21 10:00:00 +0000 UTC by unix: an incident\n"
        );
        assert_eq!(
            more(&raw[0]),
            "Follows: \"testing\" after 7 days\nFrozen: since 2026-08-21 10:00:00 +0000 UTC by unix: an incident\nAwaits:\n- 202511020000 (u), due 2026-08-27 10:00:00 +0000 UTC: waits for its delay\n"
        );
        let text = crate::output::document(&open(&raw[0]));
        assert_eq!(read(&text, Keys::Strict).unwrap(), json!({"description": "d", "follow": rule}));
        assert_eq!(read("description: x", Keys::Strict).unwrap(), json!({"description": "x"}));
        assert_eq!(read("follow: null", Keys::Strict).unwrap(), json!({"description": "", "follow": null}));
        assert!(read("folow: null", Keys::Strict).unwrap_err().contains("folow"));
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
