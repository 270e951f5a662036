//! `provisioning server system` (cli.md 7.6).

use super::server::path;
use super::server_text::on_its_drives;
use crate::args::{ShowArgs, YesArgs};
use crate::context::{Context, Loss};
use crate::edit::{Document, Keys, edit, read_free};
use crate::error::Result;
use crate::follow::{FollowArgs, begin, follow, hint};
use crate::names;
use crate::output::{ShowFormat, show, sorted};
use crate::remote::Remote;
use clap::{Args, Subcommand};
use clap_complete::engine::ArgValueCandidates;
use serde_json::{Value, json};

/// `provisioning server system`.
#[derive(Debug, Subcommand)]
pub(crate) enum ServerSystem {
    /// Move the workloads off a server
    Evacuate(Target),
    /// Bring the workloads back to a server
    Restore(Target),
    /// Reboot a server
    Reboot(Target),
    /// Switch a server off
    Poweroff {
        /// Which.
        #[command(flatten)]
        target: Target,
        /// Consent.
        #[command(flatten)]
        yes: YesArgs,
    },
    /// Update a server
    Update {
        /// Which.
        #[command(flatten)]
        target: Target,
        /// Update the operating system, and with it the applications; this is done without the flag, too
        #[arg(long)]
        os: bool,
        /// Reboot it into what was installed, and see that it runs; what runs on it stops meanwhile
        #[arg(long)]
        reboot: bool,
    },
    /// Wipe a server and let it register again
    FactoryReset {
        /// Name of the server
        #[arg(add = ArgValueCandidates::new(names::servers))]
        name: String,
        /// UUID of the token to register with; a new one by default
        #[arg(add = ArgValueCandidates::new(names::tokens))]
        token: Option<String>,
        /// Name of a seed of that token
        #[arg(add = ArgValueCandidates::new(names::seeds))]
        seed: Option<String>,
        /// Consent.
        #[command(flatten)]
        yes: YesArgs,
        /// Whether to stay.
        #[command(flatten)]
        follow: FollowArgs,
    },
    /// Network configuration of a server
    #[command(subcommand)]
    Network(Resource),
    /// Storage configuration of a server
    #[command(subcommand)]
    Storage(Resource),
}

/// A server, and whether to insist.
#[derive(Debug, Args)]
pub(crate) struct Target {
    /// Name of the server
    #[arg(add = ArgValueCandidates::new(names::servers))]
    name: String,
    /// Even while its cluster is being updated
    #[arg(long)]
    force: bool,
    /// Whether to stay.
    #[command(flatten)]
    follow: FollowArgs,
}

/// `network` and `storage`.
#[derive(Debug, Subcommand)]
pub(crate) enum Resource {
    /// Edit the configuration as YAML
    Edit {
        /// Name of the server
        #[arg(add = ArgValueCandidates::new(names::servers))]
        name: String,
        /// Whether to stay.
        #[command(flatten)]
        follow: FollowArgs,
    },
    /// Show configuration and state
    Show {
        /// Name of the server
        #[arg(add = ArgValueCandidates::new(names::servers))]
        name: String,
        /// Format.
        #[command(flatten)]
        show: ShowArgs,
    },
}

