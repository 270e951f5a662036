//! Values at run time. Rows are looked into, not copied: texts, lists and maps of the row are
//! borrowed, and typed members that are absent become the zero value of their type.

use crate::schema::{ANY, CodeType, StructType, Type};
use jiff::{Timestamp, ZonedDateTime, tz::TimeZone};
use serde_json::Value as Json;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;

mod convert;

pub(crate) use convert::{json_number, parse_time};

/// Lists and maps built by an expression nest at most this deep, which bounds every recursion
/// over values.
pub(crate) const MAX_DEPTH: u16 = 100;

#[derive(Debug, Clone)]
pub(crate) enum Value<'a> {
    Nil,
    Bool(bool),
    Int(i64),
    Float(f64),
    Str(Text<'a>),
    /// A text of a named type.
    Named(&'static str, &'a str),
    /// An integer of a type with texts.
    Code(&'static CodeType, i64),
    Bytes(Rc<[u8]>),
    Uuid(&'a str),
    Time(Box<ZonedDateTime>),
    /// Nanoseconds.
    Duration(i64),
    Zone(TimeZone),
    List(List<'a>),
    Map(Map<'a>),
    /// A record of the row; absent records have only zero values.
    Record(Option<&'a serde_json::Map<String, Json>>, &'a StructType),
}

/// A text, borrowed from the row or the program, or built.
#[derive(Debug, Clone)]
pub(crate) enum Text<'a> {
    Borrowed(&'a str),
    Built(Rc<str>),
}

impl std::ops::Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Self::Borrowed(text) => text,
            Self::Built(text) => text,
        }
    }
}

#[derive(Debug, Clone)]
pub(crate) enum List<'a> {
    /// A list of the row and the type of its elements.
    Row(&'a [Json], &'a Type),
    Built(Rc<Built<Vec<Value<'a>>>>),
    /// First and last of an ascending or empty range.
    Range(i64, i64),
}

#[derive(Debug, Clone)]
pub(crate) enum Map<'a> {
    /// A map of the row and the type of its values; absent maps are nil.
    Row(Option<&'a serde_json::Map<String, Json>>, &'a Type),
    Built(Rc<Built<BTreeMap<Key, Value<'a>>>>),
}

/// Something built by the expression, with how deep it nests.
#[derive(Debug)]
pub(crate) struct Built<T> {
    pub content: T,
    depth: u16,
}

/// A key of a built map; only `groupBy` makes keys that are not texts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Key {
    Nil,
    Bool(bool),
    Int(i64),
    Text(String),
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nil => f.write_str("<nil>"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Int(value) => write!(f, "{value}"),
            Self::Text(text) => f.write_str(text),
        }
    }
}

impl<'a> Value<'a> {
    pub fn text(text: impl Into<Rc<str>>) -> Self {
        Self::Str(Text::Built(text.into()))
    }

    pub fn borrowed(text: &'a str) -> Self {
        Self::Str(Text::Borrowed(text))
    }

    pub fn time(at: Timestamp) -> Self {
        Self::Time(Box::new(at.to_zoned_datetime(TimeZone::UTC)))
    }

    /// A list; the error says that it nests too deep.
    pub fn list(items: Vec<Value<'a>>) -> Result<Self, String> {
        let depth = deeper(items.iter())?;
        Ok(Self::List(List::Built(Rc::new(Built { content: items, depth }))))
    }

    /// A map; the error says that it nests too deep.
    pub fn map(entries: BTreeMap<Key, Value<'a>>) -> Result<Self, String> {
        let depth = deeper(entries.values())?;
        Ok(Self::Map(Map::Built(Rc::new(Built { content: entries, depth }))))
    }

    fn depth(&self) -> u16 {
        match self {
            Self::List(List::Built(built)) => built.depth,
            Self::Map(Map::Built(built)) => built.depth,
            _ => 0,
        }
    }

