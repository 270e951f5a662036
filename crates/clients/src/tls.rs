//! Identities and trust: the only place that builds TLS client configurations.
//!
//! Sources: updates-and-system.md 7.1 (generated pairs), servers.md 7.0 (pinning).

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::time_provider::{DefaultTimeProvider, TimeProvider};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, OtherError, RootCertStore, SignatureScheme};
use sha2::{Digest, Sha256};
use x509_cert::der::Decode;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

/// How long a generated certificate is valid.
pub const GENERATED_FOR: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// What can be wrong with certificates and keys.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The text holds no certificate in PEM form.
    #[error("no certificate found in the PEM text")]
    NoCertificate,
    /// PEM or DER that cannot be read.
    #[error("unreadable {what}: {cause}")]
    Unreadable {
        /// "certificate" or "key".
        what: &'static str,
        /// What the reader said.
        cause: String,
    },
    /// The key does not belong to the certificate.
    #[error("the key does not belong to the certificate")]
    Mismatch,
    /// Making a key or a certificate failed.
    #[error("cannot generate a certificate: {0}")]
    Generate(#[from] rcgen::Error),
    /// TLS refused the configuration.
    #[error("TLS configuration: {0}")]
    Config(#[from] rustls::Error),
}

fn unreadable(what: &'static str) -> impl Fn(&dyn fmt::Display) -> TlsError {
    move |cause| TlsError::Unreadable { what, cause: cause.to_string() }
}

/// The cryptography everything uses: aws-lc-rs, always passed on, never installed for the process.
pub fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    PROVIDER.get_or_init(|| Arc::new(rustls::crypto::aws_lc_rs::default_provider())).clone()
}

/// What a generated certificate is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// Presented to machines: client authentication, no names.
    Client,
    /// Listening: server authentication for these host names and IP addresses.
    Server {
        /// DNS names and IP addresses, in this order.
        names: Vec<String>,
    },
    /// Both, as the server certificate of a machine is: it listens with it and presents it when it registers.
    Machine {
        /// DNS names and IP addresses, in this order.
        names: Vec<String>,
    },
}

/// The curve of a generated key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Curve {
    /// What the product generates (updates-and-system.md 7.1).
    P384,
    /// Cheaper; for simulated machines.
    P256,
}

/// A certificate chain and the key of its leaf, both PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct Identity {
    /// Leaf first, then its issuers.
    pub certificate_pem: String,
    /// PKCS#8, SEC1 or PKCS#1.
    pub key_pem: String,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("certificate_pem", &self.certificate_pem).finish_non_exhaustive()
    }
}

