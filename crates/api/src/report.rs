//! Reports as they are on the wire.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::time::Time;

/// The states are too many for a glance: each is a part of one of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RollUp {
    /// Available, or soon again.
    Available,
    /// In use.
    Used,
    /// Defective, or off the rack.
    Defective,
    /// All others, reserved ones among them.
    Other,
}

impl RollUp {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Available, Self::Used, Self::Defective, Self::Other];

    /// As on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Available => "available",
            Self::Used => "used",
            Self::Defective => "defective",
            Self::Other => "other",
        }
    }
}

/// Machines of a group in a state.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct Cell {
    /// How many.
    pub count: u64,
    /// Their ids, where they were asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ids: Option<Vec<String>>,
}

/// One row of the report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Group {
    /// What its machines have in common; empty for those that belong to no group.
    pub name: String,
    /// All of its machines.
    pub count: u64,
    /// By state, each of the ten.
    pub states: BTreeMap<String, Cell>,
    /// States rolled up.
    #[schema(value_type = BTreeMap<String, u64>)]
    pub roll_ups: BTreeMap<RollUp, u64>,
}

/// For how long machines were in use.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Used {
    /// Month in UTC: `2026-11`.
    pub month: String,
    /// Who had them; empty where that was not recorded.
    pub owner: String,
    /// Label of their type at the time of the report; empty for none.
    pub server_type: String,
    /// Server-hours.
    pub hours: f64,
}

/// `/1.0/reports/utilisation`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct UtilisationReport {
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub at: Time,
    /// What the rows are: `type`, `ram`, `product`, `owner`, `cluster` or `site`.
    pub by: String,
    /// The rows.
    pub groups: Vec<Group>,
    /// All of them together: as many as there are records.
    pub total: Group,
    /// Server-hours by month, owner and type, where they were asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub usage: Vec<Used>,
}

impl UtilisationReport {
    /// The rows as CSV, with a header and the sums at the end.
    pub fn to_csv(&self) -> String {
        let mut out = String::new();
        let states: Vec<&str> = self.total.states.keys().map(String::as_str).collect();
        let columns = RollUp::ALL.map(|column| format!("sum_{}", column.as_str()));
        let titles = [self.by.as_str(), "count"].into_iter().chain(states.iter().copied());
        let titles: Vec<&str> = titles.chain(columns.iter().map(String::as_str)).collect();
        // Writing to a String cannot fail.
        writeln!(out, "{}", titles.join(",")).ok();
        for (group, name) in self.groups.iter().map(|g| (g, g.name.as_str())).chain([(&self.total, "total")]) {
            write!(out, "{},{}", quoted(name), group.count).ok();
            for state in &states {
                write!(out, ",{}", group.states.get(*state).map_or(0, |cell| cell.count)).ok();
            }
            for column in RollUp::ALL {
                write!(out, ",{}", group.roll_ups.get(&column).copied().unwrap_or_default()).ok();
            }
            out.push('\n');
        }
        out
    }
}

/// As RFC 4180 has it; what a spreadsheet would take for a formula is made a text.
fn quoted(text: &str) -> String {
    let text = if text.starts_with(['=', '+', '-', '@']) { format!("'{text}") } else { text.to_owned() };
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted() {
        assert_eq!(quoted("a,b"), "\"a,b\"");
        assert_eq!(quoted("7\" disk"), "\"7\"\" disk\"");
        assert_eq!(quoted("=1+1"), "'=1+1");
        assert_eq!(quoted(""), "");
    }
}
