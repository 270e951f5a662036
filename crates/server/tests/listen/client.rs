//! A server under test and a TLS client that shows everything it sees.

#![expect(clippy::unwrap_used, reason = "test code: a failure here is a failed test")]
#![expect(clippy::disallowed_methods, reason = "a client that trusts anybody and shows what it is given")]

use arc_swap::ArcSwap;
use axum::{Extension, Router, routing::get as on_get};
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use muster_server::listen::{Limits, Peer, ServerCertificate, TcpListeners, Tls};
use rustls::{
    ClientConfig, DigitallySignedStruct, SignatureScheme,
    client::{
        ResolvesClientCert,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
    sign::CertifiedKey,
    version::{TLS12, TLS13},
};
use sha2::{Digest, Sha256};
use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use tokio::{net::TcpStream, task::JoinHandle, time::timeout};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_util::sync::CancellationToken;

/// A listener on loopback and all that can be changed about it.
pub struct Server {
    pub listeners: TcpListeners,
    pub certificate: Arc<ServerCertificate>,
    pub identity: Identity,
    pub trusted_proxies: Arc<ArcSwap<Vec<IpAddr>>>,
    pub shutdown: CancellationToken,
}

impl Server {
    pub async fn address(&self) -> SocketAddr {
        self.listeners.local_address().await.unwrap()
    }
}

/// Generous limits: a test shortens the one that it is about.
pub fn generous() -> Limits {
    Limits::default()
}

pub async fn server(limits: Limits) -> Server {
    let identity = Identity::new("localhost");
    let certificate = Arc::new(ServerCertificate::new(&identity.pem(), &identity.key_pem()).unwrap());
    let trusted_proxies = Arc::new(ArcSwap::from_pointee(vec![]));
    let tls = Tls { certificate: certificate.clone(), trusted_proxies: trusted_proxies.clone() };
    let shutdown = CancellationToken::new();
    let listeners = TcpListeners::with_limits(tls, app(), limits, shutdown.clone());
    listeners.set(Some("127.0.0.1:0".parse().unwrap())).await.unwrap();
    Server { listeners, certificate, identity, trusted_proxies, shutdown }
}

/// Routes that tell who asks, and that take their time.
pub fn app() -> Router {
    let who =
        |Extension(peer): Extension<Peer>| async move { format!("{peer} {}", peer.fingerprint().unwrap_or("none")) };
    Router::new()
        .route("/who", on_get(who))
        .route(
            "/slow",
            on_get(|| async {
                tokio::time::sleep(Duration::from_millis(600)).await;
                "done"
            }),
        )
        .route("/never", on_get(std::future::pending::<String>))
}

/// A certificate with its key.
pub struct Identity {
    certificate: rcgen::Certificate,
    key: rcgen::KeyPair,
}

impl Identity {
    pub fn new(name: &str) -> Self {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        Self { certificate: made.cert, key: made.signing_key }
    }

    pub fn pem(&self) -> String {
        self.certificate.pem()
    }

    pub fn key_pem(&self) -> String {
        self.key.serialize_pem()
    }

    pub fn fingerprint(&self) -> String {
        hex::encode(Sha256::digest(self.certificate.der()))
    }

    pub fn proven(&self) -> CertifiedKey {
        self.certified(vec![self.certificate.der().clone()])
    }

    pub fn followed_by(&self, other: &Identity) -> CertifiedKey {
        self.certified(vec![self.certificate.der().clone(), other.certificate.der().clone()])
    }

    pub fn with_key_of(&self, other: &Identity) -> CertifiedKey {
        other.certified(vec![self.certificate.der().clone()])
    }

    fn certified(&self, chain: Vec<CertificateDer<'static>>) -> CertifiedKey {
        let key = PrivateKeyDer::from_pem_slice(self.key_pem().as_bytes()).unwrap();
        CertifiedKey::new(chain, aws_lc_rs::sign::any_supported_type(&key).unwrap())
    }
}

/// TLS 1.3, any server certificate, and this client certificate, fitting key or not.
pub fn config(identity: Option<CertifiedKey>) -> ClientConfig {
    let mut config = unchecked(&[&TLS13]);
    if let Some(identity) = identity {
        config.client_auth_cert_resolver = Arc::new(Always(Arc::new(identity)));
    }
    config.alpn_protocols = vec!["h2".into(), "http/1.1".into()];
    config
}

pub fn config_tls12() -> ClientConfig {
    unchecked(&[&TLS12])
}

fn unchecked(versions: &[&'static rustls::SupportedProtocolVersion]) -> ClientConfig {
    let provider = Arc::new(aws_lc_rs::default_provider());
    ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(versions)
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone(provider)))
        .with_no_client_auth()
}

