use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn machine(registered: bool) -> Model {
    let address = "127.64.0.1:8443".parse().unwrap();
    let spec = Spec::new(1, 1, address, "202511010000", "stable", 1_764_000_000);
    let provider = BTreeMap::from([("server_url".to_owned(), "https://127.0.0.1:7443".to_owned())]);
    let mut model = Model::new(spec, Timing::default(), Some(provider));
    model.power_on(Duration::ZERO, Duration::ZERO);
    assert_eq!(model.advance(Duration::ZERO), [Effect::Listen]);
    assert_eq!(model.advance(SECOND), [Effect::Register]);
    if registered {
        model.registered();
        assert_eq!(model.advance(SECOND), [Effect::Tell("system-is-ready")]);
    }
    model
}

fn call(model: &mut Model, now: Duration, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let body = if body.is_null() { vec![] } else { body.to_string().into_bytes() };
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    match model.ask(now, Request { method, path, query, body: &body, trusted: true }) {
        Reply::Now { status, body, .. } => (status, body["metadata"].clone()),
        other => panic!("{other:?}"),
    }
}

fn get(model: &mut Model, now: Duration, path: &str) -> Value {
    let (status, metadata) = call(model, now, "GET", path, &Value::Null);
    assert_eq!(status, 200, "{path}");
    metadata
}

