//! Functions over numbers and bits.

use super::{Builtin, Done, arg, int, invalid};
use crate::fuel::{Fuel, Trouble, failed};
use crate::ops::Number;
use crate::value::Value;
use std::cmp::Ordering;

pub(super) fn call<'a>(function: Builtin, args: &[Value<'a>], fuel: &mut Fuel) -> Done<'a> {
    let first = arg(args, 0);
    Ok(match function {
        Builtin::Abs => match Number::of(first) {
            Some(Number::Int(value)) => Value::Int(value.wrapping_abs()),
            Some(Number::Float(value)) => Value::Float(value.abs()),
            None => return invalid(function, first),
        },
        Builtin::Ceil | Builtin::Floor | Builtin::Round => match Number::of(first).map(Number::float) {
            Some(value) if function == Builtin::Ceil => Value::Float(value.ceil()),
            Some(value) if function == Builtin::Floor => Value::Float(value.floor()),
            Some(value) => Value::Float(value.round()),
            None => return invalid(function, first),
        },
        Builtin::Min | Builtin::Max => extreme(function, args, fuel)?,
        Builtin::Mean | Builtin::Median => average(function, args, fuel)?,
        _ => return bits(function, args),
    })
}

/// All numbers in the arguments, lists taken apart.
fn numbers<'a>(
    function: Builtin,
    values: impl Iterator<Item = Result<Value<'a>, String>>,
    all: &mut Vec<Number>,
    fuel: &mut Fuel,
) -> Result<(), Trouble> {
    for value in values {
        fuel.step(1)?;
        match (value?, all.len()) {
            (Value::List(list), _) => {
                let items: Vec<_> = list.iter().collect();
                numbers(function, items.into_iter(), all, fuel)?;
            }
            (value, _) => match Number::of(&value) {
                Some(number) => all.push(number),
                None => invalid(function, &value).map(|_| ())?,
            },
        }
    }
    Ok(())
}

fn extreme<'a>(function: Builtin, args: &[Value<'a>], fuel: &mut Fuel) -> Done<'a> {
    let mut all = Vec::new();
    numbers(function, args.iter().cloned().map(Ok), &mut all, fuel)?;
    let wanted = if function == Builtin::Min { Ordering::Less } else { Ordering::Greater };
    let best = all.into_iter().reduce(|best, next| if next.order(best) == Some(wanted) { next } else { best });
    Ok(match best {
        Some(Number::Int(value)) => Value::Int(value),
        Some(Number::Float(value)) => Value::Float(value),
        None => Value::Nil,
    })
}

fn average<'a>(function: Builtin, args: &[Value<'a>], fuel: &mut Fuel) -> Done<'a> {
    let mut all = Vec::new();
    numbers(function, args.iter().cloned().map(Ok), &mut all, fuel)?;
    let mut all: Vec<f64> = all.into_iter().map(Number::float).collect();
    if all.is_empty() {
        return Ok(Value::Float(0.0));
    }
    if function == Builtin::Mean {
        return Ok(Value::Float(all.iter().sum::<f64>() / all.len() as f64));
    }
    fuel.step(all.len().saturating_mul(20))?;
    all.sort_by(f64::total_cmp);
    let middle = all.len() / 2;
    Ok(Value::Float(if all.len() % 2 == 1 { all[middle] } else { f64::midpoint(all[middle - 1], all[middle]) }))
}

fn bits<'a>(function: Builtin, args: &[Value<'a>]) -> Done<'a> {
    let a = int(arg(args, 0))?;
    if function == Builtin::BitNot {
        return Ok(Value::Int(!a));
    }
    let b = int(arg(args, 1))?;
    let shift = || match u32::try_from(b) {
        Ok(by) => Ok(by),
        Err(_) if b < 0 => failed(format!("invalid operation: negative shift count {b} (type int)")),
        Err(_) => Ok(64),
    };
    Ok(Value::Int(match function {
        Builtin::BitAnd => a & b,
        Builtin::BitOr => a | b,
        Builtin::BitXor => a ^ b,
        Builtin::BitNand => a & !b,
        Builtin::BitShl => a.checked_shl(shift()?).unwrap_or(0),
        Builtin::BitShr => a.checked_shr(shift()?).unwrap_or(a >> 63),
        Builtin::BitUshr => (a as u64).checked_shr(shift()?).unwrap_or(0) as i64,
        _ => return invalid(function, arg(args, 0)),
    }))
}
