//! Which operands the infix operators take, and which conversions they imply.

use super::{Checker, Expr, Fault, Made, Node, Op, Type, boxed, fault, made};
use crate::ast::{Binary, Logic, Operand};
use crate::pattern::Pattern;
use crate::plan::Comparison;

impl Checker<'_> {
    pub(super) fn logic(&mut self, op: Logic, operands: &[Operand]) -> Made {
        let mut checked = Vec::with_capacity(operands.len());
        let mut left = Type::Bool;
        for (n, Operand { operator, node }) in operands.iter().enumerate() {
            let (expr, ty) = *self.node(node)?;
            let is_bool = |ty: &Type| ty.is_open() || *ty.plain() == Type::Bool;
            if n > 0 && !(is_bool(&left) && is_bool(&ty)) {
                let message = format!("invalid operation: {} (mismatched types {left} and {ty})", op.symbol());
                return fault(*operator, message);
            }
            left = if n > 0 { Type::Bool } else { ty };
            checked.push(expr);
        }
        made(Op::Logic(op, checked), Type::Bool)
    }

    pub(super) fn binary(&mut self, op: Binary, left: &Node, right: &Node, offset: u32) -> Made {
        let (left, l) = *self.node(left)?;
        let (right, r) = *self.node(right)?;
        let mismatch = || {
            let message = format!("invalid operation: {} (mismatched types {l} and {r})", op.symbol());
            Fault::new(offset, message)
        };
        let result = match op {
            _ if op.is_comparison() => {
                let right_to_int = l == Type::Int && !matches!(r, Type::Optional(_)) && *r.plain() == Type::Str;
                if !right_to_int && !comparable(op, &l, &r) {
                    return Err(mismatch());
                }
                let with_nil = r == Type::Nil;
                let strict = match &l {
                    Type::Str if r == l || with_nil => Some("string"),
                    Type::Int if r == l || with_nil => Some("int"),
                    Type::Float if r == l || with_nil => Some("float64"),
                    Type::Bool if r == l || with_nil => Some("bool"),
                    _ => None,
                };
                let comparison = Comparison { op, left, right, right_to_int, strict, with_nil };
                return made(Op::Compare(Box::new(comparison)), Type::Bool);
            }
            Binary::In => {
                is_in(&l, &r, offset)?.then_some(()).ok_or_else(mismatch)?;
                if let Op::List(items) = right.op {
                    if items.iter().all(|item| item.op.is_constant()) {
                        return made(Op::InConstants(boxed(left), items), Type::Bool);
                    }
                    let right = Expr { op: Op::List(items), offset: right.offset };
                    return made(Op::Binary(op, Box::new((left, right))), Type::Bool);
                }
                Type::Bool
            }
            Binary::Matches | Binary::Contains | Binary::StartsWith | Binary::EndsWith => {
                let is_text = |ty: &Type| ty.is_open() || *ty.plain() == Type::Str;
                if !is_text(&l) || !is_text(&r) {
                    return Err(mismatch());
                }
                if let (Binary::Matches, Op::Str(text)) = (op, &right.op) {
                    let pattern = Pattern::new(text).map_err(|message| Fault::new(offset, message))?;
                    return made(Op::Matches(boxed(left), Box::new(pattern)), Type::Bool);
                }
                Type::Bool
            }
            Binary::Coalesce => match (&l, &r) {
                (Type::Nil, _) => r.clone(),
                (_, Type::Nil) => l.clone(),
                _ if l.pointed() == r.pointed() => r.clone(),
                _ => Type::Any,
            },
            _ => arithmetic(op, l.plain(), r.plain()).ok_or_else(mismatch)?,
        };
        if op == Binary::Modulo && matches!(right.op, Op::Int(0)) {
            return fault(offset, "integer divide by zero");
        }
        made(Op::Binary(op, Box::new((left, right))), result)
    }
}

