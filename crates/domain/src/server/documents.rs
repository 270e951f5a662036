//! What is kept of the documents that a full poll brings (`servers.md` 8.4). Their shape is the machine's business: they are
//! passed on as they are, but for secrets, for what clients of the reference miss, and for nesting that nobody could read.

use super::hidden;
use serde_json::{Value, json, value::RawValue};
use std::net::IpAddr;

/// Nesting that is kept. Real documents have ten levels; readers give up at 128, and a list of servers adds some of its own: one
/// machine must not make it unreadable.
const DEPTH: usize = 64;

/// The documents as the machine sent them.
#[derive(Debug, Clone, Copy)]
pub struct Documents<'a> {
    /// Incus resources document.
    pub resources: &'a RawValue,
    /// Network document.
    pub network: &'a RawValue,
    /// Security document; it holds recovery keys in clear.
    pub security: &'a RawValue,
    /// Storage document.
    pub storage: &'a RawValue,
}

/// What is taken of the documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Incus resources document.
    pub hardware: String,
    /// Network, security and storage, secrets masked.
    pub os_data: String,
    /// The same with the secrets, to be sealed.
    pub secrets: String,
    /// Addresses that the machine is managed at.
    pub management: Vec<IpAddr>,
}

/// A document that cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// Not readable.
    #[error("the {0} document cannot be read: {1}")]
    Unreadable(&'static str, serde_json::Error),
    /// Nested deeper than is kept, 64 levels.
    #[error("the {0} document is nested deeper than {DEPTH} levels")]
    Deep(&'static str),
}

impl Documents<'_> {
    /// What is stored of them.
    ///
    /// # Errors
    /// [`Unusable`] names the document.
    pub fn keep(&self) -> Result<Kept, Unusable> {
        let network = parsed("network", self.network)?;
        let management = management(&network);
        let mut all = json!({
            "network": network,
            "security": parsed("security", self.security)?,
            "storage": parsed("storage", self.storage)?,
        });
        let secrets = all.to_string();
        hidden::mask(&mut all);
        let hardware = hardware(parsed("resources", self.resources)?);
        Ok(Kept { hardware, os_data: all.to_string(), secrets, management })
    }
}

/// Addresses of the interfaces with role `management`, in the order of the interfaces' names (`servers.md` 7.1).
fn management(network: &Value) -> Vec<IpAddr> {
    let interfaces = network.pointer("/state/interfaces").and_then(Value::as_object);
    let mut named: Vec<_> = interfaces.into_iter().flatten().collect();
    named.sort_by_key(|(name, _)| name.as_str());
    named
        .into_iter()
        .filter(|(_, interface)| texts(interface, "roles").any(|role| role == "management"))
        .flat_map(|(_, interface)| texts(interface, "addresses"))
        .filter_map(|address| address.parse().ok())
        .collect()
}

fn texts<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a str> {
    value.get(key).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

fn parsed(name: &'static str, raw: &RawValue) -> Result<Value, Unusable> {
    let value = serde_json::from_str(raw.get()).map_err(|e| Unusable::Unreadable(name, e))?;
    if deeper(&value, DEPTH) { Err(Unusable::Deep(name)) } else { Ok(value) }
}

fn deeper(value: &Value, left: usize) -> bool {
    match value {
        Value::Array(_) | Value::Object(_) if left == 0 => true,
        Value::Array(items) => items.iter().any(|item| deeper(item, left - 1)),
        Value::Object(map) => map.values().any(|item| deeper(item, left - 1)),
        _ => false,
    }
}

/// As clients of the reference know it: each core says its cluster, also when the machine is too old to.
fn hardware(mut value: Value) -> String {
    let sockets = value.pointer_mut("/cpu/sockets").and_then(Value::as_array_mut);
    for socket in sockets.into_iter().flatten() {
        let cores = socket.get_mut("cores").and_then(Value::as_array_mut);
        for core in cores.into_iter().flatten().filter_map(Value::as_object_mut) {
            core.entry("cluster").or_insert(Value::from(0));
        }
    }
    value.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use muster_api::provisioning::server::MASK;

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).unwrap()
    }

    fn keep(resources: &str, network: &str) -> Result<Kept, Unusable> {
        let (resources, network, empty) = (raw(resources), raw(network), raw("{}"));
        Documents { resources: &resources, network: &network, security: &empty, storage: &empty }.keep()
    }

    #[test]
    fn secrets_are_sealed_and_masked_and_everything_else_is_both() {
        let kept = keep("{}", r#"{"mtu": 1500, "proxy": {"password": "geheim"}}"#).unwrap();
        assert!(kept.secrets.contains("geheim") && !kept.os_data.contains("geheim"));
        assert!(kept.os_data.contains(MASK) && kept.os_data.contains("1500"));
    }

    #[test]
    fn each_core_says_its_cluster() {
        let kept = keep(r#"{"cpu": {"sockets": [{"cores": [{"core": 1}, {"cluster": 7}]}]}}"#, "{}").unwrap();
        assert_eq!(kept.hardware, r#"{"cpu":{"sockets":[{"cores":[{"core":1,"cluster":0},{"cluster":7}]}]}}"#);
    }

    #[test]
    fn a_document_is_nested_so_deep_that_lists_can_be_read() {
        let nested = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert!(keep(&nested(DEPTH), &nested(DEPTH)).is_ok());
        let error = keep("{}", &nested(DEPTH + 1)).unwrap_err().to_string();
        assert_eq!(error, "the network document is nested deeper than 64 levels");
        assert!(matches!(keep(&nested(200), "{}"), Err(Unusable::Unreadable("resources", _))));
    }

    #[test]
    fn numbers_stay_the_same_however_often_they_are_read() {
        for number in ["1.3743895666666667e+26", "0.07", "18446744073709551615"] {
            let kept = keep(&format!(r#"{{"total":{number}}}"#), "{}").unwrap();
            assert_eq!(kept.hardware, format!(r#"{{"total":{number}}}"#));
        }
    }

    #[test]
    fn management_addresses_come_in_the_order_of_names() {
        let network = r#"{"state": {"interfaces": {"b": {"addresses": ["10.0.0.2", 7], "roles": ["management"]},
            "a": {"addresses": ["dhcp4", "fd00::1"], "roles": ["cluster", "management"]}, "c": {"addresses": ["10.0.0.3"], "roles": null}}}}"#;
        let want: Vec<IpAddr> = ["fd00::1", "10.0.0.2"].map(|ip| ip.parse().unwrap()).into();
        assert_eq!(keep("{}", network).unwrap().management, want);
    }

    #[test]
    fn a_document_with_half_a_character_is_named() {
        let error = keep("{}", r#"{"state": {"interfaces": {}}, "name": "\ud800"}"#).unwrap_err().to_string();
        assert!(error.starts_with("the network document cannot be read: "), "{error}");
    }
}
