//! `provisioning server os` and `admin os`: the API of IncusOS itself, passed through by the center (cli.md 8).
//!
//! Some fifty commands that differ in path and question only: a table ([`verbs`]) from which the tree is made.

mod info;
mod tree;
mod verbs;

use crate::context::{Context, Loss};
use crate::edit::{Document, edit, open_whole, read_free};
use crate::error::{Error, Result};
use crate::output::{List, ListFormat, Order, ShowFormat, show, sorted};
use crate::remote::{ApiPath, Remote};
use crate::transfer;
use serde_json::{Value, json};
pub(crate) use tree::Os;
use tree::{Given, OsListFormat};
use verbs::{Data, Does, Run, Transfer, Verb};

/// Entries of the log in `info`.
const LOG_ENTRIES: &str = "25";

/// Runs a command on a system.
pub(crate) async fn run<const SERVER: bool>(ctx: &Context, remote: &Remote, os: &Os<SERVER>) -> Result {
    eprintln!("WARNING: the API of IncusOS may still change\n");
    let (verb, given) = (os.verb, &os.given);
    let path = |below: &[&str]| {
        let at = verb.at.split('/').filter(|part| !part.is_empty());
        ApiPath::os(given.server.as_deref(), &at.chain(below.iter().copied()).collect::<Vec<_>>())
    };
    let here = given.name.as_deref().map_or_else(|| path(&[]), |name| path(&[name]));
    match &verb.does {
        Does::Show => {
            let raw = sorted(&remote.get(&here).await?);
            let format = if given.show == ShowFormat::Human { ShowFormat::Yaml } else { given.show };
            ctx.print(&show(format, &raw, String::new));
        }
        Does::List => ctx.print(&names(&remote.get(&here).await?, given.list)),
        Does::Edit => {
            let document = Document { title: title(verb, given), keys: &[], read: read_free, open: editable };
            edit(ctx, remote, &here, &document).await?;
        }
        Does::Info(text) => ctx.print(&text(&remote.get(&here).await?)),
        Does::Overview => ctx.print(&overview(remote, given).await?),
        Does::Log => {
            let path = given.log.iter().fold(here, |path, (key, value)| path.query(key, value));
            ctx.print(&info::journal(&remote.get(&path).await?, &jiff::tz::TimeZone::system()));
        }
        Does::Text => match remote.get(&here).await? {
            Value::String(text) => ctx.print(&text),
            other => ctx.print(&crate::output::json(&other)),
        },
        Does::Add => {
            let mut body = given.data()?.unwrap_or_else(|| json!({}));
            if let (Some(map), Some(name)) = (body.as_object_mut(), &given.name) {
                map.insert("name".into(), name.as_str().into());
            }
            remote.post(&path(&[]), Some(&body)).await?;
        }
        Does::Run(action) => act(ctx, remote, verb, action, given, &here).await?,
    }
    Ok(())
}

async fn act(ctx: &Context, remote: &Remote, verb: &Verb, run: &Run, given: &Given, here: &ApiPath) -> Result {
    let body = match run.data {
        Data::None => None,
        Data::Given => given.data()?,
        Data::OrEmpty => Some(given.data()?.unwrap_or_else(|| json!({}))),
    };
    if let Some(asks) = run.asks.filter(|_| !given.force) {
        ctx.confirm(&Loss { action: format!("{asks} ({})", title(verb, given)), lost: Vec::new() })?;
    }
    let path = here.clone().below(&format!(":{}", run.action)).maybe("skip", given.skip.as_deref());
    match (run.file, &given.file) {
        (Transfer::To, Some(file)) => transfer::download(ctx, remote, &path, body.as_ref(), file).await,
        (Transfer::From, Some(file)) => transfer::upload(remote, &path, file).await,
        _ => remote.post(&path, body.as_ref()).await.map(drop),
    }
}

/// What a command is about, as in "application incus of server m1".
fn title(verb: &Verb, given: &Given) -> String {
    let what = match (&given.name, verb.of) {
        (Some(name), Some(of)) => format!("{of} {name}"),
        _ if verb.at.is_empty() => "the system".to_owned(),
        _ => verb.at.to_owned(),
    };
    match &given.server {
        Some(server) => format!("{what} of server {server}"),
        None => what,
    }
}

/// The part of a document that can be changed: a system ignores the state.
fn editable(document: &Value) -> Value {
    match document.get("config") {
        Some(config) => json!({ "config": config }),
        None => open_whole(document),
    }
}

fn names(urls: &Value, format: OsListFormat) -> String {
    let of = |url: &Value| url.as_str().and_then(|url| url.rsplit('/').next()).unwrap_or_default().to_owned();
    let mut rows: Vec<Vec<String>> = super::items(urls).iter().map(|url| vec![of(url)]).collect();
    match format {
        OsListFormat::Usual(format) => List { titles: &["NAME"], rows, raw: urls, order: Order::All }.render(format),
        OsListFormat::Markdown { header } => {
            rows.sort_by(|a, b| crate::natural::compare(&a[0], &b[0]));
            let head = if header { "| NAME |\n|------|\n" } else { "" };
            let cells = rows.iter().flatten().map(|cell| format!("| {} |\n", cell.replace('|', "\\|")));
            std::iter::once(head.to_owned()).chain(cells).collect()
        }
    }
}

async fn overview(remote: &Remote, given: &Given) -> Result<String> {
    let path = |at: &[&str]| ApiPath::os(given.server.as_deref(), at);
    let host = remote.get(&path(&[])).await?;
    let network = remote.get(&path(&["system", "network"])).await?;
    let applications = remote.get(&path(&["applications"])).await?;
    // A system may keep its log to itself; the rest is worth showing then, too.
    let log = match remote.get(&path(&["debug", "log"]).query("entries", LOG_ENTRIES)).await {
        Ok(log) => log,
        Err(Error::NotFound(_) | Error::NoSuchPath(_) | Error::NotAuthorized(_)) => json!([]),
        Err(error) => return Err(error),
    };
    let log = info::journal(&log, &jiff::tz::TimeZone::system());
    Ok(info::overview(&host, &network, &applications, &log))
}

impl Given {
    /// The body of `--data`.
    fn data(&self) -> Result<Option<Value>> {
        let read = |text: &String| {
            serde_json::from_str(text).map_err(|e| Error::Usage(format!("--data is no valid JSON: {e}")))
        };
        self.data.as_ref().map(read).transpose()
    }
}

impl std::str::FromStr for OsListFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "markdown" | "markdown,header" => Ok(Self::Markdown { header: true }),
            "markdown,noheader" => Ok(Self::Markdown { header: false }),
            _ => text.parse::<ListFormat>().map(Self::Usual),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_each_format() {
        let urls = json!(["/os/1.0/services/ovn", "/os/1.0/services/lvm"]);
        assert_eq!(names(&urls, "markdown".parse().unwrap()), "| NAME |\n|------|\n| lvm |\n| ovn |\n");
        assert_eq!(names(&urls, "csv".parse().unwrap()), "lvm\novn\n");
        assert_eq!(names(&urls, "json".parse().unwrap()), "[\"/os/1.0/services/ovn\",\"/os/1.0/services/lvm\"]\n");
        assert!("xml".parse::<OsListFormat>().is_err());
    }

    #[test]
    fn only_the_configuration_is_edited() {
        assert_eq!(editable(&json!({"config": {"a": 1}, "state": {"b": 2}})), json!({"config": {"a": 1}}));
        assert_eq!(editable(&json!({"a": 1})), json!({"a": 1}));
    }
}
