//! Certificates as machines and operators send them, PEM and DER.
#![no_main]

use libfuzzer_sys::fuzz_target;
use muster_clients::endpoint::Endpoint;
use muster_clients::tls::{Identity, Trust, der_to_pem, fingerprint, first_dns_san, leaf, pem_to_ders, validity};
use muster_fuzz::speaks;

fn der(der: &[u8]) {
    // A registering machine's certificate is stored as PEM and compared by its fingerprint.
    let pem = der_to_pem(der);
    assert!(pem.lines().all(|line| line.len() <= 64));
    match leaf(&pem) {
        Ok(read) => assert_eq!(fingerprint(&read), fingerprint(der)),
        Err(error) => panic!("{error}"),
    }
    if let Err(error) = validity(der) {
        speaks(&error);
    }
    if let Some(name) = first_dns_san(der) {
        assert!(name.is_ascii(), "{name:?}");
    }
}

fuzz_target!(|data: &[u8]| {
    if !data.is_empty() {
        der(data);
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    match pem_to_ders(text) {
        Ok(chain) => chain.iter().for_each(|one| {
            if !one.is_empty() {
                der(one);
            }
        }),
        Err(error) => speaks(&error),
    }
    match Trust::pinned(text) {
        Ok(trust) => {
            if let Err(error) = Endpoint::https("https://m1.example:8443", &trust, None) {
                speaks(&error);
            }
        }
        Err(error) => speaks(&error),
    }
    let identity = Identity { certificate_pem: text.to_owned(), key_pem: text.to_owned() };
    if let Err(error) = identity.credentials() {
        speaks(&error);
    }
});
