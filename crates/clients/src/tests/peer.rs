//! A peer that answers exactly the bytes a test wants, also wrong ones.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use rustls::ServerConfig;
use rustls::sign::SingleCertAndKey;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};

use crate::machine::{Counters, Machine};
use crate::tls::{Curve, Identity, Kind, Trust, provider};

/// What the peer does with one request.
#[derive(Clone)]
pub enum Act {
    /// Answers 200 with this body and keeps the connection.
    Body(String),
    /// The same, then closes.
    BodyThenClose(String),
    /// Writes these bytes and closes.
    Bytes(Vec<u8>),
    /// Never answers.
    Hang,
    /// Accepts a websocket and sends these texts.
    Websocket(Vec<String>),
}

/// A successful envelope around this payload.
pub fn sync(metadata: &str) -> String {
    format!(
        "{{\"type\":\"sync\",\"status\":\"Success\",\"status_code\":200,\"operation\":\"\",\"error_code\":0,\
         \"error\":\"\",\"metadata\":{metadata}}}\n"
    )
}

/// A certificate of 2025 for a server.
pub fn identity(name: &str) -> Identity {
    let born = SystemTime::UNIX_EPOCH + Duration::from_secs(1_735_689_600);
    Identity::generate(&Kind::Machine { names: vec![name.to_owned()] }, Curve::P256, name, born).unwrap()
}

pub struct Peer {
    pub address: String,
    pub identity: Identity,
    /// Request line and body of everything asked.
    pub asked: Arc<Mutex<Vec<String>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

type Script = Arc<dyn Fn(usize, &str) -> Act + Send + Sync>;

impl Peer {
    /// `script` sees the number of the request, from zero, and its request line.
    pub async fn start(script: impl Fn(usize, &str) -> Act + Send + Sync + 'static) -> Self {
        let (script, asked): (Script, Arc<Mutex<Vec<String>>>) = (Arc::new(script), Arc::default());
        let identity = identity("sim");
        let key = SingleCertAndKey::from(identity.credentials().unwrap().certified_key());
        let config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(key));
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("https://{}", listener.local_addr().unwrap());
        let log = asked.clone();
        let task = tokio::spawn(async move {
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                let (acceptor, script, log) = (acceptor.clone(), script.clone(), log.clone());
                tokio::spawn(async move {
                    if let Ok(stream) = acceptor.accept(tcp).await {
                        serve(stream, script, log).await;
                    }
                });
            }
        });
        Self { address, identity, asked, task }
    }

    pub fn trust(&self) -> Trust {
        Trust::pinned(&self.identity.certificate_pem).unwrap()
    }

    pub fn machine(&self) -> Machine {
        Machine::new(&self.address, &self.trust(), None, Arc::new(Counters::default())).unwrap()
    }

    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

/// The same on a unix socket; the log is returned.
pub fn start_unix(
    path: &std::path::Path,
    script: impl Fn(usize, &str) -> Act + Send + Sync + 'static,
) -> Arc<Mutex<Vec<String>>> {
    let listener = UnixListener::bind(path).unwrap();
    let (script, asked): (Script, Arc<Mutex<Vec<String>>>) = (Arc::new(script), Arc::default());
    let log = asked.clone();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(serve(stream, script.clone(), log.clone()));
        }
    });
    asked
}

/// The head of one request and its body, or `None` when the client hung up.
async fn read_request(stream: &mut (impl AsyncRead + Unpin)) -> Option<(String, String)> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).unwrap();
    let lower = head.to_lowercase();
    let length = lower.lines().find_map(|l| l.strip_prefix("content-length: ")).map_or(0, |l| l.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some((head, String::from_utf8(body).unwrap()))
}

async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, script: Script, log: Arc<Mutex<Vec<String>>>) {
    while let Some((head, body)) = read_request(&mut stream).await {
        let line = head.lines().next().unwrap().trim_end_matches(" HTTP/1.1").to_owned();
        let number = {
            let mut log = log.lock().unwrap();
            log.push(format!("{line} {body}").trim_end().to_owned());
            log.len() - 1
        };
        let answer = |body: &str| format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        match script(number, &line) {
            Act::Body(body) => stream.write_all(answer(&body).as_bytes()).await.unwrap(),
            Act::BodyThenClose(body) => {
                stream.write_all(answer(&body).as_bytes()).await.unwrap();
                break;
            }
            Act::Bytes(bytes) => {
                let _ = stream.write_all(&bytes).await;
                break;
            }
            Act::Hang => std::future::pending().await,
            Act::Websocket(texts) => {
                let key = head.lines().find_map(|l| l.strip_prefix("Sec-WebSocket-Key: ")).unwrap();
                let accept = tokio_tungstenite::tungstenite::handshake::derive_accept_key(key.as_bytes());
                let mut bytes = format!(
                    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                     Sec-WebSocket-Accept: {accept}\r\n\r\n"
                )
                .into_bytes();
                for text in texts {
                    bytes.extend([0x81, u8::try_from(text.len()).unwrap()]);
                    bytes.extend(text.as_bytes());
                }
                stream.write_all(&bytes).await.unwrap();
                while stream.read_u8().await.is_ok() {}
            }
        }
    }
    let _ = stream.shutdown().await;
}
