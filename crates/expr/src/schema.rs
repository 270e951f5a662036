//! The static side of a row: which names an expression may use and of which type they are.

use std::fmt;
use std::sync::Arc;

/// Type of a value, printed as the peer prints it in errors.
#[derive(Debug, Clone, PartialEq)]
pub enum Type {
    /// Known only at run time.
    Any,
    /// Boolean.
    Bool,
    /// 64-bit integer.
    Int,
    /// 64-bit float.
    Float,
    /// Text.
    Str,
    /// A type of its own name over a text, list or map. Named texts compare with texts, but
    /// neither `in` nor the string operators take them (servers.md 3.3).
    Named(&'static str, Box<Type>),
    /// A named integer whose values have texts, such as a status code (inventory.md 8.7).
    Code(&'static CodeType),
    /// A point in time, RFC 3339 in the row.
    Time,
    /// A length of time, nanoseconds in the row.
    Duration,
    /// A UUID; it does not compare with texts.
    Uuid,
    /// A list.
    List(Box<Type>),
    /// A map with text keys.
    Map(Box<Type>),
    /// A record.
    Struct(Arc<StructType>),
    /// May be nil: null or absent in the row.
    Optional(Box<Type>),
    /// Always nil.
    Nil,
}

/// An integer type whose values have texts.
#[derive(Debug, PartialEq)]
pub struct CodeType {
    /// Name in errors.
    pub name: &'static str,
    /// Value and text; values that are not listed have an empty text.
    pub texts: &'static [(i64, &'static str)],
}

impl CodeType {
    pub(crate) fn text(&self, code: i64) -> &'static str {
        self.texts.iter().find(|(value, _)| *value == code).map_or("", |(_, text)| text)
    }
}

/// A record type.
#[derive(Debug, Clone)]
pub struct StructType {
    /// Name in errors.
    pub name: &'static str,
    /// The fields, as expressions name them.
    pub fields: Vec<(&'static str, Type)>,
    /// Fields whose key in the JSON differs from their name.
    keys: Vec<(&'static str, &'static str)>,
}

impl PartialEq for StructType {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.fields == other.fields
    }
}

impl StructType {
    /// A record without fields.
    #[must_use]
    pub fn new(name: &'static str) -> Self {
        Self { name, fields: Vec::new(), keys: Vec::new() }
    }

    /// Adds a field that is called the same in the JSON.
    #[must_use]
    pub fn field(mut self, name: &'static str, ty: Type) -> Self {
        self.fields.push((name, ty));
        self
    }

    /// Adds a field that is called `key` in the JSON.
    #[must_use]
    pub fn field_as(mut self, name: &'static str, key: &'static str, ty: Type) -> Self {
        self.keys.push((name, key));
        self.field(name, ty)
    }

    /// The type as one to use in a field.
    #[must_use]
    pub fn into_type(self) -> Type {
        Type::Struct(Arc::new(self))
    }

    /// Type and JSON key of a field.
    pub(crate) fn get(&self, name: &str) -> Option<(&'static str, &Type)> {
        let (name, ty) = self.fields.iter().find(|(field, _)| *field == name)?;
        let key = self.keys.iter().find(|(field, _)| field == name).map_or(*name, |(_, key)| key);
        Some((key, ty))
    }
}

/// A function of a schema: all arguments are texts. The error is the message.
pub type TextFunction = fn(&[&str]) -> Result<bool, String>;

/// The names an expression may use.
#[derive(Debug, Clone)]
pub struct Schema {
    pub(crate) env: Arc<StructType>,
    pub(crate) functions: Vec<(&'static str, TextFunction)>,
    pub(crate) to_float64: bool,
}

impl Default for Schema {
    fn default() -> Self {
        Self { env: Arc::new(StructType::new("environment")), functions: Vec::new(), to_float64: true }
    }
}

impl Schema {
    /// A schema without names. Names of type [`Type::Any`] make it dynamic (aggregate query,
    /// inventory.md 8.6).
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a name; it is the key of the row.
    #[must_use]
    pub fn field(self, name: &'static str, ty: Type) -> Self {
        self.field_as(name, name, ty)
    }

