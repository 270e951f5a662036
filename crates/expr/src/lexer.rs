//! Cuts the source into tokens (inventory.md 8.3).

use crate::error::Fault;
use std::fmt;

/// A token and its offset in characters.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Token {
    pub kind: TokenKind,
    pub offset: u32,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum TokenKind {
    End,
    Name(String),
    /// Operators, separators and reserved words.
    Op(&'static str),
    Bracket(char),
    Int(i64),
    Float(f64),
    Str(String),
    Bytes(Vec<u8>),
}

impl fmt::Display for TokenKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::End => f.write_str("EOF"),
            Self::Name(name) => write!(f, "Identifier({name:?})"),
            Self::Op(op) => write!(f, "Operator({op:?})"),
            Self::Bracket(bracket) => write!(f, "Bracket(\"{bracket}\")"),
            Self::Int(value) => write!(f, "Number(\"{value}\")"),
            Self::Float(value) => write!(f, "Number(\"{value}\")"),
            Self::Str(text) => write!(f, "String({text:?})"),
            Self::Bytes(bytes) => write!(f, "Bytes({:?})", String::from_utf8_lossy(bytes)),
        }
    }
}

const WORDS: [&str; 11] =
    ["in", "not", "or", "and", "matches", "contains", "startsWith", "endsWith", "let", "if", "else"];

/// Longer ones first.
const OPERATORS: [&str; 28] = [
    "??", "?.", "||", "&&", "==", "!=", "<=", ">=", "..", "**", "+", "-", "*", "/", "%", "^", "|", "<", ">", "=", "!",
    "?", ":", ";", ",", ".", "#", "&",
];

/// Whether a name may begin with `c`.
pub(crate) fn starts_name(c: char) -> bool {
    c.is_alphabetic() || c == '_' || c == '$'
}

/// Whether a name may go on with `c`.
pub(crate) fn continues_name(c: char) -> bool {
    starts_name(c) || c.is_numeric()
}

struct Lexer {
    chars: Vec<char>,
    at: usize,
}

/// All tokens of `source`, the last one being `End`.
pub(crate) fn tokens(source: &str) -> Result<Vec<Token>, Box<Fault>> {
    let mut lexer = Lexer { chars: source.chars().collect(), at: 0 };
    let mut tokens = Vec::new();
    loop {
        lexer.skip_blank()?;
        let offset = lexer.at as u32;
        let Some(c) = lexer.peek(0) else {
            // The peer points at the last character, not behind it.
            let offset = offset.saturating_sub(1);
            tokens.push(Token { kind: TokenKind::End, offset });
            return Ok(tokens);
        };
        let kind = lexer.token(c)?;
        tokens.push(Token { kind, offset });
    }
}

