//! The audit as it travels: its entries with all that their hashes are made of, and its head, signed, to be kept elsewhere.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::time::Time;

/// One entry of the audit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditEntry {
    /// Its number, from 1 without gaps.
    pub seq: i64,
    /// When, to the microsecond.
    #[schema(value_type = String, format = DateTime)]
    pub at: Time,
    /// Who did it.
    pub actor: String,
    /// What was done.
    pub action: String,
    /// Kind of the object.
    pub object_kind: String,
    /// Which object.
    pub object: String,
    /// State before, where it is a transition.
    pub from: Option<String>,
    /// State after.
    pub to: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// The operation that it was part of.
    pub operation: Option<String>,
    /// Anything more: JSON, as a text because the hash is over its bytes.
    pub detail: String,
    /// Hash of the entry before; empty for the first.
    pub prev_hash: String,
    /// SHA-256 of all of the above ([`Link::write`]), in lower-case hex.
    pub hash: String,
}

impl AuditEntry {
    /// What its hash is made of.
    pub fn link(&self) -> Link<'_> {
        Link {
            seq: self.seq,
            at: self.at.micros(),
            actor: &self.actor,
            action: &self.action,
            object_kind: &self.object_kind,
            object: &self.object,
            from: self.from.as_deref(),
            to: self.to.as_deref(),
            reason: self.reason.as_deref(),
            operation: self.operation.as_deref(),
            detail: &self.detail,
            prev_hash: &self.prev_hash,
        }
    }
}

/// What the hash of an entry is made of.
#[derive(Debug, Clone, Copy)]
#[expect(missing_docs, reason = "the fields are those of `AuditEntry`, `at` in microseconds since 1970")]
pub struct Link<'a> {
    pub seq: i64,
    pub at: i64,
    pub actor: &'a str,
    pub action: &'a str,
    pub object_kind: &'a str,
    pub object: &'a str,
    pub from: Option<&'a str>,
    pub to: Option<&'a str>,
    pub reason: Option<&'a str>,
    pub operation: Option<&'a str>,
    pub detail: &'a str,
    pub prev_hash: &'a str,
}

impl Link<'_> {
    /// Replaces the text of `out` by that which is hashed: a JSON array, since that has no two readings, whatever the texts
    /// contain. The form is stored with every entry ever written, so it never changes.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.clear();
        let Link { seq, at, actor, action, object_kind, object, from, to, reason, operation, detail, prev_hash } = self;
        let fields = (seq, at, actor, action, object_kind, object, from, to, reason, operation, detail, prev_hash);
        // Writing numbers and texts to memory cannot fail.
        serde_json::to_writer(out, &fields).ok();
    }
}

/// The end of the audit at some time, signed by the site. Kept elsewhere, it shows later whether the log still has, up to
/// there, what it had: somebody who can rewrite the database can make another chain, but not one that leads to this head.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditHead {
    /// Number of the last entry; 0 for an empty log.
    pub seq: i64,
    /// Its hash.
    pub hash: String,
    /// When it was signed.
    #[schema(value_type = String, format = DateTime)]
    pub at: Time,
    /// The site's certificate (PEM).
    pub certificate: String,
    /// How it is signed: `ecdsa_p384_sha384`, `ecdsa_p256_sha256`, `rsa_pkcs1_sha256` or `ed25519`.
    pub scheme: String,
    /// Signature of [`AuditHead::text`], in lower-case hex.
    pub signature: String,
}

impl AuditHead {
    /// What is signed.
    pub fn text(&self) -> String {
        format!("muster audit head\nseq {}\nhash {}\nat {}\n", self.seq, self.hash, self.at.micros())
    }
}

/// What is asked of a check of the audit.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
pub struct AuditVerifyPost {
    /// An earlier head, that the log has to lead through.
    pub head: Option<AuditHead>,
}

/// The outcome of a check of the audit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditVerdict {
    /// Whether every entry fits the one before.
    pub intact: bool,
    /// How many there are, when intact.
    pub entries: Option<i64>,
    /// The first that does not.
    pub broken_at: Option<i64>,
    /// Machines whose lifecycle was compared with what their transitions come to.
    pub machines: i64,
    /// The first of those that are in another state than that.
    pub differing: Vec<AuditDifference>,
    /// How many there are in all.
    pub differing_count: i64,
    /// Why the log is not the one that the given head was signed for; none when it is, or none was given.
    pub head: Option<String>,
}

/// A machine whose stored state is not what its transitions come to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditDifference {
    /// Its id.
    pub machine: String,
    /// What is stored; none for one without a record.
    pub stored: Option<String>,
    /// What its transitions come to; none for one without.
    pub replayed: Option<String>,
    /// The first entry that does not go on from the one before, where that is so.
    pub seq: Option<i64>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_hashed_text_is_the_array_that_it_always_was() {
        let detail = "{\"a\":\"\\u001f/é\"}";
        let link = Link {
            seq: 7,
            at: -1,
            actor: "a\"\\\n\u{1}\u{7f}ü😀\u{2028}",
            action: "",
            object_kind: "server",
            object: "m1",
            from: None,
            to: Some("ready"),
            reason: Some(""),
            operation: None,
            detail,
            prev_hash: "00ff",
        };
        let mut text = b"left over".to_vec();
        link.write(&mut text);
        let array = json!([7, -1, link.actor, "", "server", "m1", null, "ready", "", null, detail, "00ff"]);
        assert_eq!(String::from_utf8(text).unwrap(), array.to_string());
    }
}
