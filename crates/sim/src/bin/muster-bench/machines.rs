//! Many machines with a long past: lists, reports, history, and the proof of the audit.

use std::path::Path;
use std::time::{Duration, Instant};

use http::{Method, Request};
use http_body_util::BodyExt;
use muster_clients::machine::empty;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::daemon::{Daemon, Folder};
use crate::{Result, millis};

/// Machines, and entries of the audit about each of them.
const SIZES: [(usize, usize); 2] = [(2_000, 100), (20_000, 100)];

/// Times of which the fastest counts.
const TIMES: usize = 3;

/// Makes so many machines of the only one that is there, and a chain of so many transitions of each that goes on from the head of
/// the audit. The daemon is not running meanwhile.
const PAST: &str = r#"
import hashlib, json, sqlite3, sys, uuid
db, machines, each = sqlite3.connect(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
names = [r[1] for r in db.execute("PRAGMA table_info(machines)")]
model = dict(zip(names, db.execute("SELECT * FROM machines").fetchone()))
ids = sorted(str(uuid.uuid5(uuid.NAMESPACE_OID, f"machine {n}")) for n in range(machines))
begin, round = ["registering", "unavailable", "available"], ["used", "cleaning", "available"]
def state(n):
    return begin[n] if n < 3 else round[n % 3]
rows = []
for n, id in enumerate(ids):
    row = dict(model, id=id, serial=f"B{n}", system_uuid=id, lifecycle=state(each - 1), operation=None, asset='{"site":"s%d"}' % (n % 20))
    rows.append([row[name] for name in names])
db.executemany(f"INSERT INTO machines VALUES ({','.join('?' * len(names))})", rows)
seq, last = db.execute("SELECT seq, hash FROM audit_head WHERE name = 'audit'").fetchone()
at, chain = 1_700_000_000_000_000, []
put = "INSERT INTO audit (seq, at, actor, action, object_kind, object, from_state, to_state, reason, operation_id, detail," \
      " prev_hash, hash) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
for n in range(each):
    to, before = state(n), state(n - 1) if n else None
    detail = '{"edge":5,"owner":"o%d","server_type":""}' if to == "used" else '{"edge":4}'
    for number, id in enumerate(ids):
        seq, at = seq + 1, at + 1_000_000
        more = detail % (number % 50) if to == "used" else detail
        entry = [seq, at, "anna", "machine.transition", "machine", id, before, to, "because the project goes on", None, more, last]
        last = hashlib.sha256(json.dumps(entry, separators=(",", ":")).encode()).hexdigest()
        chain.append(entry + [last])
    if len(chain) > 100_000 or n == each - 1:
        db.executemany(put, chain)
        chain = []
db.execute("UPDATE audit_head SET seq = ?, hash = ? WHERE name = 'audit'", (seq, last))
db.commit()
print(ids[0])
"#;

/// Measures and prints.
pub async fn run(program: &Path) -> Result<()> {
    println!("\n## Machines with a past\n");
    println!("Time, and memory above what the daemon had before.\n");
    println!(
        "| machines | entries | verify | list of all | by type | by site, with ids | with server-hours | one's history |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for (machines, each) in SIZES {
        measure(program, machines, each).await?;
    }
    Ok(())
}

async fn measure(program: &Path, machines: usize, each: usize) -> Result<()> {
    let folder = Folder::new()?;
    let daemon = Daemon::start(program, &folder, true).await?.0;
    let model = json!({"serial": "MODEL", "vendor": "Bench", "system_uuid": "00000000-0000-4000-8000-00000000abcd"});
    daemon.local().call(Method::POST, "/1.0/machines", Some(&model)).await?;
    daemon.stop().await?;
    let mut python = Command::new("python3");
    python.args(["-c", PAST]).arg(folder.file("muster.db")).args([machines.to_string(), each.to_string()]);
    let done = python.kill_on_drop(true).output().await?;
    if !done.status.success() {
        return Err(format!("no past was made: {}", String::from_utf8_lossy(&done.stderr)).into());
    }
    let one = String::from_utf8(done.stdout)?;

    let daemon = Daemon::start(program, &folder, true).await?.0;
    let mut grown = Grown::new(&daemon)?;
    let mut verified = Duration::MAX;
    for _ in 0..TIMES {
        let began = Instant::now();
        let verdict: Value = daemon.local().call(Method::POST, "/1.0/audit/:verify", None).await?.decode()?;
        verified = verified.min(began.elapsed());
        // Those of the bench, and the model's.
        let expected = json!(machines + 1);
        if verdict["intact"] != true || verdict["machines"] != expected || verdict["differing_count"] != 0 {
            return Err(format!("the past is not sound: {verdict}").into());
        }
    }
    let entries = machines * each;
    let rate = entries as f64 / verified.as_secs_f64();
    let verify = format!("{:.2} s, {rate:.0}/s, {:.0} MiB", verified.as_secs_f64(), grown.mib()?);
    let mut times = Vec::new();
    let paths = [
        "/1.0/machines".to_owned(),
        "/1.0/reports/utilisation?by=type".to_owned(),
        "/1.0/reports/utilisation?by=site&ids=true".to_owned(),
        "/1.0/reports/utilisation?by=owner&usage=true".to_owned(),
        format!("/1.0/machines/{}/history", one.trim()),
    ];
    for path in paths {
        grown = Grown::new(&daemon)?;
        let time = millis(fastest(&daemon, &path).await?);
        times.push(format!("{time:.0} ms, {:.0} MiB", grown.mib()?));
    }
    println!("| {machines} | {entries} | {verify} | {} |", times.join(" | "));
    daemon.stop().await
}

/// How much more memory the daemon had at most, since some time.
struct Grown<'a> {
    daemon: &'a Daemon,
    before: f64,
}

impl<'a> Grown<'a> {
    fn new(daemon: &'a Daemon) -> Result<Self> {
        daemon.forget_peak()?;
        Ok(Self { daemon, before: daemon.memory()?.resident_mib })
    }

    fn mib(&self) -> Result<f64> {
        Ok((self.daemon.memory()?.peak_mib - self.before).max(0.0))
    }
}

/// Reads an answer over its socket, several times.
async fn fastest(daemon: &Daemon, path: &str) -> Result<Duration> {
    let mut fastest = Duration::MAX;
    for _ in 0..TIMES {
        let began = Instant::now();
        let mut body = daemon.local().download(Request::get(path).body(empty())?).await?.into_body();
        while let Some(frame) = body.frame().await {
            frame?;
        }
        fastest = fastest.min(began.elapsed());
    }
    Ok(fastest)
}
