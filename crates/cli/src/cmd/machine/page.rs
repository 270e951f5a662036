//! A machine on one page: where it is in its life, what can be done with it and why not more, and what happened last.

use super::{known, operation, place};
use crate::cmd::items;
use crate::error::Result;
use crate::output::{List, Order};
use crate::remote::Remote;
use crate::table::compact;
use crate::text::{field, time_field, took};
use muster_api::machine::LIFECYCLES;
use serde_json::Value;

/// Entries of the history that are shown.
const RECENT: usize = 8;
/// Entries read at once.
const PART: usize = 10_000;

/// The whole history, oldest first.
pub(super) async fn history(remote: &Remote, id: &str) -> Result<Value> {
    let mut all: Vec<Value> = Vec::new();
    loop {
        let after = all.last().map(|entry| field(entry, "seq"));
        let path = super::path(id).below("history").query("limit", &PART.to_string());
        let part = remote.get(&path.maybe("cursor", after.as_deref())).await?;
        let part = items(&part);
        all.extend_from_slice(part);
        if part.len() < PART {
            return Ok(Value::Array(all));
        }
    }
}

/// The history for a page; nothing where it cannot be had.
pub(super) async fn recent(remote: &Remote, id: &str) -> Value {
    history(remote, id).await.unwrap_or_default()
}

const TITLES: [&str; 6] = ["No.", "At", "What", "Change", "Actor", "Reason"];

fn change(entry: &Value) -> String {
    match (field(entry, "from"), field(entry, "to")) {
        (from, to) if from.is_empty() && to.is_empty() => String::new(),
        (from, to) => format!("{from} → {to}").trim_start().to_owned(),
    }
}

fn cells(entry: &Value) -> Vec<String> {
    vec![
        field(entry, "seq"),
        time_field(entry, "at"),
        field(entry, "action").trim_start_matches("machine.").to_owned(),
        change(entry),
        field(entry, "actor"),
        field(entry, "reason"),
    ]
}

/// The history as a list.
pub(super) fn history_rows(raw: &Value) -> List<'_> {
    List { titles: &TITLES, rows: items(raw).iter().map(cells).collect(), raw, order: Order::Given }
}

/// Where it is among all the places where it could be.
fn life(state: &str) -> String {
    let states: Vec<String> = LIFECYCLES
        .iter()
        .map(|s| if *s == state { format!("[{}]", s.to_uppercase()) } else { (*s).to_owned() })
        .collect();
    let (main, aside) = states.split_at(7);
    format!("  {}\n  {}\n", main.join(" · "), aside.join(" · "))
}

/// Since when, in words.
fn since(machine: &Value, now: jiff::Timestamp) -> String {
    let text = field(machine, "since");
    let Ok(since) = text.parse::<jiff::Timestamp>() else { return String::new() };
    format!("for {} (since {})", took(now.duration_since(since)), time_field(machine, "since"))
}

/// What its type is called, and whether the hardware is still of it.
fn server_type(machine: &Value) -> String {
    let label = match field(machine, "server_type_label") {
        label if label.is_empty() => field(machine, "server_type"),
        label => label,
    };
    if field(machine, "type_match") == "mismatch" { format!("{label} (its hardware is another)") } else { label }
}

