//! Secrets in a machine's documents: taken out before anything is stored readable, put back before a document is pushed.

use muster_api::provisioning::server::MASK;
use serde_json::Value;

/// Everything readable below these keys is secret (`servers.md` 7.1, 7.4).
const SECRET: &[&str] = &[
    "encryption_recovery_keys",
    "drive_recovery_keys",
    "pool_recovery_keys",
    "private_key",
    "preshared_key",
    "password",
    "wakeonlan_password",
];

/// Replaces every secret text with the mask; what is empty stays so.
pub fn mask(value: &mut Value) {
    walk(value, false);
}

fn walk(value: &mut Value, secret: bool) {
    match value {
        Value::String(text) if secret && !text.is_empty() => MASK.clone_into(text),
        Value::Array(items) => items.iter_mut().for_each(|item| walk(item, secret)),
        Value::Object(map) => {
            for (key, item) in map.iter_mut() {
                walk(item, secret || SECRET.contains(&key.as_str()));
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn keys_go_and_everything_else_stays() {
        let mut value = json!({"config": {"encryption_recovery_keys": ["aaaa-bbbb"]}, "state": {"pool_recovery_keys": {"local": "cG9vbA=="},
            "drive_recovery_keys": {}, "tpm_status": "ok"}, "wireguard": [{"private_key": "k", "peers": [{"preshared_key": "", "public_key": "p"}]}]});
        mask(&mut value);
        assert_eq!(
            value,
            json!({"config": {"encryption_recovery_keys": [MASK]}, "state": {"pool_recovery_keys": {"local": MASK},
            "drive_recovery_keys": {}, "tpm_status": "ok"}, "wireguard": [{"private_key": MASK, "peers": [{"preshared_key": "", "public_key": "p"}]}]})
        );
    }
}