    /// Adds a name whose key in the row is `key`.
    #[must_use]
    pub fn field_as(mut self, name: &'static str, key: &'static str, ty: Type) -> Self {
        let env = Arc::make_mut(&mut self.env);
        env.fields.push((name, ty));
        if name != key {
            env.keys.push((name, key));
        }
        self
    }

    /// Adds a function over texts (`applies_to_architecture` of update file filters).
    #[must_use]
    pub fn function(mut self, name: &'static str, function: TextFunction) -> Self {
        self.functions.push((name, function));
        self
    }

    /// Takes `toFloat64` away: lists of names and image sources lack it (inventory.md 8.1).
    #[must_use]
    pub fn without_to_float64(mut self) -> Self {
        self.to_float64 = false;
        self
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("unknown"),
            Self::Bool => f.write_str("bool"),
            Self::Int => f.write_str("int"),
            Self::Float => f.write_str("float64"),
            Self::Str => f.write_str("string"),
            Self::Named(name, _) => f.write_str(name),
            Self::Code(code) => f.write_str(code.name),
            Self::Time => f.write_str("time.Time"),
            Self::Duration => f.write_str("time.Duration"),
            Self::Uuid => f.write_str("uuid.UUID"),
            Self::List(item) if **item == Self::Any => f.write_str("[]interface {}"),
            Self::List(item) => write!(f, "[]{item}"),
            Self::Map(item) if **item == Self::Any => f.write_str("map[string]interface {}"),
            Self::Map(item) => write!(f, "map[string]{item}"),
            Self::Struct(record) => f.write_str(record.name),
            Self::Optional(inner) => write!(f, "*{inner}"),
            Self::Nil => f.write_str("nil"),
        }
    }
}

/// `Any` as a reference that lives long enough for every value.
pub(crate) static ANY: Type = Type::Any;

impl Type {
    /// A list of this.
    #[must_use]
    pub fn list(self) -> Self {
        Self::List(Box::new(self))
    }

    /// A map of this.
    #[must_use]
    pub fn map(self) -> Self {
        Self::Map(Box::new(self))
    }

    /// This or nil.
    #[must_use]
    pub fn optional(self) -> Self {
        Self::Optional(Box::new(self))
    }

    /// This under a name.
    #[must_use]
    pub fn named(self, name: &'static str) -> Self {
        Self::Named(name, Box::new(self))
    }

    /// Without pointers.
    pub(crate) fn pointed(&self) -> &Self {
        match self {
            Self::Optional(inner) => inner.pointed(),
            other => other,
        }
    }

    /// Without pointers and names: what it is made of.
    pub(crate) fn plain(&self) -> &Self {
        match self {
            Self::Optional(inner) | Self::Named(_, inner) => inner.plain(),
            Self::Code(_) => &INT,
            other => other,
        }
    }

    /// Nothing can be said about it before run time.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.pointed(), Self::Any | Self::Nil)
    }

    pub(crate) fn is_number(&self) -> bool {
        matches!(self.plain(), Self::Int | Self::Float)
    }

    pub(crate) fn is_builtin_scalar(&self) -> bool {
        matches!(self, Self::Bool | Self::Int | Self::Float | Self::Str)
    }
}

static INT: Type = Type::Int;

/// Months as their methods return them.
pub(crate) static MONTH: CodeType = CodeType {
    name: "time.Month",
    texts: &[
        (1, "January"),
        (2, "February"),
        (3, "March"),
        (4, "April"),
        (5, "May"),
        (6, "June"),
        (7, "July"),
        (8, "August"),
        (9, "September"),
        (10, "October"),
        (11, "November"),
        (12, "December"),
    ],
};

/// Days of the week as their methods return them.
pub(crate) static WEEKDAY: CodeType = CodeType {
    name: "time.Weekday",
    texts: &[
        (0, "Sunday"),
        (1, "Monday"),
        (2, "Tuesday"),
        (3, "Wednesday"),
        (4, "Thursday"),
        (5, "Friday"),
        (6, "Saturday"),
    ],
};
