//! A rule as an operator writes it and reads it.

use std::fmt;
use std::str::FromStr;

use super::Rule;
use crate::update::index::Severity;
use crate::update::path::Quoted;

/// Longest delay, in seconds: 366 days.
pub const DELAY_LIMIT: i64 = 366 * 86_400;

/// Longest name of a channel in a rule, and with it the longest rule that is looked at, in bytes.
const TEXT_LIMIT: usize = 1024;

const SHAPE: &str = r#"write it as: "stable" follows "testing" after 7 days, severity critical at once"#;

const UNITS: [(&str, &str, i64); 4] =
    [("day", "days", 86_400), ("hour", "hours", 3_600), ("minute", "minutes", 60), ("second", "seconds", 1)];

/// Why a text is no rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// Longer than anybody writes.
    #[error("the rule is longer than {TEXT_LIMIT} bytes; {SHAPE}")]
    TooLong,
    /// Something else was expected.
    #[error("the rule has {quoted} where {expected} is expected; {SHAPE}", quoted = Quoted(found))]
    Expected {
        /// What stands there.
        found: String,
        /// What should.
        expected: &'static str,
    },
    /// Not a number, or a delay longer than [`DELAY_LIMIT`].
    #[error("the delay {quoted} is not between 0 and 366 days", quoted = Quoted(.0))]
    Delay(String),
    /// A channel that follows itself.
    #[error("channel {quoted} cannot follow itself", quoted = Quoted(.0))]
    Itself(String),
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} follows {}", Name(&self.channel), Name(&self.follows))?;
        if self.after != 0 {
            let (one, many, seconds) =
                UNITS.into_iter().find(|(_, _, seconds)| self.after % seconds == 0).unwrap_or(("second", "seconds", 1));
            let count = self.after / seconds;
            write!(f, " after {count} {}", if count == 1 { one } else { many })?;
        }
        if let Some(severity) = self.at_once {
            write!(f, ", severity {severity} at once")?;
        }
        Ok(())
    }
}

/// A name in quotes; quotes and backslashes in it are escaped.
struct Name<'a>(&'a str);

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.replace('\\', "\\\\").replace('"', "\\\""))
    }
}

struct Reader<'a>(&'a str);

impl<'a> Reader<'a> {
    fn expected(&self, expected: &'static str) -> RuleError {
        RuleError::Expected { found: self.0.to_owned(), expected }
    }

    fn peek(&mut self) -> &'a str {
        self.0 = self.0.trim_start();
        let end = self.0.find(|c: char| c.is_whitespace() || c == ',').unwrap_or(self.0.len());
        &self.0[..end]
    }

    fn word(&mut self) -> &'a str {
        let word = self.peek();
        self.0 = &self.0[word.len()..];
        word
    }

    fn takes(&mut self, word: &str) -> bool {
        let is = self.peek() == word;
        if is {
            self.0 = &self.0[word.len()..];
        }
        is
    }

    fn expect(&mut self, word: &'static str) -> Result<(), RuleError> {
        if self.takes(word) { Ok(()) } else { Err(self.expected(word)) }
    }

    fn comma(&mut self) -> bool {
        self.0 = self.0.trim_start();
        match self.0.strip_prefix(',') {
            Some(rest) => {
                self.0 = rest;
                true
            }
            None => false,
        }
    }

    fn name(&mut self) -> Result<String, RuleError> {
        self.0 = self.0.trim_start();
        let error = self.expected("the name of a channel in quotes");
        let mut chars = self.0.char_indices();
        if chars.next().is_none_or(|(_, c)| c != '"') {
            return Err(error);
        }
        let mut name = String::new();
        while let Some((at, c)) = chars.next() {
            match c {
                '"' if name.is_empty() => return Err(error),
                '"' => {
                    self.0 = &self.0[at + 1..];
                    return Ok(name);
                }
                '\\' => match chars.next() {
                    Some((_, c @ ('"' | '\\'))) => name.push(c),
                    _ => return Err(error),
                },
                c => name.push(c),
            }
        }
        Err(error)
    }

    fn delay(&mut self) -> Result<i64, RuleError> {
        let (count, unit) = (self.word(), self.word());
        let (_, _, seconds) =
            UNITS.into_iter().find(|(one, many, _)| unit == *one || unit == *many).ok_or_else(|| {
                RuleError::Expected { found: unit.to_owned(), expected: "days, hours, minutes or seconds" }
            })?;
        let delay = count.parse::<i64>().ok().and_then(|count| count.checked_mul(seconds));
        delay.filter(|d| (0..=DELAY_LIMIT).contains(d)).ok_or_else(|| RuleError::Delay(format!("{count} {unit}")))
    }
}

