//! The filter language of lists and queries: expr-lang v1.17 as inventory.md 8 restates it.
//!
//! [`compile`] checks a text against the [`Schema`] of a row and gives a [`Program`], which says
//! for every row whether it matches. Nothing an expression contains can exhaust the stack, and
//! every evaluation ends within its [`Budget`]. The language is described in `reference.md`.

pub mod ast;
mod builtins;
mod check;
mod error;
mod eval;
mod fuel;
mod gotime;
mod lexer;
mod methods;
mod ops;
mod parser;
mod pattern;
mod plan;
mod print;
mod schema;
mod value;

pub use builtins::Builtin;
pub use error::{CompileError, EvalError, Located, Position};
pub use eval::Budget;
pub use schema::{CodeType, Schema, StructType, TextFunction, Type};

use std::sync::Arc;

/// The language in one page of Markdown, for help texts and the site.
pub const REFERENCE: &str = include_str!("../reference.md");

/// Parses a text without looking at names and types.
///
/// # Errors
/// [`CompileError::Syntax`] if it is no expression, or one that is too deep or too long.
pub fn parse(source: &str) -> Result<ast::Node, CompileError> {
    match parser::parse(source) {
        Ok(node) => Ok(*node),
        Err(fault) => Err(CompileError::Syntax(Located::new(source, fault.offset, fault.message))),
    }
}

/// Compiles a condition on rows of the given schema.
///
/// # Errors
/// The text does not parse, does not fit the schema, or is no condition.
pub fn compile(source: &str, schema: &Schema) -> Result<Program, CompileError> {
    let node = parse(source)?;
    let checked = check::check(&node, schema)
        .map_err(|fault| CompileError::Type(Located::new(source, fault.offset, fault.message)))?;
    match &checked.ty {
        Type::Any | Type::Bool => {}
        Type::Nil => return Err(CompileError::NotBool { got: "unknown".to_owned() }),
        other => return Err(CompileError::NotBool { got: other.to_string() }),
    }
    Ok(Program(Arc::new(Compiled {
        source: source.to_owned(),
        root: checked.root,
        names: checked.names,
        environment: schema.env.clone(),
    })))
}

/// A compiled condition; cheap to clone, to be kept and shared.
#[derive(Debug, Clone)]
pub struct Program(Arc<Compiled>);

#[derive(Debug)]
struct Compiled {
    source: String,
    root: plan::Expr,
    names: Vec<&'static str>,
    environment: Arc<StructType>,
}

impl Program {
    /// Whether the row matches. `row` is an object whose keys are the names of the schema;
    /// members that are absent or null have the zero value of their type, or are nil if the type
    /// is [`Type::Optional`] or [`Type::Any`]. `now` is the result of `now()`.
    ///
    /// # Errors
    /// An operation failed on this row or the default budget is used up.
    pub fn matches(&self, row: &serde_json::Value, now: jiff::Timestamp) -> Result<bool, EvalError> {
        self.matches_within(row, now, Budget::default())
    }

    /// As [`Program::matches`], with a budget of its own.
    ///
    /// # Errors
    /// As there.
    pub fn matches_within(
        &self,
        row: &serde_json::Value,
        now: jiff::Timestamp,
        budget: Budget,
    ) -> Result<bool, EvalError> {
        let Compiled { source, root, environment, .. } = &*self.0;
        eval::run(root, environment, row, now, budget).map_err(|failure| failure.locate(source))
    }

    /// The keys of the row that the expression looks at.
    #[must_use]
    pub fn names(&self) -> &[&'static str] {
        &self.0.names
    }

    /// The text it was compiled from.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.0.source
    }
}

#[cfg(test)]
mod tests {
    use super::{Builtin, REFERENCE};

    #[test]
    fn the_reference_names_every_function() {
        for function in Builtin::ALL {
            let name = function.name();
            let named = [format!("`{name}`"), format!("`{name}(")].iter().any(|form| REFERENCE.contains(form.as_str()));
            assert!(named, "{name}");
        }
    }
}
