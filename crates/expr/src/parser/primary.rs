//! Operands: literals, names, calls, predicates and what may follow them.

use super::{Builtin, Fault, Kind, Node, Parsed, Parser, Pointer, Shape, TokenKind, Unary};

impl Parser {
    /// An operand with its prefix and postfix operators.
    pub(super) fn operand(&mut self) -> Parsed {
        let op = match self.peek() {
            TokenKind::Op("not") => Unary::Not,
            TokenKind::Op("!") => Unary::Bang,
            TokenKind::Op("-") => Unary::Minus,
            TokenKind::Op("+") => Unary::Plus,
            _ => {
                let node = self.primary()?;
                return self.postfix(node);
            }
        };
        let offset = self.offset();
        self.advance();
        let operand = self.nested(|p| p.operators(op.precedence()))?;
        self.node(Kind::Unary(op, operand), offset)
    }

    fn primary(&mut self) -> Parsed {
        let offset = self.offset();
        let kind = match self.peek().clone() {
            TokenKind::Int(value) => Kind::Int(value),
            TokenKind::Float(value) => Kind::Float(value),
            TokenKind::Str(text) => Kind::Str(text),
            TokenKind::Bytes(bytes) => Kind::Bytes(bytes),
            TokenKind::Name(name) => return self.name(name, offset),
            TokenKind::Op("#") => return self.pointer(offset),
            TokenKind::Op(".") => {
                self.in_predicate(offset)?;
                // The postfix loop reads `.name`.
                return self.node(Kind::Pointer(Pointer::Element), offset);
            }
            TokenKind::Bracket('(') => {
                self.advance();
                let node = self.sequence()?;
                self.expect_bracket(')')?;
                return Ok(node);
            }
            TokenKind::Bracket('[') => {
                self.advance();
                let items = self.list(']')?;
                return self.node(Kind::List(items), offset);
            }
            TokenKind::Bracket('{') => return self.map(offset),
            _ => return self.unexpected(),
        };
        self.advance();
        self.node(kind, offset)
    }

    fn name(&mut self, name: String, offset: u32) -> Parsed {
        self.advance();
        let kind = match name.as_str() {
            "true" => Kind::Bool(true),
            "false" => Kind::Bool(false),
            "nil" => Kind::Nil,
            _ if self.at_bracket('(') => return self.nested(|p| p.call(name, offset, None)),
            _ => Kind::Name(name),
        };
        self.node(kind, offset)
    }

    fn in_predicate(&self, offset: u32) -> Parsed<()> {
        if self.predicates == 0 {
            return Err(Fault::new(offset, "cannot use pointer accessor outside predicate"));
        }
        Ok(())
    }

    fn pointer(&mut self, offset: u32) -> Parsed {
        self.in_predicate(offset)?;
        self.advance();
        let pointer = match self.peek() {
            TokenKind::Name(name) => match name.as_str() {
                "index" => Pointer::Index,
                "acc" => Pointer::Accumulator,
                _ => return Err(Fault::new(offset, format!("unknown pointer #{name}"))),
            },
            _ => return self.node(Kind::Pointer(Pointer::Element), offset),
        };
        self.advance();
        self.node(Kind::Pointer(pointer), offset)
    }

    /// Comma-separated expressions up to `end`; a trailing comma is allowed.
    fn list(&mut self, end: char) -> Parsed<Vec<Node>> {
        let mut items = Vec::new();
        while !self.eat_bracket(end) {
            items.push(*self.expression()?);
            if !self.eat_op(",") {
                self.expect_bracket(end)?;
                break;
            }
        }
        Ok(items)
    }

    fn map(&mut self, offset: u32) -> Parsed {
        self.advance();
        let mut pairs = Vec::new();
        while !self.eat_bracket('}') {
            let key = self.map_key()?;
            self.expect_op(":")?;
            pairs.push((*key, *self.expression()?));
            if !self.eat_op(",") {
                self.expect_bracket('}')?;
                break;
            }
        }
        self.node(Kind::Map(pairs), offset)
    }

