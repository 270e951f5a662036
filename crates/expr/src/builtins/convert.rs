//! Conversions.

use super::{Builtin, Done, arg, invalid};
use crate::fuel::{Fuel, failed};
use crate::ops::{Number, string};
use crate::value::Value;

pub(super) fn call<'a>(function: Builtin, args: &[Value<'a>], fuel: &mut Fuel) -> Done<'a> {
    let value = arg(args, 0);
    Ok(match function {
        Builtin::Int => return to_int(value),
        Builtin::Float => match (Number::of(value), value) {
            (Some(number), _) => Value::Float(number.float()),
            (_, Value::Str(text)) => match parse_float(text) {
                Some(number) => Value::Float(number),
                None => return failed(format!("invalid operation: float({})", &**text)),
            },
            _ => return failed(format!("invalid operation: float({})", value.type_name())),
        },
        Builtin::ToFloat64 => Value::Float(Number::of(value).map_or(0.0, Number::float)),
        Builtin::String => match value {
            Value::Str(_) => value.clone(),
            Value::Named(_, text) | Value::Uuid(text) => Value::borrowed(text),
            Value::Code(code, value) => Value::borrowed(code.text(*value)),
            other => Value::text(other.print(fuel)?),
        },
        Builtin::ToJson => {
            let json = value.to_json(fuel)?;
            let text = format!("{json:#}");
            fuel.text(text.len())?;
            Value::text(text)
        }
        Builtin::FromJson => {
            let text = string(value)?;
            fuel.text(text.len())?;
            match serde_json::from_str(text) {
                Ok(json) => Value::from_owned(&json)?,
                Err(error) => return failed(error.to_string()),
            }
        }
        Builtin::Type => Value::text(type_of(value)),
        Builtin::ToBase64 => {
            let text = string(value)?;
            fuel.text(text.len() * 2)?;
            Value::text(encode_base64(text.as_bytes()))
        }
        Builtin::FromBase64 => {
            let text = string(value)?;
            fuel.text(text.len())?;
            match decode_base64(text) {
                Some(bytes) => Value::text(String::from_utf8_lossy(&bytes).as_ref()),
                None => return failed("illegal base64 data"),
            }
        }
        _ => return invalid(function, value),
    })
}

/// `int(x)`: texts must be decimal.
pub(crate) fn to_int<'a>(value: &Value<'a>) -> Done<'a> {
    Ok(match value {
        Value::Int(value) | Value::Code(_, value) => Value::Int(*value),
        Value::Float(value) => Value::Int(*value as i64),
        Value::Str(text) => match text.parse() {
            Ok(value) => Value::Int(value),
            Err(_) => return failed(format!("invalid operation: int({})", &**text)),
        },
        other => return failed(format!("invalid operation: int({})", other.type_name())),
    })
}

/// As Go reads floats: the words for infinity and NaN are known to both.
fn parse_float(text: &str) -> Option<f64> {
    text.parse().ok()
}

fn type_of(value: &Value<'_>) -> String {
    match value {
        Value::Nil => "nil".to_owned(),
        Value::Float(_) => "float".to_owned(),
        Value::List(_) | Value::Bytes(_) => "array".to_owned(),
        Value::Map(_) => "map".to_owned(),
        other => other.type_name().into_owned(),
    }
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Base64 with padding.
pub(crate) fn encode_base64(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let bits = chunk.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for n in 0..4 {
            let sextet = bits >> (18 - 6 * n) & 63;
            out.push(if n <= chunk.len() { char::from(ALPHABET[sextet as usize]) } else { '=' });
        }
    }
    out
}

/// Base64 with padding; line breaks are skipped as in Go.
fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let symbols: Vec<u8> = text.bytes().filter(|b| !matches!(b, b'\n' | b'\r')).collect();
    if !symbols.len().is_multiple_of(4) {
        return None;
    }
    let mut out = Vec::with_capacity(symbols.len() / 4 * 3);
    let groups = symbols.len() / 4;
    for (n, group) in symbols.chunks(4).enumerate() {
        let padding = group.iter().rev().take_while(|b| **b == b'=').count();
        if padding > 2 || (padding > 0 && n + 1 != groups) {
            return None;
        }
        let mut bits = 0u32;
        for symbol in &group[..4 - padding] {
            bits = bits << 6 | ALPHABET.iter().position(|b| b == symbol)? as u32;
        }
        bits <<= 6 * padding as u32;
        out.extend_from_slice(&bits.to_be_bytes()[1..4 - padding]);
    }
    Some(out)
}
