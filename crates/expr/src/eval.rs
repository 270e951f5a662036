//! Runs a plan on a row within a budget.

use crate::ast::{Binary, Logic, Pointer};
use crate::builtins;
use crate::error::{EvalError, Located};
use crate::fuel::{Fuel, Trouble};
use crate::methods::Method;
use crate::ops;
use crate::pattern::Pattern;
use crate::plan::{Comparison, Expr, Op};
use crate::schema::{StructType, Type};
use crate::value::{Key, List, Value};
use jiff::Timestamp;
use serde_json::Value as Json;
use std::collections::BTreeMap;

mod methods;
mod predicates;

pub use crate::fuel::Budget;

/// A failure and its place.
#[derive(Debug)]
pub(crate) struct Failure {
    offset: u32,
    trouble: Trouble,
}

impl Failure {
    pub fn locate(self, source: &str) -> EvalError {
        let at = |message: String| Located::new(source, self.offset, message);
        match self.trouble {
            Trouble::Failed(message) => EvalError::Failed(at(message)),
            Trouble::Memory => EvalError::Memory(at("memory budget exceeded".to_owned())),
            Trouble::Steps => EvalError::Steps(at("evaluation takes too many steps".to_owned())),
        }
    }
}

/// Boxed, so that the results of the recursion stay small.
type Run<T> = Result<T, Box<Failure>>;

/// Adds the place to an operation's trouble.
trait At<T> {
    fn at(self, offset: u32) -> Run<T>;
}

impl<T, E: Into<Trouble>> At<T> for Result<T, E> {
    fn at(self, offset: u32) -> Run<T> {
        self.map_err(|trouble| Box::new(Failure { offset, trouble: trouble.into() }))
    }
}

pub(crate) fn run(
    root: &Expr,
    environment: &StructType,
    row: &Json,
    now: Timestamp,
    budget: Budget,
) -> Result<bool, Box<Failure>> {
    let mut machine = Machine {
        row: row.as_object(),
        environment,
        now,
        locals: Vec::new(),
        scopes: Vec::new(),
        fuel: Fuel::new(budget),
        pattern: None,
    };
    match machine.eval(root)? {
        Value::Bool(value) => Ok(value),
        Value::Nil => Ok(false),
        other => Err(format!("invalid operation: bool({})", other.type_name())).at(root.offset),
    }
}

struct Machine<'a> {
    row: Option<&'a serde_json::Map<String, Json>>,
    environment: &'a StructType,
    now: Timestamp,
    locals: Vec<Value<'a>>,
    scopes: Vec<Scope<'a>>,
    fuel: Fuel,
    /// The last pattern that was not known at compile time.
    pattern: Option<(String, Pattern)>,
}

/// The element a predicate is looking at.
struct Scope<'a> {
    list: List<'a>,
    index: usize,
    accumulator: Value<'a>,
}

