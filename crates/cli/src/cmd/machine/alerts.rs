//! `machine alert`: what is wrong with a machine, by who says so, and who answers for it.

use super::super::items;
use super::{find, path};
use crate::args::ListArgs;
use crate::clock;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::names;
use crate::output::{List, Order};
use crate::remote::{ApiPath, Remote};
use crate::text::{duration, field, time_field};
use clap::{Args, Subcommand};
use clap_complete::engine::ArgValueCandidates;
use jiff::SignedDuration;
use serde_json::{Value, json};

/// `machine alert`.
#[derive(Debug, Subcommand)]
pub(crate) enum Alerts {
    /// List the alerts of a machine
    #[command(visible_alias = "ls")]
    List {
        /// Id, server, serial number or inventory number
        #[arg(add = ArgValueCandidates::new(names::machines))]
        machine: String,
        /// Format.
        #[command(flatten)]
        list: ListArgs,
    },
    /// Report what is wrong with a machine; other alerts of the same source stay
    Report(ReportArgs),
    /// End an alert that was reported
    Clear {
        /// Id, server, serial number or inventory number
        #[arg(add = ArgValueCandidates::new(names::machines))]
        machine: String,
        /// Which, as in snmp/fan
        #[arg(value_parser = alert)]
        alert: Alert,
    },
    /// Answer for an alert: what it forbids is allowed meanwhile
    Override {
        /// Id, server, serial number or inventory number
        #[arg(add = ArgValueCandidates::new(names::machines))]
        machine: String,
        /// Which, as in muster/server-type
        #[arg(value_parser = alert)]
        alert: Alert,
        /// Why
        #[arg(long)]
        reason: String,
        /// For how long, as in 7d or 12h; as long as it is reported, if not given
        #[arg(long = "for", value_parser = duration)]
        lasts: Option<SignedDuration>,
    },
    /// Do not answer for an alert any more
    EndOverride {
        /// Id, server, serial number or inventory number
        #[arg(add = ArgValueCandidates::new(names::machines))]
        machine: String,
        /// Which, as in muster/server-type
        #[arg(value_parser = alert)]
        alert: Alert,
    },
}

/// `machine alert report`.
#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    /// Id, server, serial number or inventory number
    #[arg(add = ArgValueCandidates::new(names::machines))]
    machine: String,
    /// Which, as in snmp/fan: the source and what is wrong
    #[arg(value_parser = alert)]
    alert: Alert,
    /// The same in words
    #[arg(long)]
    message: String,
    /// What it does; may be given several times (prevent_allocations|prevent_state_changes|suppress_alerting|exclude_from_sla|stop_automatic_recovery|blocking)
    #[arg(long = "class", add = ArgValueCandidates::new(names::alert_classes))]
    classes: Vec<String>,
    /// It ends by itself after this time, as in 7d or 12h
    #[arg(long = "for", value_parser = duration)]
    lasts: Option<SignedDuration>,
}

/// A source and a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Alert {
    source: String,
    name: String,
}

/// `snmp/fan`.
fn alert(text: &str) -> Result<Alert, String> {
    match text.split_once('/') {
        Some((source, name)) if !source.is_empty() && !name.is_empty() && !name.contains('/') => {
            Ok(Alert { source: source.into(), name: name.into() })
        }
        _ => Err(format!("{text:?} is no alert: write SOURCE/NAME, as in snmp/fan")),
    }
}

/// When a time from now is over.
fn end(lasts: Option<SignedDuration>) -> Result<Value> {
    let Some(lasts) = lasts else { return Ok(Value::Null) };
    let end = clock::now().checked_add(lasts);
    end.map(|end| json!(end)).map_err(|_| Error::Usage("that is too long".into()))
}

async fn of(remote: &Remote, machine: &str) -> Result<ApiPath> {
    Ok(path(&find::one(remote, machine).await?).below("alerts"))
}

/// Runs it.
pub(super) async fn run(ctx: &Context, remote: &Remote, command: Alerts) -> Result {
    match command {
        Alerts::List { machine, list } => {
            let raw = remote.get(&of(remote, &machine).await?).await?;
            ctx.print(&rows(&raw).render(list.format));
        }
        Alerts::Report(args) => {
            let reported = json!({"name": args.alert.name, "classes": args.classes, "message": args.message,
                                  "expires_at": end(args.lasts)?});
            let body = json!({"source": args.alert.source, "alerts": [reported]});
            remote.post(&of(remote, &args.machine).await?, Some(&body)).await?;
        }
        Alerts::Clear { machine, alert } => {
            remote.delete(&of(remote, &machine).await?.below(&alert.source).below(&alert.name)).await?;
        }
        Alerts::Override { machine, alert, reason, lasts } => {
            let path = of(remote, &machine).await?.below(&alert.source).below(&alert.name).below("override");
            remote.put(&path, &json!({"reason": reason, "expires_at": end(lasts)?}), None).await?;
        }
        Alerts::EndOverride { machine, alert } => {
            let path = of(remote, &machine).await?.below(&alert.source).below(&alert.name).below("override");
            remote.delete(&path).await?;
        }
    }
    Ok(())
}

const TITLES: [&str; 6] = ["Alert", "Message", "Does", "Since", "Ends", "Answered for"];

fn cells(o: &Value) -> Vec<String> {
    let classes: Vec<&str> = items(&o["classes"]).iter().filter_map(Value::as_str).collect();
    let answered = match &o["overridden"] {
        Value::Null => String::new(),
        answer => {
            let until = time_field(answer, "expires_at");
            let until = if until.is_empty() { String::new() } else { format!(" until {until}") };
            format!("by {}{until}: {}", field(answer, "author"), field(answer, "reason"))
        }
    };
    vec![
        format!("{}/{}", field(o, "source"), field(o, "name")),
        field(o, "message"),
        classes.join(", "),
        time_field(o, "at"),
        time_field(o, "expires_at"),
        answered,
    ]
}

fn rows(raw: &Value) -> List<'_> {
    List { titles: &TITLES, rows: items(raw).iter().map(cells).collect(), raw, order: Order::By(&[0]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alerts_are_listed_with_what_they_do_and_who_answers() {
        let raw = json!([{"source": "snmp", "name": "fan", "classes": ["prevent_allocations", "blocking"], "message": "it is hot",
            "author": "unix", "at": "2026-11-25T13:00:00Z", "expires_at": null, "counts": false,
            "overridden": {"author": "anna", "reason": "ordered", "at": "2026-11-25T14:00:00Z", "expires_at": null}}]);
        let text = rows(&raw).render("csv".parse().unwrap());
        let want =
            "snmp/fan,it is hot,\"prevent_allocations, blocking\",2026-11-25 13:00:00 +0000 UTC,,by anna: ordered\n";
        assert_eq!(text, want);
    }

    #[test]
    fn an_alert_is_a_source_and_a_name() {
        assert_eq!(alert("snmp/fan"), Ok(Alert { source: "snmp".into(), name: "fan".into() }));
        for text in ["fan", "/fan", "snmp/", "a/b/c"] {
            assert!(alert(text).unwrap_err().contains("SOURCE/NAME"), "{text}");
        }
        assert_eq!(end(None).unwrap(), Value::Null);
    }
}
