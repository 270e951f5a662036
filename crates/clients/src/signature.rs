//! Signing a text with the key of a certificate, and checking that against the certificate.

use aws_lc_rs::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use rustls::SignatureScheme;
use x509_cert::der::{Decode, Encode};

use crate::tls::{Identity, TlsError, leaf};

/// What keys of each kind sign with: a name, and how it is checked.
const SCHEMES: [(&str, SignatureScheme, &'static dyn VerificationAlgorithm); 4] = [
    ("ecdsa_p384_sha384", SignatureScheme::ECDSA_NISTP384_SHA384, &signature::ECDSA_P384_SHA384_ASN1),
    ("ecdsa_p256_sha256", SignatureScheme::ECDSA_NISTP256_SHA256, &signature::ECDSA_P256_SHA256_ASN1),
    ("ed25519", SignatureScheme::ED25519, &signature::ED25519),
    ("rsa_pkcs1_sha256", SignatureScheme::RSA_PKCS1_SHA256, &signature::RSA_PKCS1_2048_8192_SHA256),
];

/// Why a signature does not hold, or none can be made.
#[derive(Debug, thiserror::Error)]
pub enum SignatureError {
    /// The pair cannot be read.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The key is of a kind that does not sign here.
    #[error(
        "the key of the certificate is of a kind that cannot sign: it has to be ECDSA on P-256 or P-384, Ed25519, or RSA"
    )]
    Key,
    /// The certificate's key cannot be read.
    #[error("the key in the certificate cannot be read: {0}")]
    Certificate(#[from] x509_cert::der::Error),
    /// It is signed in a way that is not known.
    #[error("signed as {0:?}, which is not known")]
    Scheme(String),
    /// It was not made by this key for this text.
    #[error("the signature is not that of the certificate for this text")]
    Mismatch,
}

/// Signs a text; answers the name of the scheme, and the signature.
///
/// # Errors
/// A pair that cannot be read, or whose key does not sign.
pub fn sign(identity: &Identity, text: &[u8]) -> Result<(&'static str, Vec<u8>), SignatureError> {
    let key = identity.credentials()?.certified_key();
    let offered = SCHEMES.map(|(_, scheme, _)| scheme);
    let signer = key.key.choose_scheme(&offered).ok_or(SignatureError::Key)?;
    let name = SCHEMES.iter().find(|(_, scheme, _)| *scheme == signer.scheme()).ok_or(SignatureError::Key)?.0;
    Ok((name, signer.sign(text).map_err(TlsError::from)?))
}

/// Checks that a text was signed by the key of a certificate (PEM). Whether that is a certificate to be trusted is not looked
/// at.
///
/// # Errors
/// Why it does not hold.
pub fn verify(certificate_pem: &str, scheme: &str, text: &[u8], signature: &[u8]) -> Result<(), SignatureError> {
    let (_, _, algorithm) =
        SCHEMES.iter().find(|(name, ..)| *name == scheme).ok_or_else(|| SignatureError::Scheme(scheme.to_owned()))?;
    let certificate = x509_cert::Certificate::from_der(&leaf(certificate_pem)?)?;
    let key = &certificate.tbs_certificate.subject_public_key_info;
    let key = match key.subject_public_key.as_bytes() {
        Some(bits) => bits.to_vec(),
        None => key.to_der()?,
    };
    UnparsedPublicKey::new(*algorithm, key).verify(text, signature).map_err(|_| SignatureError::Mismatch)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::{Curve, Kind};
    use std::time::SystemTime;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a certificate of a test is valid from now")]
    fn a_signature_holds_for_its_text_and_its_key() {
        let make = |curve| Identity::generate(&Kind::Client, curve, "test", SystemTime::now()).unwrap();
        for (curve, name) in [(Curve::P384, "ecdsa_p384_sha384"), (Curve::P256, "ecdsa_p256_sha256")] {
            let (one, other) = (make(curve), make(curve));
            let (scheme, signature) = sign(&one, b"text").unwrap();
            assert_eq!(scheme, name);
            verify(&one.certificate_pem, scheme, b"text", &signature).unwrap();
            for wrong in [
                verify(&one.certificate_pem, scheme, b"texT", &signature),
                verify(&other.certificate_pem, scheme, b"text", &signature),
                verify(&one.certificate_pem, scheme, b"text", &signature[1..]),
                verify(&one.certificate_pem, "ed25519", b"text", &signature),
            ] {
                assert!(matches!(wrong, Err(SignatureError::Mismatch)), "{wrong:?}");
            }
            let unknown = verify(&one.certificate_pem, "none", b"text", &signature);
            assert!(matches!(unknown, Err(SignatureError::Scheme(_))), "{unknown:?}");
        }
    }
}
