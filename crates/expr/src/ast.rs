//! The syntax tree: what was written, without types.

use crate::builtins::Builtin;

/// A node of the tree. Two nodes are equal when they mean the same; places do not count.
#[derive(Debug, Clone)]
pub struct Node {
    /// What the node is.
    pub kind: Kind,
    /// Offset in the source, in characters.
    pub offset: u32,
    pub(crate) height: u16,
    pub(crate) size: u32,
}

impl PartialEq for Node {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind
    }
}

impl Node {
    /// A node with its measures; they saturate, the parser refuses trees long before.
    #[must_use]
    pub fn new(kind: Kind, offset: u32) -> Self {
        let (mut height, mut size) = (0u16, 1u32);
        kind.each_child(&mut |child| {
            height = height.max(child.height);
            size = size.saturating_add(child.size);
        });
        Self { kind, offset, height: height.saturating_add(1), size }
    }
}

/// The kinds of nodes.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// `nil`
    Nil,
    /// `true`, `false`
    Bool(bool),
    /// `1`, `0x1f`
    Int(i64),
    /// `1.5`; always finite
    Float(f64),
    /// `"text"`
    Str(String),
    /// `b"bytes"`
    Bytes(Vec<u8>),
    /// A variable, or `$env`.
    Name(String),
    /// `#`, `#index`, `#acc`
    Pointer(Pointer),
    /// A prefix operator.
    Unary(Unary, Box<Node>),
    /// An infix operator other than `and` and `or`.
    Binary(Binary, Box<Node>, Box<Node>),
    /// A chain of one of `and`, `or`; flat, so that long filters do not become deep trees.
    Logic(Logic, Vec<Operand>),
    /// `c ? a : b` and `if c { a } else { b }`
    Conditional(Box<Node>, Box<Node>, Box<Node>),
    /// `x.y`, `x["y"]`, `x?.y`
    Member {
        /// What is looked into.
        target: Box<Node>,
        /// The name (a string node for `.y`) or index.
        property: Box<Node>,
        /// Written with `?.`: a nil target ends the chain with nil.
        optional: bool,
    },
    /// `x[a:b]`
    Slice {
        /// What is sliced.
        target: Box<Node>,
        /// First index, 0 if absent.
        from: Option<Box<Node>>,
        /// Index after the last, the length if absent.
        to: Option<Box<Node>>,
    },
    /// The end of a chain that contains `?.`.
    Chain(Box<Node>),
    /// A call of a method or of a function that is no builtin.
    Call(Box<Node>, Vec<Node>),
    /// A call of a builtin function; `predicate` is the part evaluated per element.
    Builtin {
        /// Which one.
        function: Builtin,
        /// The plain arguments.
        args: Vec<Node>,
        /// The predicate of `any`, `filter` and their like.
        predicate: Option<Box<Node>>,
    },
    /// `[a, b]`
    List(Vec<Node>),
    /// `{a: 1}`
    Map(Vec<(Node, Node)>),
    /// `let name = value; body`
    Let(String, Box<Node>, Box<Node>),
    /// `a; b`
    Sequence(Vec<Node>),
}

impl Kind {
    fn each_child<'a>(&'a self, see: &mut impl FnMut(&'a Node)) {
        match self {
            Self::Nil | Self::Bool(_) | Self::Int(_) | Self::Float(_) | Self::Str(_) => {}
            Self::Bytes(_) | Self::Name(_) | Self::Pointer(_) => {}
            Self::Unary(_, a) | Self::Chain(a) => see(a),
            Self::Binary(_, a, b) | Self::Let(_, a, b) => [a, b].into_iter().for_each(|n| see(n)),
            Self::Logic(_, operands) => operands.iter().for_each(|operand| see(&operand.node)),
            Self::Conditional(a, b, c) => [a, b, c].into_iter().for_each(|n| see(n)),
            Self::Member { target, property, .. } => [target, property].into_iter().for_each(|n| see(n)),
            Self::Slice { target, from, to } => {
                see(target);
                [from, to].into_iter().flatten().for_each(|n| see(n));
            }
            Self::Call(callee, args) => {
                see(callee);
                args.iter().for_each(see);
            }
            Self::Builtin { args, predicate, .. } => {
                args.iter().for_each(&mut *see);
                predicate.iter().for_each(|n| see(n));
            }
            Self::List(items) | Self::Sequence(items) => items.iter().for_each(see),
            Self::Map(pairs) => pairs.iter().for_each(|(k, v)| {
                see(k);
                see(v);
            }),
        }
    }
}