impl Lexer {
    fn peek(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at + ahead).copied()
    }

    fn fault<T>(&self, offset: usize, message: impl Into<String>) -> Result<T, Box<Fault>> {
        Err(Fault::new(offset as u32, message))
    }

    fn looking_at(&self, text: &str) -> bool {
        text.chars().enumerate().all(|(n, c)| self.peek(n) == Some(c))
    }

    fn take_while(&mut self, test: impl Fn(char) -> bool) -> String {
        let start = self.at;
        while self.peek(0).is_some_and(&test) {
            self.at += 1;
        }
        self.chars[start..self.at].iter().collect()
    }

    fn skip_blank(&mut self) -> Result<(), Box<Fault>> {
        loop {
            if self.peek(0).is_some_and(char::is_whitespace) {
                self.at += 1;
            } else if self.looking_at("//") {
                self.take_while(|c| c != '\n');
            } else if self.looking_at("/*") {
                let start = self.at;
                while !self.looking_at("*/") {
                    if self.peek(0).is_none() {
                        return self.fault(start, "unclosed comment");
                    }
                    self.at += 1;
                }
                self.at += 2;
            } else {
                return Ok(());
            }
        }
    }

    fn token(&mut self, c: char) -> Result<TokenKind, Box<Fault>> {
        let digit_next = self.peek(1).is_some_and(|d| d.is_ascii_digit());
        if c.is_ascii_digit() || (c == '.' && digit_next) {
            return self.number();
        }
        if c == 'b' && matches!(self.peek(1), Some('"' | '\'')) {
            self.at += 1;
            return self.quoted(true).map(TokenKind::Bytes);
        }
        if matches!(c, '"' | '\'') {
            // Escapes in strings are code points, so this is always text.
            return Ok(TokenKind::Str(String::from_utf8_lossy(&self.quoted(false)?).into_owned()));
        }
        if c == '`' {
            return self.raw();
        }
        if starts_name(c) {
            let name = self.take_while(continues_name);
            return Ok(match WORDS.iter().find(|w| **w == name) {
                Some(word) => TokenKind::Op(word),
                None => TokenKind::Name(name),
            });
        }
        if "()[]{}".contains(c) {
            self.at += 1;
            return Ok(TokenKind::Bracket(c));
        }
        match OPERATORS.iter().find(|op| self.looking_at(op)) {
            Some(op) if *op != "&" => {
                self.at += op.len();
                Ok(TokenKind::Op(op))
            }
            _ => self.fault(self.at, format!("unrecognized character: U+{:04X} '{c}'", c as u32)),
        }
    }

    fn number(&mut self) -> Result<TokenKind, Box<Fault>> {
        let start = self.at;
        let radix = match (self.peek(0), self.peek(1)) {
            (Some('0'), Some('x' | 'X')) => 16,
            (Some('0'), Some('o' | 'O')) => 8,
            (Some('0'), Some('b' | 'B')) => 2,
            _ => 10,
        };
        let mut float = false;
        if radix == 10 {
            self.take_while(|c| c.is_ascii_digit() || c == '_');
            if self.peek(0) == Some('.') && self.peek(1) != Some('.') {
                float = true;
                self.at += 1;
                self.take_while(|c| c.is_ascii_digit() || c == '_');
            }
            if matches!(self.peek(0), Some('e' | 'E')) {
                float = true;
                self.at += 1;
                if matches!(self.peek(0), Some('+' | '-')) {
                    self.at += 1;
                }
                self.take_while(|c| c.is_ascii_digit() || c == '_');
            }
        } else {
            self.at += 2;
            self.take_while(|c| c.is_ascii_hexdigit() || c == '_');
        }
        let junk = !self.take_while(continues_name).is_empty();
        let text: String = self.chars[start..self.at].iter().collect();
        let plain = text.replace('_', "");
        if junk {
            return self.fault(start, format!("bad number syntax: {text:?}"));
        }
        if float {
            return match plain.parse::<f64>() {
                Ok(value) if value.is_finite() => Ok(TokenKind::Float(value)),
                _ => self.fault(start, format!("invalid float literal: {text:?}")),
            };
        }
        let digits = if radix == 10 { &plain } else { &plain[2..] };
        match i64::from_str_radix(digits, radix) {
            Ok(value) => Ok(TokenKind::Int(value)),
            Err(_) if digits.is_empty() => self.fault(start, format!("bad number syntax: {text:?}")),
            Err(_) => self.fault(start, format!("integer literal is out of range: {text:?}")),
        }
    }

    fn raw(&mut self) -> Result<TokenKind, Box<Fault>> {
        let start = self.at;
        self.at += 1;
        let text = self.take_while(|c| c != '`');
        if self.peek(0).is_none() {
            return self.fault(start, "literal not terminated");
        }
        self.at += 1;
        // A carriage return is never part of a raw string, as in Go.
        Ok(TokenKind::Str(text.replace('\r', "")))
    }

    fn quoted(&mut self, bytes: bool) -> Result<Vec<u8>, Box<Fault>> {
        let start = self.at;
        let quote = self.chars[self.at];
        self.at += 1;
        let mut out = Vec::new();
        loop {
            let Some(c) = self.peek(0).filter(|c| *c != '\n') else {
                return self.fault(start, "literal not terminated");
            };
            self.at += 1;
            if c == quote {
                return Ok(out);
            }
            if c == '\\' {
                self.escape(quote, bytes, &mut out)?;
            } else {
                push(&mut out, c);
            }
        }
    }

    fn escape(&mut self, quote: char, bytes: bool, out: &mut Vec<u8>) -> Result<(), Box<Fault>> {
        let start = self.at - 1;
        let Some(c) = self.peek(0) else {
            return self.fault(start, "literal not terminated");
        };
        self.at += 1;
        let simple = match c {
            'n' => '\n',
            't' => '\t',
            'r' => '\r',
            'a' => '\u{7}',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'v' => '\u{b}',
            '\\' => '\\',
            c if c == quote => c,
            'x' => return self.code(start, 2, 16, bytes, out),
            'u' => return self.code(start, 4, 16, false, out),
            'U' => return self.code(start, 8, 16, false, out),
            '0'..='7' => {
                self.at -= 1;
                return self.code(start, 3, 8, bytes, out);
            }
            _ => return self.fault(start, "unable to unescape string: invalid escape sequence"),
        };
        push(out, simple);
        Ok(())
    }

    fn code(&mut self, start: usize, len: usize, radix: u32, raw: bool, out: &mut Vec<u8>) -> Result<(), Box<Fault>> {
        let digits: String = self.chars.iter().skip(self.at).take(len).collect();
        self.at += digits.chars().count();
        let ok = digits.len() == len && digits.chars().all(|c| c.is_digit(radix));
        let code = u32::from_str_radix(&digits, radix).ok().filter(|_| ok);
        match code {
            // `\x` and octal escapes in byte strings are bytes, in strings code points.
            Some(code) if raw && code < 256 => out.push(code as u8),
            Some(code) => match char::from_u32(code) {
                Some(c) if !raw => push(out, c),
                _ => return self.fault(start, "unable to unescape string: invalid code"),
            },
            None => return self.fault(start, "unable to unescape string: invalid digits"),
        }
        Ok(())
    }
}

fn push(out: &mut Vec<u8>, c: char) {
    out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
}
