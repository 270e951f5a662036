//! The operators on values (inventory.md 8.4, 8.6, 8.7).

use crate::ast::Binary;
use crate::fuel::{Fuel, Trouble, failed};
use crate::value::{Key, List, Map, Value};
use jiff::{SignedDuration, ZonedDateTime};
use std::cmp::Ordering;

type Done<'a> = Result<Value<'a>, Trouble>;

/// A number of either kind.
#[derive(Clone, Copy)]
pub(crate) enum Number {
    Int(i64),
    Float(f64),
}

impl Number {
    pub fn of(value: &Value<'_>) -> Option<Self> {
        match value {
            Value::Int(value) | Value::Code(_, value) => Some(Self::Int(*value)),
            Value::Float(value) => Some(Self::Float(*value)),
            _ => None,
        }
    }

    pub fn float(self) -> f64 {
        match self {
            Self::Int(value) => value as f64,
            Self::Float(value) => value,
        }
    }

    /// Compares as mathematics does, without rounding large integers.
    pub fn order(self, other: Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => Some(a.cmp(&b)),
            (Self::Float(a), Self::Float(b)) => a.partial_cmp(&b),
            (Self::Int(a), Self::Float(b)) => int_to_float(a, b),
            (Self::Float(a), Self::Int(b)) => int_to_float(b, a).map(Ordering::reverse),
        }
    }
}

fn int_to_float(a: i64, b: f64) -> Option<Ordering> {
    const EDGE: f64 = 9_223_372_036_854_775_808.0;
    if b.is_nan() {
        None
    } else if b >= EDGE {
        Some(Ordering::Less)
    } else if b < -EDGE {
        Some(Ordering::Greater)
    } else {
        let whole = b.floor();
        Some(a.cmp(&(whole as i64)).then(if b > whole { Ordering::Less } else { Ordering::Equal }))
    }
}

/// The text of a text or named text.
fn text<'v>(value: &'v Value<'_>) -> Option<&'v str> {
    match value {
        Value::Str(text) => Some(text),
        Value::Named(_, text) => Some(text),
        _ => None,
    }
}

/// The text for a string operator: named texts and everything else are refused.
pub(crate) fn string<'v>(value: &'v Value<'_>) -> Result<&'v str, Trouble> {
    match value {
        Value::Str(text) => Ok(text),
        Value::Nil => failed("interface conversion: interface {} is nil, not string"),
        other => failed(format!("interface conversion: interface {{}} is {}, not string", other.type_name())),
    }
}

pub(crate) fn boolean(value: &Value<'_>) -> Result<bool, Trouble> {
    match value {
        Value::Bool(value) => Ok(*value),
        Value::Nil => failed("interface conversion: interface {} is nil, not bool"),
        other => failed(format!("interface conversion: interface {{}} is {}, not bool", other.type_name())),
    }
}

/// Equality; never fails on types, only on the budget or an unreadable row.
pub(crate) fn equal(l: &Value<'_>, r: &Value<'_>, fuel: &mut Fuel) -> Result<bool, Trouble> {
    fuel.step(1)?;
    if let (Some(a), Some(b)) = (Number::of(l), Number::of(r)) {
        return Ok(a.order(b) == Some(Ordering::Equal));
    }
    if let (Some(a), Some(b)) = (text(l), text(r)) {
        return Ok(a == b);
    }
    Ok(match (l, r) {
        (Value::Nil, Value::Nil) => true,
        (Value::Map(map), Value::Nil) | (Value::Nil, Value::Map(map)) => map.is_nil(),
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::Code(code, value), other) | (other, Value::Code(code, value)) => text(other) == Some(code.text(*value)),
        (Value::Uuid(a), Value::Uuid(b)) => a == b,
        (Value::Bytes(a), Value::Bytes(b)) => a == b,
        (Value::Time(a), Value::Time(b)) => a.timestamp() == b.timestamp(),
        (Value::Duration(a), Value::Duration(b)) => a == b,
        (Value::Zone(a), Value::Zone(b)) => a == b,
        (Value::List(a), Value::List(b)) => equal_lists(a, b, fuel)?,
        (Value::Map(a), Value::Map(b)) => equal_maps(a, b, fuel)?,
        (Value::Record(a, ta), Value::Record(b, tb)) => {
            let mut same = ta == tb;
            for (name, _) in &ta.fields {
                let Some((key, ty)) = ta.get(name).filter(|_| same) else { break };
                let a = Value::from_json(a.and_then(|object| object.get(key)), ty)?;
                let b = Value::from_json(b.and_then(|object| object.get(key)), ty)?;
                same = equal(&a, &b, fuel)?;
            }
            same
        }
        _ => false,
    })
}