impl Identity {
    /// A new self-signed pair, valid from `now` for ten years, subject `O=Muster, CN=<common_name>`.
    /// `common_name` is `user@host` for the center's own pairs (updates-and-system.md 7.1).
    pub fn generate(kind: &Kind, curve: Curve, common_name: &str, now: SystemTime) -> Result<Self, TlsError> {
        use rcgen::{DnType, ExtendedKeyUsagePurpose as Eku, IsCa, KeyUsagePurpose as Ku};
        let (names, usages): (&[String], _) = match kind {
            Kind::Client => (&[], vec![Eku::ClientAuth]),
            Kind::Server { names } => (names, vec![Eku::ServerAuth]),
            Kind::Machine { names } => (names, vec![Eku::ServerAuth, Eku::ClientAuth]),
        };
        let key = rcgen::KeyPair::generate_for(match curve {
            Curve::P384 => &rcgen::PKCS_ECDSA_P384_SHA384,
            Curve::P256 => &rcgen::PKCS_ECDSA_P256_SHA256,
        })?;
        let mut params = rcgen::CertificateParams::new(names)?;
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "Muster");
        params.distinguished_name.push(DnType::CommonName, common_name);
        params.not_before = now.into();
        params.not_after = (now + GENERATED_FOR).into();
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![Ku::DigitalSignature, Ku::KeyEncipherment];
        params.extended_key_usages = usages;
        // The key is fresh and random, so its hash is a random serial number; the first bit must be clear.
        let mut serial = Sha256::digest(key.public_key_raw())[..16].to_vec();
        serial[0] = serial[0] & 0x7f | 0x40;
        params.serial_number = Some(rcgen::SerialNumber::from(serial));
        Ok(Self { certificate_pem: params.self_signed(&key)?.pem(), key_pem: key.serialize_pem() })
    }

    /// The leaf certificate.
    pub fn leaf(&self) -> Result<CertificateDer<'static>, TlsError> {
        leaf(&self.certificate_pem)
    }

    /// Fingerprint of the leaf: lower-case hex SHA-256.
    pub fn fingerprint(&self) -> Result<String, TlsError> {
        Ok(fingerprint(&self.leaf()?))
    }

    /// Read once, so that many connections share one parsed key. Refuses a key of another certificate.
    pub fn credentials(&self) -> Result<Arc<Credentials>, TlsError> {
        let chain = pem_to_ders(&self.certificate_pem)?;
        let key =
            PrivateKeyDer::from_pem_slice(self.key_pem.as_bytes()).map_err(|e| unreadable("key")(&e))?.clone_key();
        let key = CertifiedKey::from_der(chain, key, &provider()).map_err(|e| match e {
            rustls::Error::InconsistentKeys(_) => TlsError::Mismatch,
            e => TlsError::Config(e),
        })?;
        Ok(Arc::new(Credentials(Arc::new(key))))
    }
}

/// An [`Identity`] ready to be presented.
#[derive(Debug)]
pub struct Credentials(Arc<CertifiedKey>);

impl Credentials {
    /// Chain and key, for listeners.
    pub fn certified_key(&self) -> Arc<CertifiedKey> {
        self.0.clone()
    }
}

impl ResolvesClientCert for Credentials {
    fn resolve(&self, _issuers: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// Lower-case hex SHA-256 of a DER certificate.
pub fn fingerprint(der: &[u8]) -> String {
    hex::encode(Sha256::digest(der))
}

/// All certificates of a PEM text, in order; none is an error.
pub fn pem_to_ders(pem: &str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let ders: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    let ders = ders.map_err(|e| unreadable("certificate")(&e))?;
    if ders.is_empty() { Err(TlsError::NoCertificate) } else { Ok(ders) }
}

/// The first certificate of a PEM text.
pub fn leaf(pem: &str) -> Result<CertificateDer<'static>, TlsError> {
    pem_to_ders(pem).map(|mut ders| ders.swap_remove(0))
}

/// One certificate as PEM: 64 columns, ended by a newline, as a registering machine's certificate is stored.
pub fn der_to_pem(der: &[u8]) -> String {
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let mut pem = String::with_capacity(text.len() + text.len() / 64 + 56);
    pem.push_str("-----BEGIN CERTIFICATE-----\n");
    for at in (0..text.len()).step_by(64) {
        pem.push_str(&text[at..text.len().min(at + 64)]);
        pem.push('\n');
    }
    pem.push_str("-----END CERTIFICATE-----\n");
    pem
}

fn parse(der: &[u8]) -> Result<x509_cert::Certificate, TlsError> {
    x509_cert::Certificate::from_der(der).map_err(|e| unreadable("certificate")(&e))
}

/// The first DNS name of a certificate: what a pinned peer is asked for by name (servers.md 7.0).
pub fn first_dns_san(der: &[u8]) -> Option<String> {
    let certificate = parse(der).ok()?;
    let (_, names) = certificate.tbs_certificate.get::<SubjectAltName>().ok()??;
    names.0.iter().find_map(|name| match name {
        GeneralName::DnsName(name) => Some(name.to_string()),
        _ => None,
    })
}

/// The period in which a certificate is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// First valid second since the epoch.
    pub not_before: u64,
    /// Last valid second since the epoch.
    pub not_after: u64,
}

