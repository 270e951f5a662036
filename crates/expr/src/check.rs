//! The type check: turns a tree into a plan, or says what does not fit (inventory.md 8.6, 8.7).

use crate::ast::{Kind, Node, Pointer, Unary};
use crate::builtins::Builtin;
use crate::error::Fault;
use crate::methods::Method;
use crate::plan::{Expr, Op};
use crate::schema::{Schema, Type};

mod builtins;
mod operators;

// Results are boxed so that the frames of the recursion stay small.
type Checked = Result<Box<(Expr, Type)>, Box<Fault>>;
type Made = Result<Box<(Op, Type)>, Box<Fault>>;

fn made(op: Op, ty: Type) -> Made {
    Ok(Box::new((op, ty)))
}

/// A checked expression, the top-level names it uses, and its type.
pub(crate) struct Outcome {
    pub root: Expr,
    pub names: Vec<&'static str>,
    pub ty: Type,
}

pub(crate) fn check(node: &Node, schema: &Schema) -> Result<Outcome, Box<Fault>> {
    let mut checker = Checker { schema, locals: Vec::new(), predicates: Vec::new(), names: Vec::new() };
    let (root, ty) = *checker.node(node)?;
    Ok(Outcome { root, names: checker.names, ty })
}

struct Checker<'s> {
    schema: &'s Schema,
    locals: Vec<(String, Type)>,
    predicates: Vec<Predicate>,
    names: Vec<&'static str>,
}

/// What `#` means inside a predicate.
struct Predicate {
    element: Type,
    reduces: bool,
}

fn fault<T>(offset: u32, message: impl Into<String>) -> Result<T, Box<Fault>> {
    Err(Fault::new(offset, message))
}

fn boxed(expr: Expr) -> Box<Expr> {
    Box::new(expr)
}

fn literal(kind: &Kind) -> Box<(Op, Type)> {
    Box::new(match kind {
        Kind::Bool(value) => (Op::Bool(*value), Type::Bool),
        Kind::Int(value) => (Op::Int(*value), Type::Int),
        Kind::Float(value) => (Op::Float(*value), Type::Float),
        Kind::Str(text) => (Op::Str(text.as_str().into()), Type::Str),
        Kind::Bytes(bytes) => (Op::Bytes(bytes.as_slice().into()), Type::Any),
        _ => (Op::Nil, Type::Nil),
    })
}

fn located((op, ty): (Op, Type), offset: u32) -> Box<(Expr, Type)> {
    Box::new((Expr { op, offset }, ty))
}

