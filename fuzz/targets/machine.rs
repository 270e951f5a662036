//! Answers of a machine: one a line, in the order of [`PATHS`], each with its HTTP status before it where that is not 200.
#![no_main]

use http::StatusCode;
use libfuzzer_sys::fuzz_target;
use muster_api::envelope::Envelope;
use muster_api::provisioning::server::MASK;
use muster_clients::call::{Answer, open_envelope};
use muster_clients::incus::{self, Operation};
use muster_clients::incusos::{APPLICATION_LIMIT, Application, Environment, ProviderDocument, UpdateDocument};
use muster_domain::server::{address, documents::Documents, hidden};
use muster_fuzz::{line, speaks};
use serde_json::{Value, json};

/// What is asked, in this order.
const PATHS: [&str; 10] = [
    "system/resources",
    "system/network",
    "system/security",
    "system/storage",
    "/",
    "applications",
    "applications/NAME",
    "system/update",
    "system/provider",
    "operations/ID",
];

/// Where secrets are, by the contract (`servers.md` 7.1, 7.4).
const SECRET: [&str; 7] = [
    "encryption_recovery_keys",
    "drive_recovery_keys",
    "pool_recovery_keys",
    "private_key",
    "preshared_key",
    "password",
    "wakeonlan_password",
];

/// Shorter ones are found everywhere by chance.
const TELLING: usize = 6;

fn answer(text: &[u8]) -> Option<Answer> {
    let (status, body) = match text {
        [a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9', b' ', body @ ..] => {
            let digit = |d: &u8| u16::from(*d - b'0');
            (digit(a) * 100 + digit(b) * 10 + digit(c), body)
        }
        body => (200, body),
    };
    open_envelope(StatusCode::from_u16(status).ok()?, body).inspect_err(speaks).ok()
}

fn read<T>(answer: Option<&Answer>, of: impl FnOnce(&Answer) -> Result<T, muster_clients::call::Failure>) -> Option<T> {
    of(answer?).inspect_err(speaks).ok()
}

/// Sorts the texts and numbers of a document by whether they are secret.
fn sort(value: &Value, secret: bool, secrets: &mut Vec<String>, open: &mut Vec<String>) {
    match value {
        Value::String(text) => if secret { secrets } else { open }.push(text.clone()),
        Value::Number(number) => if secret { secrets } else { open }.push(number.to_string()),
        Value::Array(items) => items.iter().for_each(|item| sort(item, secret, secrets, open)),
        Value::Object(map) => map.iter().for_each(|(key, item)| {
            open.push(key.clone());
            sort(item, secret || SECRET.contains(&key.as_str()), secrets, open);
        }),
        Value::Null | Value::Bool(_) => {}
    }
}

fn documents(resources: &Answer, network: &Answer, security: &Answer, storage: &Answer) {
    let documents = Documents {
        resources: &resources.metadata,
        network: &network.metadata,
        security: &security.metadata,
        storage: &storage.metadata,
    };
    let kept = match documents.keep() {
        Ok(kept) => kept,
        Err(error) => return speaks(&error),
    };
    let management = &kept.management;
    if let Some(url) = address::connection_url("", management) {
        assert_eq!(address::connection_url(&url, management).as_deref(), Some(url.as_str()), "{management:?}");
    }

    // What is sealed is what was sent.
    let sent = json!({
        "network": network.decode::<Value>().expect("kept"),
        "security": security.decode::<Value>().expect("kept"),
        "storage": storage.decode::<Value>().expect("kept"),
    });
    let sealed: Value = serde_json::from_str(&kept.secrets).expect("the sealed documents can be read");
    assert_eq!(sealed, sent);

    // What is readable has no secret in it, and all the rest.
    let mut readable: Value = serde_json::from_str(&kept.os_data).expect("the readable documents can be read");
    let (mut secrets, mut open) = (Vec::new(), Vec::new());
    sort(&sent, false, &mut secrets, &mut open);
    let (mut masked, mut shown) = (Vec::new(), Vec::new());
    sort(&readable, false, &mut masked, &mut shown);
    assert_eq!(open, shown, "something open was lost or changed");
    assert!(masked.iter().all(|text| text.is_empty() || text == MASK), "{masked:?}");
    for secret in secrets.iter().filter(|secret| secret.chars().count() >= TELLING) {
        let known = open.iter().any(|text| text.contains(secret.as_str())) || MASK.contains(secret.as_str());
        let escaped = Value::from(secret.as_str()).to_string();
        assert!(known || !kept.os_data.contains(escaped.trim_matches('"')), "{secret:?} is readable");
    }
    let before = readable.clone();
    hidden::mask(&mut readable);
    assert_eq!(readable, before, "masking twice is masking once");

    // A list with this server in it can be read by those who ask for it.
    let hardware: Value = serde_json::from_str(&kept.hardware).expect("the hardware can be read");
    let list = Envelope::success(json!([{"name": "m1", "os_data": before, "hardware_data": hardware}]));
    let list = serde_json::to_vec(&list).expect("it was JSON before");
    let list = open_envelope(StatusCode::OK, &list).unwrap_or_else(|e| panic!("nobody can list this server: {e}"));
    assert!(list.decode::<Value>().is_ok());
}

fuzz_target!(|data: &[u8]| {
    let mut rest = data;
    let answers = PATHS.map(|_| {
        let (first, after) = line(rest);
        rest = after;
        answer(first)
    });
    let [resources, network, security, storage, root, applications, application, update, provider, operation] =
        answers.each_ref().map(Option::as_ref);
    if let (Some(resources), Some(network), Some(security), Some(storage)) = (resources, network, security, storage) {
        documents(resources, network, security, storage);
    }
    if let Some(environment) = read(root, Environment::of) {
        environment.is_ready();
        environment.needs_reboot();
    }
    let names = read(applications, Application::names).unwrap_or_default();
    assert!(names.len() <= APPLICATION_LIMIT, "a poll makes {} calls", names.len());
    for name in names {
        assert!(!name.contains('/'), "{name:?} is no name");
    }
    read(application, Application::of);
    read(update, Answer::decode::<UpdateDocument>);
    if let Some(document) = read(provider, Answer::decode::<ProviderDocument>) {
        // It is read, changed and put back.
        let text = serde_json::to_string(&document).expect("a document is JSON");
        assert_eq!(serde_json::from_str::<ProviderDocument>(&text).expect("what was written can be read"), document);
    }
    if let Some(operation) = read(operation, Answer::decode::<Operation>) {
        assert!(operation.is_done() || !operation.is_success());
    }
    if let Ok(text) = std::str::from_utf8(rest)
        && let Err(failure) = incus::event(text.to_owned())
    {
        speaks(&failure);
    }
});
