//! How single values are written (cli.md 2.3).

use serde_json::Value;

/// A time of the wire, cut to the second: `2026-08-20 19:58:04 +0000 UTC`. What is no time stays as it is.
pub(crate) fn time(wire: &str) -> String {
    let Some((date, clock)) = wire.split_once('T') else { return wire.to_owned() };
    if wire.parse::<jiff::Timestamp>().is_err() || clock.len() < 9 || !clock.is_char_boundary(8) {
        return wire.to_owned();
    }
    let (seconds, rest) = clock.split_at(8);
    let offset = rest.trim_start_matches(|c: char| c == '.' || c.is_ascii_digit()).replace(':', "");
    match offset.as_str() {
        "Z" | "z" | "+0000" => format!("{date} {seconds} +0000 UTC"),
        other => format!("{date} {seconds} {other} {other}"),
    }
}

/// A member of an object as text: empty when absent or null. Deeper members are reached by dots.
pub(crate) fn field(object: &Value, path: &str) -> String {
    match path.split('.').try_fold(object, |value, key| value.get(key)) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// As [`field`], for a time.
pub(crate) fn time_field(object: &Value, path: &str) -> String {
    time(&field(object, path))
}

/// A span of time for people: `0.2 s`, `1 m 5 s`, `2 h 3 m`. Clocks that disagree make none of less than nothing.
pub(crate) fn took(span: jiff::SignedDuration) -> String {
    let seconds = span.as_secs().max(0);
    match seconds {
        0..60 => format!("{}.{} s", seconds, span.subsec_millis().max(0) / 100),
        60..3600 => format!("{} m {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} m", seconds / 3600, seconds % 3600 / 60),
    }
}

/// The first 12 characters of a hash.
pub(crate) fn short(hash: &str) -> String {
    hash.chars().take(12).collect()
}

/// A size in decimal units, as in `40 B`, `1.5 kB` or `83 MB`.
pub(crate) fn decimal_size(bytes: &Value) -> String {
    const UNITS: [&str; 7] = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
    let Some(mut value) = bytes.as_f64() else { return String::new() };
    let mut at = 0;
    // What would be rounded up to 1000 is one of the next unit.
    while value >= 999.5 && at + 1 < UNITS.len() {
        (value, at) = (value / 1000.0, at + 1);
    }
    if at > 0 && value < 9.95 { format!("{value:.1} {}", UNITS[at]) } else { format!("{value:.0} {}", UNITS[at]) }
}

/// Every line behind `by`, the last one without a line end of its own.
pub(crate) fn indent(by: &str, text: &str) -> String {
    format!("{by}{}", text.replace('\n', &format!("\n{by}")))
}

/// A span of time as the reference reads it (`720h`, `1h30m`, `1.5h`), and in days (`30d`).
pub(crate) fn duration(text: &str) -> Result<jiff::SignedDuration, String> {
    let bad = || format!("invalid duration {text:?}: write it as 720h, 90m or 30d");
    let mut rest = text;
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(bad)?;
        let amount: f64 = rest[..digits].parse().map_err(|_| bad())?;
        rest = &rest[digits..];
        let unit = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        seconds += amount
            * match &rest[..unit] {
                "ms" => 0.001,
                "s" => 1.0,
                "m" => 60.0,
                "h" => 3600.0,
                "d" => 86_400.0,
                _ => return Err(bad()),
            };
        rest = &rest[unit..];
    }
    if text.is_empty() {
        return Err(bad());
    }
    jiff::SignedDuration::try_from_secs_f64(seconds).map_err(|_| bad())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_cut_to_the_second() {
        assert_eq!(time("2026-08-20T19:58:04.123456Z"), "2026-08-20 19:58:04 +0000 UTC");
        assert_eq!(time("2025-11-02T10:00:00Z"), "2025-11-02 10:00:00 +0000 UTC");
        assert_eq!(time("2025-11-02T10:00:00.5+02:00"), "2025-11-02 10:00:00 +0200 +0200");
        assert_eq!(time("0001-01-01T00:00:00Z"), "0001-01-01 00:00:00 +0000 UTC");
        assert_eq!(time("soon"), "soon");
        assert_eq!(time("yesTerday"), "yesTerday");
    }

    #[test]
    fn durations() {
        assert_eq!(duration("720h").unwrap().as_secs(), 720 * 3600);
        assert_eq!(duration("1h30m").unwrap().as_secs(), 5400);
        assert_eq!(duration("1.5h").unwrap().as_secs(), 5400);
        assert_eq!(duration("30d").unwrap().as_secs(), 30 * 86400);
        for bad in ["", "720", "h", "1x", "1h-"] {
            assert!(duration(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn sizes() {
        let text = |bytes: u64| decimal_size(&serde_json::json!(bytes));
        assert_eq!((text(40), text(1_500), text(83_000_000)), ("40 B".into(), "1.5 kB".into(), "83 MB".into()));
        assert_eq!((text(9_960), text(999_999), text(0)), ("10 kB".into(), "1.0 MB".into(), "0 B".into()));
    }

    #[test]
    fn spans_of_time() {
        let text = |millis| took(jiff::SignedDuration::from_millis(millis));
        assert_eq!((text(0), text(1_249), text(59_999)), ("0.0 s".into(), "1.2 s".into(), "59.9 s".into()));
        assert_eq!((text(65_000), text(7_380_000)), ("1 m 5 s".into(), "2 h 3 m".into()));
        assert_eq!(text(-1_500), "0.0 s");
    }

    #[test]
    fn members_of_objects() {
        let object = serde_json::json!({"a": {"b": 7, "c": null, "d": true}});
        assert_eq!(field(&object, "a.b"), "7");
        assert_eq!(field(&object, "a.c"), "");
        assert_eq!(field(&object, "a.d"), "true");
        assert_eq!(field(&object, "x.y"), "");
    }
}
