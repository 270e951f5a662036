//! The IncusOS side of a real Incus server: what answers behind its `/os` proxy, registers it with the center and powers
//! it. What an IncusOS machine does is the simulator's model; Incus, its certificate, TLS and its restarts are real.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::{Request, Response, service::service_fn};
use hyper_util::rt::TokioIo;
use muster_clients::endpoint::Endpoint;
use muster_clients::machine::{Counters, Machine as Peer};
use muster_clients::tls::{Credentials, Identity};
use muster_sim::boot::{self, BootError};
use muster_sim::model::{self, Effect, Model, Reply};
use muster_sim::spec::{Spec, Timing};
use serde_json::json;
use tokio::net::UnixListener;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::bed::{Bed, Member};
use super::daemon::Daemon;

const VERSION: &str = "202511010000";
/// Says that a request came in through Incus' proxy; without it Incus asks for itself.
const PROXIED: &str = "x-incusos-proxy";

/// How a machine behaves.
#[derive(Debug, Clone, Copy)]
pub struct Manner {
    /// Whether it tells the center what happens to it, as IncusOS does; a silent one is found out by polls alone.
    pub tells: bool,
    /// From taking `:reboot` until it really goes down.
    pub lingers: Duration,
}

impl Manner {
    pub const INCUSOS: Self = Self { tells: true, lingers: Duration::from_millis(300) };
    pub const SILENT: Self = Self { tells: false, ..Self::INCUSOS };
}

/// One machine.
pub struct Machine {
    pub member: Member,
    bed: Arc<Bed>,
    model: Mutex<Model>,
    began: Instant,
    changed: Notify,
    tells: AtomicBool,
    boots: AtomicUsize,
    asked: Mutex<Vec<String>>,
}

impl Machine {
    /// A machine that knows the center and a token, and is switched on: it registers.
    pub fn start(bed: &Arc<Bed>, at: usize, daemon: &Daemon, token: &str, manner: Manner) -> Arc<Self> {
        let member = bed.members[at].clone();
        let address: SocketAddr = member.address.parse().unwrap();
        let epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let mut spec = Spec::new(7, at + 1, address, VERSION, "stable", i64::try_from(epoch).unwrap());
        spec.name.clone_from(&member.name);
        let timing = Timing { stopping: manner.lingers, down: Duration::from_millis(200), ..Timing::default() };
        let mut model = Model::new(spec, timing, Some(provider(daemon, token)));
        model.power_on(Duration::ZERO, Duration::ZERO);
        let machine = Arc::new(Self {
            member,
            bed: bed.clone(),
            model: Mutex::new(model),
            began: Instant::now(),
            changed: Notify::new(),
            tells: AtomicBool::new(manner.tells),
            boots: AtomicUsize::new(0),
            asked: Mutex::default(),
        });
        // The bed's own stub, where there is one.
        std::fs::remove_file(&machine.member.incusos_socket).ok();
        let listener = UnixListener::bind(&machine.member.incusos_socket).unwrap();
        tokio::spawn(machine.clone().listen(listener));
        tokio::spawn(machine.clone().act());
        machine
    }

    pub fn name(&self) -> &str {
        &self.member.name
    }

    /// Times that it was switched on.
    pub fn boots(&self) -> usize {
        self.boots.load(Ordering::SeqCst)
    }

