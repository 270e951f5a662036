//! Bodies of requests: the first byte says of which, the rest is the body. What is taken is checked as the service does.
#![no_main]

use http::HeaderValue;
use libfuzzer_sys::fuzz_target;
use muster_api::body::{BodyError, lenient, strict};
use muster_api::machine::{MachinePost, MachinePut, MovePost};
use muster_api::provisioning::seed::{TokenImagePost, TokenSeedPost, TokenSeedPut};
use muster_api::provisioning::server::{ServerPost, ServerPut, ServerRename, ServerSelfUpdate};
use muster_api::provisioning::token::TokenPut;
use muster_clients::endpoint::Endpoint;
use muster_clients::tls::Trust;
use muster_domain::hardware::Inventory;
use muster_domain::machine::asset::{self, Fault};
use muster_domain::server::{address, check};
use muster_fuzz::speaks;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use std::sync::OnceLock;
use url::Url;

type Read<T> = fn(&[u8]) -> Result<T, BodyError>;

/// Reads a body; what is taken reads back to itself.
fn read<T: DeserializeOwned + Serialize>(read: Read<T>, body: &[u8]) -> Option<T> {
    let taken = read(body).inspect_err(speaks).ok()?;
    let text = serde_json::to_string(&taken).expect("a body is JSON");
    assert!(!nul(&serde_json::to_value(&taken).expect("a body is JSON")), "a NUL that PostgreSQL refuses: {text}");
    let again = read(text.as_bytes()).unwrap_or_else(|e| panic!("{e}: {text}"));
    assert_eq!(serde_json::to_string(&again).expect("a body is JSON"), text);
    // A tail is nobody's business.
    assert!(read(format!("{text} tail").as_bytes()).is_ok());
    Some(taken)
}

fn nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(nul),
        Value::Object(map) => map.iter().any(|(key, item)| key.contains('\0') || nul(item)),
        _ => false,
    }
}

fn checked(result: Result<(), check::Invalid>) -> bool {
    result.inspect_err(speaks).is_ok()
}

/// A server of this name is reached under it, by our own client and by any that follows the URL standard.
fn name(name: &str) {
    if !checked(check::name(name)) {
        return;
    }
    assert!(HeaderValue::from_bytes(format!("/1.0/provisioning/servers/{name}").as_bytes()).is_ok(), "{name:?}");
    let mut url = Url::parse("https://center/1.0/provisioning/servers").expect("a URL");
    url.path_segments_mut().expect("a path").push(name);
    let last = url.path_segments().and_then(|mut segments| segments.next_back()).unwrap_or_default();
    let decoded = percent_encoding::percent_decode_str(last).decode_utf8().expect("it was text before");
    assert_eq!(decoded, name);
}

/// A URL that is taken can be shown, and either polled or refused with a reason; polling does not change it back and forth.
fn connection_url(url: &str) {
    if !checked(check::connection_url(url)) {
        return;
    }
    assert!(checked(check::public_url(url)), "{url:?} is a good connection URL and a bad public one");
    assert!(!url.chars().any(char::is_control), "{url:?}");
    static TRUST: OnceLock<Trust> = OnceLock::new();
    let trust =
        TRUST.get_or_init(|| Trust::pinned(include_str!("../corpus/certificate/server.pem")).expect("a certificate"));
    match Endpoint::https(url, trust, None) {
        Err(error) => speaks(&error),
        Ok(endpoint) => {
            let again = Endpoint::https(endpoint.address(), trust, None).unwrap_or_else(|e| panic!("{e}: {url:?}"));
            assert_eq!(again.address(), endpoint.address());
        }
    }
    let management = ["10.0.0.2", "fd00::7", "fe80::1", "127.0.0.1"].map(|ip| ip.parse().expect("an address"));
    let polled = address::connection_url(url, &management).expect("there are addresses");
    assert!(checked(check::connection_url(&polled)), "{polled}");
    assert_eq!(address::connection_url(&polled, &management).as_ref(), Some(&polled));
    assert!(Endpoint::https(&polled, trust, None).is_ok(), "{url:?} becomes {polled}");
}

/// What is kept is kept as it is the next time, and every fault names its field.
fn kept<T: Clone + PartialEq + std::fmt::Debug>(given: T, check: fn(T, &str) -> Result<T, Vec<Fault>>) {
    match check(given, "asset") {
        Ok(kept) => assert_eq!(check(kept.clone(), "asset").as_ref(), Ok(&kept)),
        Err(faults) => assert!(!faults.is_empty() && faults.iter().all(|fault| !fault.field.is_empty())),
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((kind, body)) = data.split_first() else { return };
    match kind {
        b'r' | b'p' => {
            let Some(post) = read::<ServerPost>(lenient, body) else { return };
            name(&post.name);
            connection_url(&post.connection_url);
            checked(check::public_url(&post.public_connection_url));
            checked(check::channel(&post.channel));
            checked(check::bmc(&post.bmc_config));
        }
        b's' => {
            let Some(report) = read::<ServerSelfUpdate>(lenient, body) else { return };
            connection_url(&report.connection_url);
            // Unknown causes are taken and ignored.
            report.known_cause();
        }
        b'u' => {
            let Some(put) = read::<ServerPut>(lenient, body) else { return };
            checked(check::bmc(&put.bmc_config));
        }
        b'n' => {
            let Some(rename) = read::<ServerRename>(lenient, body) else { return };
            name(&rename.name);
        }
        b't' => drop(read::<TokenPut>(lenient, body)),
        b'm' => {
            let Some(post) = read::<MachinePost>(strict, body) else { return };
            kept(post.asset, asset::asset);
            post.bmc.map(|bmc| kept(bmc, asset::bmc));
            for text in [&post.system_uuid, &post.serial, &post.vendor] {
                asset::identity("identity", text).ok();
            }
            asset::note("note", &post.note).ok();
        }
        b'M' => drop(read::<MachinePut>(strict, body)),
        b'v' => drop(read::<MovePost>(strict, body)),
        b'h' => {
            let Ok(document) = serde_json::from_slice::<Value>(body) else { return };
            let inventory = Inventory::read(&document);
            let text = serde_json::to_string(&inventory).expect("an inventory is JSON");
            let again: Inventory = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"));
            assert_eq!(again, inventory, "{text}");
        }
        b'S' => drop(read::<TokenSeedPost>(strict, body)),
        b'P' => drop(read::<TokenSeedPut>(strict, body)),
        b'I' => drop(read::<TokenImagePost>(strict, body)),
        _ => {}
    }
});
