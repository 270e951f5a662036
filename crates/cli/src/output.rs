//! List and show formats (cli.md 2.1, 2.2).

use crate::{natural, table, yaml};
use serde_json::Value;

/// How a list is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ListFormat {
    kind: ListKind,
    header: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ListKind {
    Table,
    Compact,
    Csv,
    Json,
    Yaml,
}

impl Default for ListFormat {
    fn default() -> Self {
        Self { kind: ListKind::Table, header: true }
    }
}

impl std::str::FromStr for ListFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, suffix) = text.split_once(',').map_or((text, None), |(name, suffix)| (name, Some(suffix)));
        let kind = match name {
            "table" => ListKind::Table,
            "compact" => ListKind::Compact,
            "csv" => ListKind::Csv,
            "json" => ListKind::Json,
            "yaml" => ListKind::Yaml,
            _ => return Err(format!("invalid format {text:?}: use table, compact, csv, json or yaml")),
        };
        let header = match suffix {
            None => kind != ListKind::Csv,
            Some("header") => true,
            Some("noheader") => false,
            Some(other) => return Err(format!("invalid format suffix {other:?}: use header or noheader")),
        };
        Ok(Self { kind, header })
    }
}

/// The order of a list.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Order<'a> {
    /// As the server gave it.
    Given,
    /// Natural, by all columns from left to right.
    All,
    /// Natural, by these columns.
    By(&'a [usize]),
    /// Byte order of one column.
    Bytes(usize),
}

/// A list: titles and cells for people, the objects for programs.
pub(crate) struct List<'a> {
    /// Column titles.
    pub(crate) titles: &'a [&'a str],
    /// Cells, one row an object.
    pub(crate) rows: Vec<Vec<String>>,
    /// The objects as the server gave them.
    pub(crate) raw: &'a Value,
    /// Order of the rows.
    pub(crate) order: Order<'a>,
}

impl List<'_> {
    /// The text to print.
    pub(crate) fn render(mut self, format: ListFormat) -> String {
        match format.kind {
            ListKind::Json => return format!("{}\n", self.raw),
            ListKind::Yaml => return yaml::write(&with_maps(self.raw), 2),
            ListKind::Table | ListKind::Compact | ListKind::Csv => {}
        }
        sort(&mut self.rows, self.order);
        let titles = format.header.then_some(self.titles);
        match format.kind {
            ListKind::Compact => table::compact(titles, &self.rows),
            ListKind::Csv => csv(titles, &self.rows),
            _ => table::framed(titles, &self.rows),
        }
    }
}

fn sort(rows: &mut [Vec<String>], order: Order<'_>) {
    match order {
        Order::Given => {}
        Order::Bytes(column) => rows.sort_by(|a, b| a[column].cmp(&b[column])),
        Order::All => rows.sort_by(|a, b| {
            a.iter()
                .zip(b)
                .map(|(x, y)| natural::compare(x, y))
                .find(|o| o.is_ne())
                .unwrap_or(std::cmp::Ordering::Equal)
        }),
        Order::By(columns) => rows.sort_by(|a, b| {
            columns
                .iter()
                .map(|&c| natural::compare(&a[c], &b[c]))
                .find(|o| o.is_ne())
                .unwrap_or(std::cmp::Ordering::Equal)
        }),
    }
}

fn csv(titles: Option<&[&str]>, rows: &[Vec<String>]) -> String {
    let cell = |text: &str| {
        if text.contains([',', '"', '\n', '\r']) || text.starts_with([' ', '\t']) || text == "\\." {
            format!("\"{}\"", text.replace('"', "\"\""))
        } else {
            text.to_owned()
        }
    };
    let mut out = String::new();
    if let Some(titles) = titles {
        out += &titles.iter().map(|title| cell(title)).collect::<Vec<_>>().join(",");
        out.push('\n');
    }
    for row in rows {
        out += &row.iter().map(|text| cell(text)).collect::<Vec<_>>().join(",");
        out.push('\n');
    }
    out
}

/// How one object is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum ShowFormat {
    /// For people.
    #[default]
    Human,
    /// Two-space JSON.
    Json,
    /// Two-space YAML.
    Yaml,
}

impl std::str::FromStr for ShowFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "" => Ok(Self::Human),
            "json" => Ok(Self::Json),
            "yaml" => Ok(Self::Yaml),
            _ => Err(format!("invalid format {text:?}: use json or yaml")),
        }
    }
}

/// One object; `human` makes the text for people.
pub(crate) fn show(format: ShowFormat, raw: &Value, human: impl FnOnce() -> String) -> String {
    match format {
        ShowFormat::Human => human(),
        ShowFormat::Json => json(raw),
        ShowFormat::Yaml => document(raw),
    }
}

