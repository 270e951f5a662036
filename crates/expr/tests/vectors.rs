//! The executed vectors of inventory.md 8.10, and what its other tables promise.

mod schemas;

use muster_expr::{Schema, Type, compile};
use schemas::inventory::sample;
use serde_json::json;

/// Row, expression, result (a truth, `CE text` or `RE text`), and why it is not what the peer
/// answers.
#[rustfmt::skip]
const VECTORS: &[(&str, &str, &str, &str)] = &[
    ("in", "name == 'vm1' and (object.status == 'Running' or object.status == 'Error')", "true", ""),
    ("in", r#"name == "a" or name == "vm1" and server == "nope""#, "false", ""),
    ("in", r#"object.config["limits.cpu"] in ["2","4"]"#, "true", ""),
    ("in", r#"int(object.config["limits.cpu"]) >= 4"#, "true", ""),
    ("in", r#"int(object.config["limits.memory"]) >= 4"#, "RE invalid operation: int()", ""),
    ("in", r#"toFloat64(object.config["limits.cpu"]) > 1"#, "false", ""),
    ("in", r#"float(object.config["limits.cpu"]) > 1"#, "true", ""),
    ("in", r#"object.config.limits.cpu == "4""#, "CE type string has no field cpu", ""),
    ("in", r#"object.devices.root.pool == "local""#, "true", ""),
    ("in", r#"object.devices.eth0.pool == "local""#, "false", ""),
    ("in", r#"object.devices["nope"] == nil"#, "true", ""),
    ("in", r#"any(values(object.devices), .type == "disk" and .pool == "local")"#, "true", ""),
    ("in", r#"any(object.devices, .pool == "local")"#, "CE takes only array", ""),
    ("in", r#"any(toPairs(object.config), #[0] startsWith "limits." and #[1] == "4")"#, "true", ""),
    ("in", r#"any(keys(object.config), # matches "^limits\\.")"#, "true", ""),
    ("in", r#""default" in object.profiles"#, "true", ""),
    ("in", r#"object.profiles contains "default""#, "CE", ""),
    ("in", r#"object.profiles == ["default"]"#, "true", ""),
    ("in", r#"any(object.profiles, # in ["default","x"])"#, "true", ""),
    ("in", r#"object.profiles | any(# == "default")"#, "true", ""),
    ("in", r#"count(object.profiles, # == "default") == 1"#, "true", ""),
    ("in", "sum(object.profiles, len(#)) == 7", "true", ""),
    ("in", r#"map(object.profiles, upper(#)) == ["DEFAULT"]"#, "true", ""),
    ("in", r#"object.profiles[9] == "x" or name == "vm1""#, "RE index out of range", ""),
    ("in", r#"name == "vm1" or object.profiles[9] == "x""#, "true", ""),
    ("in", r#"object.profiles?.[3] == "x""#, "RE", ""),
    ("in", r#"object.snapshots[0].name == "x""#, "RE", ""),
    ("in", r#"first(object.snapshots).name == "x""#, "RE", ""),
    ("in", r#"len(object.snapshots) > 0 and object.snapshots[0].name == "x""#, "false", ""),
    ("in", "object.backups == []", "false", ""),
    ("in", "object.state == nil", "false", ""),
    ("in", "object.state.os_info == nil", "false", ""),
    ("in", r#"object.state.network.eth0.state == """#, "true", ""),
    ("in", "object.expanded_config == nil", "true", ""),
    ("in", "object.config == nil", "false", ""),
    ("in", "object.config == {}", "CE", ""),
    ("in", "object.status_code > 100", "true", ""),
    ("in", "object.status_code == 103.0", "true", ""),
    ("in", r#"object.status_code == "Running""#, "true", ""),
    ("in", r#"string(object.status_code) in ["Running"]"#, "true", ""),
    ("in", r#""Running" == object.status_code"#, "CE", ""),
    ("in", "object.status_code in [103, 104]", "CE", ""),
    ("in", r#"object.status_code matches "1""#, "CE", ""),
    ("in", "object.state.cpu.usage / 1000000000 > 1", "true", ""),
    ("in", r#"object.ephemeral == "false""#, "CE", ""),
    ("in", r#"not object.ephemeral and object.status == "Running""#, "true", ""),
    ("in", r#"not name == "vm1""#, "CE", ""),
    ("in", r#"not "x" in ["x"]"#, "CE", ""),
    ("in", r#"name not in ["a"] and name not matches "x""#, "true", ""),
    ("in", r#"name matches "(?i)VM\\d""#, "true", ""),
    ("in", r#"name matches `^vm\d+$`"#, "true", ""),
    ("in", r#"name matches '^vm\d+$'"#, "CE unable to unescape", ""),
    ("in", r#"name matches "[""#, "CE error parsing regexp", ""),
    ("in", r#"name matches "vm(?=1)""#, "CE error parsing regexp", ""),
    ("in", r#"name matches ("[" + name)"#, "RE error parsing regexp", ""),
    ("in", r#""m" in name"#, "CE", ""),
    ("in", r#"name[0:2] == "vm""#, "true", ""),
    ("in", r#"name[1:] == "m1""#, "true", ""),
    ("in", r#"name[-1:] == "1""#, "true", ""),
    ("in", r#"name[0] == "v""#, "CE", ""),
    ("in", r#"name[0:99] == "vm1""#, "true", ""),
    ("in", r#"object.profiles[0:9] == ["default"]"#, "true", ""),
    ("in", r#"name | upper() == "VM1""#, "true", ""),
    ("in", "[1,2,3] | filter(# > 1) | len() == 2", "true", ""),
    ("in", r#"let d = object.devices; "root" in d and d.root.pool == "local""#, "true", ""),
    ("in", r#"let name = "x"; name == "x""#, "CE", ""),
    ("in", r#"if name == "vm1" { true } else { false }"#, "true", ""),
    ("in", r#"true ? "a" : "b""#, "CE expected bool", ""),
    ("in", r#"name == "vm1" ? true : nil"#, "true", ""),
    ("in", "name", "CE expected bool", ""),
    ("in", "1", "CE expected bool", ""),
    ("in", "nil", "CE expected bool", ""),
    ("in", r#"fromJSON("true")"#, "true", ""),
    ("in", r#"fromJSON("1")"#, "RE invalid operation: bool(float64)", ""),
    ("in", r#"(nil ?? nil ?? "c") == "c""#, "true", ""),
    ("in", r#"name ?? "x" == "vm1""#, "CE cannot be mixed", ""),
    ("in", "1 < 2 < 3", "true", ""),
    ("in", "5 / 2 == 2.5", "true", ""),
    ("in", "7 % 3 == 1", "true", ""),
    ("in", "-7 % 3 == -1", "true", ""),
    ("in", "2 ** 3 ** 2 == 512.0", "true", ""),
    ("in", "-2 ** 2 == -4.0", "true", ""),
    ("in", "1 == 1.0", "true", ""),
    ("in", "1 == 1.9", "false", "the peer cuts 1.9 to 1"),
    ("in", "1 >= 1.9", "false", "the peer cuts 1.9 to 1"),
    ("in", "1.5 > 1", "true", ""),
    ("in", "1 < 1.5", "true", "the peer cuts 1.5 to 1"),
    ("in", "1.9 == 1", "false", ""),
    ("in", r#"int("12.5") == 12"#, "RE", ""),
    ("in", r#"int(" 12") == 12"#, "RE", ""),
    ("in", r#"int("0x10") == 16"#, "RE", ""),
    ("in", "1 % 0 == 1", "CE", ""),
    ("in", "0.1 + 0.2 == 0.3", "false", ""),
    ("in", "9223372036854775807 + 1 > 0", "false", ""),
    ("in", r#""a" + 1 == "a1""#, "CE", ""),
    ("in", r#"1 == "1""#, "true", ""),
    ("in", r#"5 == "5""#, "true", ""),
    ("in", r#""5" == 5"#, "CE", ""),
    ("in", r#"len("é") == 1"#, "true", ""),
    ("in", r#""B" < "a""#, "true", ""),
    ("in", "[1,2] == [1.0,2.0]", "true", ""),
    ("in", r#"{"a":1} == {"a":1}"#, "true", ""),
    ("in", r#""日本"[0:1] == "日""#, "false", ""),
    ("in", "any([], true)", "false", ""),
    ("in", "all([], false)", "true", ""),
    ("in", "sum([]) == 0", "true", ""),
    ("in", "last([]) == nil", "true", ""),
    ("in", "max([]) == nil", "true", ""),
    ("in", "len(1..2000000) > 1", "RE memory budget exceeded", ""),
    ("in", r#"object.created_at == date("0001-01-01T00:00:00Z")"#, "true", ""),
    ("in", "object.created_at.IsZero()", "true", ""),
    ("in", r#"object.created_at == "0001""#, "CE", ""),
    ("in", r#"object.last_used_at > now() - duration("24h")"#, "false", ""),
    ("in", r#"name == "vm1" // c"#, "true", ""),
    ("in", r#"name == "vm1" # c"#, "CE", ""),
    ("in", r#"name = "vm1""#, "CE", ""),
    ("in", r#"(name == "vm1""#, "CE", ""),
    ("in", r#"name == "vm1" and"#, "CE", ""),
    ("in", r#"name == "vm1";"#, "true", ""),
    ("sv", r#"project == "default" and storage_pool_name == "local" and type == "custom""#, "true", ""),
    ("sv", r#"project_name == "default""#, "CE unknown name", ""),
    ("sv", r#"parent_name == "local""#, "CE unknown name", ""),
    ("sv", "id == 0", "CE unknown name", ""),
    ("sv", "Object == nil", "CE unknown name", ""),
    ("sv", r#"object.config["size"] == "10GiB""#, "true", ""),
    ("sv", r#"object.config.size == "10GiB""#, "true", ""),
    ("sv", r#"object.config["nope"] == """#, "true", ""),
    ("sv", r#"object.config["nope"] == nil"#, "false", ""),
    ("sv", r#""nope" in object.config"#, "false", ""),
    ("sv", "object.unknown == 1", "CE has no field", ""),
    ("sv", r#"object.Config["size"] == """#, "CE has no field", ""),
    ("sv", r#"any(object.used_by, # startsWith "/1.0/instances")"#, "true", ""),
    ("sv", "object.state.usage.used == 0", "true", ""),
    ("sv", "last_updated.Year() == 2026", "true", ""),
    ("sv", r#"now() - last_updated > duration("1h")"#, "true", ""),
    ("sv", r#"string(uuid) == "6c43034d-d067-57ad-8493-89cb65df4d29""#, "true", ""),
    ("sv", r#"uuid == "6c43034d-d067-57ad-8493-89cb65df4d29""#, "CE", ""),
    ("sv", r#"server == "server1""#, "true", ""),
    ("sv", r#"server startsWith "ser""#, "true", ""),
    ("sv", r#"server in ["server1"]"#, "true", ""),
    ("sv", r#"lower(server) == "server1""#, "true", ""),
    ("svn", "server == nil", "true", ""),
    ("svn", r#"(server ?? "") == """#, "true", ""),
    ("svn", r#"server != "server1""#, "true", ""),
    ("svn", "server in [nil]", "true", ""),
    ("svn", r#"server == """#, "false", ""),
    ("svn", r#"server == "server1""#, "false", ""),
    ("svn", r#"server startsWith "ser""#, "false", ""),
    ("svn", r#"server in ["server1"]"#, "false", ""),
    ("svn", r#"lower(server) == """#, "RE", ""),
    ("svn", "len(server) == 0", "RE", ""),
    ("nw", "object.managed", "true", ""),
    ("nw", r#"object.managed and "ipv4.address" in object.config"#, "true", ""),
    ("nw", r#""/1.0/profiles/default" in object.used_by"#, "true", ""),
    ("nw", "len(object.used_by) == 1", "true", ""),
    ("bk", r#"any(object.keys, #["access-key"] == "AK")"#, "true", ""),
    ("bk", r#"object.keys[5].role == """#, "RE", ""),
    ("ag", r#"kind == "instance" and cluster_name == "c1""#, "true", ""),
    ("ag", r#"server_name == """#, "true", ""),
    ("ag", r#"parent_name == """#, "true", ""),
    ("ag", r#"cluster == "x""#, "CE unknown name", ""),
    ("ag", r#"project == "x""#, "CE unknown name", ""),
    ("ag", r#"object.config["limits.cpu"] == "4" and object.status == "Running""#, "true", ""),
    ("ag", "object.status_code == 103", "true", ""),
    ("ag", "object.status_code in [103]", "true", ""),
    ("ag", "object.status_code < 103.5", "true", ""),
    ("ag", r#"object.status_code == "103""#, "false", ""),
    ("ag", r#"object.status_code > "a""#, "RE invalid operation: float64 > string", ""),
    ("ag", r#"object.created_at < "2027""#, "true", ""),
    ("ag", r#"date(object.created_at) > date("2020-01-01")"#, "true", ""),
    ("ag", r#"object.created_at > date("2020-01-01")"#, "RE", ""),
    ("ag", "object.nope", "false", ""),
    ("ag", "object.nope == nil", "true", ""),
    ("ag", r#"object.missing == """#, "false", ""),
    ("ag", "object.missing and true", "false", ""),
    ("ag", "object.missing or true", "true", ""),
    ("ag", "true and object.missing", "false", ""),
    ("ag", "object.missing ? true : false", "RE", ""),
    ("ag", "object.name", "RE invalid operation: bool(string)", ""),
    ("ag", "object.nope.x == 1", "RE cannot fetch x from <nil>", ""),
    ("ag", "object?.nope?.x == 1", "false", ""),
    ("ag", r#"object.missing in ["a"]"#, "false", ""),
    ("ag", r#"object.missing contains "a""#, "false", ""),
    ("ag", r#"object.missing matches "a""#, "false", ""),
    ("ag", "object.missing > 1", "RE", ""),
    ("ag", "len(object.missing) == 0", "RE", ""),
    ("ag", "any(object.missing, # == 1)", "RE", ""),
    ("ag", "not object.missing", "RE", ""),
    ("ag", "int(object.missing) == 1", "RE", ""),
    ("ag", r#""limits.cpu" in (object.config ?? {})"#, "true", ""),
    ("ag", r#""name" in object"#, "true", ""),
    ("ag", r#"(object.missing ?? "d") == "d""#, "true", ""),
    ("ag", r#"object.status_code contains "1""#, "RE", ""),
    ("list", r#"uuid startsWith "6c""#, "true", ""),
    ("list", r#"uuid in ["6c43034d-d067-57ad-8493-89cb65df4d29"]"#, "true", ""),
    ("list", r#"name == "x""#, "CE unknown name", ""),
    // inventory.md 8.7
    ("in", r#"4 == object.config["limits.cpu"]"#, "true", ""),
    ("in", r#"1 == object.config["nope"]"#, "RE invalid operation: int()", ""),
    ("in", r#"object.config["limits.cpu"] == 4"#, "CE mismatched types string and int", ""),
    ("in", r#"object.status_code == "103""#, "false", ""),
    ("in", "object.state.processes < 12.5", "true", "the peer cuts 12.5 to 12"),
    ("in", "object.state.processes == 12.9", "false", "the peer cuts 12.9 to 12"),
    ("in", "3.5 > len(name)", "true", ""),
    ("in", r#"find(object.profiles, # == "zz") == nil"#, "RE interface {} is nil, not string", ""),
    ("in", r#"get(object.config, "x") == """#, "RE interface {} is nil, not string", ""),
    ("in", r#"findIndex(object.profiles, # == "zz") == -1"#, "RE interface {} is nil, not int", ""),
    ("in", r#"uuid.String() == "6c43034d-d067-57ad-8493-89cb65df4d29""#, "true", ""),
    ("ag", "object.status_code in [103]", "true", ""),
    // inventory.md 8.2
    ("in", "len(1..999999) > 1", "true", ""),
    ("in", "len(1..1000000) > 1", "RE memory budget exceeded", ""),
    // inventory.md 8.4
    ("in", "1..3 | len() == 3", "true", ""),
    ("in", "{1: true}[\"1\"]", "true", ""),
    ("in", "any([1], {let x = #; x == 1})", "true", ""),
    ("in", "reduce([1, 2, 3], #acc + #, 10) == 16", "true", ""),
    ("in", "all([5, 6], # == #index + 5)", "true", ""),
    ("in", r#"$env["name"] == "vm1" and $env.name == "vm1""#, "true", ""),
    ("in", r#"$env["nope"] == "vm1""#, "CE unknown name nope", ""),
    ("in", "/* c */ true; false", "false", ""),
    ("in", "1_000 == 0x3e8 and 0b11 == 3 and 0o17 == 15 and .5 == 5e-1", "true", ""),
    ("in", "99999999999999999999 > 1", "CE out of range", ""),
    ("in", r#"b"abc" == b"\x61bc""#, "true", ""),
    ("in", "# == 1", "CE cannot use pointer accessor outside predicate", ""),
    // inventory.md 8.5
    ("sv", "type(name)", "CE string is not callable", ""),
    ("in", r#"type(name) == "string" and type([]) == "array" and type(nil) == "nil""#, "true", ""),
    ("in", r#"string(nil) == "<nil>" and string(1.0) == "1" and string([1, "a"]) == "[1 a]""#, "true", ""),
    ("in", r#"toJSON({"b": [1, 2.5], "a": nil}) == "{\n  \"a\": null,\n  \"b\": [\n    1,\n    2.5\n  ]\n}""#, "true", ""),
    ("in", r#"fromJSON('{"a": [1]}').a[0] == 1"#, "true", ""),
    ("in", r#"toBase64("ab") == "YWI=" and fromBase64("YWI=") == "ab""#, "true", ""),
    ("in", r#"split("a,b,c", ",", 2) == ["a", "b,c"] and splitAfter("a,b", ",") == ["a,", "b"]"#, "true", ""),
    ("in", r#"join(["a", "b"], "-") == "a-b" and replace("aaa", "a", "b", 2) == "bba""#, "true", ""),
    ("in", r#"trim(" a ") == "a" and trim("__a", "_") == "a" and trimPrefix("vm1", "vm") == "1""#, "true", ""),
    ("in", r#"repeat("ab", 2) == "abab" and indexOf("abc", "c") == 2 and lastIndexOf("aa", "b") == -1"#, "true", ""),
    ("in", "concat([1], [2], [3]) == [1, 2, 3] and flatten([1, [2, [3]]]) == [1, 2, 3]", "true", ""),
    ("in", r#"sort([3, 1, 2], "desc") == [3, 2, 1] and uniq([1, 1, 2]) == [1, 2] and reverse([1, 2]) == [2, 1]"#, "true", ""),
    ("in", r#"sort([1, "a"]) == []"#, "RE invalid operation: int < string", ""),
    ("in", "min(3, 1.5) == 1.5 and max([1, 9, 3]) == 9 and mean([1, 2]) == 1.5 and median(3, 1, 2) == 2", "true", ""),
    ("in", "abs(-2) == 2 and ceil(1.2) == 2 and floor(-1.2) == -2 and round(2.5) == 3", "true", ""),
    ("in", "bitand(6, 3) == 2 and bitor(6, 3) == 7 and bitxor(6, 3) == 5 and bitshl(1, 4) == 16 and bitnot(0) == -1", "true", ""),
    ("in", "groupBy([1, 2, 3], # % 2)[1] == [1, 3]", "true", ""),
    ("in", r#"map(sortBy([{"n": 2}, {"n": 1}], .n), .n) == [1, 2]"#, "true", ""),
    ("in", r#"fromPairs([["a", 1]]) == {"a": 1} and toPairs({"a": 1}) == [["a", 1]]"#, "true", ""),
    ("in", "one([1, 2], # == 1) and none([1, 2], # == 3) and find([1, 2], # > 1) == 2 and findLastIndex([1, 1], # == 1) == 1", "true", ""),
    ("in", "take([1, 2, 3], 2) == [1, 2] and get([1, nil], 5) == nil and first([7]) == 7", "true", ""),
    ("in", r#"last_updated.Format("02.01.2006 15:04") == "20.08.2026 01:02" and last_updated.Weekday() == "Thursday""#, "true", ""),
    ("in", r#"date("20.08.2026", "02.01.2006") < last_updated and last_updated.Month() == 8"#, "true", ""),
    ("in", r#"date("2026-08-20 03:02:03", "2006-01-02 15:04:05", "Europe/Berlin") == last_updated"#, "true", ""),
    ("in", r#"date(timezone("Europe/Berlin"), "2026-08-20 03:02:03") == last_updated"#, "true", ""),
    ("in", r#"last_updated.In(timezone("Europe/Berlin")).Hour() == 3 and last_updated.AddDate(0, 1, 15).Month() == "October""#, "true", ""),
    ("in", r#"fromPairs([[1, "a"]])[1] == "a" and b"abc"[1:] == b"bc" and b"abc"[0] == 97"#, "true", ""),
    ("in", r#"duration("90m").Hours() == 1.5 and string(duration("90m")) == "1h30m0s""#, "true", ""),
    ("in", r#"duration("x") == duration("1h")"#, "RE invalid duration", ""),
];

fn outcome(row: &str, expression: &str) -> String {
    let (schema, row) = sample(row);
    let now = "2026-09-01T00:00:00Z".parse().expect("a time");
    match compile(expression, &schema) {
        Err(error) => format!("CE {error}"),
        Ok(program) => match program.matches(&row, now) {
            Ok(truth) => truth.to_string(),
            Err(error) => format!("RE {error}"),
        },
    }
}

#[test]
fn the_executed_vectors_hold() {
    let mut wrong = Vec::new();
    for (row, expression, expected, _) in VECTORS {
        let found = outcome(row, expression);
        let as_expected = match expected.split_once(' ') {
            Some((kind, text)) if kind.len() == 2 => found.starts_with(kind) && found.contains(text),
            _ => found == *expected || (expected.len() == 2 && found.starts_with(expected)),
        };
        if !as_expected {
            wrong.push(format!("{row}: {expression}\n  expected {expected}\n  found    {found}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {} vectors:\n{}", wrong.len(), VECTORS.len(), wrong.join("\n"));
}

#[test]
fn the_deviations_are_the_recommended_ones() {
    // Only the truncation of floats is not kept (inventory.md 8.7).
    let deviations: Vec<&str> = VECTORS.iter().filter(|v| !v.3.is_empty()).map(|v| v.1).collect();
    assert_eq!(deviations.len(), 5, "{deviations:?}");
}

#[test]
fn names_are_those_of_the_row() {
    let (schema, _) = sample("in");
    let program = compile(r#"name == "a" or object.status == name and len(server) > 1"#, &schema).unwrap();
    assert_eq!(program.names(), ["name", "object", "server"]);
}

/// `applies_to_architecture` of update file filters (updates-and-system.md 12).
fn applies(texts: &[&str]) -> Result<bool, String> {
    match texts {
        [architecture, wanted @ ..] if !wanted.is_empty() => {
            Ok(architecture.is_empty() || wanted.contains(architecture))
        }
        _ => Err("needs at least two arguments".to_owned()),
    }
}

#[test]
fn schemas_may_bring_functions_and_other_keys() {
    let schema = Schema::new()
        .field("architecture", Type::Str)
        .field_as("size", "file_size", Type::Int)
        .function("applies", applies);
    let row = json!({"architecture": "x86_64", "file_size": 7});
    let outcome = |expression: &str| match compile(expression, &schema) {
        Err(error) => format!("CE {error}"),
        Ok(program) => match program.matches(&row, "2026-09-01T00:00:00Z".parse().unwrap()) {
            Ok(truth) => truth.to_string(),
            Err(error) => format!("RE {error}"),
        },
    };
    assert_eq!(outcome(r#"applies(architecture, "aarch64", "x86_64") and size == 7"#), "true");
    assert_eq!(outcome(r#"applies(architecture, "aarch64")"#), "false");
    assert!(outcome("applies(architecture)").starts_with("RE applies: needs at least two arguments (1:1)"));
    assert!(outcome("applies(architecture, 1)").starts_with("RE interface conversion: interface {} is int"));
    assert!(outcome("applies()").starts_with("CE not enough arguments"));
    assert!(outcome("file_size == 7").starts_with("CE unknown name file_size"));
}

#[test]
fn programs_are_shared_between_threads() {
    let (schema, row) = sample("in");
    let program = compile(r#"name == "vm1""#, &schema).unwrap();
    let other = program.clone();
    let now = "2026-09-01T00:00:00Z".parse().unwrap();
    let elsewhere = std::thread::spawn(move || other.matches(&row, now)).join().unwrap();
    assert_eq!(elsewhere, Ok(true));
    assert_eq!(program.source(), r#"name == "vm1""#);
}

#[test]
fn numbers_in_text_maps_and_broken_times() {
    let schema = Schema::new().field("config", Type::Str.map()).field("at", Type::Time);
    let now = "2026-09-01T00:00:00Z".parse().unwrap();
    let program = compile(r#"config.a == "1" and config.b == "true" and config.c == """#, &schema).unwrap();
    assert_eq!(program.matches(&json!({"config": {"a": 1, "b": true, "c": null}}), now), Ok(true));
    let program = compile("at.IsZero()", &schema).unwrap();
    assert_eq!(program.matches(&json!({}), now), Ok(true));
    let error = program.matches(&json!({"at": "yesterday"}), now).unwrap_err();
    assert!(error.to_string().starts_with("cannot read \"yesterday\" as a time (1:1)"), "{error}");
}