/// The page.
pub(super) fn page(machine: &Value, history: &Value, now: jiff::Timestamp) -> String {
    let state = field(machine, "lifecycle");
    let allocation = match machine.get("allocation") {
        Some(Value::Object(_)) => format!(
            "{} for {:?} ({}), since {}",
            field(machine, "allocation.owner"),
            field(machine, "allocation.reference"),
            field(machine, "allocation.kind"),
            time_field(machine, "allocation.since")
        ),
        _ => String::new(),
    };
    let reservation = match field(machine, "reservation.holder") {
        holder if holder.is_empty() => holder,
        holder => format!("for {holder} (subscription {})", field(machine, "reservation.subscription")),
    };
    let flags: Vec<&str> = ["retire", "hold", "protected", "requires_re_register"]
        .into_iter()
        .filter(|flag| machine["flags"][flag] == true)
        .collect();
    let erased = match machine.get("erased") {
        Some(Value::Object(_)) => {
            format!(
                "{} at {}, by {}",
                field(machine, "erased.level"),
                time_field(machine, "erased.at"),
                field(machine, "erased.by")
            )
        }
        _ => String::new(),
    };
    let manual = if machine["needs_manual_cleaning"] == true { "its disks have to be cleaned by hand" } else { "" };
    let tags: Vec<String> =
        items(&machine["asset"]["tags"]).iter().map(|t| t.as_str().unwrap_or_default().to_owned()).collect();
    let mut text = known(&[
        ("Machine", field(machine, "id")),
        ("Server", field(machine, "server")),
        ("State", format!("{state}, {}", since(machine, now))),
        ("Operation", operation(machine)),
        ("Allocated to", allocation),
        ("Reserved", reservation),
        ("Disks", field(machine, "media")),
        ("Erased", erased),
        ("Attention", manual.to_owned()),
        ("Flags", flags.join(", ")),
        ("Type", server_type(machine)),
        ("Vendor", field(machine, "vendor")),
        ("Serial", field(machine, "serial")),
        ("System UUID", field(machine, "system_uuid")),
        ("Site", field(machine, "asset.site")),
        ("Rack", place(machine)),
        ("Inventory number", field(machine, "asset.inventory_number")),
        ("Tags", tags.join(", ")),
        ("BMC", field(machine, "bmc.endpoint")),
        ("Successor of", field(machine, "successor_of")),
        ("Comment", field(machine, "comment")),
    ]);
    text.push('\n');
    text.push_str(&life(&state));
    let (open, closed): (Vec<&Value>, Vec<&Value>) = items(&machine["moves"]).iter().partition(|m| m["open"] == true);
    let row = |m: &&Value| vec![field(m, "name"), field(m, "to")];
    text.push_str("\nOpen now:\n");
    text.push_str(&compact(Some(&["Move", "Leads To"]), &open.iter().map(row).collect::<Vec<_>>()));
    let why = |m: &&Value| {
        let number = field(m, "reason");
        let reason = if number.is_empty() { String::new() } else { format!(" (reason {number})") };
        vec![field(m, "name"), format!("{}{reason}", field(m, "why")), field(m, "way_out")]
    };
    // That something is so already needs no line.
    let closed: Vec<Vec<String>> = closed.iter().filter(|m| field(m, "why") != "it is so already").map(why).collect();
    if !closed.is_empty() {
        text.push_str("\nClosed:\n");
        text.push_str(&compact(Some(&["Move", "Why Not", "What To Do"]), &closed));
    }
    let work = |w: &Value| vec![field(w, "id"), field(w, "kind"), field(w, "status"), field(w, "reason")];
    let work: Vec<Vec<String>> = items(&machine["work"]).iter().map(work).collect();
    if !work.is_empty() {
        text.push_str("\nGoing on:\n");
        text.push_str(&compact(Some(&["Operation", "Kind", "Status", "Waits For"]), &work));
    }
    let all = items(history);
    let recent: Vec<Vec<String>> = all.iter().skip(all.len().saturating_sub(RECENT)).map(cells).collect();
    if !recent.is_empty() {
        text.push_str("\nHistory:\n");
        text.push_str(&compact(Some(&TITLES), &recent));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_page_shows_the_state_the_moves_and_why_not() {
        let machine = json!({
            "id": "m", "server": "web1", "lifecycle": "used", "since": "2026-11-25T13:00:00Z", "media": "dirty",
            "server_type": "t", "server_type_label": "big", "type_match": "mismatch",
            "allocation": {"owner": "anna", "reference": "web", "kind": "standalone", "since": "2026-11-25T13:00:00Z"},
            "flags": {"hold": true, "retire": false}, "asset": {"rack": "r7", "lower_unit": 0, "tags": ["gpu"]},
            "moves": [{"name": "release", "to": "cleaning", "open": true},
                {"name": "set-available", "to": "available", "open": false, "reason": 2, "why": "nobody takes it", "way_out": "release it"},
                {"name": "hold", "to": "", "open": false, "why": "it is so already", "way_out": ""}]});
        let history = json!([{"seq": 7, "at": "2026-11-25T13:00:00Z", "action": "machine.transition", "from": "available",
            "to": "used", "actor": "system", "reason": "allocated to anna for web"}]);
        let text = page(&machine, &history, "2026-11-25T14:02:00Z".parse().unwrap());
        for part in [
            "State: used, for 1 h 2 m",
            "Allocated to: anna for \"web\" (standalone)",
            "Flags: hold\n",
            "Type: big (its hardware is another)",
            "available_reserved · [USED] · used_registering",
            "nobody takes it (reason 2)",
            "available → used",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!text.contains("already") && !text.contains("Serial"), "{text}");
    }
}
