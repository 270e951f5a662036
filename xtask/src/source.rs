//! The demo's update source, and what the daemon makes of it: two channels, and a fleet that is due for an update.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::process::{self, Guard, PAUSE};
use crate::{daemon, http, places};

/// What the fleet is installed with, what its channel offers, and what waits in the other channel.
const VERSIONS: [&str; 3] = ["202511010000", "202512010000", "202512150000"];
/// The version that the fleet is due for.
pub const OFFERED: &str = VERSIONS[1];
/// The channel that nobody follows yet.
const TESTING: &str = "testing";
const UPDATES: &str = "/1.0/provisioning/updates";
/// How long the source may take to begin.
const START: Duration = Duration::from_secs(30);

/// Starts the source, and has the daemon in `dir` take its updates in.
pub fn start(dir: &Path) -> Result<Guard> {
    let (folder, log) = (dir.join("source"), dir.join("muster-source.log"));
    let mut source = Command::new(places::binaries()?.join("muster-source"));
    source.arg("--directory").arg(&folder).arg(format!("{}=critical", VERSIONS[2])).args([VERSIONS[1], VERSIONS[0]]);
    let mut guard = Guard::new("muster-source", process::start(&mut source, &log)?, log.clone());
    let begin = Instant::now();
    let url = loop {
        let said = std::fs::read_to_string(&log).unwrap_or_default();
        if let Some(url) = said.lines().find(|line| line.starts_with("http://")) {
            break url.to_owned();
        }
        guard.check()?;
        if begin.elapsed() > START {
            bail!("the update source did not begin within {} s; it said:\n{said}", START.as_secs());
        }
        std::thread::sleep(PAUSE);
    };
    let root = std::fs::read_to_string(folder.join("root.pem")).context("the update source has no certificate")?;
    let socket = daemon::socket(dir);
    let ask = |method: &str, path: &str, body: Option<&Value>| http::ask(&socket, method, path, body);
    let testing = json!({"name": TESTING, "description": "Before everybody has it"});
    ask("POST", "/1.0/provisioning/channels", Some(&testing))?;
    ask("PUT", "/1.0/system/updates", Some(&json!({"source": url, "signature_verification_root_ca": root})))?;
    ask("POST", &format!("{UPDATES}/:refresh?wait=true"), None)?;
    let updates = ask("GET", &format!("{UPDATES}?recursion=1"), None)?.metadata;
    let updates = updates.as_array().context("the daemon's list of updates is no list")?;
    if updates.len() != VERSIONS.len() {
        bail!("the daemon has {} updates of {}", updates.len(), VERSIONS.len());
    }
    for update in updates {
        let channels = if update["version"] == VERSIONS[2] { json!([TESTING]) } else { json!(["stable", TESTING]) };
        let uuid = update["uuid"].as_str().context("an update has no UUID")?;
        ask("PUT", &format!("{UPDATES}/{uuid}"), Some(&json!({"channels": channels})))?;
    }
    Ok(guard)
}
