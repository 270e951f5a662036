//! Documents that people write: YAML read into the body of a request (cli.md 3).

use crate::yaml;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

/// What happens to keys that mean nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keys {
    /// They are refused.
    Strict,
    /// They are ignored, as the official command line does.
    Lenient,
}

/// Reads a document of a known type: keys checked at every depth, `null` and scalars taken as the server takes them.
pub(crate) fn read_as<T: DeserializeOwned + Serialize + Default>(text: &str, keys: Keys) -> Result<Value, String> {
    let document: Value = yaml::parse(text)?;
    if !document.is_object() {
        return Err("the document must be a map of keys".into());
    }
    if keys == Keys::Strict {
        let known = serde_json::to_value(T::default()).map_err(|e| e.to_string())?;
        check_keys(&document, &known, "")?;
    }
    let typed: T = yaml::parse(text)?;
    serde_json::to_value(typed).map_err(|e| e.to_string())
}

/// Reads a document whose keys the server judges.
pub(crate) fn read_free(text: &str, _keys: Keys) -> Result<Value, String> {
    let document: Value = yaml::parse(text)?;
    if document.is_object() { Ok(document) } else { Err("the document must be a map of keys".into()) }
}

fn check_keys(given: &Value, known: &Value, path: &str) -> Result<(), String> {
    let (Value::Object(given), Value::Object(known)) = (given, known) else { return Ok(()) };
    if known.is_empty() {
        return Ok(());
    }
    for (key, member) in given {
        match known.get(key) {
            Some(deeper) => check_keys(member, deeper, &format!("{path}{key}."))?,
            None => {
                let list = known.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
                return Err(format!("unknown key \"{path}{key}\"; known are: {list}"));
            }
        }
    }
    Ok(())
}
