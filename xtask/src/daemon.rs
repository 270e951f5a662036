//! A fresh daemon in a folder of its own: started, opened to one client certificate, listening on loopback.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::json;

use crate::process::{self, PAUSE};
use crate::{http, places};

/// How long a daemon may take until it answers on its socket. It takes milliseconds; a machine under load is slow.
const START: Duration = Duration::from_secs(30);

/// The longest path that a unix socket can have on Linux.
const SOCKET_PATH_MAX: usize = 107;

/// Where the daemon in a folder listens locally.
pub fn socket(dir: &Path) -> PathBuf {
    dir.join("unix.socket")
}

/// Where the daemon in a folder says what it has to say.
pub fn log(dir: &Path) -> PathBuf {
    dir.join("musterd.log")
}

/// Starts a daemon that keeps everything in `dir`, which exists, and waits until it answers on its socket.
///
/// With `background` off nothing moves by itself: no polling, no fetching. Otherwise it begins without an update source,
/// so that nothing leaves this machine.
pub fn start(dir: &Path, background: bool) -> Result<Child> {
    let socket = socket(dir);
    if socket.as_os_str().len() > SOCKET_PATH_MAX {
        bail!("{} is too long for a unix socket: set CARGO_TARGET_DIR or TMPDIR to a shorter path", socket.display());
    }
    let mut command = Command::new(places::binaries()?.join("musterd"));
    // Whatever the caller's shell is set up for, most of all a real site's database, must not be touched.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("MUSTER_") || text.starts_with("OPERATIONS_CENTER_") {
            command.env_remove(name);
        }
    }
    command.env("OPERATIONS_CENTER_DIR", dir);
    match background {
        true => command.env("MUSTER_UPDATES_SOURCE", ""),
        false => command.env("OPERATIONS_CENTER_DISABLE_BACKGROUND_TASKS", "true"),
    };
    let mut child = process::start(&mut command, &log(dir))?;
    let end = Instant::now() + START;
    while UnixStream::connect(&socket).is_err() {
        let ended = child.try_wait()?;
        if ended.is_some() || Instant::now() > end {
            child.kill().ok();
            child.wait().ok();
            let how = ended.map_or_else(|| format!("did not answer within {} s", START.as_secs()), |s| s.to_string());
            bail!("musterd: {how}; its last lines:\n{}", process::tail(&log(dir)));
        }
        std::thread::sleep(PAUSE);
    }
    Ok(child)
}

/// How to reach a daemon over the network.
pub struct Access {
    /// `https://127.0.0.1:PORT`
    pub url: String,
    /// A client certificate that it trusts (PEM), and its key.
    pub certificate: PathBuf,
    /// The key of the certificate (PEM).
    pub key: PathBuf,
}

/// Makes a client certificate, has the daemon trust it, and has it listen on a free port of the loopback.
pub fn open(dir: &Path) -> Result<Access> {
    let socket = socket(dir);
    let (certificate, key, fingerprint) = client_certificate(dir)?;
    let trusted = json!({"trusted_tls_client_cert_fingerprints": [fingerprint]});
    http::ask(&socket, "PUT", "/1.0/system/security", Some(&trusted))?;

    // Between finding a free port and the daemon's use of it another program may take it: then the next one.
    let mut refused = None;
    for _ in 0..3 {
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let url = format!("https://{address}");
        let network = json!({"address": url, "rest_server_address": address.to_string()});
        match http::ask(&socket, "PUT", "/1.0/system/network", Some(&network)) {
            Ok(_) if listens(address) => return Ok(Access { url, certificate, key }),
            Ok(_) => refused = Some(anyhow::anyhow!("the daemon does not listen on {address}")),
            Err(error) => refused = Some(error),
        }
    }
    Err(refused.unwrap_or_else(|| anyhow::anyhow!("no free port"))).context("cannot open the listener")
}

/// The call that sets the address answers when the listener stands; a little patience does no harm.
fn listens(address: SocketAddr) -> bool {
    (0..100).any(|_| {
        let there = TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok();
        if !there {
            std::thread::sleep(PAUSE);
        }
        there
    })
}

/// A self-signed certificate as a client has it: its path, its key's, and its fingerprint (hex SHA-256 of the DER).
fn client_certificate(dir: &Path) -> Result<(PathBuf, PathBuf, String)> {
    let (certificate, key) = (dir.join("admin.crt"), dir.join("admin.key"));
    let new = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30"];
    let limits = ["-addext", "extendedKeyUsage=clientAuth", "-addext", "keyUsage=critical,digitalSignature"];
    let mut make = Command::new("openssl");
    make.args(new).args(["-subj", "/CN=admin"]).args(limits);
    run(make.arg("-keyout").arg(&key).arg("-out").arg(&certificate))?;
    let mut read = Command::new("openssl");
    let said = run(read.args(["x509", "-noout", "-fingerprint", "-sha256", "-in"]).arg(&certificate))?;
    let (_, hex) = said.trim().split_once('=').context("openssl shows no fingerprint")?;
    Ok((certificate, key, hex.replace(':', "").to_lowercase()))
}

fn run(command: &mut Command) -> Result<String> {
    let out = command.stdin(Stdio::null()).output().context("cannot run openssl")?;
    if !out.status.success() {
        bail!("openssl: {}", String::from_utf8_lossy(&out.stderr).trim());
    }
    String::from_utf8(out.stdout).context("openssl's answer is not text")
}
