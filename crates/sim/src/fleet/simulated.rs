//! One machine with everything around its model that tasks share.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use http::{Method, Uri};
use muster_clients::tls::{Credentials, Identity, TlsError};
use tokio::sync::{Notify, broadcast};
use tokio::time::Instant;

use super::{Trusted, identity};
use crate::fault::Fault;
use crate::member::MemberState;
use crate::model::{Effect, Model, Phase, Reply, Request};
use crate::parts::Alteration;
use crate::spec::{Spec, Timing};

/// Requests that a machine remembers.
const REMEMBERED: usize = 256;

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FleetEvent {
    /// Time since the fleet began.
    pub at: Duration,
    /// Host name of the machine.
    pub machine: String,
    /// What happened.
    pub what: What,
}

/// What happens to machines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// It listens.
    Listening(String),
    /// It does not listen any more.
    Silent,
    /// It cannot listen.
    CannotListen(String),
    /// The center took it.
    Registered,
    /// The center did not take it; it tries again.
    NotRegistered(String),
    /// The center was told, with this cause.
    Told(&'static str),
    /// The center could not be told.
    NotTold(&'static str, String),
    /// It has a new identity after a factory reset.
    Wiped,
    /// It loaded this version of an update from the center.
    Loaded(String),
    /// It could not look for an update, or load it.
    NotLoaded(String),
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cause = |cause: &'static str| if cause.is_empty() { "no cause" } else { cause };
        match self {
            Self::Listening(url) => write!(f, "listens on {url}"),
            Self::Silent => f.write_str("stopped listening"),
            Self::CannotListen(why) => write!(f, "cannot listen: {why}"),
            Self::Registered => f.write_str("registered"),
            Self::NotRegistered(why) => write!(f, "not registered: {why}"),
            Self::Told(what) => write!(f, "told the center: {}", cause(what)),
            Self::NotTold(what, why) => write!(f, "could not tell the center {}: {why}", cause(what)),
            Self::Wiped => f.write_str("wiped"),
            Self::Loaded(version) => write!(f, "loaded update {version}"),
            Self::NotLoaded(why) => write!(f, "could not load an update: {why}"),
        }
    }
}

/// What a machine is born with.
pub(super) struct Birth {
    pub now: SystemTime,
    pub began: Instant,
    pub timing: Timing,
    pub provider: Option<BTreeMap<String, String>>,
    pub trusted: Trusted,
    pub fault: Option<Fault>,
    pub at_reset: Option<Alteration>,
    pub events: broadcast::Sender<FleetEvent>,
}

struct Keys {
    identity: Identity,
    credentials: Arc<Credentials>,
}

struct Inner {
    model: Model,
    fault: Option<Fault>,
    at_reset: Option<Alteration>,
    trusted: HashSet<String>,
    keys: Keys,
    asked: VecDeque<String>,
}

/// One machine of a fleet.
pub struct Simulated {
    inner: Mutex<Inner>,
    number: usize,
    url: String,
    address: IpAddr,
    timing: Timing,
    began: Instant,
    now: SystemTime,
    changed: Notify,
    relisten: AtomicBool,
    handshakes: AtomicU64,
    requests: AtomicU64,
    fleet: broadcast::Sender<FleetEvent>,
    events: broadcast::Sender<String>,
}

fn keys(spec: &Spec, fault: Option<Fault>, now: SystemTime) -> Result<Keys, TlsError> {
    let from = if fault == Some(Fault::ClockSkew) { now + DAY } else { now - HOUR };
    let identity = identity(spec, from)?;
    Ok(Keys { credentials: identity.credentials()?, identity })
}

