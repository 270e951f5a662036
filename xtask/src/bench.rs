//! `cargo xtask bench`: what the daemon costs, against the floor in the same run.
//!
//! The measuring itself is `muster-bench`, which brings machines and clients with it. Here it is built, with the
//! daemon, as both are shipped, and ended if it does not end by itself.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::places;
use crate::process::{self, PAUSE};

/// `muster-bench` ends itself before that.
const WITHIN: Duration = Duration::from_secs(190);

/// Builds both programs for release and measures.
pub fn run(args: &[String]) -> Result<ExitCode> {
    let selection = ["-p", "muster-server", "--bin", "musterd", "-p", "muster-sim", "--bin", "muster-bench"];
    if !places::cargo().args(["build", "--release"]).args(selection).status()?.success() {
        bail!("the programs do not build");
    }
    let program = places::target()?.join("release/muster-bench");
    let interrupt = process::Interrupt::listen()?;
    let mut child = std::process::Command::new(&program)
        .args(args)
        .spawn()
        .with_context(|| format!("cannot start {}", program.display()))?;
    let end = Instant::now() + WITHIN;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        if interrupt.asked() || Instant::now() > end {
            // Politely, so that it ends the daemon and removes its folder.
            process::stop(child.id())?;
            child.wait()?;
            bail!("ended before it was done");
        }
        std::thread::sleep(PAUSE);
    }
}
