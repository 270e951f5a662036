//! Programs that would not end, or would take the server with them.

use muster_scriptlet::{MAX_NESTING, MAX_SOURCE_BYTES, ScriptletError, validate};

use crate::{failure, program, run_body};

#[test]
fn endless_work_ends() {
    for body in ["for i in range(1000000000):\n  pass", "for a in range(100000):\n  for b in range(100000):\n    pass"]
    {
        let text = failure(body);
        assert!(text.to_lowercase().contains("tick"), "{text}");
    }
    assert!(
        validate("x = [1 for i in range(1000000000)]\n").is_err_and(|e| e.to_string().to_lowercase().contains("tick"))
    );
}

#[test]
fn endless_recursion_ends() {
    let source = "def f(n):\n  return f(n + 1)\ndef server_registration(candidate):\n  f(0)\n";
    let (_, result) = muster_scriptlet::run(source, &crate::record(), &mut crate::Machine::default());
    let text = result.unwrap_err().to_string();
    assert!(text.contains("overflow"), "{text}");
    assert!(validate("def f(n):\n  return f(n + 1)\nx = f(0)\n").is_err_and(|e| e.to_string().contains("overflow")));
    // Recursion that ends is fine.
    let source = "def f(n):\n  return n and f(n - 1)\ndef server_registration(candidate):\n  f(100)\n";
    assert_eq!(muster_scriptlet::run(source, &crate::record(), &mut crate::Machine::default()).1, Ok(()));
}

#[test]
fn growing_values_end() {
    for body in [
        "l = []\nfor i in range(900000):\n  l.append([i] * 100)",
        "s = 'x'\nfor i in range(40):\n  s = s + s\n  for j in range(2000):\n    pass",
        "l = []\nfor i in range(900000):\n  l.append('x' * (1000 + i % 7))",
    ] {
        let text = failure(body);
        assert!(text.contains("Heap memory limit"), "{text}");
    }
}

#[test]
fn a_limit_keeps_the_changes_before_it() {
    let (changes, result) = run_body("server.set_name('kept')\nfor i in range(1000000000):\n  pass");
    assert!(result.is_err());
    assert_eq!(changes.name.as_deref(), Some("kept"));
}

/// Deep nesting must not overflow the stack, which would end the whole process.
#[test]
fn deep_nesting_is_survived_or_refused() {
    let forms: [(&str, &str, &str, bool); 10] = [
        ("-", "1", "", true),
        ("not ", "1", "", true),
        ("", "1", "+s", true),
        ("(", "1", ")", true),
        ("[", "", "]", true),
        ("{'a':", "{}", "}", true),
        ("", "candidate", ".a", false),
        ("", "len", "()", false),
        ("lambda:", "s", "", true),
        ("", "s", " if s else s", true),
    ];
    for (before, middle, after, runs) in forms {
        let body = |times: usize| format!("s = 1\nx = {}{middle}{}", before.repeat(times), after.repeat(times));
        let per_round = 1 + usize::from(after.contains("if") || before.contains(':'));
        let most = (MAX_NESTING - 4) / per_round;
        assert_eq!(validate(&program(&body(most))), Ok(()), "{before}{middle}{after}");
        assert_eq!(run_body(&body(most)).1.is_ok(), runs, "{before}{middle}{after}");
        let many = (MAX_SOURCE_BYTES - 200) / (before.len() + after.len());
        assert_eq!(validate(&program(&body(many))), Err(ScriptletError::TooComplex(3)), "{before}{middle}{after}");
    }
}

#[test]
fn deep_branches_are_survived_or_refused() {
    let chain = |times: usize| format!("s = 1\nif s == 0:\n  pass\n{}", "elif s == 2:\n  pass\n".repeat(times));
    assert_eq!(run_body(&chain(MAX_NESTING)).1, Ok(()));
    assert!(matches!(validate(&program(&chain(MAX_NESTING + 1))), Err(ScriptletError::TooComplex(_))));
    let nested: String = (0..340).map(|depth| format!("{}if True:\n", " ".repeat(depth))).collect();
    assert_eq!(
        run_body(&format!("{nested}{}server.set_name('deep')", " ".repeat(340))).0.name.as_deref(),
        Some("deep")
    );
}

#[test]
fn only_what_nests_is_counted() {
    let many = 3000;
    for body in [
        format!("x = [{}]", "'-(', ".repeat(many)),
        format!("x = '(' # {}", "(".repeat(many)),
        format!("x = \"\"\"{}\"\"\"", "-\n(".repeat(many)),
        format!("x = '\\'{}'", "(".repeat(many)),
        "x = -1\n".repeat(many),
    ] {
        assert_eq!(validate(&program(&body)), Ok(()), "{}", &body[..30]);
    }
    // Line breaks in brackets and after a backslash do not end a statement.
    for body in [format!("x = (1{})", "\n+1".repeat(many)), format!("x = 1{}", "\\\n+1".repeat(many))] {
        assert!(matches!(validate(&program(&body)), Err(ScriptletError::TooComplex(_))), "{}", &body[..30]);
    }
}
