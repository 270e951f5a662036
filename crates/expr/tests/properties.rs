//! Properties: printing and parsing are inverse, nothing panics, everything ends.

mod schemas;

use muster_expr::ast::{Binary, Kind, Logic, Node, Operand, Pointer, Unary};
use muster_expr::{Budget, Builtin, CompileError, EvalError, compile, parse};
use proptest::prelude::*;
use schemas::inventory::sample;
use std::time::{Duration, Instant};

fn node(kind: Kind) -> Node {
    Node::new(kind, 0)
}

fn name() -> impl Strategy<Value = String> + Clone {
    prop_oneof![Just("name".to_owned()), Just("object".to_owned()), Just("server".to_owned()), "v_[a-z0-9é]{0,4}",]
}

/// Any tree the parser can produce; inside a predicate there are pointers.
fn tree() -> impl Strategy<Value = Node> {
    let leaf = prop_oneof![
        Just(Kind::Nil),
        any::<bool>().prop_map(Kind::Bool),
        (0..=i64::MAX).prop_map(Kind::Int),
        (0.0..1e300f64).prop_map(Kind::Float),
        any::<String>().prop_map(Kind::Str),
        any::<Vec<u8>>().prop_map(Kind::Bytes),
        name().prop_map(Kind::Name),
    ]
    .prop_map(node);
    leaf.prop_recursive(5, 60, 4, |inner| {
        let one = inner.clone().prop_map(Box::new);
        let some = prop::option::of(one.clone());
        let many = prop::collection::vec(inner.clone(), 0..4);
        let method = (one.clone(), name(), any::<bool>());
        let predicate = prop_oneof![
            inner.clone(),
            Just(node(Kind::Pointer(Pointer::Element))),
            Just(node(Kind::Pointer(Pointer::Index))),
            Just(node(Kind::Pointer(Pointer::Accumulator))),
        ];
        prop_oneof![
            (prefix(), one.clone()).prop_map(|(op, a)| node(Kind::Unary(op, a))),
            (prop::sample::select(Binary::ALL.to_vec()), one.clone(), one.clone())
                .prop_map(|(op, a, b)| node(Kind::Binary(op, a, b))),
            (any::<bool>(), prop::collection::vec(inner.clone(), 2..5))
                .prop_map(|(and, operands)| logic(and, operands)),
            (one.clone(), one.clone(), one.clone()).prop_map(|(a, b, c)| node(Kind::Conditional(a, b, c))),
            (one.clone(), one.clone(), any::<bool>()).prop_map(|(a, b, o)| member(a, b, o)),
            method.clone().prop_map(|(a, name, o)| member(a, Box::new(node(Kind::Str(name))), o)),
            (one.clone(), some.clone(), some).prop_map(|(target, from, to)| slice(target, from, to)),
            (method, many.clone()).prop_map(|((a, name, _), args)| {
                let callee =
                    node(Kind::Member { target: a, property: Box::new(node(Kind::Str(name))), optional: false });
                node(Kind::Call(Box::new(callee), args))
            }),
            (prop::sample::select(Builtin::ALL.to_vec()), many.clone(), prop::option::of(predicate.prop_map(Box::new)))
                .prop_map(|(function, args, predicate)| builtin(function, args, predicate)),
            many.clone().prop_map(|items| node(Kind::List(items))),
            prop::collection::vec((inner.clone(), inner.clone()), 0..3).prop_map(|pairs| node(Kind::Map(pairs))),
            (name(), one.clone(), one).prop_map(|(name, a, b)| node(Kind::Let(name, a, b))),
            prop::collection::vec(inner, 2..4).prop_map(sequence),
        ]
    })
}

fn prefix() -> impl Strategy<Value = Unary> {
    prop::sample::select(vec![Unary::Not, Unary::Bang, Unary::Minus, Unary::Plus])
}

/// Chains are flat: the first operand of `and` is never an `and`.
fn logic(and: bool, operands: Vec<Node>) -> Node {
    let op = if and { Logic::And } else { Logic::Or };
    let mut flat = Vec::new();
    for (n, operand) in operands.into_iter().enumerate() {
        match operand.kind {
            Kind::Logic(found, inner) if n == 0 && found == op => flat.extend(inner),
            _ => flat.push(Operand { operator: 0, node: operand }),
        }
    }
    node(Kind::Logic(op, flat))
}