#[test]
fn a_stranger_learns_that_it_is_there_and_nothing_else() {
    let mut model = machine(false);
    let mut status = |method, path| {
        let request = Request { method, path, query: "", body: b"", trusted: false };
        match model.ask(SECOND, request) {
            Reply::Now { status, .. } => status,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!((status("GET", "/"), status("GET", "/1.0")), (200, 200));
    assert_eq!((status("GET", "/os/1.0"), status("GET", "/1.0/events")), (403, 403));
    assert_eq!(status("POST", "/os/1.0/system/:poweroff"), 403);
    assert_eq!(model.due(), None);
}

#[test]
fn a_reboot_tells_goes_down_and_comes_back_with_the_next_version() {
    let mut model = machine(true);
    model.publish("202512010000");
    call(&mut model, 10 * SECOND, "POST", "/os/1.0/system/update/:check", &Value::Null);
    let update = get(&mut model, 11 * SECOND, "/os/1.0/system/update");
    assert_eq!(update["state"]["status"], "Downloading version 202512010000: 33%");
    assert_eq!(
        model.advance(14 * SECOND),
        [Effect::Tell("os-update-applied"), Effect::Tell("application-update-applied")]
    );
    assert_eq!(get(&mut model, 15 * SECOND, "/os/1.0/system/update")["state"]["needs_reboot"], true);
    let before = get(&mut model, 15 * SECOND, "/os/1.0")["environment"].clone();
    assert_eq!((&before["os_version"], &before["uptime"]), (&json!("202511010000"), &json!(15)));

    call(&mut model, 20 * SECOND, "POST", "/os/1.0/system/:reboot", &Value::Null);
    assert_eq!(model.advance(20 * SECOND), [Effect::Tell("system-reboot-triggered")]);
    assert_eq!(model.advance(21 * SECOND), [Effect::Silence]);
    assert_eq!((model.phase(), model.advance(22 * SECOND)), (Phase::Off, vec![]));
    assert_eq!(model.advance(Duration::from_millis(22_500)), [Effect::Listen]);
    let starting = get(&mut model, Duration::from_millis(22_600), "/os/1.0")["environment"].clone();
    assert_eq!((&starting["system_is_ready"], &starting["uptime"]), (&json!(false), &json!(0)));
    assert_eq!(model.advance(23 * SECOND), [Effect::Tell("system-is-ready")]);
    let after = get(&mut model, 24 * SECOND, "/os/1.0")["environment"].clone();
    assert_eq!((&after["os_version"], &after["system_is_ready"]), (&json!("202512010000"), &json!(true)));
    assert_eq!(get(&mut model, 24 * SECOND, "/os/1.0/system/update")["state"]["needs_reboot"], false);
}

#[test]
fn power_off_and_a_lost_reboot_last_until_power_on() {
    for path in ["/os/1.0/system/:poweroff", "/os/1.0/system/:reboot"] {
        let mut model = machine(true);
        model.stay_down_after_reboot(true);
        call(&mut model, 2 * SECOND, "POST", path, &Value::Null);
        assert_eq!(model.advance(3600 * SECOND).last(), Some(&Effect::Silence));
        assert_eq!(model.due(), None);
        model.power_on(3600 * SECOND, SECOND);
        assert_eq!(model.advance(3601 * SECOND), [Effect::Listen]);
    }
}

#[test]
fn evacuation_is_an_operation_that_ends_with_an_event() {
    let mut model = machine(true);
    let path = "/1.0/cluster/members/sim-0001/state";
    let evacuate = json!({"action": "evacuate", "mode": "auto"});
    let (status, operation) = call(&mut model, 5 * SECOND, "POST", path, &evacuate);
    assert_eq!((status, &operation["status_code"]), (202, &json!(103)));
    assert_eq!(call(&mut model, 5 * SECOND, "POST", path, &evacuate).0, 400);
    assert_eq!(get(&mut model, 5 * SECOND, "/1.0/cluster/members/sim-0001")["status"], "Evacuating");
    let wait = format!("/1.0/operations/{}/wait", operation["id"].as_str().unwrap());
    let request = |query| Request { method: "GET", path: &wait, query, body: b"", trusted: true };
    assert_eq!(model.ask(5 * SECOND, request("timeout=-1")), Reply::Later(6 * SECOND));
    assert!(matches!(model.ask(5 * SECOND, request("timeout=0")), Reply::Now { status: 200, .. }));
    let effects = model.advance(6 * SECOND);
    assert!(matches!(&effects[..], [Effect::Event(e)] if e["metadata"]["action"] == "cluster-member-evacuated"));
    assert_eq!(get(&mut model, 6 * SECOND, &wait)["status"], "Success");
    call(&mut model, 7 * SECOND, "POST", path, &json!({"action": "restore", "mode": ""}));
    assert!(
        matches!(&model.advance(9 * SECOND)[..], [Effect::Event(e)] if e["metadata"]["action"] == "cluster-member-restored")
    );
}

#[test]
fn a_factory_reset_makes_it_a_stranger_that_registers_with_the_seed_s_token() {
    let mut model = machine(true);
    let body = json!({"seeds": {"provider": {"name": "operations-center", "config": {
        "server_url": "https://127.0.0.1:7443", "server_token": "new"}}}});
    call(&mut model, 5 * SECOND, "POST", "/os/1.0/system/:factory-reset", &body);
    assert_eq!(model.advance(60 * SECOND), [Effect::NewIdentity, Effect::Silence, Effect::Listen, Effect::Register]);
    assert!(!model.is_registered());
    assert_eq!(model.provider().unwrap()["server_token"], "new");
    assert_eq!(model.registration()["name"], model.spec().system_uuid.to_string());
    assert_eq!(model.registration()["machine_id"], model.spec().machine_id);
}

#[test]
fn changes_are_kept_told_and_checked() {
    let mut model = machine(true);
    let mut put = |path: &str, body: Value| call(&mut model, 5 * SECOND, "PUT", path, &body).0;
    assert_eq!(put("/os/1.0/system/network", json!({"config": {"interfaces": []}})), 400);
    let interfaces = json!([{"name": "eth0"}]);
    assert_eq!(
        put("/os/1.0/system/network", json!({"config": {"dns": {"hostname": "web1"}, "interfaces": interfaces}})),
        200
    );
    assert_eq!(put("/os/1.0/system/update", json!({"config": {"channel": "testing"}})), 200);
    assert_eq!(put("/os/1.0/system/provider", json!({"config": {"name": "operations-center", "config": {}}})), 200);
    assert_eq!(put("/os/1.0/system/nothing", json!({})), 404);
    assert_eq!(model.advance(5 * SECOND), [Effect::Tell("network-config-changed"), Effect::Tell("")]);
    assert_eq!(get(&mut model, 5 * SECOND, "/os/1.0")["environment"]["hostname"], "web1");
    assert_eq!(get(&mut model, 5 * SECOND, "/os/1.0/system/update")["config"]["channel"], "testing");
}
