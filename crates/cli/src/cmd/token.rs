//! `provisioning token` (cli.md 7.7).

use super::seed::{self, ImageArgs, Seed};
use super::{items, labelled};
use crate::args::{ListArgs, ShowArgs, YesArgs};
use crate::context::{Context, Loss, read_file};
use crate::edit::{Document, edit, open_whole, read_as};
use crate::error::{Error, Result};
use crate::names;
use crate::output::{List, Order, show};
use crate::remote::ApiPath;
use crate::text::{field, time_field};
use clap::{Subcommand, ValueHint};
use clap_complete::engine::ArgValueCandidates;
use muster_api::provisioning::token::TokenPut;
use serde_json::{Value, json};

/// `provisioning token`.
#[derive(Debug, Subcommand)]
pub(crate) enum Token {
    /// List the tokens
    #[command(visible_alias = "ls")]
    List {
        /// Format.
        #[command(flatten)]
        list: ListArgs,
    },
    /// Show information about a token.
    Show {
        /// UUID of the token
        #[arg(add = ArgValueCandidates::new(names::tokens))]
        uuid: String,
        /// Format.
        #[command(flatten)]
        show: ShowArgs,
    },
    /// Add a token and print its UUID
    Add {
        /// How many servers may register with it
        #[arg(long, default_value_t = 1)]
        uses: i64,
        /// How long it is valid, e.g. 720h or 30d
        #[arg(long, default_value = "720h", value_parser = crate::text::duration)]
        lifetime: jiff::SignedDuration,
        /// What it is for
        #[arg(long, default_value = "", hide_default_value = true)]
        description: String,
        /// Channel that servers registering with it follow
        #[arg(long, default_value = "", hide_default_value = true, add = ArgValueCandidates::new(names::channels))]
        channel: String,
        /// Accept what is on the disks of servers that register with it: nobody has to erase them first
        #[arg(long)]
        accept_existing_data: bool,
        /// Format.
        #[command(flatten)]
        show: ShowArgs,
    },
    /// Edit a token as YAML
    Edit {
        /// UUID of the token
        #[arg(add = ArgValueCandidates::new(names::tokens))]
        uuid: String,
    },
    /// Remove a token and its seeds
    #[command(visible_alias = "rm")]
    Remove {
        /// UUID of the token
        #[arg(add = ArgValueCandidates::new(names::tokens))]
        uuid: String,
        /// Consent.
        #[command(flatten)]
        yes: YesArgs,
    },
    /// Load an installation image for servers that register with it; what broke off goes on in the next run
    GetImage {
        /// UUID of the token
        #[arg(add = ArgValueCandidates::new(names::tokens))]
        uuid: String,
        /// File to write, unpacked unless it ends in .gz; - for standard output. Not given with --write-to
        #[arg(value_hint = ValueHint::FilePath)]
        target: Option<String>,
        /// YAML file with the seeds, - for standard input
        #[arg(value_hint = ValueHint::FilePath)]
        file: Option<String>,
        /// Applications: one of incus and migration-manager, and others that go with it
        #[arg(long = "application", value_name = "APPLICATION", value_delimiter = ',')]
        applications: Vec<String>,
        /// Which image, and whether to a disk.
        #[command(flatten)]
        image: ImageArgs,
    },
    /// Manage the seeds of a token
    #[command(subcommand)]
    Seed(Seed),
}

fn path(uuid: &str) -> ApiPath {
    ApiPath::of(&["provisioning", "tokens", uuid])
}

