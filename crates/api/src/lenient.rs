//! Reading as the reference reads: `null` leaves a field at its zero value.

use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;

/// For `#[serde(default, deserialize_with = "lenient::null_as_default")]`.
pub fn null_as_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(d: D) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(d)?.unwrap_or_default())
}

/// For `#[serde(default, deserialize_with = "lenient::present")]`: a key that is not there is `None`, `null` is `Some(None)`.
/// So a client that does not know the key changes nothing.
pub fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(d: D) -> Result<Option<Option<T>>, D::Error> {
    Option::<T>::deserialize(d).map(Some)
}

/// Properties: numbers, booleans and null become text, nested values are refused (`servers.md` 2.1).
pub fn properties<'de, D: Deserializer<'de>>(d: D) -> Result<Option<BTreeMap<String, String>>, D::Error> {
    let Some(map) = Option::<BTreeMap<String, serde_json::Value>>::deserialize(d)? else { return Ok(None) };
    map.into_iter()
        .map(|(key, value)| match property_text(&value) {
            Some(text) => Ok((key, text)),
            None => Err(serde::de::Error::custom(format!(
                "property {key:?} must be a text, a number or a boolean, not a nested value"
            ))),
        })
        .collect::<Result<_, _>>()
        .map(Some)
}

fn property_text(value: &serde_json::Value) -> Option<String> {
    use serde_json::Value;
    match value {
        Value::Null => Some(String::new()),
        Value::Bool(b) => Some(b.to_string()),
        Value::String(s) => Some(s.clone()),
        Value::Number(n) => Some(match n.as_f64() {
            Some(f) if n.is_f64() && f.fract() == 0.0 && f.abs() < 1e18 => format!("{f:.0}"),
            _ => n.to_string(),
        }),
        Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Probe {
        #[serde(default, deserialize_with = "properties")]
        properties: Option<BTreeMap<String, String>>,
    }

    #[test]
    fn scalars_become_text() {
        let text = r#"{"properties": {"a": 7, "b": 0.5, "c": false, "d": null, "e": "x", "f": 3.0}}"#;
        let probe: Probe = serde_json::from_str(text).unwrap();
        let got: Vec<_> = probe.properties.unwrap().into_values().collect();
        assert_eq!(got, ["7", "0.5", "false", "", "x", "3"]);
    }

    #[test]
    fn nested_values_are_refused_by_name() {
        let error = serde_json::from_str::<Probe>(r#"{"properties": {"rack": {}}}"#).err().unwrap();
        assert!(error.to_string().contains("rack"), "{error}");
    }
}