/// A chain with `?.` in it has an end; parentheses that add nothing leave no trace.
fn member(target: Box<Node>, property: Box<Node>, optional: bool) -> Node {
    let end = node(Kind::Member { target, property, optional });
    if optional { node(Kind::Chain(Box::new(end))) } else { end }
}

fn slice(target: Box<Node>, from: Option<Box<Node>>, to: Option<Box<Node>>) -> Node {
    node(Kind::Slice { target, from, to })
}

fn sequence(parts: Vec<Node>) -> Node {
    node(Kind::Sequence(parts))
}

/// The arguments a call of that function can be written with.
fn builtin(function: Builtin, mut args: Vec<Node>, predicate: Option<Box<Node>>) -> Node {
    let reduces = matches!(function, Builtin::Reduce | Builtin::SortBy);
    let optional = matches!(function, Builtin::Count | Builtin::Sum);
    let over_list = Builtin::ALL.iter().take_while(|b| **b != Builtin::Len).any(|b| *b == function);
    if !over_list {
        return node(Kind::Builtin { function, args, predicate: None });
    }
    args.truncate(if reduces { 2 } else { 1 });
    if args.is_empty() {
        args.push(node(Kind::Nil));
    }
    let predicate = match predicate {
        None if !optional => Some(Box::new(node(Kind::Bool(true)))),
        other => other,
    };
    node(Kind::Builtin { function, args, predicate })
}

/// Words of the language in any order: mostly nonsense, often nearly right.
fn soup() -> impl Strategy<Value = String> {
    let words = [
        "name",
        "object",
        "server",
        "uuid",
        "last_updated",
        ".status",
        ".config",
        "[\"a\"]",
        "[0]",
        "?.x",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        ",",
        ":",
        ";",
        "?",
        "|",
        "..",
        "#",
        "#acc",
        "==",
        "!=",
        "<",
        ">=",
        "in",
        "not",
        "and",
        "or",
        "??",
        "+",
        "-",
        "*",
        "/",
        "%",
        "**",
        "1",
        "0",
        "2.5",
        "\"a\"",
        "'x'",
        "`r`",
        "nil",
        "true",
        "let x =",
        "x",
        "if",
        "else",
        "any(",
        "map(",
        "filter(",
        "reduce(",
        "len(",
        "sort(",
        "groupBy(",
        "string(",
        "toJSON(",
        "1..9",
        "matches",
        "[1, 2]",
        "contains",
        "date(",
        "duration(",
        ".Year()",
        "split(",
        "join(",
        "keys(",
        "flatten(",
        "$env",
        "{a: 1}",
        "min(",
    ];
    prop::collection::vec(prop::sample::select(words.to_vec()), 0..14).prop_map(|words| words.join(" "))
}

