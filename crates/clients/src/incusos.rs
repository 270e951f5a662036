//! The calls of IncusOS over a [`Machine`]. Source: servers.md 7.0.1, 7.1-7.10.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use http::Method;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::RawValue;

use crate::call::{Answer, CallError, Failure};
use crate::incus::segment;
use crate::machine::Machine;

/// Time a document may take.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// Time a call may take that changes something on the machine at once.
pub const CHANGE_WITHIN: Duration = Duration::from_secs(30);
/// Time a network change may take: the machine waits up to 30 s for the network and then for its time servers (7.1).
pub const NETWORK_WITHIN: Duration = Duration::from_secs(120);
/// Time a storage change may take: it creates pools.
pub const STORAGE_WITHIN: Duration = Duration::from_secs(600);
/// Uptime in seconds from which an OS that does not say so counts as ready (7.0.1).
pub const READY_AFTER_SECONDS: u64 = 120;

/// Applications of one machine. Each is asked for by a call of its own, so that a machine that lists more would keep a poll
/// busy for as long as it likes.
pub const APPLICATION_LIMIT: usize = 100;

/// `environment` of `GET /os/1.0`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Environment {
    /// Host name.
    pub hostname: String,
    /// 32 hex characters.
    pub machine_id: String,
    /// `IncusOS`.
    pub os_name: String,
    /// Version that runs.
    pub os_version: String,
    /// Version that runs after the next boot.
    pub os_version_next: String,
    /// Whether start-up is done; older versions do not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system_is_ready: Option<bool>,
    /// Seconds since boot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uptime: Option<u64>,
}

impl Environment {
    /// Whether the machine has finished starting: what it says itself, else by its uptime (7.0.1).
    pub fn is_ready(&self) -> bool {
        self.system_is_ready.unwrap_or_else(|| self.uptime.unwrap_or(0) >= READY_AFTER_SECONDS)
    }

    /// Whether another version waits for a reboot.
    pub fn needs_reboot(&self) -> bool {
        !self.os_version_next.is_empty() && self.os_version_next != self.os_version
    }
}

impl Environment {
    /// From the answer to `GET /os/1.0`.
    pub fn of(answer: &Answer) -> Result<Self, Failure> {
        #[derive(Deserialize)]
        struct Root {
            environment: Environment,
        }
        Ok(answer.decode::<Root>()?.environment)
    }
}

/// `state` of an application (7.7).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Application {
    /// Whether it is the one the machine is for.
    pub is_primary: bool,
    /// Whether it has been set up.
    pub initialized: bool,
    /// Version for people, such as `7.0.2`.
    pub friendly_version: String,
    /// Version that is installed.
    pub version: String,
    /// Versions on disk.
    #[serde(deserialize_with = "null_is_empty")]
    pub available_versions: Vec<String>,
}

impl Application {
    /// From the answer to `GET /os/1.0/applications/<name>`.
    pub fn of(answer: &Answer) -> Result<Self, Failure> {
        #[derive(Deserialize)]
        struct Item {
            #[serde(default)]
            state: Application,
        }
        Ok(answer.decode::<Item>()?.state)
    }

    /// Names from the answer to `GET /os/1.0/applications`: the last segments of the URLs that it lists.
    pub fn names(answer: &Answer) -> Result<Vec<String>, Failure> {
        let urls = answer.decode::<Option<Vec<String>>>()?.unwrap_or_default();
        if urls.len() > APPLICATION_LIMIT {
            return Err(Failure::NotJson(format!(
                "it lists {} applications, more than {APPLICATION_LIMIT}",
                urls.len()
            )));
        }
        Ok(urls.iter().map(|url| last_segment(url).to_owned()).collect())
    }
}

/// `GET /os/1.0/system/update` (7.3).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct UpdateDocument {
    /// What it was told.
    pub config: UpdateConfig,
    /// How it stands.
    pub state: UpdateState,
}

/// `config` of the update document.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct UpdateConfig {
    /// Whether the machine reboots by itself.
    pub auto_reboot: bool,
    /// Channel it follows.
    pub channel: String,
    /// `never`, or a duration such as `6h`.
    pub check_frequency: String,
}

/// `state` of the update document.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct UpdateState {
    /// Time of the last check, as the machine writes it.
    pub last_check: String,
    /// Text for people.
    pub status: String,
    /// Whether a new version waits for a reboot.
    pub needs_reboot: bool,
}

/// `GET`/`PUT /os/1.0/system/provider` (7.5).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ProviderDocument {
    /// Where updates come from and whom the machine belongs to.
    pub config: ProviderConfig,
    /// How it stands.
    pub state: ProviderState,
}

