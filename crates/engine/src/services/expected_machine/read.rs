//! Reading lists of expected machines that people wrote: CSV, YAML or JSON. Each row is taken or refused by itself; a file that
//! cannot be taken apart into rows is refused as a whole.

use muster_api::{
    expected_machine::ExpectedMachinePost,
    machine::{Asset, MachineBmc},
};
use muster_domain::machine::asset::Fault;
use serde_json::Value;

/// Most rows of a file.
pub const ROWS: usize = 5000;

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A heading with the names of the fields, then a line for each machine.
    Csv,
    /// A list.
    Yaml,
    /// A list.
    Json,
}

impl std::str::FromStr for Format {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "csv" => Ok(Self::Csv),
            "yaml" => Ok(Self::Yaml),
            "json" => Ok(Self::Json),
            other => Err(format!("{other:?} is none of csv, yaml, json")),
        }
    }
}

/// The columns of a CSV file beside `property.<key>`.
pub const COLUMNS: [&str; 14] = [
    "system_uuid",
    "serial",
    "mac",
    "server_type",
    "site",
    "rack",
    "lower_unit",
    "upper_unit",
    "inventory_number",
    "tags",
    "bmc_endpoint",
    "bmc_username",
    "bmc_password",
    "bmc_mac",
];

/// A row, or what is wrong with it.
pub type Row = Result<ExpectedMachinePost, Vec<Fault>>;

/// Takes a file apart into rows.
///
/// # Errors
/// Why it is no such file, and what would be right.
pub fn rows(format: Format, bytes: &[u8]) -> Result<Vec<Row>, String> {
    let text = std::str::from_utf8(bytes).map_err(|e| format!("the file is no UTF-8 text: {e}; save it as UTF-8"))?;
    let text = text.trim_start_matches('\u{feff}');
    let rows = match format {
        Format::Csv => csv_rows(text)?,
        Format::Yaml => list(serde_saphyr::from_str(text).map_err(|e| format!("the file is no YAML: {}", short(&e)))?)?,
        Format::Json => list(serde_json::from_str(text).map_err(|e| format!("the file is no JSON: {}", short(&e)))?)?,
    };
    if rows.is_empty() {
        return Err("the file has no rows".into());
    }
    if rows.len() > ROWS {
        return Err(format!("the file has {} rows, at most {ROWS} are taken at once; divide it", rows.len()));
    }
    Ok(rows)
}

/// An error's text may quote what was sent.
fn short(e: &dyn std::fmt::Display) -> String {
    let clean = |c: char| if c.is_control() { ' ' } else { c };
    e.to_string().chars().take(300).map(clean).collect()
}

fn list(value: Value) -> Result<Vec<Row>, String> {
    let Value::Array(items) = value else {
        return Err("the file has to be a list, with an item for each machine".into());
    };
    Ok(items.into_iter().map(item).collect())
}

fn item(value: Value) -> Row {
    serde_path_to_error::deserialize(value).map_err(|e| {
        let field = e.path().to_string();
        // Where a secret is of another type, the text would quote it.
        let why = if field.ends_with("password") { "has to be a text".to_owned() } else { short(e.inner()) };
        vec![Fault { field: if field == "." { "row".into() } else { field }, why }]
    })
}

fn csv_rows(text: &str) -> Result<Vec<Row>, String> {
    let mut reader = csv::ReaderBuilder::new().flexible(true).trim(csv::Trim::All).from_reader(text.as_bytes());
    let heading = reader.headers().map_err(|e| format!("the heading cannot be read: {}", short(&e)))?.clone();
    for (n, column) in heading.iter().enumerate() {
        let known = COLUMNS.contains(&column) || column.strip_prefix("property.").is_some_and(|key| !key.is_empty());
        if !known {
            let columns = COLUMNS.join(", ");
            return Err(format!("there is no field {column:?}; the heading may have {columns} and property.<key>"));
        }
        if heading.iter().take(n).any(|other| other == column) {
            return Err(format!("the field {column:?} is there twice"));
        }
    }
    let mut rows = Vec::new();
    for record in reader.records() {
        if rows.len() > ROWS {
            break;
        }
        let record = record.map_err(|e| format!("row {}: {}", rows.len() + 1, short(&e)))?;
        rows.push(line(&heading, &record));
    }
    Ok(rows)
}