/// Result of an arithmetic operator on plain types; none if it does not take them.
fn arithmetic(op: Binary, l: &Type, r: &Type) -> Option<Type> {
    use Type::{Any, Duration, Float, Int, List, Nil, Str, Time};
    let number = |ty: &Type| matches!(ty, Int | Float);
    let open = |ty: &Type| matches!(ty, Any | Nil);
    Some(match (op, l, r) {
        (Binary::Range, Int, Int) => List(Box::new(Int)),
        (Binary::Range, l, r) if (open(l) || *l == Int) && (open(r) || *r == Int) => List(Box::new(Int)),
        (Binary::Range, ..) => return None,
        (Binary::Modulo, l, r) if (open(l) || *l == Int) && (open(r) || *r == Int) => Int,
        (Binary::Modulo, ..) => return None,
        (Binary::Divide | Binary::Power, l, r) if (open(l) || number(l)) && (open(r) || number(r)) => Float,
        (Binary::Power, ..) => return None,
        (Binary::Divide, Duration, Duration | Int | Float) => Float,
        (Binary::Add | Binary::Subtract | Binary::Multiply, Int, Int) => Int,
        (Binary::Add | Binary::Subtract | Binary::Multiply, l, r) if number(l) && number(r) => Float,
        (Binary::Add, Str, Str) => Str,
        (Binary::Add, Time, Duration) | (Binary::Add, Duration, Time) => Time,
        (Binary::Add | Binary::Subtract, Duration, Duration) => Duration,
        (Binary::Subtract, Time, Time) => Duration,
        (Binary::Subtract, Time, Duration) => Time,
        (Binary::Multiply, Duration, Int) | (Binary::Multiply, Int, Duration) => Duration,
        (_, l, r) if open(l) && open(r) => Any,
        (Binary::Add, l, r) if open(l) || open(r) => {
            let known = if open(l) { r } else { l };
            if matches!(known, Int | Float | Str | Time | Duration) { Any } else { return None }
        }
        (Binary::Subtract | Binary::Multiply, l, r) if open(l) || open(r) => {
            let known = if open(l) { r } else { l };
            if matches!(known, Int | Float | Time | Duration) { Any } else { return None }
        }
        _ => return None,
    })
}

/// Whether two types compare, after the conversions of inventory.md 8.7.
fn comparable(op: Binary, l: &Type, r: &Type) -> bool {
    let equality = matches!(op, Binary::Equal | Binary::NotEqual);
    let (lp, rp) = (l.pointed(), r.pointed());
    if matches!(lp, Type::Any) || matches!(rp, Type::Any) {
        return true;
    }
    if matches!(lp, Type::Nil) || matches!(rp, Type::Nil) {
        return equality;
    }
    match (lp.plain(), rp.plain()) {
        (Type::Int | Type::Float, Type::Int | Type::Float) => {
            // Two named types do not convert into each other.
            lp == rp || lp.is_builtin_scalar() || rp.is_builtin_scalar()
        }
        (Type::Str, Type::Str) => lp == rp || lp.is_builtin_scalar() || rp.is_builtin_scalar(),
        // A code on the left is compared by its text, not so on the right.
        (Type::Int, Type::Str) => matches!(lp, Type::Code(_)) && *rp == Type::Str,
        (Type::Bool, Type::Bool) | (Type::List(_), Type::List(_)) => equality,
        (Type::Time, Type::Time) | (Type::Duration, Type::Duration) => true,
        (Type::Uuid, Type::Uuid) => equality,
        (Type::Map(_), Type::Map(_)) | (Type::Struct(_), Type::Struct(_)) => equality && lp == rp,
        _ => false,
    }
}

/// Whether `l in r` is a question at all.
fn is_in(l: &Type, r: &Type, offset: u32) -> Result<bool, Box<Fault>> {
    if r.is_open() {
        return Ok(true);
    }
    match r.plain() {
        Type::List(item) => {
            let (lp, item) = (l.pointed(), item.pointed());
            let numbers = matches!((lp, item), (Type::Int | Type::Float, Type::Int | Type::Float));
            if l.is_open() || item.is_open() || lp == item || numbers {
                return Ok(true);
            }
            fault(offset, format!("cannot use {l} as type {item} in array"))
        }
        Type::Map(_) if l.is_open() || *l.pointed() == Type::Str => Ok(true),
        Type::Map(_) => fault(offset, format!("cannot use {l} as type string in map key")),
        Type::Struct(_) if l.is_open() || *l.pointed() == Type::Str => Ok(true),
        Type::Struct(_) => fault(offset, format!("cannot use {l} as field name of {r}")),
        _ => Ok(false),
    }
}
