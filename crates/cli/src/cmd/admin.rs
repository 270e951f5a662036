//! `admin` (cli.md 7.7): the database, and the first access.

use super::os::{self, Os};
use super::{items, rekey};
use crate::args::{ListArgs, ShowArgs, YesArgs};
use crate::config::ConfigDir;
use crate::context::{Context, read_file};
use crate::error::{Error, Result};
use crate::output::{List, ListFormat, Order};
use crate::remote::{ApiPath, Remote};
use crate::text::field;
use clap::Subcommand;
use serde_json::{Value, json};

/// `admin`.
#[derive(Debug, Subcommand)]
pub(crate) enum Admin {
    /// Speak with the IncusOS that the center runs on
    #[command(subcommand)]
    Os(Os<false>),
    /// Run SQL on the center's database
    Sql {
        /// A query, - for standard input, or .dump, .schema, .tables
        query: String,
        /// Format.
        #[command(flatten)]
        list: ListArgs,
    },
    /// Let this user in: makes a client certificate if there is none, and trusts it
    Init,
    /// Show which key the center's secrets are sealed with, and which daemons have it
    Key {
        /// Format.
        #[command(flatten)]
        show: ShowArgs,
    },
    /// Change the key that the center's secrets are sealed with
    Rekey {
        /// Format.
        #[command(flatten)]
        show: ShowArgs,
        /// Consent.
        #[command(flatten)]
        yes: YesArgs,
    },
}

/// Runs it.
pub(crate) async fn run(ctx: &Context, command: Admin) -> Result {
    match command {
        Admin::Os(command) => os::run(ctx, &ctx.remote()?, &command).await,
        Admin::Sql { query, list } => sql(ctx, &query, list.format).await,
        Admin::Init => {
            let fingerprint =
                ConfigDir::from_env()?.identity()?.fingerprint().map_err(|e| Error::Failed(e.to_string()))?;
            let news = if trust(&crate::context::local(), &fingerprint).await? {
                "is trusted now"
            } else {
                "was trusted already"
            };
            ctx.print(&format!("Client certificate {fingerprint} {news}\n"));
            Ok(())
        }
        Admin::Key { show } => rekey::show_key(ctx, show.format).await,
        Admin::Rekey { show, yes } => rekey::change(ctx, yes.yes, show.format).await,
    }
}

/// Adds a fingerprint to the trusted ones and keeps everything else. False if it was there.
async fn trust(local: &Remote, fingerprint: &str) -> Result<bool> {
    let path = ApiPath::of(&["system", "security"]);
    let settings = local.fetch(&path).await?;
    match with_fingerprint(settings.metadata, fingerprint) {
        Some(changed) => local.put(&path, &changed, settings.etag.as_deref()).await.map(|_| true),
        None => Ok(false),
    }
}

fn with_fingerprint(mut security: Value, fingerprint: &str) -> Option<Value> {
    let list = security.as_object_mut()?.entry("trusted_tls_client_cert_fingerprints").or_insert(Value::Null);
    if !list.is_array() {
        *list = json!([]);
    }
    let list = list.as_array_mut()?;
    let plain = |text: &str| text.replace(':', "").to_lowercase();
    if list.iter().filter_map(Value::as_str).any(|known| plain(known) == fingerprint) {
        return None;
    }
    list.push(fingerprint.into());
    Some(security)
}

async fn sql(ctx: &Context, query: &str, format: ListFormat) -> Result {
    let remote = ctx.remote()?;
    let path = ApiPath::of(&["internal", "sql"]);
    let dump = match query {
        ".dump" => "0",
        ".schema" => "1",
        ".tables" => "2",
        _ => {
            let text = if query == "-" { read_file("-")? } else { query.to_owned() };
            let answer = remote.post(&path, Some(&json!({"query": text}))).await?.metadata;
            ctx.print(&results(&answer, format));
            return Ok(());
        }
    };
    let text = field(&remote.get(&path.query("dump", dump)).await?, "text");
    ctx.print(&text);
    if !text.ends_with('\n') {
        ctx.print("\n");
    }
    Ok(())
}

fn results(answer: &Value, format: ListFormat) -> String {
    let all = items(&answer["Results"]);
    let mut out = String::new();
    for (at, result) in all.iter().enumerate() {
        if all.len() > 1 {
            out += &format!("=> Query {at}:\n\n");
        }
        if result["type"] == "select" {
            let titles: Vec<&str> = items(&result["columns"]).iter().filter_map(Value::as_str).collect();
            let rows = items(&result["rows"]).iter().map(|row| items(row).iter().map(cell).collect()).collect();
            out += &List { titles: &titles, rows, raw: result, order: Order::Given }.render(format);
        } else {
            out += &format!("Rows affected: {}\n", field(result, "rows_affected"));
        }
        if all.len() > 1 {
            out.push('\n');
        }
    }
    out
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => "NULL".into(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_as_recorded() {
        let one = json!({"type": "select", "columns": ["a"], "rows": [[1]], "rows_affected": 0});
        assert_eq!(results(&json!({"Results": [one]}), "csv".parse().unwrap()), "1\n");
        let change = json!({"type": "exec", "columns": null, "rows": null, "rows_affected": 2});
        assert_eq!(
            results(&json!({"Results": [one, change]}), "csv,header".parse().unwrap()),
            "=> Query 0:\n\na\n1\n\n=> Query 1:\n\nRows affected: 2\n\n"
        );
        assert_eq!(results(&json!({"Results": null}), "csv".parse().unwrap()), "");
        let row = json!({"type": "select", "columns": ["a", "b", "c"], "rows": [[1.5, "x", null]]});
        assert_eq!(results(&json!({"Results": [row]}), "csv".parse().unwrap()), "1.5,x,NULL\n");
    }

    #[test]
    fn trust_keeps_the_others() {
        let before = json!({"oidc": {"issuer": "i"}, "trusted_tls_client_cert_fingerprints": ["aa"]});
        let after = with_fingerprint(before.clone(), "bb").unwrap();
        assert_eq!(after, json!({"oidc": {"issuer": "i"}, "trusted_tls_client_cert_fingerprints": ["aa", "bb"]}));
        assert!(with_fingerprint(after, "bb").is_none());
        let spelled = json!({"trusted_tls_client_cert_fingerprints": ["BB:CC"]});
        assert!(with_fingerprint(spelled, "bbcc").is_none());
        let empty = with_fingerprint(json!({"trusted_tls_client_cert_fingerprints": null}), "bb").unwrap();
        assert_eq!(empty["trusted_tls_client_cert_fingerprints"], json!(["bb"]));
    }
}
