//! What one machine does, without any IO: it is asked, time passes, effects come out.
//!
//! Time is the duration since the fleet began. Sources: servers.md 5-7, clusters.md 14.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use serde_json::{Value, json};

use crate::documents;
use crate::member::Member;
use crate::parts::Alteration;
use crate::spec::{Spec, Timing, draw};

mod ask;

pub use ask::{Reply, Request};

/// What the world must do because of the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Start listening.
    Listen,
    /// Stop listening, and cut every connection.
    Silence,
    /// Register with the center.
    Register,
    /// Tell the center, with this cause (servers.md 6.3).
    Tell(&'static str),
    /// Look at the center for an update of this channel that is newer than this version.
    Look {
        /// Channel of the machine.
        channel: String,
        /// Installed, or waiting for the next boot.
        installed: String,
    },
    /// Send an event to everyone who listens to events.
    Event(Value),
    /// Forget the certificate and make a new one: the machine was wiped.
    NewIdentity,
}

/// Where the machine is between off and ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Without power, or between two boots.
    Off,
    /// Listens, has not finished starting.
    Starting {
        /// Since.
        since: Duration,
    },
    /// Runs.
    Ready {
        /// When it booted.
        since: Duration,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Timer {
    PowerOff { again: bool },
    PowerOn,
    Started,
    Updated,
    MemberDone(uuid::Uuid),
}

/// One machine.
#[derive(Debug, Clone)]
pub struct Model {
    spec: Spec,
    timing: Timing,
    name: String,
    phase: Phase,
    version: String,
    version_next: String,
    applications: Vec<String>,
    application_version: String,
    available: Option<String>,
    /// What a look at the center brought.
    found: Option<String>,
    looking: bool,
    update: Update,
    network: Value,
    storage: Value,
    other: BTreeMap<String, Value>,
    provider: Option<BTreeMap<String, String>>,
    registered: bool,
    member: Member,
    boots: u64,
    operations: u64,
    stays_down: bool,
    timers: Vec<(Duration, Timer)>,
    effects: VecDeque<Effect>,
}

#[derive(Debug, Clone)]
struct Update {
    channel: String,
    last_check: Option<Duration>,
    since: Option<Duration>,
    status: String,
}

impl Model {
    /// A machine without power, installed with this provider configuration (`server_url`, `server_token`,
    /// `server_certificate`), or with none.
    pub fn new(spec: Spec, timing: Timing, provider: Option<BTreeMap<String, String>>) -> Self {
        let name = spec.name.clone();
        Self {
            version: spec.version.clone(),
            version_next: spec.version.clone(),
            applications: vec![spec.application.clone()],
            application_version: spec.version.clone(),
            update: Update { channel: spec.channel.clone(), last_check: None, since: None, status: String::new() },
            network: documents::network_config(&spec, &name),
            storage: documents::storage_config(),
            other: BTreeMap::new(),
            phase: Phase::Off,
            available: None,
            found: None,
            looking: false,
            registered: false,
            member: Member::online(),
            boots: 0,
            operations: 0,
            stays_down: false,
            timers: vec![],
            effects: VecDeque::new(),
            provider,
            name,
            timing,
            spec,
        }
    }

    /// What it is.
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// Somebody changes a part of it.
    pub fn alter(&mut self, alteration: Alteration) {
        self.spec.alter(alteration);
    }

    /// Its host name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it is between off and ready.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Version that runs.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Whether it belongs to a center.
    pub fn is_registered(&self) -> bool {
        self.registered
    }

    /// The member of its Incus.
    pub fn member(&self) -> &Member {
        &self.member
    }

    /// Whom it is told to belong to: `server_url`, `server_token`, `server_certificate`.
    pub fn provider(&self) -> Option<&BTreeMap<String, String>> {
        self.provider.as_ref()
    }

    /// Its body for registering (servers.md 5.2).
    pub fn registration(&self) -> Value {
        json!({
            "name": self.name, "connection_url": self.url(), "public_connection_url": "", "channel": "",
            "description": "", "properties": null, "system_uuid": self.spec.firmware_uuid(),
            "machine_id": self.spec.machine_id,
            "bmc_config": {"api_type": "", "endpoint": "", "certificate": "", "auto_pin_certificate": false,
                           "username": "", "password": ""},
        })
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("https://{}", self.spec.address)
    }

    /// Switches it on `delay` from now; without effect when it is on.
    pub fn power_on(&mut self, now: Duration, delay: Duration) {
        if self.phase == Phase::Off && !self.timers.iter().any(|(_, t)| *t == Timer::PowerOn) {
            self.timers.push((now + delay, Timer::PowerOn));
        }
    }

    /// Cuts its power: from now on it is silent, and nobody was told.
    pub fn lose_power(&mut self) {
        if self.phase != Phase::Off {
            self.phase = Phase::Off;
            self.timers.clear();
            self.effects.push_back(Effect::Silence);
        }
    }

    /// Makes the next reboot the last one, until [`Model::power_on`].
    pub fn stay_down_after_reboot(&mut self, stays: bool) {
        self.stays_down = stays;
    }

    /// Offers a version that the next check for updates finds, without looking at the center.
    pub fn publish(&mut self, version: &str) {
        self.available = Some(version.to_owned());
    }

    /// What a look at the center came to: the version that was loaded from there, none, or why not.
    pub fn looked(&mut self, found: Result<Option<String>, String>, now: Duration) {
        self.looking = false;
        match found {
            Ok(Some(version)) => {
                self.update.since = Some(now);
                self.found = Some(version);
                self.timers.push((now + self.timing.updating, Timer::Updated));
            }
            Ok(None) => self.update.status = "Update check completed".to_owned(),
            Err(why) => self.update.status = format!("Update check failed: {why}"),
        }
    }

    /// The center took the registration.
    pub fn registered(&mut self) {
        self.registered = true;
        self.effects.push_back(Effect::Tell("system-is-ready"));
    }

    /// When [`Model::advance`] has something to do; `None` as long as nobody asks anything.
    pub fn due(&self) -> Option<Duration> {
        if self.effects.is_empty() { self.timers.iter().map(|(at, _)| *at).min() } else { Some(Duration::ZERO) }
    }

    /// Lets time pass until `now` and says what must be done, in order.
    pub fn advance(&mut self, now: Duration) -> Vec<Effect> {
        while let Some(next) = (0..self.timers.len()).min_by_key(|i| self.timers[*i].0)
            && self.timers[next].0 <= now
        {
            let (at, timer) = self.timers.remove(next);
            self.fire(at, timer);
        }
        self.effects.drain(..).collect()
    }

    fn fire(&mut self, at: Duration, timer: Timer) {
        match timer {
            Timer::PowerOff { again } => {
                self.phase = Phase::Off;
                self.timers.clear();
                self.effects.push_back(Effect::Silence);
                if again && !self.stays_down {
                    self.timers.push((at + self.timing.down, Timer::PowerOn));
                }
            }
            Timer::PowerOn => {
                self.boots += 1;
                self.phase = Phase::Starting { since: at };
                self.version.clone_from(&self.version_next);
                self.update.since = None;
                (self.found, self.looking) = (None, false);
                if self.boots > 1 {
                    self.member.rebooted();
                }
                self.timers.push((at + self.timing.starting, Timer::Started));
                self.effects.push_back(Effect::Listen);
            }
            Timer::Started => {
                if let Phase::Starting { since } = self.phase {
                    self.phase = Phase::Ready { since };
                }
                self.effects.push_back(match (self.registered, &self.provider) {
                    (true, _) => Effect::Tell("system-is-ready"),
                    (false, Some(_)) => Effect::Register,
                    (false, None) => return,
                });
            }
            Timer::Updated => self.updated(at),
            Timer::MemberDone(id) => {
                if let Some(action) = self.member.finish(id) {
                    let event = json!({
                        "type": "lifecycle", "timestamp": self.wall(at), "location": self.name, "project": "",
                        "metadata": {"action": action, "source": format!("/1.0/cluster/members/{}", self.name)},
                    });
                    self.effects.push_back(Effect::Event(event));
                }
            }
        }
    }

    /// The download is done: applications change at once, the OS with the next boot.
    fn updated(&mut self, at: Duration) {
        self.update.since = None;
        self.update.last_check = Some(at);
        self.update.status = "Update check completed".to_owned();
        let Some(version) = self.found.take().or_else(|| self.available.clone()) else { return };
        if version > self.version_next {
            self.version_next.clone_from(&version);
            self.effects.push_back(Effect::Tell("os-update-applied"));
        }
        if version > self.application_version {
            self.application_version = version;
            self.effects.push_back(Effect::Tell("application-update-applied"));
        }
    }

    fn check_update(&mut self, now: Duration) {
        if self.update.since.is_some() || self.looking {
            return;
        }
        self.update.last_check = Some(now);
        if self.available.is_none() && self.provider.is_some() {
            self.looking = true;
            let installed = self.version_next.clone().max(self.version.clone());
            self.effects.push_back(Effect::Look { channel: self.update.channel.clone(), installed });
        } else if self.available.as_ref().is_some_and(|v| *v > self.version_next || *v > self.application_version) {
            self.update.since = Some(now);
            self.timers.push((now + self.timing.updating, Timer::Updated));
        } else {
            self.update.status = "Update check completed".to_owned();
        }
    }

    fn update_status(&self, now: Duration) -> String {
        match (self.update.since, self.found.as_ref().or(self.available.as_ref())) {
            (Some(since), Some(version)) => {
                let done = now.saturating_sub(since).as_secs_f64() / self.timing.updating.as_secs_f64().max(0.001);
                format!("Downloading version {version}: {:.0}%", (done * 100.0).min(99.0))
            }
            _ => self.update.status.clone(),
        }
    }

    fn uptime(&self, now: Duration) -> u64 {
        match self.phase {
            Phase::Off => 0,
            Phase::Starting { since } | Phase::Ready { since } => now.saturating_sub(since).as_secs(),
        }
    }

    fn wall(&self, at: Duration) -> String {
        let seconds = i64::try_from(at.as_secs()).unwrap_or(i64::MAX).saturating_add(self.spec.epoch);
        jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::MAX).to_string()
    }

    fn power_off(&mut self, now: Duration, again: bool, cause: Option<&'static str>) {
        if self.timers.iter().any(|(_, t)| matches!(t, Timer::PowerOff { .. })) {
            return;
        }
        if let Some(cause) = cause.filter(|_| self.registered) {
            self.effects.push_back(Effect::Tell(cause));
        }
        self.timers.push((now + self.timing.stopping, Timer::PowerOff { again }));
    }

    fn operation_id(&mut self) -> uuid::Uuid {
        self.operations += 1;
        let (high, low) = self.spec.system_uuid.as_u64_pair();
        draw(high ^ low, self.spec.number, &format!("operation {}", self.operations))
    }

    /// Wipes it: what was installed is forgotten, and the seeds say how it starts again (servers.md 7.9).
    fn factory_reset(&mut self, now: Duration, body: &Value) {
        let text = |value: &Value| value.as_str().filter(|t| !t.is_empty()).map(str::to_owned);
        let seeds = &body["seeds"];
        let provider = seeds["provider"]["config"].as_object().map(|config| {
            config.iter().filter_map(|(key, value)| Some((key.clone(), text(value)?))).collect::<BTreeMap<_, _>>()
        });
        let name = text(&seeds["network"]["dns"]["hostname"]).unwrap_or_else(|| self.spec.system_uuid.to_string());
        let installed = self.version.clone();
        let wiped = Self::new(self.spec.clone(), self.timing, provider.or_else(|| self.provider.clone()));
        let (boots, operations, stays_down, available) =
            (self.boots, self.operations, self.stays_down, self.available.take());
        let effects = std::mem::take(&mut self.effects);
        *self = Self {
            network: documents::network_config(&self.spec, &name),
            phase: self.phase,
            version: installed.clone(),
            version_next: installed.clone(),
            application_version: installed,
            boots,
            operations,
            stays_down,
            available,
            effects,
            name,
            ..wiped
        };
        self.effects.push_back(Effect::NewIdentity);
        self.power_off(now, true, None);
    }
}

#[cfg(test)]
mod tests;
