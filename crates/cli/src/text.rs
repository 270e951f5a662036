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

/// The first 12 characters of a hash.
pub(crate) fn short(hash: &str) -> String {
    hash.chars().take(12).collect()
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
    fn members_of_objects() {
        let object = serde_json::json!({"a": {"b": 7, "c": null, "d": true}});
        assert_eq!(field(&object, "a.b"), "7");
        assert_eq!(field(&object, "a.c"), "");
        assert_eq!(field(&object, "a.d"), "true");
        assert_eq!(field(&object, "x.y"), "");
    }
}
