//! Functions over lists and maps.

use super::{Builtin, Done, arg, int, invalid};
use crate::ast::Binary;
use crate::fuel::{Fuel, Trouble, failed};
use crate::ops;
use crate::value::{Key, List, Map, Value};
use std::collections::BTreeMap;

fn list<'v, 'a>(function: Builtin, value: &'v Value<'a>) -> Result<&'v List<'a>, Trouble> {
    match value {
        Value::List(list) => Ok(list),
        other => failed(format!("invalid argument for {} (type {})", function.name(), other.type_name())),
    }
}

/// A copy of all elements, accounted for.
fn items<'a>(function: Builtin, value: &Value<'a>, fuel: &mut Fuel) -> Result<Vec<Value<'a>>, Trouble> {
    let list = list(function, value)?;
    fuel.alloc(list.len())?;
    Ok(list.iter().collect::<Result<_, String>>()?)
}

fn map<'v, 'a>(function: Builtin, value: &'v Value<'a>) -> Result<&'v Map<'a>, Trouble> {
    match value {
        Value::Map(map) => Ok(map),
        other => failed(format!("invalid argument for {} (type {})", function.name(), other.type_name())),
    }
}

fn key<'a>(key: Key) -> Value<'a> {
    match key {
        Key::Nil => Value::Nil,
        Key::Bool(value) => Value::Bool(value),
        Key::Int(value) => Value::Int(value),
        Key::Text(text) => Value::text(text),
    }
}

pub(super) fn call<'a>(function: Builtin, args: &[Value<'a>], fuel: &mut Fuel) -> Done<'a> {
    let first = arg(args, 0);
    Ok(match function {
        Builtin::Len => return len(first, fuel),
        Builtin::First | Builtin::Last => {
            let list = list(function, first)?;
            match (function, list.len()) {
                (_, 0) => Value::Nil,
                (Builtin::First, _) => list.get(0)?,
                (_, len) => list.get(len - 1)?,
            }
        }
        Builtin::Get => return get(first, arg(args, 1), fuel),
        Builtin::Take => {
            let list = list(function, first)?;
            let Ok(count) = usize::try_from(int(arg(args, 1))?) else {
                return failed("cannot take a negative number of elements");
            };
            let count = count.min(list.len());
            fuel.step(count)?;
            list.slice(0, count)?
        }
        Builtin::Reverse => {
            let mut items = items(function, first, fuel)?;
            items.reverse();
            Value::list(items)?
        }
        Builtin::Uniq => {
            let mut unique: Vec<Value<'a>> = Vec::new();
            for item in items(function, first, fuel)? {
                let mut known = false;
                for seen in &unique {
                    if ops::equal(seen, &item, fuel)? {
                        known = true;
                        break;
                    }
                }
                if !known {
                    unique.push(item);
                }
            }
            Value::list(unique)?
        }
        Builtin::Concat => {
            let mut all = Vec::new();
            for value in args {
                all.extend(items(function, value, fuel)?);
            }
            Value::list(all)?
        }
        Builtin::Flatten => {
            let mut flat = Vec::new();
            flatten(list(function, first)?, &mut flat, fuel)?;
            Value::list(flat)?
        }
        Builtin::Sort => {
            let mut items = items(function, first, fuel)?;
            let descending = is_descending(args.get(1))?;
            fuel.step(items.len().saturating_mul(20))?;
            ops::check_sortable(&items)?;
            items.sort_by(|a, b| {
                let order = ops::total_order(a, b);
                if descending { order.reverse() } else { order }
            });
            Value::list(items)?
        }
        Builtin::Sum => return sum(list(function, first)?.iter(), fuel),
        Builtin::Count => {
            let mut count = 0;
            for item in items(function, first, fuel)? {
                count += i64::from(ops::boolean(&item)?);
            }
            Value::Int(count)
        }
        Builtin::Keys | Builtin::Values | Builtin::ToPairs => {
            let map = map(function, first)?;
            fuel.alloc(map.len())?;
            let mut out = Vec::with_capacity(map.len());
            for (k, value) in map.entries()? {
                out.push(match function {
                    Builtin::Keys => key(k),
                    Builtin::Values => value,
                    _ => Value::list(vec![key(k), value])?,
                });
            }
            Value::list(out)?
        }
        Builtin::FromPairs => {
            let mut entries = BTreeMap::new();
            for pair in items(function, first, fuel)? {
                let Value::List(pair) = &pair else { return invalid(function, &pair) };
                if pair.len() != 2 {
                    return failed(format!("invalid pair length {}", pair.len()));
                }
                entries.insert(ops::key(&pair.get(0)?, fuel)?, pair.get(1)?);
            }
            Value::map(entries)?
        }
        _ => return invalid(function, first),
    })
}

fn len<'a>(value: &Value<'a>, fuel: &mut Fuel) -> Done<'a> {
    let len = match value {
        Value::Str(text) => {
            fuel.step(text.len() / 64)?;
            text.chars().count()
        }
        Value::Named(_, text) => text.chars().count(),
        Value::Bytes(bytes) => bytes.len(),
        Value::List(list) => list.len(),
        Value::Map(map) => map.len(),
        other => return invalid(Builtin::Len, other),
    };
    Ok(Value::Int(len as i64))
}

/// Unlike an index: what is not there is nil.
fn get<'a>(target: &Value<'a>, index: &Value<'a>, fuel: &mut Fuel) -> Done<'a> {
    Ok(match target {
        Value::Nil => Value::Nil,
        Value::List(list) => {
            let index = int(index)?;
            let at = if index < 0 { index.saturating_add(list.len() as i64) } else { index };
            match usize::try_from(at) {
                Ok(at) if at < list.len() => list.get(at)?,
                _ => Value::Nil,
            }
        }
        Value::Map(map) => map.get(&ops::key(index, fuel)?)?.unwrap_or(Value::Nil),
        Value::Record(object, record) => match record.get(ops::string(index)?) {
            Some((key, ty)) => Value::from_json(object.and_then(|object| object.get(key)), ty)?,
            None => Value::Nil,
        },
        other => return invalid(Builtin::Get, other),
    })
}

fn flatten<'a>(list: &List<'a>, flat: &mut Vec<Value<'a>>, fuel: &mut Fuel) -> Result<(), Trouble> {
    for item in list.iter() {
        fuel.alloc(1)?;
        match item? {
            Value::List(inner) => flatten(&inner, flat, fuel)?,
            other => flat.push(other),
        }
    }
    Ok(())
}

/// The sum of numbers or durations; 0 of none.
pub(crate) fn sum<'a>(items: impl Iterator<Item = Result<Value<'a>, String>>, fuel: &mut Fuel) -> Done<'a> {
    let mut total = None;
    for item in items {
        fuel.step(1)?;
        let item = item?;
        total = Some(match total {
            None if ops::Number::of(&item).is_some() || matches!(item, Value::Duration(_)) => item,
            None => return failed(format!("cannot sum {}", item.type_name())),
            Some(total) => ops::arithmetic(Binary::Add, &total, &item, fuel)?,
        });
    }
    Ok(total.unwrap_or(Value::Int(0)))
}

/// The optional order of `sort` and `sortBy`.
pub(crate) fn is_descending(order: Option<&Value<'_>>) -> Result<bool, Trouble> {
    match order.map(ops::string).transpose()? {
        None | Some("asc") => Ok(false),
        Some("desc") => Ok(true),
        Some(other) => failed(format!("unknown order {other}, use asc or desc")),
    }
}
