//! Random lives of machines: whatever people ask for, in whatever order, while the daemon is killed again and again, the
//! machines are as the model says that decides about them, and every refusal is the model's.
//!
//! As a check of each change there are a few short lives. `MUSTER_LIVES=20x200x50` has twenty rounds, on each database, of fifty
//! machines' lives of 200 steps.

use crate::{
    daemon::{Daemon, PAUSE},
    site::{DATABASES, Database, Site},
};
use http::Method;
use muster_clients::center::{CenterError, Reply};
use muster_domain::machine::{
    Command, Lifecycle, Machine, Move, Refusal,
    axes::{AllocationKind, Claim},
    birth::{Birth, birth},
    lifecycle::find,
    moves::Terms,
    transition,
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::{Value, json};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::RwLock;

/// Longest time for one step.
const STEP: Duration = Duration::from_secs(180);
/// Longest pause between two looks at a machine that is busy.
const LOOK: Duration = Duration::from_millis(400);
/// Between two kills, in milliseconds, for each [`MANY`] machines: a daemon that starts asks them all again.
const KILL: (u64, u64) = (2000, 6000);
const MANY: u64 = 25;

/// Numbers that the same seed gives again.
struct Dice(u64);

impl Dice {
    /// From 0 to below `n`.
    fn roll(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }

    fn pick(&mut self) -> Move {
        const WEIGHTS: [(Move, u64); 17] = [
            (Move::Allocate, 24),
            (Move::Release, 20),
            (Move::SetAvailable, 16),
            (Move::SetUnavailable, 10),
            (Move::ReRegister, 8),
            (Move::SetDefective, 5),
            (Move::Clean, 4),
            (Move::Waive, 4),
            (Move::Unprotect, 4),
            (Move::Unretire, 4),
            (Move::Cancel, 3),
            (Move::Hold, 3),
            (Move::Unhold, 6),
            (Move::Protect, 2),
            (Move::Retire, 2),
            (Move::RemoveFromRack, 1),
            (Move::Decommission, 1),
        ];
        let mut at = self.roll(WEIGHTS.iter().map(|(_, weight)| weight).sum());
        for (wanted, weight) in WEIGHTS {
            if at < weight {
                return wanted;
            }
            at -= weight;
        }
        Move::Allocate
    }
}

/// What became of what was asked.
#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    taken: usize,
    refused: usize,
    /// Taken, and the machine did not answer in time.
    unanswered: usize,
}

/// What the lives share.
struct World {
    daemon: RwLock<Daemon>,
}

