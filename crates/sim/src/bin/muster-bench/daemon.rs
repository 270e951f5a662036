//! The daemon as a child process in a folder of its own, and what `/proc` and its own counters say about it.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant, SystemTime};

use http::{Method, Request};
use http_body_util::BodyExt;
use muster_clients::center::Center;
use muster_clients::machine::empty;
use muster_clients::tls::{Curve, Identity, Kind, Trust};
use serde_json::{Value, json};
use tokio::process::{Child, Command};

use crate::Result;

/// How long a start or an end may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Clock ticks in a second, as `/proc/<pid>/stat` counts: fixed on Linux.
const TICKS: f64 = 100.0;

/// A folder that only we can read, removed when it goes out of scope.
pub struct Folder(PathBuf);

impl Folder {
    /// A new one, short for the socket's sake.
    pub fn new() -> Result<Self> {
        use std::os::unix::fs::DirBuilderExt;
        let path = std::env::temp_dir().join(format!("mb-{}", uuid::Uuid::new_v4().simple()));
        std::fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }

    /// A file in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Best effort: it lies in the folder for temporary files.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What the daemon occupies, in MiB.
pub struct Memory {
    /// Now.
    pub resident_mib: f64,
    /// At most since [`Daemon::forget_peak`].
    pub peak_mib: f64,
}

/// What the daemon has used and done so far.
#[derive(Clone, Copy)]
pub struct Used {
    /// CPU seconds, its own and the kernel's on its behalf.
    pub cpu: f64,
    /// Requests to machines.
    pub requests: u64,
    /// Handshakes with machines.
    pub handshakes: u64,
}

/// A running daemon. Dropping it kills it.
pub struct Daemon {
    child: Child,
    pid: u32,
    socket: PathBuf,
    /// `https://127.0.0.1:port`
    pub url: String,
    /// Its own certificate.
    pub trust: Trust,
    /// Its own pair, to measure the floor with the same one.
    pub identity: Identity,
    admin: Identity,
}

impl Daemon {
    /// Starts it; answers also how long it took until it answered its first request.
    pub async fn start(program: &Path, folder: &Folder, background: bool) -> Result<(Self, Duration)> {
        Self::launch(program, folder, background, None).await
    }

    /// Starts one that polls every server within this time, instead of each five minutes.
    pub async fn start_polling(program: &Path, folder: &Folder, within: Duration) -> Result<Self> {
        Ok(Self::launch(program, folder, true, Some(within)).await?.0)
    }

    async fn launch(
        program: &Path,
        folder: &Folder,
        background: bool,
        poll_within: Option<Duration>,
    ) -> Result<(Self, Duration)> {
        let socket = folder.file("unix.socket");
        let mut command = Command::new(program);
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("MUSTER_") || text.starts_with("OPERATIONS_CENTER_") {
                command.env_remove(&name);
            }
        }
        command.env("OPERATIONS_CENTER_DIR", folder.file("")).env("MUSTER_UPDATES_SOURCE", "");
        if !background {
            command.env("OPERATIONS_CENTER_DISABLE_BACKGROUND_TASKS", "true");
        }
        if let Some(within) = poll_within {
            command.env("MUSTER_POLL_WITHIN", within.as_secs().to_string());
        }
        let log = std::fs::File::create(folder.file("musterd.log"))?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).kill_on_drop(true);
        let began = Instant::now();
        let child = command.spawn().map_err(|e| format!("{}: {e}", program.display()))?;
        let local = Center::unix(&socket);
        while local.call(Method::GET, "/1.0", None).await.is_err() {
            if began.elapsed() > PATIENCE {
                let log = std::fs::read_to_string(folder.file("musterd.log")).unwrap_or_default();
                return Err(format!("musterd does not start: {log}").into());
            }
            tokio::time::sleep(Duration::from_micros(500)).await;
        }
        let took = began.elapsed();
        let pid = child.id().ok_or("musterd has ended")?;

