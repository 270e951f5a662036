//! The builtin functions (inventory.md 8.5).

mod convert;
mod lists;
mod numbers;
mod strings;
mod table;
mod time;

pub(crate) use convert::{encode_base64, to_int};
pub(crate) use lists::{is_descending, sum};
pub use table::Builtin;
pub(crate) use table::Shape;

use crate::fuel::{Fuel, Trouble, failed};
use crate::value::Value;
use jiff::Timestamp;

type Done<'a> = Result<Value<'a>, Trouble>;

/// Calls a function without predicate. The check has seen to the number of arguments.
pub(crate) fn call<'a>(function: Builtin, args: &[Value<'a>], now: Timestamp, fuel: &mut Fuel) -> Done<'a> {
    use Builtin as B;
    match function {
        B::Len | B::First | B::Last | B::Get | B::Take | B::Reverse | B::Uniq | B::Concat | B::Flatten | B::Sort => {
            lists::call(function, args, fuel)
        }
        B::Keys | B::Values | B::ToPairs | B::FromPairs | B::Sum | B::Count => lists::call(function, args, fuel),
        B::Trim | B::TrimPrefix | B::TrimSuffix | B::Upper | B::Lower | B::Split | B::SplitAfter | B::Replace => {
            strings::call(function, args, fuel)
        }
        B::Repeat | B::IndexOf | B::LastIndexOf | B::HasPrefix | B::HasSuffix | B::Join => {
            strings::call(function, args, fuel)
        }
        B::Int | B::Float | B::ToFloat64 | B::String | B::ToJson | B::FromJson | B::Type => {
            convert::call(function, args, fuel)
        }
        B::ToBase64 | B::FromBase64 => convert::call(function, args, fuel),
        B::Now | B::Date | B::Duration | B::Timezone => time::call(function, args, now),
        _ => numbers::call(function, args, fuel),
    }
}

fn arg<'v, 'a>(args: &'v [Value<'a>], n: usize) -> &'v Value<'a> {
    args.get(n).unwrap_or(&Value::Nil)
}

/// The usual complaint about an argument.
fn invalid<'a>(function: Builtin, value: &Value<'_>) -> Done<'a> {
    failed(format!("invalid argument for {} (type {})", function.name(), value.type_name()))
}

/// An integer argument.
fn int(value: &Value<'_>) -> Result<i64, Trouble> {
    match crate::ops::whole(value) {
        Some(value) => Ok(value),
        None => failed(format!("cannot use {} as argument (type int)", value.type_name())),
    }
}
