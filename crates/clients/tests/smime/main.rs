//! Verification of signed documents, judged beside `openssl smime -verify -text`, which the reference calls.
//!
//! Every case says what the oracle answers and what we answer, and both are asked: a case that stops being what it says
//! fails. Where we are stricter, the case says why.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod pki;
mod refused;
mod sound;
mod stricter;

use std::time::{Duration, SystemTime};

use muster_clients::updates::{Authority, Verified, verify};
use pki::Pki;

const PAYLOAD: &str = "{\n  \"format\": \"1.0\",\n  \"updates\": []\n}\n";

fn payload_crlf() -> Vec<u8> {
    PAYLOAD.replace('\n', "\r\n").into_bytes()
}

/// Our answer: what was signed, or the error's text.
fn ours(pki: &Pki, message: &[u8], roots: &str, at: i64) -> Result<Verified, String> {
    let authority = Authority::new(&pki.pem(roots), None).map_err(|e| e.to_string())?;
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(at).unwrap());
    verify(message, &authority, now).map_err(|e| e.to_string())
}

/// Both accept it, and find the same content.
fn both_accept(pki: &Pki, name: &str, message: &[u8], roots: &str) {
    let at = pki.now;
    let theirs = pki.oracle(message, roots, at).unwrap_or_else(|e| panic!("{name}: the oracle refuses: {e}"));
    let ours = ours(pki, message, roots, at).unwrap_or_else(|e| panic!("{name}: refused: {e}"));
    assert_eq!(theirs, ours.payload, "{name}: the content");
    assert!(ours.payload.starts_with(b"{"), "{name}");
    let signed = ours.signed_at.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    assert!(signed.abs_diff(u64::try_from(at).unwrap()) < 2 * 3600, "{name}: signed at {signed}");
}

/// Both refuse it, we with this text.
fn both_refuse_at(pki: &Pki, name: &str, message: &[u8], roots: &str, at: i64, text: &str) {
    if let Ok(content) = pki.oracle(message, roots, at) {
        panic!("{name}: the oracle accepts it: {}", String::from_utf8_lossy(&content));
    }
    match ours(pki, message, roots, at) {
        Ok(_) => panic!("{name}: accepted"),
        Err(error) => assert!(error.contains(text), "{name}: {error}\nexpected {text}"),
    }
}

fn both_refuse(pki: &Pki, name: &str, message: &[u8], roots: &str, text: &str) {
    both_refuse_at(pki, name, message, roots, pki.now, text);
}

/// The oracle accepts it, and we do not.
fn only_we_refuse(pki: &Pki, name: &str, message: &[u8], roots: &str, text: &str) {
    if let Err(error) = pki.oracle(message, roots, pki.now) {
        panic!("{name}: the oracle refuses it too: {error}");
    }
    match ours(pki, message, roots, pki.now) {
        Ok(_) => panic!("{name}: accepted"),
        Err(error) => assert!(error.contains(text), "{name}: {error}\nexpected {text}"),
    }
}