/// `config` of the provider document.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ProviderConfig {
    /// `images`, `operations-center` or `debug`.
    pub name: String,
    /// `server_url`, `server_token`, `server_certificate`.
    #[serde(deserialize_with = "null_is_empty", skip_serializing_if = "BTreeMap::is_empty")]
    pub config: BTreeMap<String, String>,
}

/// `state` of the provider document.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ProviderState {
    /// Whether the machine has registered.
    pub registered: bool,
}

fn null_is_empty<'de, D: serde::Deserializer<'de>, T: Deserialize<'de> + Default>(d: D) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(d)?.unwrap_or_default())
}

impl Machine {
    async fn typed<T: DeserializeOwned>(&self, path: &str) -> Result<T, CallError> {
        self.read(path, Answer::decode).await
    }

    async fn read<T>(&self, path: &str, of: impl FnOnce(&Answer) -> Result<T, Failure>) -> Result<T, CallError> {
        let answer = self.request(Method::GET, path, None, ANSWER_WITHIN).await?;
        of(&answer).map_err(|failure| self.error(&Method::GET, path, failure))
    }

    async fn raw(&self, path: &str) -> Result<Box<RawValue>, CallError> {
        Ok(self.request(Method::GET, path, None, ANSWER_WITHIN).await?.metadata)
    }

    async fn act(&self, path: &str) -> Result<(), CallError> {
        self.request(Method::POST, path, None, CHANGE_WITHIN).await.map(drop)
    }

    /// Whether it answers at all, trusted or not; says nothing about readiness.
    pub async fn ping(&self, deadline: Duration) -> Result<(), CallError> {
        self.request(Method::GET, "/", None, deadline).await.map(drop)
    }

    /// Host name, versions, readiness.
    pub async fn environment(&self) -> Result<Environment, CallError> {
        self.read("/os/1.0", Environment::of).await
    }

    /// The hardware, as Incus describes it (7.10).
    pub async fn resources(&self) -> Result<Box<RawValue>, CallError> {
        self.raw("/os/1.0/system/resources").await
    }

    /// The network document (7.1).
    pub async fn network(&self) -> Result<Box<RawValue>, CallError> {
        self.raw("/os/1.0/system/network").await
    }

    /// The security document (7.4). It holds recovery keys in clear: seal it before anything else.
    pub async fn security(&self) -> Result<Box<RawValue>, CallError> {
        self.raw("/os/1.0/system/security").await
    }

    /// The storage document (7.2).
    pub async fn storage(&self) -> Result<Box<RawValue>, CallError> {
        self.raw("/os/1.0/system/storage").await
    }

    /// Names of the installed applications: the last segment of what the machine lists.
    pub async fn applications(&self) -> Result<Vec<String>, CallError> {
        self.read("/os/1.0/applications", Application::names).await
    }

    /// How one application stands.
    pub async fn application(&self, name: &str) -> Result<Application, CallError> {
        self.read(&format!("/os/1.0/applications/{}", segment(name)), Application::of).await
    }

    /// Channel and update state.
    pub async fn update_document(&self) -> Result<UpdateDocument, CallError> {
        self.typed("/os/1.0/system/update").await
    }

    /// Replaces the network configuration. Never repeated by itself: the new address may cut the answer off.
    pub async fn put_network(&self, document: &RawValue) -> Result<(), CallError> {
        self.disconnect();
        self.request_raw(Method::PUT, "/os/1.0/system/network", document, NETWORK_WITHIN).await.map(drop)
    }

    /// Replaces the storage configuration.
    pub async fn put_storage(&self, document: &RawValue) -> Result<(), CallError> {
        self.request_raw(Method::PUT, "/os/1.0/system/storage", document, STORAGE_WITHIN).await.map(drop)
    }

    /// Sets the channel, and that the machine neither checks nor reboots by itself (7.3).
    pub async fn put_update(&self, channel: &str) -> Result<(), CallError> {
        let document = json!({
            "config": {"auto_reboot": false, "channel": channel, "check_frequency": "never"},
            "state": {"last_check": "0001-01-01T00:00:00Z", "status": "", "needs_reboot": false},
        });
        self.request(Method::PUT, "/os/1.0/system/update", Some(&document), CHANGE_WITHIN).await.map(drop)
    }

    /// Makes it look for an update now.
    pub async fn check_update(&self) -> Result<(), CallError> {
        self.act("/os/1.0/system/update/:check").await
    }

    /// Reboots it. It answers before it goes down.
    pub async fn reboot(&self) -> Result<(), CallError> {
        self.act("/os/1.0/system/:reboot").await
    }

    /// Powers it off. It answers before it goes down.
    pub async fn poweroff(&self) -> Result<(), CallError> {
        self.act("/os/1.0/system/:poweroff").await
    }