    fn map_key(&mut self) -> Parsed {
        let offset = self.offset();
        let text = match self.peek().clone() {
            TokenKind::Str(text) | TokenKind::Name(text) => text,
            TokenKind::Op(word) if crate::print::is_name(word) => word.to_owned(),
            TokenKind::Int(value) => value.to_string(),
            TokenKind::Float(value) => value.to_string(),
            TokenKind::Bracket('(') => {
                self.advance();
                let key = self.sequence()?;
                self.expect_bracket(')')?;
                return Ok(key);
            }
            found => {
                let message = format!(
                    "a map key must be a quoted string, a number, a identifier, or an expression enclosed in \
                     parentheses (unexpected token {found})"
                );
                return Err(Fault::new(offset, message));
            }
        };
        self.advance();
        self.node(Kind::Str(text), offset)
    }

    /// `name(…)`, the parenthesis being the current token; `piped` is the first argument of a pipe.
    pub(super) fn call(&mut self, name: String, offset: u32, piped: Option<Box<Node>>) -> Parsed {
        self.advance();
        let function = Builtin::by_name(&name);
        let extra = match function.map(Builtin::shape) {
            Some(Shape::Predicate(extra)) => Some(extra),
            Some(Shape::OptionalPredicate) => None,
            Some(Shape::Plain(..)) | None => {
                let callee = match function {
                    Some(_) => None,
                    None => Some(self.node(Kind::Name(name), offset)?),
                };
                let mut args: Vec<Node> = piped.into_iter().map(|node| *node).collect();
                args.extend(self.list(')')?);
                return match (function, callee) {
                    (Some(function), _) => self.node(Kind::Builtin { function, args, predicate: None }, offset),
                    (None, Some(callee)) => self.node(Kind::Call(callee, args), offset),
                    (None, None) => self.unexpected(),
                };
            }
        };
        let Some(function) = function else { return self.unexpected() };
        let was_piped = piped.is_some();
        let mut args = vec![*piped.map_or_else(|| self.expression(), Ok)?];
        let mut predicate = None;
        let mut more = (was_piped || self.eat_op(",")) && !self.at_bracket(')');
        if more {
            predicate = Some(self.predicate()?);
            more = self.eat_op(",") && !self.at_bracket(')');
        } else if extra.is_some() {
            return self.unexpected();
        }
        for _ in 0..extra.unwrap_or(0) {
            if more {
                args.push(*self.expression()?);
                more = self.eat_op(",") && !self.at_bracket(')');
            }
        }
        self.expect_bracket(')')?;
        self.node(Kind::Builtin { function, args, predicate }, offset)
    }

    fn predicate(&mut self) -> Parsed {
        self.predicates += 1;
        let node = if self.at_bracket('{') { self.block()? } else { self.expression()? };
        self.predicates -= 1;
        Ok(node)
    }

    /// Member access, indexing, slicing and method calls after `node`.
    pub(super) fn postfix(&mut self, mut node: Box<Node>) -> Parsed {
        let mut chained = false;
        loop {
            let offset = self.offset();
            if self.eat_op("?.") {
                chained = true;
                node = if self.at_bracket('[') { self.index(node, true)? } else { self.member(node, true)? };
            } else if self.eat_op(".") {
                node = self.member(node, false)?;
            } else if self.at_bracket('[') {
                node = self.index(node, false)?;
            } else if self.at_bracket('(') && matches!(node.kind, Kind::Member { .. }) {
                let called = node.offset;
                self.advance();
                let args = self.nested(|p| p.list(')'))?;
                node = self.node(Kind::Call(node, args), called)?;
            } else if chained {
                return self.node(Kind::Chain(node), offset);
            } else {
                return Ok(node);
            }
        }
    }

    fn member(&mut self, target: Box<Node>, optional: bool) -> Parsed {
        let offset = self.offset();
        let name = match self.peek().clone() {
            TokenKind::Name(name) => name,
            TokenKind::Op(word) if crate::print::is_name(word) => word.to_owned(),
            _ => return self.unexpected(),
        };
        self.advance();
        let property = self.node(Kind::Str(name), offset)?;
        self.node(Kind::Member { target, property, optional }, offset)
    }

    /// `[i]` or `[a:b]`, the bracket being the current token.
    fn index(&mut self, target: Box<Node>, optional: bool) -> Parsed {
        let offset = self.offset();
        self.advance();
        let from = if self.at_op(":") { None } else { Some(self.expression()?) };
        if self.eat_op(":") {
            let to = if self.at_bracket(']') { None } else { Some(self.expression()?) };
            self.expect_bracket(']')?;
            return self.node(Kind::Slice { target, from, to }, offset);
        }
        self.expect_bracket(']')?;
        match from {
            Some(property) => self.node(Kind::Member { target, property, optional }, offset),
            None => self.unexpected(),
        }
    }
}
