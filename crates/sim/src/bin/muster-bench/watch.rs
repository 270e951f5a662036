//! A simulated fleet that registers and is watched: full rounds, plain rounds, and rounds with machines that hang.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use http::Method;
use muster_clients::center::Center;
use muster_sim::{Bind, CenterOptions, Fault, Fleet, FleetOptions};
use tokio::task::JoinSet;

use crate::burst::burst;
use crate::daemon::{Daemon, Folder, Used};
use crate::{Result, millis};

/// How long the whole fleet may take to register and to get ready.
const PATIENCE: Duration = Duration::from_secs(120);

/// Machines that are switched on in a second: a machine that waits for its turn too long begins its handshake anew, and what many
/// registrations at once cost is measured elsewhere.
const BOOTS: f64 = 400.0;

/// Servers that are asked for at once in a round that we ask for.
const AT_ONCE: usize = 64;

/// Each so manieth machine hangs.
const HANGING: usize = 20;

/// Requests of a plain poll.
const PLAIN: f64 = 2.0;

/// What a restarted daemon gets beside its first round.
const SETTLE: Duration = Duration::from_secs(5);

/// The rhythm of a ready server, in seconds.
const FIVE_MINUTES: f64 = 300.0;

/// Measures and prints.
pub async fn run(program: &Path, folder: &Folder, count: usize, window: Duration) -> Result<Daemon> {
    let started = Daemon::start(program, folder, true).await?.0;
    let daemon = &started;
    println!("\n## Watching {count} servers\n");
    let began = Instant::now();
    let start = daemon.used().await?;
    let fleet = fleet(daemon, count).await?;
    if !fleet.until(PATIENCE, |machine| machine.is_registered()).await {
        return Err(format!("not all of {count} machines registered in time").into());
    }
    let registered = began.elapsed();
    while daemon.count("ready").await? < count {
        if began.elapsed() > 2 * PATIENCE {
            return Err(format!("only {} of {count} servers got ready", daemon.count("ready").await?).into());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let ready = began.elapsed();
    let used = since(start, daemon.used().await?);
    println!(
        "switched on at {BOOTS}/s, registered after {:.1} s ({:.0}/s), all ready {:.1} s after the last one; until then {:.2} ms of the daemon's CPU, \
         {:.1} requests and {:.2} handshakes each; {:.0} MiB\n",
        registered.as_secs_f64(),
        count as f64 / registered.as_secs_f64(),
        (ready - registered).as_secs_f64(),
        1000.0 * used.cpu / count as f64,
        used.requests as f64 / count as f64,
        used.handshakes as f64 / count as f64,
        daemon.memory()?.resident_mib,
    );
    println!("| round | time | p99 of one | CPU each | requests each | handshakes each |\n|---|---|---|---|---|---|");
    let names: Vec<String> = fleet.machines().iter().map(|m| m.name()).collect();
    let healthy: Vec<String> =
        names.iter().enumerate().filter(|(i, _)| i % HANGING != 0).map(|(_, n)| n.clone()).collect();
    let hanging: Vec<String> = names.iter().step_by(HANGING).cloned().collect();
    round(daemon, &format!("full, {count} servers"), names).await?;
    round(daemon, &format!("full, {} servers, none hangs", healthy.len()), healthy.clone()).await?;
    for machine in fleet.machines().iter().step_by(HANGING) {
        machine.set_fault(Some(Fault::Hang));
    }
    let mut waiting = JoinSet::new();
    for name in &hanging {
        let (center, path) = (daemon.local(), resync(name));
        // It fails, after the time that a machine is given.
        waiting.spawn(async move { drop(center.call(Method::POST, &path, None).await) });
    }
    round(daemon, &format!("full, the same {}, while {} hang", healthy.len(), hanging.len()), healthy).await?;
    let memory = daemon.memory()?;
    for machine in fleet.machines().iter().step_by(HANGING) {
        machine.set_fault(None);
    }
    // A fleet that registered at once is not due for five minutes, longer than we may take.
    started.stop().await?;
    let daemon = Daemon::start_polling(program, folder, window).await?;
    plain(&daemon, count, window).await?;
    println!("\nmemory: {:.0} MiB, peak {:.0} MiB", memory.resident_mib, memory.peak_mib);
    Ok(daemon)
}

fn resync(name: &str) -> String {
    format!("/1.0/provisioning/servers/{name}/:resync")
}

fn since(before: Used, now: Used) -> Used {
    Used {
        cpu: now.cpu - before.cpu,
        requests: now.requests - before.requests,
        handshakes: now.handshakes - before.handshakes,
    }
}

#[expect(clippy::disallowed_methods, reason = "the edge: the fleet's clock begins here")]
async fn fleet(daemon: &Daemon, count: usize) -> Result<Fleet> {
    let mut options = FleetOptions::new(count, 1, SystemTime::now());
    // One descriptor a machine, and a second one while it registers.
    options.bind = Bind::Shared { port: 0 };
    options.boot_spread = Duration::from_secs_f64(count as f64 / BOOTS);
    options.center = Some(CenterOptions {
        url: daemon.url.clone(),
        certificate_pem: Some(daemon.identity.certificate_pem.clone()),
        token: daemon.token(count).await?,
    });
    Ok(Fleet::start(options).await?)
}

/// A full poll of each of these servers, on request.
async fn round(daemon: &Daemon, what: &str, names: Vec<String>) -> Result<()> {
    let count = names.len() as f64;
    let centers: Arc<Vec<Center>> = Arc::new((0..AT_ONCE).map(|_| daemon.local()).collect());
    let before = daemon.used().await?;
    let asked = burst(names.into_iter().enumerate().collect(), AT_ONCE, |(i, name): (usize, String)| {
        let centers = centers.clone();
        async move { Ok(centers[i % AT_ONCE].call(Method::POST, &resync(&name), None).await.map(drop)?) }
    })
    .await;
    let used = since(before, daemon.used().await?);
    println!(
        "| {what}{} | {:.2} s | {:.0} ms | {:.2} ms | {:.1} | {:.2} |",
        asked.remark(),
        asked.elapsed.as_secs_f64(),
        millis(asked.quantile(0.99)),
        1000.0 * used.cpu / count,
        used.requests as f64 / count,
        used.handshakes as f64 / count,
    );
    Ok(())
}

/// What the daemon's own rhythm costs on kept connections. In its first round it shakes hands and tells the machines its
/// new address; the second one counts.
async fn plain(daemon: &Daemon, count: usize, window: Duration) -> Result<()> {
    tokio::time::sleep(window + SETTLE).await;
    let before = daemon.used().await?;
    tokio::time::sleep(window).await;
    let used = since(before, daemon.used().await?);
    let polls = used.requests as f64 / PLAIN;
    println!(
        "| plain, {polls:.0} polls | {} s | – | {:.2} ms | {PLAIN:.1} | {:.2} |",
        window.as_secs(),
        1000.0 * used.cpu / polls.max(1.0),
        used.handshakes as f64 / polls.max(1.0),
    );
    println!(
        "| … that is {count} servers at five minutes | | | {:.4} of a core | | |",
        used.cpu * (count as f64 / polls.max(1.0)) / FIVE_MINUTES,
    );
    Ok(())
}
