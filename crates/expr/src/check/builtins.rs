//! Argument and result types of the builtin functions.

use super::{Checker, Expr, Fault, Made, Node, Op, Predicate, Type, boxed, fault, made};
use crate::builtins::{Builtin, Shape};

impl Checker<'_> {
    pub(super) fn builtin(&mut self, function: Builtin, args: &[Node], predicate: Option<&Node>, offset: u32) -> Made {
        let name = function.name();
        // A variable of the same name hides the function.
        if let Some((_, ty)) = self.schema.env.get(name) {
            return fault(offset, format!("{ty} is not callable"));
        }
        if function == Builtin::ToFloat64 && !self.schema.to_float64 {
            return fault(offset, format!("unknown name {name}"));
        }
        if let Shape::Plain(least, most) = function.shape() {
            if args.len() < least {
                return fault(offset, format!("not enough arguments to call {name}"));
            }
            if args.len() > most {
                return fault(offset, format!("too many arguments to call {name}"));
            }
            let (args, types) = self.nodes(args)?;
            let result = Signature { function, args: &args, types: &types }.result()?;
            return made(Op::Builtin { function, args, predicate: None }, result);
        }
        self.over_list(function, args, predicate)
    }

    /// The functions with a predicate.
    fn over_list(&mut self, function: Builtin, args: &[Node], predicate: Option<&Node>) -> Made {
        let name = function.name();
        let (args, types) = self.nodes(args)?;
        let (Some(list), Some(list_type)) = (args.first(), types.first()) else {
            return fault(0, format!("not enough arguments to call {name}"));
        };
        let element = match list_type.plain() {
            Type::List(item) => (**item).clone(),
            Type::Any => Type::Any,
            _ => return fault(list.offset, format!("builtin {name} takes only array (got {list_type})")),
        };
        let mut of_predicate = None;
        let mut checked = None;
        if let Some(predicate) = predicate {
            let reduces = function == Builtin::Reduce;
            self.predicates.push(Predicate { element: element.clone(), reduces });
            let (expr, ty) = *self.node(predicate)?;
            self.predicates.pop();
            let wants_bool =
                !matches!(function, Builtin::Map | Builtin::Sum | Builtin::GroupBy | Builtin::SortBy | Builtin::Reduce);
            if wants_bool && !ty.is_open() && *ty.plain() != Type::Bool {
                return fault(expr.offset, format!("predicate should return boolean (got {ty})"));
            }
            of_predicate = Some(ty);
            checked = Some(boxed(expr));
        }
        let result = match function {
            Builtin::All | Builtin::None | Builtin::Any | Builtin::One => Type::Bool,
            Builtin::Filter | Builtin::SortBy => element.list(),
            Builtin::Map => of_predicate.unwrap_or(Type::Any).list(),
            Builtin::Find | Builtin::FindLast => element,
            Builtin::FindIndex | Builtin::FindLastIndex => Type::Int,
            Builtin::Count => {
                if checked.is_none() && !element.is_open() && *element.plain() != Type::Bool {
                    return fault(list.offset, format!("predicate should return boolean (got {element})"));
                }
                Type::Int
            }
            Builtin::Sum => {
                let summed = of_predicate.unwrap_or(element);
                match summed.plain() {
                    Type::Int | Type::Float | Type::Duration => summed.plain().clone(),
                    _ if summed.is_open() => Type::Any,
                    _ => return fault(list.offset, format!("cannot sum {summed}")),
                }
            }
            _ => Type::Any,
        };
        if let (Builtin::SortBy, Some(order), Some(ty)) = (function, args.get(1), types.get(1))
            && !ty.is_open()
            && *ty != Type::Str
        {
            return fault(order.offset, format!("invalid argument for {name} (type {ty})"));
        }
        made(Op::Builtin { function, args, predicate: checked }, result)
    }
}

struct Signature<'a> {
    function: Builtin,
    args: &'a [Expr],
    types: &'a [Type],
}

