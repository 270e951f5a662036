//! One story, told to its end although the daemon dies in the middle of it; then everything is looked at.

use crate::{
    daemon::{Crash, Daemon, PAUSE},
    images,
    site::{Database, Site},
};
use http::Method;
use muster_clients::center::CenterError;
use muster_sim::{
    fleet::{FleetEvent, Simulated, What},
    publisher::Authority,
};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};
use tokio::sync::broadcast::{Receiver, error::TryRecvError};

pub const SERVERS: &str = "/1.0/provisioning/servers";
/// What a machine is updated to.
const OFFERED: &str = "202512010000";
/// A story that takes longer is stuck. Well beyond what the slowest path needs.
const STUCK: Duration = Duration::from_secs(120);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Story {
    /// From the token to ready.
    Registration,
    /// Until it is ready by another boot.
    Reboot,
    /// Wiped, registered anew with a token for one use, ready.
    FactoryReset,
    /// Taken by somebody, given back, wiped, available again.
    Tenancy,
    /// Until it runs a newer version, by another boot.
    Update,
}

/// What became of a run.
pub enum Told {
    /// The daemon died at this point; the story had a good end all the same.
    Died(String),
    /// The story was over before the point was reached.
    Through,
    /// The database is not there.
    Skipped,
}

/// What the world did to the machine.
#[derive(Default, Debug)]
struct Seen {
    boots: usize,
    wipes: usize,
    registrations: usize,
    refused: Vec<String>,
}

impl Seen {
    fn take(&mut self, events: &mut Receiver<FleetEvent>) {
        loop {
            match events.try_recv() {
                Ok(event) => match event.what {
                    What::Silent => self.boots += 1,
                    What::Wiped => self.wipes += 1,
                    What::Registered => self.registrations += 1,
                    What::NotRegistered(why) => self.refused.push(why),
                    _ => {}
                },
                Err(TryRecvError::Empty | TryRecvError::Closed) => return,
                Err(TryRecvError::Lagged(n)) => panic!("{n} events were lost"),
            }
        }
    }
}

/// Tells a story to a daemon that dies at point `at`. `Err`: what is wrong, with the point.
pub async fn tell(story: Story, database: Database, at: u64) -> Result<Told, String> {
    let Some(site) = tokio::task::spawn_blocking(move || Site::new(database)).await.unwrap() else {
        return Ok(Told::Skipped);
    };
    let when = site.dir.path().join("count");
    let mut daemon = site.start("a", Some(&Crash { at, when: when.clone() })).await;
    site.listen(&daemon, true).await;
    let token = site.token(&daemon, 2, false).await;
    if story == Story::Registration {
        std::fs::write(&when, "").unwrap();
    }
    // Some are back before the work is taken up again, some are still away.
    let slow = at.is_multiple_of(2) == (database == Database::Sqlite);
    let down = Duration::from_millis(if slow { 4000 } else { 400 });
    let (fleet, mut events) = site.fleet(1, "a", &token, down).await;
    let machine = fleet.machine(1).unwrap().clone();
    let mut teller = Teller { story, machine, answered: BTreeSet::new(), asked: 0, before: String::new() };
    if story != Story::Registration {
        teller.before = until_ready(&mut daemon).await;
        if story == Story::Update {
            offer(&daemon).await;
        }
        Seen::default().take(&mut events);
        std::fs::write(&when, "").unwrap();
    }
    let (mut seen, mut died, mut quiet) = (Seen::default(), None, 0);
    let end = Instant::now() + STUCK;
    // Quiet for a while: what is done after the good end (a lease given back) is part of it.
    while quiet < 10 {
        if quiet == 9 {
            // Whatever it does from now on by itself, it does not die while it is asked how all ended.
            std::fs::remove_file(&when).ok();
        }
        tokio::time::sleep(PAUSE).await;
        if !daemon.lives() {
            if died.is_some() {
                return Err(format!("died twice:\n{}", daemon.tail()));
            }
            died = Some(daemon.died_at());
            daemon = site.start("a", None).await;
            quiet = 0;
        }
        let over = teller.go_on(&daemon).await;
        quiet = if over == Ok(()) { quiet + 1 } else { 0 };
        if Instant::now() > end {
            seen.take(&mut events);
            let point = died.unwrap_or_else(|| "none".into());
            let why = over.err().unwrap_or_default();
            return Err(format!(
                "stuck, killed at {point}: {why}; {seen:?}\n{}\n{}",
                trail(&daemon).await,
                daemon.tail()
            ));
        }
    }
    seen.take(&mut events);
    let wrong = teller.check(&daemon, &token, &seen).await;
    if !wrong.is_empty() {
        let point = died.unwrap_or_else(|| "none".into());
        let wrong = wrong.join("; ");
        return Err(format!("killed at {point}: {wrong}; {seen:?}\n{}\n{}", trail(&daemon).await, daemon.tail()));
    }
    Ok(died.map_or(Told::Through, Told::Died))
}

