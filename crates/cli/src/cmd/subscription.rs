//! `subscription`: machines that are kept for somebody.

use super::machine::one as machine_id;
use super::{items, labelled};
use crate::args::{ListArgs, ShowArgs, YesArgs};
use crate::context::{Context, Loss};
use crate::edit::{Document, Keys, edit, read_as};
use crate::error::Result;
use crate::names;
use crate::output::{List, Order, show};
use crate::remote::ApiPath;
use crate::text::{field, time_field};
use crate::yaml;
use clap::{Args, Subcommand};
use clap_complete::engine::ArgValueCandidates;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// `subscription`.
#[derive(Debug, Subcommand)]
pub(crate) enum Subscription {
    /// List the subscriptions, the oldest first
    #[command(visible_alias = "ls")]
    List {
        /// Only with this status (active|stopped|ended)
        #[arg(long, add = ArgValueCandidates::new(names::subscription_states))]
        status: Option<String>,
        /// Only of this holder
        #[arg(long)]
        holder: Option<String>,
        /// Format.
        #[command(flatten)]
        list: ListArgs,
    },
    /// Show a subscription, its machines, and why it lacks any
    Show {
        /// Id of the subscription
        #[arg(add = ArgValueCandidates::new(names::subscriptions))]
        id: String,
        /// Format.
        #[command(flatten)]
        show: ShowArgs,
    },
    /// Keep machines for somebody: so many of a type, or one by its id
    #[command(visible_alias = "add")]
    Create {
        /// What, for whom and how long.
        #[command(flatten)]
        asked: Asked,
        /// Format.
        #[command(flatten)]
        show: ShowArgs,
    },
    /// Change quantity, term and description: by flags, or as YAML without any
    Edit {
        /// Id of the subscription
        #[arg(add = ArgValueCandidates::new(names::active_subscriptions))]
        id: String,
        /// What to change.
        #[command(flatten)]
        changed: Changed,
    },
    /// Stop a subscription: it lets go of what its holder does not use
    Stop {
        /// Id of the subscription
        #[arg(add = ArgValueCandidates::new(names::active_subscriptions))]
        id: String,
        /// Consent.
        #[command(flatten)]
        yes: YesArgs,
    },
    /// Remove a subscription that is stopped or over
    #[command(visible_aliases = ["remove", "rm"])]
    Delete {
        /// Id of the subscription
        #[arg(add = ArgValueCandidates::new(names::finished_subscriptions))]
        id: String,
        /// Consent.
        #[command(flatten)]
        yes: YesArgs,
    },
}

/// What a new subscription asks for.
#[derive(Debug, Args)]
pub(crate) struct Asked {
    /// For whom
    #[arg(long)]
    holder: String,
    /// Machines of this server type (label or id)
    #[arg(long = "type", value_name = "TYPE", required_unless_present = "machine", add = ArgValueCandidates::new(names::server_types))]
    server_type: Option<String>,
    /// This one machine (its id, or the server on it)
    #[arg(long, conflicts_with = "server_type", add = ArgValueCandidates::new(names::machines))]
    machine: Option<String>,
    /// How many machines
    #[arg(long, conflicts_with = "machine", default_value_t = 1)]
    quantity: u32,
    /// Only machines at this site
    #[arg(long)]
    site: Option<String>,
    /// When it begins, as in 2026-12-01 or 2026-12-01T08:00:00Z; now when it is not given
    #[arg(long, value_parser = instant)]
    starts: Option<String>,
    /// When it ends; after one cycle, or never, when it is not given
    #[arg(long, value_parser = instant)]
    ends: Option<String>,
    /// Length of a cycle, in calendar months
    #[arg(long, value_name = "MONTHS", default_value_t = 0, hide_default_value = true)]
    cycle: u16,
    /// Let a cycle follow a cycle, until it is stopped
    #[arg(long, requires = "cycle")]
    renew: bool,
    /// What it is for
    #[arg(long, default_value = "", hide_default_value = true)]
    description: String,
}