        let admin = identity("bench", &Kind::Client)?;
        let trusted = json!({"trusted_tls_client_cert_fingerprints": [admin.fingerprint()?]});
        local.call(Method::PUT, "/1.0/system/security", Some(&trusted)).await?;
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let url = format!("https://{address}");
        let network = json!({"address": url, "rest_server_address": address.to_string()});
        local.call(Method::PUT, "/1.0/system/network", Some(&network)).await?;
        let read = |name: &str| std::fs::read_to_string(folder.file(name));
        let identity = Identity { certificate_pem: read("server.crt")?, key_pem: read("server.key")? };
        let trust = Trust::pinned(&identity.certificate_pem)?;
        Ok((Self { child, pid, socket, url, trust, identity, admin }, took))
    }

    /// Ends it politely, and waits for that.
    pub async fn stop(mut self) -> Result<()> {
        Command::new("sh").args(["-c", &format!("kill -TERM {}", self.pid)]).status().await?;
        tokio::time::timeout(PATIENCE, self.child.wait()).await.map_err(|_| "musterd does not end")??;
        Ok(())
    }

    /// Over its socket.
    pub fn local(&self) -> Center {
        Center::unix(&self.socket)
    }

    /// Over TLS, as an administrator.
    pub fn remote(&self) -> Result<Center> {
        Ok(Center::https(&self.url, &self.trust, Some(&self.admin))?)
    }

    /// A token for so many registrations.
    pub async fn token(&self, uses: usize) -> Result<String> {
        let wish = json!({"description": "bench", "uses_remaining": uses, "expire_at": "2099-01-01T00:00:00Z"});
        let made = self.local().call(Method::POST, "/1.0/provisioning/tokens", Some(&wish)).await?;
        let location = made.location().ok_or("the new token has no location")?;
        Ok(location.rsplit('/').next().unwrap_or_default().to_owned())
    }

    /// How many servers have this status.
    pub async fn count(&self, status: &str) -> Result<usize> {
        let path = format!("/1.0/provisioning/servers?status={status}");
        let list: Vec<Value> = self.local().call(Method::GET, &path, None).await?.decode()?;
        Ok(list.len())
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// CPU seconds so far.
    pub fn cpu(&self) -> Result<f64> {
        cpu(self.pid)
    }

    /// CPU and the counters of calls to machines.
    pub async fn used(&self) -> Result<Used> {
        let answer = self.local().download(Request::get("/1.0/metrics").body(empty())?).await?;
        let text = String::from_utf8(answer.into_body().collect().await?.to_bytes().to_vec())?;
        let value = |name: &str| -> Result<u64> {
            let line = text.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(' '));
            Ok(line.ok_or_else(|| format!("no {name} among the metrics"))?.trim().parse()?)
        };
        Ok(Used {
            cpu: self.cpu()?,
            requests: value("muster_machine_requests_total")?,
            handshakes: value("muster_machine_handshakes_total")?,
        })
    }

    /// What it occupies.
    pub fn memory(&self) -> Result<Memory> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid))?;
        let value = |name: &str| -> Result<f64> {
            let line = status.lines().find_map(|l| l.strip_prefix(name)).ok_or("no memory in the process status")?;
            Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? / 1024.0)
        };
        Ok(Memory { resident_mib: value("VmRSS:")?, peak_mib: value("VmHWM:")? })
    }

    /// From here on the peak is counted anew.
    pub fn forget_peak(&self) -> Result<()> {
        Ok(std::fs::write(format!("/proc/{}/clear_refs", self.pid), "5")?)
    }
}

/// CPU seconds of a process so far.
pub fn cpu(pid: u32) -> Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name is in brackets and may contain anything; user and system time are the 12th and 13th field after it.
    let fields = stat.rsplit_once(") ").ok_or("no process state")?.1;
    let ticks: f64 = fields.split(' ').skip(11).take(2).filter_map(|f| f.parse::<f64>().ok()).sum();
    Ok(ticks / TICKS)
}

/// A fresh pair on the curve that machines use, valid from an hour ago.
#[expect(clippy::disallowed_methods, reason = "the edge: certificates are valid from now")]
pub fn identity(name: &str, kind: &Kind) -> Result<Identity> {
    Ok(Identity::generate(kind, Curve::P256, name, SystemTime::now() - Duration::from_secs(3600))?)
}
