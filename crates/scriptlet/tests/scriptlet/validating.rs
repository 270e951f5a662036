//! What is refused before it is stored.

use muster_scriptlet::{MAX_SOURCE_BYTES, ScriptletError, validate};

use crate::program;

fn refusal(source: &str) -> String {
    validate(source).expect_err(source).to_string()
}

#[test]
fn good_programs_pass() {
    for source in [
        "",
        "def server_registration(candidate):\n  log.info('hello ', candidate.name)\n",
        "def server_registration(candidate = None):\n  pass\n",
        "server_registration = lambda candidate: None\n",
        "N = [x * 2 for x in range(3)]\ndef helper(a, *, b = 1):\n  return a + b\ndef server_registration(candidate):\n  helper(N[0], b = 2)\n",
    ] {
        assert_eq!(validate(source), Ok(()), "{source}");
    }
}

#[test]
fn the_entry_function_has_one_form() {
    assert_eq!(refusal("x = 1\n"), r#"The scriptlet must define the function "server_registration""#);
    assert_eq!(refusal("# only a comment\n"), r#"The scriptlet must define the function "server_registration""#);
    assert_eq!(
        refusal("server_registration = 1\n"),
        r#""server_registration" must be a function, not a value of type "int""#
    );
    for builtin in ["len", "log.info", "str"] {
        let text = refusal(&format!("server_registration = {builtin}\n"));
        assert!(text.starts_with(r#""server_registration" must be a function"#), "{text}");
    }
    for parameters in [
        "c",
        "",
        "candidate, x",
        "candidate, x=1",
        "*candidate",
        "**candidate",
        "*, candidate",
        "candidate, *args",
        "candidate, **kwargs",
    ] {
        let text = refusal(&format!("def server_registration({parameters}):\n  pass\n"));
        let shown = parameters.replace("=1", "").replace("**candidate", "**kwargs").replace("*candidate", "*args");
        let expected =
            format!(r#"The function "server_registration" must take exactly the parameter "candidate", not ({shown})"#);
        assert_eq!(text, expected);
    }
}

#[test]
fn syntax_and_names_are_checked_with_their_place() {
    let place = |source: &str| match validate(source) {
        Err(ScriptletError::At { line, column, .. }) => (line, column),
        other => panic!("{source}: {other:?}"),
    };
    assert_eq!(place("def server_registration(candidate)\n").0, 1);
    assert_eq!(place("def server_registration(candidate):\n  foo()\n"), (2, 3));
    assert!(refusal("def server_registration(candidate):\n  foo()\n").starts_with("server_registration:2:3: "));
    assert!(refusal("def server_registration(candidate):\n  foo()\n").contains("foo"));
    // Forms of other dialects: while, statements at top level, load, type annotations, set.
    assert_eq!(place("def server_registration(candidate):\n  while True:\n    pass\n").0, 2);
    assert_eq!(place("for x in [1]:\n  pass\n"), (1, 1));
    assert_eq!(place("load('a.star', 'b')\n"), (1, 1));
    assert_eq!(place("def server_registration(candidate: str):\n  pass\n").0, 1);
    assert_eq!(place(&program("return json.decode('1')")), (2, 10));
}

#[test]
fn the_top_level_is_executed_and_cannot_act() {
    assert_eq!(refusal("x = 1 // 0\n").split(": ").next(), Some("server_registration:1:5"));
    for call in ["server.set_name('x')", "log.info('x')", "incusos.get_system('network')", "print('x')"] {
        let text = refusal(&format!("\nx = {call}\n"));
        assert_eq!(text, "server_registration:2:5: This function can only be called while server_registration runs");
    }
}

#[test]
fn long_programs_are_refused() {
    let padded = |bytes: usize| {
        let source = program("pass");
        format!("{source}#{}", "x".repeat(bytes - source.len() - 1))
    };
    assert_eq!(validate(&padded(MAX_SOURCE_BYTES)), Ok(()));
    assert_eq!(validate(&padded(MAX_SOURCE_BYTES + 1)), Err(ScriptletError::TooLong(MAX_SOURCE_BYTES + 1)));
}
