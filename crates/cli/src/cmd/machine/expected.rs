//! `machine expect`, `expected`, `unexpect` and `import`: hardware on its way.

use super::super::items;
use super::known::KnownArgs;
use super::place;
use crate::args::{ListArgs, ShowArgs};
use crate::context::{Context, read_file};
use crate::error::{Error, Result};
use crate::names;
use crate::output::{List, Order};
use crate::remote::{ApiPath, Remote};
use crate::text::{field, time_field};
use clap::{Args, Subcommand};
use clap_complete::engine::ArgValueCandidates;
use muster_api::expected_machine::ExpectedMachinePost;
use serde_json::Value;

/// What is done about hardware on its way.
#[derive(Debug, Subcommand)]
pub(crate) enum Expected {
    /// Write down a machine before it arrives: when it shows up, its record has this
    Expect(Box<ExpectArgs>),
    /// List the machines that are expected
    #[command(name = "expected")]
    Awaited {
        /// Those that have shown up, too
        #[arg(long)]
        all: bool,
        /// Format.
        #[command(flatten)]
        list: ListArgs,
    },
    /// Do not expect a machine any more
    Unexpect {
        /// Its id, serial number, MAC address or system UUID
        expected: String,
    },
    /// Write down many machines from a CSV, YAML or JSON file
    Import(ImportArgs),
}

/// `machine expect`.
#[derive(Debug, Args)]
pub(crate) struct ExpectArgs {
    /// MAC address of one of its network cards
    #[arg(long, default_value = "", hide_default_value = true)]
    mac: String,
    /// Label of the type that it should be of
    #[arg(long = "type", add = ArgValueCandidates::new(names::server_types), default_value = "", hide_default_value = true)]
    server_type: String,
    /// What else is known.
    #[command(flatten)]
    known: KnownArgs,
    /// Format.
    #[command(flatten)]
    show: ShowArgs,
}

/// `machine import`.
#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// The file; - reads standard input
    file: String,
    /// How it is written (csv|yaml|json); from the end of its name, if not given
    #[arg(long)]
    written: Option<String>,
    /// Only say what would become of each row
    #[arg(long)]
    dry_run: bool,
    /// Leave out rows at fault instead of refusing the whole file
    #[arg(long)]
    skip_faulty: bool,
    /// Format.
    #[command(flatten)]
    list: ListArgs,
}

fn path() -> ApiPath {
    ApiPath::of(&["expected-machines"])
}

/// Runs it.
pub(super) async fn run(ctx: &Context, remote: &Remote, command: Expected) -> Result {
    match command {
        Expected::Expect(args) => {
            let body = ExpectedMachinePost {
                system_uuid: args.known.uuid.clone(),
                serial: args.known.serial.clone(),
                mac: args.mac.clone(),
                server_type: args.server_type.clone(),
                asset: args.known.asset(),
                bmc: args.known.bmc()?,
            };
            let body = serde_json::to_value(body).unwrap_or_default();
            let reply = remote.post(&path(), Some(&body)).await?;
            ctx.created(args.show.format, "id", &field(&reply.metadata, "id"));
        }
        Expected::Awaited { all, list } => {
            let raw = remote.get(&path().flag("all", all)).await?;
            ctx.print(&rows(&raw).render(list.format));
        }
        Expected::Unexpect { expected } => {
            let raw = remote.get(&path().flag("all", true)).await?;
            remote.delete(&path().below(&one(&raw, &expected)?)).await?;
        }
        Expected::Import(args) => import(ctx, remote, args).await?,
    }
    Ok(())
}

/// The id of the one that is meant.
fn one(raw: &Value, text: &str) -> Result<String> {
    let keys = ["id", "serial", "mac", "system_uuid"];
    let meant = |o: &&Value| keys.iter().any(|key| field(o, key).eq_ignore_ascii_case(text));
    let found: Vec<&Value> = items(raw).iter().filter(meant).collect();
    match found.as_slice() {
        [one] => Ok(field(one, "id")),
        [] => Err(Error::NotFound(format!("no machine is expected with the id, serial, MAC or UUID {text:?}"))),
        several => {
            let ids: Vec<String> = several.iter().map(|o| field(o, "id")).collect();
            Err(Error::Usage(format!("{text:?} could be any of {}; give the id", ids.join(", "))))
        }
    }
}

