//! Who signs: a root, an intermediate and a signer, all three of them CA certificates on P-256 as the real publisher's
//! are (`updates-and-system.md` 9), and the S/MIME messages that they sign.

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use cms::cert::{CertificateChoices, IssuerAndSerialNumber};
use cms::content_info::{CmsVersion, ContentInfo};
use cms::signed_data::{EncapsulatedContentInfo, SignedData, SignerIdentifier, SignerInfo};
use muster_clients::tls::fingerprint;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SigningKey};
use sha2::{Digest, Sha256};
use x509_cert::Certificate;
use x509_cert::attr::Attribute;
use x509_cert::der::asn1::{ObjectIdentifier as Oid, OctetString, SetOfVec, UtcTime};
use x509_cert::der::{Any, Decode, Encode, Tag};
use x509_cert::spki::AlgorithmIdentifierOwned;

const SIGNED_DATA: Oid = Oid::new_unwrap("1.2.840.113549.1.7.2");
const DATA: Oid = Oid::new_unwrap("1.2.840.113549.1.7.1");
const CONTENT_TYPE: Oid = Oid::new_unwrap("1.2.840.113549.1.9.3");
const MESSAGE_DIGEST: Oid = Oid::new_unwrap("1.2.840.113549.1.9.4");
const SIGNING_TIME: Oid = Oid::new_unwrap("1.2.840.113549.1.9.5");
const CAPABILITIES: Oid = Oid::new_unwrap("1.2.840.113549.1.9.15");
const SHA256: Oid = Oid::new_unwrap("2.16.840.1.101.3.4.2.1");
const ECDSA_SHA256: Oid = Oid::new_unwrap("1.2.840.10045.4.3.2");

/// S/MIME capabilities: AES-256-CBC.
const AES_256_CBC: [u8; 13] = [0x30, 0x0b, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x01, 0x2a];

/// How long its certificates are valid.
const VALID_FOR: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// How a message carries its content; the publisher uses the one with keys in files, the other with keys in a TPM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Beside the signature, readable.
    Clear,
    /// Inside the signature.
    Opaque,
}

/// Why something cannot be signed.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// Keys and certificates.
    #[error("cannot make a certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// The structure of the signature.
    #[error("cannot write a signature: {0}")]
    Structure(#[from] x509_cert::der::Error),
}

type Issuer = CertifiedIssuer<'static, KeyPair>;

/// An authority with one signer.
pub struct Authority {
    root: Issuer,
    intermediate: Issuer,
    signer: Issuer,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").field("root", &self.root_pem()).finish_non_exhaustive()
    }
}

fn parameters(name: &str, now: SystemTime) -> CertificateParams {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = rcgen::DistinguishedName::new();
    parameters.distinguished_name.push(DnType::CommonName, name);
    parameters.distinguished_name.push(DnType::OrganizationName, "Simulated Publisher");
    parameters.not_before = now.into();
    parameters.not_after = (now + VALID_FOR).into();
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    parameters.use_authority_key_identifier_extension = true;
    parameters
}

fn key() -> Result<KeyPair, rcgen::Error> {
    KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)
}

impl Authority {
    /// Makes keys and certificates, valid from `now` for ten years.
    ///
    /// # Errors
    /// Keys that cannot be made.
    pub fn new(now: SystemTime) -> Result<Self, SignError> {
        let root = CertifiedIssuer::self_signed(parameters("Simulated Root", now), key()?)?;
        let intermediate = CertifiedIssuer::signed_by(parameters("Simulated Update", now), key()?, &root)?;
        let signer = CertifiedIssuer::signed_by(parameters("Simulated Update Signer", now), key()?, &intermediate)?;
        Ok(Self { root, intermediate, signer })
    }

    /// The root, to be trusted.
    pub fn root_pem(&self) -> String {
        self.root.as_ref().pem()
    }

    /// Fingerprint of the intermediate, to be pinned.
    pub fn intermediate_fingerprint(&self) -> String {
        fingerprint(self.intermediate.as_ref().der())
    }

    /// Signs a text as an S/MIME message.
    ///
    /// # Errors
    /// A structure that cannot be written.
    pub fn sign(&self, text: &str, encoding: Encoding, now: SystemTime) -> Result<Vec<u8>, SignError> {
        let body = text.replace("\r\n", "\n").replace('\n', "\r\n");
        let content = format!("Content-Type: text/plain\r\n\r\n{body}").into_bytes();
        let signature = self.signature(&content, encoding, now)?;
        let base64 = base64::engine::general_purpose::STANDARD.encode(signature);
        let lines: Vec<_> = base64.as_bytes().chunks(64).map(|line| [line, b"\n"].concat()).collect();
        Ok(envelope(&content, &lines.concat(), encoding))
    }