/// Reads the validity period of a DER certificate.
pub fn validity(der: &[u8]) -> Result<Validity, TlsError> {
    let period = parse(der)?.tbs_certificate.validity;
    Ok(Validity {
        not_before: period.not_before.to_unix_duration().as_secs(),
        not_after: period.not_after.to_unix_duration().as_secs(),
    })
}

/// Whom a connection believes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// Exactly this leaf certificate, within its validity.
    Pinned(CertificateDer<'static>),
    /// Whoever the system's certificate authorities vouch for under the host's name.
    SystemRoots,
}

impl Trust {
    /// Pin the first certificate of a PEM text.
    pub fn pinned(pem: &str) -> Result<Self, TlsError> {
        leaf(pem).map(Self::Pinned)
    }
}

/// The presented certificate is not the pinned one.
#[derive(Debug, thiserror::Error)]
#[error("the peer presents certificate {presented}, expected is {expected}")]
struct PinMismatch {
    presented: String,
    expected: String,
}

#[derive(Debug)]
struct PinnedVerifier {
    leaf: CertificateDer<'static>,
    validity: Validity,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for PinnedVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if *end_entity != self.leaf {
            let mismatch = PinMismatch { presented: fingerprint(end_entity), expected: fingerprint(&self.leaf) };
            return Err(CertificateError::Other(OtherError(Arc::new(mismatch))).into());
        }
        let (now, Validity { not_before, not_after }) = (now.as_secs(), self.validity);
        if now < not_before {
            return Err(CertificateError::NotValidYet.into());
        }
        if now > not_after {
            return Err(CertificateError::Expired.into());
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

fn system_roots() -> Arc<RootCertStore> {
    static ROOTS: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    ROOTS
        .get_or_init(|| {
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            Arc::new(roots)
        })
        .clone()
}

/// A client configuration for this trust: TLS 1.3 only, HTTP/1.1, sessions resumed, the system's clock.
pub fn client_config(trust: &Trust, credentials: Option<Arc<Credentials>>) -> Result<Arc<ClientConfig>, TlsError> {
    client_config_at(trust, credentials, Arc::new(DefaultTimeProvider))
}

/// As [`client_config`], with the clock that decides about expiry.
pub fn client_config_at(
    trust: &Trust,
    credentials: Option<Arc<Credentials>>,
    clock: Arc<dyn TimeProvider>,
) -> Result<Arc<ClientConfig>, TlsError> {
    let provider = provider();
    let builder = ClientConfig::builder_with_details(provider.clone(), clock)
        .with_protocol_versions(&[&rustls::version::TLS13])?;
    let builder = match trust {
        Trust::Pinned(leaf) => {
            let algorithms = provider.signature_verification_algorithms;
            let verifier = PinnedVerifier { leaf: leaf.clone(), validity: validity(leaf)?, algorithms };
            builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier))
        }
        Trust::SystemRoots => builder.with_root_certificates(system_roots()),
    };
    let mut config = match credentials {
        Some(credentials) => builder.with_client_cert_resolver(credentials),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // One peer per configuration: a larger cache would only cost memory for each of thousands of machines.
    config.resumption = Resumption::in_memory_sessions(8);
    Ok(Arc::new(config))
}

/// Whether a certificate chain (PEM, leaf first) leads to a root that this system trusts, for the leaf's own first name, now.
/// Such a certificate need not be handed to machines, since they trust it anyway.
pub fn publicly_trusted(chain_pem: &str, now: SystemTime) -> bool {
    let Ok(chain) = pem_to_ders(chain_pem) else { return false };
    let Some((leaf, intermediates)) = chain.split_first() else { return false };
    let Some(name) = first_dns_san(leaf).and_then(|n| ServerName::try_from(n).ok()) else { return false };
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider()).build();
    let since_epoch = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    verifier.is_ok_and(|v| {
        v.verify_server_cert(leaf, intermediates, &name, &[], UnixTime::since_unix_epoch(since_epoch)).is_ok()
    })
}
