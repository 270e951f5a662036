//! Errors that point at a place in the source.

use std::fmt;

/// A place in the source; line and column count from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

/// A message with the place it is about, printed with the source line and a caret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located {
    /// What is wrong, without the place.
    pub message: String,
    /// Where it is wrong.
    pub position: Position,
    line_text: String,
}

impl Located {
    /// Builds the message for the character at `offset` (counted in characters from 0) of `source`.
    pub(crate) fn new(source: &str, offset: u32, message: String) -> Self {
        let mut rest = offset as usize;
        let mut line = 1;
        let mut line_text = "";
        for (number, text) in source.split('\n').enumerate() {
            (line, line_text) = (number + 1, text);
            let length = text.chars().count();
            if rest <= length {
                break;
            }
            rest -= length + 1;
        }
        Self { message, position: Position { line, column: rest + 1 }, line_text: line_text.to_owned() }
    }
}

impl fmt::Display for Located {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Position { line, column } = self.position;
        write!(f, "{} ({line}:{column})\n | {}\n | {}^", self.message, self.line_text, ".".repeat(column - 1))
    }
}

/// Why a filter was refused before any row was looked at (inventory.md 8.2).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    /// The text is not an expression.
    #[error("{0}")]
    Syntax(Located),
    /// A name is unknown or an operator does not fit its operands.
    #[error("{0}")]
    Type(Located),
    /// The expression is fine but is no condition.
    #[error("expected bool, but got {got}")]
    NotBool {
        /// Type of the expression, as the peer writes it.
        got: String,
    },
}

impl CompileError {
    /// The place the error is about; none if it is about the whole expression.
    #[must_use]
    pub fn position(&self) -> Option<Position> {
        match self {
            Self::Syntax(at) | Self::Type(at) => Some(at.position),
            Self::NotBool { .. } => None,
        }
    }
}

/// Why a filter failed on a row; the whole request fails with it (inventory.md 8.2).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EvalError {
    /// An operation did not fit the value found in the row.
    #[error("{0}")]
    Failed(Located),
    /// The memory budget is used up.
    #[error("{0}")]
    Memory(Located),
    /// The step budget is used up.
    #[error("{0}")]
    Steps(Located),
}

impl EvalError {
    /// The place the error is about.
    #[must_use]
    pub fn position(&self) -> Position {
        match self {
            Self::Failed(at) | Self::Memory(at) | Self::Steps(at) => at.position,
        }
    }
}

/// A fault found at a character offset, before it is drawn.
#[derive(Debug)]
pub(crate) struct Fault {
    pub offset: u32,
    pub message: String,
}

impl Fault {
    /// Boxed, so that the results of the recursive parser and checker stay small.
    pub fn new(offset: u32, message: impl Into<String>) -> Box<Self> {
        Box::new(Self { offset, message: message.into() })
    }
}