/// What changes of a subscription.
#[derive(Debug, Args)]
pub(crate) struct Changed {
    /// How many machines
    #[arg(long)]
    quantity: Option<u32>,
    /// When it begins; only before it has begun
    #[arg(long, value_parser = instant)]
    starts: Option<String>,
    /// When it ends; "none" for after the cycle that runs, or never
    #[arg(long, value_parser = instant_or_none)]
    ends: Option<String>,
    /// Length of a cycle, in calendar months; 0 for none
    #[arg(long, value_name = "MONTHS")]
    cycle: Option<u16>,
    /// Whether a cycle follows a cycle
    #[arg(long)]
    renew: Option<bool>,
    /// What it is for
    #[arg(long)]
    description: Option<String>,
}

/// No end.
const NONE: &str = "none";

/// A time, or the first moment of a day in UTC, as the wire has it.
fn instant(text: &str) -> Result<String, String> {
    if let Ok(at) = text.parse::<jiff::Timestamp>() {
        return Ok(at.to_string());
    }
    match text.parse::<jiff::civil::Date>() {
        Ok(day) if text.len() == 10 => Ok(format!("{day}T00:00:00Z")),
        _ => Err(format!("{text:?} is neither a day such as 2026-12-01 nor a time such as 2026-12-01T08:00:00Z")),
    }
}

fn instant_or_none(text: &str) -> Result<String, String> {
    if text == NONE { Ok(text.to_owned()) } else { instant(text) }
}

fn path(id: &str) -> ApiPath {
    ApiPath::of(&["subscriptions", id])
}

impl Asked {
    fn body(self, machine: Option<String>) -> Value {
        let mut body = json!({
            "holder": self.holder,
            "server_type": self.server_type.unwrap_or_default(),
            "machine": machine.unwrap_or_default(),
            "quantity": self.quantity,
            "site": self.site.unwrap_or_default(),
            "cycle_months": self.cycle,
            "renew": self.renew,
            "description": self.description,
        });
        for (key, value) in [("starts", self.starts), ("ends", self.ends)] {
            if let Some(value) = value {
                body[key] = value.into();
            }
        }
        body
    }
}

impl Changed {
    /// The body of the change; none when nothing was said.
    fn body(self) -> Option<Value> {
        let mut body = Map::new();
        let mut put = |key: &str, value: Option<Value>| body.extend(value.map(|value| (key.to_owned(), value)));
        put("quantity", self.quantity.map(Value::from));
        put("starts", self.starts.map(Value::from));
        put("ends", self.ends.map(|ends| if ends == NONE { Value::Null } else { ends.into() }));
        put("cycle_months", self.cycle.map(Value::from));
        put("renew", self.renew.map(Value::from));
        put("description", self.description.map(Value::from));
        (!body.is_empty()).then_some(Value::Object(body))
    }
}

/// Runs it.
pub(crate) async fn run(ctx: &Context, command: Subscription) -> Result {
    let remote = ctx.remote()?;
    match command {
        Subscription::List { status, holder, list } => {
            let path = ApiPath::of(&["subscriptions"]);
            let path = path.maybe("status", status.as_deref()).maybe("holder", holder.as_deref());
            let raw = remote.get(&path).await?;
            ctx.print(&rows(&raw).render(list.format));
        }
        Subscription::Show { id, show: args } => {
            let raw = remote.get(&path(&id)).await?;
            ctx.print(&show(args.format, &raw, || human(&raw)));
        }
        Subscription::Create { asked, show } => {
            let machine = match &asked.machine {
                Some(text) => Some(machine_id(&remote, text).await?),
                None => None,
            };
            let made = remote.post(&ApiPath::of(&["subscriptions"]), Some(&asked.body(machine))).await?;
            let id = field(&made.metadata, "id");
            ctx.created(show.format, "id", &id);
            // Made it is; whether there are machines for it is another matter, and worth a word.
            let told = remote.get(&path(&id)).await?;
            if field(&told, "missing") != "0" {
                eprintln!("{}", field(&told, "unfulfilled"));
            }
        }
        Subscription::Edit { id, changed } => match changed.body() {
            Some(body) => {
                let seen = remote.fetch(&path(&id)).await?;
                remote.put(&path(&id), &body, seen.etag.as_deref()).await?;
            }
            None => {
                let document =
                    Document { title: format!("subscription {id}"), keys: &EDITED, read, open: Value::clone };
                edit(ctx, &remote, &path(&id), &document).await?;
            }
        },
        Subscription::Stop { id, yes } => {
            if ctx.must_confirm(yes.yes) {
                let raw = remote.get(&path(&id)).await?;
                ctx.confirm(&Loss { action: format!("stop subscription {id}"), lost: lost(&raw) })?;
            }
            remote.post(&path(&id).below(":stop"), None).await?;
        }
        Subscription::Delete { id, yes } => {
            if ctx.must_confirm(yes.yes) {
                let raw = remote.get(&path(&id)).await?;
                let text = format!("subscription {id} of {}; its history stays in the audit", field(&raw, "holder"));
                ctx.confirm(&Loss { action: format!("remove subscription {id}"), lost: vec![text] })?;
            }
            remote.delete(&path(&id)).await?;
        }
    }
    Ok(())
}