/// Runs it.
pub(crate) async fn run(ctx: &Context, remote: &Remote, command: ServerSystem) -> Result {
    match command {
        ServerSystem::Evacuate(target) => act(ctx, remote, &target, ":evacuate", None).await,
        ServerSystem::Restore(target) => act(ctx, remote, &target, ":restore", None).await,
        ServerSystem::Reboot(target) => act(ctx, remote, &target, ":reboot", None).await,
        ServerSystem::Update { target, os: _, reboot } => {
            // Without the trigger the machine stays in "updating" for ever (servers.md 18, 9).
            let mut body = json!({"os": {"name": "os", "trigger_update": true}, "applications": []});
            if reboot {
                body["reboot"] = true.into();
            }
            act(ctx, remote, &target, ":update", Some(&body)).await
        }
        ServerSystem::Poweroff { target, yes } => {
            if ctx.must_confirm(yes.yes) {
                let lost = vec!["everything that runs on it stops, unless it was evacuated".to_owned()];
                ctx.confirm(&Loss { action: format!("switch off server {}", target.name), lost })?;
            }
            act(ctx, remote, &target, ":poweroff", None).await
        }
        ServerSystem::FactoryReset { name, token, seed, yes, follow } => {
            if ctx.must_confirm(yes.yes) {
                let server = remote.get(&path(&name, &[])).await?;
                ctx.confirm(&Loss { action: format!("wipe server {name}"), lost: on_its_drives(&server) })?;
            }
            let path = path(&name, &["system", ":factory-reset"])
                .maybe("token", token.as_deref())
                .maybe("tokenSeedName", seed.as_deref());
            begin(ctx, remote, path, None, &follow).await
        }
        ServerSystem::Network(command) => resource(ctx, remote, "network", command).await,
        ServerSystem::Storage(command) => resource(ctx, remote, "storage", command).await,
    }
}

async fn act(ctx: &Context, remote: &Remote, target: &Target, verb: &str, body: Option<&Value>) -> Result {
    let path = path(&target.name, &["system", verb]).flag("force", target.force);
    begin(ctx, remote, path, body, &target.follow).await
}

async fn resource(ctx: &Context, remote: &Remote, kind: &str, command: Resource) -> Result {
    match command {
        Resource::Show { name, show: args } => {
            let raw = in_order(&remote.get(&path(&name, &["system", kind])).await?);
            let format = if args.format == ShowFormat::Human { ShowFormat::Yaml } else { args.format };
            ctx.print(&show(format, &raw, String::new));
            Ok(())
        }
        Resource::Edit { name, follow: args } => {
            let document = Document {
                title: format!("the {kind} configuration of server {name}"),
                keys: &[],
                read: read_config,
                open: |object| object.get("config").cloned().unwrap_or_else(|| json!({})),
            };
            let operation = edit(ctx, remote, &path(&name, &["system", kind]), &document).await?;
            match operation {
                Some(id) if args.wanted() => follow(ctx, remote, &id, &args).await,
                operation => {
                    hint(ctx, operation.as_deref());
                    Ok(())
                }
            }
        }
    }
}

/// Keys in the order of the reference: alphabetical, but for the parts of the document and of its state.
fn in_order(document: &Value) -> Value {
    let Value::Object(map) = document else { return document.clone() };
    let parts = map.iter().map(|(key, part)| match part {
        Value::Object(state) if key == "state" => {
            let members = state.iter().map(|(key, member)| (key.clone(), sorted(member)));
            (key.clone(), Value::Object(members.collect()))
        }
        part => (key.clone(), sorted(part)),
    });
    Value::Object(parts.collect())
}

/// The inner document as the editor shows it, or the wrapped one as `show` prints it.
fn read_config(text: &str, keys: Keys) -> Result<Value, String> {
    let document = read_free(text, keys)?;
    let inner = match document.get("config") {
        Some(config) => config.clone(),
        None => document,
    };
    if inner.is_object() { Ok(json!({"config": inner})) } else { Err("config must be a map of keys".into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_in_the_order_of_the_reference() {
        let wire = json!({"config": {"b": 1, "a": [{"d": 1, "c": 2}]}, "state": {"interfaces": {"z": 1, "y": 2}, "busy": false}});
        let want = r#"{"config":{"a":[{"c":2,"d":1}],"b":1},"state":{"interfaces":{"y":2,"z":1},"busy":false}}"#;
        assert_eq!(in_order(&wire).to_string(), want);
    }

    #[test]
    fn both_forms_of_a_configuration_are_taken() {
        let want = json!({"config": {"dns": {"hostname": "m1"}}});
        assert_eq!(read_config("dns:\n  hostname: m1\n", Keys::Strict).unwrap(), want);
        let shown = "config:\n  dns:\n    hostname: m1\nstate:\n  interfaces: {}\n";
        assert_eq!(read_config(shown, Keys::Strict).unwrap(), want);
        assert!(read_config("config: text\n", Keys::Strict).is_err());
    }
}
