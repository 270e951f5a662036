//! The checked expression: names resolved, conversions explicit, ready to run.

use crate::ast::{Binary, Logic, Pointer};
use crate::builtins::Builtin;
use crate::methods::Method;
use crate::pattern::Pattern;
use crate::schema::{TextFunction, Type};

#[derive(Debug)]
pub(crate) struct Expr {
    pub op: Op,
    pub offset: u32,
}

#[derive(Debug)]
pub(crate) enum Op {
    Nil,
    Bool(bool),
    Int(i64),
    Float(f64),
    Str(Box<str>),
    Bytes(Box<[u8]>),
    /// `$env`
    Env,
    /// A key of the row.
    Global(&'static str, Type),
    /// A `let` variable, counted from the outermost.
    Local(usize),
    Pointer(Pointer),
    Not(Box<Expr>),
    Negate(Box<Expr>),
    Compare(Box<Comparison>),
    /// Arithmetic, `in`, `contains`, `startsWith`, `endsWith`, `..`, `??`.
    Binary(Binary, Box<(Expr, Expr)>),
    /// `in` with a list of constants, which is not built anew for every row.
    InConstants(Box<Expr>, Vec<Expr>),
    /// `matches` with a pattern known at compile time.
    Matches(Box<Expr>, Box<Pattern>),
    Logic(Logic, Vec<Expr>),
    Conditional(Box<(Expr, Expr, Expr)>),
    /// A field of a record, by its JSON key.
    Field {
        target: Box<Expr>,
        key: &'static str,
        ty: Type,
        optional: bool,
    },
    /// Everything else in brackets or after a dot.
    Index {
        target: Box<Expr>,
        index: Box<Expr>,
        optional: bool,
    },
    Slice {
        target: Box<Expr>,
        from: Option<Box<Expr>>,
        to: Option<Box<Expr>>,
    },
    /// The end of a chain with `?.` in it.
    Chain(Box<Expr>),
    Method(Box<Expr>, Method, Vec<Expr>),
    Builtin {
        function: Builtin,
        args: Vec<Expr>,
        predicate: Option<Box<Expr>>,
    },
    TextFunction(&'static str, TextFunction, Vec<Expr>),
    List(Vec<Expr>),
    Map(Vec<(Expr, Expr)>),
    /// Value and body.
    Let(Box<(Expr, Expr)>),
    Sequence(Vec<Expr>),
}

#[derive(Debug)]
pub(crate) struct Comparison {
    pub op: Binary,
    pub left: Expr,
    pub right: Expr,
    /// An integer on the left turns a text on the right into a number (inventory.md 8.7).
    pub right_to_int: bool,
    /// Both sides have this static type; nil found at run time is an error (inventory.md 8.7).
    pub strict: Option<&'static str>,
    /// The right side is the word `nil`.
    pub with_nil: bool,
}

impl Op {
    pub fn is_constant(&self) -> bool {
        matches!(self, Self::Nil | Self::Bool(_) | Self::Int(_) | Self::Float(_) | Self::Str(_))
    }
}
