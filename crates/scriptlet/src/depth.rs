//! Bounds how deep a program nests, before the interpreter reads it.
//!
//! The interpreter recurses once per nested expression and branch without a limit of its own; a
//! thread that overflows its stack ends the whole process. Each operator, opening bracket or
//! keyword of a statement nests at most once, so counting them bounds the depth from above. Long
//! lists and dicts of plain values count little.

use crate::{MAX_NESTING, ScriptletError};

/// Refuses a program in which one statement has more than [`MAX_NESTING`] nesting tokens, or
/// which has more branches than that: a chain of `elif` nests as well.
pub(crate) fn check(source: &str) -> Result<(), ScriptletError> {
    let mut reader = Reader { rest: source, line: 1 };
    let (mut open, mut nesting, mut branches) = (0_usize, 0_usize, 0_usize);
    while let Some(token) = reader.next_token() {
        match token {
            Token::Newline if open == 0 => nesting = 0,
            Token::Newline | Token::Plain => {}
            Token::Open => {
                open += 1;
                nesting += 1;
            }
            Token::Close => open = open.saturating_sub(1),
            Token::Nesting => nesting += 1,
            Token::Branch => branches += 1,
        }
        if nesting.max(branches) > MAX_NESTING {
            return Err(ScriptletError::TooComplex(reader.line));
        }
    }
    Ok(())
}

enum Token {
    Newline,
    /// Names, numbers, strings, commas, comments: things that do not nest.
    Plain,
    Open,
    Close,
    Nesting,
    Branch,
}

struct Reader<'a> {
    rest: &'a str,
    line: usize,
}

impl Reader<'_> {
    fn next_token(&mut self) -> Option<Token> {
        let first = self.rest.chars().next()?;
        if first.is_alphanumeric() || first == '_' {
            return Some(self.word());
        }
        if matches!(first, '"' | '\'') {
            self.string(first);
            return Some(Token::Plain);
        }
        if first == '#' {
            self.skip(self.rest.find('\n').unwrap_or(self.rest.len()));
            return Some(Token::Plain);
        }
        // A backslash joins two lines.
        if self.rest.starts_with("\\\n") || self.rest.starts_with("\\\r\n") {
            self.skip(self.rest.find('\n').map_or(1, |at| at + 1));
            return Some(Token::Plain);
        }
        self.skip(first.len_utf8());
        Some(match first {
            '\n' => Token::Newline,
            '(' | '[' | '{' => Token::Open,
            ')' | ']' | '}' => Token::Close,
            ',' => Token::Plain,
            c if c.is_whitespace() => Token::Plain,
            _ => Token::Nesting,
        })
    }

    fn word(&mut self) -> Token {
        let end = self.rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(self.rest.len());
        let word = &self.rest[..end];
        let token = match word {
            "elif" => Token::Branch,
            "and" | "or" | "not" | "in" | "if" | "else" | "for" | "lambda" => Token::Nesting,
            // The parser reads `1if` as two tokens.
            _ if word.starts_with(|c: char| c.is_ascii_digit()) => Token::Nesting,
            _ => Token::Plain,
        };
        self.skip(end);
        token
    }

    /// Skips a string. One that ends with its line is a syntax error; the rest of the program is
    /// then read as if it had been closed.
    fn string(&mut self, quote: char) {
        let triple: String = [quote; 3].iter().collect();
        let long = self.rest.starts_with(&triple);
        self.skip(if long { 3 } else { 1 });
        while let Some(c) = self.rest.chars().next() {
            if c == '\\' {
                self.skip(1);
                self.skip(self.rest.chars().next().map_or(0, char::len_utf8));
            } else if long && self.rest.starts_with(&triple) {
                return self.skip(3);
            } else if !long && c == '\n' {
                return;
            } else {
                self.skip(c.len_utf8());
                if !long && c == quote {
                    return;
                }
            }
        }
    }

    fn skip(&mut self, bytes: usize) {
        let (skipped, rest) = self.rest.split_at(bytes);
        self.line += skipped.matches('\n').count();
        self.rest = rest;
    }
}
