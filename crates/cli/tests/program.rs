//! The program as a whole, against a peer on a unix socket that answers what it is told to.

#![expect(clippy::unwrap_used, reason = "the helpers of a test file are test code, too")]

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};

/// Request line and body, as they came in.
type Seen = Arc<Mutex<Vec<(String, String)>>>;

struct Bed {
    scratch: tempfile::TempDir,
    seen: Seen,
}

/// A success that carries `metadata`.
fn ok(metadata: &str) -> (u16, &'static str, String) {
    (200, "", envelope("sync", 0, "", metadata))
}

fn refused(code: u16, text: &str) -> (u16, &'static str, String) {
    (code, "", envelope("error", code, text, "null"))
}

fn envelope(kind: &str, code: u16, error: &str, metadata: &str) -> String {
    format!(
        r#"{{"type":"{kind}","status":"","status_code":200,"operation":"","error_code":{code},"error":"{error}","metadata":{metadata}}}"#
    )
}

impl Bed {
    /// A peer that gives these answers, one a request: status, further header, body.
    fn answering(answers: impl Into<VecDeque<(u16, &'static str, String)>>) -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(scratch.path().join("unix.socket")).unwrap();
        let (seen, mut answers) = (Seen::default(), answers.into());
        let log = seen.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = BufReader::new(stream.unwrap());
                while let Some(request) = receive(&mut stream) {
                    log.lock().unwrap().push(request);
                    let (status, header, body) = answers.pop_front().expect("one answer a request");
                    let head = format!("HTTP/1.1 {status} X\r\n{header}Content-Length: {}\r\n\r\n{body}", body.len());
                    stream.get_mut().write_all(head.as_bytes()).unwrap();
                }
            }
        });
        Self { scratch, seen }
    }

    fn run_as(&self, name: &str, line: &[&str], stdin: &str) -> Output {
        self.start_as(name, line, stdin).wait_with_output().unwrap()
    }

    fn start_as(&self, name: &str, line: &[&str], stdin: &str) -> Child {
        let program: PathBuf = self.scratch.path().join(name);
        if !program.exists() {
            std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_muster"), &program).unwrap();
        }
        let mut child = Command::new(program)
            .args(line)
            .env_clear()
            .env("OPERATIONS_CENTER_DIR", self.scratch.path())
            .env("OPERATIONS_CENTER_CONF", self.scratch.path().join("conf"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(stdin.as_bytes()).unwrap();
        child
    }

    fn run(&self, line: &str) -> (i32, String, String) {
        said(self.run_as("muster", &line.split_whitespace().collect::<Vec<_>>(), ""))
    }

    fn official(&self, line: &str) -> (i32, String, String) {
        said(self.run_as("operations-center", &line.split_whitespace().collect::<Vec<_>>(), ""))
    }

    fn requests(&self) -> Vec<String> {
        self.seen.lock().unwrap().iter().map(|(line, _)| line.clone()).collect()
    }

    fn last_body(&self) -> serde_json::Value {
        serde_json::from_str(&self.seen.lock().unwrap().last().unwrap().1).unwrap()
    }
}

fn receive(stream: &mut impl BufRead) -> Option<(String, String)> {
    let mut line = String::new();
    stream.read_line(&mut line).ok().filter(|n| *n > 0)?;
    let (mut header, mut length) = (String::new(), 0);
    while stream.read_line(&mut header).ok()? > 2 {
        if let Some(value) = header.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        header.clear();
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    let request = line.trim_end().trim_end_matches(" HTTP/1.1").to_owned();
    Some((request, String::from_utf8(body).unwrap()))
}

fn said(output: Output) -> (i32, String, String) {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn lists_ask_for_objects_and_print_them_raw() {
    let bed = Bed::answering([ok("[]"), ok("[]")]);
    assert_eq!(bed.run("server ls -f json"), (0, "[]\n".into(), String::new()));
    assert_eq!(bed.run("provisioning server list --status ready -f csv").0, 0);
    assert_eq!(
        bed.requests(),
        ["GET /1.0/provisioning/servers?recursion=1", "GET /1.0/provisioning/servers?recursion=1&status=ready"]
    );
}

#[test]
fn exit_codes_tell_what_went_wrong_and_the_official_name_knows_one_only() {
    let answers = || refused(404, "Failed to get server \\\"none\\\" by name");
    let bed = Bed::answering([answers(), answers(), refused(403, "no"), refused(412, "changed")]);
    let want = "Not found (Failed to get server \"none\" by name)\n";
    assert_eq!(bed.run("server show none"), (3, String::new(), want.into()));
    assert_eq!(bed.official("provisioning server show none"), (1, String::new(), want.into()));
    assert_eq!(bed.run("server resync m1").0, 4);
    assert_eq!(bed.run("server rename m1 m2").0, 5);
    assert_eq!(bed.run("server nothing").0, 2);
    assert_eq!(bed.run("server").0, 2);
    assert_eq!(bed.official("provisioning server").0, 0);
    assert_eq!(bed.run("server list --status x").0, 2);
    let unreachable = Bed::answering([]);
    std::fs::remove_file(unreachable.scratch.path().join("unix.socket")).unwrap();
    assert_eq!(unreachable.run("server list").0, 8);
}

#[test]
fn an_answer_of_something_else_is_named_by_its_status() {
    let bed = Bed::answering([(404, "", "404 page not found\n".into())]);
    let (code, _, error) = bed.run("query /1.0/nothing");
    assert_eq!((code, error.as_str()), (3, "Received an error from the server: 404 Not Found\n"));
}

#[test]
fn an_export_that_broke_off_goes_on_where_it_was() {
    let updates = || ok(r#"[{"uuid":"u","version":"1","channels":["stable"],"update_status":"ready"}]"#);
    let rest = "Content-Range: bytes 4-9/10\r\n";
    let first = "ETag: \"abcdef0123456789ff\"\r\nContent-Range: bytes 0-0/10\r\n";
    let bed = Bed::answering([updates(), (206, first, "0".into()), (206, rest, "456789".into()), updates()]);
    let target = bed.scratch.path().join("u.tar");
    let part = bed.scratch.path().join("u.tar.abcdef0123456789.part");
    std::fs::write(&part, "0123").unwrap();
    let line = format!("update export {} u", target.display());
    let (code, said, error) = bed.run(&line);
    assert_eq!((code, said.contains("Wrote update 1, 10 B")), (0, true), "{said}{error}");
    assert_eq!((std::fs::read_to_string(&target).unwrap().as_str(), part.exists()), ("0123456789", false));
    let export = "GET /1.0/provisioning/updates/u/:export";
    assert_eq!(bed.requests(), ["GET /1.0/provisioning/updates?recursion=1", export, export]);
    let (code, _, error) = bed.run(&line);
    assert!(code == 2 && error.contains("there already"), "{error}");
}

#[test]
fn a_rule_is_set_on_the_channel_as_it_was_seen() {
    let channel = || (200, "ETag: \"e1\"\r\n", envelope("sync", 0, "", r#"{"name":"stable","description":"d"}"#));
    let bed = Bed::answering([channel(), ok("null"), channel(), ok("null"), ok("{}"), ok("{}")]);
    assert_eq!(bed.run("channel follow stable testing --after 7d --at-once critical").0, 0);
    let follow = serde_json::json!({"channel": "testing", "after": 604_800, "at_once": "critical"});
    assert_eq!(bed.last_body(), serde_json::json!({"description": "d", "follow": follow}));
    assert_eq!(bed.run("channel unfollow stable").0, 0);
    assert_eq!(bed.last_body(), serde_json::json!({"description": "d", "follow": null}));
    assert_eq!(bed.run("channel freeze stable --reason incident").0, 0);
    assert_eq!(bed.last_body(), serde_json::json!({"reason": "incident"}));
    assert_eq!(bed.run("channel thaw stable").0, 0);
    assert_eq!(bed.run("channel freeze stable").0, 2, "not without a reason");
    let requests = bed.requests();
    assert_eq!(
        requests[4..],
        ["POST /1.0/provisioning/channels/stable/:freeze", "POST /1.0/provisioning/channels/stable/:thaw"]
    );
}

#[test]
fn what_destroys_is_refused_without_a_terminal_unless_agreed() {
    let server = r#"{"name":"m1","connection_url":"https://m1:8443","server_status":"ready","cluster":"c1"}"#;
    let bed = Bed::answering([ok(server), ok("{}"), ok("{}")]);
    let (code, _, error) = bed.run("server remove m1");
    assert_eq!(code, 2);
    assert!(error.contains("cluster c1") && error.contains("--yes"), "{error}");
    assert_eq!(bed.run("server rm m1 --yes").0, 0);
    assert_eq!(bed.official("provisioning server remove m1").0, 0);
    assert_eq!(
        bed.requests(),
        [
            "GET /1.0/provisioning/servers/m1",
            "DELETE /1.0/provisioning/servers/m1",
            "DELETE /1.0/provisioning/servers/m1"
        ]
    );
}

#[test]
fn create_prints_the_identity_but_not_as_the_official_one() {
    let created = || (201, "Location: /1.0/provisioning/tokens/u-1\r\n", envelope("sync", 0, "", "null"));
    let bed = Bed::answering([created(), created(), created()]);
    assert_eq!(bed.run("token add --uses 3"), (0, "u-1\n".into(), String::new()));
    assert_eq!(bed.last_body()["uses_remaining"], 3);
    assert_eq!(bed.run("token add -f json").1, "{\n  \"uuid\": \"u-1\"\n}\n");
    assert_eq!(bed.official("provisioning token add"), (0, String::new(), String::new()));
}

#[test]
fn a_subscription_is_made_with_a_word_about_what_it_lacks_then_changed_and_stopped() {
    let made = (201, "Location: /1.0/subscriptions/s-1\r\n", envelope("sync", 0, "", r#"{"id":"s-1"}"#));
    let short = r#"{"id":"s-1","holder":"ann","server_type":"t","server_type_label":"big","quantity":2,"bound":1,"in_use":0,
        "status":"active","running":true,"missing":1,"unfulfilled":"1 of 2 missing: why",
        "machines":[{"id":"m1","lifecycle":"available_reserved","server":"web1"}]}"#;
    let short = short.replace('\n', "");
    let answers = [made, ok(&short), ok(&short), ok("{}"), ok(&short), ok("{}"), ok(&format!("[{short}]"))];
    let bed = Bed::answering(answers);
    let (code, out, error) = bed.run("subscription create --holder ann --type big --quantity 2 --starts 2026-12-01");
    assert_eq!((code, out.as_str(), error.as_str()), (0, "s-1\n", "1 of 2 missing: why\n"));
    assert_eq!(bed.run("subscription edit s-1 --quantity 1 --ends none").0, 0);
    assert_eq!(bed.last_body(), serde_json::json!({"quantity": 1, "ends": null}));
    let (code, _, error) = bed.run("subscription stop s-1");
    assert!(code == 2 && error.contains("web1 (m1) is not kept for ann any more"), "{error}");
    assert_eq!(bed.run("subscription stop s-1 --yes").0, 0);
    assert_eq!(bed.run("subscription list --holder ann -f csv").1, "s-1,ann,big,2,1,0,1,,active\n");
    assert_eq!(
        bed.requests(),
        [
            "POST /1.0/subscriptions",
            "GET /1.0/subscriptions/s-1",
            "GET /1.0/subscriptions/s-1",
            "PUT /1.0/subscriptions/s-1",
            "GET /1.0/subscriptions/s-1",
            "POST /1.0/subscriptions/s-1/:stop",
            "GET /1.0/subscriptions?holder=ann"
        ]
    );
}

#[test]
fn edit_sends_standard_input_and_refuses_keys_that_mean_nothing() {
    let bed = Bed::answering([ok("{}"), ok("{}")]);
    let text = "log_level: INFO\nserver_registration_scriptlet: ''\n";
    let output = bed.run_as("muster", &["system", "settings", "edit"], text);
    assert_eq!(said(output), (0, String::new(), String::new()));
    assert_eq!(bed.requests(), ["PUT /1.0/system/settings"]);
    assert_eq!(bed.last_body(), serde_json::json!({"log_level": "INFO", "server_registration_scriptlet": ""}));
    let output = bed.run_as("muster", &["system", "settings", "edit"], "loglevel: INFO\n");
    let (code, _, error) = said(output);
    assert!(code == 2 && error.contains("loglevel") && error.contains("log_level"), "{error}");
    let output = bed.run_as("operations-center", &["system", "settings", "edit"], "loglevel: INFO\n");
    assert_eq!(said(output).0, 0);
}

#[test]
fn init_trusts_a_new_certificate_and_keeps_the_others() {
    let settings = r#"{"trusted_tls_client_cert_fingerprints":["aa"],"oidc":{"issuer":"i"}}"#;
    let bed = Bed::answering([ok(settings), ok("{}")]);
    let (code, out, error) = bed.run("admin init");
    assert_eq!((code, error.as_str()), (0, ""));
    let body = bed.last_body();
    let list = body["trusted_tls_client_cert_fingerprints"].as_array().unwrap();
    assert_eq!((list.len(), &list[0], &body["oidc"]["issuer"]), (2, &"aa".into(), &"i".into()));
    assert!(out.contains(list[1].as_str().unwrap()), "{out}");
    assert!(bed.scratch.path().join("conf/client.key").exists());
}

#[test]
fn an_operation_is_watched_to_its_end() {
    let look = |status: &str, error: &str| {
        ok(&format!(
            r#"{{"id":"o","kind":"reboot","target":"m1","status":"{status}","reason":"","error":"{error}","steps":[{{"name":"ask","status":"{status}","detail":""}}]}}"#
        ))
    };
    let bed = Bed::answering([look("running", ""), look("succeeded", ""), look("failed", "no answer")]);
    let (code, out, _) = bed.run("operation watch o");
    assert_eq!(code, 0);
    assert!(out.contains("reboot m1: ask running\n") && out.ends_with("reboot m1: succeeded\n"), "{out}");
    let (code, out, error) = bed.run("operation wait o --timeout 1m");
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(error.starts_with("Operation o (reboot m1) failed: no answer; ") && error.lines().count() == 1, "{error}");
}

#[test]
fn what_begins_work_waits_for_its_end_when_asked_to() {
    let begun = || {
        let body = envelope("async", 0, "", "{}").replace(r#""operation":"""#, r#""operation":"/1.0/operations/o""#);
        (202, "", body)
    };
    let look =
        |status: &str| ok(&format!(r#"{{"id":"o","kind":"reboot","target":"m1","status":"{status}","steps":[]}}"#));
    let bed =
        Bed::answering([begun(), look("waiting"), look("succeeded"), begun(), look("failed"), ok("{}"), ok("{}")]);
    assert_eq!(bed.run("server system reboot m1 --wait"), (0, String::new(), String::new()));
    assert_eq!(bed.run("server system reboot m1 --force --watch").0, 1);
    assert_eq!(bed.run("server system reboot m1"), (0, String::new(), String::new()));
    // A center that knows no operations cannot be waited for, and that is said.
    let (code, _, error) = bed.run("server system reboot m1 --timeout 1m");
    assert!(code == 1 && error.contains("cannot be waited for"), "{error}");
    assert_eq!(
        bed.requests(),
        [
            "POST /1.0/provisioning/servers/m1/system/:reboot?wait=false",
            "GET /1.0/operations/o",
            "GET /1.0/operations/o",
            "POST /1.0/provisioning/servers/m1/system/:reboot?force=true&wait=false",
            "GET /1.0/operations/o",
            "POST /1.0/provisioning/servers/m1/system/:reboot",
            "POST /1.0/provisioning/servers/m1/system/:reboot?wait=false"
        ]
    );
}

#[test]
fn an_edited_configuration_is_followed_by_the_header_of_its_answer() {
    let look = ok(r#"{"id":"o","kind":"configure-network","target":"m1","status":"succeeded","steps":[]}"#);
    let bed = Bed::answering([(200, "Muster-Operation: o\r\n", envelope("sync", 0, "", "{}")), look]);
    let line = ["server", "system", "network", "edit", "m1", "--wait"];
    assert_eq!(said(bed.run_as("muster", &line, "dns:\n  hostname: m1\n")), (0, String::new(), String::new()));
    assert_eq!(bed.requests(), ["PUT /1.0/provisioning/servers/m1/system/network", "GET /1.0/operations/o"]);
}

#[test]
fn ctrl_c_stops_the_watching_and_says_that_the_work_goes_on() {
    let look = ok(r#"{"id":"o","kind":"reboot","target":"m1","status":"waiting","reason":"away","steps":[]}"#);
    let bed = Bed::answering(vec![look; 10_000]);
    let child = bed.start_as("muster", &["operation", "watch", "o"], "");
    while bed.requests().is_empty() {
        std::thread::yield_now();
    }
    // Behind its first answer it listens for the signal.
    while bed.requests().len() < 2 {
        std::thread::yield_now();
    }
    let pid = child.id().to_string();
    assert!(Command::new("sh").args(["-c", &format!("kill -INT {pid}")]).status().unwrap().success());
    let (code, _, error) = said(child.wait_with_output().unwrap());
    assert_eq!(code, 130);
    assert!(error.contains("operation o goes on") && error.contains("muster operation watch o"), "{error}");
    assert!(bed.requests().iter().all(|line| line == "GET /1.0/operations/o"), "nothing is cancelled");
}

#[test]
fn a_server_is_shown_with_the_time_of_each_step_but_only_to_people() {
    let server = r#"{"name":"m1","connection_url":"https://m1:8443","server_status":"ready"}"#;
    let operations = r#"[{"id":"o","kind":"reboot","target":"m1","status":"succeeded","created_at":"2026-08-20T19:58:00Z","finished_at":"2026-08-20T19:58:41Z",
        "steps":[{"name":"confirm","status":"done","detail":"","started_at":"2026-08-20T19:58:01Z","finished_at":"2026-08-20T19:58:41Z"}]}]"#;
    let bed = Bed::answering([ok(server), ok(operations), ok(server), ok(server), ok(server), refused(403, "no")]);
    let (code, out, _) = bed.run("server show m1");
    assert!(code == 0 && out.contains("| reboot ") && out.contains("| confirm ") && out.contains(" 40.0 s "), "{out}");
    assert!(!bed.run("server show m1 -f json").1.contains("confirm"));
    assert!(!bed.official("provisioning server show m1").1.contains("confirm"));
    let (code, out, error) = bed.run("server show m1");
    assert!(code == 0 && out.contains("Name: m1\n") && error.is_empty(), "{error}");
    let asked = "GET /1.0/operations?target_kind=server&target=m1&limit=5";
    assert_eq!(bed.requests().iter().filter(|line| *line == asked).count(), 2);
}

#[test]
fn a_shell_is_told_live_names_and_never_complained_to() {
    let ask = |bed: &Bed, words: &[&str]| {
        let program = bed.scratch.path().join("muster");
        if !program.exists() {
            std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_muster"), &program).unwrap();
        }
        let output = Command::new(program)
            .arg("--")
            .args(words)
            .env_clear()
            .env("OPERATIONS_CENTER_DIR", bed.scratch.path())
            .env("OPERATIONS_CENTER_CONF", bed.scratch.path().join("conf"))
            .env("MUSTER_COMPLETE", "bash")
            .env("_CLAP_IFS", "\n")
            .env("_CLAP_COMPLETE_INDEX", (words.len() - 1).to_string())
            .output();
        said(output.unwrap())
    };
    let servers =
        r#"["/1.0/provisioning/servers/web1","/1.0/provisioning/servers/web%202","/1.0/provisioning/servers/db1"]"#;
    let seeds = r#"[{"name":"base","description":"d"}]"#;
    let bed = Bed::answering([ok(servers), ok(seeds), refused(403, "no")]);
    assert_eq!(ask(&bed, &["muster", "server", "show", "web"]), (0, "web1\nweb 2".into(), String::new()));
    let token = "00000000-0000-4000-8000-000000000000";
    assert_eq!(ask(&bed, &["muster", "token", "seed", "show", token, "b"]).1, "base");
    assert_eq!(ask(&bed, &["muster", "server", "show", "w"]), (0, String::new(), String::new()));
    assert!(!bed.scratch.path().join("conf").exists(), "completion makes no identity");
    assert_eq!(bed.requests()[1], format!("GET /1.0/provisioning/tokens/{token}/seeds?recursion=1"));
}

#[test]
fn the_audit_trail_is_read_page_by_page() {
    let page = |range: std::ops::RangeInclusive<u32>| {
        ok(&serde_json::json!(range.map(|seq| serde_json::json!({"seq": seq})).collect::<Vec<_>>()).to_string())
    };
    let bed = Bed::answering([
        page(1..=1000),
        page(1001..=1002),
        page(6..=8),
        ok(r#"{"intact":true,"entries":3,"broken_at":null}"#),
        ok(r#"{"intact":false,"entries":null,"broken_at":2}"#),
    ]);
    assert_eq!(bed.run("audit list -f csv").1.lines().count(), 1002);
    assert_eq!(bed.run("audit list -f csv --limit 3 --after 5").1.lines().count(), 3);
    assert_eq!(bed.run("audit verify"), (0, "Intact: 3 entries\n".into(), String::new()));
    assert_eq!(bed.run("audit verify").0, 1);
    assert_eq!(
        bed.requests(),
        [
            "GET /1.0/audit?cursor=0&limit=1000",
            "GET /1.0/audit?cursor=1000&limit=1000",
            "GET /1.0/audit?cursor=5&limit=3",
            "POST /1.0/audit/:verify",
            "POST /1.0/audit/:verify"
        ]
    );
}

#[test]
fn version_help_and_completion() {
    let bed = Bed::answering([]);
    assert_eq!(bed.run("--version"), (0, format!("{}\n", env!("CARGO_PKG_VERSION")), String::new()));
    assert_eq!(bed.official("provisioning server --version").1, format!("{}\n", env!("CARGO_PKG_VERSION")));
    assert_eq!(bed.run("server --help").0, 0);
    let (code, script, _) = bed.run("completion bash");
    assert!(code == 0 && script.contains("-F _clap_complete_muster muster"), "{script}");
    let (code, out, _) = bed.run("remote list -f csv");
    assert_eq!((code, out.as_str()), (0, "local (current),unix://,file access\n"));
    assert_eq!(bed.run("remote switch nowhere").0, 3);
}