fn line(heading: &csv::StringRecord, record: &csv::StringRecord) -> Row {
    let mut faults = Vec::new();
    if record.len() != heading.len() {
        let why = format!(
            "has {} fields, the heading {}; a comma in a text needs quotes around it",
            record.len(),
            heading.len()
        );
        return Err(vec![Fault { field: "row".into(), why }]);
    }
    let mut post = ExpectedMachinePost::default();
    let mut asset = Asset::default();
    let mut bmc = MachineBmc::default();
    for (column, value) in heading.iter().zip(record).filter(|(_, value)| !value.is_empty()) {
        let mut unit = |value: &str| {
            value.parse::<u16>().unwrap_or_else(|_| {
                faults.push(Fault { field: column.into(), why: format!("{value:?} is no number of a unit") });
                0
            })
        };
        let owned = value.to_owned();
        match column {
            "system_uuid" => post.system_uuid = owned,
            "serial" => post.serial = owned,
            "mac" => post.mac = owned,
            "server_type" => post.server_type = owned,
            "site" => asset.site = owned,
            "rack" => asset.rack = owned,
            "lower_unit" => asset.lower_unit = unit(value),
            "upper_unit" => asset.upper_unit = unit(value),
            "inventory_number" => asset.inventory_number = owned,
            "tags" => asset.tags = value.split([';', ' ']).filter(|tag| !tag.is_empty()).map(str::to_owned).collect(),
            "bmc_endpoint" => bmc.endpoint = owned,
            "bmc_username" => bmc.username = owned,
            "bmc_password" => bmc.password = owned,
            "bmc_mac" => bmc.mac = owned,
            _ => {
                let key = column.strip_prefix("property.").unwrap_or(column);
                asset.properties.insert(key.to_owned(), owned);
            }
        }
    }
    post.asset = asset;
    post.bmc = (bmc != MachineBmc::default()).then_some(bmc);
    if faults.is_empty() { Ok(post) } else { Err(faults) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(format: Format, text: &str) -> ExpectedMachinePost {
        rows(format, text.as_bytes()).unwrap().remove(0).unwrap()
    }

    fn fault(format: Format, text: &str) -> String {
        let rows = rows(format, text.as_bytes()).unwrap();
        rows.into_iter().find_map(Result::err).unwrap().iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn three_ways_to_write_the_same() {
        let csv = "\u{feff}serial,rack,lower_unit,tags,bmc_endpoint,bmc_password,property.cost\n\
                   \"A,1\", r7 ,3,gpu;db,https://198.51.100.1,calvin,9\n";
        let json = r#"[{"serial": "A,1", "asset": {"rack": "r7", "lower_unit": 3, "tags": ["gpu", "db"], "properties": {"cost": "9"}},
                        "bmc": {"endpoint": "https://198.51.100.1", "password": "calvin"}}]"#;
        let yaml = "- serial: A,1\n  asset:\n    rack: r7\n    lower_unit: 3\n    tags: [gpu, db]\n    properties:\n      cost: '9'\n  \
                    bmc:\n    endpoint: https://198.51.100.1\n    password: calvin\n";
        let want = one(Format::Json, json);
        assert_eq!((want.serial.as_str(), want.asset.lower_unit), ("A,1", 3));
        assert_eq!(one(Format::Csv, csv), want);
        assert_eq!(one(Format::Yaml, yaml), want);
        assert_eq!(one(Format::Csv, "mac\naa:bb:cc:00:00:01").bmc, None);
    }

    #[test]
    fn a_row_is_refused_by_its_field() {
        assert!(fault(Format::Csv, "serial,lower_unit\nA,3\nB,x").starts_with("lower_unit: \"x\" is no number"));
        assert!(fault(Format::Csv, "serial,rack\nA,r7,x").starts_with("row: has 3 fields, the heading 2"));
        assert!(fault(Format::Json, r#"[{"serial": 7}]"#).starts_with("serial: invalid type"));
        assert!(fault(Format::Json, r#"[{"asset": {"colour": "red"}}]"#).starts_with("asset.colour: unknown field"));
        assert!(fault(Format::Json, r#"[7]"#).starts_with("row: "));
        let secret = fault(Format::Json, r#"[{"bmc": {"endpoint": "", "password": 424242}}]"#);
        assert_eq!(secret, "bmc.password: has to be a text");
    }

    #[test]
    fn what_is_no_list_is_refused_as_a_whole() {
        let refused = |format, text: &str| rows(format, text.as_bytes()).unwrap_err();
        assert!(
            refused(Format::Csv, "serial,colour\nA,red")
                .contains("no field \"colour\"; the heading may have system_uuid")
        );
        assert!(refused(Format::Csv, "serial,serial\nA,B").contains("twice"));
        assert!(refused(Format::Csv, "serial\n").contains("no rows"));
        assert!(refused(Format::Json, "{}").contains("has to be a list"));
        assert!(refused(Format::Json, "[").contains("no JSON"));
        assert!(refused(Format::Yaml, "a: [").contains("no YAML"));
        assert!(rows(Format::Csv, b"serial\n\xff").unwrap_err().contains("UTF-8"));
        assert!("xml".parse::<Format>().unwrap_err().contains("csv, yaml, json"));
        let many = format!("serial\n{}", "A\n".repeat(ROWS + 1));
        assert!(refused(Format::Csv, &many).contains("divide it"));
        assert!(refused(Format::Json, &"[".repeat(100_000)).contains("no JSON"));
        let bomb = format!(
            "a: &a [x,x,x,x,x,x,x,x,x]\n{}",
            (0..9)
                .map(|n| {
                    let (from, to) = ((b'a' + n) as char, (b'b' + n) as char);
                    format!("{to}: &{to} [{}]\n", vec![format!("*{from}"); 9].join(","))
                })
                .collect::<String>()
        );
        assert!(rows(Format::Yaml, bomb.as_bytes()).is_err());
    }
}
