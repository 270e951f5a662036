//! Prints a tree in a canonical form that parses to the same tree.

use crate::ast::{Kind, Node, Pointer};
use std::fmt::{self, Display, Formatter, Write};

impl Display for Node {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Nil => f.write_str("nil"),
            Kind::Bool(value) => write!(f, "{value}"),
            Kind::Int(value) => write!(f, "{value}"),
            Kind::Float(value) => write!(f, "{value:?}"),
            Kind::Str(text) => quoted(f, text),
            Kind::Bytes(bytes) => {
                f.write_str("b\"")?;
                bytes.iter().try_for_each(|b| write!(f, "\\x{b:02x}"))?;
                f.write_char('"')
            }
            Kind::Name(name) => f.write_str(name),
            Kind::Pointer(Pointer::Element) => f.write_str("#"),
            Kind::Pointer(Pointer::Index) => f.write_str("#index"),
            Kind::Pointer(Pointer::Accumulator) => f.write_str("#acc"),
            Kind::Unary(op, operand) => {
                let space = if op.symbol() == "not" { " " } else { "" };
                write!(f, "{}{space}", op.symbol())?;
                inner(f, operand)
            }
            Kind::Binary(op, left, right) => {
                inner(f, left)?;
                write!(f, " {} ", op.symbol())?;
                inner(f, right)
            }
            Kind::Logic(op, operands) => {
                for (n, operand) in operands.iter().enumerate() {
                    if n > 0 {
                        write!(f, " {} ", op.symbol())?;
                    }
                    inner(f, &operand.node)?;
                }
                Ok(())
            }
            Kind::Conditional(condition, yes, no) => {
                inner(f, condition)?;
                f.write_str(" ? ")?;
                inner(f, yes)?;
                f.write_str(" : ")?;
                inner(f, no)
            }
            Kind::Member { target, property, optional } => {
                self::target(f, target)?;
                match &property.kind {
                    Kind::Str(name) if is_name(name) => write!(f, "{}{name}", if *optional { "?." } else { "." }),
                    _ => {
                        f.write_str(if *optional { "?.[" } else { "[" })?;
                        inner(f, property)?;
                        f.write_char(']')
                    }
                }
            }
            Kind::Slice { target, from, to } => {
                self::target(f, target)?;
                f.write_char('[')?;
                from.iter().try_for_each(|n| inner(f, n))?;
                f.write_char(':')?;
                to.iter().try_for_each(|n| inner(f, n))?;
                f.write_char(']')
            }
            Kind::Chain(end) => write!(f, "{end}"),
            Kind::Call(callee, args) => {
                write!(f, "{callee}(")?;
                list(f, args)?;
                f.write_char(')')
            }
            Kind::Builtin { function, args, predicate } => {
                write!(f, "{}(", function.name())?;
                match (predicate, args.split_first()) {
                    (Some(predicate), Some((first, rest))) => {
                        inner(f, first)?;
                        write!(f, ", {{{predicate}}}")?;
                        for argument in rest {
                            f.write_str(", ")?;
                            inner(f, argument)?;
                        }
                    }
                    _ => list(f, args)?,
                }
                f.write_char(')')
            }
            Kind::List(items) => {
                f.write_char('[')?;
                list(f, items)?;
                f.write_char(']')
            }
            Kind::Map(pairs) => {
                f.write_char('{')?;
                for (n, (key, value)) in pairs.iter().enumerate() {
                    f.write_str(if n > 0 { ", " } else { "" })?;
                    match &key.kind {
                        Kind::Str(text) => quoted(f, text)?,
                        _ => write!(f, "({key})")?,
                    }
                    f.write_str(": ")?;
                    inner(f, value)?;
                }
                f.write_char('}')
            }
            Kind::Let(name, value, body) => {
                write!(f, "let {name} = ")?;
                inner(f, value)?;
                write!(f, "; {body}")
            }
            Kind::Sequence(parts) => {
                for (n, part) in parts.iter().enumerate() {
                    f.write_str(if n > 0 { "; " } else { "" })?;
                    inner(f, part)?;
                }
                Ok(())
            }
        }
    }
}

fn list(f: &mut Formatter<'_>, items: &[Node]) -> fmt::Result {
    for (n, item) in items.iter().enumerate() {
        f.write_str(if n > 0 { ", " } else { "" })?;
        inner(f, item)?;
    }
    Ok(())
}

/// An operand: everything that is not one unit goes into parentheses.
fn inner(f: &mut Formatter<'_>, node: &Node) -> fmt::Result {
    match node.kind {
        Kind::Unary(..) | Kind::Binary(..) | Kind::Logic(..) => write!(f, "({node})"),
        Kind::Conditional(..) | Kind::Let(..) | Kind::Sequence(..) => write!(f, "({node})"),
        _ => write!(f, "{node}"),
    }
}

/// The left side of a postfix operator.
fn target(f: &mut Formatter<'_>, node: &Node) -> fmt::Result {
    match node.kind {
        Kind::Chain(_) | Kind::Int(_) | Kind::Float(_) => write!(f, "({node})"),
        _ => inner(f, node),
    }
}

/// Whether `.name` can be written; reserved words may follow a dot.
pub(crate) fn is_name(text: &str) -> bool {
    let mut chars = text.chars();
    chars.next().is_some_and(crate::lexer::starts_name) && chars.all(crate::lexer::continues_name)
}

fn quoted(f: &mut Formatter<'_>, text: &str) -> fmt::Result {
    f.write_char('"')?;
    for c in text.chars() {
        match c {
            '"' | '\\' => write!(f, "\\{c}")?,
            '\n' => f.write_str("\\n")?,
            c if c.is_control() => write!(f, "\\U{:08x}", c as u32)?,
            c => f.write_char(c)?,
        }
    }
    f.write_char('"')
}
