//! Errors of inventory filters read as the peer writes them, place and picture included.

mod schemas;

use muster_expr::{EvalError, Position, compile};
use schemas::inventory::sample;

/// Row (inventory.md 8.10), expression, error.
#[rustfmt::skip]
const RECORDED: &[(&str, &str, &str)] = &[
    ("in", r#""Stopped" == object.status_code"#, "invalid operation: == (mismatched types string and api.StatusCode) (1:11)\n | \"Stopped\" == object.status_code\n | ..........^"),
    ("in", "object.status_code in [102]", "cannot use api.StatusCode as type int in array (1:20)\n | object.status_code in [102]\n | ...................^"),
    ("in", r#"int(object.config["limits.cpu"]) >= 2"#, "invalid operation: int() (1:1)\n | int(object.config[\"limits.cpu\"]) >= 2\n | ^"),
    ("in", r#"2 == object.config["limits.cpu"]"#, "invalid operation: int() (1:1)\n | 2 == object.config[\"limits.cpu\"]\n | ^"),
    ("in", r#"any(object.devices, .pool == "x")"#, "builtin any takes only array (got api.DevicesMap) (1:12)\n | any(object.devices, .pool == \"x\")\n | ...........^"),
    ("in", r#"object.snapshots[0].name == "snap0""#, "index out of range: 0 (array length is 0) (1:17)\n | object.snapshots[0].name == \"snap0\"\n | ................^"),
    ("in", r#"object.created_at == "x""#, "invalid operation: == (mismatched types time.Time and string) (1:19)\n | object.created_at == \"x\"\n | ..................^"),
    ("in", r#"not name == "x""#, "invalid operation: not (mismatched type string) (1:1)\n | not name == \"x\"\n | ^"),
    ("in", r#"name matches "[""#, "error parsing regexp: missing closing ]: `[` (1:6)\n | name matches \"[\"\n | .....^"),
    ("in", r#"project_name == "default""#, "unknown name project_name (1:1)\n | project_name == \"default\"\n | ^"),
    ("in", r#"uuid == "x""#, "invalid operation: == (mismatched types uuid.UUID and string) (1:6)\n | uuid == \"x\"\n | .....^"),
    ("in", "object.nope == 1", "type inventory.ExprIncusInstanceFullWrapper has no field nope (1:8)\n | object.nope == 1\n | .......^"),
    ("in", "name", "expected bool, but got string"),
    ("in", r#""a" + 1 == "a1""#, "invalid operation: + (mismatched types string and int) (1:5)\n | \"a\" + 1 == \"a1\"\n | ....^"),
    ("in", r#"name == "web1" # note"#, "unexpected token Operator(\"#\") (1:16)\n | name == \"web1\" # note\n | ...............^"),
    ("in", "len(1..2000000) > 1", "memory budget exceeded (1:6)\n | len(1..2000000) > 1\n | .....^"),
    ("nw", r#"network_name == "x""#, "unknown name network_name (1:1)\n | network_name == \"x\"\n | ^"),
    ("nw", r#"server == "m1""#, "unknown name server (1:1)\n | server == \"m1\"\n | ^"),
    ("nw", r#"object.config["ipv4.nat"] == true"#, "invalid operation: == (mismatched types string and bool) (1:27)\n | object.config[\"ipv4.nat\"] == true\n | ..........................^"),
    ("sv", r#"type(name) == "string""#, "string is not callable (1:1)\n | type(name) == \"string\"\n | ^"),
    ("list", r#"name == "web1""#, "unknown name name (1:1)\n | name == \"web1\"\n | ^"),
    ("list", "uuid", "expected bool, but got string"),
    ("ag", "name", "expected bool, but got string"),
    ("ag", "nope == 1", "unknown name nope (1:1)\n | nope == 1\n | ^"),
    ("ag", "(", "unexpected token EOF (1:1)\n | (\n | ^"),
    ("list", "name", "unknown name name (1:1)\n | name\n | ^"),
    ("in", "nope == 1", "unknown name nope (1:1)\n | nope == 1\n | ^"),
    ("list", "nope == 1", "unknown name nope (1:1)\n | nope == 1\n | ^"),
    ("in", "1", "expected bool, but got int"),
    ("list", "1", "expected bool, but got int"),
    ("in", "name ==", "unexpected token EOF (1:7)\n | name ==\n | ......^"),
    ("list", "name ==", "unexpected token EOF (1:7)\n | name ==\n | ......^"),
    ("in", r#""a" in name"#, "invalid operation: in (mismatched types string and string) (1:5)\n | \"a\" in name\n | ....^"),
    ("list", r#""a" in name"#, "unknown name name (1:8)\n | \"a\" in name\n | .......^"),
    ("in", r#"project_name == "x""#, "unknown name project_name (1:1)\n | project_name == \"x\"\n | ^"),
    ("list", r#"project_name == "x""#, "unknown name project_name (1:1)\n | project_name == \"x\"\n | ^"),
    ("list", r#"name matches "[""#, "unknown name name (1:1)\n | name matches \"[\"\n | ^"),
    ("list", r#"not name == "x""#, "unknown name name (1:5)\n | not name == \"x\"\n | ....^"),
    ("list", "object.nope == 1", "unknown name object (1:1)\n | object.nope == 1\n | ^"),
    ("in", "object.nope.deeper", "type inventory.ExprIncusInstanceFullWrapper has no field nope (1:8)\n | object.nope.deeper\n | .......^"),
    ("list", "object.nope.deeper", "unknown name object (1:1)\n | object.nope.deeper\n | ^"),
    ("in", "let a = 1; a", "expected bool, but got int"),
    ("list", "let a = 1; a", "expected bool, but got int"),
    ("in", "toFloat64(1)", "expected bool, but got float64"),
    ("list", "toFloat64(1)", "unknown name toFloat64 (1:1)\n | toFloat64(1)\n | ^"),
    ("in", "len(name)", "expected bool, but got int"),
    ("list", "len(name)", "unknown name name (1:5)\n | len(name)\n | ....^"),
];

fn error(row: &str, expression: &str) -> String {
    let (schema, row) = sample(row);
    let now = "2026-09-01T00:00:00Z".parse().expect("a time");
    match compile(expression, &schema) {
        Err(error) => error.to_string(),
        Ok(program) => match program.matches(&row, now) {
            Err(error) => error.to_string(),
            Ok(truth) => format!("no error but {truth}"),
        },
    }
}

#[test]
fn errors_read_as_recorded() {
    for (row, expression, expected) in RECORDED {
        // The recorded instances lack the key that the sample has.
        let expression = expression.replace("limits.cpu", "limits.memory");
        let expected = expected.replace("limits.cpu", "limits.memory");
        assert_eq!(error(row, &expression), expected, "{row}: {expression}");
    }
}

#[test]
fn places_are_in_lines_and_characters() {
    let (schema, row) = sample("in");
    let refused = compile("name == \"é\"\n  and nope", &schema).unwrap_err();
    assert_eq!(refused.position(), Some(Position { line: 2, column: 7 }));
    assert_eq!(refused.to_string(), "unknown name nope (2:7)\n |   and nope\n | ......^");
    assert_eq!(compile("1", &schema).unwrap_err().position(), None);

    let program = compile("\"é\" == name or int(name) == 1", &schema).unwrap();
    let failed = program.matches(&row, "2026-09-01T00:00:00Z".parse().unwrap()).unwrap_err();
    assert!(matches!(failed, EvalError::Failed(_)));
    assert_eq!(failed.position(), Position { line: 1, column: 16 });
}

#[test]
fn a_word_of_the_language_names_no_function_behind_a_pipe_either() {
    let (schema, _) = sample("in");
    let error = compile("name | false() == nil", &schema).unwrap_err().to_string();
    assert_eq!(error, "unknown name false (1:8)\n | name | false() == nil\n | .......^");
}
