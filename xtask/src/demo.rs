//! `cargo xtask demo`: a daemon with a simulated fleet and an update source, on this machine alone, gone without a trace
//! afterwards.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::process::{self, Guard, Interrupt, PAUSE};
use crate::{daemon, http, life, places, source};

/// How long `--check` waits, first for the whole fleet and then for each step of a server.
const PATIENCE: Duration = Duration::from_secs(120);

/// How often the fleet is asked for.
const LOOK: Duration = Duration::from_millis(500);

const SERVERS: &str = "/1.0/provisioning/servers";

/// Starts the demo with `count` servers; stays until Ctrl-C, or with `check` until it is proven to work.
pub fn run(count: u32, check: bool) -> Result<ExitCode> {
    places::build()?;
    let interrupt = Interrupt::listen()?;
    let dir = fresh_folder()?;
    let mut demo = Demo::start(dir, count)?;
    if check {
        return demo.check(count, &interrupt);
    }
    demo.arrive(count, &interrupt)?;
    demo.live(count)?;
    demo.invite();
    while !interrupt.asked() {
        demo.alive()?;
        std::thread::sleep(LOOK.min(PAUSE * 5));
    }
    println!("\nending the demo");
    Ok(ExitCode::SUCCESS)
}

/// An empty folder for the demo. One that a demo still uses is left alone.
fn fresh_folder() -> Result<PathBuf> {
    let dir = places::target()?.join("demo");
    if std::os::unix::net::UnixStream::connect(daemon::socket(&dir)).is_ok() {
        bail!("a demo is running already (in {}): end it first", dir.display());
    }
    match std::fs::remove_dir_all(&dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => std::fs::create_dir_all(&dir),
    }
    .with_context(|| format!("cannot make {} anew", dir.display()))?;
    Ok(dir)
}

/// A running demo. The fields end in this order: first the fleet, then the source and the daemon.
struct Demo {
    fleet: Guard,
    source: Guard,
    daemon: Guard,
    dir: PathBuf,
    url: String,
}

impl Demo {
    fn start(dir: PathBuf, count: u32) -> Result<Self> {
        let child = daemon::start(&dir, true)?;
        let daemon = Guard::new("musterd", child, daemon::log(&dir));
        let access = daemon::open(&dir)?;
        let source = source::start(&dir)?;
        let token = token(&dir, count)?;
        let mut sim = Command::new(places::binaries()?.join("muster-sim"));
        sim.args(["--center", &access.url, "--token", &token, "--count", &count.to_string()]);
        sim.arg("--center-certificate").arg(dir.join("server.crt"));
        let log = dir.join("muster-sim.log");
        let fleet = Guard::new("muster-sim", process::start(&mut sim, &log)?, log);
        Ok(Self { fleet, source, daemon, dir, url: access.url })
    }

    fn alive(&mut self) -> Result<()> {
        self.daemon.check()?;
        self.source.check()?;
        self.fleet.check()
    }

    /// Says what there is to try.
    fn invite(&self) {
        let dir = self.dir.display();
        let socket = daemon::socket(&self.dir);
        let socket = socket.display();
        println!("A daemon with a simulated fleet is running: {} (loopback only).\n", self.url);
        println!("Try, in another terminal:\n");
        println!("  export OPERATIONS_CENTER_SOCKET={socket}");
        for line in [
            "server list",
            "server system update sim-0001 --reboot --watch",
            "server system reboot sim-0002 --watch",
            "update list",
            "machine list --all",
            "machine show sim-0002",
            "server --help",
        ] {
            println!("  cargo run -q -p muster-cli -- {line}");
        }
        println!("\nor the API itself:\n");
        println!("  curl -s --unix-socket {socket} 'http://unix{SERVERS}?recursion=1'");
        println!(
            "  curl -s --cacert {dir}/server.crt --cert {dir}/admin.crt --key {dir}/admin.key {}{SERVERS}",
            self.url
        );
        println!("\nLogs: {dir}/musterd.log and muster-sim.log. Ctrl-C ends it; the next demo starts from nothing.");
    }

    /// Waits until the whole fleet is registered and ready.
    fn arrive(&mut self, count: u32, interrupt: &Interrupt) -> Result<Vec<Server>> {
        let all = count as usize;
        self.wait("registered and ready", interrupt, |fleet| {
            let ready = fleet.iter().filter(|server| server.ready()).count();
            (format!("{} of {all} registered, {ready} ready", fleet.len()), fleet.len() == all && ready == all)
        })
    }

    /// Has the machines go through their lives, if there are enough of them.
    fn live(&self, count: u32) -> Result<()> {
        if count < life::SERVERS {
            println!("demo: with {} servers there would be a machine in each state of its life", life::SERVERS);
            return Ok(());
        }
        life::walk(&self.dir)
    }

