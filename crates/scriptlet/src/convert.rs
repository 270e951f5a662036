//! JSON to Starlark values and back.

use serde_json::{Map, Number, Value as Json};
use starlark::values::dict::{AllocDict, DictRef};
use starlark::values::float::UnpackFloat;
use starlark::values::list::{AllocList, ListRef};
use starlark::values::structs::{AllocStruct, StructRef};
use starlark::values::tuple::TupleRef;
use starlark::values::{Heap, UnpackValue, Value};

use crate::functions::FunctionError;

/// Members of a server record that hold maps with free keys; every other object is a structure.
/// Where the same name also holds a list (`interfaces`, `members`), the list is told by its form.
/// In order: the record itself; network configuration (proxy servers) and state; security state;
/// hardware (vital product data and mediated devices of PCI cards).
const MAP_KEYS: [&str; 8] =
    ["properties", "servers", "interfaces", "members", "drive_recovery_keys", "pool_recovery_keys", "entries", "mdev"];

/// Deepest nesting of a value handed to the machine.
const MAX_DEPTH: usize = 64;

/// Values and string bytes one document for the machine may have. Without it a list that holds
/// another one twice, and so on, would grow without bound when written out.
const MAX_DOCUMENT: usize = 4 * 1024 * 1024;

/// The record of a server: structures as objects with attributes, maps as dicts.
pub(crate) fn record<'v>(json: &Json, heap: Heap<'v>) -> Value<'v> {
    match json {
        Json::Object(members) => heap.alloc(AllocStruct(members.iter().map(|(key, value)| {
            let value = match value {
                // A map that was never filled is an empty dict to the program.
                Json::Null if is_map(key) => plain(&Json::Object(Map::new()), heap),
                Json::Object(entries) if is_map(key) => {
                    heap.alloc(AllocDict(entries.iter().map(|(key, value)| (key.as_str(), record(value, heap)))))
                }
                value => record(value, heap),
            };
            (key.as_str(), value)
        }))),
        Json::Array(items) => heap.alloc(AllocList(items.iter().map(|item| record(item, heap)))),
        scalar => plain(scalar, heap),
    }
}

fn is_map(key: &str) -> bool {
    MAP_KEYS.contains(&key)
}

/// An answer of the machine: every object a dict.
pub(crate) fn plain<'v>(json: &Json, heap: Heap<'v>) -> Value<'v> {
    match json {
        Json::Null => Value::new_none(),
        Json::Bool(value) => Value::new_bool(*value),
        Json::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(value), _) => heap.alloc(value),
            (_, Some(value)) => heap.alloc(value),
            _ => heap.alloc(number.as_f64().unwrap_or(f64::NAN)),
        },
        Json::String(text) => heap.alloc(text.as_str()),
        Json::Array(items) => heap.alloc(AllocList(items.iter().map(|item| plain(item, heap)))),
        Json::Object(members) => {
            heap.alloc(AllocDict(members.iter().map(|(key, value)| (key.as_str(), plain(value, heap)))))
        }
    }
}

/// The document a program hands to the machine as argument `name`, which must be a dict.
pub(crate) fn document(name: &'static str, value: Value) -> Result<Json, FunctionError> {
    if DictRef::from_value(value).is_none() {
        return Err(FunctionError::Type { name, expected: "a dict", found: value.get_type().to_owned() });
    }
    Writer { name, left: MAX_DOCUMENT }.write(value, 0)
}

/// Writes a value as JSON within [`MAX_DEPTH`] and [`MAX_DOCUMENT`].
struct Writer {
    name: &'static str,
    left: usize,
}

impl Writer {
    fn write(&mut self, value: Value, depth: usize) -> Result<Json, FunctionError> {
        // A list that contains itself ends here too.
        if depth > MAX_DEPTH {
            return Err(FunctionError::TooDeep(self.name));
        }
        self.spend(1)?;
        if value.is_none() {
            return Ok(Json::Null);
        }
        if let Some(value) = value.unpack_bool() {
            return Ok(Json::Bool(value));
        }
        if let Some(text) = value.unpack_str() {
            return Ok(Json::String(self.text(text)?));
        }
        if value.get_type() == "int" {
            return self.integer(value);
        }
        if value.get_type() == "float" {
            let number = UnpackFloat::unpack_value_opt(value).and_then(|float| Number::from_f64(float.0));
            return number.map(Json::Number).ok_or_else(|| self.unfit(value));
        }
        if let Some(list) = ListRef::from_value(value) {
            return self.items(list.content(), depth);
        }
        if let Some(tuple) = TupleRef::from_value(value) {
            return self.items(tuple.content(), depth);
        }
        let mut members = Map::new();
        if let Some(dict) = DictRef::from_value(value) {
            for (key, value) in dict.iter() {
                let Some(key) = key.unpack_str() else {
                    return Err(FunctionError::Key { name: self.name, found: key.get_type().to_owned() });
                };
                members.insert(self.text(key)?, self.write(value, depth + 1)?);
            }
        } else if let Some(structure) = StructRef::from_value(value) {
            // Parts of the candidate may be handed on as they are.
            for (key, value) in structure.iter() {
                members.insert(self.text(key.as_str())?, self.write(value, depth + 1)?);
            }
        } else {
            return Err(self.unfit(value));
        }
        Ok(Json::Object(members))
    }

    fn items(&mut self, items: &[Value], depth: usize) -> Result<Json, FunctionError> {
        items.iter().map(|item| self.write(*item, depth + 1)).collect::<Result<_, _>>().map(Json::Array)
    }

    fn text(&mut self, text: &str) -> Result<String, FunctionError> {
        self.spend(text.len())?;
        Ok(text.to_owned())
    }

    /// Integers are unbounded in Starlark; the machine reads 64 bits.
    fn integer(&self, value: Value) -> Result<Json, FunctionError> {
        let text = value.to_str();
        let signed = text.parse::<i64>().map(Json::from);
        signed.or_else(|_| text.parse::<u64>().map(Json::from)).map_err(|_| self.unfit(value))
    }

    fn spend(&mut self, amount: usize) -> Result<(), FunctionError> {
        self.left = self.left.checked_sub(amount).ok_or(FunctionError::TooLarge(self.name))?;
        Ok(())
    }

    fn unfit(&self, value: Value) -> FunctionError {
        FunctionError::Unfit { name: self.name, found: value.get_type().to_owned() }
    }
}
