//! `provisioning server` (cli.md 7.6).

use super::operation;
use super::os::{self, Os};
use super::server_system::{self, ServerSystem};
use super::server_text::{Sections, human, lost_by_removal, rows};
use crate::args::{ListArgs, ShowArgs, YesArgs};
use crate::context::{Context, Loss, read_file};
use crate::edit::{Document, edit, open_whole, read_as};
use crate::error::{Error, Result};
use crate::names;
use crate::output::{ShowFormat, show, yaml_block};
use crate::remote::ApiPath;
use clap::{Args, Subcommand, ValueHint};
use clap_complete::engine::ArgValueCandidates;
use muster_api::provisioning::server::{BmcConfig, ServerPost, ServerPut};
use muster_api::provisioning::status::ServerStatus;
use serde_json::json;

/// `provisioning server`.
#[derive(Debug, Subcommand)]
pub(crate) enum Server {
    /// List the servers
    #[command(visible_alias = "ls")]
    List {
        /// Only members of this cluster
        #[arg(long)]
        cluster: Option<String>,
        /// Only servers with this status (unknown|unregistered|pending|ready|offline)
        #[arg(long, add = ArgValueCandidates::new(names::server_states))]
        status: Option<String>,
        /// Only servers that match this expression
        #[arg(long)]
        filter: Option<String>,
        /// Format.
        #[command(flatten)]
        list: ListArgs,
    },
    /// Show a server
    Show {
        /// Name of the server
        #[arg(add = ArgValueCandidates::new(names::servers))]
        name: String,
        /// Further sections.
        #[command(flatten)]
        sections: Sections,
        /// Format.
        #[command(flatten)]
        show: ShowArgs,
    },
    /// Announce a machine by its management controller, before its first boot
    PreRegister(Box<PreRegister>),
    /// Edit a server as YAML
    Edit {
        /// Name of the server
        #[arg(add = ArgValueCandidates::new(names::servers))]
        name: String,
    },
    /// Rename a server
    Rename {
        /// Name of the server
        #[arg(add = ArgValueCandidates::new(names::servers))]
        name: String,
        /// New name
        new_name: String,
    },
    /// Remove a server from the center
    #[command(visible_alias = "rm")]
    Remove {
        /// Name of the server
        #[arg(add = ArgValueCandidates::new(names::servers))]
        name: String,
        /// Consent.
        #[command(flatten)]
        yes: YesArgs,
    },
    /// Ask a server for its state now
    Resync {
        /// Name of the server
        #[arg(add = ArgValueCandidates::new(names::servers))]
        name: String,
    },
    /// Show what a pending update changes on a server
    Changelog {
        /// Name of the server
        #[arg(add = ArgValueCandidates::new(names::servers))]
        name: String,
        /// Format.
        #[command(flatten)]
        show: ShowArgs,
    },
    /// Speak with the IncusOS of a server itself
    #[command(subcommand)]
    Os(Os<true>),
    /// Operate the system of a server
    #[command(subcommand)]
    System(ServerSystem),
}

/// `provisioning server pre-register`.
#[derive(Debug, Args)]
pub(crate) struct PreRegister {
    /// Name of the server
    name: String,
    /// What it is for
    #[arg(long, default_value = "", hide_default_value = true)]
    description: String,
    /// Channel that it follows
    #[arg(long, default_value = "stable", add = ArgValueCandidates::new(names::channels))]
    channel: String,
    /// URL for its users
    #[arg(long, default_value = "", hide_default_value = true)]
    public_connection_url: String,
    /// Protocol of its management controller (redfish-v1-generic)
    #[arg(long, default_value = "", hide_default_value = true)]
    bmc_api_type: String,
    /// URL of its management controller
    #[arg(long, default_value = "", hide_default_value = true)]
    bmc_endpoint: String,
    /// PEM file with the certificate of its management controller
    #[arg(long, conflicts_with = "bmc_auto_pin_certificate", value_hint = ValueHint::FilePath)]
    bmc_certificate_file: Option<String>,
    /// Pin the certificate that its management controller presents first
    #[arg(long)]
    bmc_auto_pin_certificate: bool,
    /// User at its management controller
    #[arg(long, default_value = "", hide_default_value = true)]
    bmc_username: String,
    /// Password at its management controller; visible to all users of this machine, better use --bmc-password-file
    #[arg(long)]
    bmc_password: Option<String>,
    /// File with the password at its management controller, - for standard input
    #[arg(long, conflicts_with = "bmc_password", value_hint = ValueHint::FilePath)]
    bmc_password_file: Option<String>,
    /// Format.
    #[command(flatten)]
    show: ShowArgs,
}