    /// The value of a member of the row, by its static type.
    pub fn from_json(json: Option<&'a Json>, ty: &'a Type) -> Result<Self, String> {
        let json = json.filter(|json| !json.is_null());
        Ok(match ty {
            Type::Any => match json {
                None => Self::Nil,
                Some(Json::Bool(value)) => Self::Bool(*value),
                // As decoded without a type: every number is a float.
                Some(Json::Number(number)) => Self::Float(number.as_f64().unwrap_or(f64::NAN)),
                Some(Json::String(text)) => Self::borrowed(text),
                Some(Json::Array(items)) => Self::List(List::Row(items, &ANY)),
                Some(Json::Object(object)) => Self::Map(Map::Row(Some(object), &ANY)),
                Some(Json::Null) => Self::Nil,
            },
            Type::Nil => Self::Nil,
            Type::Bool => Self::Bool(json.and_then(Json::as_bool).unwrap_or(false)),
            Type::Int => match json.and_then(Json::as_number) {
                Some(number) => json_number(number),
                None => Self::Int(0),
            },
            Type::Float => Self::Float(json.and_then(Json::as_f64).unwrap_or(0.0)),
            Type::Duration => Self::Duration(json.and_then(Json::as_i64).unwrap_or(0)),
            Type::Code(code) => Self::Code(code, json.and_then(Json::as_i64).unwrap_or(0)),
            Type::Str => match json {
                None => Self::borrowed(""),
                Some(Json::String(text)) => Self::borrowed(text),
                // Config maps may hold numbers and booleans (inventory.md 3.3).
                Some(Json::Number(_) | Json::Bool(_)) => Self::text(json.map(Json::to_string).unwrap_or_default()),
                Some(_) => Self::borrowed(""),
            },
            Type::Named(name, inner) => match (&**inner, json) {
                (Type::Str, json) => Self::Named(name, json.and_then(Json::as_str).unwrap_or("")),
                (inner, json) => Self::from_json(json, inner)?,
            },
            Type::Uuid => Self::Uuid(json.and_then(Json::as_str).unwrap_or("00000000-0000-0000-0000-000000000000")),
            Type::Time => match json.and_then(Json::as_str) {
                None | Some("") => Self::Time(Box::new(zero_time())),
                Some(text) => {
                    let at = parse_time(text).ok_or_else(|| format!("cannot read {text:?} as a time"))?;
                    Self::Time(Box::new(at))
                }
            },
            Type::List(item) => {
                Self::List(List::Row(json.and_then(Json::as_array).map_or(&[][..], Vec::as_slice), item))
            }
            Type::Map(item) => Self::Map(Map::Row(json.and_then(Json::as_object), item)),
            Type::Struct(record) => Self::Record(json.and_then(Json::as_object), record),
            Type::Optional(inner) => match json {
                None => Self::Nil,
                json => Self::from_json(json, inner)?,
            },
        })
    }

    /// Name of the type in run-time errors, as Go prints it.
    pub fn type_name(&self) -> Cow<'a, str> {
        Cow::Borrowed(match self {
            Self::Nil => "<nil>",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Float(_) => "float64",
            Self::Str(_) => "string",
            Self::Named(name, _) => name,
            Self::Code(code, _) => code.name,
            Self::Bytes(_) => "[]uint8",
            Self::Uuid(_) => "uuid.UUID",
            Self::Time(_) => "time.Time",
            Self::Duration(_) => "time.Duration",
            Self::Zone(_) => "*time.Location",
            Self::List(List::Row(_, item)) => return Cow::Owned(Type::List(Box::new((*item).clone())).to_string()),
            Self::List(List::Range(..)) => "[]int",
            Self::List(List::Built(_)) => "[]interface {}",
            Self::Map(Map::Row(_, item)) => return Cow::Owned(Type::Map(Box::new((*item).clone())).to_string()),
            Self::Map(Map::Built(_)) => "map[string]interface {}",
            Self::Record(_, record) => record.name,
        })
    }
}

fn deeper<'v, 'a: 'v>(children: impl Iterator<Item = &'v Value<'a>>) -> Result<u16, String> {
    let depth = children.map(Value::depth).max().unwrap_or(0) + 1;
    if depth > MAX_DEPTH {
        return Err(format!("value nests more than {MAX_DEPTH} levels deep"));
    }
    Ok(depth)
}

