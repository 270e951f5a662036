//! Names, shapes and argument counts of the builtin functions (inventory.md 8.5).

/// How a call is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Plain arguments, at least and at most so many.
    Plain(usize, usize),
    /// `f(list, predicate)`, then so many optional arguments.
    Predicate(usize),
    /// `f(list)` or `f(list, predicate)`.
    OptionalPredicate,
}

const ANY: usize = usize::MAX;

macro_rules! table {
    ($($variant:ident $name:literal $shape:expr,)*) => {
        /// A builtin function.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[expect(missing_docs, reason = "each variant is its function, described in reference.md")]
        pub enum Builtin { $($variant,)* }

        impl Builtin {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// As called in an expression.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The builtin of that name.
            #[must_use]
            pub fn by_name(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$variant),)* _ => None }
            }

            pub(crate) fn shape(self) -> Shape {
                match self { $(Self::$variant => $shape,)* }
            }
        }
    };
}

table! {
    All "all" Shape::Predicate(0),
    None "none" Shape::Predicate(0),
    Any "any" Shape::Predicate(0),
    One "one" Shape::Predicate(0),
    Filter "filter" Shape::Predicate(0),
    Map "map" Shape::Predicate(0),
    Find "find" Shape::Predicate(0),
    FindIndex "findIndex" Shape::Predicate(0),
    FindLast "findLast" Shape::Predicate(0),
    FindLastIndex "findLastIndex" Shape::Predicate(0),
    Count "count" Shape::OptionalPredicate,
    Sum "sum" Shape::OptionalPredicate,
    GroupBy "groupBy" Shape::Predicate(0),
    SortBy "sortBy" Shape::Predicate(1),
    Reduce "reduce" Shape::Predicate(1),

    Len "len" Shape::Plain(1, 1),
    First "first" Shape::Plain(1, 1),
    Last "last" Shape::Plain(1, 1),
    Get "get" Shape::Plain(2, 2),
    Take "take" Shape::Plain(2, 2),
    Reverse "reverse" Shape::Plain(1, 1),
    Uniq "uniq" Shape::Plain(1, 1),
    Concat "concat" Shape::Plain(1, ANY),
    Flatten "flatten" Shape::Plain(1, 1),
    Sort "sort" Shape::Plain(1, 2),
    Min "min" Shape::Plain(1, ANY),
    Max "max" Shape::Plain(1, ANY),
    Mean "mean" Shape::Plain(1, ANY),
    Median "median" Shape::Plain(1, ANY),
    Join "join" Shape::Plain(1, 2),

    Keys "keys" Shape::Plain(1, 1),
    Values "values" Shape::Plain(1, 1),
    ToPairs "toPairs" Shape::Plain(1, 1),
    FromPairs "fromPairs" Shape::Plain(1, 1),

    Trim "trim" Shape::Plain(1, 2),
    TrimPrefix "trimPrefix" Shape::Plain(1, 2),
    TrimSuffix "trimSuffix" Shape::Plain(1, 2),
    Upper "upper" Shape::Plain(1, 1),
    Lower "lower" Shape::Plain(1, 1),
    Split "split" Shape::Plain(2, 3),
    SplitAfter "splitAfter" Shape::Plain(2, 3),
    Replace "replace" Shape::Plain(3, 4),
    Repeat "repeat" Shape::Plain(2, 2),
    IndexOf "indexOf" Shape::Plain(2, 2),
    LastIndexOf "lastIndexOf" Shape::Plain(2, 2),
    HasPrefix "hasPrefix" Shape::Plain(2, 2),
    HasSuffix "hasSuffix" Shape::Plain(2, 2),

    Abs "abs" Shape::Plain(1, 1),
    Ceil "ceil" Shape::Plain(1, 1),
    Floor "floor" Shape::Plain(1, 1),
    Round "round" Shape::Plain(1, 1),
    BitAnd "bitand" Shape::Plain(2, 2),
    BitOr "bitor" Shape::Plain(2, 2),
    BitXor "bitxor" Shape::Plain(2, 2),
    BitNand "bitnand" Shape::Plain(2, 2),
    BitShl "bitshl" Shape::Plain(2, 2),
    BitShr "bitshr" Shape::Plain(2, 2),
    BitUshr "bitushr" Shape::Plain(2, 2),
    BitNot "bitnot" Shape::Plain(1, 1),

    Int "int" Shape::Plain(1, 1),
    Float "float" Shape::Plain(1, 1),
    String "string" Shape::Plain(1, 1),
    ToJson "toJSON" Shape::Plain(1, 1),
    FromJson "fromJSON" Shape::Plain(1, 1),
    ToBase64 "toBase64" Shape::Plain(1, 1),
    FromBase64 "fromBase64" Shape::Plain(1, 1),
    Type "type" Shape::Plain(1, 1),

    Now "now" Shape::Plain(0, 0),
    Date "date" Shape::Plain(1, 4),
    Duration "duration" Shape::Plain(1, 1),
    Timezone "timezone" Shape::Plain(1, 1),
    ToFloat64 "toFloat64" Shape::Plain(1, 1),
}