impl<'a> Machine<'a> {
    fn eval(&mut self, expr: &'a Expr) -> Run<Value<'a>> {
        self.fuel.step(1).at(expr.offset)?;
        match &expr.op {
            Op::Nil => Ok(Value::Nil),
            Op::Bool(value) => Ok(Value::Bool(*value)),
            Op::Int(value) => Ok(Value::Int(*value)),
            Op::Float(value) => Ok(Value::Float(*value)),
            Op::Str(text) => Ok(Value::borrowed(text)),
            Op::Bytes(bytes) => Ok(Value::Bytes((&**bytes).into())),
            Op::Env => Ok(Value::Record(self.row, self.environment)),
            Op::Global(key, ty) => self.global(key, ty, expr.offset),
            Op::Local(slot) => Ok(self.locals[*slot].clone()),
            Op::Pointer(pointer) => self.pointer(*pointer, expr.offset),
            Op::Not(operand) => self.not(operand, expr.offset),
            Op::Negate(operand) => {
                let value = self.eval(operand)?;
                ops::negate(&value).at(expr.offset)
            }
            Op::Compare(comparison) => self.compare(comparison, expr.offset),
            Op::Binary(op, operands) => self.binary(*op, &operands.0, &operands.1, expr.offset),
            Op::InConstants(left, constants) => self.in_constants(left, constants, expr.offset),
            Op::Matches(left, pattern) => {
                let left = self.eval(left)?;
                self.matches(&left, pattern, expr.offset)
            }
            Op::Logic(op, operands) => self.logic(*op, operands),
            Op::Conditional(parts) => self.conditional(&parts.0, &parts.1, &parts.2),
            Op::Field { .. } | Op::Index { .. } | Op::Slice { .. } | Op::Method(..) => {
                Ok(self.chain(expr)?.unwrap_or(Value::Nil))
            }
            Op::Chain(end) => self.eval(end),
            Op::Builtin { function, args, predicate } => match predicate {
                Some(predicate) => self.with_predicate(*function, args, predicate, expr.offset),
                None => {
                    let args = self.all(args)?;
                    builtins::call(*function, &args, self.now, &mut self.fuel).at(expr.offset)
                }
            },
            Op::TextFunction(name, function, args) => {
                let args = self.all(args)?;
                let texts: Result<Vec<&str>, Trouble> = args.iter().map(ops::string).collect();
                let result = function(&texts.at(expr.offset)?);
                result.map_err(|e| format!("{name}: {e}")).at(expr.offset).map(Value::Bool)
            }
            Op::List(items) => {
                self.fuel.alloc(items.len()).at(expr.offset)?;
                let items = self.all(items)?;
                Value::list(items).at(expr.offset)
            }
            Op::Map(pairs) => self.map(pairs, expr.offset),
            Op::Let(parts) => {
                let value = self.eval(&parts.0)?;
                self.locals.push(value);
                let result = self.eval(&parts.1);
                self.locals.pop();
                result
            }
            Op::Sequence(parts) => {
                let mut last = Value::Nil;
                for part in parts {
                    last = self.eval(part)?;
                }
                Ok(last)
            }
        }
    }

    fn all(&mut self, exprs: &'a [Expr]) -> Run<Vec<Value<'a>>> {
        exprs.iter().map(|expr| self.eval(expr)).collect()
    }

    fn global(&mut self, key: &str, ty: &'a Type, offset: u32) -> Run<Value<'a>> {
        Value::from_json(self.row.and_then(|row| row.get(key)), ty).at(offset)
    }

    fn pointer(&mut self, pointer: Pointer, offset: u32) -> Run<Value<'a>> {
        match (self.scopes.last(), pointer) {
            (Some(scope), Pointer::Element) => scope.list.get(scope.index).at(offset),
            (Some(scope), Pointer::Index) => Ok(Value::Int(scope.index as i64)),
            (Some(scope), Pointer::Accumulator) => Ok(scope.accumulator.clone()),
            (None, _) => Err("cannot use pointer accessor outside predicate".to_owned()).at(offset),
        }
    }

    fn not(&mut self, operand: &'a Expr, offset: u32) -> Run<Value<'a>> {
        let value = self.eval(operand)?;
        Ok(Value::Bool(!ops::boolean(&value).at(offset)?))
    }

    fn compare(&mut self, comparison: &'a Comparison, offset: u32) -> Run<Value<'a>> {
        let left = self.eval(&comparison.left)?;
        let mut right = self.eval(&comparison.right)?;
        if comparison.right_to_int {
            // The peer's inserted conversion has no place of its own.
            right = builtins::to_int(&right).at(0)?;
        }
        if let Some(expected) = comparison.strict
            && (matches!(left, Value::Nil) || (matches!(right, Value::Nil) && !comparison.with_nil))
        {
            return Err(format!("interface conversion: interface {{}} is nil, not {expected}")).at(offset);
        }
        ops::compare(comparison.op, &left, &right, &mut self.fuel).at(offset).map(Value::Bool)
    }

    fn binary(&mut self, op: Binary, left: &'a Expr, right: &'a Expr, offset: u32) -> Run<Value<'a>> {
        let left = self.eval(left)?;
        if op == Binary::Coalesce {
            let nil = match &left {
                Value::Nil => true,
                Value::Map(map) => map.is_nil(),
                _ => false,
            };
            return if nil { self.eval(right) } else { Ok(left) };
        }
        let right = self.eval(right)?;
        let fuel = &mut self.fuel;
        match op {
            Binary::In => ops::is_in(&left, &right, fuel).at(offset).map(Value::Bool),
            Binary::Contains | Binary::StartsWith | Binary::EndsWith => {
                ops::text_test(op, &left, &right, fuel).at(offset).map(Value::Bool)
            }
            Binary::Matches => self.matches_computed(&left, &right, offset),
            _ => ops::arithmetic(op, &left, &right, fuel).at(offset),
        }
    }

    fn in_constants(&mut self, left: &'a Expr, constants: &'a [Expr], offset: u32) -> Run<Value<'a>> {
        let left = self.eval(left)?;
        for constant in constants {
            let constant = self.eval(constant)?;
            if ops::equal(&left, &constant, &mut self.fuel).at(offset)? {
                return Ok(Value::Bool(true));
            }
        }
        Ok(Value::Bool(false))
    }

    fn matches(&mut self, left: &Value<'a>, pattern: &Pattern, offset: u32) -> Run<Value<'a>> {
        if matches!(left, Value::Nil) {
            return Ok(Value::Bool(false));
        }
        let text = ops::string(left).at(offset)?;
        self.fuel.step(text.len() / 8).at(offset)?;
        Ok(Value::Bool(pattern.is_match(text)))
    }

    /// `matches` with a pattern that is only known now.
    fn matches_computed(&mut self, left: &Value<'a>, right: &Value<'a>, offset: u32) -> Run<Value<'a>> {
        if matches!(left, Value::Nil) || matches!(right, Value::Nil) {
            return Ok(Value::Bool(false));
        }
        let text = ops::string(right).at(offset)?;
        let pattern = match self.pattern.take() {
            Some((known, pattern)) if known == text => pattern,
            _ => {
                // Compiling costs far more than matching.
                self.fuel.step(20_000 + text.len() * 100).at(offset)?;
                Pattern::new(text).at(offset)?
            }
        };
        let result = self.matches(left, &pattern, offset);
        self.pattern = Some((text.to_owned(), pattern));
        result
    }

    /// nil counts as false and may stay nil (inventory.md 8.6).
    fn logic(&mut self, op: Logic, operands: &'a [Expr]) -> Run<Value<'a>> {
        let mut last = Value::Nil;
        for operand in operands {
            last = self.eval(operand)?;
            let truth = match &last {
                Value::Nil => false,
                value => ops::boolean(value).at(operand.offset)?,
            };
            if truth == (op == Logic::Or) {
                return Ok(last);
            }
        }
        Ok(last)
    }

    fn conditional(&mut self, condition: &'a Expr, yes: &'a Expr, no: &'a Expr) -> Run<Value<'a>> {
        let value = self.eval(condition)?;
        if ops::boolean(&value).at(condition.offset)? { self.eval(yes) } else { self.eval(no) }
    }

    /// Follows a chain of members; none when `?.` met nil.
    fn chain(&mut self, expr: &'a Expr) -> Run<Option<Value<'a>>> {
        let (target, optional) = match &expr.op {
            Op::Field { target, optional, .. } | Op::Index { target, optional, .. } => (target, *optional),
            Op::Slice { target, .. } | Op::Method(target, ..) => (target, false),
            _ => return self.eval(expr).map(Some),
        };
        self.fuel.step(1).at(expr.offset)?;
        let Some(target) = self.chain(target)? else { return Ok(None) };
        if optional && matches!(target, Value::Nil) {
            return Ok(None);
        }
        self.link(expr, &target).map(Some)
    }

    fn link(&mut self, expr: &'a Expr, target: &Value<'a>) -> Run<Value<'a>> {
        let offset = expr.offset;
        match &expr.op {
            Op::Field { key, ty, .. } => match target {
                Value::Record(object, _) => Value::from_json(object.and_then(|object| object.get(*key)), ty).at(offset),
                other => Err(format!("cannot fetch {key} from {}", other.type_name())).at(offset),
            },
            Op::Index { index, .. } => {
                let index = self.eval(index)?;
                ops::fetch(target, &index, &mut self.fuel).at(offset)
            }
            Op::Slice { from, to, .. } => {
                let from = self.bound(from.as_deref())?;
                let to = self.bound(to.as_deref())?;
                ops::slice(target, from, to, &mut self.fuel).at(offset)
            }
            Op::Method(_, method, args) => self.method(target, *method, args, offset),
            _ => self.eval(expr),
        }
    }

    fn bound(&mut self, bound: Option<&'a Expr>) -> Run<Option<i64>> {
        let Some(expr) = bound else { return Ok(None) };
        let value = self.eval(expr)?;
        match ops::whole(&value) {
            Some(bound) => Ok(Some(bound)),
            None => Err(format!("invalid operation: int({})", value.type_name())).at(expr.offset),
        }
    }

    fn method(&mut self, target: &Value<'a>, method: Method, args: &'a [Expr], offset: u32) -> Run<Value<'a>> {
        let args = self.all(args)?;
        methods::call(target, method, &args, &mut self.fuel).at(offset)
    }

    fn map(&mut self, pairs: &'a [(Expr, Expr)], offset: u32) -> Run<Value<'a>> {
        self.fuel.alloc(pairs.len()).at(offset)?;
        let mut entries = BTreeMap::new();
        for (key, value) in pairs {
            let key_value = self.eval(key)?;
            let text = ops::string(&key_value).at(key.offset)?.to_owned();
            entries.insert(Key::Text(text), self.eval(value)?);
        }
        Value::map(entries).at(offset)
    }
}
