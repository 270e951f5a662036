//! `machine hardware`: what a machine is made of, and how that changed.

use super::super::{items, labelled};
use super::{find, path};
use crate::context::Context;
use crate::error::Result;
use crate::output::{ShowFormat, show};
use crate::remote::Remote;
use crate::text::{field, time_field};
use serde_json::Value;

/// Shows it.
pub(super) async fn run(ctx: &Context, remote: &Remote, machine: &str, changes: bool, format: ShowFormat) -> Result {
    let path = path(&find::one(remote, machine).await?).below("hardware");
    let raw = remote.get(&if changes { path.below("changes") } else { path }).await?;
    ctx.print(&show(format, &raw, || if changes { history(&raw) } else { human(&raw) }));
    Ok(())
}

fn human(raw: &Value) -> String {
    let inventory = &raw["inventory"];
    let head = labelled(&[
        ("Type", field(raw, "label")),
        ("Vendor", field(inventory, "system.vendor")),
        ("Product", field(inventory, "system.product")),
        ("Serial", field(inventory, "system.serial")),
        ("System UUID", field(inventory, "system.uuid")),
        ("Firmware", field(inventory, "system.firmware")),
        ("Memory", format!("{} GiB", field(inventory, "memory_gib"))),
    ]);
    let list = |title: &str, key: &str, line: fn(&Value) -> String| {
        let lines: String = items(&inventory[key]).iter().map(|part| format!("- {}\n", line(part))).collect();
        if lines.is_empty() { String::new() } else { format!("{title}:\n{lines}") }
    };
    head + &list("Processors", "processors", |p| {
        format!("{}, {} cores, {} threads", field(p, "model"), field(p, "cores"), field(p, "threads"))
    }) + &list("Disks", "disks", |d| {
        format!("{} of {} GB, {}, {}", field(d, "class"), field(d, "gb"), field(d, "model"), field(d, "serial"))
    }) + &list("Network cards", "cards", |card| {
        let ports: Vec<String> = items(&card["ports"]).iter().map(|port| field(port, "mac")).collect();
        format!("{} ({}): {}", field(card, "name"), field(card, "id"), ports.join(", "))
    }) + &list("Accelerators", "gpus", |gpu| format!("{} ({})", field(gpu, "name"), field(gpu, "id")))
}

fn history(raw: &Value) -> String {
    let mut text = String::new();
    for change in items(raw) {
        text += &format!("{} ({}):\n", time_field(change, "at"), field(change, "source"));
        let lines: String =
            items(&change["changes"]).iter().filter_map(Value::as_str).map(|line| format!("- {line}\n")).collect();
        text += if lines.is_empty() { "- its hardware was recorded\n" } else { &lines };
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn hardware_is_shown_by_its_parts_and_by_its_changes() {
        let raw = json!({"server_type": "t", "label": "big", "inventory": {"memory_gib": 64, "system": {"vendor": "ACME", "serial": "S1"},
            "processors": [{"model": "Xeon", "cores": 8, "threads": 16}], "disks": [{"class": "nvme", "gb": 1920, "model": "M", "serial": "D1"}],
            "cards": [{"id": "8086:159b", "name": "E810", "ports": [{"mac": "aa"}, {"mac": "bb"}]}], "gpus": []}});
        let text = human(&raw);
        for line in [
            "Type: big\n",
            "Memory: 64 GiB\n",
            "- Xeon, 8 cores, 16 threads\n",
            "- nvme of 1920 GB, M, D1\n",
            "- E810 (8086:159b): aa, bb\n",
        ] {
            assert!(text.contains(line), "{line}: {text}");
        }
        let changes = json!([{"seq": 2, "at": "2026-11-25T13:00:00Z", "source": "poll", "changes": ["the memory was 32 GiB and is 64 GiB"]},
            {"seq": 1, "at": "2026-11-25T12:00:00Z", "source": "registration", "changes": []}]);
        assert_eq!(
            history(&changes),
            "2026-11-25 13:00:00 +0000 UTC (poll):\n- the memory was 32 GiB and is 64 GiB\n\
             2026-11-25 12:00:00 +0000 UTC (registration):\n- its hardware was recorded\n"
        );
    }
}
