//! A daemon without listeners (requests go straight to its router), or with a TLS listener on loopback.

use axum::{
    Router,
    body::{Body, Bytes},
    http::{HeaderMap, Request, StatusCode},
};
use http_body_util::BodyExt;
use muster_clients::tls::{Curve, Identity, Kind};
use muster_engine::{Engine, clock::Clock};
use muster_server::{
    App, Permission, build,
    listen::{Peer, ServerCertificate, TcpListeners, Tls},
};
use muster_store::Store;
use serde_json::Value;
use std::{net::SocketAddr, sync::Arc, time::SystemTime};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

pub struct Bench {
    pub engine: Engine,
    pub router: Router,
    pub openapi: utoipa::openapi::OpenApi,
    pub table: Vec<Permission>,
    certificate: Arc<ServerCertificate>,
    pub shutdown: CancellationToken,
    pub directory: TempDir,
}

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Who {
    Unix,
    Stranger,
}

impl Bench {
    pub async fn new(store: Store) -> Self {
        Self::at(store, Clock::system()).await
    }

    /// With a clock of the test's own.
    pub async fn at(store: Store, clock: Clock) -> Self {
        Self::with(store, clock, tempfile::tempdir().unwrap(), |engine| engine).await
    }

    /// On files that are there, with a clock and an engine of one's own.
    pub async fn with(store: Store, clock: Clock, directory: TempDir, make: fn(Engine) -> Engine) -> Self {
        let path = directory.path().to_owned();
        let start = move || make(Engine::start(store, clock, path).unwrap());
        let engine = tokio::task::spawn_blocking(start).await.unwrap();
        let server = &engine.identities().server;
        let certificate = Arc::new(ServerCertificate::new(&server.certificate_pem, &server.key_pem).unwrap());
        let (router, openapi, table) = build(App::new(engine.clone(), certificate.clone()));
        let shutdown = CancellationToken::new();
        Self { engine, router, openapi, table, certificate, shutdown, directory }
    }

    /// Listens on loopback and works on operations; answers the URL.
    pub async fn listen(&self) -> (TcpListeners, String) {
        self.drive();
        let tls = Tls { certificate: self.certificate.clone(), trusted_proxies: Arc::default() };
        let listeners = TcpListeners::new(tls, self.router.clone(), self.shutdown.clone());
        listeners.set(Some("127.0.0.1:0".parse().unwrap())).await.unwrap();
        let url = format!("https://{}", listeners.local_address().await.unwrap());
        (listeners, url)
    }

    /// Works on operations.
    pub fn drive(&self) {
        tokio::spawn(muster_engine::operation::run(self.engine.clone(), self.shutdown.clone()));
    }

    pub async fn ask(&self, who: Who, method: &str, path: &str, body: impl Into<Body>) -> (StatusCode, Value) {
        let (status, _, answer) = self.ask_whole(who, method, path, body).await;
        (status, answer)
    }

    /// As [`Self::ask`], with the headers of the answer.
    pub async fn ask_whole(
        &self,
        who: Who,
        method: &str,
        path: &str,
        body: impl Into<Body>,
    ) -> (StatusCode, HeaderMap, Value) {
        let (status, headers, bytes) = self.ask_bytes(who, method, path, &[], body).await;
        (status, headers, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
    }

    /// As [`Self::ask`], with headers of the request, and the answer as it is.
    pub async fn ask_bytes(
        &self,
        who: Who,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> (StatusCode, HeaderMap, Bytes) {
        let peer = match who {
            Who::Unix => Peer::Unix,
            Who::Stranger => {
                let fingerprint = Some("ab".repeat(32));
                Peer::Tcp { address: SocketAddr::from(([127, 0, 0, 1], 1)), leaf: None, fingerprint }
            }
        };
        let mut request = Request::builder().method(method).uri(path).extension(peer);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = self.router.clone().oneshot(request.body(body.into()).unwrap()).await.unwrap();
        let (head, body) = response.into_parts();
        (head.status, head.headers, body.collect().await.unwrap().to_bytes())
    }

    /// The beginning of an event stream, up to a text in it.
    pub async fn stream(&self, path: &str, up_to: &str) -> String {
        let request = Request::get(path).header("accept", "text/event-stream").extension(Peer::Unix);
        let response = self.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let (mut body, mut text) = (response.into_body(), String::new());
        while !text.contains(up_to) {
            let frame = body.frame().await.unwrap().unwrap();
            text.push_str(std::str::from_utf8(frame.data_ref().unwrap()).unwrap());
        }
        text
    }

    /// A token for many; its UUID.
    pub async fn token(&self, uses: i64) -> String {
        let body = serde_json::json!({"uses_remaining": uses, "expire_at": "2099-01-01T00:00:00Z"}).to_string();
        let request = Request::post("/1.0/provisioning/tokens").extension(Peer::Unix).body(Body::from(body)).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::CREATED);
        response.headers()["location"].to_str().unwrap().rsplit('/').next().unwrap().to_owned()
    }
}

/// A machine's own certificate.
pub fn machine_identity(name: &str) -> Identity {
    let kind = Kind::Machine { names: vec![name.into(), "127.0.0.1".into()] };
    Identity::generate(&kind, Curve::P256, name, SystemTime::now()).unwrap()
}

/// Runs a test on a fresh daemon of each database.
pub fn on_both<F: Future<Output = ()>>(test: impl Fn(Bench) -> F) {
    on_both_at(Clock::system(), test);
}

/// As [`on_both`], with a clock of the test's own.
pub fn on_both_at<F: Future<Output = ()>>(clock: Clock, test: impl Fn(Bench) -> F) {
    muster_store::testing::stores(|test_store| {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async { test(Bench::at(test_store.store.clone(), clock.clone()).await).await });
    });
}
