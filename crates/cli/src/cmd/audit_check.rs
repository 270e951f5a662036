//! Checking the audit trail without a center: an export of it, and heads that were signed for it.

use crate::error::{Error, Result};
use crate::text::field;
use muster_api::audit::{AuditEntry, AuditHead};
use muster_clients::signature;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

/// Longest line of an export, in bytes: a damaged one is not read into memory without end.
const LINE: u64 = 16 << 20;

/// A head as it was stored, whose signature holds; by the certificate with the fingerprint `wanted`, where somebody knows it.
pub(super) fn read_head(path: &Path, wanted: Option<&str>) -> Result<AuditHead> {
    let text = std::fs::read_to_string(path).map_err(Error::io(format!("cannot read {}", path.display())))?;
    let head: AuditHead = serde_json::from_str(&text)
        .map_err(|error| Error::Usage(format!("{} is no head of an audit trail: {error}", path.display())))?;
    let bytes = hex::decode(&head.signature).unwrap_or_default();
    signature::verify(&head.certificate, &head.scheme, head.text().as_bytes(), &bytes)
        .map_err(|error| Error::Failed(format!("{} is not what was signed: {error}", path.display())))?;
    match (wanted, signer(&head)) {
        (Some(wanted), actual) if !is_same(wanted, &actual) => Err(Error::Failed(format!(
            "{} was signed by certificate {actual}, not by {wanted}: this is not the head of your site",
            path.display()
        ))),
        _ => Ok(head),
    }
}

/// Whether two texts are one fingerprint: tools write them in either case, with colons and without.
fn is_same(wanted: &str, actual: &str) -> bool {
    let plain = |text: &str| text.replace(':', "").trim().to_ascii_lowercase();
    !actual.is_empty() && plain(wanted) == plain(actual)
}

/// Fingerprint of the certificate that a head was signed with.
pub(super) fn signer(head: &AuditHead) -> String {
    muster_clients::tls::leaf(&head.certificate).map(|leaf| muster_clients::tls::fingerprint(&leaf)).unwrap_or_default()
}

/// Checks an export, an entry on each line, and that it leads through a head; how many entries there are.
pub(super) fn check_file(path: &Path, head: Option<&AuditHead>) -> Result<i64> {
    let failed = || Error::io(format!("cannot read {}", path.display()));
    let file = File::open(path).map_err(failed())?;
    check(BufReader::with_capacity(1 << 20, file), head).map_err(|error| match error {
        Broken::Read(error) => failed()(error),
        Broken::Chain(text) => Error::Failed(text),
    })
}

enum Broken {
    Read(std::io::Error),
    Chain(String),
}

fn check(mut lines: impl BufRead, head: Option<&AuditHead>) -> std::result::Result<i64, Broken> {
    let (mut line, mut text, mut last, mut prev_hash) = (Vec::new(), Vec::new(), 0, String::new());
    let mut passed = head.is_none_or(|head| head.seq == 0);
    loop {
        line.clear();
        let read = std::io::Read::take(&mut lines, LINE).read_until(b'\n', &mut line).map_err(Broken::Read)?;
        if read == 0 {
            break;
        }
        let seq = last + 1;
        let wrong = |what: &str| Broken::Chain(format!("The audit trail is broken at entry {seq}: {what}"));
        let entry: AuditEntry = serde_json::from_slice(&line).map_err(|error| wrong(&error.to_string()))?;
        entry.link().write(&mut text);
        if entry.seq != seq || entry.prev_hash != prev_hash || entry.hash != hex::encode(Sha256::digest(&text)) {
            return Err(wrong("it was changed, taken out or put in"));
        }
        if let Some(head) = head.filter(|head| head.seq == seq) {
            if head.hash != entry.hash {
                return Err(Broken::Chain(format!("Entry {seq} is another one than when the head was signed")));
            }
            passed = true;
        }
        (last, prev_hash) = (seq, entry.hash);
    }
    match head {
        Some(head) if !passed => Err(Broken::Chain(format!(
            "The trail ends with entry {last}, before {}, at which the head was signed",
            head.seq
        ))),
        _ => Ok(last),
    }
}