const EDITED: [&str; 6] = ["quantity", "starts", "ends", "cycle_months", "renew", "description"];

/// What can be edited.
#[derive(Serialize, Deserialize, Default)]
#[serde(default)]
struct Edited {
    quantity: Value,
    starts: Value,
    ends: Value,
    cycle_months: Value,
    renew: Value,
    description: Value,
}

/// What a document does not speak of stays as it is.
fn read(text: &str, keys: Keys) -> Result<Value, String> {
    let mut body = read_as::<Edited>(text, keys)?;
    let given: Value = yaml::parse(text)?;
    if let Some(body) = body.as_object_mut() {
        body.retain(|key, _| given.get(key).is_some());
    }
    Ok(body)
}

/// What a stop takes from its holder.
fn lost(raw: &Value) -> Vec<String> {
    let holder = field(raw, "holder");
    let bound = items(&raw["machines"]).iter().filter(|m| field(m, "lifecycle") == "available_reserved");
    let mut lost: Vec<String> =
        bound.map(|m| format!("machine {} is not kept for {holder} any more", named(m))).collect();
    if field(raw, "in_use") != "0" {
        lost.push(format!(
            "{} in use stay with {holder}, and are free for anybody once released",
            field(raw, "in_use")
        ));
    }
    if lost.is_empty() {
        lost.push(format!("no machine will be kept for {holder} by it"));
    }
    lost
}

/// A machine as people know it.
fn named(machine: &Value) -> String {
    match field(machine, "server") {
        server if server.is_empty() => field(machine, "id"),
        server => format!("{server} ({})", field(machine, "id")),
    }
}

const TITLES: [&str; 9] = ["ID", "Holder", "What", "Quantity", "Bound", "In Use", "Missing", "Ends", "Status"];

/// The type's label, or the machine.
fn what(o: &Value) -> String {
    let label = match (field(o, "server_type_label"), field(o, "server_type")) {
        (label, id) if label.is_empty() => id,
        (label, _) => label,
    };
    let what = if label.is_empty() { format!("machine {}", field(o, "machine")) } else { label };
    match field(o, "site") {
        site if site.is_empty() => what,
        site => format!("{what} at {site}"),
    }
}

/// When it ends, or goes on.
fn ends(o: &Value) -> String {
    match (time_field(o, "ends"), field(o, "renew").as_str()) {
        (ends, _) if ends.is_empty() => String::new(),
        (ends, "true") => format!("{ends}, renewed"),
        (ends, _) => ends,
    }
}

/// Active ones that have not begun wait.
fn status(o: &Value) -> String {
    match (field(o, "status").as_str(), field(o, "running").as_str()) {
        ("active", "false") => "waiting".to_owned(),
        (status, _) => status.to_owned(),
    }
}

fn cells(o: &Value) -> Vec<String> {
    vec![
        field(o, "id"),
        field(o, "holder"),
        what(o),
        field(o, "quantity"),
        field(o, "bound"),
        field(o, "in_use"),
        field(o, "missing"),
        ends(o),
        status(o),
    ]
}

fn rows(raw: &Value) -> List<'_> {
    List { titles: &TITLES, rows: items(raw).iter().map(cells).collect(), raw, order: Order::Bytes(0) }
}

