//! YAML in and out; nothing else of the program knows which library reads it.
//!
//! Reading is the library's. Writing follows the scalar style of the reference, which scripts compare and no
//! library produces: text that could be taken for another type is in double quotes, text that would break the
//! syntax in single ones, times stay plain, several lines become a literal block.

use serde::de::DeserializeOwned;
use serde_json::Value;

/// Reads a document.
pub(crate) fn parse<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_saphyr::from_str(text).map_err(|error| error.to_string())
}

/// Writes a document whose nested levels are `step` spaces deep.
pub(crate) fn write(value: &Value, step: usize) -> String {
    let mut out = String::new();
    match value {
        Value::Object(map) if !map.is_empty() => node(&mut out, value, 0, step),
        Value::Array(list) if !list.is_empty() => node(&mut out, value, 0, step),
        other => {
            out.push_str(&scalar(other, step));
            out.push('\n');
        }
    }
    out
}

/// A collection that is not empty; the cursor stands at `column`, where its first entry begins.
fn node(out: &mut String, value: &Value, column: usize, step: usize) {
    let pad = " ".repeat(column);
    // Members begin at a multiple of the step, also below a list item, whose own column is none.
    let deeper = step * ((column + step) / step);
    match value {
        Value::Object(map) => {
            for (at, (key, member)) in map.iter().enumerate() {
                if at > 0 {
                    out.push_str(&pad);
                }
                // A block of lines cannot be a key.
                out.push_str(&if key.contains('\n') { double_quoted(key) } else { text(key, deeper) });
                out.push(':');
                if is_block(member) {
                    out.push('\n');
                    out.push_str(&" ".repeat(deeper));
                    node(out, member, deeper, step);
                } else {
                    out.push(' ');
                    out.push_str(&scalar(member, deeper));
                    out.push('\n');
                }
            }
        }
        Value::Array(list) => {
            for (at, item) in list.iter().enumerate() {
                if at > 0 {
                    out.push_str(&pad);
                }
                out.push_str("- ");
                if is_block(item) {
                    node(out, item, column + 2, step);
                } else {
                    out.push_str(&scalar(item, column + 2));
                    out.push('\n');
                }
            }
        }
        other => out.push_str(&scalar(other, column)),
    }
}

fn is_block(value: &Value) -> bool {
    match value {
        Value::Object(map) => !map.is_empty(),
        Value::Array(list) => !list.is_empty(),
        _ => false,
    }
}

fn scalar(value: &Value, column: usize) -> String {
    match value {
        Value::Object(_) => "{}".into(),
        Value::Array(_) => "[]".into(),
        Value::String(content) => text(content, column),
        other => other.to_string(),
    }
}

/// A text; the lines of a block begin at `column`.
fn text(content: &str, column: usize) -> String {
    let odd = content.chars().any(|c| unprintable(c) && c != '\n' && c != '\t');
    if odd || content.is_empty() {
        return double_quoted(content);
    }
    if content.contains('\n') {
        let first_line_decides = !content.starts_with([' ', '\n', '\t']);
        let blank_ends = content.lines().any(|line| line.ends_with([' ', '\t']));
        if first_line_decides && !blank_ends {
            return literal(content, column);
        }
        return double_quoted(content);
    }
    // At the beginning of a line they end a document.
    let marker = content.starts_with("---") || content.starts_with("...");
    match read_back(content) {
        Some(Value::String(same)) if same == content && !looks_typed(content) && !marker => content.to_owned(),
        Some(Value::String(_)) | None if !looks_typed(content) => format!("'{}'", content.replace('\'', "''")),
        _ => double_quoted(content),
    }
}

fn double_quoted(content: &str) -> String {
    let mut out = String::new();
    // JSON leaves some characters as they are that YAML only takes as escapes.
    for c in Value::String(content.to_owned()).to_string().chars() {
        if unprintable(c) {
            out.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            out.push(c);
        }
    }
    out
}

/// What YAML does not take as it is, or takes for a line break in one version and not in the other.
fn unprintable(c: char) -> bool {
    c.is_control() || matches!(c, '\u{feff}' | '\u{fffe}' | '\u{ffff}' | '\u{2028}' | '\u{2029}')
}

fn literal(content: &str, column: usize) -> String {
    let pad = " ".repeat(column);
    let body = content.strip_suffix('\n').unwrap_or(content);
    let chomp = match (content.ends_with('\n'), body.ends_with('\n')) {
        (false, _) => "-",
        (true, false) => "",
        (true, true) => "+",
    };
    let lines: Vec<String> =
        body.split('\n').map(|line| if line.is_empty() { String::new() } else { format!("{pad}{line}") }).collect();
    format!("|{chomp}\n{}", lines.join("\n"))
}

