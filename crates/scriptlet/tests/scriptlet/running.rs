//! The record, the changes, the log.

use std::collections::BTreeMap;

use muster_scriptlet::{Changes, Level, MAX_LOG_LINES, ScriptletError, run};

use crate::{Machine, failure, record, run_body};

fn changes(body: &str) -> Changes {
    let (changes, result) = run_body(body);
    assert_eq!(result, Ok(()), "{body}");
    changes
}

#[test]
fn an_empty_program_changes_nothing() {
    assert_eq!(run("", &record(), &mut Machine::default()), (Changes::default(), Ok(())));
}

#[test]
fn structures_have_attributes_and_maps_are_dicts() {
    for (expression, text) in [
        ("candidate.name", "m1"),
        ("candidate.cluster", "None"),
        ("candidate.os_data.network.config.time.timezone", "UTC"),
        ("candidate.os_data.network.config.interfaces[0].mtu + 1", "9001"),
        ("candidate.os_data.network.config.proxy.servers['p'].host", "proxy:1"),
        ("candidate.os_data.network.state.interfaces['eth0'].addresses", r#"["192.0.2.1"]"#),
        ("candidate.os_data.network.state.interfaces['eth0'].members", "{}"),
        ("candidate.properties.get('rack')", "7"),
        ("candidate.hardware_data.cpu.usage", "0.5"),
        ("hasattr(candidate, 'colour')", "False"),
    ] {
        assert_eq!(changes(&format!("log.info({expression})")).log, [(Level::Info, text.to_owned())], "{expression}");
    }
    assert!(failure("log.info(candidate.properties.rack)").starts_with("server_registration:2:12: "));
    assert!(failure("log.info(candidate['name'])").starts_with("server_registration:2:12: "));
    assert!(failure("candidate.name = 'x'").starts_with("server_registration:2:3: "));
}

#[test]
fn every_change_is_returned() {
    let all = changes(
        "server.set_name('old')\nserver.set_name(server_name = 'web-' + candidate.properties['rack'])\nserver.set_description('')\n\
         server.set_properties({'a': 'b', 'c': ''})\nserver.set_update_channel('stable')\n\
         server.set_connection_url('https://10.0.0.1', False)\nserver.set_connection_url('https://web.example.test:443', public = True)",
    );
    let expected = Changes {
        name: Some("web-7".to_owned()),
        description: Some(String::new()),
        properties: Some(BTreeMap::from([("a".to_owned(), "b".to_owned()), ("c".to_owned(), String::new())])),
        connection_url: Some("https://10.0.0.1:8443".to_owned()),
        public_connection_url: Some("https://web.example.test:443".to_owned()),
        channel: Some("stable".to_owned()),
        log: Vec::new(),
    };
    assert_eq!(all, expected);
}

#[test]
fn bad_arguments_are_refused() {
    for (call, wanted) in [
        ("server.set_name('')", "server_name must not be empty"),
        ("server.set_update_channel('')", "server_update_channel must not be empty"),
        ("server.set_properties([1])", r#"properties must be a dict, not a value of type "list""#),
        ("server.set_properties(None)", r#"properties must be a dict, not a value of type "NoneType""#),
        (
            "server.set_properties({'a': 1})",
            r#"properties must be a dict of strings to strings, not a value of type "int""#,
        ),
        (
            "server.set_properties({1: 'a'})",
            r#"properties must be a dict of strings to strings, not a value of type "int""#,
        ),
    ] {
        assert_eq!(failure(call), format!("server_registration:2:3: {wanted}"));
    }
    for call in [
        "server.set_name(1)",
        "server.set_name()",
        "server.set_name('a', 'b')",
        "server.set_description(None)",
        "server.set_connection_url('https://a')",
        "server.set_connection_url('https://a', 1)",
        "server.set_name(name = 'x')",
        "log.info(a = 1)",
    ] {
        let (changes, result) = run_body(call);
        assert!(matches!(result, Err(ScriptletError::At { line: 2, .. })), "{call}: {result:?}");
        assert_eq!(changes, Changes::default(), "{call}");
    }
}

#[test]
fn connection_urls_are_reduced() {
    for (given, kept) in [
        ("https://host", "https://host:8443"),
        ("https://host:1/", "https://host:1"),
        ("https://u:p@host:443/a:9?b#c", "https://host:443"),
        ("https://u:1@host/", "https://host:8443"),
        ("https://[2001:db8::1]", "https://[2001:db8::1]:8443"),
        ("https://[2001:db8::1]:443/x", "https://[2001:db8::1]:443"),
        ("https://host:", "https://host:8443"),
        ("https://host?x=1:2", "https://host:8443"),
    ] {
        assert_eq!(
            changes(&format!("server.set_connection_url('{given}', False)")).connection_url.as_deref(),
            Some(kept)
        );
    }
    for given in [
        "",
        "host",
        "host:8443",
        "http://host",
        "https://",
        "https:host",
        "https://host:0",
        "https://host:70000",
        "https://host:x",
        "//host",
        "ftp://host",
    ] {
        let text = failure(&format!("server.set_connection_url('{given}', True)"));
        assert!(text.starts_with("server_registration:2:3: server_connection_url "), "{given}: {text}");
    }
}

#[test]
fn log_values_are_joined_without_separator() {
    let log = changes("log.info('a', 1, None, [\"x\"], True)\nlog.warn()\nlog.error('e')\nprint('p', 2)").log;
    let line = |level, text: &str| (level, text.to_owned());
    assert_eq!(
        log,
        [
            line(Level::Info, r#"a1None["x"]True"#),
            line(Level::Warn, ""),
            line(Level::Error, "e"),
            line(Level::Info, "p 2")
        ]
    );
}

#[test]
fn a_flooded_log_is_cut_short() {
    let log = changes("for i in range(5000):\n  log.info('x' * 10000)").log;
    assert_eq!(log.len(), MAX_LOG_LINES + 1);
    assert_eq!(log[0].1.len(), 4096);
    assert_eq!(log[MAX_LOG_LINES], (Level::Warn, "Further log lines are dropped".to_owned()));
}

#[test]
fn an_error_keeps_the_changes_before_it() {
    let (changes, result) =
        run_body("server.set_name('kept')\nlog.warn('soon')\nfail('enough')\nserver.set_description('lost')");
    assert_eq!(
        changes,
        Changes { name: Some("kept".to_owned()), log: vec![(Level::Warn, "soon".to_owned())], ..Changes::default() }
    );
    let text = result.unwrap_err().to_string();
    assert!(text.starts_with("server_registration:4:3: ") && text.contains("enough"), "{text}");
}

#[test]
fn only_none_may_be_returned() {
    assert_eq!(run_body("return None").1, Ok(()));
    let (changes, result) = run_body("server.set_name('kept')\nreturn 1");
    assert_eq!(changes.name.as_deref(), Some("kept"));
    assert_eq!(result, Err(ScriptletError::Returned("int".to_owned())));
}

#[test]
fn an_invalid_program_does_not_run() {
    let (changes, result) =
        run("def server_registration(c):\n  server.set_name('x')\n", &record(), &mut Machine::default());
    assert_eq!((changes, result), (Changes::default(), Err(ScriptletError::Parameters("c".to_owned()))));
}
