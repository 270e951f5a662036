//! A refresh of ten updates from a source on the same machine, against the same bytes loaded and thrown away.

use std::path::Path;
use std::time::{Instant, SystemTime};

use http::Method;
use muster_sim::publisher::release::APPLICATIONS;
use muster_sim::publisher::{Encoding, Options, Publisher};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::daemon::{Daemon, Folder, cpu};
use crate::updates::noise;
use crate::{Result, millis};

const UPDATES: &str = "/1.0/provisioning/updates";

const MIB: usize = 1 << 20;

/// Updates that the source has; each has a component of its own, or few others have it, so that all are wanted.
const COUNT: usize = 10;

/// Bytes of each.
const SIZE: usize = 48 * MIB;

/// Bytes that are read at once.
const PIECE: usize = 256 << 10;

/// Measures and prints.
pub async fn run(program: &Path) -> Result<()> {
    let folder = Folder::new()?;
    let daemon = Daemon::start(program, &folder, true).await?.0;
    let source = Folder::new()?;
    let options = Options { directory: source.file(""), encoding: Encoding::Opaque, plain: true, now: now() };
    let publisher = Publisher::start(options).await?;
    let (mut versions, mut files) = (Vec::new(), Vec::new());
    for number in (0..COUNT).rev() {
        let (version, component) = (format!("2025110100{number:02}"), APPLICATIONS[number % APPLICATIONS.len()]);
        let (filename, content) = (format!("x86_64/{component}.raw.gz"), noise(&version, SIZE));
        let listed = json!([{"filename": filename, "size": SIZE, "sha256": hex::encode(Sha256::digest(&content)),
            "component": component, "type": "application", "architecture": "x86_64"}]);
        publisher.put(&format!("{version}/{filename}"), &content)?;
        publisher.describe(
            &version,
            json!({"format": "1.0", "version": version, "origin": "bench", "severity": "none",
            "published_at": "2025-11-01T10:00:00Z", "channels": ["stable"], "files": listed}),
        );
        files.push(format!("/{version}/{filename}"));
        versions.push(version);
    }
    publisher.publish(&versions.iter().map(String::as_str).collect::<Vec<_>>(), now())?;
    let settings =
        json!({"source": publisher.url(), "signature_verification_root_ca": publisher.authority().root_pem()});
    daemon.local().call(Method::PUT, "/1.0/system/updates", Some(&settings)).await?;

    let began = Instant::now();
    for path in &files {
        load(&publisher.url(), path).await?;
    }
    let floor = began.elapsed();

    let (before, began) = (cpu(daemon.pid())?, Instant::now());
    daemon.local().call(Method::POST, &format!("{UPDATES}/:refresh?wait=true"), None).await?;
    let (ours, spent) = (began.elapsed(), cpu(daemon.pid())? - before);
    let listed: Vec<Value> =
        daemon.local().call(Method::GET, &format!("{UPDATES}?recursion=1"), None).await?.decode()?;
    let ready = listed.iter().filter(|update| update["update_status"] == "ready").count();
    let again = Instant::now();
    daemon.local().call(Method::POST, &format!("{UPDATES}/:refresh?wait=true"), None).await?;
    let again = again.elapsed();

    if ready != COUNT {
        return Err(format!("{ready} of {COUNT} updates are ready").into());
    }
    let all = (COUNT * SIZE) as f64 / MIB as f64;
    println!("\n## Refresh\n");
    println!("{COUNT} updates of {} MiB from a source on this machine\n", SIZE / MIB);
    println!("| load and throw away | refresh: checked, stored and synced | its CPU per GiB | nothing new |");
    println!("|---|---|---|---|");
    println!(
        "| {:.0} MiB/s | {:.0} MiB/s | {:.2} s | {:.0} ms |",
        all / floor.as_secs_f64(),
        all / ours.as_secs_f64(),
        spent * 1024.0 / all,
        millis(again)
    );
    daemon.stop().await
}

#[expect(clippy::disallowed_methods, reason = "the edge: signatures are of now")]
fn now() -> SystemTime {
    SystemTime::now()
}

/// As little of a client as there can be.
async fn load(url: &str, path: &str) -> Result<()> {
    let host = url.trim_start_matches("http://");
    let mut stream = TcpStream::connect(host).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let (mut piece, mut bytes) = (vec![0; PIECE], 0usize);
    loop {
        match stream.read(&mut piece).await? {
            0 => break,
            read => bytes += read,
        }
    }
    // Less than a head more than the file.
    if (SIZE..SIZE + 1024).contains(&bytes) { Ok(()) } else { Err(format!("{path}: {bytes} bytes of {SIZE}").into()) }
}
