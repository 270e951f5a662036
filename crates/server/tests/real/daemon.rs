//! The real `musterd` in a bed's network, and its API over the unix socket.

use std::fmt::Debug;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use muster_clients::call::CallError;
use muster_clients::endpoint::Endpoint;
use muster_clients::machine::{Counters, Machine as Peer};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::Instant;

/// Where members reach it: the bed's network has this address, and nothing else listens in it.
const ADDRESS: &str = "198.51.100.1:8443";
/// How long one call may take: some wait for machines.
const CALL: Duration = Duration::from_secs(60);
/// When something that is waited for is given up. Never part of what is tested.
const PATIENCE: Duration = Duration::from_secs(90);
const LOOK: Duration = Duration::from_millis(100);

pub const SERVERS: &str = "/1.0/provisioning/servers";

/// A daemon with everything on, ended with this value.
pub struct Daemon {
    child: Child,
    dir: TempDir,
    api: Peer,
}

impl Daemon {
    /// Starts one that listens for machines. Its process is in the network of the calling thread.
    pub async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let log = std::fs::File::create(dir.path().join("musterd.log")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_musterd"));
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("MUSTER_") || text.starts_with("OPERATIONS_CENTER_") {
                command.env_remove(name);
            }
        }
        command.env("OPERATIONS_CENTER_DIR", dir.path()).env("MUSTER_UPDATES_SOURCE", "");
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let api = Peer::at(Endpoint::unix(&dir.path().join("unix.socket")), Arc::new(Counters::default()));
        let daemon = Self { child, dir, api };
        daemon.until("the daemon answers", async || daemon.call("GET", "/1.0", None).await.ok()).await;
        let network = json!({"address": daemon.url(), "rest_server_address": ADDRESS});
        daemon.call("PUT", "/1.0/system/network", Some(&network)).await.unwrap();
        daemon
    }

    pub fn url(&self) -> String {
        format!("https://{ADDRESS}")
    }

    /// The certificate that it presents (PEM).
    pub fn certificate(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("server.crt")).unwrap()
    }

    /// The metadata of an answer.
    pub async fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value, CallError> {
        let answer = self.api.request(method.parse().unwrap(), path, body, CALL).await?;
        Ok(answer.decode().unwrap_or_default())
    }

    pub async fn get(&self, path: &str) -> Value {
        self.call("GET", path, None).await.unwrap_or_else(|e| panic!("{e}\n{}", self.log()))
    }

    /// A new token for so many registrations.
    pub async fn token(&self, uses: usize) -> String {
        let wish = json!({"description": "real", "uses_remaining": uses, "expire_at": "2099-01-01T00:00:00Z"});
        self.call("POST", "/1.0/provisioning/tokens", Some(&wish)).await.unwrap();
        let tokens = self.get("/1.0/provisioning/tokens?recursion=1").await;
        tokens[0]["uuid"].as_str().unwrap().to_owned()
    }

    pub async fn server(&self, name: &str) -> Value {
        self.get(&format!("{SERVERS}/{name}")).await
    }

    /// `status`, or `status/detail`.
    pub async fn state(&self, name: &str) -> String {
        let server = self.server(name).await;
        let text = |key: &str| server[key].as_str().unwrap_or_default().to_owned();
        match (text("server_status"), text("server_status_detail")) {
            (status, detail) if detail.is_empty() => status,
            (status, detail) => format!("{status}/{detail}"),
        }
    }

    pub async fn resync(&self, name: &str) -> Result<Value, CallError> {
        self.call("POST", &format!("{SERVERS}/{name}/:resync"), None).await
    }

    /// Waits until a server is in a state.
    pub async fn until_state(&self, name: &str, wanted: &str) {
        let reached = async || (self.state(name).await == wanted).then_some(());
        self.until(&format!("{name} is {wanted}"), reached).await;
    }

    /// Waits until there is something.
    pub async fn until<T: Debug>(&self, what: &str, found: impl AsyncFn() -> Option<T>) -> T {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = found().await {
                return found;
            }
            assert!(Instant::now() < end, "gave up waiting until {what}; {}", self.log());
            tokio::time::sleep(LOOK).await;
        }
    }

    fn log(&self) -> String {
        let text = std::fs::read_to_string(self.dir.path().join("musterd.log")).unwrap_or_default();
        let last: Vec<_> = text.lines().rev().take(20).collect();
        format!("the daemon's last lines:\n{}", last.into_iter().rev().collect::<Vec<_>>().join("\n"))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}
