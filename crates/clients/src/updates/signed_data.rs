//! The signature itself: CMS SignedData (RFC 5652), version 1, with signed attributes.

use std::time::Duration;

use cms::cert::CertificateChoices;
use cms::content_info::{CmsVersion, ContentInfo};
use cms::signed_data::{SignedData, SignerIdentifier, SignerInfo};
use x509_cert::Certificate;
use x509_cert::attr::{Attribute, Attributes};
use x509_cert::der::asn1::{ObjectIdentifier as Oid, OctetString};
use x509_cert::der::{AnyRef, Decode, DecodeOwned, Encode, SliceReader, Tag, Tagged};
use x509_cert::time::Time;

use super::algorithm::{AlgorithmError, Hash, verify_signer};
use super::{CERTIFICATES_LIMIT, SIGNERS_LIMIT};

const SIGNED_DATA: Oid = Oid::new_unwrap("1.2.840.113549.1.7.2");
const DATA: Oid = Oid::new_unwrap("1.2.840.113549.1.7.1");
const CONTENT_TYPE: Oid = Oid::new_unwrap("1.2.840.113549.1.9.3");
const MESSAGE_DIGEST: Oid = Oid::new_unwrap("1.2.840.113549.1.9.4");
const SIGNING_TIME: Oid = Oid::new_unwrap("1.2.840.113549.1.9.5");

/// Most bytes besides the content: certificates, attributes, signatures. Reading them takes time that grows with the
/// square of their number, so nothing is read before this was looked at.
const STRUCTURE_LIMIT: usize = 64 << 10;

