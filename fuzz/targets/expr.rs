//! Filters as they come in query strings: parsed, checked and run on a server, within their budget.
#![no_main]

// The schema that the server's own filters have. It is taken as a file: the crate would bring the database along.
#[path = "../../crates/server/src/routes/server_schema.rs"]
mod server_schema;

use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use muster_expr::{Budget, CompileError, EvalError, Program, Schema, compile, parse};
use muster_fuzz::speaks;
use serde_json::Value;
use std::sync::LazyLock;

static ROW: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(include_str!("server.json")).expect("the server is JSON"));
static OBJECTS: LazyLock<Schema> = LazyLock::new(server_schema::objects);
static NAMES: LazyLock<Schema> = LazyLock::new(server_schema::names);

const SMALL: Budget = Budget { steps: 20_000, memory: 20_000 };
const LARGE: Budget = Budget { steps: 200_000, memory: 200_000 };

fn run(program: &Program, row: &Value, budget: Budget) -> Result<bool, EvalError> {
    let result = program.matches_within(row, Timestamp::UNIX_EPOCH, budget);
    if let Err(error) = &result {
        points(&error.to_string(), error.position().column);
    }
    result
}

/// An error names its place and shows it.
fn points(text: &str, column: usize) {
    assert!(column >= 1);
    let (message, _) = text.split_once("\n | ").expect("an error shows the line");
    assert!(!message.trim().is_empty(), "{text:?}");
}

fn refused(error: &CompileError) {
    match error {
        CompileError::Syntax(at) | CompileError::Type(at) => points(&at.to_string(), at.position.column),
        CompileError::NotBool { .. } => speaks(error),
    }
}

/// Out of budget, or how it ended otherwise.
fn ended(result: &Result<bool, EvalError>) -> Option<Result<bool, ()>> {
    match result {
        Ok(kept) => Some(Ok(*kept)),
        Err(EvalError::Failed(_)) => Some(Err(())),
        Err(EvalError::Memory(_) | EvalError::Steps(_)) => None,
    }
}

fuzz_target!(|source: &str| {
    let node = match parse(source) {
        Ok(node) => node,
        Err(error) => return refused(&error),
    };
    // What is printed parses to the same tree, unless its parentheses go beyond the limit of depth.
    let printed = node.to_string();
    match parse(&printed) {
        Ok(again) => assert_eq!(again, node, "{printed}"),
        Err(error) => assert!(error.to_string().contains("levels deep"), "{printed}: {error}"),
    }
    for schema in [&*OBJECTS, &*NAMES] {
        let program = match compile(source, schema) {
            Ok(program) => program,
            Err(error) => {
                refused(&error);
                continue;
            }
        };
        let result = run(&program, &ROW, LARGE);
        let end = ended(&result);

        // The same row gives the same answer, and a smaller budget none or the same.
        assert_eq!(ended(&run(&program, &ROW, LARGE)), end);
        let hurried = ended(&run(&program, &ROW, SMALL));
        assert!(hurried.is_none() || hurried == end, "{hurried:?} within a small budget, {end:?} within a large one");

        // The server reads only what a filter names: that is enough.
        let Value::Object(mut row) = ROW.clone() else { unreachable!("the server is an object") };
        row.retain(|key, _| program.names().contains(&key.as_str()));
        assert_eq!(ended(&run(&program, &Value::Object(row), LARGE)), end, "with {:?} only", program.names());

        // And so does its printed form.
        if let Ok(again) = compile(&printed, schema) {
            assert_eq!(ended(&run(&again, &ROW, LARGE)), end, "{printed}");
        }
    }
});