#[derive(Debug)]
struct Always(Arc<CertifiedKey>);

impl ResolvesClientCert for Always {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

enum Sender {
    One(http1::SendRequest<Empty<Bytes>>),
    Two(http2::SendRequest<Empty<Bytes>>),
}

/// An open connection.
pub struct Client {
    pub local: SocketAddr,
    pub protocol: String,
    pub server_fingerprint: String,
    sender: Sender,
    connection: JoinHandle<()>,
}

impl Client {
    pub async fn get(&mut self, path: &str) -> io::Result<String> {
        let request = |uri: String| Request::get(uri).header("host", "localhost").body(Empty::new()).unwrap();
        let response = match &mut self.sender {
            Sender::One(sender) => {
                sender.ready().await.map_err(io::Error::other)?;
                sender.send_request(request(path.to_owned())).await
            }
            Sender::Two(sender) => sender.send_request(request(format!("https://localhost{path}"))).await,
        };
        let body = response.map_err(io::Error::other)?.into_body().collect().await.map_err(io::Error::other)?;
        Ok(String::from_utf8(body.to_bytes().to_vec()).unwrap())
    }

    /// The address and the fingerprint that the server sees.
    pub async fn who(&mut self) -> io::Result<(SocketAddr, String)> {
        let text = self.get("/who").await?;
        let (address, fingerprint) = text.split_once(' ').unwrap();
        Ok((address.parse().unwrap(), fingerprint.to_owned()))
    }

    /// Waits until the server closes the connection.
    pub async fn closed(self) {
        let Self { connection, sender, .. } = self;
        connection.await.unwrap();
        drop(sender);
    }
}

pub async fn open(address: SocketAddr, config: ClientConfig) -> io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("localhost").unwrap(), stream).await
}

pub async fn connect(server: &Server, config: ClientConfig) -> io::Result<Client> {
    let mut address = server.address().await;
    if address.ip().is_unspecified() {
        address.set_ip([127, 0, 0, 1].into());
    }
    connect_over(TcpStream::connect(address).await?, config).await
}

pub async fn connect_over(stream: TcpStream, config: ClientConfig) -> io::Result<Client> {
    let local = stream.local_addr()?;
    let name = ServerName::try_from("localhost").unwrap();
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    let session = stream.get_ref().1;
    let protocol = String::from_utf8(session.alpn_protocol().unwrap_or_default().to_vec()).unwrap();
    let server_fingerprint = hex::encode(Sha256::digest(&session.peer_certificates().unwrap()[0]));
    let (sender, connection) = if protocol == "h2" {
        let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
        let (sender, connection) = handshake.map_err(io::Error::other)?;
        (Sender::Two(sender), tokio::spawn(async move { drop(connection.await) }))
    } else {
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        (Sender::One(sender), tokio::spawn(async move { drop(connection.await) }))
    };
    Ok(Client { local, protocol, server_fingerprint, sender, connection })
}

/// One request on a connection of its own.
pub async fn get(server: &Server, config: ClientConfig) -> io::Result<(SocketAddr, String)> {
    connect(server, config).await?.who().await
}

/// What must happen soon, with a limit so that a defect fails instead of hanging.
pub async fn within<T>(limit: Duration, work: impl Future<Output = T>) -> T {
    timeout(limit, work).await.expect("in time")
}
