//! Go's way with times: layouts made of a reference time, and durations such as `1h30m`.

use jiff::civil::DateTime;
use jiff::fmt::temporal::Pieces;
use jiff::tz::{Offset, TimeZone};
use jiff::{Timestamp, ZonedDateTime};
use std::fmt::Write;

/// RFC 3339 with as many digits as needed.
pub(crate) const RFC3339_NANO: &str = "2006-01-02T15:04:05.999999999Z07:00";

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// An RFC 3339 time; its offset is kept.
pub(crate) fn parse_rfc3339(text: &str) -> Option<ZonedDateTime> {
    let pieces = Pieces::parse(text).ok()?;
    let offset = pieces.to_numeric_offset()?;
    at_offset(DateTime::from_parts(pieces.date(), pieces.time()?), offset)
}

fn at_offset(civil: DateTime, offset: Offset) -> Option<ZonedDateTime> {
    let at: Timestamp = offset.to_timestamp(civil).ok()?;
    let zone = if offset == Offset::UTC { TimeZone::UTC } else { TimeZone::fixed(offset) };
    Some(at.to_zoned_datetime(zone))
}

/// A part of a layout.
#[derive(Clone, Copy, PartialEq)]
enum Part<'l> {
    Literal(&'l str),
    /// One of `ELEMENTS`.
    Element(&'static str),
    /// `.000` or `.999`: fraction of a second, so many digits, zeros at the end printed or not.
    Fraction(usize, bool),
}

/// Longer ones first.
const ELEMENTS: [&str; 28] = [
    "January", "Jan", "Monday", "Mon", "MST", "2006", "002", "_2", "01", "02", "03", "04", "05", "06", "15", "Z07:00",
    "Z0700", "Z07", "-07:00", "-0700", "-07", "PM", "pm", "1", "2", "3", "4", "5",
];

fn parts(layout: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let (mut start, mut at) = (0, 0);
    while at < layout.len() {
        let rest = &layout[at..];
        let element = ELEMENTS.iter().find(|e| rest.starts_with(**e));
        let (part, length) = match element {
            Some(element) => (Part::Element(element), element.len()),
            None => match fraction(rest) {
                Some((digits, zeros)) => (Part::Fraction(digits, zeros), digits + 1),
                None => {
                    at += rest.chars().next().map_or(1, char::len_utf8);
                    continue;
                }
            },
        };
        if start < at {
            parts.push(Part::Literal(&layout[start..at]));
        }
        parts.push(part);
        at += length;
        start = at;
    }
    if start < at {
        parts.push(Part::Literal(&layout[start..at]));
    }
    parts
}

fn fraction(rest: &str) -> Option<(usize, bool)> {
    let digits = rest.strip_prefix(['.', ','])?;
    let digit = digits.chars().next().filter(|c| matches!(c, '0' | '9'))?;
    let count = digits.chars().take_while(|c| *c == digit).count();
    let next = digits[count..].chars().next();
    next.is_none_or(|c| !c.is_ascii_digit()).then_some((count, digit == '0'))
}

/// Prints a time by a layout.
pub(crate) fn format(at: &ZonedDateTime, layout: &str) -> String {
    let mut out = String::new();
    for part in parts(layout) {
        // Writing to a string cannot fail.
        let _ = match part {
            Part::Literal(text) => out.write_str(text),
            Part::Element(element) => format_element(&mut out, at, element),
            Part::Fraction(digits, zeros) => {
                let nanos = format!("{:09}", at.subsec_nanosecond());
                let shown = &nanos[..digits.min(9)];
                let shown = if zeros { shown } else { shown.trim_end_matches('0') };
                if shown.is_empty() { Ok(()) } else { write!(out, ".{shown}") }
            }
        };
    }
    out
}

fn format_element(out: &mut String, at: &ZonedDateTime, element: &str) -> std::fmt::Result {
    let hour12 = match at.hour() % 12 {
        0 => 12,
        hour => hour,
    };
    let month = MONTHS[at.month() as usize - 1];
    let day = DAYS[at.weekday().to_sunday_zero_offset() as usize];
    match element {
        "January" => out.write_str(month),
        "Jan" => out.write_str(&month[..3]),
        "Monday" => out.write_str(day),
        "Mon" => out.write_str(&day[..3]),
        "MST" => out.write_str(&abbreviation(at)),
        "2006" => write!(out, "{:04}", at.year()),
        "06" => write!(out, "{:02}", at.year().rem_euclid(100)),
        "002" => write!(out, "{:03}", at.day_of_year()),
        "_2" => write!(out, "{:2}", at.day()),
        "02" => write!(out, "{:02}", at.day()),
        "2" => write!(out, "{}", at.day()),
        "01" => write!(out, "{:02}", at.month()),
        "1" => write!(out, "{}", at.month()),
        "15" => write!(out, "{:02}", at.hour()),
        "03" => write!(out, "{hour12:02}"),
        "3" => write!(out, "{hour12}"),
        "04" => write!(out, "{:02}", at.minute()),
        "4" => write!(out, "{}", at.minute()),
        "05" => write!(out, "{:02}", at.second()),
        "5" => write!(out, "{}", at.second()),
        "PM" => out.write_str(if at.hour() >= 12 { "PM" } else { "AM" }),
        "pm" => out.write_str(if at.hour() >= 12 { "pm" } else { "am" }),
        _ => format_offset(out, at.offset().seconds(), element),
    }
}

fn format_offset(out: &mut String, seconds: i32, element: &str) -> std::fmt::Result {
    if element.starts_with('Z') && seconds == 0 {
        return out.write_str("Z");
    }
    let sign = if seconds < 0 { '-' } else { '+' };
    let (hours, minutes) = (seconds.abs() / 3600, seconds.abs() / 60 % 60);
    match &element[1..] {
        "07:00" => write!(out, "{sign}{hours:02}:{minutes:02}"),
        "0700" => write!(out, "{sign}{hours:02}{minutes:02}"),
        _ => write!(out, "{sign}{hours:02}"),
    }
}

fn abbreviation(at: &ZonedDateTime) -> String {
    if at.time_zone().iana_name().is_some() {
        return at.strftime("%Z").to_string();
    }
    let mut out = String::new();
    let _ = format_offset(&mut out, at.offset().seconds(), "-0700");
    out
}

/// What a text said, before it is made a time.
struct Read {
    year: i16,
    month: i8,
    day: i8,
    yearday: Option<i16>,
    hour: i8,
    minute: i8,
    second: i8,
    nanos: i32,
    afternoon: Option<bool>,
    offset: Option<Offset>,
}

/// Reads a time by a layout; without an offset in the text it is in `zone`.
pub(crate) fn parse(layout: &str, text: &str, zone: &TimeZone) -> Option<ZonedDateTime> {
    let mut read = Read {
        year: 0,
        month: 1,
        day: 1,
        yearday: None,
        hour: 0,
        minute: 0,
        second: 0,
        nanos: 0,
        afternoon: None,
        offset: None,
    };
    let mut rest = text;
    let parts = parts(layout);
    for (n, part) in parts.iter().enumerate() {
        rest = match part {
            Part::Literal(literal) => rest.strip_prefix(literal)?,
            Part::Element(element) => read.element(element, rest)?,
            Part::Fraction(_, false) if !rest.starts_with(['.', ',']) => rest,
            Part::Fraction(..) => read.fraction(rest)?,
        };
        // A fraction may follow the seconds even if the layout has none.
        let is_seconds = matches!(part, Part::Element("05" | "5"));
        let fraction_next = matches!(parts.get(n + 1), Some(Part::Fraction(..)));
        if is_seconds && !fraction_next && rest.starts_with('.') {
            rest = read.fraction(rest).unwrap_or(rest);
        }
    }
    if !rest.is_empty() {
        return None;
    }
    match read.afternoon {
        Some(true) if read.hour < 12 => read.hour += 12,
        Some(false) if read.hour == 12 => read.hour = 0,
        _ => {}
    }
    let mut date = jiff::civil::Date::new(read.year, read.month, read.day).ok()?;
    if let Some(day) = read.yearday {
        date = date.with().day_of_year(day).build().ok()?;
    }
    let time = jiff::civil::Time::new(read.hour, read.minute, read.second, read.nanos).ok()?;
    let civil = DateTime::from_parts(date, time);
    match read.offset {
        Some(offset) => at_offset(civil, offset),
        None => civil.to_zoned_datetime(zone.clone()).ok(),
    }
}

impl Read {
    fn element<'t>(&mut self, element: &str, text: &'t str) -> Option<&'t str> {
        let two = |text: &'t str| digits(text, 2, 2);
        let some = |text: &'t str| digits(text, 1, 2);
        let rest;
        match element {
            "January" => (self.month, rest) = word(text, &MONTHS, 9).map(|(n, rest)| (n + 1, rest))?,
            "Jan" => (self.month, rest) = word(text, &MONTHS, 3).map(|(n, rest)| (n + 1, rest))?,
            "Monday" => (_, rest) = word(text, &DAYS, 9)?,
            "Mon" => (_, rest) = word(text, &DAYS, 3)?,
            "MST" => {
                let length = text.chars().take_while(char::is_ascii_uppercase).count();
                // Like Go, only UTC says anything; other abbreviations have no offset of their own.
                self.offset = Some(Offset::UTC).filter(|_| (3..=5).contains(&length));
                self.offset?;
                rest = &text[length..];
            }
            "2006" => (self.year, rest) = digits(text, 4, 4)?,
            "06" => {
                let (year, after) = two(text)?;
                self.year = if year >= 69 { 1900 + year } else { 2000 + year };
                rest = after;
            }
            "002" => (self.yearday, rest) = digits(text, 3, 3).map(|(n, rest)| (Some(n), rest))?,
            "_2" => (self.day, rest) = some(text.trim_start_matches(' ')).map(small)?,
            "02" => (self.day, rest) = two(text).map(small)?,
            "2" => (self.day, rest) = some(text).map(small)?,
            "01" => (self.month, rest) = two(text).map(small)?,
            "1" => (self.month, rest) = some(text).map(small)?,
            "15" => (self.hour, rest) = some(text).map(small)?,
            "03" => (self.hour, rest) = two(text).map(small)?,
            "3" => (self.hour, rest) = some(text).map(small)?,
            "04" => (self.minute, rest) = two(text).map(small)?,
            "4" => (self.minute, rest) = some(text).map(small)?,
            "05" => (self.second, rest) = two(text).map(small)?,
            "5" => (self.second, rest) = some(text).map(small)?,
            "PM" | "pm" => {
                let half = text.get(..2)?;
                self.afternoon = Some(half.eq_ignore_ascii_case("PM"));
                rest = &text[2..];
                return (half.eq_ignore_ascii_case("PM") || half.eq_ignore_ascii_case("AM")).then_some(rest);
            }
            _ => return self.numeric_offset(element, text),
        }
        Some(rest)
    }

    fn numeric_offset<'t>(&mut self, element: &str, text: &'t str) -> Option<&'t str> {
        if element.starts_with('Z')
            && let Some(rest) = text.strip_prefix('Z')
        {
            self.offset = Some(Offset::UTC);
            return Some(rest);
        }
        let sign = match text.chars().next()? {
            '+' => 1,
            '-' => -1,
            _ => return None,
        };
        let (hours, mut rest) = digits(&text[1..], 2, 2)?;
        let mut minutes = 0;
        if element.len() > 3 {
            if element.contains(':') {
                rest = rest.strip_prefix(':')?;
            }
            (minutes, rest) = digits(rest, 2, 2)?;
        }
        let seconds = sign * (i32::from(hours) * 3600 + i32::from(minutes) * 60);
        self.offset = Some(Offset::from_seconds(seconds).ok()?);
        Some(rest)
    }

    fn fraction<'t>(&mut self, text: &'t str) -> Option<&'t str> {
        let digits = text.strip_prefix(['.', ','])?;
        let count = digits.chars().take_while(char::is_ascii_digit).count();
        let shown = &digits[..count.min(9)];
        self.nanos = format!("{shown:0<9}").parse().ok().filter(|_| count > 0)?;
        Some(&digits[count..])
    }
}

