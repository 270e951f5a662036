//! Secrets at rest: AES-256-GCM under a site key, bound to the place where the text is stored.
//!
//! A sealed text is `v1.<key id>.<base64 of nonce and ciphertext>`. The context (`servers/<id>/bmc_password`) goes in as
//! associated data: a sealed text that is copied to another row or column does not open.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use sha2::{Digest as _, Sha256};

/// Length of a key in bytes.
pub const KEY_LEN: usize = 32;

/// Why a secret cannot be opened, or a key ring cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The text was sealed with a key that is not in the ring.
    #[error(
        "sealed with key {needed}, but only {known} is at hand: start with the key file that belongs to this database; \
         where the key is given in MUSTER_KEY, give the other one in MUSTER_KEY_OLD"
    )]
    UnknownKey {
        /// Id of the key that sealed the text.
        needed: String,
        /// Ids of the keys in the ring.
        known: String,
    },
    /// The text was changed, or it was sealed for another place.
    #[error("the sealed value for {context} was tampered with or belongs elsewhere")]
    Broken {
        /// The context that was asked for.
        context: String,
    },
    /// The text is not a sealed value.
    #[error("the stored value for {context} is not a sealed value")]
    Malformed {
        /// The context that was asked for.
        context: String,
    },
    /// A key is not 32 bytes, as hex or base64.
    #[error(
        "{origin}: a key is 32 bytes, written as 64 hex digits or as base64 (make one with `openssl rand -hex 32`)"
    )]
    BadKey {
        /// Where the key came from.
        origin: String,
    },
    /// Others than the owner can read the key file.
    #[error("{path} can be read by others (mode {mode:04o}): run `chmod 600 {path}`")]
    Mode {
        /// The key file.
        path: String,
        /// Its permission bits.
        mode: u32,
    },
    /// A key file could not be read or written.
    #[error("{path}: {reason}")]
    File {
        /// The key file.
        path: String,
        /// What the system says.
        reason: String,
    },
    /// The key is given to the daemon, which cannot replace it by itself, and no other one is given.
    #[error("the site key is given in {given}: {remedy}, restart every daemon of this site, and ask again")]
    Given {
        /// Where the key comes from.
        given: &'static str,
        /// What to do.
        remedy: &'static str,
    },
    /// Another process holds the lock of the key file.
    #[error("{path}: the site key is being changed by another process")]
    Locked {
        /// The lock file.
        path: String,
    },
    /// The system's source of randomness or cipher failed.
    #[error("cannot seal: {0}")]
    Cipher(String),
}

/// A clear secret on its way in or out: not shown by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret text.
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(text.into())
    }

    /// The text itself. Whoever calls this answers for where it goes.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Secret {
        Secret::new(text)
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Secret {
        Secret::new(text)
    }
}

/// One key with its id: the first 8 bytes of its SHA-256, in hex.
#[derive(Clone)]
pub struct Key {
    bytes: [u8; KEY_LEN],
    id: String,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.id)
    }
}

impl Key {
    /// A key from its bytes.
    pub fn new(bytes: [u8; KEY_LEN]) -> Key {
        let id = hex::encode(&Sha256::digest(bytes)[..8]);
        Key { bytes, id }
    }

    /// A fresh random key.
    pub fn generate() -> Result<Key, SealError> {
        let mut bytes = [0; KEY_LEN];
        aws_lc_rs::rand::fill(&mut bytes).map_err(|error| SealError::Cipher(error.to_string()))?;
        Ok(Key::new(bytes))
    }

    /// A key from hex or base64 text; `origin` names the place in errors.
    pub fn parse(text: &str, origin: &str) -> Result<Key, SealError> {
        let text = text.trim();
        let bytes = hex::decode(text)
            .ok()
            .or_else(|| STANDARD.decode(text).ok())
            .or_else(|| URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok());
        match bytes.map(<[u8; KEY_LEN]>::try_from) {
            Some(Ok(bytes)) => Ok(Key::new(bytes)),
            _ => Err(SealError::BadKey { origin: origin.to_owned() }),
        }
    }

    /// The key's public name.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The key as hex, for the key file.
    pub(crate) fn to_hex(&self) -> String {
        hex::encode(self.bytes)
    }

