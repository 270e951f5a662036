//! Filters on servers give what the peer answered (servers.md 3.2, 3.3).

mod schemas;

use muster_expr::compile;
use schemas::server;
use serde_json::{Value, json};

const COMPILE: &str = "Failed to compile filter expression: ";
const EXECUTE: &str = "Failed to execute filter expression: ";

/// Environment, expression, and either the names of the servers that match or the error.
#[rustfmt::skip]
const RECORDED: &[(&str, &str, &str)] = &[
    ("objects", r#"name == "mid""#, "mid"),
    ("objects", r#"name != "mid""#, "alpha new zeta"),
    ("objects", r#"name in ["mid", "alpha"]"#, "alpha mid"),
    ("objects", r#"name startsWith "a""#, "alpha"),
    ("objects", r#"name endsWith "a""#, "alpha zeta"),
    ("objects", r#"name contains "i""#, "mid"),
    ("objects", r#"name matches "^[am]""#, "alpha mid"),
    ("objects", r#"not (name == "mid")"#, "alpha new zeta"),
    ("objects", r#"!(name == "mid")"#, "alpha new zeta"),
    ("objects", r#"status == "ready""#, "alpha mid zeta"),
    ("objects", r#"type == "incus""#, "mid zeta"),
    ("objects", r#"type != "incus""#, "alpha new"),
    ("objects", r#"status == "ready" && type == "incus""#, "mid zeta"),
    ("objects", r#"status == "unregistered" or type == "migration-manager""#, "alpha new"),
    ("objects", r#"properties.rack == "7""#, "new"),
    ("objects", r#"properties["zone"] == "a""#, "mid"),
    ("objects", r#"properties != nil and properties.zone == "a""#, "mid"),
    ("objects", r#"description contains "middle""#, "mid"),
    ("objects", r#"channel == "stable""#, "alpha mid new zeta"),
    ("objects", "cluster == nil", "alpha mid new zeta"),
    ("objects", r#"cluster == "x""#, ""),
    ("objects", "len(name) > 3", "alpha zeta"),
    ("objects", r#"lower(name) == "mid""#, "mid"),
    ("objects", "any([1,2], # == 2)", "alpha mid new zeta"),
    ("objects", r#"version_data.os.version == "202511010000""#, "alpha mid zeta"),
    ("objects", "version_data.needs_update", "Failed to compile filter expression: expected bool, but got *bool"),
    ("objects", "len(version_data.applications) == 1", "alpha mid zeta"),
    ("objects", r#"any(version_data.applications, .name == "incus")"#, "mid zeta"),
    ("objects", r#"hardware_data.CPU.Architecture == "x86_64""#, "alpha mid zeta"),
    ("objects", r#"os_data.network.config.dns.hostname == "mid""#, "mid"),
    ("objects", "os_data.security.state.secure_boot_enabled", "alpha mid zeta"),
    ("objects", r#"last_seen > date("2020-01-01")"#, "alpha mid zeta"),
    ("objects", "last_seen.Year() > 2000", "alpha mid zeta"),
    ("objects", r#"bmc_config.api_type == """#, "alpha mid new zeta"),
    ("objects", r#"status_detail == """#, "alpha mid new zeta"),
    ("objects", r#"connection_url startsWith "https://""#, "alpha mid zeta"),
    ("objects", r#"fingerprint == """#, "new"),
    ("objects", "true", "alpha mid new zeta"),
    ("objects", "false", ""),
    ("objects", r#"let x = name; x == "mid""#, "mid"),
    ("objects", r#"name == "mid" ? true : false"#, "mid"),
    ("objects", r#"(description ?? "") == "spare""#, "new"),
    ("objects", r#"system_uuid == """#, ""),
    ("objects", r#"split(name, "") | len() == 3"#, "mid new"),
    ("objects", "name", "Failed to compile filter expression: expected bool, but got string"),
    ("objects", "1", "Failed to compile filter expression: expected bool, but got int"),
    ("objects", r#""text""#, "Failed to compile filter expression: expected bool, but got string"),
    ("objects", "nil", "Failed to compile filter expression: expected bool, but got unknown"),
    ("objects", "name ==", "Failed to compile filter expression: unexpected token EOF (1:7)\n | name ==\n | ......^"),
    ("objects", "name == 1", "Failed to compile filter expression: invalid operation: == (mismatched types string and int) (1:6)\n | name == 1\n | .....^"),
    ("objects", r#"colour == "blue""#, "Failed to compile filter expression: unknown name colour (1:1)\n | colour == \"blue\"\n | ^"),
    ("objects", r#"server_status == "ready""#, "Failed to compile filter expression: unknown name server_status (1:1)\n | server_status == \"ready\"\n | ^"),
    ("objects", r#"hardware_data.cpu.architecture == "x""#, "Failed to compile filter expression: type api.HardwareData has no field cpu (1:15)\n | hardware_data.cpu.architecture == \"x\"\n | ..............^"),
    ("objects", "name.x", "Failed to compile filter expression: type string has no field x (1:6)\n | name.x\n | .....^"),
    ("objects", "status == 1", "Failed to compile filter expression: invalid operation: == (mismatched types api.ServerStatus and int) (1:8)\n | status == 1\n | .......^"),
    ("objects", r#"status in ["ready"]"#, "Failed to compile filter expression: cannot use api.ServerStatus as type string in array (1:8)\n | status in [\"ready\"]\n | .......^"),
    ("objects", r#"status startsWith "r""#, "Failed to execute filter expression: interface conversion: interface {} is api.ServerStatus, not string (1:8)\n | status startsWith \"r\"\n | .......^"),
    ("objects", r#"name matches "(""#, "Failed to compile filter expression: error parsing regexp: missing closing ): `(` (1:6)\n | name matches \"(\"\n | .....^"),
    ("objects", "properties.rack == 7", "Failed to compile filter expression: invalid operation: == (mismatched types string and int) (1:17)\n | properties.rack == 7\n | ................^"),
    ("objects", "1/0 == 1", ""),
    ("objects", "(", "Failed to compile filter expression: unexpected token EOF (1:1)\n | (\n | ^"),
    ("objects", "foo()", "Failed to compile filter expression: unknown name foo (1:1)\n | foo()\n | ^"),
    ("objects", r#"int("x") == 1"#, "Failed to execute filter expression: invalid operation: int(x) (1:1)\n | int(\"x\") == 1\n | ^"),
    ("names", r#"name == "mid""#, "mid"),
    ("names", r#"status == "ready""#, "Failed to compile filter expression: unknown name status (1:1)\n | status == \"ready\"\n | ^"),
    ("names", "name", "Failed to compile filter expression: expected bool, but got string"),
    ("names", "true", "alpha mid new zeta"),
    ("names", "(", "Failed to compile filter expression: unexpected token EOF (1:1)\n | (\n | ^"),
];

/// The four servers of the recording.
fn servers() -> Vec<Value> {
    let registered = |name: &str, kind: &str, description: &str, properties: Value| {
        json!({
            "name": name, "type": kind, "cluster": null, "status": "ready", "status_detail": "", "channel": "stable",
            "connection_url": format!("https://{name}:8443"), "public_connection_url": "", "certificate": "PEM",
            "fingerprint": "ab12", "description": description, "properties": properties,
            "bmc_config": {"api_type": ""}, "system_uuid": "s1", "machine_id": "m1",
            "hardware_data": {"cpu": {"architecture": "x86_64"}},
            "os_data": {"network": {"config": {"dns": {"hostname": name}}},
                        "security": {"state": {"secure_boot_enabled": true}}},
            "version_data": {"os": {"version": "202511010000"}, "applications": [{"name": kind}]},
            "last_seen": "2026-11-01T00:00:00Z", "last_updated": "2026-11-01T00:00:00Z",
        })
    };
    vec![
        registered("alpha", "migration-manager", "", json!({})),
        registered("mid", "incus", "the middle one", json!({"rack": "3", "zone": "a"})),
        json!({
            "name": "new", "type": "unknown", "cluster": null, "status": "unregistered", "status_detail": "",
            "channel": "stable", "connection_url": "", "fingerprint": "", "description": "spare",
            "properties": {"rack": "7"}, "bmc_config": {"api_type": ""}, "system_uuid": null, "machine_id": null,
            "version_data": {"applications": null}, "last_seen": "0001-01-01T00:00:00Z",
        }),
        registered("zeta", "incus", "", Value::Null),
    ]
}

fn answer(environment: &str, expression: &str) -> String {
    let schema = if environment == "names" { server::names() } else { server::objects() };
    let program = match compile(expression, &schema) {
        Ok(program) => program,
        Err(error) => return format!("{COMPILE}{error}"),
    };
    let now = "2026-11-02T00:00:00Z".parse().expect("a time");
    let mut names = Vec::new();
    for server in servers() {
        match program.matches(&server, now) {
            Ok(true) => names.push(server["name"].as_str().unwrap_or_default().to_owned()),
            Ok(false) => {}
            Err(error) => return format!("{EXECUTE}{error}"),
        }
    }
    names.join(" ")
}

#[test]
fn filters_answer_as_recorded() {
    let mut wrong = Vec::new();
    for (environment, expression, expected) in RECORDED {
        let found = answer(environment, expression);
        if found != *expected {
            wrong.push(format!("{expression}\n  expected {expected}\n  found    {found}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), RECORDED.len(), wrong.join("\n"));
}