/// Runs it.
pub(crate) async fn run(ctx: &Context, command: Token) -> Result {
    let remote = ctx.remote()?;
    match command {
        Token::List { list } => {
            let raw = remote.get(&ApiPath::of(&["provisioning", "tokens"]).recursive()).await?;
            ctx.print(&rows(&raw).render(list.format));
        }
        Token::Show { uuid, show: args } => {
            let raw = remote.get(&path(&uuid)).await?;
            ctx.print(&show(args.format, &raw, || human(&raw)));
        }
        Token::Add { uses, lifetime, description, channel, accept_existing_data, show } => {
            let expire_at = crate::clock::now()
                .checked_add(lifetime)
                .map_err(|_| Error::Usage("the lifetime is too long".into()))?
                .strftime("%Y-%m-%dT%H:%M:%SZ")
                .to_string();
            let mut body = json!({
                "uses_remaining": uses, "expire_at": expire_at, "description": description, "channel": channel
            });
            if accept_existing_data {
                body["accept_existing_data"] = json!(true);
            }
            let reply = remote.post(&ApiPath::of(&["provisioning", "tokens"]), Some(&body)).await?;
            let uuid = reply.created.ok_or_else(|| Error::Failed("the center did not name the new token".into()))?;
            ctx.created(show.format, "uuid", &uuid);
        }
        Token::Edit { uuid } => {
            let document = Document {
                title: format!("token {uuid}"),
                keys: &["uses_remaining", "expire_at", "description", "channel", "accept_existing_data"],
                read: read_as::<TokenPut>,
                open: open_whole,
            };
            edit(ctx, &remote, &path(&uuid), &document).await?;
        }
        Token::Remove { uuid, yes } => {
            if ctx.must_confirm(yes.yes) {
                let token = remote.get(&path(&uuid)).await?;
                let seeds = remote.get(&seed::collection(&uuid).recursive()).await?;
                ctx.confirm(&Loss { action: format!("remove token {uuid}"), lost: lost(&token, &seeds) })?;
            }
            remote.delete(&path(&uuid)).await?;
        }
        Token::GetImage { uuid, target, file, applications, image } => {
            // To a disk there is no target, and the file of seeds moves up.
            let (target, file) = match (&image.write_to, target, file) {
                (Some(_), Some(_), Some(_)) => return Err(Error::Usage(seed::BOTH.into())),
                (Some(_), file, None) => (None, file),
                (_, target, file) => (target, file),
            };
            let mut seeds = match file {
                Some(file) => seed::documents(&read_file(&file)?).map_err(|e| Error::Usage(format!("{file}: {e}")))?,
                None => json!({}),
            };
            if let Some(list) = seed::applications(&applications)? {
                if seeds.get("applications").is_some() {
                    let text =
                        "the applications are in the file of seeds; leave out --application, or take them out there";
                    return Err(Error::Usage(text.into()));
                }
                seeds["applications"] = list;
            }
            let to = image.target(ctx, target.as_deref())?;
            let body = json!({"type": image.kind(), "architecture": image.architecture, "seeds": seeds});
            let prepared = remote.post(&path(&uuid).below("image"), Some(&body)).await?.metadata;
            let prepared = field(&prepared, "image");
            if prepared.is_empty() {
                return Err(Error::Failed("the center did not name the image".into()));
            }
            crate::image::get(ctx, &remote, &prepared, to).await?;
        }
        Token::Seed(command) => seed::run(ctx, &remote, command).await?,
    }
    Ok(())
}

const KEYS: [(&str, &str); 5] = [
    ("UUID", "uuid"),
    ("Uses Remaining", "uses_remaining"),
    ("Expire At", "expire_at"),
    ("Channel", "channel"),
    ("Description", "description"),
];

fn value(object: &Value, key: &str) -> String {
    if key == "expire_at" { time_field(object, key) } else { field(object, key) }
}

fn rows(raw: &Value) -> List<'_> {
    let cells = |o: &Value| KEYS.iter().map(|(_, key)| value(o, key)).collect();
    List {
        titles: &["UUID", "Uses Remaining", "Expire At", "Channel", "Description"],
        rows: items(raw).iter().map(cells).collect(),
        raw,
        order: Order::By(&[0]),
    }
}

fn human(raw: &Value) -> String {
    let mut lines = KEYS.map(|(label, key)| (label, value(raw, key))).to_vec();
    if raw["accept_existing_data"] == true {
        lines.push(("Existing Data", "accepted: nobody has to erase it".into()));
    }
    labelled(&lines)
}

fn lost(token: &Value, seeds: &Value) -> Vec<String> {
    let mut lost = vec![format!(
        "the right of {} more servers to register with it: {:?}",
        field(token, "uses_remaining"),
        field(token, "description")
    )];
    lost.extend(items(seeds).iter().map(|seed| format!("its seed {}", field(seed, "name"))));
    lost
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn list_and_show_as_recorded() {
        let raw = json!([{"uses_remaining": 3, "expire_at": "2026-09-19T12:00:00.25Z", "description": "rack 1", "channel": "stable", "uuid": "u-1"}]);
        assert_eq!(rows(&raw).render("csv".parse().unwrap()), "u-1,3,2026-09-19 12:00:00 +0000 UTC,stable,rack 1\n");
        assert_eq!(
            rows(&raw).render("yaml".parse().unwrap()),
            "- uses_remaining: 3\n  expire_at: 2026-09-19T12:00:00.25Z\n  description: rack 1\n  channel: stable\n  uuid: u-1\n"
        );
        assert_eq!(
            human(&raw[0]),
            "UUID: u-1\nUses Remaining: 3\nExpire At: 2026-09-19 12:00:00 +0000 UTC\nChannel: stable\nDescription: rack 1\n"
        );
    }

    #[test]
    fn that_it_accepts_data_is_shown() {
        let raw = json!({"uses_remaining": 3, "uuid": "u-1", "accept_existing_data": true});
        assert!(human(&raw).ends_with("Existing Data: accepted: nobody has to erase it\n"));
    }

    #[test]
    fn what_is_lost_is_named() {
        let token = json!({"uses_remaining": 3, "description": "rack 1"});
        let lost = lost(&token, &json!([{"name": "base"}]));
        assert!(lost[0].contains('3') && lost[0].contains("rack 1") && lost[1].contains("base"), "{lost:?}");
    }
}