fn equal_lists(a: &List<'_>, b: &List<'_>, fuel: &mut Fuel) -> Result<bool, Trouble> {
    if a.len() != b.len() || a.is_of_records() != b.is_of_records() {
        return Ok(false);
    }
    for at in 0..a.len() {
        if !equal(&a.get(at)?, &b.get(at)?, fuel)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn equal_maps(a: &Map<'_>, b: &Map<'_>, fuel: &mut Fuel) -> Result<bool, Trouble> {
    if a.len() != b.len() || a.is_nil() != b.is_nil() {
        return Ok(false);
    }
    for (key, value) in a.entries()? {
        match b.get(&key)? {
            Some(other) if equal(&value, &other, fuel)? => {}
            _ => return Ok(false),
        }
    }
    Ok(true)
}

/// Order of two values of one kind; none for NaN.
pub(crate) fn order(l: &Value<'_>, r: &Value<'_>, op: &str) -> Result<Option<Ordering>, Trouble> {
    if let (Some(a), Some(b)) = (Number::of(l), Number::of(r)) {
        return Ok(a.order(b));
    }
    let by_text = |value| match value {
        &Value::Code(code, value) => Some(code.text(value)),
        _ => None,
    };
    if let (Some(a), Some(b)) = (text(l).or_else(|| by_text(l)), text(r)) {
        return Ok(Some(a.cmp(b)));
    }
    match (l, r) {
        (Value::Time(a), Value::Time(b)) => Ok(Some(a.timestamp().cmp(&b.timestamp()))),
        (Value::Duration(a), Value::Duration(b)) => Ok(Some(a.cmp(b))),
        _ => failed(format!("invalid operation: {} {op} {}", l.type_name(), r.type_name())),
    }
}

/// Sorting needs values of one kind.
pub(crate) fn check_sortable(values: &[Value<'_>]) -> Result<(), Trouble> {
    let Some(first) = values.first() else { return Ok(()) };
    // Comparing with the first is enough: the kinds that compare form classes, but for codes,
    // which compare as numbers and as texts.
    let is_code = |value: &Value<'_>| matches!(value, Value::Code(..));
    for value in values {
        order(first, value, "<")?;
        if is_code(first) != is_code(value) && text(value).or_else(|| text(first)).is_some() {
            return failed(format!("invalid operation: {} < {}", first.type_name(), value.type_name()));
        }
    }
    Ok(())
}

/// A total order of values that passed [`check_sortable`]; NaN comes first.
pub(crate) fn total_order(a: &Value<'_>, b: &Value<'_>) -> Ordering {
    if let Ok(Some(order)) = order(a, b, "<") {
        return order;
    }
    let is_number = |value: &Value<'_>| !matches!(value, Value::Float(value) if value.is_nan());
    is_number(a).cmp(&is_number(b))
}

pub(crate) fn compare(op: Binary, l: &Value<'_>, r: &Value<'_>, fuel: &mut Fuel) -> Result<bool, Trouble> {
    Ok(match op {
        Binary::Equal => equal(l, r, fuel)?,
        Binary::NotEqual => !equal(l, r, fuel)?,
        _ => {
            let order = order(l, r, op.symbol())?;
            match op {
                Binary::Less => order == Some(Ordering::Less),
                Binary::Greater => order == Some(Ordering::Greater),
                Binary::LessEqual => matches!(order, Some(Ordering::Less | Ordering::Equal)),
                _ => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
            }
        }
    })
}

/// `l in r`
pub(crate) fn is_in(l: &Value<'_>, r: &Value<'_>, fuel: &mut Fuel) -> Result<bool, Trouble> {
    match r {
        Value::Nil => Ok(false),
        Value::List(list) => {
            for at in 0..list.len() {
                if equal(l, &list.get(at)?, fuel)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        Value::Map(map) => match text(l) {
            Some(key) => Ok(map.contains(&Key::Text(key.to_owned()))),
            None => Ok(map.contains(&key(l, fuel)?)),
        },
        Value::Record(_, record) => match text(l) {
            Some(name) => Ok(record.get(name).is_some()),
            None => failed(format!("cannot use {} as field name of {}", l.type_name(), record.name)),
        },
        other => failed(format!("operator \"in\" not defined on {}", other.type_name())),
    }
}

/// `contains`, `startsWith`, `endsWith`; nil on either side is false.
pub(crate) fn text_test(op: Binary, l: &Value<'_>, r: &Value<'_>, fuel: &mut Fuel) -> Result<bool, Trouble> {
    if matches!(l, Value::Nil) || matches!(r, Value::Nil) {
        return Ok(false);
    }
    let (l, r) = (string(l)?, string(r)?);
    fuel.step(l.len() / 64)?;
    Ok(match op {
        Binary::Contains => l.contains(r),
        Binary::StartsWith => l.starts_with(r),
        _ => l.ends_with(r),
    })
}

/// The arithmetic operators and `..`.
pub(crate) fn arithmetic<'a>(op: Binary, l: &Value<'a>, r: &Value<'a>, fuel: &mut Fuel) -> Done<'a> {
    use Value::{Duration, Float, Int, Time};
    let refuse = || failed(format!("invalid operation: {} {} {}", l.type_name(), op.symbol(), r.type_name()));
    if let (Some(a), Some(b)) = (Number::of(l), Number::of(r)) {
        let (x, y) = (a.float(), b.float());
        return Ok(match (op, a, b) {
            (Binary::Add, Number::Int(a), Number::Int(b)) => Int(a.wrapping_add(b)),
            (Binary::Subtract, Number::Int(a), Number::Int(b)) => Int(a.wrapping_sub(b)),
            (Binary::Multiply, Number::Int(a), Number::Int(b)) => Int(a.wrapping_mul(b)),
            (Binary::Add, ..) => Float(x + y),
            (Binary::Subtract, ..) => Float(x - y),
            (Binary::Multiply, ..) => Float(x * y),
            (Binary::Divide, ..) => Float(x / y),
            (Binary::Power, ..) => Float(x.powf(y)),
            (Binary::Modulo, Number::Int(_), Number::Int(0)) => return failed("integer divide by zero"),
            (Binary::Modulo, Number::Int(a), Number::Int(b)) => Int(a.wrapping_rem(b)),
            (Binary::Range, Number::Int(a), Number::Int(b)) => {
                let length = (i128::from(b) - i128::from(a) + 1).max(0);
                fuel.alloc(usize::try_from(length).unwrap_or(usize::MAX))?;
                Value::List(List::Range(a, b))
            }
            _ => return refuse(),
        });
    }
    if let (Binary::Add, Some(a), Some(b)) = (op, text(l), text(r)) {
        fuel.text(a.len() + b.len())?;
        return Ok(Value::text(format!("{a}{b}")));
    }
    Ok(match (op, l, r) {
        (Binary::Add, Time(at), Duration(by)) | (Binary::Add, Duration(by), Time(at)) => shift(at, *by)?,
        (Binary::Subtract, Time(at), Duration(by)) => shift(at, by.saturating_neg())?,
        (Binary::Subtract, Time(a), Time(b)) => Duration(between(a, b)),
        (Binary::Add, Duration(a), Duration(b)) => Duration(a.wrapping_add(*b)),
        (Binary::Subtract, Duration(a), Duration(b)) => Duration(a.wrapping_sub(*b)),
        (Binary::Multiply, Duration(a), Int(b)) | (Binary::Multiply, Int(a), Duration(b)) => {
            Duration(a.wrapping_mul(*b))
        }
        (Binary::Divide, Duration(a), Duration(b)) => Float(*a as f64 / *b as f64),
        (Binary::Divide, Duration(a), b) => match Number::of(b) {
            Some(b) => Float(*a as f64 / b.float()),
            None => return refuse(),
        },
        _ => return refuse(),
    })
}

pub(crate) fn shift<'a>(at: &ZonedDateTime, nanos: i64) -> Done<'a> {
    match at.checked_add(SignedDuration::from_nanos(nanos)) {
        Ok(at) => Ok(Value::Time(Box::new(at))),
        Err(_) => failed("time is out of range"),
    }
}

/// Nanoseconds from `b` to `a`, at most about 292 years.
pub(crate) fn between(a: &ZonedDateTime, b: &ZonedDateTime) -> i64 {
    let nanos = a.timestamp().as_nanosecond() - b.timestamp().as_nanosecond();
    nanos.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64
}

pub(crate) fn negate<'a>(value: &Value<'a>) -> Done<'a> {
    Ok(match value {
        Value::Int(value) | Value::Code(_, value) => Value::Int(value.wrapping_neg()),
        Value::Float(value) => Value::Float(-value),
        Value::Duration(value) => Value::Duration(value.wrapping_neg()),
        other => return failed(format!("invalid operation: -{}", other.type_name())),
    })
}

/// A value as a key of a map that an expression builds.
pub(crate) fn key(value: &Value<'_>, fuel: &mut Fuel) -> Result<Key, Trouble> {
    Ok(match (value, whole(value)) {
        (Value::Nil, _) => Key::Nil,
        (Value::Bool(value), _) => Key::Bool(*value),
        (_, Some(value)) => Key::Int(value),
        (Value::List(_) | Value::Map(_) | Value::Record(..), None) => {
            return failed(format!("invalid operation: {} cannot be a key", value.type_name()));
        }
        (other, None) => Key::Text(other.print(fuel)?),
    })
}

/// `x.y` and `x[y]` at run time.
pub(crate) fn fetch<'a>(target: &Value<'a>, index: &Value<'a>, fuel: &mut Fuel) -> Done<'a> {
    match target {
        Value::List(list) => match whole(index) {
            Some(index) => Ok(list.get(position(index, list.len())?)?),
            None => failed(format!("cannot fetch {} from {}", index.print(fuel)?, target.type_name())),
        },
        Value::Map(map) => {
            let found = match text(index) {
                Some(key) => map.get_text(key)?,
                None => map.get(&key(index, fuel)?)?,
            };
            Ok(found.map_or_else(|| map.missing(), Ok)?)
        }
        Value::Record(object, record) => match text(index).and_then(|name| record.get(name)) {
            Some((key, ty)) => Ok(Value::from_json(object.and_then(|object| object.get(key)), ty)?),
            None => failed(format!("cannot fetch {} from {}", index.print(fuel)?, record.name)),
        },
        Value::Bytes(bytes) => match whole(index) {
            Some(index) => Ok(Value::Int(i64::from(bytes[position(index, bytes.len())?]))),
            None => failed(format!("cannot fetch {} from []uint8", index.print(fuel)?)),
        },
        Value::Str(text) => match whole(index) {
            Some(index) => Ok(Value::Int(i64::from(text.as_bytes()[position(index, text.len())?]))),
            None => failed(format!("cannot fetch {} from string", index.print(fuel)?)),
        },
        other => failed(format!("cannot fetch {} from {}", index.print(fuel)?, other.type_name())),
    }
}

/// An index; aggregate rows have floats only.
pub(crate) fn whole(value: &Value<'_>) -> Option<i64> {
    match value {
        Value::Int(value) => Some(*value),
        Value::Float(value) if value.fract() == 0.0 && value.abs() < 9e15 => Some(*value as i64),
        _ => None,
    }
}

fn position(index: i64, length: usize) -> Result<usize, Trouble> {
    let at = if index < 0 { index.saturating_add(length as i64) } else { index };
    match usize::try_from(at) {
        Ok(at) if at < length => Ok(at),
        _ => failed(format!("index out of range: {at} (array length is {length})")),
    }
}

/// `x[from:to]`; negative bounds count from the end, all are clamped.
pub(crate) fn slice<'a>(target: &Value<'a>, from: Option<i64>, to: Option<i64>, fuel: &mut Fuel) -> Done<'a> {
    let length = match target {
        Value::Str(text) => text.len(),
        Value::Bytes(bytes) => bytes.len(),
        Value::List(list) => list.len(),
        other => return failed(format!("cannot slice {}", other.type_name())),
    };
    let clamp = |bound: i64| {
        let bound = if bound < 0 { bound.saturating_add(length as i64) } else { bound };
        usize::try_from(bound).unwrap_or(0).min(length)
    };
    let to = to.map_or(length, clamp);
    let from = from.map_or(0, clamp).min(to);
    match target {
        Value::List(list) => {
            fuel.step(to - from)?;
            Ok(list.slice(from, to)?)
        }
        Value::Str(text) => {
            fuel.text(to - from)?;
            // Slices count bytes and may cut a character.
            Ok(Value::text(String::from_utf8_lossy(&text.as_bytes()[from..to]).as_ref()))
        }
        Value::Bytes(bytes) => Ok(Value::Bytes(bytes[from..to].into())),
        _ => failed("cannot slice"),
    }
}