impl Checker<'_> {
    fn node(&mut self, node: &Node) -> Checked {
        let offset = node.offset;
        let made = match &node.kind {
            Kind::Name(name) => self.name(name, offset)?,
            Kind::Pointer(pointer) => self.pointer(*pointer, offset)?,
            Kind::Unary(op, operand) => self.unary(*op, operand, offset)?,
            Kind::Binary(op, left, right) => self.binary(*op, left, right, offset)?,
            Kind::Logic(op, operands) => self.logic(*op, operands)?,
            Kind::Conditional(condition, yes, no) => self.conditional(condition, yes, no)?,
            Kind::Member { target, property, optional } => self.member(target, property, *optional, offset)?,
            Kind::Slice { target, from, to } => self.slice(target, from.as_deref(), to.as_deref(), offset)?,
            Kind::Chain(end) => self.chain(end)?,
            Kind::Call(callee, args) => self.call(callee, args)?,
            Kind::Builtin { function, args, predicate } => {
                self.builtin(*function, args, predicate.as_deref(), offset)?
            }
            Kind::List(items) => self.list(items)?,
            Kind::Map(pairs) => self.map(pairs)?,
            Kind::Let(name, value, body) => self.declaration(name, value, body, offset)?,
            Kind::Sequence(parts) => self.sequence(parts)?,
            literal => self::literal(literal),
        };
        Ok(located(*made, offset))
    }

    fn chain(&mut self, end: &Node) -> Made {
        let (end, ty) = *self.node(end)?;
        made(Op::Chain(boxed(end)), ty)
    }

    fn sequence(&mut self, parts: &[Node]) -> Made {
        let (parts, types) = self.nodes(parts)?;
        made(Op::Sequence(parts), types.into_iter().next_back().unwrap_or(Type::Nil))
    }

    fn nodes(&mut self, nodes: &[Node]) -> Result<(Vec<Expr>, Vec<Type>), Box<Fault>> {
        let mut exprs = Vec::with_capacity(nodes.len());
        let mut types = Vec::with_capacity(nodes.len());
        for node in nodes {
            let (expr, ty) = *self.node(node)?;
            exprs.push(expr);
            types.push(ty);
        }
        Ok((exprs, types))
    }

    fn name(&mut self, name: &str, offset: u32) -> Made {
        if let Some(slot) = self.locals.iter().rposition(|(local, _)| local == name) {
            return made(Op::Local(slot), self.locals[slot].1.clone());
        }
        if name == "$env" {
            for (field, _) in &self.schema.env.fields {
                self.note(field);
            }
            return made(Op::Env, Type::Struct(self.schema.env.clone()));
        }
        match self.schema.env.get(name) {
            Some((key, ty)) => {
                self.note(key);
                made(Op::Global(key, ty.clone()), ty.clone())
            }
            None => fault(offset, format!("unknown name {name}")),
        }
    }

    fn note(&mut self, key: &'static str) {
        if !self.names.contains(&key) {
            self.names.push(key);
        }
    }

    fn pointer(&self, pointer: Pointer, offset: u32) -> Made {
        let Some(predicate) = self.predicates.last() else {
            return fault(offset, "cannot use pointer accessor outside predicate");
        };
        let ty = match pointer {
            Pointer::Element => predicate.element.clone(),
            Pointer::Index => Type::Int,
            Pointer::Accumulator if predicate.reduces => Type::Any,
            Pointer::Accumulator => return fault(offset, "unknown pointer #acc"),
        };
        made(Op::Pointer(pointer), ty)
    }

    fn unary(&mut self, op: Unary, operand: &Node, offset: u32) -> Made {
        let (operand, ty) = *self.node(operand)?;
        let plain = ty.plain();
        let open = ty.is_open();
        match op {
            Unary::Not | Unary::Bang if open || *plain == Type::Bool => made(Op::Not(boxed(operand)), Type::Bool),
            Unary::Minus | Unary::Plus if open || ty.is_number() || *plain == Type::Duration => {
                let result = if open { Type::Any } else { plain.clone() };
                made(if op == Unary::Minus { Op::Negate(boxed(operand)) } else { operand.op }, result)
            }
            _ => fault(offset, format!("invalid operation: {} (mismatched type {ty})", op.symbol())),
        }
    }

    fn conditional(&mut self, condition: &Node, yes: &Node, no: &Node) -> Made {
        let at = condition.offset;
        let (condition, ty) = *self.node(condition)?;
        if !ty.is_open() && *ty.plain() != Type::Bool {
            return fault(at, format!("non-bool expression (type {ty}) used as condition"));
        }
        let (yes, yes_type) = *self.node(yes)?;
        let (no, no_type) = *self.node(no)?;
        let ty = match (&yes_type, &no_type) {
            (Type::Nil, _) => no_type,
            (_, Type::Nil) => yes_type,
            _ if yes_type == no_type => yes_type,
            _ => Type::Any,
        };
        made(Op::Conditional(Box::new((condition, yes, no))), ty)
    }

    fn list(&mut self, items: &[Node]) -> Made {
        let (items, types) = self.nodes(items)?;
        let item = match types.split_first() {
            Some((first, rest)) if *first != Type::Nil && rest.iter().all(|ty| ty == first) => first.clone(),
            _ => Type::Any,
        };
        made(Op::List(items), item.list())
    }

    fn map(&mut self, pairs: &[(Node, Node)]) -> Made {
        let mut checked = Vec::with_capacity(pairs.len());
        for (key, value) in pairs {
            let at = key.offset;
            let (key, key_type) = *self.node(key)?;
            if !key_type.is_open() && *key_type.pointed() != Type::Str {
                return fault(at, format!("map key must be a string (got {key_type})"));
            }
            checked.push((key, self.node(value)?.0));
        }
        made(Op::Map(checked), Type::Any.map())
    }

    fn declaration(&mut self, name: &str, value: &Node, body: &Node, offset: u32) -> Made {
        let schema = self.schema;
        let known = schema.env.get(name).is_some() || name == "$env";
        if known || schema.functions.iter().any(|(function, _)| *function == name) {
            return fault(offset, format!("cannot redeclare {name}"));
        }
        if Builtin::by_name(name).is_some() {
            return fault(offset, format!("cannot redeclare builtin {name}"));
        }
        if self.locals.iter().any(|(local, _)| local == name) {
            return fault(offset, format!("cannot redeclare variable {name}"));
        }
        let (value, ty) = *self.node(value)?;
        self.locals.push((name.to_owned(), ty));
        let (body, ty) = *self.node(body)?;
        self.locals.pop();
        made(Op::Let(Box::new((value, body))), ty)
    }

    fn member(&mut self, target: &Node, property: &Node, optional: bool, offset: u32) -> Made {
        let constant = match &property.kind {
            Kind::Str(name) => Some(name.as_str()),
            _ => None,
        };
        // `$env["name"]` is `name`.
        if let (Kind::Name(env), Some(name)) = (&target.kind, constant)
            && env == "$env"
        {
            return self.name(name, property.offset);
        }
        let (target, base) = *self.node(target)?;
        let (index, index_type) = *self.node(property)?;
        let result = match base.plain() {
            Type::Any => Type::Any,
            Type::Nil if optional => Type::Nil,
            Type::Struct(record) => match constant {
                Some(name) => match record.get(name) {
                    Some((key, ty)) => {
                        let ty = ty.clone();
                        return made(Op::Field { target: boxed(target), key, ty: ty.clone(), optional }, ty);
                    }
                    None => return fault(offset, format!("type {} has no field {name}", base.pointed())),
                },
                None if index_type.is_open() || index_type == Type::Str => Type::Any,
                None => return fault(offset, format!("type {base}[{index_type}] is undefined")),
            },
            Type::Map(item) if index_type.is_open() || index_type == Type::Str || **item == Type::Any => {
                (**item).clone()
            }
            Type::Map(_) => {
                return fault(offset, format!("cannot use {index_type} to get an element from {base}"));
            }
            Type::List(item) if index_type.is_open() || index_type.is_number() => (**item).clone(),
            Type::List(_) => {
                let message = format!("array elements can only be selected using an integer (got {index_type})");
                return fault(offset, message);
            }
            _ => {
                let message = match constant {
                    Some(name) => format!("type {} has no field {name}", base.pointed()),
                    None => format!("type {base}[{index_type}] is undefined"),
                };
                return fault(offset, message);
            }
        };
        made(Op::Index { target: boxed(target), index: boxed(index), optional }, result)
    }

    fn slice(&mut self, target: &Node, from: Option<&Node>, to: Option<&Node>, offset: u32) -> Made {
        let (target, base) = *self.node(target)?;
        let result = match base.plain() {
            Type::Any => Type::Any,
            Type::Str | Type::List(_) => base.pointed().clone(),
            _ => return fault(offset, format!("cannot slice {base}")),
        };
        let mut bound = |node: Option<&Node>| -> Result<Option<Box<Expr>>, Box<Fault>> {
            let Some(node) = node else { return Ok(None) };
            let (expr, ty) = *self.node(node)?;
            if !ty.is_open() && *ty.plain() != Type::Int {
                return fault(node.offset, format!("non-integer slice index {ty}"));
            }
            Ok(Some(boxed(expr)))
        };
        let (from, to) = (bound(from)?, bound(to)?);
        made(Op::Slice { target: boxed(target), from, to }, result)
    }

    /// A method, a function of the schema, or something that cannot be called.
    fn call(&mut self, callee: &Node, args: &[Node]) -> Made {
        let at = callee.offset;
        let (target, name) = match &callee.kind {
            Kind::Member { target, property, .. } => match &property.kind {
                Kind::Str(name) => (target, name),
                _ => return fault(at, format!("{} is not callable", self.node(callee)?.1)),
            },
            Kind::Name(name) => {
                let function = self.schema.functions.iter().find(|(function, _)| function == name);
                let Some((name, function)) = function.copied() else {
                    return fault(at, format!("{} is not callable", self.name(name, at)?.1));
                };
                if args.is_empty() {
                    return fault(at, format!("not enough arguments to call {name}"));
                }
                let (args, _) = self.nodes(args)?;
                return made(Op::TextFunction(name, function, args), Type::Bool);
            }
            _ => return fault(at, format!("{} is not callable", self.node(callee)?.1)),
        };
        let (target, base) = *self.node(target)?;
        let (args, types) = self.nodes(args)?;
        let method = Method::by_name(name);
        if base.is_open() {
            return match method {
                Some(method) => made(Op::Method(boxed(target), method, args), Type::Any),
                None => fault(at, format!("type {base} has no method {name}")),
            };
        }
        let Some((method, (expected, result))) = method.and_then(|m| Some((m, m.signature(&base)?))) else {
            return fault(at, format!("type {} has no method {name}", base.pointed()));
        };
        match types.len().cmp(&expected.len()) {
            std::cmp::Ordering::Less => return fault(at, format!("not enough arguments to call {name}")),
            std::cmp::Ordering::Greater => return fault(at, format!("too many arguments to call {name}")),
            std::cmp::Ordering::Equal => {}
        }
        for ((arg, ty), expected) in args.iter().zip(&types).zip(expected) {
            if !ty.is_open() && !expected.is_open() && ty.pointed() != expected {
                let message = format!("cannot use {ty} as argument (type {expected}) to call {name} ");
                return fault(arg.offset, message);
            }
        }
        made(Op::Method(boxed(target), method, args), result)
    }
}