    /// What came in through the proxy since this was asked before, as `METHOD path`.
    pub fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }

    /// DMI product UUID.
    pub fn system_uuid(&self) -> String {
        self.model.lock().unwrap().spec().system_uuid.to_string()
    }

    /// Cuts its power.
    pub async fn crash(&self) {
        self.bed.command(&["stop", self.name(), "--crash"]).await;
        self.change(Model::lose_power);
    }

    /// Switches it off in order, without a word to the center.
    pub async fn shut_down(&self) {
        self.bed.command(&["stop", self.name()]).await;
        self.change(Model::lose_power);
    }

    /// Switches it on.
    pub fn power_on(&self) {
        let now = self.began.elapsed();
        self.change(|model| model.power_on(now, Duration::ZERO));
    }

    /// Tells the center something as the holder of the certificate that it presents now.
    pub async fn tell(&self, daemon: &Daemon, cause: &str) -> Result<(), BootError> {
        let url = self.model.lock().unwrap().url();
        boot::tell(&provider(daemon, ""), &self.credentials(), &url, cause).await
    }

    /// What the real Incus presents on the network.
    pub fn identity(&self) -> Identity {
        let read = |extension: &str| std::fs::read_to_string(self.member.certificate.with_extension(extension));
        Identity { certificate_pem: read("crt").unwrap(), key_pem: read("key").unwrap() }
    }

    /// Gives the real Incus another certificate, which it presents from its next start on.
    pub fn present(&self, identity: &Identity) {
        std::fs::write(&self.member.certificate, &identity.certificate_pem).unwrap();
        std::fs::write(self.member.certificate.with_extension("key"), &identity.key_pem).unwrap();
    }

    fn credentials(&self) -> Arc<Credentials> {
        self.identity().credentials().unwrap()
    }

    fn change<T>(&self, change: impl FnOnce(&mut Model) -> T) -> T {
        let result = change(&mut self.model.lock().unwrap());
        self.changed.notify_one();
        result
    }

    async fn listen(self: Arc<Self>, listener: UnixListener) {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let machine = self.clone();
            tokio::spawn(async move {
                let service = service_fn(|request| machine.answer(request));
                // Incus sees what went wrong; the machine does not care.
                let _ =
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            });
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        if head.headers.contains_key(PROXIED) {
            self.asked.lock().unwrap().push(format!("{} {}", head.method, head.uri.path()));
        }
        let path = format!("/os{}", head.uri.path());
        let now = self.began.elapsed();
        let ask = model::Request {
            method: head.method.as_str(),
            path: &path,
            query: head.uri.query().unwrap_or_default(),
            body: &body,
            trusted: true,
        };
        let Reply::Now { status, body, .. } = self.change(|model| model.ask(now, ask)) else {
            unreachable!("IncusOS answers at once")
        };
        let mut response = Response::new(Full::from(body.to_string()));
        *response.status_mut() = status.try_into().unwrap();
        response.headers_mut().insert("content-type", "application/json".parse().unwrap());
        Ok(response)
    }

    /// Lets the model act: one thing after the other, as a machine starts and stops.
    async fn act(self: Arc<Self>) {
        loop {
            let (effects, due) = {
                let mut model = self.model.lock().unwrap();
                (model.advance(self.began.elapsed()), model.due())
            };
            for effect in effects {
                match effect {
                    Effect::Listen => {
                        self.bed.command(&["start", self.name()]).await;
                        self.boots.fetch_add(1, Ordering::SeqCst);
                    }
                    Effect::Silence => self.bed.command(&["stop", self.name()]).await,
                    Effect::Register => self.enrol().await,
                    Effect::Tell(cause) => self.report(cause).await,
                    Effect::Event(_) | Effect::NewIdentity | Effect::Look { .. } => unreachable!("no test asks for it"),
                }
            }
            tokio::select! {
                () = self.changed.notified() => {}
                () = tokio::time::sleep_until(self.began + due.unwrap_or_default()), if due.is_some() => {}
            }
        }
    }

    /// As IncusOS does: registers, and has its Incus trust the certificate that comes back.
    async fn enrol(&self) {
        let (provider, body) = {
            let model = self.model.lock().unwrap();
            (model.provider().cloned().unwrap(), model.registration())
        };
        let certificate = boot::register(&provider, &self.credentials(), &body).await.unwrap();
        let base64: String = certificate.lines().filter(|line| !line.contains("-----")).collect();
        let trust = json!({"type": "client", "name": "center", "certificate": base64});
        let incus = Peer::at(Endpoint::unix(&self.member.socket), Arc::new(Counters::default()));
        let within = Duration::from_secs(30);
        incus.request(http::Method::POST, "/1.0/certificates", Some(&trust), within).await.unwrap();
        self.change(Model::registered);
    }

    async fn report(&self, cause: &'static str) {
        if !self.tells.load(Ordering::SeqCst) {
            return;
        }
        let (provider, url) = {
            let model = self.model.lock().unwrap();
            (model.provider().cloned().unwrap(), model.url())
        };
        if let Err(error) = boot::tell(&provider, &self.credentials(), &url, cause).await {
            eprintln!("{} cannot tell {cause}: {error}", self.name());
        }
    }
}

/// A machine that is no member of the bed registers.
pub async fn newcomer(daemon: &Daemon, token: &str, identity: &Identity) -> Result<String, BootError> {
    let body = json!({"name": "newcomer", "connection_url": "https://198.51.100.99:8443",
                      "system_uuid": "6d7f2b7c-50d2-4c0e-9c3c-0f8f5ee0a001", "machine_id": ""});
    boot::register(&provider(daemon, token), &identity.credentials().unwrap(), &body).await
}

fn provider(daemon: &Daemon, token: &str) -> BTreeMap<String, String> {
    let entry = |key: &str, value: String| (key.to_owned(), value);
    BTreeMap::from([
        entry("server_url", daemon.url()),
        entry("server_token", token.to_owned()),
        entry("server_certificate", daemon.certificate()),
    ])
}
