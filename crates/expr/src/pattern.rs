//! Patterns of `matches`: RE2 as Go understands it, on top of the `regex` crate. Both are linear
//! in the text; they differ in classes (`\d` is ASCII in Go), in what a bare `{` or `[` means and
//! in the wording of errors.

use regex::{Regex, RegexBuilder};

/// Memory of one compiled pattern, bytes.
const SIZE_LIMIT: usize = 1 << 20;

/// A compiled pattern.
#[derive(Debug, Clone)]
pub(crate) struct Pattern(Regex);

impl Pattern {
    /// Compiles; the error is the peer's text.
    pub fn new(pattern: &str) -> Result<Self, String> {
        let translated = Translator { chars: pattern.chars().collect(), at: 0, out: String::new() }.run()?;
        match RegexBuilder::new(&translated).size_limit(SIZE_LIMIT).nest_limit(100).build() {
            Ok(regex) => Ok(Self(regex)),
            Err(regex::Error::CompiledTooBig(_)) => Err("error parsing regexp: expression too large".to_owned()),
            Err(error) => Err(explain(pattern, &error.to_string())),
        }
    }

    pub fn is_match(&self, text: &str) -> bool {
        self.0.is_match(text)
    }
}

/// Go's words for the common mistakes.
fn explain(pattern: &str, error: &str) -> String {
    let has = |text: &str| error.contains(text);
    let said = if has("unclosed group") {
        format!("missing closing ): `{pattern}`")
    } else if has("unopened group") {
        format!("unexpected ): `{pattern}`")
    } else if has("unclosed character class") {
        format!("missing closing ]: `{}`", pattern.find('[').map_or(pattern, |at| &pattern[at..]))
    } else if has("repetition operator missing expression") {
        let operator = pattern.chars().find(|c| "*+?".contains(*c)).unwrap_or('*');
        format!("missing argument to repetition operator: `{operator}`")
    } else if has("invalid character class range") || has("invalid range") {
        format!("invalid character class range: `{pattern}`")
    } else if has("nest") {
        "expression nests too deeply".to_owned()
    } else {
        let reason = error.lines().last().unwrap_or("").trim_start_matches("error: ");
        format!("{reason}: `{pattern}`")
    };
    format!("error parsing regexp: {said}")
}

struct Translator {
    chars: Vec<char>,
    at: usize,
    out: String,
}

