//! Values as text and JSON.

use super::{Key, List, Map, Value};
use crate::fuel::{Fuel, Trouble, failed};
use crate::gotime;
use jiff::ZonedDateTime;
use serde_json::{Number, Value as Json};
use std::collections::BTreeMap;

/// A number whose type is known to be an integer; what does not fit stays a float.
pub(crate) fn json_number<'a>(number: &Number) -> Value<'a> {
    match (number.as_i64(), number.as_f64()) {
        (Some(value), _) => Value::Int(value),
        (None, Some(value)) if value.fract() == 0.0 && value.abs() < 9e18 => Value::Int(value as i64),
        (None, Some(value)) => Value::Float(value),
        (None, None) => Value::Int(0),
    }
}

/// An RFC 3339 time with its offset.
pub(crate) fn parse_time(text: &str) -> Option<ZonedDateTime> {
    gotime::parse_rfc3339(text)
}

impl<'a> Value<'a> {
    /// As `string()` prints it (Go's `%v`).
    pub fn print(&self, fuel: &mut Fuel) -> Result<String, Trouble> {
        fuel.step(1)?;
        let text = match self {
            Self::Nil => "<nil>".to_owned(),
            Self::Bool(value) => value.to_string(),
            Self::Int(value) => value.to_string(),
            Self::Float(value) => print_float(*value),
            Self::Str(text) => text.to_string(),
            Self::Named(_, text) | Self::Uuid(text) => (*text).to_owned(),
            Self::Code(code, value) => code.text(*value).to_owned(),
            Self::Bytes(bytes) => {
                let items: Vec<String> = bytes.iter().map(u8::to_string).collect();
                format!("[{}]", items.join(" "))
            }
            Self::Time(at) => gotime::format(at, "2006-01-02 15:04:05.999999999 -0700 MST"),
            Self::Duration(nanos) => gotime::print_duration(*nanos),
            Self::Zone(zone) => zone.iana_name().unwrap_or("UTC").to_owned(),
            Self::List(list) => {
                let items: Result<Vec<String>, Trouble> = list.iter().map(|item| item?.print(fuel)).collect();
                format!("[{}]", items?.join(" "))
            }
            Self::Map(map) => {
                let mut entries = map.entries()?;
                entries.sort_by(|a, b| a.0.cmp(&b.0));
                let items: Result<Vec<String>, Trouble> =
                    entries.iter().map(|(key, value)| Ok(format!("{key}:{}", value.print(fuel)?))).collect();
                format!("map[{}]", items?.join(" "))
            }
            Self::Record(object, record) => {
                let items: Result<Vec<String>, Trouble> = record
                    .fields
                    .iter()
                    .map(|(name, _)| {
                        let key = record.get(name).map_or(*name, |(key, _)| key);
                        let ty = record.get(name).map(|(_, ty)| ty);
                        ty.map_or(Ok(String::new()), |ty| {
                            Value::from_json(object.and_then(|object| object.get(key)), ty)?.print(fuel)
                        })
                    })
                    .collect();
                format!("{{{}}}", items?.join(" "))
            }
        };
        fuel.text(text.len())?;
        Ok(text)
    }

    /// As `toJSON()` sees it.
    pub fn to_json(&self, fuel: &mut Fuel) -> Result<Json, Trouble> {
        fuel.alloc(1)?;
        Ok(match self {
            Self::Nil => Json::Null,
            Self::Bool(value) => Json::Bool(*value),
            Self::Int(value) | Self::Code(_, value) | Self::Duration(value) => Json::from(*value),
            Self::Float(value) if value.fract() == 0.0 && value.abs() < 9e15 => Json::from(*value as i64),
            Self::Float(value) => match Number::from_f64(*value) {
                Some(number) => Json::Number(number),
                None => return failed(format!("json: unsupported value: {}", print_float(*value))),
            },
            Self::Str(text) => Json::from(&**text),
            Self::Named(_, text) | Self::Uuid(text) => Json::from(*text),
            Self::Bytes(bytes) => Json::from(crate::builtins::encode_base64(bytes)),
            Self::Time(at) => Json::from(gotime::format(at, gotime::RFC3339_NANO)),
            Self::Zone(_) => Json::Object(serde_json::Map::new()),
            Self::List(List::Row(items, _)) => Json::Array(items.to_vec()),
            Self::List(list) => {
                Json::Array(list.iter().map(|item| item?.to_json(fuel)).collect::<Result<_, Trouble>>()?)
            }
            Self::Map(map) if map.is_nil() => Json::Null,
            Self::Map(Map::Row(Some(object), _)) => Json::Object((*object).clone()),
            Self::Map(map) => {
                let mut object = serde_json::Map::new();
                for (key, value) in map.entries()? {
                    object.insert(key.to_string(), value.to_json(fuel)?);
                }
                Json::Object(object)
            }
            Self::Record(object, _) => Json::Object(object.cloned().unwrap_or_default()),
        })
    }

    /// A value of its own from parsed JSON; numbers become floats.
    pub fn from_owned(json: &Json) -> Result<Self, String> {
        Ok(match json {
            Json::Null => Self::Nil,
            Json::Bool(value) => Self::Bool(*value),
            Json::Number(number) => Self::Float(number.as_f64().unwrap_or(f64::NAN)),
            Json::String(text) => Self::text(text.as_str()),
            Json::Array(items) => Self::list(items.iter().map(Self::from_owned).collect::<Result<_, String>>()?)?,
            Json::Object(object) => {
                let mut entries = BTreeMap::new();
                for (key, value) in object {
                    entries.insert(Key::Text(key.clone()), Self::from_owned(value)?);
                }
                Self::map(entries)?
            }
        })
    }
}

/// Go's `%v` of a float: the shortest digits, with an exponent below 1e-4 and from 1e21.
pub(crate) fn print_float(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let size = value.abs();
    if size != 0.0 && !(1e-4..1e21).contains(&size) {
        let text = format!("{value:e}");
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, exponent) = match exponent.strip_prefix('-') {
            Some(exponent) => ('-', exponent),
            None => ('+', exponent),
        };
        return format!("{digits}e{sign}{exponent:0>2}");
    }
    value.to_string()
}
