//! Which algorithms are good enough, and how they are called in certificates.

use aws_lc_rs::digest::{self, Digest};
use aws_lc_rs::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use x509_cert::der::asn1::ObjectIdentifier as Oid;
use x509_cert::der::{Any, Tag, Tagged};
use x509_cert::spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};

const SHA256: Oid = Oid::new_unwrap("2.16.840.1.101.3.4.2.1");
const SHA384: Oid = Oid::new_unwrap("2.16.840.1.101.3.4.2.2");
const SHA512: Oid = Oid::new_unwrap("2.16.840.1.101.3.4.2.3");
const EC_KEY: Oid = Oid::new_unwrap("1.2.840.10045.2.1");
const P256: Oid = Oid::new_unwrap("1.2.840.10045.3.1.7");
const P384: Oid = Oid::new_unwrap("1.3.132.0.34");
const P521: Oid = Oid::new_unwrap("1.3.132.0.35");
const ECDSA_SHA256: Oid = Oid::new_unwrap("1.2.840.10045.4.3.2");
const ECDSA_SHA384: Oid = Oid::new_unwrap("1.2.840.10045.4.3.3");
const ECDSA_SHA512: Oid = Oid::new_unwrap("1.2.840.10045.4.3.4");
const RSA: Oid = Oid::new_unwrap("1.2.840.113549.1.1.1");
const RSA_SHA256: Oid = Oid::new_unwrap("1.2.840.113549.1.1.11");
const RSA_SHA384: Oid = Oid::new_unwrap("1.2.840.113549.1.1.12");
const RSA_SHA512: Oid = Oid::new_unwrap("1.2.840.113549.1.1.13");

/// Why an algorithm or a signature is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AlgorithmError {
    /// Not SHA-256, -384 or -512.
    #[error("the digest algorithm {0} is not accepted; SHA-256, SHA-384 and SHA-512 are")]
    Digest(String),
    /// Not ECDSA or RSA with those, or not one that goes with the digest or key.
    #[error("the signature algorithm {0} is not accepted here; ECDSA and RSA with SHA-256, SHA-384 or SHA-512 are")]
    Signature(String),
    /// Not P-256, P-384, P-521 or RSA.
    #[error("the kind of key {0} is not accepted; ECDSA on P-256, P-384 or P-521 and RSA are")]
    Key(String),
    /// It was made with another key, or over other bytes; or the key is too short.
    #[error("the signature does not fit to the key and the signed bytes, or the key is too short")]
    Mismatch,
}

/// A digest that is good enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

impl Hash {
    pub(super) fn named(algorithm: &AlgorithmIdentifierOwned) -> Result<Self, AlgorithmError> {
        let hash = match algorithm.oid {
            SHA256 => Self::Sha256,
            SHA384 => Self::Sha384,
            SHA512 => Self::Sha512,
            other => return Err(AlgorithmError::Digest(other.to_string())),
        };
        if nothing(algorithm.parameters.as_ref()) {
            Ok(hash)
        } else {
            Err(AlgorithmError::Digest(algorithm.oid.to_string()))
        }
    }

    pub(super) fn of(self, bytes: &[u8]) -> Digest {
        let algorithm = match self {
            Self::Sha256 => &digest::SHA256,
            Self::Sha384 => &digest::SHA384,
            Self::Sha512 => &digest::SHA512,
        };
        digest::digest(algorithm, bytes)
    }
}

fn nothing(parameters: Option<&Any>) -> bool {
    parameters.is_none_or(|p| p.tag() == Tag::Null && p.value().is_empty())
}

