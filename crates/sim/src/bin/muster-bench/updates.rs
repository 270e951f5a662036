//! What machines load of an update, and their asking for one, against a plain file server over TLS in the same run.

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use futures_util::TryStreamExt;
use http::{Method, Request};
use http_body_util::{BodyExt, StreamBody};
use muster_clients::call::BoxError;
use muster_clients::center::{Center, CenterError};
use muster_clients::endpoint::Endpoint;
use muster_clients::machine::RequestBody;
use muster_clients::tls::Trust;
use muster_sim::publisher::{Authority, Encoding};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;

use crate::burst::burst;
use crate::daemon::{Daemon, Folder, cpu};
use crate::plain::Plain;
use crate::{Result, images, millis};

const UPDATES: &str = "/1.0/provisioning/updates";

pub const MIB: usize = 1 << 20;

/// Clients at once, and bytes for each of them.
pub const LOADS: [(usize, usize); 3] = [(1, 512 * MIB), (4, 512 * MIB), (32, 64 * MIB)];

/// Loads of which the median counts; both servers take turns.
const TIMES: usize = 3;

/// Updates in the list that machines ask for.
const LISTED: usize = 6;

/// Machines that ask, each once, and the connections that they share.
const ASKING: usize = 10_000;
const CONNECTIONS: usize = 250;

/// Bytes that a client reads at once.
const PIECE: usize = 256 << 10;

/// Measures and prints.
pub async fn run(program: &Path) -> Result<()> {
    let folder = Folder::new()?;
    let daemon = Daemon::start(program, &folder, true).await?.0;
    let plain = Plain::start(&folder.file(""), &folder.file("updates/files")).await?;
    let publisher = Publisher::trusted_by(&daemon).await?;
    let mut files = Vec::new();
    for number in 0..LISTED {
        // The newest ones are large.
        let size = LOADS.iter().rev().nth(number).map_or(MIB, |(_, size)| *size);
        let version = format!("20251101000{number}");
        let content = noise(&version, size);
        let file = File { name: "x86_64/incus.raw.gz", kind: "application", component: "incus", content };
        files.push(publisher.upload(&daemon, &folder, &version, file).await?);
    }
    println!("\n## Files of updates\n\n{HEAD}");
    for (clients, size) in LOADS {
        let file = files.iter().find(|file| file.size == size).ok_or("a file that was not uploaded")?;
        load(&daemon, &plain, file, clients).await?;
    }
    checks(&daemon, &plain, &folder).await?;
    images::run(&daemon, &plain, &folder, &publisher).await?;
    daemon.stop().await
}

/// Of a table of loads.
pub const HEAD: &str = "| clients | bytes each | plain file server | its CPU per GiB | ours | our CPU per GiB | ratio |\n\
                        |---|---|---|---|---|---|---|";

/// A file of an update, here and there.
pub struct Stored {
    pub size: usize,
    /// Its path at the daemon.
    pub path: String,
    /// Its name below `updates/files`.
    pub sha256: String,
}

/// The only file of an update.
pub struct File {
    pub name: &'static str,
    pub kind: &'static str,
    pub component: &'static str,
    pub content: Vec<u8>,
}

/// Signs updates.
pub struct Publisher(Authority);

#[expect(clippy::disallowed_methods, reason = "the edge: signatures are of now")]
fn now() -> SystemTime {
    SystemTime::now()
}

impl Publisher {
    async fn trusted_by(daemon: &Daemon) -> Result<Self> {
        let authority = Authority::new(now() - Duration::from_secs(3600))?;
        let settings = json!({"source": "", "signature_verification_root_ca": authority.root_pem()});
        daemon.local().call(Method::PUT, "/1.0/system/updates", Some(&settings)).await?;
        Ok(Self(authority))
    }

