//! Signed documents of an update source (`updates-and-system.md` 9): S/MIME, clear-signed or opaque.
//!
//! [`verify`] answers with what was signed, and by whom; without network, clock or files. It is as strict as
//! `openssl smime -verify -text`, which the tests ask for its opinion, and on purpose stricter in this:
//!
//! - SHA-1, RSA keys below 2048 bits and algorithms other than ECDSA and RSA (PKCS#1) are refused
//! - a signer needs signed attributes, with the type and digest of the content and the time of signing, each once: by
//!   the time a replayed document is recognised
//! - content that is both beside the signature and inside it, more than [`SIGNERS_LIMIT`] signers or
//!   [`CERTIFICATES_LIMIT`] certificates, and anything after the signature's structure are refused
//! - every issuer has to be a CA by its basic constraints, the root too; names of issuers are compared byte by byte
//! - name constraints, Netscape types and critical extensions that are not understood refuse the chain
//! - an intermediate can be pinned, so that not everything below the root can sign updates

use std::time::{Duration, SystemTime};

use x509_cert::Certificate;
use x509_cert::der::{Decode, Encode};

use crate::tls::{TlsError, fingerprint, pem_to_ders};

mod algorithm;
mod ber;
mod chain;
mod mime;
mod signed_data;

pub use algorithm::AlgorithmError;
pub use ber::BerError;
pub use chain::ChainError;
pub use mime::MimeError;
pub use signed_data::SignatureError;

/// Largest signed document, in bytes; an opaque one is a third larger than its content.
pub const MESSAGE_LIMIT: usize = 16 << 20;
/// Most certificates in a signature.
pub const CERTIFICATES_LIMIT: usize = 16;
/// Most signers; every one has to be good.
pub const SIGNERS_LIMIT: usize = 4;

/// Why a document is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// Larger than [`MESSAGE_LIMIT`].
    #[error("the signed document has {0} bytes, and at most {MESSAGE_LIMIT} are read")]
    TooLarge(usize),
    /// It is no S/MIME message.
    #[error("the document is not a signed one: {0}")]
    Mime(#[from] MimeError),
    /// The signature cannot be read.
    #[error("the signature cannot be read: {0}")]
    Encoding(#[from] BerError),
    /// The signature is not good.
    #[error("the signature is not good: {0}")]
    Signature(#[from] SignatureError),
    /// The signer is not trusted.
    #[error("the signer is not trusted: {0}")]
    Chain(#[from] ChainError),
}

/// Why certificates cannot be an authority.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// Not PEM, or no certificate.
    #[error(transparent)]
    Pem(#[from] TlsError),
    /// None of them signed itself.
    #[error("none of the certificates is a root: give the certificate that signed itself, not an intermediate")]
    NoRoot,
    /// The pin has another form.
    #[error("{0:?} is no fingerprint: give the SHA-256 of the intermediate certificate, 64 hex digits")]
    Pin(String),
}

/// Whose signatures are good.
#[derive(Debug, Clone)]
pub struct Authority {
    roots: Vec<Certificate>,
    others: Vec<Certificate>,
    pin: Option<String>,
}

impl Authority {
    /// From certificates in PEM, at least one of them a root; others help to find a way from a signer to a root.
    /// `pin`: fingerprint of an intermediate that has to be on that way, colons and capitals allowed.
    ///
    /// # Errors
    /// Text that is no certificate, no root, or a pin that is no fingerprint.
    pub fn new(pem: &str, pin: Option<&str>) -> Result<Self, AuthorityError> {
        let (mut roots, mut others) = (Vec::new(), Vec::new());
        for der in pem_to_ders(pem)? {
            let certificate = Certificate::from_der(&der)
                .map_err(|e| TlsError::Unreadable { what: "certificate", cause: e.to_string() })?;
            let own = certificate.tbs_certificate.issuer == certificate.tbs_certificate.subject;
            if own { roots.push(certificate) } else { others.push(certificate) }
        }
        if roots.is_empty() {
            return Err(AuthorityError::NoRoot);
        }
        let pin = match pin {
            None => None,
            Some(text) => {
                let digits: String = text.chars().filter(|c| *c != ':').collect::<String>().to_ascii_lowercase();
                if digits.len() != 64 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
                    return Err(AuthorityError::Pin(text.chars().take(100).collect()));
                }
                Some(digits)
            }
        };
        Ok(Self { roots, others, pin })
    }
}

/// A document whose signature is good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// What was signed, without its own header; line ends are CRLF.
    pub payload: Vec<u8>,
    /// When, as the signer says; the earliest, if there are several.
    pub signed_at: SystemTime,
    /// Fingerprints of the certificates from the first signer to its root.
    pub chain: Vec<String>,
    /// Name of the first signer.
    pub signer: String,
}

/// Verifies a signed document.
///
/// # Errors
/// Why it is refused.
pub fn verify(message: &[u8], authority: &Authority, now: SystemTime) -> Result<Verified, VerifyError> {
    if message.len() > MESSAGE_LIMIT {
        return Err(VerifyError::TooLarge(message.len()));
    }
    let parts = mime::read(message)?;
    let signed = signed_data::read(&ber::to_der(&parts.signature)?, parts.content)?;
    let mut first = None;
    for signer in &signed.signers {
        let chain = chain::find(&signer.certificate, &signed.certificates, authority, now)?;
        if first.is_none() {
            let fingerprints = chain.iter().map(|c| c.to_der().map(|der| fingerprint(&der)));
            let fingerprints: Result<Vec<String>, _> = fingerprints.collect();
            let fingerprints = fingerprints.map_err(|e| SignatureError::unreadable(&e))?;
            first = Some((fingerprints, signer.certificate.tbs_certificate.subject.to_string()));
        }
    }
    let Some((chain, signer)) = first else { return Err(SignatureError::NoSigner.into()) };
    let signed_at = signed.signers.iter().map(|s| s.signed_at).min().unwrap_or(Duration::ZERO);
    let payload = mime::text(&signed.content)?.to_vec();
    Ok(Verified { payload, signed_at: SystemTime::UNIX_EPOCH + signed_at, chain, signer })
}
