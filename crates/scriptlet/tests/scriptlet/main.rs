//! Programs as an administrator would write them, good and bad.

mod limits;
mod running;
mod sending;
mod validating;

use std::collections::VecDeque;

use muster_scriptlet::{Changes, Host, HostCall, ScriptletError, run};
use serde_json::{Value, json};

/// A machine that notes requests and gives prepared answers, `null` once they are used up.
#[derive(Default)]
struct Machine {
    answers: VecDeque<Result<Value, String>>,
    calls: Vec<HostCall>,
}

impl Machine {
    fn answering(answers: impl IntoIterator<Item = Result<Value, String>>) -> Self {
        Self { answers: answers.into_iter().collect(), calls: Vec::new() }
    }
}

impl Host for Machine {
    fn call(&mut self, call: HostCall) -> Result<Value, String> {
        self.calls.push(call);
        self.answers.pop_front().unwrap_or(Ok(Value::Null))
    }
}

/// `server_registration` with the given lines as body.
fn program(body: &str) -> String {
    let lines: String = body.lines().map(|line| format!("  {line}\n")).collect();
    format!("def server_registration(candidate):\n{lines}")
}

fn record() -> Value {
    json!({
        "name": "m1", "cluster": null, "type": "incus", "properties": {"rack": "7"},
        "os_data": {"network": {
            "config": {"time": {"timezone": "UTC"}, "interfaces": [{"name": "eth0", "mtu": 9000}],
                       "proxy": {"servers": {"p": {"host": "proxy:1"}}}},
            "state": {"interfaces": {"eth0": {"addresses": ["192.0.2.1"], "members": null}}}}},
        "hardware_data": {"cpu": {"total": 8, "usage": 0.5}},
    })
}

/// Runs a body on [`record`] with a machine that answers `null`.
fn run_body(body: &str) -> (Changes, Result<(), ScriptletError>) {
    run(&program(body), &record(), &mut Machine::default())
}

/// Runs a body that must fail and returns the error's text.
fn failure(body: &str) -> String {
    run_body(body).1.expect_err(body).to_string()
}
