//! Tokens to tree: precedence climbing with limits on depth and size, so that no input can
//! exhaust the stack.

use crate::ast::{Binary, Kind, Logic, Node, Operand, Pointer, Unary};
use crate::builtins::{Builtin, Shape};
use crate::error::Fault;
use crate::lexer::{Token, TokenKind, tokens};

mod primary;

/// Brackets, prefix operators and branches may nest this deep.
const MAX_DEPTH: usize = 100;
/// Height of the tree; bounds the recursion of everything that walks it.
const MAX_HEIGHT: u16 = 128;
/// Nodes of one expression (inventory.md 8.2).
const MAX_NODES: usize = 10_000;

type Parsed<T = Box<Node>> = Result<T, Box<Fault>>;

pub(crate) fn parse(source: &str) -> Parsed {
    let mut parser = Parser { tokens: tokens(source)?, at: 0, depth: 0, nodes: 0, predicates: 0 };
    let node = parser.sequence()?;
    match parser.peek() {
        TokenKind::End => Ok(node),
        _ => parser.unexpected(),
    }
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
    nodes: usize,
    /// How many predicates surround the current token.
    predicates: usize,
}

impl Parser {
    fn peek(&self) -> &TokenKind {
        &self.tokens[self.at].kind
    }

    fn peek_second(&self) -> &TokenKind {
        &self.tokens[(self.at + 1).min(self.tokens.len() - 1)].kind
    }

    fn offset(&self) -> u32 {
        self.tokens[self.at].offset
    }

    fn advance(&mut self) {
        self.at = (self.at + 1).min(self.tokens.len() - 1);
    }

    fn at_op(&self, op: &str) -> bool {
        matches!(self.peek(), TokenKind::Op(found) if *found == op)
    }

    fn at_bracket(&self, bracket: char) -> bool {
        matches!(self.peek(), TokenKind::Bracket(found) if *found == bracket)
    }

    fn eat_op(&mut self, op: &str) -> bool {
        let found = self.at_op(op);
        if found {
            self.advance();
        }
        found
    }

    fn eat_bracket(&mut self, bracket: char) -> bool {
        let found = self.at_bracket(bracket);
        if found {
            self.advance();
        }
        found
    }

    fn expect_op(&mut self, op: &str) -> Parsed<()> {
        if self.eat_op(op) { Ok(()) } else { self.unexpected() }
    }

    fn expect_bracket(&mut self, bracket: char) -> Parsed<()> {
        if self.eat_bracket(bracket) { Ok(()) } else { self.unexpected() }
    }

    fn unexpected<T>(&self) -> Parsed<T> {
        Err(Fault::new(self.offset(), format!("unexpected token {}", self.peek())))
    }

    fn count(&mut self, nodes: u32, offset: u32) -> Parsed<()> {
        self.nodes += nodes as usize;
        if self.nodes > MAX_NODES {
            return Err(Fault::new(offset, "compilation failed: expression exceeds maximum allowed nodes"));
        }
        Ok(())
    }

    fn node(&mut self, kind: Kind, offset: u32) -> Parsed {
        self.count(1, offset)?;
        let node = Node::new(kind, offset);
        if node.height > MAX_HEIGHT {
            return Err(Fault::new(offset, format!("expression is nested more than {MAX_HEIGHT} levels deep")));
        }
        Ok(Box::new(node))
    }

