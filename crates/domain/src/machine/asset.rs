//! What people write about a machine, checked before it is kept: every fault at once, each with its field.

use muster_api::machine::{Asset, MachineBmc};

/// Longest short text (a site, a rack, a tag, a name), in bytes.
const SHORT: usize = 128;
/// Longest value of a property, in bytes.
const LONG: usize = 2048;
/// Longest note, in bytes.
const NOTE: usize = 16 << 10;
/// Most tags, and most properties.
const MANY: usize = 64;
/// The highest unit of a rack.
const UNITS: u16 = 100;

/// A field that cannot be kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {why}")]
pub struct Fault {
    /// The field, as in the request.
    pub field: String,
    /// What is wrong with it, and what would be right.
    pub why: String,
}

fn fault(field: &str, why: impl Into<String>) -> Fault {
    Fault { field: field.to_owned(), why: why.into() }
}

/// Several faults as one text.
pub fn faults(list: &[Fault]) -> String {
    list.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// A text that people read, of at most `limit` bytes.
fn text(found: &mut Vec<Fault>, field: &str, value: &str, limit: usize) {
    if value.len() > limit {
        found.push(fault(field, format!("has {} bytes, at most {limit} are kept", value.len())));
    }
    if value.chars().any(|c| c.is_control() && !(limit == NOTE && matches!(c, '\n' | '\t'))) {
        found.push(fault(field, "has a control character"));
    }
}

/// The asset as it is kept: texts trimmed, tags sorted and each once.
///
/// # Errors
/// Every fault.
pub fn asset(mut asset: Asset, at: &str) -> Result<Asset, Vec<Fault>> {
    let mut found = Vec::new();
    let name = |field: &str| if at.is_empty() { field.to_owned() } else { format!("{at}.{field}") };
    for (field, value) in
        [("site", &mut asset.site), ("rack", &mut asset.rack), ("inventory_number", &mut asset.inventory_number)]
    {
        *value = value.trim().to_owned();
        text(&mut found, &name(field), value, SHORT);
    }
    for (field, unit) in [("lower_unit", asset.lower_unit), ("upper_unit", asset.upper_unit)] {
        if unit > UNITS {
            found.push(fault(&name(field), format!("is {unit}; a rack has at most {UNITS} units")));
        }
    }
    match (asset.lower_unit, asset.upper_unit) {
        (0, 0) => {}
        (lower, 0) => asset.upper_unit = lower,
        (0, _) => found.push(fault(&name("lower_unit"), "is missing beside upper_unit; give the lowest unit, from 1")),
        (lower, upper) if upper < lower => {
            found.push(fault(&name("upper_unit"), format!("is below lower_unit ({upper} < {lower})")));
        }
        _ => {}
    }
    if asset.lower_unit > 0 && asset.rack.is_empty() {
        found.push(fault(&name("rack"), "is missing; units are those of a rack"));
    }
    for tag in &mut asset.tags {
        *tag = tag.trim().to_owned();
        text(&mut found, &name("tags"), tag, SHORT);
        if tag.is_empty() || tag.contains(',') {
            found.push(fault(&name("tags"), format!("{tag:?} is no tag; it has to have a text without commas")));
        }
    }
    asset.tags.sort();
    asset.tags.dedup();
    if asset.tags.len() > MANY || asset.properties.len() > MANY {
        found.push(fault(&name("tags"), format!("at most {MANY} tags and {MANY} properties are kept")));
    }
    for (key, value) in &asset.properties {
        let field = name(&format!("properties.{key}"));
        if key.trim().is_empty() {
            found.push(fault(&name("properties"), "has an empty key"));
        }
        text(&mut found, &field, key, SHORT);
        text(&mut found, &field, value, LONG);
    }
    if found.is_empty() { Ok(asset) } else { Err(found) }
}

/// A BMC as it is kept: the MAC address in lower case with colons.
///
/// # Errors
/// Every fault.
pub fn bmc(mut bmc: MachineBmc, at: &str) -> Result<MachineBmc, Vec<Fault>> {
    let mut found = Vec::new();
    let name = |field: &str| if at.is_empty() { field.to_owned() } else { format!("{at}.{field}") };
    match url::Url::parse(&bmc.endpoint) {
        _ if bmc.endpoint.len() > LONG => found.push(fault(&name("endpoint"), "is too long for an address")),
        Ok(url) if url.scheme() != "https" || url.host_str().is_none() => {
            found.push(fault(&name("endpoint"), "has to be an https:// address"));
        }
        Ok(url) if !url.username().is_empty() || url.password().is_some() => {
            found.push(fault(&name("endpoint"), "must not carry credentials; give username and password"));
        }
        Ok(_) => {}
        Err(e) => found.push(fault(&name("endpoint"), format!("is no address: {e}"))),
    }
    text(&mut found, &name("username"), &bmc.username, SHORT);
    text(&mut found, &name("password"), &bmc.password, LONG);
    match mac(&bmc.mac) {
        Some(mac) => bmc.mac = mac,
        None => found.push(fault(&name("mac"), format!("{:?} is no MAC address such as 52:54:00:12:34:56", bmc.mac))),
    }
    if found.is_empty() { Ok(bmc) } else { Err(found) }
}

/// A MAC address in lower case with colons; an empty one stays empty.
pub fn mac(text: &str) -> Option<String> {
    let digits: String = text.trim().chars().filter(|c| !matches!(c, ':' | '-' | '.')).collect();
    if digits.is_empty() && text.trim().is_empty() {
        return Some(String::new());
    }
    if digits.len() != 12 || !digits.chars().all(|c| c.is_ascii_hexdigit()) {
        return None;
    }
    let lower = digits.to_ascii_lowercase();
    let pairs: Vec<&str> = lower.as_bytes().chunks(2).filter_map(|pair| std::str::from_utf8(pair).ok()).collect();
    Some(pairs.join(":"))
}

/// A hardware identity as it is compared: trimmed; empty is none.
///
/// # Errors
/// The fault.
pub fn identity(field: &str, value: &str) -> Result<Option<String>, Vec<Fault>> {
    let mut found = Vec::new();
    let value = value.trim();
    text(&mut found, field, value, SHORT);
    if found.is_empty() { Ok((!value.is_empty()).then(|| value.to_owned())) } else { Err(found) }
}

/// A note's text, trimmed.
///
/// # Errors
/// The faults.
pub fn note(field: &str, value: &str) -> Result<String, Vec<Fault>> {
    let mut found = Vec::new();
    let value = value.trim();
    text(&mut found, field, value, NOTE);
    if found.is_empty() { Ok(value.to_owned()) } else { Err(found) }
}

/// A name of an owner, a holder or a workload.
///
/// # Errors
/// The faults.
pub fn party(field: &str, value: &str) -> Result<String, Vec<Fault>> {
    let mut found = Vec::new();
    let value = value.trim();
    text(&mut found, field, value, SHORT);
    if value.is_empty() {
        found.push(fault(field, "is missing"));
    }
    if found.is_empty() { Ok(value.to_owned()) } else { Err(found) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_asset_is_kept_in_one_spelling() {
        let given = Asset {
            rack: " r7 ".into(),
            lower_unit: 3,
            tags: vec!["gpu".into(), " db".into(), "gpu".into()],
            ..Asset::default()
        };
        let kept = asset(given, "").unwrap();
        assert_eq!((kept.rack.as_str(), kept.upper_unit, kept.tags), ("r7", 3, vec!["db".to_owned(), "gpu".into()]));
        assert_eq!(asset(Asset::default(), ""), Ok(Asset::default()));
    }

    #[test]
    fn every_fault_is_named_at_once() {
        let given = Asset {
            site: "x".repeat(200),
            rack: "a\u{7}".into(),
            lower_unit: 9,
            upper_unit: 3,
            inventory_number: "y".repeat(129),
            tags: vec![String::new(), "a,b".into()],
            ..Asset::default()
        };
        let found = asset(given, "asset").unwrap_err();
        let fields: Vec<_> = found.iter().map(|f| f.field.as_str()).collect();
        assert_eq!(
            fields,
            ["asset.site", "asset.rack", "asset.inventory_number", "asset.upper_unit", "asset.tags", "asset.tags"]
        );
        assert!(faults(&found).contains("asset.upper_unit: is below lower_unit (3 < 9)"), "{}", faults(&found));
        let lonely = Asset { upper_unit: 2, ..Asset::default() };
        assert_eq!(asset(lonely, "").unwrap_err()[0].field, "lower_unit");
        assert_eq!(asset(Asset { lower_unit: 2, ..Asset::default() }, "").unwrap_err()[0].field, "rack");
    }

    #[test]
    fn addresses_are_told_from_texts() {
        let with = |endpoint: &str, mac: &str| {
            bmc(MachineBmc { endpoint: endpoint.into(), mac: mac.into(), ..MachineBmc::default() }, "bmc")
        };
        assert_eq!(with("https://198.51.100.7", "52-54-00-AB-cd-56").unwrap().mac, "52:54:00:ab:cd:56");
        for (endpoint, mac, field) in [
            ("http://198.51.100.7", "", "bmc.endpoint"),
            ("198.51.100.7", "", "bmc.endpoint"),
            ("https://root:calvin@198.51.100.7", "", "bmc.endpoint"),
            ("https://198.51.100.7", "52:54", "bmc.mac"),
            ("https://198.51.100.7", "52:54:00:12:34:5g", "bmc.mac"),
        ] {
            assert_eq!(with(endpoint, mac).unwrap_err()[0].field, field, "{endpoint} {mac}");
        }
        assert_eq!(mac(""), Some(String::new()));
        assert_eq!(party("owner", " ").unwrap_err()[0].to_string(), "owner: is missing");
    }
}
