//! Calls of methods (inventory.md 8.5).

use crate::fuel::{Fuel, Trouble, failed};
use crate::gotime;
use crate::methods::Method;
use crate::ops;
use crate::schema::{MONTH, WEEKDAY};
use crate::value::{Value, zero_time};
use jiff::tz::TimeZone;
use jiff::{Span, ZonedDateTime};
use std::cmp::Ordering;

type Done<'a> = Result<Value<'a>, Trouble>;

pub(super) fn call<'a>(target: &Value<'a>, method: Method, args: &[Value<'a>], fuel: &mut Fuel) -> Done<'a> {
    match (target, method) {
        (Value::Time(at), _) => of_time(at, method, args, fuel),
        (Value::Duration(nanos), _) => of_duration(*nanos, method, args),
        (Value::Uuid(text) | Value::Named(_, text), Method::String) => Ok(Value::borrowed(text)),
        (Value::Code(code, value), Method::String) => Ok(Value::borrowed(code.text(*value))),
        (Value::Zone(_), Method::String) => Ok(Value::text(target.print(fuel)?)),
        (Value::Nil, _) => failed(format!("cannot fetch {} from <nil>", method.name())),
        _ => no_method(target, method),
    }
}

fn no_method<'a>(target: &Value<'a>, method: Method) -> Done<'a> {
    failed(format!("cannot fetch {} from {}", method.name(), target.type_name()))
}

fn time<'v>(args: &'v [Value<'_>]) -> Result<&'v ZonedDateTime, Trouble> {
    match args.first() {
        Some(Value::Time(at)) => Ok(at),
        other => failed(format!("cannot use {} as type time.Time", other.unwrap_or(&Value::Nil).type_name())),
    }
}

fn duration(args: &[Value<'_>]) -> Result<i64, Trouble> {
    match args.first() {
        Some(Value::Duration(nanos)) => Ok(*nanos),
        other => failed(format!("cannot use {} as type time.Duration", other.unwrap_or(&Value::Nil).type_name())),
    }
}

fn of_time<'a>(at: &ZonedDateTime, method: Method, args: &[Value<'a>], fuel: &mut Fuel) -> Done<'a> {
    let int = |value: i64| Ok(Value::Int(value));
    let compare = |args: &[Value<'a>]| Ok::<Ordering, Trouble>(at.timestamp().cmp(&time(args)?.timestamp()));
    match method {
        Method::Year => int(i64::from(at.year())),
        Method::Month => Ok(Value::Code(&MONTH, i64::from(at.month()))),
        Method::Day => int(i64::from(at.day())),
        Method::Hour => int(i64::from(at.hour())),
        Method::Minute => int(i64::from(at.minute())),
        Method::Second => int(i64::from(at.second())),
        Method::Nanosecond => int(i64::from(at.subsec_nanosecond())),
        Method::YearDay => int(i64::from(at.day_of_year())),
        Method::Weekday => Ok(Value::Code(&WEEKDAY, i64::from(at.weekday().to_sunday_zero_offset()))),
        Method::Unix => int(at.timestamp().as_second()),
        Method::UnixMilli => int(at.timestamp().as_millisecond()),
        Method::UnixNano => int(ops::between(at, &jiff::Timestamp::UNIX_EPOCH.to_zoned_datetime(TimeZone::UTC))),
        Method::After => Ok(Value::Bool(compare(args)? == Ordering::Greater)),
        Method::Before => Ok(Value::Bool(compare(args)? == Ordering::Less)),
        Method::Equal => Ok(Value::Bool(compare(args)? == Ordering::Equal)),
        Method::Compare => int(compare(args)? as i64),
        Method::IsZero => Ok(Value::Bool(at.timestamp() == zero_time().timestamp())),
        Method::Add => ops::shift(at, duration(args)?),
        Method::AddDate => add_date(at, args),
        Method::In => match args.first() {
            Some(Value::Zone(zone)) => Ok(Value::Time(Box::new(at.with_time_zone(zone.clone())))),
            other => failed(format!("cannot use {} as a time zone", other.unwrap_or(&Value::Nil).type_name())),
        },
        Method::Sub => Ok(Value::Duration(ops::between(at, time(args)?))),
        Method::UTC => Ok(Value::time(at.timestamp())),
        Method::Format => {
            let layout = ops::string(args.first().unwrap_or(&Value::Nil))?;
            fuel.text(layout.len() * 4)?;
            Ok(Value::text(gotime::format(at, layout)))
        }
        Method::String => Ok(Value::text(Value::Time(Box::new(at.clone())).print(fuel)?)),
        _ => no_method(&Value::Time(Box::new(at.clone())), method),
    }
}

/// Years, months and days later; a day that the month lacks runs over into the next, as in Go.
fn add_date<'a>(at: &ZonedDateTime, args: &[Value<'a>]) -> Done<'a> {
    let part = |n: usize| args.get(n).and_then(ops::whole).and_then(|part| i32::try_from(part).ok());
    let later = || {
        let months = part(0)?.checked_mul(12)?.checked_add(part(1)?)?;
        let first = at.datetime().with().day(1).build().ok()?;
        let days = part(2)?.checked_add(i32::from(at.day()) - 1)?;
        let month = first.checked_add(Span::new().try_months(months).ok()?).ok()?;
        let date = month.checked_add(Span::new().try_days(days).ok()?).ok()?;
        date.to_zoned_datetime(at.time_zone().clone()).ok()
    };
    match later() {
        Some(at) => Ok(Value::Time(Box::new(at))),
        None => failed("time is out of range"),
    }
}

fn of_duration<'a>(nanos: i64, method: Method, args: &[Value<'a>]) -> Done<'a> {
    Ok(match method {
        Method::Hours => Value::Float(nanos as f64 / 3.6e12),
        Method::Minutes => Value::Float(nanos as f64 / 6e10),
        Method::Seconds => Value::Float(nanos as f64 / 1e9),
        Method::Milliseconds => Value::Int(nanos / 1_000_000),
        Method::Microseconds => Value::Int(nanos / 1_000),
        Method::Nanoseconds => Value::Int(nanos),
        Method::Abs => Value::Duration(nanos.saturating_abs()),
        Method::Truncate => match duration(args)? {
            unit if unit > 0 => Value::Duration(nanos - nanos % unit),
            _ => Value::Duration(nanos),
        },
        Method::Round => match duration(args)? {
            unit if unit > 0 => {
                let rest = i128::from(nanos % unit);
                let down = i128::from(nanos) - rest;
                let unit = i128::from(unit);
                let rounded = if rest.abs() * 2 >= unit { down + unit * rest.signum() } else { down };
                Value::Duration(i64::try_from(rounded).unwrap_or(nanos))
            }
            _ => Value::Duration(nanos),
        },
        Method::String => Value::text(gotime::print_duration(nanos)),
        _ => return no_method(&Value::Duration(nanos), method),
    })
}