fn small((value, rest): (i16, &str)) -> (i8, &str) {
    // Two digits always fit.
    (i8::try_from(value).unwrap_or(i8::MAX), rest)
}

fn digits(text: &str, least: usize, most: usize) -> Option<(i16, &str)> {
    let count = text.bytes().take(most).take_while(u8::is_ascii_digit).count();
    let value = text[..count].parse().ok().filter(|_| count >= least)?;
    Some((value, &text[count..]))
}

fn word<'t>(text: &'t str, words: &[&str], length: usize) -> Option<(i8, &'t str)> {
    let (n, word) = words.iter().enumerate().find_map(|(n, word)| {
        let word = &word[..word.len().min(length)];
        let head = text.get(..word.len())?;
        head.eq_ignore_ascii_case(word).then_some((n, word))
    })?;
    Some((n as i8, &text[word.len()..]))
}

/// Unit and nanoseconds; longer names first where one begins another.
const UNITS: [(&str, f64); 8] =
    [("ns", 1.0), ("us", 1e3), ("µs", 1e3), ("μs", 1e3), ("ms", 1e6), ("s", 1e9), ("m", 60e9), ("h", 3600e9)];

/// Nanoseconds of `1h30m`, `-1.5s`, `0`.
pub(crate) fn parse_duration(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total = 0i64;
    while !rest.is_empty() {
        let whole_length = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (whole, after) = rest.split_at(whole_length);
        let (part, after) = match after.strip_prefix('.') {
            Some(after) => after.split_at(after.bytes().take_while(u8::is_ascii_digit).count()),
            None => ("", after),
        };
        if whole.is_empty() && part.is_empty() {
            return None;
        }
        let (unit, nanos) = UNITS.iter().find(|(unit, _)| after.starts_with(unit))?;
        let whole: i64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
        let fraction: f64 = format!("0.{part}0").parse().ok()?;
        let value = whole.checked_mul(*nanos as i64)?.checked_add((fraction * nanos) as i64)?;
        total = total.checked_add(value)?;
        rest = &after[unit.len()..];
    }
    Some(if negative { -total } else { total })
}