/// 0001-01-01T00:00:00Z, Go's zero time.
pub(crate) fn zero_time() -> ZonedDateTime {
    jiff::civil::date(1, 1, 1)
        .to_zoned_datetime(TimeZone::UTC)
        .unwrap_or_else(|_| Timestamp::UNIX_EPOCH.to_zoned_datetime(TimeZone::UTC))
}

impl<'a> List<'a> {
    pub fn len(&self) -> usize {
        match self {
            Self::Row(items, _) => items.len(),
            Self::Built(built) => built.content.len(),
            Self::Range(first, last) => (last - first + 1).max(0) as usize,
        }
    }

    /// The element at `at`, which must be within.
    pub fn get(&self, at: usize) -> Result<Value<'a>, String> {
        match self {
            Self::Row(items, ty) => Value::from_json(items.get(at), ty),
            Self::Built(built) => Ok(built.content.get(at).cloned().unwrap_or(Value::Nil)),
            Self::Range(first, _) => Ok(Value::Int(first + at as i64)),
        }
    }

    /// All elements in order.
    pub fn iter(&self) -> impl Iterator<Item = Result<Value<'a>, String>> {
        (0..self.len()).map(|at| self.get(at))
    }

    pub fn slice(&self, from: usize, to: usize) -> Result<Value<'a>, String> {
        Ok(match self {
            Self::Row(items, ty) => Value::List(List::Row(&items[from..to], ty)),
            Self::Built(built) => return Value::list(built.content[from..to].to_vec()),
            Self::Range(first, _) => Value::List(Self::Range(first + from as i64, first + to as i64 - 1)),
        })
    }

    /// Whether a comparison with a list literal goes element by element: Go compares lists of
    /// records only with lists of the same type (inventory.md 8.6).
    pub fn is_of_records(&self) -> bool {
        matches!(self, Self::Row(_, ty) if matches!(ty.plain(), Type::Struct(_) | Type::Map(_) | Type::List(_)))
    }
}

impl<'a> Map<'a> {
    pub fn len(&self) -> usize {
        match self {
            Self::Row(object, _) => object.map_or(0, serde_json::Map::len),
            Self::Built(built) => built.content.len(),
        }
    }

    pub fn is_nil(&self) -> bool {
        matches!(self, Self::Row(None, _))
    }

    pub fn contains(&self, key: &Key) -> bool {
        match (self, key) {
            (Self::Row(object, _), Key::Text(text)) => object.is_some_and(|object| object.contains_key(text)),
            (Self::Row(..), _) => false,
            (Self::Built(built), key) => built.content.contains_key(key),
        }
    }

    /// The value under a key, none if there is no such key.
    pub fn get(&self, key: &Key) -> Result<Option<Value<'a>>, String> {
        match (self, key) {
            (Self::Row(..), Key::Text(text)) => self.get_text(text),
            (Self::Row(..), _) => Ok(None),
            (Self::Built(built), key) => Ok(built.content.get(key).cloned()),
        }
    }

    /// The same by text, without building a key for maps of the row.
    pub fn get_text(&self, key: &str) -> Result<Option<Value<'a>>, String> {
        match self {
            Self::Row(object, ty) => match object.and_then(|object| object.get(key)) {
                Some(json) => Value::from_json(Some(json), ty).map(Some),
                None => Ok(None),
            },
            Self::Built(built) => Ok(built.content.get(&Key::Text(key.to_owned())).cloned()),
        }
    }

    /// What an absent key reads as: the zero value if the type of the values is known.
    pub fn missing(&self) -> Result<Value<'a>, String> {
        match self {
            Self::Row(_, ty) => Value::from_json(None, ty),
            Self::Built(_) => Ok(Value::Nil),
        }
    }

    /// Keys and values; the order is that of the row or of the keys.
    pub fn entries(&self) -> Result<Vec<(Key, Value<'a>)>, String> {
        match self {
            Self::Row(object, ty) => object
                .iter()
                .flat_map(|object| object.iter())
                .map(|(key, json)| Ok((Key::Text(key.clone()), Value::from_json(Some(json), ty)?)))
                .collect(),
            Self::Built(built) => Ok(built.content.iter().map(|(k, v)| (k.clone(), v.clone())).collect()),
        }
    }
}