impl Signature<'_> {
    fn first(&self) -> &Type {
        self.types.first().map_or(&Type::Nil, Type::plain)
    }

    /// The argument must be open or pass the test.
    fn want(&self, n: usize, test: impl Fn(&Type) -> bool) -> Result<(), Box<Fault>> {
        match (self.args.get(n), self.types.get(n)) {
            (Some(arg), Some(ty)) if !ty.is_open() && !test(ty.plain()) => {
                fault(arg.offset, format!("invalid argument for {} (type {ty})", self.function.name()))
            }
            _ => Ok(()),
        }
    }

    /// The arguments from `n` on must be of that very type.
    fn want_all(&self, from: usize, expected: &Type) -> Result<(), Box<Fault>> {
        for (arg, ty) in self.args.iter().zip(self.types).skip(from) {
            if !ty.is_open() && ty.pointed() != expected {
                let name = self.function.name();
                return fault(arg.offset, format!("cannot use {ty} as argument (type {expected}) to call {name} "));
            }
        }
        Ok(())
    }

    /// The type of the elements of the first argument, which must be a list.
    fn element(&self) -> Result<Type, Box<Fault>> {
        self.want(0, |ty| matches!(ty, Type::List(_)))?;
        Ok(match self.first() {
            Type::List(item) => (**item).clone(),
            _ => Type::Any,
        })
    }

    fn map_value(&self) -> Result<Type, Box<Fault>> {
        self.want(0, |ty| matches!(ty, Type::Map(_)))?;
        Ok(match self.first() {
            Type::Map(item) => (**item).clone(),
            _ => Type::Any,
        })
    }

    fn number(&self) -> Result<(), Box<Fault>> {
        self.want(0, |ty| matches!(ty, Type::Int | Type::Float))
    }

    fn result(&self) -> Result<Type, Box<Fault>> {
        use Builtin as B;
        Ok(match self.function {
            B::Len => {
                self.want(0, |ty| matches!(ty, Type::Str | Type::List(_) | Type::Map(_)))?;
                Type::Int
            }
            B::First | B::Last => self.element()?,
            B::Get => {
                self.want(0, |ty| matches!(ty, Type::List(_) | Type::Map(_) | Type::Struct(_)))?;
                match self.first() {
                    Type::List(item) | Type::Map(item) => (**item).clone(),
                    _ => Type::Any,
                }
            }
            B::Take => {
                self.want(1, |ty| *ty == Type::Int)?;
                self.element()?.list()
            }
            B::Reverse | B::Uniq => self.element()?.list(),
            B::Sort => {
                self.want_all(1, &Type::Str)?;
                self.element()?.list()
            }
            B::Concat => {
                for n in 0..self.args.len() {
                    self.want(n, |ty| matches!(ty, Type::List(_)))?;
                }
                let first = self.element()?;
                let same = self.types.iter().all(|ty| *ty.plain() == first.clone().list());
                if same { first.list() } else { Type::Any.list() }
            }
            B::Flatten => {
                self.element()?;
                Type::Any.list()
            }
            B::Min | B::Max | B::Mean | B::Median => {
                for n in 0..self.args.len() {
                    self.want(n, |ty| match ty {
                        Type::Int | Type::Float => true,
                        Type::List(item) => item.is_open() || item.is_number() || matches!(**item, Type::List(_)),
                        _ => false,
                    })?;
                }
                let all_numbers = self.types.iter().all(Type::is_number);
                match self.function {
                    B::Mean | B::Median => Type::Float,
                    _ if all_numbers && self.types.iter().all(|ty| *ty.plain() == Type::Int) => Type::Int,
                    _ if all_numbers => Type::Float,
                    _ => Type::Any,
                }
            }
            B::Join => {
                self.want(0, |ty| match ty {
                    Type::List(item) => item.is_open() || *item.pointed() == Type::Str,
                    _ => false,
                })?;
                self.want_all(1, &Type::Str)?;
                Type::Str
            }
            B::Keys => {
                self.map_value()?;
                Type::Str.list()
            }
            B::Values => self.map_value()?.list(),
            B::ToPairs => {
                self.map_value()?;
                Type::Any.list().list()
            }
            B::FromPairs => {
                self.element()?;
                Type::Any.map()
            }
            B::IndexOf | B::LastIndexOf => {
                self.want_all(0, &Type::Str)?;
                Type::Int
            }
            B::HasPrefix | B::HasSuffix => {
                self.want_all(0, &Type::Str)?;
                Type::Bool
            }
            B::Trim | B::TrimPrefix | B::TrimSuffix | B::Upper | B::Lower => {
                self.want_all(0, &Type::Str)?;
                Type::Str
            }
            B::Split | B::SplitAfter => {
                self.want(0, |ty| *ty == Type::Str)?;
                self.want(1, |ty| *ty == Type::Str)?;
                self.want_all(2, &Type::Int)?;
                Type::Str.list()
            }
            B::Replace => {
                (0..3).try_for_each(|n| self.want(n, |ty| *ty == Type::Str))?;
                self.want_all(3, &Type::Int)?;
                Type::Str
            }
            B::Repeat => {
                self.want(0, |ty| *ty == Type::Str)?;
                self.want_all(1, &Type::Int)?;
                Type::Str
            }
            B::Abs => {
                self.number()?;
                if self.types.iter().all(Type::is_open) { Type::Any } else { self.first().clone() }
            }
            B::Ceil | B::Floor | B::Round => {
                self.number()?;
                Type::Float
            }
            B::BitAnd | B::BitOr | B::BitXor | B::BitNand | B::BitShl | B::BitShr | B::BitUshr | B::BitNot => {
                self.want_all(0, &Type::Int)?;
                Type::Int
            }
            B::Int | B::Float => {
                self.want(0, |ty| matches!(ty, Type::Int | Type::Float | Type::Str))?;
                if self.function == B::Int { Type::Int } else { Type::Float }
            }
            B::ToFloat64 => Type::Float,
            B::String | B::ToJson | B::Type => Type::Str,
            B::FromJson => {
                self.want_all(0, &Type::Str)?;
                Type::Any
            }
            B::ToBase64 | B::FromBase64 => {
                self.want_all(0, &Type::Str)?;
                Type::Str
            }
            B::Now => Type::Time,
            B::Date => {
                self.want_all(0, &Type::Str)?;
                Type::Time
            }
            B::Duration => {
                self.want_all(0, &Type::Str)?;
                Type::Duration
            }
            B::Timezone => {
                self.want_all(0, &Type::Str)?;
                Type::Any
            }
            _ => Type::Any,
        })
    }
}
