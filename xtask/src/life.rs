//! The demo's machines go through their lives, by the command line that an operator has: afterwards there is one in each of
//! the ten states.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::{daemon, http, places};

/// So many servers are needed.
pub const SERVERS: u32 = 8;

const STATES: [&str; 10] = [
    "registering",
    "unavailable",
    "available",
    "available_reserved",
    "used",
    "used_registering",
    "cleaning",
    "defective",
    "decommissioned",
    "removed_from_rack",
];

/// What is done, one line each. Those that begin work wait for its end.
const LINES: [&str; 22] = [
    // Add and use.
    "server system update sim-0002 --wait",
    "server system reboot sim-0002 --wait",
    "machine allocate sim-0002 --owner anna --for web --wait",
    // What is in use is registered again in place.
    "machine re-register sim-0002 --wait",
    // Release and reuse; then one that does not come back.
    "server system update sim-0003 --wait",
    "server system reboot sim-0003 --wait",
    "machine allocate sim-0003 --owner ben --for mail --wait",
    "machine release sim-0003 --yes --wait --note over",
    "machine wait sim-0003 available --timeout 60s",
    "server system update sim-0003 --wait",
    "server system reboot sim-0003 --wait",
    "machine allocate sim-0003 --owner dora --for build --wait",
    "machine release sim-0003 --yes --unreachable --note burnt",
    "machine set-unavailable sim-0004",
    // Fault and repair, and another fault.
    "machine set-defective sim-0005 --note fan",
    "machine set-available sim-0005 --note repaired",
    "machine set-defective sim-0005 --note fan-again",
    // Off the rack, and out of the books.
    "machine remove-from-rack sim-0006 --yes",
    "machine set-unavailable sim-0007",
    "machine decommission sim-0007 --yes --note sold",
    // On their way.
    "machine add --uuid demo-1 --rack r7 --units 3-4 --note ordered",
    "machine add --uuid demo-2 --adopt carol",
];

/// Walks them all, and says what it does.
pub fn walk(dir: &Path) -> Result<()> {
    let socket = daemon::socket(dir);
    let fleet = Fleet::look(&socket)?;
    for line in LINES {
        let mut words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let server = words[0] == "server";
        if let Some(name) = words.iter_mut().find(|word| word.starts_with("sim-")) {
            *name = if server { fleet.server(&socket, name)? } else { fleet.machine(name)? };
        }
        muster(&socket, line, &words)?;
    }
    let body = json!({"holder": "carol", "machine": fleet.machine("sim-0008")?, "description": "kept for carol"});
    http::ask(&socket, "POST", "/1.0/subscriptions", Some(&body))?;
    let all = http::ask(&socket, "GET", "/1.0/machines?all=true", None)?.metadata;
    let states: Vec<&str> = all.as_array().into_iter().flatten().filter_map(|m| m["lifecycle"].as_str()).collect();
    let missing: Vec<&str> = STATES.into_iter().filter(|state| !states.contains(state)).collect();
    if !missing.is_empty() {
        bail!("no machine is {}: {states:?}", missing.join(", "));
    }
    println!("demo: there is a machine in each of the ten states");
    Ok(())
}

/// The machines by the names that their servers had at first: a name goes with the operating system.
struct Fleet(Vec<(String, String)>);

impl Fleet {
    fn look(socket: &Path) -> Result<Self> {
        let all = http::ask(socket, "GET", "/1.0/machines", None)?.metadata;
        let pair = |m: &Value| Some((m["server"].as_str()?.to_owned(), m["id"].as_str()?.to_owned()));
        Ok(Self(all.as_array().into_iter().flatten().filter_map(pair).collect()))
    }

    fn machine(&self, name: &str) -> Result<String> {
        let found = self.0.iter().find(|(server, _)| server == name);
        Ok(found.with_context(|| format!("there is no server {name}"))?.1.clone())
    }

    /// The server that is on the machine now.
    fn server(&self, socket: &Path, name: &str) -> Result<String> {
        let machine = http::ask(socket, "GET", &format!("/1.0/machines/{}", self.machine(name)?), None)?.metadata;
        let server = machine["server"].as_str().filter(|server| !server.is_empty());
        Ok(server.with_context(|| format!("there is no server on the machine of {name}"))?.to_owned())
    }
}

fn muster(socket: &Path, line: &str, words: &[String]) -> Result<()> {
    println!("demo: $ muster {line}");
    let program: PathBuf = places::binaries()?.join("muster");
    let output = Command::new(&program)
        .args(words)
        .arg("--force-local")
        .env("OPERATIONS_CENTER_SOCKET", socket)
        .output()
        .with_context(|| format!("cannot run {}", program.display()))?;
    if !output.status.success() {
        bail!("muster {line}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}
