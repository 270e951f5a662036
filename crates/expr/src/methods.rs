//! Methods of times, durations, UUIDs and named values (inventory.md 8.5).

use crate::schema::{MONTH, Type, WEEKDAY};

macro_rules! methods {
    ($($variant:ident,)*) => {
        /// A method; it is called as it is named here.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[expect(clippy::upper_case_acronyms, reason = "methods are called as in Go")]
        pub(crate) enum Method { $($variant,)* }

        impl Method {
            pub fn by_name(name: &str) -> Option<Self> {
                $(if name == stringify!($variant) { return Some(Self::$variant); })*
                None
            }

            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => stringify!($variant),)* }
            }
        }
    };
}

methods! {
    Year, Month, Day, Hour, Minute, Second, Nanosecond, YearDay, Weekday,
    Unix, UnixMilli, UnixNano, Format, After, Before, Equal, Compare, IsZero, Add, AddDate, In, Sub, UTC,
    Hours, Minutes, Seconds, Milliseconds, Microseconds, Nanoseconds, Abs, Round, Truncate, String,
}

impl Method {
    /// Argument types and result on a receiver of that type; none if it has no such method.
    pub fn signature(self, receiver: &Type) -> Option<(&'static [Type], Type)> {
        const NONE: &[Type] = &[];
        const TIME: &[Type] = &[Type::Time];
        const DURATION: &[Type] = &[Type::Duration];
        const TEXT: &[Type] = &[Type::Str];
        const DATE: &[Type] = &[Type::Int, Type::Int, Type::Int];
        // Zones have no type of their own.
        const ZONE: &[Type] = &[Type::Any];
        match receiver.pointed() {
            Type::Time => Some(match self {
                Self::Month => (NONE, Type::Code(&MONTH)),
                Self::Weekday => (NONE, Type::Code(&WEEKDAY)),
                Self::Year | Self::Day | Self::Hour | Self::Minute | Self::Second => (NONE, Type::Int),
                Self::Nanosecond | Self::YearDay => (NONE, Type::Int),
                Self::Unix | Self::UnixMilli | Self::UnixNano => (NONE, Type::Int),
                Self::Format => (TEXT, Type::Str),
                Self::After | Self::Before | Self::Equal => (TIME, Type::Bool),
                Self::Compare => (TIME, Type::Int),
                Self::IsZero => (NONE, Type::Bool),
                Self::Add => (DURATION, Type::Time),
                Self::AddDate => (DATE, Type::Time),
                Self::In => (ZONE, Type::Time),
                Self::Sub => (TIME, Type::Duration),
                Self::UTC => (NONE, Type::Time),
                Self::String => (NONE, Type::Str),
                _ => return None,
            }),
            Type::Duration => Some(match self {
                Self::Hours | Self::Minutes | Self::Seconds => (NONE, Type::Float),
                Self::Milliseconds | Self::Microseconds | Self::Nanoseconds => (NONE, Type::Int),
                Self::Abs => (NONE, Type::Duration),
                Self::Round | Self::Truncate => (DURATION, Type::Duration),
                Self::String => (NONE, Type::Str),
                _ => return None,
            }),
            Type::Uuid | Type::Code(_) if self == Self::String => Some((NONE, Type::Str)),
            Type::Named(_, inner) if self == Self::String && **inner == Type::Str => Some((NONE, Type::Str)),
            _ => None,
        }
    }
}
