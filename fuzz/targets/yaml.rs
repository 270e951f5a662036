//! Documents that people edit: YAML read, written, and read again.
#![no_main]

// Taken as files: the crate is a program.
#[path = "../../crates/cli/src/document.rs"]
mod document;
#[path = "../../crates/cli/src/yaml.rs"]
mod yaml;

use document::{Keys, read_as, read_free};
use libfuzzer_sys::fuzz_target;
use muster_api::provisioning::server::ServerPut;
use muster_api::provisioning::token::TokenPut;
use muster_api::system::{SystemSecurity, SystemSettings, SystemUpdates};
use serde_json::Value;

type Read = fn(&str, Keys) -> Result<Value, String>;

const KINDS: [Read; 6] = [
    read_as::<ServerPut>,
    read_as::<TokenPut>,
    read_as::<SystemSecurity>,
    read_as::<SystemSettings>,
    read_as::<SystemUpdates>,
    read_free,
];

fuzz_target!(|text: &str| {
    match yaml::parse::<Value>(text) {
        Err(error) => {
            assert!(!error.trim().is_empty());
            assert!(read_free(text, Keys::Lenient).is_err());
            return;
        }
        Ok(value) => {
            for step in [2, 4] {
                let written = yaml::write(&value, step);
                let again = yaml::parse::<Value>(&written).unwrap_or_else(|e| panic!("{e}: {value:?}\n{written}"));
                assert_eq!(again, value, "{written}");
            }
        }
    }
    for read in KINDS {
        match read(text, Keys::Strict) {
            Err(error) => assert!(!error.trim().is_empty()),
            Ok(body) => {
                // Who knows every key is not disturbed by them, and what was read is what the editor shows next.
                assert_eq!(read(text, Keys::Lenient).as_ref(), Ok(&body));
                assert_eq!(read(&yaml::write(&body, 2), Keys::Strict), Ok(body));
            }
        }
    }
});