    fn cipher(&self) -> Result<RandomizedNonceKey, SealError> {
        RandomizedNonceKey::new(&AES_256_GCM, &self.bytes).map_err(|error| SealError::Cipher(error.to_string()))
    }

    /// Seals `plain` for the place that `context` names.
    pub(crate) fn seal(&self, context: &str, plain: &[u8]) -> Result<String, SealError> {
        let mut sealed = plain.to_vec();
        let nonce = self
            .cipher()?
            .seal_in_place_append_tag(Aad::from(context), &mut sealed)
            .map_err(|error| SealError::Cipher(error.to_string()))?;
        let mut payload = nonce.as_ref().to_vec();
        payload.append(&mut sealed);
        Ok(format!("v1.{}.{}", self.id, URL_SAFE_NO_PAD.encode(payload)))
    }

    fn open(&self, context: &str, payload: &[u8]) -> Result<Vec<u8>, SealError> {
        let broken = || SealError::Broken { context: context.to_owned() };
        let (nonce, sealed) = payload.split_at_checked(NONCE_LEN).ok_or_else(broken)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| broken())?;
        let mut buffer = sealed.to_vec();
        let length = self.cipher()?.open_in_place(nonce, Aad::from(context), &mut buffer).map_err(|_| broken())?.len();
        buffer.truncate(length);
        Ok(buffer)
    }
}

/// Where the keys of a ring come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyOrigin {
    /// The key file.
    File(PathBuf),
    /// `MUSTER_KEY` in the environment.
    Environment,
    /// A systemd credential.
    Credential,
}

#[derive(Debug)]
pub(crate) struct Ring {
    /// What a fresh database is sealed with: the key file's, or the one given.
    pub(crate) first: Key,
    /// Further keys that open.
    pub(crate) others: Vec<Key>,
    /// Id of the key that the database was last seen to use.
    pub(crate) used: String,
    pub(crate) origin: KeyOrigin,
}

/// The keys of a site. One of them is in use, which the database tells; the others still open. Clones share one ring, so
/// that a change of the key is seen everywhere at once.
#[derive(Clone, Debug)]
pub struct KeyRing {
    ring: Arc<RwLock<Ring>>,
}

impl KeyRing {
    /// A ring of given keys; a fresh database is sealed with `first`.
    pub fn new(first: Key, others: Vec<Key>) -> KeyRing {
        KeyRing::from_origin(first, others, KeyOrigin::Environment)
    }

    pub(crate) fn from_origin(first: Key, others: Vec<Key>, origin: KeyOrigin) -> KeyRing {
        let used = first.id.clone();
        KeyRing { ring: Arc::new(RwLock::new(Ring { first, others, used, origin })) }
    }

    /// Id of the key that the database was last seen to use.
    pub fn current_id(&self) -> String {
        self.with(|ring| ring.used.clone())
    }

    /// Ids of all keys at hand.
    pub fn ids(&self) -> Vec<String> {
        self.with(|ring| ring.keys().map(|key| key.id.clone()).collect())
    }

    /// Where the keys come from.
    pub fn origin(&self) -> KeyOrigin {
        self.with(|ring| ring.origin.clone())
    }

    /// Runs `look` on the ring. A poisoned lock is used as it is: every change of the ring leaves it whole.
    pub(crate) fn with<T>(&self, look: impl FnOnce(&Ring) -> T) -> T {
        look(&self.ring.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut Ring) -> T) -> T {
        change(&mut self.ring.write().unwrap_or_else(PoisonError::into_inner))
    }

    /// The key of this id. One that is not at hand may have come into the key files meanwhile.
    ///
    /// # Errors
    /// [`SealError::UnknownKey`], and what keeps a key file from being read.
    pub(crate) fn key(&self, id: &str) -> Result<Key, SealError> {
        if let Some(key) = self.with(|ring| ring.find(id)) {
            return Ok(key);
        }
        self.refresh()?;
        self.with(|ring| {
            ring.find(id).ok_or_else(|| SealError::UnknownKey { needed: id.to_owned(), known: ring.known() })
        })
    }

    /// Seals `plain` for the place that `context` names, with the key `id` or else with the first one.
    pub(crate) fn seal(&self, id: Option<&str>, context: &str, plain: &[u8]) -> Result<String, SealError> {
        let key = match id {
            Some(id) => self.key(id)?,
            None => self.with(|ring| ring.first.clone()),
        };
        key.seal(context, plain)
    }

