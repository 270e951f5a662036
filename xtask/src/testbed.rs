//! The bed of real Incus servers, `testbed/incus/bed`: set up where that is allowed, and stood up for a while.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::places;

/// The script's exit code for a machine on which no bed can stand.
const CANNOT: i32 = 3;

fn script() -> PathBuf {
    places::workspace().join("testbed/incus/bed")
}

/// Sees to it that a bed can stand here, which takes a minute the first time; or says why none can.
pub fn install() -> Result<Option<String>> {
    let mut child = Command::new(script()).arg("install").stderr(Stdio::piped()).spawn().context("cannot run bash")?;
    let mut last = String::new();
    for line in BufReader::new(child.stderr.take().context("the bed has no output")?).lines() {
        last = line?;
        eprintln!("{last}");
    }
    let status = child.wait()?;
    match status.code() {
        Some(0) => Ok(None),
        Some(CANNOT) => Ok(Some(last.trim_start_matches("bed: ").to_owned())),
        _ => bail!("the bed of Incus servers cannot be installed: {status}"),
    }
}

/// A bed of servers that take themselves for IncusOS, gone with this value.
pub struct Bed {
    name: String,
}

impl Bed {
    /// Stands one up with so many members.
    pub fn up(members: usize) -> Result<Self> {
        let owner = std::process::id().to_string();
        let bed = Self { name: format!("xtask-{owner}") };
        bed.run(&["up", &members.to_string(), "--incusos", "--owner", &owner])?;
        Ok(bed)
    }

    /// What there is, in JSON.
    pub fn status(&self) -> Result<String> {
        self.run(&["status", "--json"])
    }

    /// A command that runs `program` in the network from which the members are reached.
    pub fn inside(&self, program: &str) -> Command {
        let mut command = Command::new(script());
        command.args(["exec", "net", program]).env("MUSTER_BED", &self.name);
        command
    }

    fn run(&self, command: &[&str]) -> Result<String> {
        let out = Command::new(script()).args(command).env("MUSTER_BED", &self.name).stdin(Stdio::null()).output()?;
        if !out.status.success() {
            bail!("bed {}: {}", command.join(" "), String::from_utf8_lossy(&out.stderr).trim());
        }
        String::from_utf8(out.stdout).context("the bed's answer is not text")
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        if let Err(error) = self.run(&["down"]) {
            eprintln!("xtask: {error:#}");
        }
    }
}
