//! The daemon's certificate, and what it asks of a client's.

use arc_swap::ArcSwap;
use rustls::{
    DigitallySignedStruct, DistinguishedName, Error as TlsError, PeerIncompatible, ServerConfig, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    crypto::{WebPkiSupportedAlgorithms, aws_lc_rs, verify_tls13_signature},
    pki_types::{
        CertificateDer, PrivateKeyDer, UnixTime,
        pem::{self, PemObject},
    },
    server::{
        ServerSessionMemoryCache,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
    version::TLS13,
};
use std::{fmt, sync::Arc};

/// Sessions that clients may resume without a full handshake; machines poll again and again.
const SESSIONS: usize = 8192;

/// Why a certificate cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The certificate text is no PEM.
    #[error("certificate chain is not valid PEM: {0}")]
    Chain(#[source] pem::Error),
    /// The PEM text has no certificate in it.
    #[error("certificate chain contains no certificate")]
    NoCertificate,
    /// The key text is no PEM, or holds no private key in clear.
    #[error("private key is not valid PEM: {0}")]
    Key(#[source] pem::Error),
    /// Certificate and key are no pair.
    #[error("private key does not belong to the certificate")]
    Mismatch,
    /// Algorithm or encoding is not supported.
    #[error("certificate or private key cannot be used: {0}")]
    Unusable(#[source] TlsError),
}

/// The daemon's certificate and key, replaceable while connections are open.
///
/// A whole TLS configuration is swapped, not the certificate inside of one: its session cache goes
/// with it, so that nobody resumes a session of the replaced certificate.
pub struct ServerCertificate(ArcSwap<ServerConfig>);

impl ServerCertificate {
    /// Reads a certificate chain (leaf first) and its private key, both PEM.
    ///
    /// # Errors
    /// When either cannot be read or used, or the key is not the leaf's.
    pub fn new(cert_chain_pem: &str, key_pem: &str) -> Result<Self, CertificateError> {
        Ok(Self(ArcSwap::from(server_config(cert_chain_pem, key_pem)?)))
    }

    /// Serves another certificate from the next handshake on; open connections stay.
    ///
    /// # Errors
    /// As [`ServerCertificate::new`]; the present certificate then stays.
    pub fn replace(&self, cert_chain_pem: &str, key_pem: &str) -> Result<(), CertificateError> {
        self.0.store(server_config(cert_chain_pem, key_pem)?);
        Ok(())
    }

    pub(super) fn config(&self) -> Arc<ServerConfig> {
        self.0.load_full()
    }
}

impl fmt::Debug for ServerCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerCertificate")
    }
}

fn server_config(cert_chain_pem: &str, key_pem: &str) -> Result<Arc<ServerConfig>, CertificateError> {
    let chain = CertificateDer::pem_slice_iter(cert_chain_pem.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(CertificateError::Chain)?;
    if chain.is_empty() {
        return Err(CertificateError::NoCertificate);
    }
    let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes()).map_err(CertificateError::Key)?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = Arc::new(ProofOfKey(provider.signature_verification_algorithms));
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .map_err(CertificateError::Unusable)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .map_err(|error| match error {
            TlsError::InconsistentKeys(_) => CertificateError::Mismatch,
            other => CertificateError::Unusable(other),
        })?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.session_storage = ServerSessionMemoryCache::new(SESSIONS);
    Ok(Arc::new(config))
}

/// Asks for a client certificate, takes any or none, and insists on the proof of its key.
///
/// There is no authority to check against: trust is by fingerprint, per request, after the
/// handshake (`servers.md` 1.5).
#[derive(Debug)]
struct ProofOfKey(WebPkiSupportedAlgorithms);

impl ClientCertVerifier for ProofOfKey {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, TlsError> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        Err(PeerIncompatible::Tls12NotOffered.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        verify_tls13_signature(message, cert, dss, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (String, String) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem())
    }

    #[test]
    fn a_key_of_another_certificate_is_refused_and_the_old_pair_stays() {
        let ((chain, key), (_, other)) = (pair(), pair());
        let certificate = ServerCertificate::new(&chain, &key).unwrap();
        let before = certificate.config();
        assert!(matches!(certificate.replace(&chain, &other), Err(CertificateError::Mismatch)));
        assert!(Arc::ptr_eq(&before, &certificate.config()));
        certificate.replace(&chain, &key).unwrap();
        assert!(!Arc::ptr_eq(&before, &certificate.config()), "a new pair, a new session cache");
    }

    #[test]
    fn what_is_no_certificate_or_key_is_named() {
        let (chain, key) = pair();
        assert!(matches!(ServerCertificate::new("", &key), Err(CertificateError::NoCertificate)));
        assert!(matches!(ServerCertificate::new(&key, &key), Err(CertificateError::NoCertificate)));
        assert!(matches!(ServerCertificate::new(&chain, ""), Err(CertificateError::Key(_))));
        assert!(matches!(ServerCertificate::new(&chain, &chain), Err(CertificateError::Key(_))));
        let broken = "-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n";
        assert!(matches!(ServerCertificate::new(broken, &key), Err(CertificateError::Chain(_))));
    }
}