/// Has the daemon offer a version to the machine.
async fn offer(daemon: &Daemon) {
    let authority = Authority::new(SystemTime::now() - Duration::from_secs(3600)).unwrap();
    let settings = json!({"source": "", "signature_verification_root_ca": authority.root_pem()});
    daemon.call(Method::PUT, "/1.0/system/updates", Some(&settings)).await.unwrap();
    let image = format!("x86_64/IncusOS_{OFFERED}.img.gz");
    let files = [(image.as_str(), "image-raw", &b"system"[..]), ("x86_64/incus.raw.gz", "application", b"incus")];
    daemon.send("/1.0/provisioning/updates", images::tar(&authority, OFFERED, &files)).await.unwrap();
}

async fn until_ready(daemon: &mut Daemon) -> String {
    let end = Instant::now() + STUCK;
    loop {
        if let Some(servers) = daemon.list(&format!("{SERVERS}?recursion=1")).await
            && let [server] = servers.as_slice()
            && server["server_status"] == "ready"
            && operations(daemon).await.is_some_and(|all| all.iter().all(|o| !o["finished_at"].is_null()))
        {
            return server["name"].as_str().unwrap().to_owned();
        }
        assert!(Instant::now() < end, "not ready before the story begins:\n{}", daemon.tail());
        tokio::time::sleep(PAUSE).await;
    }
}

/// What the audit says, for whoever has to find out what happened.
pub async fn trail(daemon: &Daemon) -> String {
    let entries = daemon.list("/1.0/audit?limit=10000").await.unwrap_or_default();
    let text = |e: &Value, key: &str| e[key].as_str().unwrap_or_default().to_owned();
    let line =
        |e: &Value| ["at", "actor", "action", "object", "from", "to", "reason"].map(|key| text(e, key)).join(" | ");
    entries.iter().map(line).collect::<Vec<_>>().join("\n")
}

async fn operations(daemon: &Daemon) -> Option<Vec<Value>> {
    daemon.list("/1.0/operations").await
}

/// Whoever wants something, and asks again after a crash as a careful person does: looks first.
struct Teller {
    story: Story,
    machine: Arc<Simulated>,
    /// What the daemon said was done.
    answered: BTreeSet<&'static str>,
    /// How often it was asked.
    asked: usize,
    /// Name of the server when the story began.
    before: String,
}

