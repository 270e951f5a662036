//! What can be wrong with a program.

use crate::engine::FUNCTION;
use crate::{MAX_NESTING, MAX_SOURCE_BYTES};

/// Why a program was refused or ended early.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScriptletError {
    /// A syntax, name or run-time error at a known place; line and column count from 1.
    #[error("{FUNCTION}:{line}:{column}: {message}")]
    At {
        /// Line of the program.
        line: usize,
        /// Column of that line, in characters.
        column: usize,
        /// What is wrong.
        message: String,
    },
    /// An error without a place, such as a limit met between two operations.
    #[error("{FUNCTION}: {0}")]
    Unplaced(String),
    /// The program lacks the entry function.
    #[error("The scriptlet must define the function {FUNCTION:?}")]
    NoFunction,
    /// The entry name is bound to something else.
    #[error("{FUNCTION:?} must be a function, not a value of type {0:?}")]
    NotAFunction(String),
    /// The entry function takes other parameters.
    #[error("The function {FUNCTION:?} must take exactly the parameter \"candidate\", not ({0})")]
    Parameters(String),
    /// The entry function returned something.
    #[error("The function {FUNCTION:?} must return None, not a value of type {0:?}")]
    Returned(String),
    /// The program is too long.
    #[error("The scriptlet has {0} bytes, more than {MAX_SOURCE_BYTES}")]
    TooLong(usize),
    /// A statement, or all branches together, could nest too deep; with the line where it got so.
    #[error("{FUNCTION}:{0}:1: More than {MAX_NESTING} operators, brackets or branches: split the statement")]
    TooComplex(usize),
    /// The thread for the program could not be started, or ended abnormally.
    #[error("The scriptlet could not be executed: {0}")]
    Thread(String),
}

impl From<starlark::Error> for ScriptletError {
    fn from(error: starlark::Error) -> Self {
        let message = error.without_diagnostic().to_string();
        match error.span() {
            Some(span) => {
                let begin = span.resolve_span().begin;
                Self::At { line: begin.line + 1, column: begin.column + 1, message }
            }
            // Further lines of a limit's text explain the interpreter, not the program.
            None => Self::Unplaced(message.lines().next().unwrap_or_default().to_owned()),
        }
    }
}