    /// Proves that the fleet registers and gets ready and is due for an update, that a server is updated to the end, and that
    /// machines go through their lives.
    fn check(&mut self, count: u32, interrupt: &Interrupt) -> Result<ExitCode> {
        let begin = Instant::now();
        let all = count as usize;
        let fleet = self.arrive(count, interrupt)?;
        let arrived = begin.elapsed();

        let name = fleet.first().context("the fleet is empty")?.name.clone();
        let due = fleet.iter().filter(|server| server.available == source::OFFERED).count();
        if due != all {
            bail!("{due} of {all} servers are due for {}", source::OFFERED);
        }
        let before = Instant::now();
        self.update(&name)?;
        self.until(&name, "updated, rebooted and ready again", interrupt, |server| {
            server.ready() && server.version == source::OFFERED && server.next == source::OFFERED
        })?;
        let updated = before.elapsed();
        self.live(count)?;
        println!(
            "demo: {all} servers ready after {:.1} s; {name} updated to {}, rebooted and ready again after {:.1} s",
            arrived.as_secs_f64(),
            source::OFFERED,
            updated.as_secs_f64()
        );
        Ok(ExitCode::SUCCESS)
    }

    /// The one command that updates a server to the end.
    fn update(&self, name: &str) -> Result<()> {
        let mut muster = Command::new(places::binaries()?.join("muster"));
        muster.env("OPERATIONS_CENTER_SOCKET", daemon::socket(&self.dir));
        muster.args(["server", "system", "update", name, "--reboot", "--watch", "--timeout"]);
        let status = muster.arg(format!("{}s", PATIENCE.as_secs())).status().context("cannot start muster")?;
        if !status.success() {
            bail!("muster could not update {name}; musterd's last lines:\n{}", process::tail(&daemon::log(&self.dir)));
        }
        Ok(())
    }

    /// Waits until one server is as it should be.
    fn until(
        &mut self,
        name: &str,
        what: &str,
        interrupt: &Interrupt,
        mut done: impl FnMut(&Server) -> bool,
    ) -> Result<()> {
        let waited =
            self.wait(&format!("{name} {what}"), interrupt, |fleet| match fleet.iter().find(|s| s.name == name) {
                None => (format!("{name} is not listed"), false),
                Some(server) => (format!("{name} is {}, with {}", server.state(), server.version), done(server)),
            });
        waited.map(drop)
    }

    /// Looks at the fleet until `done` says so; tells what changed on the way.
    fn wait(
        &mut self,
        what: &str,
        interrupt: &Interrupt,
        mut done: impl FnMut(&[Server]) -> (String, bool),
    ) -> Result<Vec<Server>> {
        let begin = Instant::now();
        let mut last = String::new();
        loop {
            self.alive()?;
            let fleet = servers(&self.dir)?;
            let (state, reached) = done(&fleet);
            if state != last {
                println!("demo: {:5.1} s: {state}", begin.elapsed().as_secs_f64());
                last = state;
            }
            if reached {
                return Ok(fleet);
            }
            if interrupt.asked() {
                bail!("interrupted");
            }
            if begin.elapsed() > PATIENCE {
                let late: Vec<_> =
                    fleet.iter().filter(|s| !s.ready()).map(|s| format!("{} is {}", s.name, s.state())).collect();
                bail!(
                    "not {what} after {} s: {last}; {}\nmusterd's last lines:\n{}\nmuster-sim's last lines:\n{}",
                    PATIENCE.as_secs(),
                    if late.is_empty() { "every listed server is ready".to_owned() } else { late.join(", ") },
                    process::tail(&daemon::log(&self.dir)),
                    process::tail(&self.dir.join("muster-sim.log")),
                );
            }
            std::thread::sleep(LOOK);
        }
    }
}

/// What the demo wants to know of a server.
struct Server {
    name: String,
    status: String,
    detail: String,
    /// Running, waiting for the next boot, and offered.
    version: String,
    next: String,
    available: String,
}

impl Server {
    fn ready(&self) -> bool {
        self.status == "ready" && self.detail.is_empty()
    }

    fn state(&self) -> String {
        if self.detail.is_empty() { self.status.clone() } else { format!("{} ({})", self.status, self.detail) }
    }
}

fn servers(dir: &Path) -> Result<Vec<Server>> {
    let list = http::ask(&daemon::socket(dir), "GET", &format!("{SERVERS}?recursion=1"), None)?.metadata;
    let text = |server: &Value, key: &str| server[key].as_str().unwrap_or_default().to_owned();
    let all = list.as_array().context("the daemon's list of servers is no list")?;
    let server = |s: &Value| {
        let os = &s["version_data"]["os"];
        Server {
            name: text(s, "name"),
            status: text(s, "server_status"),
            detail: text(s, "server_status_detail"),
            version: text(os, "version"),
            next: text(os, "version_next"),
            available: text(os, "available_version"),
        }
    };
    Ok(all.iter().map(server).collect())
}

/// A token for as many registrations as there are servers.
fn token(dir: &Path, uses: u32) -> Result<String> {
    // Far away instead of "in an hour": the number of uses is what limits it, and the demo forgets it at its end.
    let wish = json!({"description": "demo fleet", "uses_remaining": uses, "expire_at": "2099-01-01T00:00:00Z"});
    let made = http::ask(&daemon::socket(dir), "POST", "/1.0/provisioning/tokens", Some(&wish))?;
    let location = made.location.context("the daemon does not say where the new token is")?;
    let uuid = location.rsplit('/').next().filter(|uuid| !uuid.is_empty());
    Ok(uuid.context("the new token has no name")?.to_owned())
}