fn human(raw: &Value) -> String {
    let cycle = match (field(raw, "cycle_months").as_str(), field(raw, "renew").as_str()) {
        ("0", _) => String::new(),
        (months, "true") => format!("{months} months, renewed"),
        (months, _) => format!("{months} months"),
    };
    let mut text = labelled(&[
        ("ID", field(raw, "id")),
        ("Holder", field(raw, "holder")),
        ("Keeps", format!("{} of {}", field(raw, "quantity"), what(raw))),
        ("Status", status(raw)),
        ("Starts", time_field(raw, "starts")),
        ("Ends", time_field(raw, "ends")),
        ("Cycle", cycle),
        ("Description", field(raw, "description")),
        ("Bound", field(raw, "bound")),
        ("In Use", field(raw, "in_use")),
        ("Missing", field(raw, "missing")),
    ]);
    match field(raw, "unfulfilled") {
        why if why.is_empty() => {}
        why => text += &format!("Unfulfilled: {why}\n"),
    }
    text += "Machines:\n";
    for machine in items(&raw["machines"]) {
        text += &format!("- {}, {}\n", named(machine), field(machine, "lifecycle"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw() -> Value {
        json!({"id": "s", "holder": "ann", "server_type": "t", "server_type_label": "big", "machine": "", "quantity": 3,
            "site": "", "starts": "2026-01-31T00:00:00Z", "ends": "2026-02-28T00:00:00Z", "cycle_months": 1, "renew": true,
            "status": "active", "running": true, "bound": 1, "in_use": 1, "missing": 1, "unfulfilled": "1 of 3 missing: x",
            "description": "d", "machines": [{"id": "m1", "lifecycle": "available_reserved", "server": "web1"},
            {"id": "m2", "lifecycle": "used", "server": ""}]})
    }

    #[test]
    fn a_subscription_is_listed_and_shown() {
        let list = json!([raw()]);
        assert_eq!(
            rows(&list).render("csv".parse().unwrap()),
            "s,ann,big,3,1,1,1,\"2026-02-28 00:00:00 +0000 UTC, renewed\",active\n"
        );
        let text = human(&raw());
        for line in [
            "Keeps: 3 of big\n",
            "Cycle: 1 months, renewed\n",
            "Unfulfilled: 1 of 3 missing: x\n",
            "Machines:\n- web1 (m1), available_reserved\n- m2, used\n",
        ] {
            assert!(text.contains(line), "{line}: {text}");
        }
        let mut other = raw();
        (other["server_type"], other["server_type_label"], other["machine"]) = (json!(""), json!(""), json!("m7"));
        (other["site"], other["running"], other["ends"]) = (json!("berlin"), json!(false), Value::Null);
        assert_eq!(
            (what(&other), status(&other), ends(&other)),
            ("machine m7 at berlin".into(), "waiting".into(), String::new())
        );
        assert_eq!(
            lost(&raw()),
            [
                "machine web1 (m1) is not kept for ann any more",
                "1 in use stay with ann, and are free for anybody once released"
            ]
        );
    }

    #[test]
    fn times_are_days_or_instants() {
        assert_eq!(instant("2026-12-01").unwrap(), "2026-12-01T00:00:00Z");
        assert_eq!(instant("2026-12-01T08:00:00+01:00").unwrap(), "2026-12-01T07:00:00Z");
        assert_eq!(instant_or_none("none").unwrap(), "none");
        for bad in ["tomorrow", "2026-13-01", "2026-12-01T08:00", ""] {
            assert!(instant(bad).unwrap_err().contains("neither a day"), "{bad}");
        }
    }

    #[test]
    fn only_what_was_said_is_changed() {
        let none = Changed { quantity: None, starts: None, ends: None, cycle: None, renew: None, description: None };
        assert_eq!(none.body(), None);
        let some = Changed {
            quantity: Some(2),
            starts: None,
            ends: Some("none".into()),
            cycle: None,
            renew: Some(false),
            description: None,
        };
        assert_eq!(some.body(), Some(json!({"quantity": 2, "ends": null, "renew": false})));
        assert_eq!(read("quantity: 4\nends: null", Keys::Strict).unwrap(), json!({"quantity": 4, "ends": null}));
        assert!(read("holder: bob", Keys::Strict).unwrap_err().contains("holder"));
    }
}