/// What a reader makes of the plain text, as a value and as an item.
fn read_back(content: &str) -> Option<Value> {
    let as_value: Value = serde_saphyr::from_str(&format!("k: {content}\n")).ok()?;
    let as_item: Value = serde_saphyr::from_str(&format!("- {content}\n")).ok()?;
    let (value, item) = (as_value.get("k")?.clone(), as_item.get(0)?.clone());
    (value == item).then_some(value)
}

/// Spellings that older readers take for booleans, null or numbers, and the key that merges maps.
fn looks_typed(content: &str) -> bool {
    const WORDS: [&str; 11] = ["y", "n", "yes", "no", "on", "off", "true", "false", "null", "~", "<<"];
    let digits = content.trim_start_matches(['-', '+']);
    let sexagesimal = digits.contains(':')
        && digits.split(':').all(|part| !part.is_empty() && part.bytes().all(|c| c.is_ascii_digit()));
    let number = digits.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && (digits.replace('_', "").parse::<f64>().is_ok()
            || ["0x", "0o", "0b"].iter().any(|prefix| {
                digits.strip_prefix(prefix).is_some_and(|rest| rest.bytes().all(|c| c.is_ascii_hexdigit() || c == b'_'))
            }));
    let special = [".inf", ".nan"].iter().any(|word| digits.eq_ignore_ascii_case(word));
    WORDS.iter().any(|word| content.eq_ignore_ascii_case(word)) || sexagesimal || number || special
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn scalars_are_quoted_as_the_reference_does() {
        let value = json!({
            "empty": "", "digits": "1", "negative": "-1", "word": "yes", "mac": "10:66:6a:00:00:01", "cron": "0 4 * * 0",
            "port": ":80", "quoted": "\"stable\" in upstream_channels", "colon": "a: b", "hash": "a #b", "time": "2099-01-01T00:00:00Z",
            "fingerprint": "1e5", "url": "https://[::]:8443", "list": [], "map": {}, "none": null, "yes": true, "n": 5, "star": "*", "tick": "it's: so"
        });
        let want = "empty: \"\"\ndigits: \"1\"\nnegative: \"-1\"\nword: \"yes\"\nmac: 10:66:6a:00:00:01\ncron: 0 4 * * 0\n\
            port: :80\nquoted: '\"stable\" in upstream_channels'\ncolon: 'a: b'\nhash: 'a #b'\ntime: 2099-01-01T00:00:00Z\n\
            fingerprint: \"1e5\"\nurl: https://[::]:8443\nlist: []\nmap: {}\nnone: null\n\"yes\": true\n\"n\": 5\nstar: '*'\ntick: 'it''s: so'\n";
        assert_eq!(write(&value, 2), want);
    }

    #[test]
    fn lists_are_deeper_than_their_key_and_items_two_columns_wide() {
        let value = json!({"a": {"b": [{"c": 1, "d": ["x"]}, [1, 2]]}});
        assert_eq!(write(&value, 2), "a:\n  b:\n    - c: 1\n      d:\n        - x\n    - - 1\n      - 2\n");
        assert_eq!(
            write(&value, 4),
            "a:\n    b:\n        - c: 1\n          d:\n            - x\n        - - 1\n          - 2\n"
        );
    }

    #[test]
    fn several_lines_become_a_block() {
        assert_eq!(write(&json!({"a": "x\n\ny\n", "b": "x\ny"}), 2), "a: |\n  x\n\n  y\nb: |-\n  x\n  y\n");
    }

    #[test]
    fn document_markers_are_quoted_wherever_they_stand() {
        for value in [json!("---"), json!({"--- a": 1, "...": "... b"}), json!(["---"])] {
            assert_eq!(parse::<Value>(&write(&value, 2)).unwrap(), value);
        }
    }

    #[test]
    fn keys_of_several_lines_or_another_meaning_are_quoted() {
        let value = json!({"a\n\nb": 1, "list": [{"c\nd": {"e\n": "f\n"}}], "<<": "<<"});
        assert_eq!(parse::<Value>(&write(&value, 2)).unwrap(), value);
    }

    #[test]
    fn what_is_written_reads_back() {
        let value = json!([
            "", " lead", "trail ", "tab\there", "a\nb", "a\n\n\n", " a\nb", "- x", "? x", "! x", "& x", "%x", "@x", "`x", "{x", "[x", "|", ">",
            "null", "Null", "~", "0x1f", "0o17", "1_000", "12:30", ".5", ".nan", "-.inf", "on", "é", "\u{1}", "\u{7f}", "\u{86}", "\u{85}x", "a\u{2028}\n\u{feff}", "\u{ffff}", "\r\n", "---", "...", "#", "a:", ":", "=", "<<",
            {"key: odd": {"": 1}, "5": [[], {}, [{}]]}, 1.5, -7, 18446744073709551615u64, false
        ]);
        for step in [2, 4] {
            let text = write(&value, step);
            assert_eq!(parse::<Value>(&text).unwrap(), value, "{text}");
        }
    }
}