impl PreRegister {
    fn body(&self, official: bool) -> Result<ServerPost> {
        let mut body = ServerPost {
            name: self.name.clone(),
            description: self.description.clone(),
            channel: self.channel.clone(),
            public_connection_url: self.public_connection_url.clone(),
            ..ServerPost::default()
        };
        if self.bmc_api_type.is_empty() {
            let given = !self.bmc_endpoint.is_empty()
                || !self.bmc_username.is_empty()
                || self.bmc_auto_pin_certificate
                || [&self.bmc_certificate_file, &self.bmc_password, &self.bmc_password_file]
                    .iter()
                    .any(|o| o.is_some());
            if given && !official {
                return Err(Error::Usage("--bmc-api-type is needed with the other --bmc flags".into()));
            }
            return Ok(body);
        }
        let password = match (&self.bmc_password, &self.bmc_password_file) {
            (Some(password), _) => password.clone(),
            (None, Some(file)) => read_file(file)?.trim_end_matches(['\r', '\n']).to_owned(),
            (None, None) => String::new(),
        };
        body.bmc_config = BmcConfig {
            api_type: self.bmc_api_type.clone(),
            endpoint: self.bmc_endpoint.clone(),
            certificate: self.bmc_certificate_file.as_deref().map(read_file).transpose()?.unwrap_or_default(),
            auto_pin_certificate: self.bmc_auto_pin_certificate,
            username: self.bmc_username.clone(),
            password,
        };
        Ok(body)
    }
}

/// One server, or a resource of it.
pub(crate) fn path(name: &str, below: &[&str]) -> ApiPath {
    ApiPath::of(&[&["provisioning", "servers", name], below].concat())
}

/// Runs it.
pub(crate) async fn run(ctx: &Context, command: Server) -> Result {
    if let Server::List { status: Some(status), .. } = &command
        && status.parse::<ServerStatus>().is_err()
    {
        return Err(Error::Usage(format!("Invalid value for status: {status:?} is not a valid server status")));
    }
    let remote = ctx.remote()?;
    match command {
        Server::List { cluster, status, filter, list } => {
            let path = ApiPath::of(&["provisioning", "servers"])
                .recursive()
                .maybe("cluster", cluster.as_deref())
                .maybe("status", status.as_deref())
                .maybe("filter", filter.as_deref());
            let raw = remote.get(&path).await?;
            ctx.print(&rows(&raw).render(list.format));
        }
        Server::Show { name, sections, show: args } => {
            let raw = remote.get(&path(&name, &[])).await?;
            let operations = match args.format {
                ShowFormat::Human if !ctx.official => operation::of_server(&remote, &name).await,
                _ => String::new(),
            };
            ctx.print(&show(args.format, &raw, || human(&raw, &sections, !ctx.official) + &operations));
        }
        Server::PreRegister(args) => {
            let body = serde_json::to_value(args.body(ctx.official)?).map_err(|e| Error::Failed(e.to_string()))?;
            remote.post(&ApiPath::of(&["provisioning", "servers"]), Some(&body)).await?;
            ctx.created(args.show.format, "name", &args.name);
        }
        Server::Edit { name } => {
            let document = Document {
                title: format!("server {name}"),
                keys: &["public_connection_url", "channel", "description", "properties", "bmc_config"],
                read: read_as::<ServerPut>,
                open: open_whole,
            };
            edit(ctx, &remote, &path(&name, &[]), &document).await?;
        }
        Server::Rename { name, new_name } => {
            remote.post(&path(&name, &[]), Some(&json!({"name": new_name}))).await?;
        }
        Server::Remove { name, yes } => {
            if ctx.must_confirm(yes.yes) {
                let server = remote.get(&path(&name, &[])).await?;
                let action = format!("remove server {name}");
                ctx.confirm(&Loss { action, lost: lost_by_removal(&server) })?;
            }
            remote.delete(&path(&name, &[])).await?;
        }
        Server::Resync { name } => {
            remote.post(&path(&name, &[":resync"]), None).await?;
        }
        Server::Changelog { name, show: args } => {
            let raw = remote.get(&path(&name, &["changelog"])).await?;
            ctx.print(&show(args.format, &raw, || yaml_block("Changelog", &raw)));
        }
        Server::Os(command) => os::run(ctx, &remote, &command).await?,
        Server::System(command) => server_system::run(ctx, &remote, command).await?,
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    fn body(line: &str, official: bool) -> Result<ServerPost> {
        #[derive(Parser)]
        struct Probe {
            #[command(flatten)]
            args: PreRegister,
        }
        let words = std::iter::once("x").chain(line.split_whitespace());
        Probe::try_parse_from(words).unwrap().args.body(official)
    }

    #[test]
    fn secrets_come_from_files() {
        let scratch = tempfile::tempdir().unwrap();
        let file = scratch.path().join("password");
        std::fs::write(&file, "s3cret\n").unwrap();
        let line = format!("m1 --bmc-api-type redfish-v1-generic --bmc-password-file {}", file.display());
        let got = body(&line, false).unwrap();
        assert_eq!(got.bmc_config.password, "s3cret");
        assert_eq!(got.channel, "stable");
        assert!(body("m1 --bmc-api-type x --bmc-password-file /nonexistent", false).is_err());
    }

    #[test]
    fn controller_flags_need_a_protocol() {
        assert!(body("m1 --bmc-endpoint e", false).is_err());
        assert_eq!(body("m1 --bmc-endpoint e", true).unwrap().bmc_config, BmcConfig::default());
        assert!(body("m1", false).is_ok());
    }
}
