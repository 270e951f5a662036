//! Functions over texts.

use super::{Builtin, Done, arg, int, invalid};
use crate::fuel::{Fuel, Trouble, failed};
use crate::ops::string;
use crate::value::Value;

pub(super) fn call<'a>(function: Builtin, args: &[Value<'a>], fuel: &mut Fuel) -> Done<'a> {
    if function == Builtin::Join {
        return join(args, fuel);
    }
    let text = string(arg(args, 0))?;
    fuel.text(text.len())?;
    let second = args.get(1).map(|value| match value {
        Value::Int(_) | Value::Float(_) => Ok(""),
        value => string(value),
    });
    let second = second.transpose()?;
    let found = |at: Option<usize>| Value::Int(at.map_or(-1, |at| at as i64));
    Ok(match (function, second.unwrap_or("")) {
        (Builtin::Upper, _) => Value::text(text.to_uppercase()),
        (Builtin::Lower, _) => Value::text(text.to_lowercase()),
        (Builtin::Trim, cutset) => {
            let trimmed = match second {
                None => text.trim(),
                Some(_) => text.trim_matches(|c| cutset.contains(c)),
            };
            Value::text(trimmed)
        }
        (Builtin::TrimPrefix, _) => {
            let prefix = second.unwrap_or(" ");
            Value::text(text.strip_prefix(prefix).unwrap_or(text))
        }
        (Builtin::TrimSuffix, _) => {
            let suffix = second.unwrap_or(" ");
            Value::text(text.strip_suffix(suffix).unwrap_or(text))
        }
        (Builtin::HasPrefix, prefix) => Value::Bool(text.starts_with(prefix)),
        (Builtin::HasSuffix, suffix) => Value::Bool(text.ends_with(suffix)),
        (Builtin::IndexOf, part) => found(text.find(part)),
        (Builtin::LastIndexOf, part) => found(text.rfind(part)),
        (Builtin::Split | Builtin::SplitAfter, separator) => {
            let limit = args.get(2).map(int).transpose()?.unwrap_or(-1);
            split(text, separator, limit, function == Builtin::SplitAfter, fuel)?
        }
        (Builtin::Replace, old) => {
            let new = string(arg(args, 2))?;
            let limit = args.get(3).map(int).transpose()?.unwrap_or(-1);
            let limit = usize::try_from(limit).unwrap_or(usize::MAX);
            let count = text.matches(old).count().min(limit);
            fuel.text(count.saturating_mul(new.len()))?;
            Value::text(text.replacen(old, new, limit))
        }
        (Builtin::Repeat, _) => {
            let Ok(times) = usize::try_from(int(arg(args, 1))?) else {
                return failed("cannot repeat a negative number of times");
            };
            // Here the peer counts bytes.
            fuel.alloc(text.len().saturating_mul(times))?;
            Value::text(text.repeat(times))
        }
        _ => return invalid(function, arg(args, 0)),
    })
}

fn split<'a>(text: &str, separator: &str, limit: i64, after: bool, fuel: &mut Fuel) -> Done<'a> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut parts: Vec<Value<'a>> = Vec::new();
    let mut rest = text;
    let mut push = |part: &str, fuel: &mut Fuel| -> Result<usize, Trouble> {
        fuel.alloc(1)?;
        parts.push(Value::text(part));
        Ok(parts.len())
    };
    let mut count = 0;
    if limit == 0 {
        return Ok(Value::list(parts)?);
    }
    loop {
        let end = match separator {
            // Without separator: character by character.
            "" => rest.chars().next().map(char::len_utf8).filter(|end| *end < rest.len()),
            _ => rest.find(separator),
        };
        let Some(end) = end.filter(|_| count + 1 < limit) else {
            if !(separator.is_empty() && rest.is_empty()) {
                push(rest, fuel)?;
            }
            break;
        };
        let behind = end + separator.len();
        count = push(&rest[..if after { behind } else { end }], fuel)?;
        rest = &rest[behind..];
    }
    Ok(Value::list(parts)?)
}

fn join<'a>(args: &[Value<'a>], fuel: &mut Fuel) -> Done<'a> {
    let separator = args.get(1).map(string).transpose()?.unwrap_or("");
    let Value::List(list) = arg(args, 0) else { return invalid(Builtin::Join, arg(args, 0)) };
    let mut joined = String::new();
    for (n, item) in list.iter().enumerate() {
        let item = item?;
        let item = string(&item)?;
        fuel.step(1)?;
        fuel.text(item.len() + separator.len())?;
        joined.push_str(if n > 0 { separator } else { "" });
        joined.push_str(item);
    }
    Ok(Value::text(joined))
}