    /// Uploads an update with one file.
    pub async fn upload(&self, daemon: &Daemon, folder: &Folder, version: &str, file: File) -> Result<Stored> {
        let File { name: filename, kind, component, content } = file;
        let size = content.len();
        let sha256 = hex::encode(Sha256::digest(&content));
        let description = json!({"format": "1.0", "version": version, "origin": "bench", "severity": "none",
            "published_at": "2025-11-01T10:00:00Z", "channels": ["stable"], "files": [{"filename": filename,
            "size": size, "sha256": sha256, "component": component, "type": kind, "architecture": "x86_64"}]});
        let signed = self.0.sign(&description.to_string(), Encoding::Clear, now())?;
        let path = folder.file("upload.tar");
        let mut tar = tar::Builder::new(std::fs::File::create(&path)?);
        for (name, bytes) in [("update.sjson", &signed), (filename, &content)] {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            tar.append_data(&mut header, name, &bytes[..])?;
        }
        tar.into_inner()?;
        drop(content);
        let reply = daemon.local().call_request(upload(&path).await?).await?;
        std::fs::remove_file(&path)?;
        let update = reply.location().ok_or("the update has no location")?;
        Ok(Stored { size, path: format!("{update}/files/{filename}"), sha256 })
    }
}

async fn upload(tar: &Path) -> Result<Request<RequestBody>> {
    let file = tokio::fs::File::open(tar).await?;
    let size = file.metadata().await?.len();
    let frames = tokio_util::io::ReaderStream::with_capacity(file, PIECE);
    let frames = frames.map_ok(hyper::body::Frame::data).map_err(BoxError::from);
    let body = StreamBody::new(frames).boxed_unsync();
    Ok(Request::post(UPDATES).header(http::header::CONTENT_LENGTH, size).body(body)?)
}