/// Why a signature is not good.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// Not the structure it should be.
    #[error("its structure cannot be read: {0}")]
    Unreadable(String),
    /// Larger than anything real.
    #[error("it has {0} bytes besides the content, and at most {STRUCTURE_LIMIT} are read")]
    TooLarge(usize),
    /// Encrypted, compressed, or a signature in a signature.
    #[error("it holds {found} where {expected} is expected")]
    Type {
        /// What is there.
        found: String,
        /// What should be.
        expected: &'static str,
    },
    /// Content neither beside nor inside, or both.
    #[error("the content has to be either beside the signature or inside it")]
    Content,
    /// Nobody signed.
    #[error("nobody signed it")]
    NoSigner,
    /// Too many certificates or signers.
    #[error("it has {count} {what}, and at most {limit} are read")]
    TooMany {
        /// `certificates` or `signers`.
        what: &'static str,
        /// Found.
        count: usize,
        /// Possible.
        limit: usize,
    },
    /// Version or identification of a signer that S/MIME documents do not have.
    #[error("a signer is not identified by issuer and serial number")]
    SignerKind,
    /// The signer's certificate is not in the message.
    #[error("the certificate of the signer (serial number {0}) is not in it")]
    NoCertificate(String),
    /// A signed attribute is missing, is there twice, or has no single value.
    #[error("the signed attribute {0} is missing or not unique")]
    Attribute(&'static str),
    /// The content was changed.
    #[error("the content was changed after it was signed")]
    Changed,
    /// An algorithm that is not accepted, or a signature that does not fit.
    #[error(transparent)]
    Algorithm(#[from] AlgorithmError),
}

impl SignatureError {
    pub(super) fn unreadable(error: &x509_cert::der::Error) -> Self {
        Self::Unreadable(error.to_string())
    }
}

/// A signature that fits to its content; whether the signers are to be trusted is another matter.
#[derive(Debug)]
pub(super) struct Signed {
    /// The signed bytes.
    pub content: Vec<u8>,
    /// Certificates that came along.
    pub certificates: Vec<Certificate>,
    /// At least one.
    pub signers: Vec<Signer>,
}

/// One who signed.
#[derive(Debug)]
pub(super) struct Signer {
    /// With this certificate.
    pub certificate: Certificate,
    /// At this time since the epoch.
    pub signed_at: Duration,
}

/// Reads and verifies a signature in DER, over the content beside it or the one inside.
pub(super) fn read(der: &[u8], beside: Option<Vec<u8>>) -> Result<Signed, SignatureError> {
    limit_size(der)?;
    let unreadable = |e: x509_cert::der::Error| SignatureError::unreadable(&e);
    let info = ContentInfo::from_der(der).map_err(unreadable)?;
    let data: SignedData = info.content.decode_as().map_err(unreadable)?;
    expect(data.encap_content_info.econtent_type, DATA, "plain data")?;
    let content = match (beside, data.encap_content_info.econtent) {
        (Some(beside), None) => beside,
        (None, Some(inside)) if inside.tag() == Tag::OctetString => inside.value().to_vec(),
        _ => return Err(SignatureError::Content),
    };
    let choices = data.certificates.map(|set| set.0.into_vec()).unwrap_or_default();
    limit_count("certificates", choices.len(), CERTIFICATES_LIMIT)?;
    let certificates = choices.into_iter().filter_map(|choice| match choice {
        CertificateChoices::Certificate(certificate) => Some(certificate),
        CertificateChoices::Other(_) => None,
    });
    let certificates: Vec<Certificate> = certificates.collect();
    let infos = data.signer_infos.0.into_vec();
    limit_count("signers", infos.len(), SIGNERS_LIMIT)?;
    if infos.is_empty() {
        return Err(SignatureError::NoSigner);
    }
    if data.version != CmsVersion::V1 {
        return Err(SignatureError::SignerKind);
    }
    let signers = infos.iter().map(|info| signer(info, &certificates, &content)).collect::<Result<Vec<_>, _>>()?;
    Ok(Signed { content, certificates, signers })
}

/// Type and size, before anything else is read: SEQUENCE { type, [0] { SEQUENCE { version, digests, content, … } } }
fn limit_size(der: &[u8]) -> Result<(), SignatureError> {
    let unreadable = |e: x509_cert::der::Error| SignatureError::unreadable(&e);
    let outer = AnyRef::from_der(der).map_err(unreadable)?;
    let mut reader = SliceReader::new(outer.value()).map_err(unreadable)?;
    expect(Oid::decode(&mut reader).map_err(unreadable)?, SIGNED_DATA, "signed data")?;
    let mut content = || -> x509_cert::der::Result<usize> {
        let data = AnyRef::from_der(AnyRef::decode(&mut reader)?.value())?;
        let mut reader = SliceReader::new(data.value())?;
        AnyRef::decode(&mut reader)?;
        AnyRef::decode(&mut reader)?;
        Ok(AnyRef::decode(&mut reader)?.value().len())
    };
    let besides = der.len() - content().map_err(unreadable)?;
    if besides > STRUCTURE_LIMIT { Err(SignatureError::TooLarge(besides)) } else { Ok(()) }
}

fn limit_count(what: &'static str, count: usize, limit: usize) -> Result<(), SignatureError> {
    if count > limit { Err(SignatureError::TooMany { what, count, limit }) } else { Ok(()) }
}

fn expect(found: Oid, oid: Oid, expected: &'static str) -> Result<(), SignatureError> {
    if found == oid { Ok(()) } else { Err(SignatureError::Type { found: found.to_string(), expected }) }
}

fn signer(info: &SignerInfo, certificates: &[Certificate], content: &[u8]) -> Result<Signer, SignatureError> {
    let SignerIdentifier::IssuerAndSerialNumber(id) = &info.sid else { return Err(SignatureError::SignerKind) };
    if info.version != CmsVersion::V1 {
        return Err(SignatureError::SignerKind);
    }
    let certificate = certificates
        .iter()
        .find(|c| c.tbs_certificate.issuer == id.issuer && c.tbs_certificate.serial_number == id.serial_number)
        .ok_or_else(|| SignatureError::NoCertificate(id.serial_number.to_string()))?;
    let hash = Hash::named(&info.digest_alg)?;
    let attributes = info.signed_attrs.as_ref().ok_or(SignatureError::Attribute("content type"))?;
    let kind: Oid = value(attributes, CONTENT_TYPE, "content type")?;
    expect(kind, DATA, "plain data")?;
    let digest: OctetString = value(attributes, MESSAGE_DIGEST, "message digest")?;
    if digest.as_bytes() != hash.of(content).as_ref() {
        return Err(SignatureError::Changed);
    }
    let time: Time = value(attributes, SIGNING_TIME, "signing time")?;
    // What is signed is the set with its own tag, not the one it has within the signer.
    let signed = attributes.to_der().map_err(|e| SignatureError::unreadable(&e))?;
    let key = &certificate.tbs_certificate.subject_public_key_info;
    verify_signer(key, &info.signature_algorithm, hash, &signed, info.signature.as_bytes())?;
    Ok(Signer { certificate: certificate.clone(), signed_at: time.to_unix_duration() })
}

/// The single value of the attribute that is there once.
fn value<T: DecodeOwned>(attributes: &Attributes, oid: Oid, name: &'static str) -> Result<T, SignatureError> {
    let mut all = attributes.iter().filter(|a: &&Attribute| a.oid == oid);
    let (Some(one), None) = (all.next(), all.next()) else { return Err(SignatureError::Attribute(name)) };
    let [value] = one.values.as_slice() else { return Err(SignatureError::Attribute(name)) };
    let der = value.to_der().map_err(|_| SignatureError::Attribute(name))?;
    T::from_der(&der).map_err(|_| SignatureError::Attribute(name))
}