async fn import(ctx: &Context, remote: &Remote, args: ImportArgs) -> Result {
    let written = match &args.written {
        Some(written) => written.clone(),
        None => by_name(&args.file)?.to_owned(),
    };
    let text = read_file(&args.file)?;
    let path = path()
        .below(":import")
        .query("format", &written)
        .flag("dry_run", args.dry_run)
        .flag("skip_faulty", args.skip_faulty);
    let outcome = remote.send_whole(&path, text.into_bytes()).await?;
    ctx.print(&imported(&outcome).render(args.list.format));
    Ok(())
}

/// How a file is written, by the end of its name.
fn by_name(file: &str) -> Result<&'static str> {
    match file.rsplit_once('.').map(|(_, end)| end.to_ascii_lowercase()).as_deref() {
        Some("csv") => Ok("csv"),
        Some("yaml" | "yml") => Ok("yaml"),
        Some("json") => Ok("json"),
        _ => Err(Error::Usage(format!("how is {file:?} written? Say --written csv, yaml or json"))),
    }
}

const IMPORTED: [&str; 4] = ["Row", "Machine", "Result", "What is wrong"];

fn imported(outcome: &Value) -> List<'_> {
    let cells = |o: &Value| {
        let faults = items(&o["faults"]).iter().map(|f| format!("{}: {}", field(f, "field"), field(f, "why")));
        let faults: Vec<String> = faults.collect();
        vec![field(o, "row"), field(o, "identity"), field(o, "result"), faults.join("; ")]
    };
    let rows = items(&outcome["rows"]).iter().map(cells).collect();
    List { titles: &IMPORTED, rows, raw: outcome, order: Order::Given }
}

const TITLES: [&str; 9] = ["ID", "Serial", "MAC", "UUID", "Type", "Rack", "BMC", "Since", "Machine"];

fn cells(o: &Value) -> Vec<String> {
    vec![
        field(o, "id"),
        field(o, "serial"),
        field(o, "mac"),
        field(o, "system_uuid"),
        field(o, "server_type"),
        place(o),
        field(o, "bmc.endpoint"),
        time_field(o, "created_at"),
        field(o, "machine"),
    ]
}

fn rows(raw: &Value) -> List<'_> {
    List { titles: &TITLES, rows: items(raw).iter().map(cells).collect(), raw, order: Order::Given }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn raw() -> Value {
        json!([{"id": "e", "serial": "A1", "mac": "", "system_uuid": "", "server_type": "big", "machine": "", "seen_at": null,
            "asset": {"rack": "r7", "lower_unit": 3, "upper_unit": 3}, "bmc": {"endpoint": "https://198.51.100.1"},
            "author": "unix", "created_at": "2026-11-25T13:00:00Z"}])
    }

    #[test]
    fn expected_machines_are_listed_and_found() {
        let text = rows(&raw()).render("csv".parse().unwrap());
        assert_eq!(text, "e,A1,,,big,r7:3,https://198.51.100.1,2026-11-25 13:00:00 +0000 UTC,\n");
        assert_eq!(one(&raw(), "a1").unwrap(), "e");
        assert!(matches!(one(&raw(), "B"), Err(Error::NotFound(_))));
    }

    #[test]
    fn each_row_of_an_import_has_its_result() {
        let outcome = json!({"dry_run": true, "imported": 0, "refused": 1, "rows": [
            {"row": 1, "identity": "A1", "result": "importable"},
            {"row": 2, "identity": "", "result": "refused", "faults": [{"field": "mac", "why": "is no MAC address"}]}]});
        let text = imported(&outcome).render("csv".parse().unwrap());
        assert_eq!(text, "1,A1,importable,\n2,,refused,mac: is no MAC address\n");
        assert_eq!(by_name("a.YML").unwrap(), "yaml");
        assert!(matches!(by_name("-"), Err(Error::Usage(_))));
    }
}
