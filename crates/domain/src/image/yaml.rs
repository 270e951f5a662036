//! Documents as YAML that every reader takes the same way.
//!
//! Texts are always in quotes, or a literal block: nothing has to be known of what a reader takes for a number, a date or
//! a truth value, and the same document is the same bytes each time.

use serde_json::Value;

/// Words that old readers take for something else, even as a key.
const TYPED: [&str; 9] = ["y", "n", "yes", "no", "on", "off", "true", "false", "null"];

/// Writes a map as a document.
pub(super) fn write(document: &Value) -> String {
    let mut out = String::new();
    match document {
        Value::Object(map) if !map.is_empty() => members(&mut out, map, 0),
        other => {
            out.push_str(&scalar(other));
            out.push('\n');
        }
    }
    out
}

fn pad(out: &mut String, level: usize) {
    out.extend(std::iter::repeat_n("  ", level));
}

/// The cursor stands where the first key begins.
fn members(out: &mut String, map: &serde_json::Map<String, Value>, level: usize) {
    for (at, (key, value)) in map.iter().enumerate() {
        if at > 0 {
            pad(out, level);
        }
        out.push_str(&self::key(key));
        out.push(':');
        match value {
            Value::Object(map) if !map.is_empty() => {
                out.push('\n');
                pad(out, level + 1);
                members(out, map, level + 1);
            }
            Value::Array(list) if !list.is_empty() => {
                out.push('\n');
                items(out, list, level + 1);
            }
            value => inline(out, value, level + 1),
        }
    }
}

fn items(out: &mut String, list: &[Value], level: usize) {
    for item in list {
        pad(out, level);
        out.push('-');
        match item {
            Value::Object(map) if !map.is_empty() => {
                out.push(' ');
                members(out, map, level + 1);
            }
            Value::Array(list) if !list.is_empty() => {
                out.push('\n');
                items(out, list, level + 1);
            }
            item => inline(out, item, level + 1),
        }
    }
}

/// A value behind its key or dash; the lines of a block begin at `level`.
fn inline(out: &mut String, value: &Value, level: usize) {
    match value {
        Value::String(text) if is_block(text) => {
            out.push_str(" |\n");
            for line in text.lines() {
                if !line.is_empty() {
                    pad(out, level);
                    out.push_str(line);
                }
                out.push('\n');
            }
        }
        value => {
            out.push(' ');
            out.push_str(&scalar(value));
            out.push('\n');
        }
    }
}

/// Whether a text comes back the same from a literal block: certificates do.
fn is_block(text: &str) -> bool {
    let Some(body) = text.strip_suffix('\n') else { return false };
    body.contains('\n') && !body.starts_with([' ', '\n']) && !body.ends_with('\n') && {
        body.lines().all(|line| !line.ends_with(' ') && line.chars().all(|c| matches!(c, ' '..='~')))
    }
}

fn key(key: &str) -> String {
    let plain = key.starts_with(|c: char| c.is_ascii_lowercase())
        && key.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        && !TYPED.contains(&key);
    if plain { key.to_owned() } else { quoted(key) }
}

fn scalar(value: &Value) -> String {
    match value {
        Value::Object(_) => "{}".into(),
        Value::Array(_) => "[]".into(),
        Value::String(text) => quoted(text),
        other => other.to_string(),
    }
}

fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            ' '..='~' | '\u{a0}'..='\u{2027}' | '\u{202a}'..='\u{d7ff}' | '\u{e000}'..='\u{fefe}' => out.push(c),
            // Control characters, and what YAML takes for a line's end or a document's beginning.
            c if u32::from(c) <= 0xffff => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_kind_of_value() {
        let document = json!({
            "version": "1", "flag": true, "count": -3, "none": null, "no_list": [], "no_map": {},
            "pem": "-----BEGIN-----\nYWJj\n-----END-----\n", "half": "a\nb", "blank": "a \nb\n", "inner": "a\n\nb\n",
            "list": ["x", {"name": "y", "deep": {"z": [1]}}, [], [["w"]]],
            "on": "yes", "a b": "\"\\\t\u{1}\u{7f}\u{2028}\u{feff}ü", "": "", "😀": "😀"
        });
        let expected = r#"version: "1"
flag: true
count: -3
none: null
no_list: []
no_map: {}
pem: |
  -----BEGIN-----
  YWJj
  -----END-----
half: "a\nb"
blank: "a \nb\n"
inner: |
  a

  b
list:
  - "x"
  - name: "y"
    deep:
      z:
        - 1
  - []
  -
    -
      - "w"
"on": "yes"
"a b": "\"\\\t\u0001\u007f\u2028\ufeffü"
"": ""
"😀": "😀"
"#;
        assert_eq!(write(&document), expected);
        assert_eq!(write(&json!({})), "{}\n");
    }
}