impl World {
    async fn get(&self, path: &str) -> Value {
        loop {
            if let Some(found) = self.daemon.read().await.get(path).await {
                return found;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// A machine, once nothing goes on with it any more.
    async fn settled(&self, id: &str) -> Result<Value, String> {
        let end = Instant::now() + STEP;
        let mut pause = PAUSE;
        loop {
            let machine = self.get(&format!("/1.0/machines/{id}")).await;
            let busy = |o: &Value| {
                ["allocate", "release", "clean", "re-register", "register"].map(Value::from).contains(&o["kind"])
            };
            if !machine["work"].as_array().unwrap().iter().any(busy) {
                return Ok(machine);
            }
            if Instant::now() > end {
                return Err(format!("it never settles: {machine}"));
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LOOK);
        }
    }

    /// Whether the work that was begun failed since the machine did not answer in time: on a host that is busy, one of ours may not.
    async fn is_unanswered(&self, reply: &Reply) -> bool {
        let begun: Value = serde_json::from_str(reply.metadata.get()).unwrap_or_default();
        let Some(id) = begun["operation"].as_str().filter(|id| !id.is_empty()) else { return false };
        let operation = self.get(&format!("/1.0/operations/{id}")).await;
        let error = operation["error"].as_str().unwrap_or_default();
        let silent = ["the machine cannot be reached", "the machine did not answer"];
        operation["status"] == "failed" && silent.iter().any(|text| error.contains(text))
    }
}

/// What becomes of a machine when it did not answer: a reset never began, a checkup has failed.
fn after_silence(machine: &Machine, wanted: Move, terms: &Terms) -> Result<Machine, Refusal> {
    match wanted {
        Move::Release | Move::Clean => Ok(machine.clone()),
        _ => run(machine, &[wanted.command(machine, terms), Command::Fail]),
    }
}

fn run(machine: &Machine, commands: &[Command]) -> Result<Machine, Refusal> {
    commands.iter().try_fold(machine.clone(), |machine, command| Ok(transition(&machine, command)?.machine))
}

/// What becomes of a machine by a move that was taken, when all goes well.
fn after(machine: &Machine, wanted: Move, terms: &Terms) -> Result<Machine, Refusal> {
    let command = wanted.command(machine, terms);
    let back = [
        Command::OsReset,
        Command::SelfRegister { same_certificate: false },
        Command::FirstPoll { open: true, accepts_data: false },
    ];
    match wanted {
        Move::Allocate => run(machine, &[command, Command::Commit]),
        Move::ReRegister => run(machine, &[command, Command::Done { erased: false }]),
        Move::Release | Move::Clean if wanted.is_work(terms) => run(machine, &back),
        _ => run(machine, &[command]),
    }
}

/// What is compared of a machine.
fn seen(shown: &Value) -> Value {
    let operation = &shown["operation"];
    json!({
        "lifecycle": shown["lifecycle"],
        "media": shown["media"],
        "operation": [operation["kind"], operation["method"], operation["phase"]],
        "owner": shown["allocation"]["owner"],
        "flags": [shown["flags"]["retire"], shown["flags"]["hold"], shown["flags"]["protected"]],
        "server": shown["server"] != "",
    })
}

fn expected(machine: &Machine) -> Value {
    let operation = machine.operation.as_ref();
    json!({
        "lifecycle": machine.lifecycle,
        "media": machine.media,
        "operation": [
            operation.map(|o| o.kind),
            operation.and_then(|o| o.method),
            operation.map(|o| o.phase),
        ],
        "owner": machine.allocation.as_ref().map(|a| &a.claim.owner),
        "flags": [machine.flags.retire, machine.flags.hold, machine.flags.protected],
        "server": machine.enrolment.is_some(),
    })
}

/// One life.
async fn life(world: &World, id: &str, seed: u64, steps: usize) -> Result<Tally, String> {
    let mut dice = Dice(seed);
    let born = birth(&Birth::SelfRegistered { predecessor: None }).machine;
    let mut model = run(&born, &[Command::FirstPoll { open: true, accepts_data: false }]).unwrap();
    let mut tally = Tally::default();
    let mut trail = Vec::new();
    for _ in 0..steps {
        let wanted = dice.pick();
        let owner = ["anna", "ben"][usize::try_from(dice.roll(2)).unwrap()].to_owned();
        let claim = Claim { reference: owner.clone(), owner, kind: AllocationKind::Standalone };
        let force = matches!(wanted, Move::Release | Move::ReRegister) && dice.roll(4) == 0;
        let unreachable = wanted == Move::Release && dice.roll(12) == 0;
        let terms = Terms { claim, force, unreachable };
        let mut body = json!({"note": "because", "force": force, "unreachable": unreachable});
        if wanted == Move::Allocate {
            body["owner"] = json!(terms.claim.owner);
        }
        trail.push(format!("{wanted} {force} {unreachable}"));
        let context = |what: String, model: &Machine| {
            format!("machine {id}, seed {seed}, at {wanted} ({trail:?}): {what}; the model: {}", expected(model))
        };
        let plan = wanted.plan(&model, &terms);
        let path = format!("/1.0/machines/{id}/:{wanted}");
        let answer = world.daemon.read().await.call(Method::POST, &path, Some(&body)).await;
        let shown = world.settled(id).await.map_err(|e| context(e, &model))?;
        match (answer, plan) {
            (Ok(reply), Ok(_)) => {
                let silent = world.is_unanswered(&reply).await;
                let next = if silent { after_silence } else { after };
                model = next(&model, wanted, &terms).map_err(|e| context(e.to_string(), &model))?;
                tally.taken += 1;
                tally.unanswered += usize::from(silent);
            }
            (Ok(_), Err(refusal)) => return Err(context(format!("taken, but should be refused: {refusal}"), &model)),
            (Err(CenterError::Conflict(text)), Err(refusal)) if text.starts_with(&refusal.to_string()) => {
                tally.refused += 1
            }
            // The daemon died: it was done, or it was not.
            (Err(CenterError::Unreachable(_) | CenterError::NotAnEnvelope { .. }), plan) => {
                if plan.is_ok() && seen(&shown) != expected(&model) {
                    model = after(&model, wanted, &terms).map_err(|e| context(e.to_string(), &model))?;
                }
            }
            (Err(e), plan) => {
                let plan = plan.map(drop).map_err(|refusal| refusal.to_string());
                return Err(context(format!("answered {e:?} where the model says {plan:?}"), &model));
            }
        }
        if seen(&shown) != expected(&model) {
            return Err(context(format!("it is {}", seen(&shown)), &model));
        }
    }
    replay(world, id, &model).await?;
    Ok(tally)
}

/// The recorded changes lead from the birth to where the machine is, each along an edge.
async fn replay(world: &World, id: &str, model: &Machine) -> Result<(), String> {
    let history = world.get(&format!("/1.0/machines/{id}/history?limit=10000")).await;
    let mut at: Option<Lifecycle> = None;
    for entry in history.as_array().unwrap().iter().filter(|e| e["action"] == "machine.transition") {
        let state = |key: &str| entry[key].as_str().and_then(|text| text.parse::<Lifecycle>().ok());
        let (from, to) = (state("from"), state("to").ok_or("an entry without a state")?);
        if from != at || from.is_some_and(|from| find(from, to).is_none()) {
            return Err(format!("machine {id}: {entry} does not follow from {at:?}"));
        }
        at = Some(to);
    }
    if at == Some(model.lifecycle) { Ok(()) } else { Err(format!("machine {id}: its history ends in {at:?}")) }
}

/// Kills the daemon from time to time, and starts it again.
async fn kill_and_start(world: &World, site: &Site, seed: u64, machines: u64) {
    let mut dice = Dice(seed);
    loop {
        let pause = KILL.0 + dice.roll(KILL.1 - KILL.0);
        tokio::time::sleep(Duration::from_millis(pause * machines.div_ceil(MANY))).await;
        let pid = world.daemon.read().await.pid();
        kill(Pid::from_raw(pid), Signal::SIGKILL).ok();
        let mut daemon = world.daemon.write().await;
        daemon.kill();
        *daemon = site.start("a", None).await;
    }
}

async fn round(database: Database, seed: u64, steps: usize, machines: usize) -> Result<Option<Tally>, String> {
    let Some(site) = tokio::task::spawn_blocking(move || Site::new(database)).await.unwrap() else { return Ok(None) };
    let daemon = site.start("a", None).await;
    site.listen(&daemon, true).await;
    let token = site.token(&daemon, 1_000, false).await;
    let (_fleet, _events) = site.fleet(machines, "a", &token, Duration::from_millis(200)).await;
    let end = Instant::now() + STEP;
    let found = loop {
        let found = daemon.list("/1.0/machines?lifecycle=available").await.unwrap_or_default();
        if found.len() == machines {
            break found;
        }
        assert!(Instant::now() < end, "the machines are not ready:\n{}", daemon.tail());
        tokio::time::sleep(PAUSE).await;
    };
    let world = Arc::new(World { daemon: RwLock::new(daemon) });
    let mut lives = tokio::task::JoinSet::new();
    for (n, machine) in found.iter().enumerate() {
        let (world, id) = (world.clone(), machine["id"].as_str().unwrap().to_owned());
        let seed = seed.wrapping_mul(1000).wrapping_add(n as u64);
        lives.spawn(async move {
            let told = life(&world, &id, seed, steps).await;
            let Err(wrong) = told else { return told };
            let work = world.get(&format!("/1.0/operations?target={id}&limit=4")).await;
            Err(format!("{wrong}\nits last operations: {work}"))
        });
    }
    let lives = async {
        let mut sum = Tally::default();
        while let Some(told) = lives.join_next().await {
            let life = told.unwrap()?;
            sum.taken += life.taken;
            sum.refused += life.refused;
            sum.unanswered += life.unanswered;
        }
        Ok(sum)
    };
    let told: Result<Tally, String> = tokio::select! {
        told = lives => told,
        () = kill_and_start(&world, &site, seed, machines as u64) => unreachable!("it goes on"),
    };
    let daemon = world.daemon.read().await;
    let sum = told.map_err(|e| format!("{database:?}, seed {seed}: {e}\n{}", daemon.tail()))?;
    let verdict = daemon.call(Method::POST, "/1.0/audit/:verify", None).await.map_err(|e| e.to_string())?;
    if !verdict.metadata.get().contains("\"intact\":true") {
        return Err(format!("the audit is broken: {}", verdict.metadata));
    }
    Ok(Some(sum))
}

#[test]
fn whatever_is_asked_of_machines_they_are_as_the_model_says() {
    let text = std::env::var("MUSTER_LIVES").unwrap_or_else(|_| "1x25x6".into());
    let size: Vec<usize> = text.split('x').map(|part| part.parse().unwrap()).collect();
    let [rounds, steps, machines] = size[..] else { panic!("MUSTER_LIVES is <rounds>x<steps>x<machines>") };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        for n in 0..rounds {
            let seed = u64::from(std::process::id()) * 1000 + n as u64;
            let [sqlite, postgres] = DATABASES.map(|database| round(database, seed, steps, machines));
            let (sqlite, postgres) = tokio::join!(sqlite, postgres);
            for told in [sqlite, postgres] {
                if let Some(Tally { taken, refused, unanswered }) = told.unwrap_or_else(|wrong| panic!("{wrong}")) {
                    println!("seed {seed}: {taken} moves taken ({unanswered} unanswered), {refused} refused as the model says");
                    assert!(taken > 0 && refused > 0, "nothing was tried");
                    assert!(unanswered * 10 <= taken, "machines that do not answer prove nothing");
                }
            }
        }
    });
}