/// What the center says of its trail; sound only if it says so.
pub(super) fn verdict(raw: &Value) -> Result {
    match raw.get("intact") {
        Some(Value::Bool(true)) => {}
        Some(Value::Bool(false)) => {
            return Err(Error::Failed(format!(
                "The audit trail is broken at entry {}: it was changed, taken out or put in",
                field(raw, "broken_at")
            )));
        }
        _ => return Err(Error::Server("the answer does not say whether the audit trail is intact".into())),
    }
    if let Some(why) = raw.get("head").and_then(Value::as_str) {
        return Err(Error::Failed(format!("The audit trail is not the one that the head was signed for: {why}")));
    }
    let differing = raw.get("differing").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let Some(first) = differing.first() else { return Ok(()) };
    let state = |key: &str| first[key].as_str().unwrap_or("nothing").to_owned();
    Err(Error::Failed(format!(
        "{} machines are not where their transitions lead; the first: {} is {}, and ought to be {}",
        raw.get("differing_count").and_then(Value::as_i64).unwrap_or_default(),
        field(first, "machine"),
        state("stored"),
        state("replayed"),
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use muster_api::time::Time;
    use serde_json::json;

    fn trail(count: i64) -> Vec<AuditEntry> {
        let (mut entries, mut text) = (Vec::<AuditEntry>::new(), Vec::new());
        for seq in 1..=count {
            let mut entry = AuditEntry {
                seq,
                at: Time::from_micros(1_800_000_000_123_456 + seq),
                actor: "unix".into(),
                action: "server.update".into(),
                object_kind: "server".into(),
                object: format!("m{seq}"),
                from: None,
                to: Some("ready".into()),
                reason: None,
                operation: None,
                detail: "{\"a\": 1}".into(),
                prev_hash: entries.last().map(|last| last.hash.clone()).unwrap_or_default(),
                hash: String::new(),
            };
            entry.link().write(&mut text);
            entry.hash = hex::encode(Sha256::digest(&text));
            entries.push(entry);
        }
        entries
    }

    fn told(entries: &[AuditEntry], head: Option<&AuditHead>) -> std::result::Result<i64, String> {
        let lines: String = entries.iter().map(|entry| serde_json::to_string(entry).unwrap() + "\n").collect();
        check(lines.as_bytes(), head).map_err(|broken| match broken {
            Broken::Read(error) => error.to_string(),
            Broken::Chain(text) => text,
        })
    }

    #[test]
    fn an_export_is_checked_line_by_line() {
        let good = trail(5);
        assert_eq!(told(&good, None), Ok(5));
        assert_eq!(told(&[], None), Ok(0));
        let mut changed = good.clone();
        changed[2].actor = "somebody".into();
        assert!(told(&changed, None).unwrap_err().contains("broken at entry 3"));
        let mut moved = good.clone();
        moved[1].at = Time::from_micros(1);
        assert!(told(&moved, None).unwrap_err().contains("broken at entry 2"));
        assert!(told(&good[1..], None).unwrap_err().contains("broken at entry 1"));
        let without = [&good[..2], &good[3..]].concat();
        assert!(told(&without, None).unwrap_err().contains("broken at entry 3"));
        assert!(matches!(check(&b"{"[..], None), Err(Broken::Chain(_))));
    }

    #[test]
    fn a_fingerprint_is_known_however_it_is_written() {
        assert!(is_same("AB:cd:01", "abcd01") && is_same(" abcd01 ", "abcd01"));
        assert!(!is_same("abcd02", "abcd01") && !is_same("", "") && !is_same("ab", "abcd01"));
    }

    #[test]
    fn a_trail_leads_through_its_head() {
        let good = trail(5);
        let head = |seq: i64, hash: &str| AuditHead {
            seq,
            hash: hash.into(),
            at: Time::from_micros(0),
            certificate: String::new(),
            scheme: String::new(),
            signature: String::new(),
        };
        assert_eq!(told(&good, Some(&head(4, &good[3].hash))), Ok(5));
        assert_eq!(told(&good, Some(&head(0, ""))), Ok(5));
        assert!(told(&good, Some(&head(4, "00"))).unwrap_err().contains("Entry 4 is another one"));
        assert!(told(&good[..3], Some(&head(4, &good[3].hash))).unwrap_err().contains("ends with entry 3"));
    }

    #[test]
    fn a_verdict_is_needed() {
        assert!(verdict(&json!({"intact": true, "entries": 3, "broken_at": null})).is_ok());
        let broken = verdict(&json!({"intact": false, "entries": null, "broken_at": 7})).unwrap_err();
        assert!(broken.to_string().contains("entry 7"), "{broken}");
        assert!(verdict(&json!({})).is_err());
        let head = verdict(&json!({"intact": true, "head": "the log ends before entry 9"})).unwrap_err();
        assert!(head.to_string().contains("before entry 9"), "{head}");
        let raw = json!({"intact": true, "differing_count": 3,
            "differing": [{"machine": "m", "stored": "used", "replayed": null}]});
        let differing = verdict(&raw).unwrap_err();
        assert!(
            differing.to_string().contains("3 machines") && differing.to_string().contains("nothing"),
            "{differing}"
        );
    }
}
