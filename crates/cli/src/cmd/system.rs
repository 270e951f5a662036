//! `system`: configuration of the center itself (cli.md 7.7).

use crate::args::ShowArgs;
use crate::context::{Context, read_file};
use crate::edit::{Document, edit, open_whole, read_as};
use crate::error::Result;
use crate::output::{ShowFormat, show, sorted};
use crate::remote::{ApiPath, Remote};
use clap::{Subcommand, ValueHint};
use muster_api::system::{SystemNetwork, SystemSecurity, SystemSettings, SystemUpdates};
use serde_json::{Value, json};

/// `system`.
#[derive(Debug, Subcommand)]
pub(crate) enum System {
    /// Certificate that the center presents
    #[command(subcommand)]
    Certificate(Certificate),
    /// Addresses of the center
    #[command(subcommand)]
    Network(Settings),
    /// Who may log in, and how
    #[command(subcommand)]
    Security(Settings),
    /// Log level and registration scriptlet
    #[command(subcommand)]
    Settings(Settings),
    /// Where updates come from
    #[command(subcommand)]
    Updates(Settings),
}

/// `system certificate`.
#[derive(Debug, Subcommand)]
pub(crate) enum Certificate {
    /// Replace the certificate
    Set {
        /// PEM file with the certificate chain
        #[arg(value_hint = ValueHint::FilePath)]
        certificate: String,
        /// PEM file with the key
        #[arg(value_hint = ValueHint::FilePath)]
        key: String,
    },
}

/// `show` and `edit` of one document.
#[derive(Debug, Subcommand)]
pub(crate) enum Settings {
    /// Edit it as YAML
    Edit,
    /// Show it
    Show {
        /// Format.
        #[command(flatten)]
        show: ShowArgs,
    },
}

/// Runs it.
pub(crate) async fn run(ctx: &Context, command: System) -> Result {
    let remote = ctx.remote()?;
    let document = |title: &str, read| Document { title: title.to_owned(), keys: &[], read, open: open_whole };
    let (name, command, document) = match command {
        System::Certificate(Certificate::Set { certificate, key }) => {
            let body = json!({"certificate": read_file(&certificate)?, "key": read_file(&key)?});
            return remote.post(&ApiPath::of(&["system", "certificate"]), Some(&body)).await.map(drop);
        }
        System::Network(command) => ("network", command, document("the network settings", read_as::<SystemNetwork>)),
        System::Security(command) => {
            ("security", command, document("the security settings", read_as::<SystemSecurity>))
        }
        System::Settings(command) => ("settings", command, document("the settings", read_as::<SystemSettings>)),
        System::Updates(command) => ("updates", command, document("the update settings", read_as::<SystemUpdates>)),
    };
    one(ctx, &remote, name, command, &document).await
}

async fn one(ctx: &Context, remote: &Remote, name: &str, command: Settings, document: &Document) -> Result {
    let path = ApiPath::of(&["system", name]);
    match command {
        Settings::Edit => edit(ctx, remote, &path, document).await.map(drop),
        Settings::Show { show: args } => {
            let raw = log_in_first(remote.get(&path).await?);
            let format = if args.format == ShowFormat::Human { ShowFormat::Yaml } else { args.format };
            ctx.print(&show(format, &raw, String::new));
            Ok(())
        }
    }
}

/// The security settings in the order of the reference: how to log in, then who may. Other documents stay as they are.
fn log_in_first(document: Value) -> Value {
    const FIRST: [&str; 3] = ["oidc", "openfga", "acme"];
    let Value::Object(map) = document else { return document };
    let given = map.into_iter().map(|(key, value)| match value {
        // An empty list is none on the wire.
        Value::Null if key.starts_with("trusted_") => (key, json!([])),
        value => (key, value),
    });
    let (first, rest): (Vec<_>, Vec<_>) = given.partition(|(key, _)| FIRST.contains(&key.as_str()));
    let first =
        first.into_iter().map(|(key, value)| if key == "openfga" { (key, sorted(&value)) } else { (key, value) });
    Value::Object(first.chain(rest).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn security_as_recorded() {
        let wire = json!({"trusted_tls_client_cert_fingerprints": [], "oidc": {"issuer": "", "claim": ""},
            "openfga": {"api_url": "", "api_token": ""}, "acme": {}, "trusted_https_proxies": null});
        let shown = log_in_first(wire);
        assert_eq!(
            shown.as_object().unwrap().keys().collect::<Vec<_>>(),
            ["oidc", "openfga", "acme", "trusted_tls_client_cert_fingerprints", "trusted_https_proxies"]
        );
        assert_eq!(shown["openfga"].as_object().unwrap().keys().collect::<Vec<_>>(), ["api_token", "api_url"]);
        assert_eq!(shown["trusted_https_proxies"], json!([]));
        assert_eq!(log_in_first(json!({"log_level": ""})), json!({"log_level": ""}));
    }
}
