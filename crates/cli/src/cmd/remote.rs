//! `remote`: the centers that this command line knows (cli.md 5). Works on local files.

use crate::args::ListArgs;
use crate::config::{Config, ConfigDir, LOCAL, RemoteEntry};
use crate::context::{Context, connect, read_line};
use crate::error::{Error, Result};
use crate::names;
use crate::output::{List, Order};
use crate::remote::ApiPath;
use crate::text::field;
use clap::{Subcommand, ValueEnum};
use clap_complete::engine::ArgValueCandidates;
use muster_clients::tls::{Identity, der_to_pem, fingerprint};
use serde_json::{Value, json};
use std::io::IsTerminal;

/// `remote`.
#[derive(Debug, Subcommand)]
pub(crate) enum RemoteCommand {
    /// Add a remote
    Add {
        /// Name of the remote
        name: String,
        /// https://host:port
        url: String,
        /// How to log in
        #[arg(long, value_enum, default_value = "tls")]
        auth_type: AuthType,
        /// Trust the certificate that it presents now
        #[arg(long)]
        accept_certificate: bool,
    },
    /// List the remotes
    #[command(visible_alias = "ls")]
    List {
        /// Format.
        #[command(flatten)]
        list: ListArgs,
    },
    /// Remove a remote
    #[command(visible_alias = "rm")]
    Remove {
        /// Name of the remote
        #[arg(add = ArgValueCandidates::new(names::remotes))]
        name: String,
    },
    /// Use a remote by default; "local" for the socket of this machine
    Switch {
        /// Name of the remote
        #[arg(add = ArgValueCandidates::new(names::remotes_and_local))]
        name: String,
    },
}

/// Ways to log in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum AuthType {
    /// By the client certificate
    Tls,
    /// By OpenID Connect
    Oidc,
}

/// Runs it.
pub(crate) async fn run(ctx: &Context, command: RemoteCommand) -> Result {
    let dir = ConfigDir::from_env()?;
    let mut config = dir.load()?;
    let unknown = |name: &str| Error::NotFound(format!("no remote named {name:?}"));
    match command {
        RemoteCommand::Add { name, url, auth_type, accept_certificate } => {
            if name.is_empty() || name == LOCAL || name.contains(['/', ':']) {
                return Err(Error::Usage(format!("{name:?} cannot be the name of a remote")));
            }
            if config.remotes.contains_key(&name) {
                return Err(Error::Conflict(format!("remote {name:?} exists already")));
            }
            if auth_type == AuthType::Oidc {
                return Err(Error::Failed("log-in by OpenID Connect is not available in this command line yet".into()));
            }
            let entry = add(&url, accept_certificate, &dir.identity()?).await?;
            config.remotes.insert(name, entry);
            dir.save(&config)?;
        }
        RemoteCommand::List { list } => {
            let (rows, raw) = rows(&config);
            let titles = &["Name", "Address", "Auth Type"];
            ctx.print(&List { titles, rows, raw: &raw, order: Order::Given }.render(list.format));
        }
        RemoteCommand::Remove { name } => {
            if config.remotes.remove(&name).is_none() {
                return Err(unknown(&name));
            }
            if config.default_remote == name {
                config.default_remote.clear();
            }
            dir.save(&config)?;
            dir.forget_tokens(&name)?;
        }
        RemoteCommand::Switch { name } => {
            if name == LOCAL {
                config.default_remote.clear();
            } else if config.remotes.contains_key(&name) {
                config.default_remote = name;
            } else {
                return Err(unknown(&name));
            }
            dir.save(&config)?;
        }
    }
    Ok(())
}

/// Checks the certificate and the log-in of a new remote.
async fn add(url: &str, accept: bool, identity: &Identity) -> Result<RemoteEntry> {
    let parsed = url::Url::parse(url).map_err(|e| Error::Usage(format!("{url:?} is no URL: {e}")))?;
    if parsed.scheme() != "https" {
        return Err(Error::Usage(format!("{url:?} does not begin with https://")));
    }
    let addr = parsed.as_str().trim_end_matches('/').to_owned();
    let mut entry = RemoteEntry { addr, auth_type: "tls".into(), server_cert: String::new() };
    let root = ApiPath::of(&[]);
    let info = match connect(&entry, identity)?.get(&root).await {
        Err(Error::Unreachable { .. }) => {
            let seen = crate::probe::certificate(&parsed).await?;
            let hash = fingerprint(&seen);
            if !accept {
                ask(&entry.addr, &hash)?;
            }
            entry.server_cert = der_to_pem(&seen);
            connect(&entry, identity)?.get(&root).await?
        }
        other => other?,
    };
    let auth = field(&info, "auth");
    if auth != entry.auth_type {
        let own = identity.fingerprint().map_err(|e| Error::Failed(e.to_string()))?;
        return Err(Error::NotAuthenticated(format!(
            "{} takes this client for {auth:?}: let an administrator trust the client certificate with fingerprint {own}",
            entry.addr
        )));
    }
    Ok(entry)
}

fn ask(addr: &str, hash: &str) -> Result {
    let refused = || Error::Untrusted { address: addr.to_owned(), cause: format!("SHA-256 fingerprint {hash}") };
    if !std::io::stdin().is_terminal() {
        return Err(refused());
    }
    eprintln!("{addr} presents a certificate of unknown origin.\nSHA-256 fingerprint: {hash}");
    eprint!("Trust it? (yes/no) [default=no]: ");
    match read_line()?.trim() {
        "yes" | "y" => Ok(()),
        _ => Err(refused()),
    }
}

fn rows(config: &Config) -> (Vec<Vec<String>>, Value) {
    let local = RemoteEntry { addr: "unix://".into(), auth_type: "file access".into(), server_cert: String::new() };
    let mut names: Vec<&String> = config.remotes.keys().collect();
    names.sort_by(|a, b| crate::natural::compare(a, b));
    let current = if config.remotes.contains_key(&config.default_remote) { &config.default_remote } else { LOCAL };
    let known = names.into_iter().map(|name| (name.as_str(), &config.remotes[name]));
    let all: Vec<(&str, &RemoteEntry)> = std::iter::once((LOCAL, &local)).chain(known).collect();
    let cells = |(name, entry): &(&str, &RemoteEntry)| {
        let mark = if *name == current { " (current)" } else { "" };
        let auth = if entry.auth_type.is_empty() { "untrusted" } else { &entry.auth_type };
        vec![format!("{name}{mark}"), entry.addr.clone(), auth.to_owned()]
    };
    let raw = all.iter().map(|(name, entry)| {
        json!({"name": name, "addr": entry.addr, "auth_type": entry.auth_type, "server_cert": entry.server_cert})
    });
    (all.iter().map(cells).collect(), raw.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_local_center_comes_first_and_the_current_one_is_marked() {
        let entry = |addr: &str| RemoteEntry { addr: addr.into(), auth_type: "tls".into(), server_cert: String::new() };
        let mut config = Config {
            default_remote: "oc2".into(),
            remotes: [("oc10".into(), entry("https://b")), ("oc2".into(), entry("https://a"))].into(),
        };
        let names = |config: &Config| rows(config).0.into_iter().map(|row| row[0].clone()).collect::<Vec<_>>();
        assert_eq!(names(&config), ["local", "oc2 (current)", "oc10"]);
        assert_eq!(rows(&config).0[0], ["local", "unix://", "file access"]);
        config.default_remote = "gone".into();
        assert_eq!(names(&config)[0], "local (current)");
    }
}