/// Bytes that look random and are always the same.
pub fn noise(seed: &str, size: usize) -> Vec<u8> {
    let mut state =
        seed.bytes().fold(0x9e37_79b9_7f4a_7c15_u64, |a, b| (a ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        // Xorshift.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(size);
    bytes
}

/// What a load took: seconds, and the server's CPU seconds.
#[derive(Clone, Copy)]
struct Took {
    time: f64,
    cpu: f64,
}

/// Measures a load of a file, and prints a line of the table.
pub async fn load(daemon: &Daemon, plain: &Plain, file: &Stored, clients: usize) -> Result<()> {
    let (mut theirs, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..TIMES {
        let path = format!("/{}", file.sha256);
        theirs.push(loaded(&plain.url, &daemon.trust, plain.pid, &path, file.size, clients).await?);
        ours.push(loaded(&daemon.url, &daemon.trust, daemon.pid(), &file.path, file.size, clients).await?);
    }
    let gib = (file.size * clients) as f64 / f64::from(1 << 30);
    let median = |took: &mut Vec<Took>| {
        took.sort_by(|a, b| a.time.total_cmp(&b.time));
        took[took.len() / 2]
    };
    let (theirs, ours) = (median(&mut theirs), median(&mut ours));
    println!(
        "| {clients} | {} MiB | {:.0} MiB/s | {:.2} s | {:.0} MiB/s | {:.2} s | {:.0} % |",
        file.size / MIB,
        1024.0 * gib / theirs.time,
        theirs.cpu / gib,
        1024.0 * gib / ours.time,
        ours.cpu / gib,
        100.0 * theirs.time / ours.time,
    );
    Ok(())
}

async fn loaded(url: &str, trust: &Trust, pid: u32, path: &str, size: usize, clients: usize) -> Result<Took> {
    let before = cpu(pid)?;
    let all = burst(vec![(); clients], clients, |()| {
        let (endpoint, path) = (Endpoint::https(url, trust, None), path.to_owned());
        async move { read_over(endpoint?, &path, size).await }
    })
    .await;
    match all.why {
        Some(why) => Err(why.into()),
        None => Ok(Took { time: all.elapsed.as_secs_f64(), cpu: cpu(pid)? - before }),
    }
}

/// As little of a client as there can be: it reads all of the answer, and checks that it came.
async fn read_over(endpoint: Endpoint, path: &str, size: usize) -> Result<()> {
    let mut stream = endpoint.connect().await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", endpoint.authority());
    stream.write_all(request.as_bytes()).await?;
    let (mut piece, mut head, mut body) = (vec![0; PIECE], Vec::new(), None);
    loop {
        let read = stream.read(&mut piece).await?;
        match &mut body {
            Some(bytes) => *bytes += read,
            None => {
                head.extend_from_slice(&piece[..read]);
                let end = head.windows(4).position(|window| window == b"\r\n\r\n");
                body = end.map(|end| head.len() - end - 4);
            }
        }
        if read == 0 {
            break;
        }
    }
    match body {
        Some(bytes) if bytes == size && head.starts_with(b"HTTP/1.1 200 ") => Ok(()),
        _ => {
            let first = String::from_utf8_lossy(&head[..head.len().min(40)]).into_owned();
            Err(format!("{path}: {body:?} of {size} bytes, {first:?}").into())
        }
    }
}

/// Machines that ask for the list of updates, and the same bytes from the plain file server.
async fn checks(daemon: &Daemon, plain: &Plain, folder: &Folder) -> Result<()> {
    let path = format!("{UPDATES}?recursion=1");
    let answer = daemon.local().call(Method::GET, &path, None).await?;
    let listed: Vec<Value> = answer.decode()?;
    if listed.len() != LISTED {
        return Err(format!("{} updates are listed instead of {LISTED}", listed.len()).into());
    }
    let envelope = json!({"type": "sync", "status": "Success", "status_code": 200, "operation": "", "error_code": 0,
        "error": "", "metadata": listed});
    let mut text = String::new();
    writeln!(text, "{envelope}")?;
    std::fs::write(folder.file("updates/files/list"), &text)?;
    println!("\n## Checks for updates\n");
    println!(
        "{LISTED} updates are listed in {} bytes; {ASKING} requests on {CONNECTIONS} kept connections\n",
        text.len()
    );
    println!("| server | requests | p99 | its CPU | per core |\n|---|---|---|---|---|");
    let theirs = asked(&plain.url, &daemon.trust, plain.pid, "/list").await?;
    row("plain file server", &theirs);
    let ours = asked(&daemon.url, &daemon.trust, daemon.pid(), &path).await?;
    row("ours", &ours);
    Ok(())
}

fn row(server: &str, asked: &Asked) {
    println!(
        "| {server} | {:.0}/s | {:.1} ms | {:.2} s | {:.0}/s |",
        ASKING as f64 / asked.time,
        millis(asked.slow),
        asked.cpu,
        ASKING as f64 / asked.cpu.max(0.01),
    );
}

/// What asking took: seconds, the 99th of 100 requests, the server's CPU seconds.
struct Asked {
    time: f64,
    slow: Duration,
    cpu: f64,
}

/// Each connection has its own requests, one after another.
async fn asked(url: &str, trust: &Trust, pid: u32, path: &str) -> Result<Asked> {
    let mut centers = Vec::new();
    for _ in 0..CONNECTIONS {
        let center = Center::https(url, trust, None)?;
        center.call(Method::GET, path, None).await?;
        centers.push(center);
    }
    let (before, began) = (cpu(pid)?, Instant::now());
    let mut tasks = JoinSet::new();
    for center in centers {
        let path = path.to_owned();
        tasks.spawn(async move {
            let mut times = Vec::new();
            for _ in 0..ASKING / CONNECTIONS {
                let began = Instant::now();
                center.call(Method::GET, &path, None).await?;
                times.push(began.elapsed());
            }
            Ok::<_, CenterError>(times)
        });
    }
    let mut times = Vec::with_capacity(ASKING);
    while let Some(asked) = tasks.join_next().await {
        times.extend(asked??);
    }
    let time = began.elapsed().as_secs_f64();
    times.sort();
    Ok(Asked { time, slow: times[times.len() * 99 / 100], cpu: cpu(pid)? - before })
}