fn run(source: &str) {
    let now = "2026-09-01T00:00:00Z".parse().expect("a time");
    for row in ["in", "ag"] {
        let (schema, row) = sample(row);
        if let Ok(program) = compile(source, &schema) {
            // Whatever comes out is fine, as long as it comes.
            let budget = Budget { steps: 100_000, ..Budget::default() };
            let _ = program.matches_within(&row, now, budget);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_printed_tree_parses_to_itself(tree in tree()) {
        let text = tree.to_string();
        match parse(&text) {
            Ok(parsed) => prop_assert_eq!(parsed, tree, "{}", text),
            Err(error) => prop_assert!(false, "{}: {}", text, error),
        }
    }

    #[test]
    fn arbitrary_text_never_panics(text in any::<String>()) {
        run(&text);
    }

    #[test]
    fn arbitrary_words_never_panic_and_end(text in soup()) {
        run(&text);
    }

    #[test]
    fn arbitrary_trees_never_panic_and_end(tree in tree()) {
        run(&tree.to_string());
        run(&format!("({tree}) == nil"));
    }
}

#[test]
fn deep_nesting_is_refused_quickly() {
    let deep = 100_000;
    let sources = [
        "(".repeat(deep),
        "[".repeat(deep),
        "{a:".repeat(deep),
        "-".repeat(deep),
        "not ".repeat(deep),
        format!("{}1{}", "(".repeat(deep), ")".repeat(deep)),
        format!("{}1", "1 ? 1 : ".repeat(deep)),
        format!("{}1", "1 ** ".repeat(deep)),
        format!("{}1", "1 + ".repeat(deep)),
        format!("{}1", "1 < ".repeat(deep)),
        format!("{}1", "let x = 1; ".repeat(deep)),
        format!("{}1", "if true {".repeat(deep)),
        format!("name{}", ".x".repeat(deep)),
        format!("name{}", "[0".repeat(deep)),
        format!("name{}", " | upper()".repeat(deep)),
        format!("{}1", "any([1], ".repeat(deep)),
        format!("{}1", "true or ".repeat(deep)),
        "1 or 1 and 1 == 1 .. 1 + 1 * 1 ** (".repeat(deep),
        "any([1], 1 or 1 and 1 == 1 .. 1 + 1 * {a: [".repeat(deep),
    ];
    let started = Instant::now();
    for source in sources {
        let head: String = source.chars().take(20).collect();
        assert!(matches!(parse(&source), Err(CompileError::Syntax(_))), "{head}");
    }
    assert!(started.elapsed() < Duration::from_secs(30), "took {:?}", started.elapsed());
}

#[test]
fn the_deepest_allowed_trees_run_in_a_small_stack() {
    let sources = [
        format!("{}true{}", "(".repeat(99), ")".repeat(99)),
        format!("{}1{} == nil", "[".repeat(95), "]".repeat(95)),
        format!("{}true", "not ".repeat(98)),
        format!("1{} == 2", " + 1".repeat(120)),
        format!("object?.a{} == nil", "?.b".repeat(120)),
        format!("{}true{}", "any([1], ".repeat(48), ")".repeat(48)),
        format!("name{} == name", " | lower()".repeat(90)),
        format!("{}true{}", "true ? ".repeat(95), " : false".repeat(95)),
        format!("{}true", (0..90).map(|n| format!("let x{n} = {n}; ")).collect::<String>()),
        format!("{}1{} == 1", "1 or 1 and 1 == 1 .. 1 + 1 * 1 ** (".repeat(12), ")".repeat(12)),
        "reduce(1..90, [#acc, #acc], [1]) == reduce(1..90, [#acc, #acc], [1])".to_owned(),
        "string(reduce(1..90, [#acc, #acc], [1])) == \"\"".to_owned(),
        "flatten(reduce(1..90, [#acc, #acc], [1])) == []".to_owned(),
        "toJSON(reduce(1..95, {\"a\": #acc}, 1)) == \"\"".to_owned(),
        "reduce(1..100000, [#acc], [1]) == []".to_owned(),
    ];
    for source in sources {
        let head: String = source.chars().take(40).collect();
        let small = std::thread::Builder::new().stack_size(1 << 20);
        small.spawn(move || run(&source)).unwrap().join().unwrap_or_else(|_| panic!("{head}"));
    }
}

#[test]
fn long_filters_are_fine() {
    let (schema, row) = sample("in");
    let long: Vec<String> = (0..1_500).map(|n| format!("name == \"x{n}\"")).collect();
    let source = format!("{} or name == \"vm1\"", long.join(" or "));
    let program = compile(&source, &schema).unwrap();
    assert!(program.matches(&row, "2026-09-01T00:00:00Z".parse().unwrap()).unwrap());

    let too_long: Vec<String> = (0..3_000).map(|n| format!("name == \"x{n}\"")).collect();
    let error = compile(&too_long.join(" or "), &schema).unwrap_err();
    assert!(error.to_string().contains("exceeds maximum allowed nodes"), "{error}");
}

#[test]
fn endless_work_ends_with_the_budget() {
    let (schema, row) = sample("in");
    let now = "2026-09-01T00:00:00Z".parse().unwrap();
    let sources = [
        "all(1..99999, all(1..99999, all(1..99999, # > 0)))",
        "len(uniq(map(1..99999, #))) > 0",
        "reduce(1..99999, #acc + \"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\", \"\") == \"\"",
        "any(1..99999, name matches (\"a{900}\" + string(#)))",
        "len(repeat(\"x\", 2000000)) > 1",
        "len(replace(repeat(\"x\", 90000), \"\", repeat(\"y\", 90000))) > 1",
        "len(flatten(map(1..9999, map(1..9999, #)))) > 0",
        "toJSON(map(1..999, 1..999)) == \"\"",
    ];
    for source in sources {
        let program = compile(source, &schema).unwrap();
        let started = Instant::now();
        let result = program.matches_within(&row, now, Budget { steps: 2_000_000, ..Budget::default() });
        assert!(matches!(result, Err(EvalError::Memory(_) | EvalError::Steps(_))), "{source}: {result:?}");
        assert!(started.elapsed() < Duration::from_secs(20), "{source} took {:?}", started.elapsed());
    }
}
