//! Functions over times.

use super::{Builtin, Done, arg, invalid};
use crate::fuel::{Trouble, failed};
use crate::gotime;
use crate::ops::string;
use crate::value::Value;
use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Layouts `date` tries when none is given.
const LAYOUTS: [&str; 7] = [
    "2006-01-02",
    "15:04:05",
    "2006-01-02 15:04:05",
    "2006-01-02T15:04:05Z07:00",
    "02 Jan 06 15:04 MST",
    "Monday, 02-Jan-06 15:04:05 MST",
    "Mon, 02 Jan 2006 15:04:05 MST",
];

pub(super) fn call<'a>(function: Builtin, args: &[Value<'a>], now: Timestamp) -> Done<'a> {
    match function {
        Builtin::Now => Ok(Value::time(now)),
        Builtin::Duration => {
            let text = string(arg(args, 0))?;
            match gotime::parse_duration(text) {
                Some(nanos) => Ok(Value::Duration(nanos)),
                None => failed(format!("time: invalid duration {text:?}")),
            }
        }
        Builtin::Timezone => Ok(Value::Zone(zone(string(arg(args, 0))?)?)),
        Builtin::Date => date(args),
        _ => invalid(function, arg(args, 0)),
    }
}

fn zone(name: &str) -> Result<TimeZone, Trouble> {
    match name {
        "" | "UTC" => Ok(TimeZone::UTC),
        _ => TimeZone::get(name).or_else(|_| failed(format!("unknown time zone {name}"))),
    }
}

fn date<'a>(args: &[Value<'a>]) -> Done<'a> {
    // The zone may also come first, as a value of `timezone`.
    let (first, args) = match args.split_first() {
        Some((Value::Zone(zone), rest)) => (Some(zone.clone()), rest),
        _ => (None, args),
    };
    let text = string(arg(args, 0))?;
    let named = args.get(2).map(|name| zone(string(name)?)).transpose()?;
    let zone = named.or(first).unwrap_or(TimeZone::UTC);
    let layout = args.get(1).map(string).transpose()?;
    let found = match layout {
        Some(layout) => gotime::parse(layout, text, &zone),
        None => LAYOUTS.iter().find_map(|layout| gotime::parse(layout, text, &zone)),
    };
    match (found, layout) {
        (Some(at), _) => Ok(Value::Time(Box::new(at))),
        (None, Some(layout)) => failed(format!("parsing time {text:?} as {layout:?}: cannot parse")),
        (None, None) => failed(format!("invalid date {text}")),
    }
}