impl Translator {
    fn peek(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at + ahead).copied()
    }

    fn rest(&self, from: usize, len: usize) -> String {
        self.chars.iter().skip(from).take(len).collect()
    }

    fn run(mut self) -> Result<String, String> {
        while let Some(c) = self.peek(0) {
            match c {
                '\\' => self.escape(false)?,
                '[' => self.class()?,
                '(' => self.group()?,
                '{' if !self.is_repetition() => {
                    self.out.push_str("\\{");
                    self.at += 1;
                }
                _ => {
                    self.out.push(c);
                    self.at += 1;
                }
            }
        }
        Ok(self.out)
    }

    /// Go takes `{` for itself unless it begins `{n}`, `{n,}` or `{n,m}`.
    fn is_repetition(&self) -> bool {
        let Some(close) = self.chars[self.at..].iter().position(|c| *c == '}') else { return false };
        let inner = &self.chars[self.at + 1..self.at + close];
        let (least, most) = match inner.iter().position(|c| *c == ',') {
            Some(comma) => (&inner[..comma], &inner[comma + 1..]),
            None => (inner, inner),
        };
        !least.is_empty() && least.iter().chain(most).all(char::is_ascii_digit)
    }

    fn group(&mut self) -> Result<(), String> {
        let unsupported =
            |text: String| Err(format!("error parsing regexp: invalid or unsupported Perl syntax: `{text}`"));
        if self.peek(1) == Some('?') {
            match self.peek(2) {
                Some('=' | '!') => return unsupported(self.rest(self.at, 3)),
                Some('<') if matches!(self.peek(3), Some('=' | '!')) => return unsupported(self.rest(self.at, 4)),
                Some('P' | '<') => {}
                _ => {
                    let flags = self.chars[self.at + 2..].iter().take_while(|c| c.is_alphabetic() || **c == '-');
                    let len = flags.clone().count();
                    // The crate knows flags that Go does not.
                    if flags.into_iter().any(|c| !"imsU-".contains(*c)) {
                        return unsupported(self.rest(self.at, len + 2));
                    }
                }
            }
        }
        self.out.push('(');
        self.at += 1;
        Ok(())
    }

    fn escape(&mut self, in_class: bool) -> Result<(), String> {
        let Some(c) = self.peek(1) else {
            return Err("error parsing regexp: trailing backslash at end of expression: ``".to_owned());
        };
        self.at += 2;
        let class = |inner: &str, negated: bool| match (in_class, negated) {
            (true, false) => inner.to_owned(),
            (_, false) => format!("[{inner}]"),
            (_, true) => format!("[^{inner}]"),
        };
        let translated = match c {
            'd' | 'D' => class("0-9", c == 'D'),
            'w' | 'W' => class("0-9A-Za-z_", c == 'W'),
            's' | 'S' => class("\\t\\n\\x0c\\r ", c == 'S'),
            'b' if !in_class => "(?-u:\\b)".to_owned(),
            'B' if !in_class => "(?-u:\\B)".to_owned(),
            'Q' => {
                let end = (self.at..self.chars.len()).find(|n| self.rest(*n, 2) == "\\E");
                let literal = self.rest(self.at, end.unwrap_or(self.chars.len()) - self.at);
                self.at = end.map_or(self.chars.len(), |end| end + 2);
                regex::escape(&literal)
            }
            'a' | 'f' | 't' | 'n' | 'r' | 'v' | 'A' | 'z' => format!("\\{c}"),
            'x' | 'p' | 'P' => format!("\\{c}"),
            '0'..='7' if c == '0' || self.peek(0).is_some_and(|d| d.is_digit(8)) => {
                let more = self.chars[self.at..].iter().take(2).take_while(|d| d.is_digit(8)).count();
                let code = u32::from_str_radix(&self.rest(self.at - 1, more + 1), 8).unwrap_or(0);
                self.at += more;
                format!("\\x{{{code:x}}}")
            }
            c if c.is_ascii_punctuation() => regex::escape(&c.to_string()),
            _ => return Err(format!("error parsing regexp: invalid escape sequence: `\\{c}`")),
        };
        self.out.push_str(&translated);
        Ok(())
    }

    fn class(&mut self) -> Result<(), String> {
        self.out.push('[');
        self.at += 1;
        if self.peek(0) == Some('^') {
            self.out.push('^');
            self.at += 1;
        }
        let start = self.at;
        while let Some(c) = self.peek(0) {
            match c {
                ']' if self.at > start => {
                    self.out.push(']');
                    self.at += 1;
                    return Ok(());
                }
                '\\' => {
                    self.escape(true)?;
                    continue;
                }
                '[' if self.peek(1) == Some(':') => {
                    match (self.at..self.chars.len()).find(|n| self.rest(*n, 2) == ":]") {
                        Some(close) => {
                            self.out.push_str(&self.rest(self.at, close + 2 - self.at));
                            self.at = close + 2;
                            continue;
                        }
                        None => self.out.push_str("\\["),
                    }
                }
                // No nested classes and set operations in Go.
                '[' | ']' | '&' | '~' => {
                    self.out.push('\\');
                    self.out.push(c);
                }
                _ => self.out.push(c),
            }
            self.at += 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Pattern;

    #[test]
    fn reads_patterns_as_go_does() {
        let cases = [
            (r"^\d+$", "12", true),
            (r"^\d+$", "١٢", false),
            (r"^[\w-]+$", "a-b_1", true),
            (r"^[^\s]+$", "a b", false),
            (r"a{,2}", "a{,2}", true),
            (r"^a{2}$", "aa", true),
            (r"[[]", "[", true),
            (r"[a&&b]", "&", true),
            (r"^[[:alpha:]]+$", "abc", true),
            (r"\Qa.b\E", "a.b", true),
            (r"\Qa.b\E", "axb", false),
            (r"(?i)VM\d", "vm1", true),
            (r"\bvm\b", "a vm b", true),
            (r"[]a]", "]", true),
        ];
        for (pattern, text, expected) in cases {
            let compiled = Pattern::new(pattern).unwrap_or_else(|e| panic!("{pattern}: {e}"));
            assert_eq!(compiled.is_match(text), expected, "{pattern} on {text}");
        }
    }

    #[test]
    fn words_errors_as_go_does() {
        let cases = [
            ("(", "missing closing ): `(`"),
            ("[", "missing closing ]: `[`"),
            ("a[b", "missing closing ]: `[b`"),
            ("a)", "unexpected ): `a)`"),
            ("*a", "missing argument to repetition operator: `*`"),
            ("vm(?=1)", "invalid or unsupported Perl syntax: `(?=`"),
            ("(?<!a)", "invalid or unsupported Perl syntax: `(?<!`"),
            ("(?x)a", "invalid or unsupported Perl syntax: `(?x`"),
            (r"\y", r"invalid escape sequence: `\y`"),
        ];
        for (pattern, expected) in cases {
            let error = Pattern::new(pattern).unwrap_err();
            assert_eq!(error, format!("error parsing regexp: {expected}"));
        }
        assert!(Pattern::new("((a{1000}){1000}){1000}").is_err());
    }
}