    fn signature(&self, content: &[u8], encoding: Encoding, now: SystemTime) -> Result<Vec<u8>, SignError> {
        let certificate = |issuer: &Issuer| Certificate::from_der(issuer.as_ref().der());
        let signer = certificate(&self.signer)?;
        let id = IssuerAndSerialNumber {
            issuer: signer.tbs_certificate.issuer.clone(),
            serial_number: signer.tbs_certificate.serial_number.clone(),
        };
        let digest = AlgorithmIdentifierOwned { oid: SHA256, parameters: None };
        let attributes = attributes(content, now)?;
        let signature = self.signer.key().sign(&attributes.to_der()?)?;
        let info = SignerInfo {
            version: CmsVersion::V1,
            sid: SignerIdentifier::IssuerAndSerialNumber(id),
            digest_alg: digest.clone(),
            signed_attrs: Some(attributes),
            signature_algorithm: AlgorithmIdentifierOwned { oid: ECDSA_SHA256, parameters: None },
            signature: OctetString::new(signature)?,
            unsigned_attrs: None,
        };
        let econtent = match encoding {
            Encoding::Clear => None,
            Encoding::Opaque => Some(Any::new(Tag::OctetString, content)?),
        };
        let certificates = vec![
            CertificateChoices::Certificate(signer),
            CertificateChoices::Certificate(certificate(&self.intermediate)?),
        ];
        let data = SignedData {
            version: CmsVersion::V1,
            digest_algorithms: SetOfVec::try_from(vec![digest])?,
            encap_content_info: EncapsulatedContentInfo { econtent_type: DATA, econtent },
            certificates: Some(certificates.try_into()?),
            crls: None,
            signer_infos: vec![info].try_into()?,
        };
        Ok(ContentInfo { content_type: SIGNED_DATA, content: Any::encode_from(&data)? }.to_der()?)
    }
}

fn attributes(content: &[u8], now: SystemTime) -> Result<SetOfVec<Attribute>, SignError> {
    let attribute = |oid, value| -> Result<Attribute, SignError> {
        Ok(Attribute { oid, values: SetOfVec::try_from(vec![value])? })
    };
    let since_epoch = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let time = UtcTime::from_unix_duration(Duration::from_secs(since_epoch.as_secs()))?;
    let digest = OctetString::new(Sha256::digest(content).to_vec())?;
    Ok(SetOfVec::try_from(vec![
        attribute(CONTENT_TYPE, Any::encode_from(&DATA)?)?,
        attribute(SIGNING_TIME, Any::encode_from(&time)?)?,
        attribute(MESSAGE_DIGEST, Any::encode_from(&digest)?)?,
        attribute(CAPABILITIES, Any::new(Tag::Sequence, AES_256_CBC)?)?,
    ])?)
}

fn envelope(content: &[u8], signature: &[u8], encoding: Encoding) -> Vec<u8> {
    match encoding {
        Encoding::Opaque => {
            let head = "MIME-Version: 1.0\nContent-Disposition: attachment; filename=\"smime.p7m\"\nContent-Type: \
                        application/x-pkcs7-mime; smime-type=signed-data; name=\"smime.p7m\"\n\
                        Content-Transfer-Encoding: base64\n\n";
            [head.as_bytes(), signature, b"\n"].concat()
        }
        Encoding::Clear => {
            let boundary = format!("----{}", &hex::encode_upper(Sha256::digest(content))[..32]);
            let kind = "application/x-pkcs7-signature";
            let head = format!(
                "MIME-Version: 1.0\nContent-Type: multipart/signed; protocol=\"{kind}\"; micalg=\"sha-256\"; \
                 boundary=\"{boundary}\"\n\nThis is an S/MIME signed message\n\n--{boundary}\n"
            );
            let between = format!(
                "\n--{boundary}\nContent-Type: {kind}; name=\"smime.p7s\"\nContent-Transfer-Encoding: base64\n\
                 Content-Disposition: attachment; filename=\"smime.p7s\"\n\n"
            );
            let end = format!("\n--{boundary}--\n\n");
            [head.as_bytes(), content, between.as_bytes(), signature, end.as_bytes()].concat()
        }
    }
}