impl Teller {
    /// What is asked for, one after the other.
    fn kinds(&self) -> &'static [&'static str] {
        match self.story {
            Story::Registration => &[],
            Story::Reboot => &["reboot"],
            Story::FactoryReset => &["factory-reset"],
            Story::Tenancy => &["allocate", "release"],
            Story::Update => &["update"],
        }
    }

    /// Where, and with what.
    async fn request(&self, daemon: &Daemon, kind: &str) -> Option<(String, Option<Value>)> {
        if self.story != Story::Tenancy {
            let body = (self.story == Story::Update).then(|| json!({"os": {"trigger_update": true}, "reboot": true}));
            return Some((format!("{SERVERS}/{}/system/:{kind}", self.before), body));
        }
        let machines = daemon.list("/1.0/machines").await?;
        let id = machines.first()?["id"].as_str()?.to_owned();
        let body = if kind == "allocate" { json!({"owner": "anna"}) } else { json!({}) };
        Some((format!("/1.0/machines/{id}/:{kind}"), Some(body)))
    }

    /// Does what is to be done next. `Ok` when the story is over, else what is missing.
    async fn go_on(&mut self, daemon: &Daemon) -> Result<(), String> {
        let gone = || "the daemon is gone".to_owned();
        let all = operations(daemon).await.ok_or_else(gone)?;
        for kind in self.kinds() {
            let ours = all.iter().find(|o| o["kind"] == *kind);
            if ours.is_some_and(|o| o["status"] == "succeeded") {
                continue;
            }
            if let Some(open) = ours {
                return Err(format!("an operation is not over: {open}"));
            }
            if self.answered.contains(kind) {
                return Err(format!("lost: {kind} was answered and its operation is not there"));
            }
            let (path, body) = self.request(daemon, kind).await.ok_or_else(gone)?;
            self.asked += 1;
            match daemon.call(Method::POST, &path, body.as_ref()).await {
                Ok(_) => drop(self.answered.insert(kind)),
                Err(CenterError::Unreachable(_) | CenterError::NotAnEnvelope { .. }) => {}
                Err(e) => return Err(format!("refused: {e}")),
            }
            return Err("asked".into());
        }
        if let Some(open) = all.iter().find(|o| o["status"] != "succeeded") {
            return Err(format!("an operation is not over: {open}"));
        }
        let servers = daemon.list(&format!("{SERVERS}?recursion=1")).await.ok_or_else(gone)?;
        match servers.as_slice() {
            [server] if server["server_status"] == "ready" && self.machine.is_registered() => Ok(()),
            [server] => Err(format!(
                "server {} is {} ({}), the machine thinks it is registered: {}",
                server["name"],
                server["server_status"],
                server["server_status_detail"],
                self.machine.is_registered()
            )),
            servers => Err(format!("{} servers", servers.len())),
        }
    }

    /// What is wrong at the end.
    async fn check(&self, daemon: &Daemon, token: &str, seen: &Seen) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut must = |good: bool, what: String| {
            if !good {
                wrong.push(what);
            }
        };
        let operations = operations(daemon).await.unwrap();
        for kind in self.kinds() {
            let ours = operations.iter().filter(|o| o["kind"] == *kind).count();
            must(ours == 1, format!("{ours} operations of kind {kind}"));
        }
        must(self.asked <= self.kinds().len() + 1, format!("asked {} times", self.asked));
        let (boots, wipes) = match self.story {
            Story::Registration => (0, 0),
            Story::Reboot => (1, 0),
            Story::FactoryReset | Story::Tenancy => (1, 1),
            Story::Update => (1, 0),
        };
        must(seen.boots == boots, format!("booted {} times, not {boots}", seen.boots));
        must(seen.wipes == wipes, format!("wiped {} times, not {wipes}", seen.wipes));
        let tokens = daemon.list("/1.0/provisioning/tokens?recursion=1").await.unwrap();
        must(tokens.len() == 1, format!("tokens left over: {tokens:?}"));
        let left = tokens.iter().find(|t| t["uuid"] == token).map(|t| t["uses_remaining"].clone());
        must(left == Some(1.into()), format!("the token has {left:?} uses left, not 1"));
        let machines = daemon.list("/1.0/machines?recursion=1").await.unwrap();
        must(machines.len() == 1, format!("{} machines: {machines:?}", machines.len()));
        let lifecycle = machines.first().map(|m| m["lifecycle"].clone()).unwrap_or_default();
        must(lifecycle == "available", format!("the machine is {lifecycle}"));
        let server = &daemon.list(&format!("{SERVERS}?recursion=1")).await.unwrap()[0];
        must(
            server["server_status_detail"] == "",
            format!("the server's detail is {}", server["server_status_detail"]),
        );
        let os = &server["version_data"]["os"];
        if self.story == Story::Update {
            must(os["version"] == OFFERED && os["needs_reboot"] == false, format!("it runs {os}"));
        }
        let same = server["certificate"].as_str().map(str::trim) == Some(self.machine.certificate_pem().trim());
        must(same, "the server's certificate is not the machine's".into());

        let audit = daemon.list("/1.0/audit?limit=10000").await.unwrap();
        let count = |action: &str, reason: Option<&str>| {
            audit.iter().filter(|e| e["action"] == action && reason.is_none_or(|r| e["reason"] == r)).count()
        };
        for kind in self.kinds() {
            let started = count("operation.start", Some(kind));
            must(started == 1, format!("{started} audit entries of the start of {kind}"));
        }
        let states: Vec<&str> =
            audit.iter().filter(|e| e["action"] == "machine.transition").filter_map(|e| e["to"].as_str()).collect();
        let wanted: &[&str] = match self.story {
            Story::Registration | Story::Reboot | Story::Update => &["registering", "unavailable", "available"],
            Story::FactoryReset => &["registering", "unavailable", "available", "unavailable", "cleaning", "available"],
            Story::Tenancy => &["registering", "unavailable", "available", "used", "cleaning", "available"],
        };
        must(states == wanted, format!("the machine went through {states:?}"));
        let registered = count("server.register", None);
        let wanted = 1 + wipes;
        must(registered == wanted, format!("{registered} audit entries of a registration, not {wanted}"));
        let reply = daemon.call(Method::POST, "/1.0/audit/:verify", None).await.unwrap();
        must(reply.metadata.get().contains("\"intact\":true"), format!("the audit is broken: {}", reply.metadata));
        wrong
    }
}
