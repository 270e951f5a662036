//! The whole daemon under hostile load: it answers others, says what is wrong, and its memory stays flat.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UnixStream},
};

/// How far its peak may rise over what it was, in KiB: room for the connections themselves, not for what they send.
const RISE_KIB: u64 = 48 * 1024;
const GIB: usize = 1 << 30;

struct Daemon {
    child: Child,
    dir: tempfile::TempDir,
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Daemon {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let log = std::fs::File::create(dir.path().join("log")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_musterd"));
        command.arg("--dir").arg(dir.path()).env("MUSTER_KEY", "01".repeat(32)).env("MUSTER_UPDATES_SOURCE", "");
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let daemon = Self { child, dir };
        let end = Instant::now() + Duration::from_secs(60);
        while UnixStream::connect(daemon.socket()).await.is_err() {
            assert!(Instant::now() < end, "musterd does not start: {}", daemon.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        daemon
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join("unix.socket")
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// The most memory that it ever had, in KiB.
    fn peak(&self) -> u64 {
        let status = std::fs::read_to_string(Path::new("/proc").join(self.child.id().to_string()).join("status"));
        let line = status.unwrap().lines().find(|l| l.starts_with("VmHWM:")).unwrap().to_owned();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// One request on a connection of its own; the answer's head and body.
    async fn ask(&self, method: &str, path: &str, body: &[u8]) -> String {
        let mut stream = UnixStream::connect(self.socket()).await.unwrap();
        let length = body.len();
        let head =
            format!("{method} {path} HTTP/1.1\r\nHost: m\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        // It may answer and close before it has read everything.
        stream.write_all(body).await.ok();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.ok();
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// Sends a body of a GiB for as long as it is read; answers how much was, and what came back.
    async fn flood(&self, head: &str, chunk: &[u8]) -> (usize, String) {
        let (mut read, mut write) = UnixStream::connect(self.socket()).await.unwrap().into_split();
        write.write_all(head.as_bytes()).await.unwrap();
        let send = async {
            let mut sent = 0;
            while sent < GIB && write.write_all(chunk).await.is_ok() {
                sent += chunk.len();
            }
            sent
        };
        let receive = async {
            let mut answer = [0; 512];
            let n = read.read(&mut answer).await.unwrap_or(0);
            String::from_utf8_lossy(answer.get(..n).unwrap_or_default()).into_owned()
        };
        tokio::join!(send, receive)
    }
}

#[tokio::test]
async fn what_strangers_send_neither_fills_memory_nor_keeps_others_waiting() {
    let daemon = Daemon::start().await;
    let network = r#"{"address": "https://127.0.0.1:1", "rest_server_address": "127.0.0.1:0"}"#;
    assert!(daemon.ask("PUT", "/1.0/system/network", network.as_bytes()).await.starts_with("HTTP/1.1 200"));
    let address = listening(daemon.child.id());
    for _ in 0..50 {
        assert!(daemon.ask("GET", "/1.0/provisioning/tokens", b"").await.starts_with("HTTP/1.1 200"));
    }
    let before = daemon.peak();

    let head = "POST /1.0/provisioning/tokens HTTP/1.1\r\nHost: m\r\n";
    let chunk = vec![b' '; 1 << 20];
    let (sent, answer) = daemon.flood(&format!("{head}Content-Length: {GIB}\r\n\r\n"), &chunk).await;
    assert!(sent < GIB / 4 && answer.starts_with("HTTP/1.1 413"), "{sent}: {answer}");
    let mut chunked = b"100000\r\n".to_vec();
    chunked.extend_from_slice(&chunk);
    chunked.extend_from_slice(b"\r\n");
    let (sent, answer) = daemon.flood(&format!("{head}Transfer-Encoding: chunked\r\n\r\n"), &chunked).await;
    assert!(sent < GIB / 4 && answer.starts_with("HTTP/1.1 413"), "{sent}: {answer}");

    for bad in
        ["[".repeat(100_000), r#"{"a":"#.repeat(100_000), r#"{"uses_remaining": []}"#.into(), "\u{0}".repeat(4096)]
    {
        for path in ["/1.0/provisioning/tokens", "/1.0/provisioning/channels"] {
            let answer = daemon.ask("POST", path, bad.as_bytes()).await;
            assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
        }
    }

    // Three hundred clients that say nothing, half a hello, or one letter of a header at a time.
    let mut slow = Vec::new();
    for n in 0..300 {
        let mut stream = TcpStream::connect(address.as_str()).await.unwrap();
        let part: &[u8] = if n % 2 == 0 { b"" } else { b"\x16\x03\x01\x02\x00\x01" };
        stream.write_all(part).await.unwrap();
        slow.push(stream);
    }
    let mut trickle = Vec::new();
    for _ in 0..100 {
        let mut stream = UnixStream::connect(daemon.socket()).await.unwrap();
        stream.write_all(b"GET / HTT").await.unwrap();
        trickle.push(stream);
    }
    for _ in 0..3 {
        for stream in &mut trickle {
            stream.write_all(b"x").await.ok();
        }
        assert!(daemon.ask("GET", "/1.0/provisioning/tokens", b"").await.starts_with("HTTP/1.1 200"));
    }

    let rise = daemon.peak().saturating_sub(before);
    assert!(rise < RISE_KIB, "its memory rose by {rise} KiB");
    assert!(!daemon.log().contains("panicked"), "{}", daemon.log());
}

/// Where a process listens, by what the kernel says.
fn listening(pid: u32) -> String {
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        let links = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().flatten();
        let mine: Vec<String> = links
            .filter_map(|l| {
                std::fs::read_link(l.path())
                    .ok()?
                    .to_str()?
                    .strip_prefix("socket:[")?
                    .strip_suffix(']')
                    .map(str::to_owned)
            })
            .collect();
        let table = std::fs::read_to_string(format!("/proc/{pid}/net/tcp")).unwrap();
        for line in table.lines().skip(1) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            if let (Some(local), Some(&"0A"), Some(inode)) = (fields.get(1), fields.get(3), fields.get(9))
                && mine.iter().any(|m| m == inode)
            {
                let port = u16::from_str_radix(local.rsplit(':').next().unwrap(), 16).unwrap();
                return format!("127.0.0.1:{port}");
            }
        }
        assert!(Instant::now() < end, "it does not listen");
        std::thread::sleep(Duration::from_millis(20));
    }
}