/// As Go prints durations: `1h30m0s`, `1.5s`, `100ms`, `0s`.
pub(crate) fn print_duration(nanos: i64) -> String {
    let sign = if nanos < 0 { "-" } else { "" };
    let size = nanos.unsigned_abs();
    let decimal = |unit: u64, digits: usize| {
        let fraction = format!("{:0digits$}", size % unit);
        let fraction = fraction.trim_end_matches('0');
        let dot = if fraction.is_empty() { "" } else { "." };
        format!("{}{dot}{fraction}", size / unit)
    };
    match size {
        0 => "0s".to_owned(),
        1..1_000 => format!("{sign}{size}ns"),
        1_000..1_000_000 => format!("{sign}{}µs", decimal(1_000, 3)),
        1_000_000..1_000_000_000 => format!("{sign}{}ms", decimal(1_000_000, 6)),
        _ => {
            let seconds = size / 1_000_000_000;
            let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
            let fraction = format!("{:09}", size % 1_000_000_000);
            let fraction = fraction.trim_end_matches('0');
            let dot = if fraction.is_empty() { "" } else { "." };
            let seconds = format!("{}{dot}{fraction}s", seconds % 60);
            match (hours, minutes) {
                (0, 0) => format!("{sign}{seconds}"),
                (0, _) => format!("{sign}{minutes}m{seconds}"),
                _ => format!("{sign}{hours}h{minutes}m{seconds}"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_and_print_as_in_go() {
        let cases = [
            ("1h30m", 5_400_000_000_000, "1h30m0s"),
            ("1.5s", 1_500_000_000, "1.5s"),
            ("100ms", 100_000_000, "100ms"),
            ("-2m", -120_000_000_000, "-2m0s"),
            ("0", 0, "0s"),
            ("1us", 1_000, "1µs"),
            (".5h", 1_800_000_000_000, "30m0s"),
        ];
        for (text, nanos, printed) in cases {
            assert_eq!(parse_duration(text), Some(nanos), "{text}");
            assert_eq!(print_duration(nanos), printed);
        }
        for text in ["", "1", "h", "1x", "-", "1h-2m", "99999999999h"] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }

    #[test]
    fn layouts_read_and_print_as_in_go() {
        let at = parse_rfc3339("2026-08-09T15:04:05.25+02:00").expect("a time");
        let cases = [
            (RFC3339_NANO, "2026-08-09T15:04:05.25+02:00"),
            ("Mon Jan _2 15:04:05 2006", "Sun Aug  9 15:04:05 2026"),
            ("Monday, 2 January 06 3:04PM -0700", "Sunday, 9 August 26 3:04PM +0200"),
            ("2006-01-02 15:04:05.000", "2026-08-09 15:04:05.250"),
            ("002", "221"),
        ];
        for (layout, text) in cases {
            assert_eq!(format(&at, layout), text);
        }
        let zone = TimeZone::UTC;
        let read = |layout, text| parse(layout, text, &zone).map(|at| format(&at, RFC3339_NANO));
        assert_eq!(read("2006-01-02", "2026-02-29"), None);
        assert_eq!(read("2006-01-02", "2026-02-28").as_deref(), Some("2026-02-28T00:00:00Z"));
        assert_eq!(read("Jan _2 2006 3:04pm", "feb  3 2026 12:30am").as_deref(), Some("2026-02-03T00:30:00Z"));
        assert_eq!(read("15:04:05", "01:02:03.5").as_deref(), Some("0000-01-01T01:02:03.5Z"));
        assert_eq!(
            read("2006-01-02T15:04:05Z07:00", "2026-01-02T03:04:05-01:30").as_deref(),
            Some("2026-01-02T03:04:05-01:30")
        );
    }
}