    /// Opens a sealed text; `context` must be the one that it was sealed for.
    pub(crate) fn open(&self, context: &str, sealed: &str) -> Result<Vec<u8>, SealError> {
        let malformed = || SealError::Malformed { context: context.to_owned() };
        let rest = sealed.strip_prefix("v1.").ok_or_else(malformed)?;
        let (id, payload) = rest.split_once('.').ok_or_else(malformed)?;
        let payload = URL_SAFE_NO_PAD.decode(payload).map_err(|_| malformed())?;
        self.key(id)?.open(context, &payload)
    }
}

impl Ring {
    pub(crate) fn keys(&self) -> impl Iterator<Item = &Key> {
        std::iter::once(&self.first).chain(&self.others)
    }

    pub(crate) fn find(&self, id: &str) -> Option<Key> {
        self.keys().find(|key| key.id == id).cloned()
    }

    /// Takes what the key files say now. What was known stays known: a reader may be at an older state of the database.
    pub(crate) fn take(&mut self, file: Option<Key>, next: Option<Key>) {
        let mut known: Vec<Key> = self.keys().cloned().collect();
        known.extend(next);
        if let Some(file) = file {
            self.first = file;
        }
        self.others.clear();
        for key in known {
            if self.keys().all(|other| other.id != key.id) {
                self.others.push(key);
            }
        }
    }

    fn known(&self) -> String {
        let ids: Vec<&str> = self.keys().map(Key::id).collect();
        ids.join(", ")
    }
}

/// The id of the key that sealed a text.
pub(crate) fn key_id(sealed: &str) -> Option<&str> {
    sealed.strip_prefix("v1.")?.split('.').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(byte: u8) -> KeyRing {
        KeyRing::new(Key::new([byte; KEY_LEN]), Vec::new())
    }

    #[test]
    fn opens_only_in_its_own_place() {
        let keys = ring(1);
        let sealed = keys.seal(None, "servers/a/bmc_password", b"calvin").unwrap();
        assert_eq!(keys.open("servers/a/bmc_password", &sealed).unwrap(), b"calvin");
        assert!(matches!(keys.open("servers/b/bmc_password", &sealed), Err(SealError::Broken { .. })));
        assert!(!sealed.contains("calvin"));
        assert_ne!(
            sealed,
            keys.seal(None, "servers/a/bmc_password", b"calvin").unwrap(),
            "the nonce is fresh each time"
        );
    }

    #[test]
    fn refuses_altered_foreign_and_plain_text() {
        let keys = ring(1);
        let sealed = keys.seal(None, "x", b"secret").unwrap();
        let mut altered = sealed.clone().into_bytes();
        let position = sealed.len() - 5;
        altered[position] = if altered[position] == b'A' { b'B' } else { b'A' };
        assert!(matches!(keys.open("x", std::str::from_utf8(&altered).unwrap()), Err(SealError::Broken { .. })));
        assert!(matches!(ring(2).open("x", &sealed), Err(SealError::UnknownKey { .. })));
        assert!(matches!(keys.open("x", "secret"), Err(SealError::Malformed { .. })));
        assert!(keys.open("x", &format!("v1.{}.AAAA", keys.current_id())).is_err());
    }

    #[test]
    fn older_keys_still_open() {
        let sealed = ring(1).seal(None, "x", b"secret").unwrap();
        let keys = KeyRing::new(Key::new([2; KEY_LEN]), vec![Key::new([1; KEY_LEN])]);
        assert_eq!(keys.open("x", &sealed).unwrap(), b"secret");
    }

    #[test]
    fn keys_are_read_as_hex_and_base64_and_never_shown() {
        let key = Key::new([7; KEY_LEN]);
        assert_eq!(Key::parse(&hex::encode([7; KEY_LEN]), "t").unwrap().id(), key.id());
        assert_eq!(Key::parse(&STANDARD.encode([7; KEY_LEN]), "t").unwrap().id(), key.id());
        assert!(matches!(Key::parse("0707", "t"), Err(SealError::BadKey { .. })));
        assert_eq!(format!("{key:?}"), format!("Key({})", key.id()));
        assert_eq!(format!("{:?}", Secret::from("calvin")), "Secret(..)");
    }
}