impl Simulated {
    pub(super) fn new(spec: Spec, birth: Birth) -> Result<Self, TlsError> {
        let keys = keys(&spec, birth.fault, birth.now)?;
        let trusted = match birth.trusted {
            Trusted::Nobody => HashSet::new(),
            Trusted::Fingerprints(fingerprints) => fingerprints.into_iter().collect(),
        };
        let (number, address) = (spec.number, spec.address.ip());
        let mut model = Model::new(spec, birth.timing, birth.provider);
        model.stay_down_after_reboot(birth.fault == Some(Fault::RebootNeverReturns));
        Ok(Self {
            number,
            url: model.url(),
            address,
            inner: Mutex::new(Inner {
                model,
                fault: birth.fault,
                at_reset: birth.at_reset,
                trusted,
                keys,
                asked: VecDeque::new(),
            }),
            timing: birth.timing,
            began: birth.began,
            now: birth.now,
            changed: Notify::new(),
            relisten: AtomicBool::new(false),
            handshakes: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            fleet: birth.events,
            events: broadcast::channel(64).0,
        })
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Number in the fleet, from 1.
    pub fn number(&self) -> usize {
        self.number
    }

    /// Host name.
    pub fn name(&self) -> String {
        self.inner().model.name().to_owned()
    }

    /// `https://address:port`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// IP address that it is reached on.
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// DMI product UUID as it tells it, and machine id.
    pub fn hardware(&self) -> (uuid::Uuid, String) {
        let inner = self.inner();
        (inner.model.spec().firmware_uuid(), inner.model.spec().machine_id.clone())
    }

    /// The certificate it registers with (PEM), and serves with unless it is faulty.
    pub fn certificate_pem(&self) -> String {
        self.inner().keys.identity.certificate_pem.clone()
    }

    /// Where it is between off and ready.
    pub fn phase(&self) -> Phase {
        self.inner().model.phase()
    }

    /// Whether a center has taken it.
    pub fn is_registered(&self) -> bool {
        self.inner().model.is_registered()
    }

    /// Version that runs.
    pub fn version(&self) -> String {
        self.inner().model.version().to_owned()
    }

    /// Whether instances may run on it.
    pub fn member_state(&self) -> MemberState {
        self.inner().model.member().state
    }

    /// TLS handshakes served.
    pub fn handshakes(&self) -> u64 {
        self.handshakes.load(Ordering::Relaxed)
    }

    /// Requests received.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// The last requests since this was asked before, as `METHOD path`; at most 256.
    pub fn asked(&self) -> Vec<String> {
        self.inner().asked.drain(..).collect()
    }

    /// Its fault.
    pub fn fault(&self) -> Option<Fault> {
        self.inner().fault
    }

    /// Gives it another fault, or none. Connections that are open are cut. A skewed clock shows only in certificates
    /// that are made later.
    pub fn set_fault(&self, fault: Option<Fault>) {
        {
            let mut inner = self.inner();
            inner.fault = fault;
            inner.model.stay_down_after_reboot(fault == Some(Fault::RebootNeverReturns));
        }
        self.relisten.store(true, Ordering::Release);
        self.changed.notify_one();
    }

    /// Changes a part of it: the next answer shows it.
    pub fn alter(&self, alteration: Alteration) {
        self.inner().model.alter(alteration);
    }

    /// How it is altered whenever it is reset.
    pub fn set_at_reset(&self, alteration: Option<Alteration>) {
        self.inner().at_reset = alteration;
    }

    /// Trusts the owner of a certificate with this fingerprint, too.
    pub fn trust(&self, fingerprint: &str) {
        self.inner().trusted.insert(fingerprint.to_owned());
    }

    /// Switches it on; without effect when it is on.
    pub fn power_on(&self) {
        self.power_on_after(Duration::ZERO);
    }

    pub(super) fn power_on_after(&self, delay: Duration) {
        let now = self.clock();
        self.change(|model| model.power_on(now, delay));
    }

    /// Offers it a version.
    pub fn publish(&self, version: &str) {
        self.inner().model.publish(version);
    }

    /// Time since the fleet began.
    pub fn clock(&self) -> Duration {
        self.began.elapsed()
    }

    pub(crate) fn timing(&self) -> &Timing {
        &self.timing
    }

    pub(crate) async fn sleep_until(&self, at: Duration) {
        tokio::time::sleep_until(self.began + at).await;
    }

    pub(crate) fn count_handshake(&self) {
        self.handshakes.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn log(&self, method: &Method, uri: &Uri) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let mut inner = self.inner();
        if inner.asked.len() == REMEMBERED {
            inner.asked.pop_front();
        }
        inner.asked.push_back(format!("{method} {uri}"));
    }

    pub(crate) fn trusts(&self, peer: Option<&str>) -> bool {
        peer.is_some_and(|peer| self.inner().trusted.contains(peer))
    }

    pub(crate) fn ask(&self, request: Request<'_>) -> Reply {
        let now = self.clock();
        self.change(|model| model.ask(now, request))
    }

    pub(crate) fn events(&self) -> broadcast::Receiver<String> {
        self.events.subscribe()
    }

    /// Changes the model and wakes the task that lets it act, where there is something to do.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Model) -> T) -> T {
        let (result, due) = {
            let mut inner = self.inner();
            let before = inner.model.due();
            let result = change(&mut inner.model);
            (result, inner.model.due() != before)
        };
        if due {
            self.changed.notify_one();
        }
        result
    }

    pub(super) fn advance(&self) -> (Vec<Effect>, Option<Duration>) {
        let now = self.clock();
        let mut inner = self.inner();
        (inner.model.advance(now), inner.model.due())
    }

    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    pub(super) fn take_relisten(&self) -> bool {
        self.relisten.swap(false, Ordering::AcqRel)
    }

    pub(super) fn say(&self, what: What) {
        // Nobody has to listen.
        let _ = self.fleet.send(FleetEvent { at: self.clock(), machine: self.name(), what });
    }

    pub(super) fn send_event(&self, event: &serde_json::Value) {
        // Nobody has to listen.
        let _ = self.events.send(event.to_string());
    }

    pub(super) fn credentials(&self) -> Arc<Credentials> {
        self.inner().keys.credentials.clone()
    }

    /// What it presents when it is connected to.
    pub(super) fn presented(&self) -> Result<Arc<Credentials>, TlsError> {
        let (fault, spec) = {
            let inner = self.inner();
            (inner.fault, inner.model.spec().clone())
        };
        match fault {
            Some(Fault::WrongCertificate) => Ok(keys(&spec, None, self.now)?.credentials),
            _ => Ok(self.credentials()),
        }
    }

    pub(super) fn provider(&self) -> Option<BTreeMap<String, String>> {
        self.inner().model.provider().cloned()
    }

    pub(super) fn registration(&self) -> serde_json::Value {
        self.inner().model.registration()
    }

    /// Forgets whom it trusted, and makes new keys.
    pub(super) fn wipe(&self) -> Result<(), TlsError> {
        let (spec, fault) = {
            let inner = self.inner();
            (inner.model.spec().clone(), inner.fault)
        };
        let keys = keys(&spec, fault, self.now)?;
        let mut inner = self.inner();
        inner.keys = keys;
        inner.trusted.clear();
        if let Some(alteration) = inner.at_reset {
            inner.model.alter(alteration);
        }
        Ok(())
    }
}