    /// Wipes it, with the seeds it starts again from (7.9).
    pub async fn factory_reset(&self, body: &serde_json::Value) -> Result<(), CallError> {
        self.request(Method::POST, "/os/1.0/system/:factory-reset", Some(body), CHANGE_WITHIN).await.map(drop)
    }

    /// Whom it belongs to.
    pub async fn provider(&self) -> Result<ProviderDocument, CallError> {
        self.typed("/os/1.0/system/provider").await
    }

    /// Tells it whom it belongs to.
    pub async fn put_provider(&self, document: &ProviderDocument) -> Result<(), CallError> {
        let body = json!(document);
        self.request(Method::PUT, "/os/1.0/system/provider", Some(&body), CHANGE_WITHIN).await.map(drop)
    }
}

/// The name at the end of a URL such as `/os/1.0/applications/incus`.
pub fn last_segment(url: &str) -> &str {
    let path = url.split_once('?').map_or(url, |(path, _)| path).trim_end_matches('/');
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}

/// The address a machine is managed at: of the interfaces with role `management`, in order of their names, the first
/// IPv6 address, else the first IPv4 address (7.1; the order there is unspecified, here it is fixed).
/// `None` also for a document of another shape.
pub fn management_address(network: &RawValue) -> Option<IpAddr> {
    #[derive(Deserialize)]
    struct Network {
        state: Option<State>,
    }
    #[derive(Deserialize)]
    struct State {
        interfaces: Option<BTreeMap<String, Interface>>,
    }
    #[derive(Deserialize)]
    struct Interface {
        addresses: Option<Vec<String>>,
        roles: Option<Vec<String>>,
    }
    let network: Network = serde_json::from_str(network.get()).ok()?;
    let interfaces = network.state?.interfaces?;
    let managed = interfaces.values().filter(|i| i.roles.iter().flatten().any(|role| role == "management"));
    let addresses: Vec<IpAddr> = managed
        .flat_map(|i| i.addresses.iter().flatten())
        .filter_map(|text| text.split('/').next()?.parse().ok())
        .collect();
    addresses.iter().find(|ip| ip.is_ipv6()).or_else(|| addresses.first()).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(interfaces: &serde_json::Value) -> Option<String> {
        let document = json!({"config": null, "state": {"interfaces": interfaces}}).to_string();
        management_address(&RawValue::from_string(document).unwrap()).map(|ip| ip.to_string())
    }

    #[test]
    fn management_address_prefers_ipv6_and_goes_by_name() {
        let both = json!({"b": {"addresses": ["10.0.0.2", "fd00::2"], "roles": ["management"]},
                          "a": {"addresses": ["10.0.0.1"], "roles": ["cluster", "management"]},
                          "c": {"addresses": ["fd00::3"], "roles": ["instances"]}});
        assert_eq!(address(&both).as_deref(), Some("fd00::2"));
        let four = json!({"b": {"addresses": ["10.0.0.2"], "roles": ["management"]},
                          "a": {"addresses": ["10.0.0.1"], "roles": ["management"]}});
        assert_eq!(address(&four).as_deref(), Some("10.0.0.1"));
        assert_eq!(address(&json!({"a": {"addresses": null, "roles": ["management"]}})), None);
        assert_eq!(address(&json!({"a": {"addresses": ["10.0.0.1"], "roles": null}})), None);
        assert_eq!(address(&json!([1])), None);
    }

    #[test]
    fn readiness_is_what_the_machine_says_else_its_uptime() {
        let environment = |ready, uptime| Environment { system_is_ready: ready, uptime, ..Environment::default() };
        assert!(environment(Some(true), Some(1)).is_ready());
        assert!(!environment(Some(false), Some(9999)).is_ready());
        assert!(environment(None, Some(120)).is_ready() && !environment(None, Some(119)).is_ready());
        assert!(!environment(None, None).is_ready());
    }

    #[test]
    fn a_machine_with_endless_applications_is_refused() {
        let names = |count: usize| {
            let body = json!({"type": "sync", "metadata": vec!["/os/1.0/applications/incus"; count]}).to_string();
            Application::names(&crate::call::open_envelope(http::StatusCode::OK, body.as_bytes()).unwrap())
        };
        assert_eq!(names(APPLICATION_LIMIT).unwrap().len(), APPLICATION_LIMIT);
        let error = names(APPLICATION_LIMIT + 1).unwrap_err().to_string();
        assert!(error.contains("101 applications"), "{error}");
    }

    #[test]
    fn names_are_last_segments() {
        assert_eq!(last_segment("/os/1.0/applications/incus"), "incus");
        assert_eq!(last_segment("/os/1.0/applications/incus/?a=/b"), "incus");
        assert_eq!(last_segment("incus"), "incus");
    }
}