impl FromStr for Rule {
    type Err = RuleError;
    fn from_str(text: &str) -> Result<Self, RuleError> {
        if text.len() > TEXT_LIMIT {
            return Err(RuleError::TooLong);
        }
        let mut reader = Reader(text);
        let channel = reader.name()?;
        reader.expect("follows")?;
        let follows = reader.name()?;
        let after = if reader.takes("after") { reader.delay()? } else { 0 };
        let mut at_once = None;
        if reader.comma() {
            reader.expect("severity")?;
            let word = reader.word();
            let severity: Severity = word.parse().map_err(|_| RuleError::Expected {
                found: word.to_owned(),
                expected: "none, low, medium, high or critical",
            })?;
            reader.expect("at")?;
            reader.expect("once")?;
            at_once = Some(severity);
        }
        if !reader.0.trim().is_empty() {
            return Err(reader.expected("its end"));
        }
        if channel == follows {
            return Err(RuleError::Itself(channel));
        }
        Ok(Self { channel, follows, after, at_once })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_read_as_it_is_written() {
        let rule: Rule = r#""stable" follows "testing" after 7 days, severity critical at once"#.parse().unwrap();
        let expected = Rule {
            channel: "stable".into(),
            follows: "testing".into(),
            after: 7 * 86_400,
            at_once: Some(Severity::Critical),
        };
        assert_eq!(rule, expected);
        for text in [
            r#""a" follows "b""#,
            r#""a" follows "b" after 1 day"#,
            r#""a" follows "b" after 36 hours"#,
            r#""a" follows "b" after 90 seconds, severity low at once"#,
            r#""with \"quotes\", and \\" follows "ä b""#,
        ] {
            assert_eq!(text.parse::<Rule>().unwrap().to_string(), text);
        }
        let loose: Rule = "  \"a\"\tfollows \"b\"  after  48 hours ,severity high  at once ".parse().unwrap();
        assert_eq!(loose.to_string(), r#""a" follows "b" after 2 days, severity high at once"#);
    }

    #[test]
    fn what_is_no_rule_is_refused_with_an_example() {
        let long = "x".repeat(2000);
        for (text, message) in [
            ("", "where the name of a channel in quotes is expected"),
            ("stable follows testing", r#"has "stable follows testing" where the name"#),
            (r#""" follows "b""#, "where the name"),
            (r#""a" leads "b""#, r#"has "leads \"b\"" where follows is expected"#),
            (r#""a" follows "b"#, "where the name"),
            (r#""a\x" follows "b""#, "where the name"),
            (r#""a" follows "b" after seven days"#, r#"the delay "seven days" is not between"#),
            (r#""a" follows "b" after -1 days"#, r#"the delay "-1 days""#),
            (r#""a" follows "b" after 367 days"#, r#"the delay "367 days""#),
            (r#""a" follows "b" after 9223372036854775807 days"#, "is not between 0 and 366 days"),
            (r#""a" follows "b" after 7 weeks"#, r#"has "weeks" where days, hours"#),
            (r#""a" follows "b", severity huge at once"#, r#"has "huge" where none, low"#),
            (r#""a" follows "b", severity low later"#, r#"has "later" where at is"#),
            (r#""a" follows "b" now"#, r#"has "now" where its end"#),
            (r#""a" follows "a""#, "cannot follow itself"),
            (long.as_str(), "longer than 1024 bytes"),
        ] {
            let error = text.parse::<Rule>().unwrap_err().to_string();
            assert!(error.contains(message), "{text}: {error}");
        }
    }
}