/// Two-space JSON with a line end.
pub(crate) fn json(raw: &Value) -> String {
    format!("{raw:#}\n")
}

/// Two-space YAML.
pub(crate) fn document(raw: &Value) -> String {
    yaml::write(&with_maps(raw), 2)
}

/// A YAML block below a label: four spaces deep, an indented empty line behind it, as the reference prints it.
pub(crate) fn yaml_block(label: &str, value: &Value) -> String {
    format!("{label}:\n{}\n", crate::text::indent("    ", &yaml::write(&with_maps(value), 4)))
}

/// A JSON block below a label.
pub(crate) fn json_block(label: &str, value: &Value) -> String {
    format!("{label}:\n{}\n", crate::text::indent("    ", &format!("{value:#}")))
}

/// The same document with its keys in alphabetical order at every depth: what comes from a machine has no other.
pub(crate) fn sorted(value: &Value) -> Value {
    match value {
        Value::Array(list) => list.iter().map(sorted).collect(),
        Value::Object(map) => {
            let mut members: Vec<(String, Value)> = map.iter().map(|(k, v)| (k.clone(), sorted(v))).collect();
            members.sort_by(|(a, _), (b, _)| a.cmp(b));
            Value::Object(members.into_iter().collect())
        }
        other => other.clone(),
    }
}

/// The maps that are `null` in JSON and `{}` in YAML.
fn with_maps(value: &Value) -> Value {
    const MAPS: [&str; 2] = ["properties", "components"];
    match value {
        Value::Array(list) => list.iter().map(with_maps).collect(),
        Value::Object(map) => map
            .iter()
            .map(|(key, member)| match member {
                Value::Null if MAPS.contains(&key.as_str()) => (key.clone(), Value::Object(serde_json::Map::new())),
                other => (key.clone(), with_maps(other)),
            })
            .collect::<serde_json::Map<_, _>>()
            .into(),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn render(format: &str, raw: &Value, order: Order<'_>) -> String {
        let cells = |o: &Value| vec![crate::text::field(o, "name"), crate::text::field(o, "description")];
        let rows = raw.as_array().unwrap().iter().map(cells).collect();
        List { titles: &["Name", "Description"], rows, raw, order }.render(format.parse().unwrap())
    }

    #[test]
    fn formats() {
        let raw = json!([{"name": "m10", "description": ""}, {"name": "m9", "description": "a, \"b\""}]);
        assert_eq!(render("csv", &raw, Order::All), "m9,\"a, \"\"b\"\"\"\nm10,\n");
        assert_eq!(render("csv,header", &raw, Order::Given), "Name,Description\nm10,\nm9,\"a, \"\"b\"\"\"\n");
        assert_eq!(
            render("json", &raw, Order::All),
            "[{\"name\":\"m10\",\"description\":\"\"},{\"name\":\"m9\",\"description\":\"a, \\\"b\\\"\"}]\n"
        );
        assert_eq!(
            render("yaml", &raw, Order::All),
            "- name: m10\n  description: \"\"\n- name: m9\n  description: a, \"b\"\n"
        );
        assert_eq!(
            render("table", &raw, Order::All),
            "+------+-------------+\n| Name | Description |\n+------+-------------+\n| m9   | a, \"b\"      |\n+------+-------------+\n| m10  |             |\n+------+-------------+\n"
        );
        assert_eq!(
            render("table,noheader", &raw, Order::Bytes(0)),
            "+-----+--------+\n| m10 |        |\n+-----+--------+\n| m9  | a, \"b\" |\n+-----+--------+\n"
        );
        assert_eq!(render("compact,noheader", &raw, Order::Bytes(0)), "  m10\n  m9   a, \"b\"\n");
    }

    #[test]
    fn keys_are_sorted_at_every_depth() {
        let text = sorted(&json!([{"b": {"d": 1, "c": 2}, "a": 3}])).to_string();
        assert_eq!(text, r#"[{"a":3,"b":{"c":2,"d":1}}]"#);
    }

    #[test]
    fn nothing_to_list() {
        let raw = json!([]);
        assert_eq!(render("json", &raw, Order::All), "[]\n");
        assert_eq!(render("yaml", &raw, Order::All), "[]\n");
        assert_eq!(render("csv", &raw, Order::All), "");
        assert_eq!(
            render("table", &raw, Order::All),
            "+------+-------------+\n| Name | Description |\n+------+-------------+\n"
        );
    }

    #[test]
    fn unknown_formats_are_refused() {
        for bad in ["", "xml", "csv,x", "table,header,x", "JSON"] {
            assert!(bad.parse::<ListFormat>().is_err(), "{bad:?}");
        }
        assert!("table".parse::<ShowFormat>().is_err());
    }
}
