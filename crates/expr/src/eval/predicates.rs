//! The functions that evaluate a predicate per element (inventory.md 8.5).

use super::{At, Expr, List, Machine, Run, Scope, Value};
use crate::builtins::{self, Builtin};
use crate::ops;
use crate::value::Key;
use std::collections::BTreeMap;

impl<'a> Machine<'a> {
    pub(super) fn with_predicate(
        &mut self,
        function: Builtin,
        args: &'a [Expr],
        predicate: &'a Expr,
        offset: u32,
    ) -> Run<Value<'a>> {
        let mut args = self.all(args)?.into_iter();
        let list = match args.next() {
            Some(Value::List(list)) => list,
            other => {
                let name = function.name();
                let ty = other.unwrap_or(Value::Nil).type_name();
                return Err(format!("invalid argument for {name} (type {ty})")).at(offset);
            }
        };
        let extra = args.next();
        let start = match (function, &extra) {
            (Builtin::Reduce, None) if list.len() == 0 => {
                return Err("reduce of empty array with no initial value".to_owned()).at(offset);
            }
            (Builtin::Reduce, None) => 1,
            _ => 0,
        };
        let accumulator = match (function, &extra) {
            (Builtin::Reduce, Some(initial)) => initial.clone(),
            (Builtin::Reduce, None) => list.get(0).at(offset)?,
            _ => Value::Nil,
        };
        self.scopes.push(Scope { list, index: start, accumulator });
        let result = match function {
            Builtin::Reduce => self.reduce(predicate),
            Builtin::Map | Builtin::Sum | Builtin::GroupBy | Builtin::SortBy => {
                self.over_values(function, predicate, extra.as_ref(), offset)
            }
            _ => self.over_truths(function, predicate, offset),
        };
        self.scopes.pop();
        result
    }

    /// Moves the innermost predicate to the next element; none behind the last.
    fn advance(&mut self, first: bool) -> Option<usize> {
        let scope = self.scopes.last_mut()?;
        scope.index += usize::from(!first);
        (scope.index < scope.list.len()).then_some(scope.index)
    }

    fn list(&self) -> List<'a> {
        self.scopes.last().map_or(List::Range(1, 0), |scope| scope.list.clone())
    }

    fn reduce(&mut self, predicate: &'a Expr) -> Run<Value<'a>> {
        let mut first = true;
        while self.advance(first).is_some() {
            first = false;
            let value = self.eval(predicate)?;
            if let Some(scope) = self.scopes.last_mut() {
                scope.accumulator = value;
            }
        }
        Ok(self.scopes.last().map_or(Value::Nil, |scope| scope.accumulator.clone()))
    }

    /// Functions that ask a yes-or-no question per element.
    fn over_truths(&mut self, function: Builtin, predicate: &'a Expr, offset: u32) -> Run<Value<'a>> {
        let backwards = matches!(function, Builtin::FindLast | Builtin::FindLastIndex);
        let list = self.list();
        let mut kept = Vec::new();
        let mut count = 0i64;
        for step in 0..list.len() {
            let at = if backwards { list.len() - 1 - step } else { step };
            if let Some(scope) = self.scopes.last_mut() {
                scope.index = at;
            }
            let value = self.eval(predicate)?;
            let truth = ops::boolean(&value).at(predicate.offset)?;
            match function {
                Builtin::All if !truth => return Ok(Value::Bool(false)),
                Builtin::Any if truth => return Ok(Value::Bool(true)),
                Builtin::None if truth => return Ok(Value::Bool(false)),
                Builtin::Find | Builtin::FindLast if truth => return list.get(at).at(offset),
                Builtin::FindIndex | Builtin::FindLastIndex if truth => return Ok(Value::Int(at as i64)),
                Builtin::Filter if truth => {
                    self.fuel.alloc(1).at(offset)?;
                    kept.push(list.get(at).at(offset)?);
                }
                _ => count += i64::from(truth),
            }
        }
        match function {
            Builtin::Filter => Value::list(kept).at(offset),
            Builtin::Count => Ok(Value::Int(count)),
            Builtin::One => Ok(Value::Bool(count == 1)),
            Builtin::All | Builtin::None => Ok(Value::Bool(true)),
            Builtin::Any => Ok(Value::Bool(false)),
            _ => Ok(Value::Nil),
        }
    }

    /// Functions that compute a value per element.
    fn over_values(
        &mut self,
        function: Builtin,
        predicate: &'a Expr,
        order: Option<&Value<'a>>,
        offset: u32,
    ) -> Run<Value<'a>> {
        let list = self.list();
        let mut values = Vec::new();
        let mut first = true;
        while self.advance(first).is_some() {
            first = false;
            self.fuel.alloc(1).at(offset)?;
            let value = self.eval(predicate)?;
            values.push(value);
        }
        match function {
            Builtin::Map => Value::list(values).at(offset),
            Builtin::Sum => builtins::sum(values.into_iter().map(Ok), &mut self.fuel).at(offset),
            Builtin::GroupBy => self.group(&list, values, offset),
            _ => self.sort(&list, &values, order, offset),
        }
    }

    fn group(&mut self, list: &List<'a>, keys: Vec<Value<'a>>, offset: u32) -> Run<Value<'a>> {
        let mut groups: BTreeMap<Key, Vec<Value<'a>>> = BTreeMap::new();
        for (at, key) in keys.iter().enumerate() {
            let key = ops::key(key, &mut self.fuel).at(offset)?;
            groups.entry(key).or_default().push(list.get(at).at(offset)?);
        }
        let mut entries = BTreeMap::new();
        for (key, members) in groups {
            entries.insert(key, Value::list(members).at(offset)?);
        }
        Value::map(entries).at(offset)
    }

    fn sort(&mut self, list: &List<'a>, keys: &[Value<'a>], order: Option<&Value<'a>>, offset: u32) -> Run<Value<'a>> {
        let descending = builtins::is_descending(order).at(offset)?;
        self.fuel.step(keys.len().saturating_mul(20)).at(offset)?;
        let mut places: Vec<usize> = (0..keys.len()).collect();
        ops::check_sortable(keys).at(offset)?;
        places.sort_by(|a, b| {
            let order = ops::total_order(&keys[*a], &keys[*b]);
            if descending { order.reverse() } else { order }
        });
        let items: Result<Vec<Value<'a>>, String> = places.into_iter().map(|at| list.get(at)).collect();
        Value::list(items.at(offset)?).at(offset)
    }
}