/// Verifies the signature of a certificate.
pub(super) fn verify_certificate(
    key: &SubjectPublicKeyInfoOwned,
    algorithm: &AlgorithmIdentifierOwned,
    message: &[u8],
    signature: &[u8],
) -> Result<(), AlgorithmError> {
    let (rsa, hash) = match algorithm.oid {
        ECDSA_SHA256 => (false, Hash::Sha256),
        ECDSA_SHA384 => (false, Hash::Sha384),
        ECDSA_SHA512 => (false, Hash::Sha512),
        RSA_SHA256 => (true, Hash::Sha256),
        RSA_SHA384 => (true, Hash::Sha384),
        RSA_SHA512 => (true, Hash::Sha512),
        other => return Err(AlgorithmError::Signature(other.to_string())),
    };
    if rsa != (key.algorithm.oid == RSA) || !nothing(algorithm.parameters.as_ref()) {
        return Err(AlgorithmError::Signature(algorithm.oid.to_string()));
    }
    verify(key, hash, message, signature)
}

/// Verifies the signature of a signer, whose digest algorithm stands apart; the algorithm may name only the kind of key.
pub(super) fn verify_signer(
    key: &SubjectPublicKeyInfoOwned,
    algorithm: &AlgorithmIdentifierOwned,
    hash: Hash,
    message: &[u8],
    signature: &[u8],
) -> Result<(), AlgorithmError> {
    let fits = match (algorithm.oid, hash) {
        (EC_KEY, _) => key.algorithm.oid == EC_KEY,
        (RSA, _) => key.algorithm.oid == RSA,
        (ECDSA_SHA256, Hash::Sha256) | (ECDSA_SHA384, Hash::Sha384) | (ECDSA_SHA512, Hash::Sha512) => {
            key.algorithm.oid == EC_KEY
        }
        (RSA_SHA256, Hash::Sha256) | (RSA_SHA384, Hash::Sha384) | (RSA_SHA512, Hash::Sha512) => {
            key.algorithm.oid == RSA
        }
        _ => false,
    };
    if !fits {
        return Err(AlgorithmError::Signature(algorithm.oid.to_string()));
    }
    verify(key, hash, message, signature)
}

fn verify(key: &SubjectPublicKeyInfoOwned, hash: Hash, message: &[u8], signature: &[u8]) -> Result<(), AlgorithmError> {
    let unknown = || AlgorithmError::Key(key.algorithm.oid.to_string());
    let algorithm: &'static dyn VerificationAlgorithm = match key.algorithm.oid {
        RSA if nothing(key.algorithm.parameters.as_ref()) => match hash {
            Hash::Sha256 => &signature::RSA_PKCS1_2048_8192_SHA256,
            Hash::Sha384 => &signature::RSA_PKCS1_2048_8192_SHA384,
            Hash::Sha512 => &signature::RSA_PKCS1_2048_8192_SHA512,
        },
        EC_KEY => {
            let curve =
                key.algorithm.parameters.as_ref().and_then(|p| p.decode_as::<Oid>().ok()).ok_or_else(unknown)?;
            match (curve, hash) {
                (P256, Hash::Sha256) => &signature::ECDSA_P256_SHA256_ASN1,
                (P256, Hash::Sha384) => &signature::ECDSA_P256_SHA384_ASN1,
                (P256, Hash::Sha512) => &signature::ECDSA_P256_SHA512_ASN1,
                (P384, Hash::Sha256) => &signature::ECDSA_P384_SHA256_ASN1,
                (P384, Hash::Sha384) => &signature::ECDSA_P384_SHA384_ASN1,
                (P384, Hash::Sha512) => &signature::ECDSA_P384_SHA512_ASN1,
                (P521, Hash::Sha256) => &signature::ECDSA_P521_SHA256_ASN1,
                (P521, Hash::Sha384) => &signature::ECDSA_P521_SHA384_ASN1,
                (P521, Hash::Sha512) => &signature::ECDSA_P521_SHA512_ASN1,
                (other, _) => return Err(AlgorithmError::Key(other.to_string())),
            }
        }
        _ => return Err(unknown()),
    };
    let key = key.subject_public_key.as_bytes().ok_or_else(unknown)?;
    UnparsedPublicKey::new(algorithm, key).verify(message, signature).map_err(|_| AlgorithmError::Mismatch)
}
