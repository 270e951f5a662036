//! A `musterd` process, spoken to over its unix socket.

use http::{Method, Request};
use http_body_util::BodyExt;
use muster_clients::{
    center::{Center, CenterError, Reply},
    machine::{empty, full},
};
use serde_json::Value;
use std::{
    fs::File,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// Seconds for which a dead daemon's work stays untouched.
const LEASE: &str = "2";
/// How long a daemon may take to start on a busy machine.
const START: Duration = Duration::from_secs(60);
/// Where the seed lies in images.
pub const SEED_AT: usize = 100_000;
pub const PAUSE: Duration = Duration::from_millis(25);

/// Where a daemon is to die.
#[derive(Clone)]
pub struct Crash {
    pub at: u64,
    /// Points count while this file exists.
    pub when: PathBuf,
}

/// What came of an answer.
pub struct Part {
    pub status: u16,
    /// Entity tag, quotes included.
    pub tag: String,
    /// Bytes that were to come.
    pub size: usize,
    pub bytes: Vec<u8>,
    /// Whether all came.
    pub whole: bool,
}

pub struct Daemon {
    child: Child,
    log: PathBuf,
    center: Center,
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Daemon {
    /// Starts one with its files in `dir`, and waits until it answers or is dead.
    pub async fn start(dir: &Path, database: Option<&str>, crash: Option<&Crash>) -> Self {
        std::fs::create_dir_all(dir).unwrap();
        let log = dir.join("musterd.log");
        let out = File::options().create(true).append(true).open(&log).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_musterd"));
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("MUSTER_") || text.starts_with("OPERATIONS_CENTER_") {
                command.env_remove(name);
            }
        }
        command.arg("--dir").arg(dir).env("MUSTER_LEASE", LEASE).env("MUSTER_KEY", "01".repeat(32));
        command.env("MUSTER_UPDATES_SOURCE", "").env("MUSTER_CRASH_SEED_AT", SEED_AT.to_string());
        if let Some(database) = database {
            command.env("MUSTER_DATABASE", database);
        }
        if let Some(Crash { at, when }) = crash {
            command.env("MUSTER_CRASH_AT", at.to_string()).env("MUSTER_CRASH_WHEN", when);
            // Whoever registers or reports is polled all the same; the scheduler's lease would add a point each second.
            command.env("OPERATIONS_CENTER_DISABLE_BACKGROUND_TASKS", "true");
        }
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(out).spawn().unwrap();
        let socket = dir.join("unix.socket");
        let mut daemon = Self { child, log, center: Center::unix(&socket).with_deadline(Duration::from_secs(60)) };
        let end = Instant::now() + START;
        while tokio::net::UnixStream::connect(&socket).await.is_err() && daemon.lives() {
            assert!(Instant::now() < end, "musterd does not start:\n{}", daemon.tail());
            tokio::time::sleep(PAUSE).await;
        }
        daemon
    }

    /// Whether it runs. It may only end by SIGKILL.
    pub fn lives(&mut self) -> bool {
        match self.child.try_wait().unwrap() {
            None => true,
            Some(status) => {
                assert_eq!(status.signal(), Some(9), "musterd ended by itself ({status}):\n{}", self.tail());
                false
            }
        }
    }

    /// Its process.
    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap()
    }

    pub fn kill(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }

    /// The point at which it died, and its name.
    pub fn died_at(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        text.lines().rev().find_map(|l| l.strip_prefix("crash point ")).unwrap_or("an unknown point").to_owned()
    }

    /// The end of its log.
    pub fn tail(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }

    pub async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Reply, CenterError> {
        self.center.call(method, path, body).await
    }

    /// The bytes at a path; none when the daemon is gone or they are not there.
    pub async fn bytes(&self, path: &str) -> Option<Vec<u8>> {
        let request = Request::get(path).body(empty()).unwrap();
        let answer = self.center.download(request).await.ok()?;
        Some(answer.into_body().collect().await.ok()?.to_bytes().to_vec())
    }

    /// What comes of the bytes at a path before the daemon dies, from a place on in what this tag names; none when nothing
    /// comes.
    pub async fn part(&self, path: &str, from: Option<(usize, &str)>) -> Result<Option<Part>, CenterError> {
        let mut request = Request::get(path);
        if let Some((at, tag)) = from {
            request = request.header("range", format!("bytes={at}-")).header("if-range", tag);
        }
        let answer = match self.center.download(request.body(empty()).unwrap()).await {
            Err(CenterError::Unreachable(_) | CenterError::NotAnEnvelope { .. }) => return Ok(None),
            answer => answer?,
        };
        let header = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
        let (status, tag, size) = (answer.status().as_u16(), header("etag"), header("content-length"));
        let size = size.parse().unwrap();
        let (mut bytes, mut body) = (Vec::new(), answer.into_body());
        while let Some(Ok(frame)) = body.frame().await {
            bytes.extend_from_slice(frame.data_ref().map_or(&[], |data| data));
        }
        Ok(Some(Part { status, tag, size, whole: bytes.len() == size, bytes }))
    }

    /// Sends bytes to a path.
    pub async fn send(&self, path: &str, bytes: Vec<u8>) -> Result<Reply, CenterError> {
        self.center.call_request(Request::post(path).body(full(bytes)).unwrap()).await
    }

    /// What is at a path; none when the daemon is gone.
    pub async fn get(&self, path: &str) -> Option<Value> {
        match self.call(Method::GET, path, None).await {
            Ok(reply) => Some(serde_json::from_str(reply.metadata.get()).unwrap()),
            Err(CenterError::NotFound(_)) => Some(Value::Null),
            Err(CenterError::Unreachable(_) | CenterError::NotAnEnvelope { .. }) => None,
            Err(e) => panic!("GET {path}: {e}"),
        }
    }

    /// A list; none when the daemon is gone.
    pub async fn list(&self, path: &str) -> Option<Vec<Value>> {
        let list = self.get(path).await?;
        Some(list.as_array().unwrap_or_else(|| panic!("{path} is no list: {list}")).clone())
    }
}
