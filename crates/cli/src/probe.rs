//! Looks at the certificate of an unknown center, so that the user can judge it. Nothing is ever trusted here: the
//! handshake is broken off as soon as the certificate is seen.

use crate::error::{Error, Result};
use muster_clients::tls::provider;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, SignatureScheme};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

const WITHIN: Duration = Duration::from_secs(5);

/// Refuses every certificate and remembers it.
#[derive(Debug, Default)]
struct Witness(Mutex<Option<CertificateDer<'static>>>);

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(end_entity.clone().into_owned());
        Err(CertificateError::UnknownIssuer.into())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(CertificateError::UnknownIssuer.into())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(CertificateError::UnknownIssuer.into())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}

/// The leaf certificate that `https://host[:port]` presents.
pub(crate) async fn certificate(url: &url::Url) -> Result<CertificateDer<'static>> {
    let unreachable = |cause: &dyn std::fmt::Display| Error::Unreachable {
        address: url.as_str().trim_end_matches('/').to_owned(),
        cause: cause.to_string(),
    };
    let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
        return Err(Error::Usage(format!("{url} names no host")));
    };
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let name = ServerName::try_from(host.clone()).map_err(|e| Error::Usage(format!("{host}: {e}")))?;
    let witness = Arc::new(Witness::default());
    #[expect(clippy::disallowed_methods, reason = "decides nothing: this configuration refuses every certificate")]
    let config = rustls::ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|e| Error::Failed(e.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(witness.clone())
        .with_no_client_auth();
    let handshake = async {
        let tcp = tokio::net::TcpStream::connect((host.as_str(), port)).await?;
        tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, tcp).await.map(drop)
    };
    let outcome = tokio::time::timeout(WITHIN, handshake).await;
    if let Some(seen) = witness.0.lock().unwrap_or_else(PoisonError::into_inner).take() {
        return Ok(seen);
    }
    Err(match outcome {
        Ok(Err(error)) => unreachable(&error),
        Ok(Ok(())) => unreachable(&"it presents no certificate"),
        Err(_) => unreachable(&"no answer in time"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use muster_clients::tls::{Curve, Identity, Kind};

    #[tokio::test]
    async fn sees_the_certificate_of_an_unknown_center() {
        let kind = Kind::Server { names: vec!["localhost".into()] };
        let identity = Identity::generate(&kind, Curve::P256, "test", crate::clock::system()).unwrap();
        let key = identity.credentials().unwrap().certified_key();
        let config = rustls::ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(key)));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = url::Url::parse(&format!("https://{}", listener.local_addr().unwrap())).unwrap();
        let server = tokio::spawn(async move {
            let (tcp, _) = listener.accept().await.unwrap();
            tokio_rustls::TlsAcceptor::from(Arc::new(config)).accept(tcp).await.is_ok()
        });
        assert_eq!(certificate(&url).await.unwrap(), identity.leaf().unwrap());
        assert!(!server.await.unwrap(), "the handshake must not be finished");
    }

    #[tokio::test]
    async fn nobody_there_is_unreachable() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = url::Url::parse(&format!("https://{}", listener.local_addr().unwrap())).unwrap();
        drop(listener);
        assert!(matches!(certificate(&url).await, Err(Error::Unreachable { .. })));
    }
}
