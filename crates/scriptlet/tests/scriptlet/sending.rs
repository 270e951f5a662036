//! Requests to the machine.

use muster_scriptlet::{HostCall, Level, ScriptletError, run};
use serde_json::{Value, json};

use crate::{Machine, failure, program, record, run_body};

fn calls(body: &str) -> Vec<HostCall> {
    let mut machine = Machine::default();
    assert_eq!(run(&program(body), &record(), &mut machine).1, Ok(()), "{body}");
    machine.calls
}

#[test]
fn answers_are_dicts() {
    let answer = json!({"config": {"timezone": "UTC", "n": [1, null, 18446744073709551615u64, 1.5, true]}});
    let mut machine = Machine::answering([Ok(answer.clone()), Ok(json!({"x": {}}))]);
    let body = "s = incusos.get_system('network')\ns['config']['timezone'] = 'CET'\nincusos.set_system('network', s)\n\
                log.info(incusos.get_service(service = 'lvm')['x'])";
    // The second answer goes to set_system, which ignores it.
    machine.answers.insert(1, Ok(Value::Null));
    let (changes, result) = run(&program(body), &record(), &mut machine);
    assert_eq!(result, Ok(()));
    assert_eq!(changes.log, [(Level::Info, "{}".to_owned())]);
    let mut config = answer;
    config["config"]["timezone"] = json!("CET");
    let expected = [
        HostCall::GetSystem { resource: "network".to_owned() },
        HostCall::SetSystem { resource: "network".to_owned(), config },
        HostCall::GetService { service: "lvm".to_owned() },
    ];
    assert_eq!(machine.calls, expected);
}

#[test]
fn actions_and_applications_are_sent() {
    let action = |resource: &str, action: &str, body| HostCall::TriggerAction {
        resource: resource.to_owned(),
        action: action.to_owned(),
        body,
    };
    assert_eq!(calls("incusos.trigger_action('', ':reboot', {})"), [action("", "reboot", json!({}))]);
    assert_eq!(
        calls("incusos.trigger_action('storage', action = 'wipe-drive', body = {'id': 'a', 'secure_wipe': False})"),
        [action("storage", "wipe-drive", json!({"id": "a", "secure_wipe": false}))]
    );
    assert_eq!(
        calls("incusos.add_application('debug')"),
        [HostCall::AddApplication { application: "debug".to_owned() }]
    );
}

#[test]
fn service_configuration_is_wrapped_once() {
    let wrapped = [HostCall::SetService { service: "lvm".to_owned(), config: json!({"config": {"enabled": true}}) }];
    assert_eq!(calls("incusos.set_service('lvm', {'enabled': True})"), wrapped);
    assert_eq!(calls("incusos.set_service('lvm', {'config': {'enabled': True}})"), wrapped);
}

#[test]
fn every_plain_value_can_be_sent() {
    let body = "incusos.set_system('x', {'none': None, 'tuple': (1, 'a'), 'big': 18446744073709551615, 'neg': -5, 'float': 1.5, \
                'iface': candidate.os_data.network.config.interfaces[0], 'map': candidate.properties})";
    let config = json!({"none": null, "tuple": [1, "a"], "big": 18446744073709551615u64, "neg": -5, "float": 1.5,
                        "iface": {"name": "eth0", "mtu": 9000}, "map": {"rack": "7"}});
    assert_eq!(calls(body), [HostCall::SetSystem { resource: "x".to_owned(), config }]);
}

#[test]
fn values_without_json_form_are_refused() {
    for (value, wanted) in [
        ("[]", r#"config must be a dict, not a value of type "list""#),
        ("None", r#"config must be a dict, not a value of type "NoneType""#),
        ("{1: 2}", r#"config: keys must be strings, not of type "int""#),
        ("{'a': len}", r#"config: a value of type "function" cannot be sent to the machine"#),
        ("{'a': 18446744073709551616}", r#"config: a value of type "int" cannot be sent to the machine"#),
        ("{'a': float('nan')}", r#"config: a value of type "float" cannot be sent to the machine"#),
    ] {
        assert_eq!(failure(&format!("incusos.set_system('x', {value})")), format!("server_registration:2:3: {wanted}"));
    }
    assert!(failure("d = {}\nd['d'] = d\nincusos.set_system('x', d)").ends_with("config is nested too deep"));
    assert!(
        failure("d = {}\nfor i in range(60):\n  d = {'a': d, 'b': d}\nincusos.set_system('x', d)")
            .ends_with("config is too large")
    );
    assert!(
        failure("s = 'x' * 1000000\nincusos.set_system('x', {'a': [s, s, s, s, s]})").ends_with("config is too large")
    );
}

#[test]
fn names_stay_one_path_segment() {
    for name in ["a/b", "..", ".", "a?b", "a#b", "a%2fb", "a b", "a\\\\b", "a\\nb"] {
        for call in [
            "get_system('N')",
            "set_system('N', {})",
            "trigger_action('N', 'x', {})",
            "trigger_action('x', 'N', {})",
            "get_service('N')",
            "set_service('N', {})",
        ] {
            let mut machine = Machine::default();
            let body = format!("incusos.{}", call.replace('N', name));
            let result = run(&program(&body), &record(), &mut machine).1;
            let text = result.expect_err(&body).to_string();
            assert!(text.contains("must be a plain name without"), "{body}: {text}");
            assert_eq!(machine.calls, [], "{body}");
        }
    }
    for call in [
        "get_system('')",
        "set_system('', {})",
        "trigger_action('x', ':', {})",
        "get_service('')",
        "set_service('', {})",
        "add_application('')",
    ] {
        assert!(failure(&format!("incusos.{call}")).ends_with("must not be empty"), "{call}");
    }
    for call in ["trigger_action('x', 'y')", "set_system('x')", "get_system()", "add_application(1)"] {
        assert!(matches!(run_body(&format!("incusos.{call}")).1, Err(ScriptletError::At { line: 2, .. })), "{call}");
    }
}

#[test]
fn a_failed_request_ends_the_program() {
    let mut machine = Machine::answering([Err("no route to host".to_owned())]);
    let body = "server.set_name('kept')\nincusos.add_application('debug')\nincusos.add_application('other')";
    let (changes, result) = run(&program(body), &record(), &mut machine);
    assert_eq!(changes.name.as_deref(), Some("kept"));
    assert_eq!(result.unwrap_err().to_string(), "server_registration:3:3: no route to host");
    assert_eq!(machine.calls.len(), 1);
    for answer in [json!(null), json!([1]), json!("x")] {
        let mut machine = Machine::answering([Ok(answer)]);
        let text = run(&program("incusos.get_system('network')"), &record(), &mut machine).1.unwrap_err().to_string();
        assert_eq!(text, "server_registration:2:3: The machine's answer is not an object");
    }
}
