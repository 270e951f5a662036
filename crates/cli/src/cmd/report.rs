//! `report`: what there is, added up.

use super::items;
use crate::context::Context;
use crate::error::Result;
use crate::output::{List, ListFormat, Order};
use crate::remote::ApiPath;
use crate::text::field;
use clap::{Subcommand, ValueEnum};
use muster_api::report::RollUp;
use serde_json::Value;

/// `report`.
#[derive(Debug, Subcommand)]
pub(crate) enum Report {
    /// Show how many machines of each group are in which state, decommissioned ones and those off the rack included
    Utilisation {
        /// What the rows are
        #[arg(long, value_enum, default_value_t = By::Type)]
        by: By,
        /// Show server-hours by month, owner and type instead
        #[arg(long)]
        usage: bool,
        /// With the ids of the machines in each cell; only in json and yaml
        #[arg(long)]
        ids: bool,
        /// Format: table, compact, csv, json or yaml
        #[arg(short, long, default_value = "table")]
        format: ListFormat,
    },
}

/// What the rows are.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum By {
    /// Server type
    Type,
    /// Installed memory
    Ram,
    /// Product name
    Product,
    /// Who has it, or for whom it is kept
    Owner,
    /// Cluster
    Cluster,
    /// Site
    Site,
}

impl By {
    fn name(self) -> &'static str {
        match self {
            Self::Type => "type",
            Self::Ram => "ram",
            Self::Product => "product",
            Self::Owner => "owner",
            Self::Cluster => "cluster",
            Self::Site => "site",
        }
    }
}

/// Runs it.
pub(crate) async fn run(ctx: &Context, command: Report) -> Result {
    let Report::Utilisation { by, usage, ids, format } = command;
    let path = ApiPath::of(&["reports", "utilisation"]).query("by", by.name());
    let raw = ctx.remote()?.get(&path.flag("ids", ids).flag("usage", usage)).await?;
    ctx.print(&if usage { hours(&raw).render(format) } else { rows(&raw).render(format) });
    Ok(())
}

/// The rows, and the sums under them. As JSON it is the whole report.
fn rows(raw: &Value) -> List<'_> {
    let number = |value: &Value| value.as_u64().unwrap_or_default().to_string();
    let cells = |group: &Value, name: String| {
        let states = group["states"].as_object().into_iter().flatten().map(|(_, cell)| number(&cell["count"]));
        let sums = RollUp::ALL.map(|column| number(&group["roll_ups"][column.as_str()]));
        [name, number(&group["count"])].into_iter().chain(sums).chain(states).collect()
    };
    let mut rows: Vec<Vec<String>> = items(&raw["groups"]).iter().map(|group| cells(group, named(group))).collect();
    rows.push(cells(&raw["total"], "Total".to_owned()));
    List { titles: &TITLES, rows, raw, order: Order::Given }
}

/// In the order of the wire: states by their names.
const TITLES: [&str; 16] = [
    "Group",
    "Count",
    "Sum Available",
    "Sum Used",
    "Sum Defective",
    "Sum Other",
    "Available",
    "Reserved",
    "Cleaning",
    "Decommissioned",
    "Defective",
    "Registering",
    "Off Rack",
    "Unavailable",
    "Used",
    "Used Registering",
];

fn named(group: &Value) -> String {
    let name = field(group, "name");
    if name.is_empty() { "(none)".to_owned() } else { name }
}

fn hours(raw: &Value) -> List<'_> {
    let cells = |used: &Value| {
        let hours = used["hours"].as_f64().unwrap_or_default();
        vec![field(used, "month"), field(used, "owner"), field(used, "server_type"), format!("{hours:.1}")]
    };
    let rows = items(&raw["usage"]).iter().map(cells).collect();
    List { titles: &["Month", "Owner", "Type", "Server-Hours"], rows, raw, order: Order::Given }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_number_stands_under_its_title() {
        let states = [
            "available",
            "available_reserved",
            "cleaning",
            "decommissioned",
            "defective",
            "registering",
            "removed_from_rack",
            "unavailable",
            "used",
            "used_registering",
        ];
        let cells: serde_json::Map<String, Value> =
            states.iter().enumerate().map(|(n, state)| ((*state).to_owned(), json!({"count": n + 10}))).collect();
        let group = |name: &str| {
            json!({"name": name, "count": 145, "states": cells,
                "roll_ups": {"available": 1, "used": 2, "defective": 3, "other": 4}})
        };
        let raw = json!({"groups": [group("R650"), group("")], "total": group("")});
        let numbers = "145,1,2,3,4,10,11,12,13,14,15,16,17,18,19";
        let expected = format!("R650,{numbers}\n(none),{numbers}\nTotal,{numbers}\n");
        assert_eq!(rows(&raw).render("csv".parse().unwrap()), expected);
        let raw = json!({"usage": [{"month": "2026-11", "owner": "anna", "server_type": "R650", "hours": 12.34}]});
        assert_eq!(hours(&raw).render("csv".parse().unwrap()), "2026-11,anna,R650,12.3\n");
    }
}
