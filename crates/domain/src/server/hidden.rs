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

/// Replaces every secret text and number with the mask; what is empty stays so.
pub fn mask(value: &mut Value) {
    walk(value, false);
}

fn walk(value: &mut Value, secret: bool) {
    match value {
        Value::String(text) if secret && !text.is_empty() => MASK.clone_into(text),
        // A machine that writes a password without quotes has one all the same.
        Value::Number(_) if secret => *value = MASK.into(),
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

    #[test]
    fn a_secret_that_is_a_number_goes_too() {
        let mut value =
            json!({"password": 12_345_678, "mtu": 1500, "drive_recovery_keys": {"a": [1.5, true, null, {"b": -7}]}});
        mask(&mut value);
        assert_eq!(
            value,
            json!({"password": MASK, "mtu": 1500, "drive_recovery_keys": {"a": [MASK, true, null, {"b": MASK}]}})
        );
    }
}
