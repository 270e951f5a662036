//! Machines over real TLS on loopback, and a center that takes them in.

use std::collections::HashSet;
use std::sync::Mutex;

use http::{Method, Request, Response, header};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::TokioIo;
use muster_clients::call::Failure;
use muster_clients::incus::MemberAction;
use muster_clients::machine::{Counters, Machine};
use muster_clients::tls::{Trust, fingerprint};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::*;
use crate::fault::Fault;
use crate::member::MemberState;
use crate::wire;

const SOON: Duration = Duration::from_secs(20);

#[expect(clippy::disallowed_methods, reason = "certificates are checked against the system's clock")]
fn now() -> SystemTime {
    SystemTime::now()
}

fn new_identity(kind: &Kind) -> Identity {
    Identity::generate(kind, Curve::P256, "test@localhost", now() - Duration::from_secs(60)).unwrap()
}

/// What a center was told: fingerprint of the machine, request line, body.
type Told = Arc<Mutex<Vec<(String, String, Value)>>>;

/// As much of a center as a machine sees.
struct Center {
    url: String,
    server: Identity,
    client: Identity,
    told: Told,
}

impl Center {
    async fn start() -> Self {
        let server = new_identity(&Kind::Server { names: vec!["center".to_owned()] });
        let client = new_identity(&Kind::Client);
        let acceptor = wire::acceptor(&server.credentials().unwrap()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let told = Told::default();
        let center = Self { url, server, client, told };
        let (told, pem) = (center.told.clone(), center.client.certificate_pem.clone());
        tokio::spawn(async move {
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                let (acceptor, told, pem) = (acceptor.clone(), told.clone(), pem.clone());
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(tcp).await else { return };
                    let peer = fingerprint(&stream.get_ref().1.peer_certificates().unwrap()[0]);
                    let service = hyper::service::service_fn(|r| hear(r, peer.clone(), told.clone(), pem.clone()));
                    let http = hyper::server::conn::http1::Builder::new();
                    let _ = http.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        center
    }

    fn options(&self, count: usize) -> FleetOptions {
        let mut options = FleetOptions::new(count, 7, now());
        options.timing.down = Duration::from_millis(500);
        options.timing.starting = Duration::from_millis(100);
        options.timing.stopping = Duration::from_millis(100);
        options.timing.updating = Duration::from_millis(100);
        options.timing.moving = Duration::from_millis(100);
        options.timing.slow = Duration::from_millis(300);
        options.center = Some(CenterOptions {
            url: self.url.clone(),
            certificate_pem: Some(self.server.certificate_pem.clone()),
            token: "token-1".to_owned(),
        });
        options
    }

    fn machine(&self, of: &Simulated) -> Machine {
        reach(of, &self.client)
    }

    /// Waits until a machine has told a cause this many times.
    async fn hears(&self, cause: &str, times: usize) -> bool {
        for _ in 0..500 {
            let told = self.told.lock().unwrap().iter().filter(|(_, _, body)| body["cause"] == cause).count();
            if told >= times {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        false
    }

    fn registrations(&self) -> Vec<(String, String, Value)> {
        self.told.lock().unwrap().iter().filter(|(_, line, _)| line.starts_with("POST ")).cloned().collect()
    }
}

fn reach(of: &Simulated, identity: &Identity) -> Machine {
    let trust = Trust::pinned(&of.certificate_pem()).unwrap();
    let credentials = identity.credentials().unwrap();
    Machine::new(of.url(), &trust, Some(credentials), Arc::new(Counters::default())).unwrap()
}

async fn hear(
    request: Request<Incoming>,
    peer: String,
    told: Told,
    pem: String,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    assert!(!request.headers().contains_key(header::CONTENT_TYPE), "IncusOS sends no content type");
    let line = format!("{} {}", request.method(), request.uri());
    let body: Value = serde_json::from_slice(&request.into_body().collect().await?.to_bytes()).unwrap();
    let answer = match line.as_str() {
        "POST /1.0/provisioning/servers?token=token-1" | "POST /1.0/provisioning/servers?token=token-2" => {
            json!({"type": "sync", "status_code": 200, "metadata": {"certificate": pem}})
        }
        "PUT /1.0/provisioning/servers/:self" => json!({"type": "sync", "status_code": 200, "metadata": {}}),
        _ => json!({"type": "error", "error_code": 403, "error": "Not authorized"}),
    };
    told.lock().unwrap().push((peer, line, body));
    Ok(Response::new(Full::from(answer.to_string())))
}

/// That nobody listens, as far as `bind` can show it.
fn is_nobody(failure: &Failure, bind: Bind) -> bool {
    match bind {
        // A reset may come before or after the kernel says that the connection stands.
        Bind::Shared { .. } => matches!(failure, Failure::Connect(_) | Failure::Closed(_)),
        Bind::Ports | Bind::Addresses { .. } => matches!(failure, Failure::Connect(_)),
    }
}

#[tokio::test]
async fn a_fleet_registers_and_answers_its_center_only() {
    for bind in [Bind::Addresses { port: 18443 }, Bind::Shared { port: 0 }] {
        registers_and_answers(bind).await;
    }
}

async fn registers_and_answers(bind: Bind) {
    let center = Center::start().await;
    let mut options = center.options(20);
    options.bind = bind;
    let fleet = Fleet::start(options).await.unwrap();
    assert!(fleet.until(SOON, Simulated::is_registered).await);
    let machine = fleet.machine(3).unwrap();
    assert!(center.hears("system-is-ready", 20).await);
    let registrations = center.registrations();
    let distinct = |key: &str| registrations.iter().map(|(_, _, b)| b[key].to_string()).collect::<HashSet<_>>().len();
    assert_eq!((distinct("connection_url"), distinct("system_uuid"), distinct("name")), (20, 20, 20));
    let own = fingerprint(&muster_clients::tls::leaf(&machine.certificate_pem()).unwrap());
    let (_, _, body) = registrations.iter().find(|(peer, _, _)| *peer == own).unwrap();
    assert_eq!((&body["name"], &body["connection_url"]), (&json!("sim-0003"), &json!(machine.url())));

    let client = center.machine(machine);
    client.ping(SOON).await.unwrap();
    assert_eq!(client.environment().await.unwrap().hostname, "sim-0003");
    let network = client.network().await.unwrap();
    let address = muster_clients::incusos::management_address(&network).unwrap();
    let (at, port) = machine.url().rsplit_once(':').unwrap();
    assert_eq!(format!("https://{address}"), at);
    assert!(fleet.machines().iter().all(|m| m.url().ends_with(port)), "one port for all");
    let size = client.resources().await.unwrap().get().len() + network.get().len();
    assert!(size > 9000, "{size}");
    client.security().await.unwrap();
    client.storage().await.unwrap();
    assert_eq!(client.applications().await.unwrap(), ["incus"]);
    assert_eq!(client.application("incus").await.unwrap().version, "202511010000");
    assert_eq!(client.update_document().await.unwrap().config.channel, "stable");
    assert_eq!((client.counters().handshakes(), machine.handshakes(), machine.requests()), (1, 1, 9));

    let stranger = reach(machine, &new_identity(&Kind::Client));
    stranger.ping(SOON).await.unwrap();
    assert!(matches!(stranger.environment().await.unwrap_err().failure, Failure::Api { code: 403, .. }));
}

#[tokio::test]
async fn an_update_takes_a_reboot_during_which_nobody_listens() {
    updates_and_reboots(Bind::Ports).await;
}

#[tokio::test]
async fn an_update_takes_a_reboot_behind_a_listener_that_is_shared() {
    updates_and_reboots(Bind::Shared { port: 0 }).await;
}

async fn updates_and_reboots(bind: Bind) {
    let center = Center::start().await;
    let mut options = center.options(1);
    options.bind = bind;
    let fleet = Fleet::start(options).await.unwrap();
    assert!(center.hears("system-is-ready", 1).await);
    let machine = fleet.machine(1).unwrap();
    let client = center.machine(machine);
    fleet.publish("202512010000");
    client.check_update().await.unwrap();
    assert!(center.hears("os-update-applied", 1).await);
    assert!(client.environment().await.unwrap().needs_reboot());
    client.reboot().await.unwrap();
    assert!(center.hears("system-reboot-triggered", 1).await);
    assert!(fleet.until(SOON, |m| m.phase() == crate::model::Phase::Off).await);
    let down = client.ping(SOON).await.unwrap_err();
    assert!(is_nobody(&down.failure, bind) && down.retryable(), "{down}");
    assert!(center.hears("system-is-ready", 2).await);
    let environment = client.environment().await.unwrap();
    assert!(environment.is_ready() && !environment.needs_reboot());
    assert_eq!((environment.os_version.as_str(), environment.uptime), ("202512010000", Some(0)));

    client.poweroff().await.unwrap();
    assert!(center.hears("system-shutdown-triggered", 1).await);
    assert!(fleet.until(SOON, |m| m.phase() == crate::model::Phase::Off).await);
    machine.power_on();
    assert!(center.hears("system-is-ready", 3).await);
    client.ping(SOON).await.unwrap();
}

#[tokio::test]
async fn a_wiped_machine_comes_back_as_another_one_on_the_same_hardware() {
    let center = Center::start().await;
    let fleet = Fleet::start(center.options(1)).await.unwrap();
    assert!(fleet.until(SOON, Simulated::is_registered).await);
    let machine = fleet.machine(1).unwrap();
    let before = center.machine(machine);
    let seeds = json!({"provider": {"name": "operations-center", "config": {"server_url": center.url,
        "server_token": "token-2", "server_certificate": center.server.certificate_pem}}});
    before.factory_reset(&json!({"seeds": seeds})).await.unwrap();
    assert!(fleet.until(SOON, |m| !m.is_registered()).await);
    assert!(fleet.until(SOON, Simulated::is_registered).await);
    let registrations = center.registrations();
    assert_eq!(registrations.len(), 2);
    let [(first, _, installed), (second, line, wiped)] = &registrations[..] else { panic!("{registrations:?}") };
    assert_ne!(first, second);
    assert!(line.ends_with("token-2"));
    assert_eq!((&wiped["name"], &wiped["machine_id"]), (&installed["system_uuid"], &installed["machine_id"]));
    assert!(matches!(before.ping(SOON).await.unwrap_err().failure, Failure::Certificate(_)));
    center.machine(machine).environment().await.unwrap();
}

#[tokio::test]
async fn evacuation_is_accepted_waited_for_and_announced() {
    let center = Center::start().await;
    let fleet = Fleet::start(center.options(1)).await.unwrap();
    assert!(fleet.until(SOON, Simulated::is_registered).await);
    let client = center.machine(fleet.machine(1).unwrap());
    let mut events = client.events("/1.0/events?all-projects=true&type=lifecycle").await.unwrap();
    let id = client.set_member_state("sim-0001", MemberAction::Evacuate, "auto").await.unwrap();
    assert!(client.wait_operation(&id, SOON).await.unwrap().is_success());
    assert_eq!(client.member_status("sim-0001").await.unwrap(), "Evacuated");
    let event: Value = serde_json::from_str(events.next().await.unwrap().unwrap().get()).unwrap();
    assert_eq!(event["metadata"]["action"], "cluster-member-evacuated");
    let again = client.set_member_state("sim-0001", MemberAction::Evacuate, "auto").await.unwrap_err();
    assert!(matches!(again.failure, Failure::Api { code: 400, .. }), "{again}");
    client.set_member_state("sim-0001", MemberAction::Restore, "").await.unwrap();
    assert!(fleet.until(SOON, |m| m.member_state() == MemberState::Online).await);

    // A reboot ends the stream.
    client.reboot().await.unwrap();
    while let Some(Ok(_)) = events.next().await {}
    assert!(center.hears("system-is-ready", 2).await);
}

#[tokio::test]
async fn every_fault_shows_as_what_it_is() {
    shows_every_fault(Bind::Ports).await;
}

#[tokio::test]
async fn every_fault_shows_behind_a_listener_that_is_shared() {
    shows_every_fault(Bind::Shared { port: 0 }).await;
}

async fn shows_every_fault(bind: Bind) {
    let center = Center::start().await;
    let mut options = center.options(9);
    options.bind = bind;
    options.faults = crate::fault::ALL.map(|fault| FaultCount { fault, count: 1 }).to_vec();
    let fleet = Fleet::start(options).await.unwrap();
    assert!(fleet.until(SOON, Simulated::is_registered).await);
    let mut seen = HashSet::new();
    for machine in fleet.machines() {
        let client = center.machine(machine);
        let asked = client.request(Method::GET, "/os/1.0", None, Duration::from_millis(1500)).await;
        let failure = asked.map_err(|e| e.failure);
        let fault = machine.fault();
        seen.insert(fault);
        let as_expected = match fault {
            None | Some(Fault::RebootNeverReturns) => failure.is_ok(),
            Some(Fault::Slow) => {
                failure.is_ok() && client.ping(Duration::from_millis(100)).await.unwrap_err().retryable()
            }
            Some(Fault::Hang) => matches!(failure, Err(Failure::Timeout)),
            Some(Fault::Refuse) => failure.as_ref().is_err_and(|failure| is_nobody(failure, bind)),
            Some(Fault::WrongCertificate | Fault::ClockSkew) => matches!(failure, Err(Failure::Certificate(_))),
            Some(Fault::Garbage) => matches!(failure, Err(Failure::NotJson(_))),
            Some(Fault::HalfAnswer) => matches!(failure, Err(Failure::Closed(_))),
        };
        assert!(as_expected, "{fault:?}: {failure:?}");
        if fault == Some(Fault::RebootNeverReturns) {
            client.reboot().await.unwrap();
            tokio::time::sleep(Duration::from_millis(1500)).await;
            assert!(is_nobody(&client.ping(SOON).await.unwrap_err().failure, bind));
        } else if fault != Some(Fault::ClockSkew) {
            machine.set_fault(None);
            let mended = async { while client.ping(Duration::from_secs(1)).await.is_err() {} };
            tokio::time::timeout(SOON, mended).await.unwrap_or_else(|_| panic!("{fault:?} stays"));
        }
    }
    assert_eq!(seen.len(), 9);
}