    /// Runs `parse` one level deeper.
    fn nested<T>(&mut self, parse: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(Fault::new(self.offset(), format!("expression is nested more than {MAX_DEPTH} levels deep")));
        }
        let result = parse(self);
        self.depth -= 1;
        result
    }

    /// `a; b; c`, a trailing `;` is allowed.
    fn sequence(&mut self) -> Parsed {
        let offset = self.offset();
        let first = self.expression()?;
        let mut parts = vec![*first];
        while self.eat_op(";") {
            if matches!(self.peek(), TokenKind::End | TokenKind::Bracket(')' | '}')) {
                break;
            }
            parts.push(*self.expression()?);
        }
        match parts.len() {
            1 => parts.pop().map_or_else(|| self.unexpected(), |only| Ok(Box::new(only))),
            _ => self.node(Kind::Sequence(parts), offset),
        }
    }

    /// A whole expression: `let`, `if`, or operators and an optional `? :`.
    fn expression(&mut self) -> Parsed {
        self.nested(|p| match p.peek() {
            TokenKind::Op("let") => p.declaration(),
            TokenKind::Op("if") => p.branches(),
            _ => {
                let node = p.operators(0)?;
                p.ternary(node)
            }
        })
    }

    fn declaration(&mut self) -> Parsed {
        self.advance();
        let offset = self.offset();
        let TokenKind::Name(name) = self.peek().clone() else { return self.unexpected() };
        self.advance();
        self.expect_op("=")?;
        let value = self.expression()?;
        self.expect_op(";")?;
        let body = self.sequence()?;
        self.node(Kind::Let(name, value, body), offset)
    }

    fn branches(&mut self) -> Parsed {
        let offset = self.offset();
        self.advance();
        let condition = self.operators(0)?;
        let yes = self.block()?;
        self.expect_op("else")?;
        let no = if self.at_op("if") { self.nested(Self::branches)? } else { self.block()? };
        self.node(Kind::Conditional(condition, yes, no), offset)
    }

    fn block(&mut self) -> Parsed {
        self.expect_bracket('{')?;
        let node = self.sequence()?;
        self.expect_bracket('}')?;
        Ok(node)
    }

    fn ternary(&mut self, condition: Box<Node>) -> Parsed {
        let offset = self.offset();
        if !self.eat_op("?") {
            return Ok(condition);
        }
        let yes = self.expression()?;
        self.expect_op(":")?;
        let no = self.expression()?;
        self.node(Kind::Conditional(condition, yes, no), offset)
    }

    /// Infix operators that bind at least as tight as `least`.
    fn operators(&mut self, least: u16) -> Parsed {
        let mut left = self.operand()?;
        let mut after_coalesce = false;
        while let Some((op, negated)) = self.infix()? {
            if op.precedence() < least {
                break;
            }
            if after_coalesce && !matches!(op, Infix::Binary(Binary::Coalesce) | Infix::Pipe) {
                let message = format!(
                    "Operator ({}) and coalesce expressions (??) cannot be mixed. Wrap either by parentheses.",
                    op.symbol()
                );
                return Err(Fault::new(self.offset(), message));
            }
            after_coalesce = matches!(op, Infix::Binary(Binary::Coalesce));
            let not_offset = self.offset();
            if negated {
                self.advance();
            }
            let offset = self.offset();
            self.advance();
            left = match op {
                Infix::Pipe => self.pipe(left)?,
                Infix::Logic(op) => self.logic(op, *left, offset)?,
                Infix::Binary(op) if op.is_comparison() => self.comparison(op, left, offset)?,
                Infix::Binary(op) => self.binary(op, left, offset)?,
            };
            if negated {
                left = self.node(Kind::Unary(Unary::Not, left), not_offset)?;
            }
        }
        Ok(left)
    }

    /// The infix operator at the current token, and whether `not` stands before it.
    fn infix(&self) -> Parsed<Option<(Infix, bool)>> {
        let TokenKind::Op(symbol) = self.peek() else { return Ok(None) };
        if *symbol != "not" {
            return Ok(Infix::of(symbol).map(|op| (op, false)));
        }
        match self.peek_second() {
            TokenKind::Op(next) => match Infix::of(next) {
                Some(Infix::Binary(op)) if op.is_negatable() => Ok(Some((Infix::Binary(op), true))),
                _ => self.unexpected(),
            },
            _ => self.unexpected(),
        }
    }

    fn logic(&mut self, op: Logic, left: Node, offset: u32) -> Parsed {
        let right = self.operators(Infix::Logic(op).precedence() + 1)?;
        match left.kind {
            Kind::Logic(found, mut operands) if found == op => {
                operands.push(Operand { operator: offset, node: *right });
                self.node(Kind::Logic(op, operands), left.offset)
            }
            _ => self.node(
                Kind::Logic(
                    op,
                    vec![Operand { operator: offset, node: left }, Operand { operator: offset, node: *right }],
                ),
                offset,
            ),
        }
    }

    /// `a < b <= c` means `a < b and b <= c`.
    fn comparison(&mut self, op: Binary, left: Box<Node>, offset: u32) -> Parsed {
        let right = self.operators(op.precedence() + 1)?;
        let next = match self.peek() {
            TokenKind::Op(symbol) => Infix::of(symbol),
            _ => None,
        };
        let Some(Infix::Binary(next)) = next.filter(|op| matches!(op, Infix::Binary(b) if b.is_comparison())) else {
            return self.node(Kind::Binary(op, left, right), offset);
        };
        self.count(right.size, offset)?;
        let first = self.node(Kind::Binary(op, left, right.clone()), offset)?;
        let next_offset = self.offset();
        self.advance();
        let rest = self.nested(|p| p.comparison(next, right, next_offset))?;
        let mut operands = vec![Operand { operator: offset, node: *first }];
        match rest.kind {
            Kind::Logic(Logic::And, more) => operands.extend(more),
            _ => operands.push(Operand { operator: next_offset, node: *rest }),
        }
        self.node(Kind::Logic(Logic::And, operands), offset)
    }

    fn binary(&mut self, op: Binary, left: Box<Node>, offset: u32) -> Parsed {
        let right = match op {
            Binary::Power => self.nested(|p| p.operators(op.precedence()))?,
            _ => self.operators(op.precedence() + 1)?,
        };
        self.node(Kind::Binary(op, left, right), offset)
    }

    /// `left | f(a)` is `f(left, a)`.
    fn pipe(&mut self, left: Box<Node>) -> Parsed {
        let offset = self.offset();
        let TokenKind::Name(name) = self.peek().clone() else { return self.unexpected() };
        self.advance();
        if !self.at_bracket('(') {
            return self.unexpected();
        }
        // The words of the language name no function, and `false(x)` is no call.
        if matches!(name.as_str(), "true" | "false" | "nil") {
            return Err(Fault::new(offset, format!("unknown name {name}")));
        }
        let call = self.nested(|p| p.call(name, offset, Some(left)))?;
        self.postfix(call)
    }
}

/// An infix operator as the grammar sees it.
#[derive(Clone, Copy)]
enum Infix {
    Pipe,
    Logic(Logic),
    Binary(Binary),
}

impl Infix {
    fn of(symbol: &str) -> Option<Self> {
        match symbol {
            "|" => Some(Self::Pipe),
            "or" | "||" => Some(Self::Logic(Logic::Or)),
            "and" | "&&" => Some(Self::Logic(Logic::And)),
            "^" => Some(Self::Binary(Binary::Power)),
            _ => Binary::ALL.into_iter().find(|op| op.symbol() == symbol).map(Self::Binary),
        }
    }

    fn symbol(self) -> &'static str {
        match self {
            Self::Pipe => "|",
            Self::Logic(op) => op.symbol(),
            Self::Binary(op) => op.symbol(),
        }
    }

    fn precedence(self) -> u16 {
        match self {
            Self::Pipe => 0,
            Self::Logic(Logic::Or) => 10,
            Self::Logic(Logic::And) => 15,
            Self::Binary(op) => op.precedence(),
        }
    }
}