/// An operand of a chain of `and` or `or`; like nodes, equal when they mean the same.
#[derive(Debug, Clone)]
pub struct Operand {
    /// Offset of the operator before it; of no meaning for the first.
    pub operator: u32,
    /// The operand itself.
    pub node: Node,
}

impl PartialEq for Operand {
    fn eq(&self, other: &Self) -> bool {
        self.node == other.node
    }
}

/// What `#` refers to inside a predicate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pointer {
    /// `#`, the element
    Element,
    /// `#index`, its number from 0
    Index,
    /// `#acc`, the value so far (`reduce` only)
    Accumulator,
}

/// Prefix operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unary {
    /// `not`
    Not,
    /// `!`; apart from `not` only because errors name the operator as written
    Bang,
    /// `-`
    Minus,
    /// `+`
    Plus,
}

impl Unary {
    /// As written.
    #[must_use]
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Not => "not",
            Self::Bang => "!",
            Self::Minus => "-",
            Self::Plus => "+",
        }
    }

    /// Binding strength (inventory.md 8.4).
    #[must_use]
    pub fn precedence(self) -> u16 {
        match self {
            Self::Not | Self::Bang => 50,
            Self::Minus | Self::Plus => 90,
        }
    }
}

/// The chained operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Logic {
    /// `and`, `&&`
    And,
    /// `or`, `||`
    Or,
}

impl Logic {
    /// The word.
    #[must_use]
    pub fn symbol(self) -> &'static str {
        match self {
            Self::And => "and",
            Self::Or => "or",
        }
    }
}

/// Infix operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "each variant is its symbol, see `symbol`")]
pub enum Binary {
    Equal,
    NotEqual,
    Less,
    Greater,
    LessEqual,
    GreaterEqual,
    In,
    Matches,
    Contains,
    StartsWith,
    EndsWith,
    Range,
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    Power,
    Coalesce,
}

impl Binary {
    /// All of them.
    pub const ALL: [Self; 19] = [
        Self::Equal,
        Self::NotEqual,
        Self::Less,
        Self::Greater,
        Self::LessEqual,
        Self::GreaterEqual,
        Self::In,
        Self::Matches,
        Self::Contains,
        Self::StartsWith,
        Self::EndsWith,
        Self::Range,
        Self::Add,
        Self::Subtract,
        Self::Multiply,
        Self::Divide,
        Self::Modulo,
        Self::Power,
        Self::Coalesce,
    ];

    /// As written.
    #[must_use]
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::Greater => ">",
            Self::LessEqual => "<=",
            Self::GreaterEqual => ">=",
            Self::In => "in",
            Self::Matches => "matches",
            Self::Contains => "contains",
            Self::StartsWith => "startsWith",
            Self::EndsWith => "endsWith",
            Self::Range => "..",
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Modulo => "%",
            Self::Power => "**",
            Self::Coalesce => "??",
        }
    }

    /// Binding strength (inventory.md 8.4).
    #[must_use]
    pub fn precedence(self) -> u16 {
        match self {
            Self::Range => 25,
            Self::Add | Self::Subtract => 30,
            Self::Multiply | Self::Divide | Self::Modulo => 60,
            Self::Power => 100,
            Self::Coalesce => 500,
            _ => 20,
        }
    }

    /// Whether `a < b < c` chains.
    #[must_use]
    pub fn is_comparison(self) -> bool {
        matches!(self, Self::Equal | Self::NotEqual | Self::Less | Self::Greater | Self::LessEqual | Self::GreaterEqual)
    }

    /// Whether `not` may stand before it.
    #[must_use]
    pub fn is_negatable(self) -> bool {
        matches!(self, Self::In | Self::Matches | Self::Contains | Self::StartsWith | Self::EndsWith)
    }
}
