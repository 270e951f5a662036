//! All servers in full over TLS, and one of them.

use std::path::Path;
use std::time::{Duration, Instant};

use http::{Method, Request};
use http_body_util::BodyExt;
use muster_clients::machine::empty;
use tokio::process::Command;

use crate::burst::burst;
use crate::daemon::{Daemon, Folder};
use crate::floor::Floor;
use crate::{Result, millis};

const SERVERS: &str = "/1.0/provisioning/servers";

/// Lists of which the fastest counts.
const TIMES: usize = 3;

/// How many times as many servers the larger list has.
const LARGER: usize = 10;

/// Gives each server nine brothers with the same documents. The daemon is not running meanwhile.
const MULTIPLY: &str = r#"
import sqlite3, sys, uuid
db = sqlite3.connect(sys.argv[1])
unique = ("id", "machine_id", "system_uuid", "machine_key", "fingerprint", "name")
def copy(table, where, change):
    names = [r[1] for r in db.execute(f"PRAGMA table_info({table})")]
    rows = [dict(zip(names, r)) for r in db.execute(f"SELECT * FROM {table} {where}")]
    for row in rows:
        for i in range(int(sys.argv[2]) - 1):
            new = dict(row)
            change(new, i)
            db.execute(f"INSERT INTO {table} VALUES ({','.join('?' * len(names))})", [new[n] for n in names])
def fresh(row, i):
    for key in unique:
        if row.get(key) is not None and key in row:
            row[key] = f"{row[key]}-{i}" if key == "name" else str(uuid.uuid5(uuid.NAMESPACE_OID, f"{row[key]} {i}"))
for table in ("machines", "servers"):
    copy(table, "", fresh)
db.commit()
"#;

/// Measures and prints, with a daemon that knows `count` servers.
pub async fn run(program: &Path, daemon: Daemon, folder: &Folder, count: usize) -> Result<()> {
    println!("\n## Lists over TLS\n");
    println!("| servers | size | time | rate | of bare TLS | daemon's CPU | memory before | peak | after |");
    println!("|---|---|---|---|---|---|---|---|---|");
    list(&daemon, count).await?;
    daemon.stop().await?;
    let mut python = Command::new("python3");
    let done = python
        .args(["-c", MULTIPLY])
        .arg(folder.file("muster.db"))
        .arg(LARGER.to_string())
        .kill_on_drop(true)
        .output()
        .await?;
    if !done.status.success() {
        return Err(format!("python3: {}", String::from_utf8_lossy(&done.stderr)).into());
    }
    // Without polls: the brothers are no machines.
    let daemon = Daemon::start(program, folder, false).await?.0;
    list(&daemon, count * LARGER).await?;
    one(&daemon).await?;
    daemon.stop().await
}

async fn list(daemon: &Daemon, expected: usize) -> Result<()> {
    let center = daemon.remote()?;
    let names: Vec<String> = center.call(Method::GET, SERVERS, None).await?.decode()?;
    if names.len() != expected {
        return Err(format!("{} servers instead of {expected}", names.len()).into());
    }
    daemon.forget_peak()?;
    let before = daemon.memory()?.resident_mib;
    let (mut best, mut bytes, mut cpu) = (Duration::MAX, 0, 0.0);
    for _ in 0..TIMES {
        let (began, used) = (Instant::now(), daemon.cpu()?);
        let request = Request::get(format!("{SERVERS}?recursion=1")).body(empty())?;
        let mut body = center.download(request).await?.into_body();
        bytes = 0;
        while let Some(frame) = body.frame().await {
            bytes += frame?.into_data().map_or(0, |data| data.len());
        }
        if began.elapsed() < best {
            (best, cpu) = (began.elapsed(), daemon.cpu()? - used);
        }
    }
    let memory = daemon.memory()?;
    let bare = Floor::start(&daemon.identity, bytes)?.transfer().await?;
    let mib = bytes as f64 / f64::from(1 << 20);
    println!(
        "| {expected} | {mib:.1} MiB | {:.3} s | {:.0} MiB/s | {:.0} % | {cpu:.2} s | {before:.0} MiB | {:.0} MiB | {:.0} MiB |",
        best.as_secs_f64(),
        mib / best.as_secs_f64(),
        100.0 * bare.as_secs_f64() / best.as_secs_f64(),
        memory.peak_mib,
        memory.resident_mib,
    );
    Ok(())
}

/// One server after another over one kept connection.
async fn one(daemon: &Daemon) -> Result<()> {
    let center = std::sync::Arc::new(daemon.remote()?);
    let path = format!("{SERVERS}/sim-0001");
    let asked = burst((0..300).collect(), 1, |_: u32| {
        let (center, path) = (center.clone(), path.clone());
        async move { Ok(center.call(Method::GET, &path, None).await.map(drop)?) }
    })
    .await;
    println!(
        "\none server, kept connection: median {:.2} ms, p99 {:.2} ms{}",
        millis(asked.quantile(0.5)),
        millis(asked.quantile(0.99)),
        asked.remark()
    );
    Ok(())
}
