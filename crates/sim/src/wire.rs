//! TLS and HTTP in front of a model.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, stream};
use http::{Request, Response, StatusCode, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, Limited, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use muster_clients::tls::{Credentials, fingerprint, provider};
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::NoServerSessionStorage;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::sign::SingleCertAndKey;
use rustls::{DigitallySignedStruct, DistinguishedName, ServerConfig, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};
use tokio_util::sync::CancellationToken;

use crate::fault::Fault;
use crate::fleet::Simulated;
use crate::model::{self, Reply};

/// Largest request that a machine reads, in bytes.
const BODY_LIMIT: usize = 16 << 20;

/// Time a peer has for its handshake.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);

type Body = UnsyncBoxBody<Bytes, io::Error>;

/// Asks for a client certificate, takes any or none, and checks only that the peer holds its key: whether the
/// certificate is a trusted one is decided with each request, as Incus does.
#[derive(Debug)]
struct AnyClient(WebPkiSupportedAlgorithms);

impl ClientCertVerifier for AnyClient {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}

/// A listener's TLS with this identity. Sessions resume by tickets, without memory for each; their key is made anew each
/// time, or a peer would resume a session with a machine that has another identity since.
pub fn acceptor(credentials: &Credentials) -> Result<TlsAcceptor, rustls::Error> {
    let provider = provider();
    let client = AnyClient(provider.signature_verification_algorithms);
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(Arc::new(client))
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(credentials.certified_key())));
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new()?;
    config.send_tls13_tickets = 1;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Serves one connection until either side ends it or the machine goes down.
pub async fn serve(machine: Arc<Simulated>, tcp: TcpStream, acceptor: TlsAcceptor, cut: CancellationToken) {
    let connection = async {
        // Best effort: without it answers are only slower.
        let _ = tcp.set_nodelay(true);
        let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE_WITHIN, acceptor.accept(tcp)).await else { return };
        machine.count_handshake();
        let peer = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first()).map(|leaf| fingerprint(leaf));
        let service = service_fn(|request| answer(machine.clone(), peer.clone(), request, cut.clone()));
        // The client sees what went wrong; the machine does not care.
        let _ = hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades()
            .await;
    };
    tokio::select! {
        () = cut.cancelled() => {}
        () = connection => {}
    }
}

async fn answer(
    machine: Arc<Simulated>,
    peer: Option<String>,
    mut request: Request<Incoming>,
    cut: CancellationToken,
) -> Result<Response<Body>, Infallible> {
    let (method, uri) = (request.method().clone(), request.uri().clone());
    machine.log(&method, &uri);
    let fault = machine.fault();
    match fault {
        Some(Fault::Hang) => std::future::pending::<()>().await,
        Some(Fault::Slow) => tokio::time::sleep(machine.timing().slow).await,
        _ => {}
    }
    let body = match Limited::new(request.body_mut(), BODY_LIMIT).collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => return Ok(plain(StatusCode::PAYLOAD_TOO_LARGE, "request too large")),
    };
    let trusted = machine.trusts(peer.as_deref());
    let ask = model::Request {
        method: method.as_str(),
        path: uri.path(),
        query: uri.query().unwrap_or_default(),
        body: &body,
        trusted,
    };
    loop {
        match machine.ask(ask) {
            Reply::Later(until) => machine.sleep_until(until).await,
            Reply::Events => return Ok(websocket(&machine, request, cut)),
            Reply::Now { status, body, location } => return Ok(envelope(fault, status, &body, location)),
        }
    }
}

fn envelope(fault: Option<Fault>, status: u16, body: &serde_json::Value, location: Option<String>) -> Response<Body> {
    let text = format!("{body}\n");
    let mut response = match fault {
        Some(Fault::Garbage) => plain(StatusCode::OK, "<html><body>It works!</body></html>\n"),
        Some(Fault::HalfAnswer) => half(&text),
        _ => Response::new(bytes(text)),
    };
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    if let Some(location) = location.and_then(|l| l.parse().ok()) {
        headers.insert(header::LOCATION, location);
    }
    response
}

fn bytes(text: impl Into<Bytes>) -> Body {
    Full::new(text.into()).map_err(|never| match never {}).boxed_unsync()
}

fn plain(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = Response::new(bytes(text));
    *response.status_mut() = status;
    response
}

/// Announces the whole answer, sends the first half, and breaks off.
fn half(text: &str) -> Response<Body> {
    let first = Bytes::copy_from_slice(&text.as_bytes()[..text.len() / 2]);
    let frames = [Ok(Frame::data(first)), Err(io::Error::from(io::ErrorKind::BrokenPipe))];
    let mut response = Response::new(StreamBody::new(stream::iter(frames)).boxed_unsync());
    response.headers_mut().insert(header::CONTENT_LENGTH, text.len().into());
    response
}

/// Accepts a websocket and sends it the machine's events until either side ends it.
fn websocket(machine: &Arc<Simulated>, request: Request<Incoming>, cut: CancellationToken) -> Response<Body> {
    let Some(key) = request.headers().get(header::SEC_WEBSOCKET_KEY) else {
        return plain(StatusCode::BAD_REQUEST, "not a websocket request");
    };
    let accept = derive_accept_key(key.as_bytes());
    let mut events = machine.events();
    tokio::spawn(async move {
        let Ok(upgraded) = hyper::upgrade::on(request).await else { return };
        let mut socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await;
        loop {
            tokio::select! {
                () = cut.cancelled() => return,
                incoming = futures_util::StreamExt::next(&mut socket) => match incoming {
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                    Some(Ok(_)) => {}
                },
                event = events.recv() => match event {
                    Ok(text) => {
                        if socket.send(Message::Text(Utf8Bytes::from(text))).await.is_err() {
                            return;
                        }
                    }
                    // Too slow to follow: as with Incus, what was missed is not sent again.
                    Err(tokio::sync::broadcast::error::RecvError::Lagged(_)) => {}
                    Err(tokio::sync::broadcast::error::RecvError::Closed) => return,
                },
            }
        }
    });
    let mut response = Response::new(bytes(""));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, header::HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, header::HeaderValue::from_static("websocket"));
    if let Ok(accept) = accept.parse() {
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    }
    response
}
