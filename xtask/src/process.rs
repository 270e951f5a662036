//! Child processes that never outlive us, and processes of which we only know the number.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

/// How long a process gets to end by itself before it is killed.
const GRACE: Duration = Duration::from_secs(10);

/// How often something that is waited for is looked at.
pub const PAUSE: Duration = Duration::from_millis(20);

/// Starts a program without a terminal, its output in a file, in a process group of its own: a Ctrl-C reaches
/// us alone, and we end the programs in the right order.
pub fn start(command: &mut Command, log: &Path) -> Result<Child> {
    let out = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
    let err = out.try_clone()?;
    let name = command.get_program().to_string_lossy().into_owned();
    command.stdin(Stdio::null()).stdout(out).stderr(err).process_group(0);
    command.spawn().with_context(|| format!("cannot start {name}"))
}

/// A child that is ended when this goes out of scope, and its log.
pub struct Guard {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Guard {
    /// Takes over a child that was started with `start`.
    pub fn new(name: &'static str, child: Child, log: PathBuf) -> Self {
        Self { name, child, log }
    }

    /// Fails, with the end of its log, if the child has ended by itself.
    pub fn check(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("{} ended by itself ({status}); its last lines:\n{}", self.name, tail(&self.log)),
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // Two programs that ignore the signal would keep a person waiting: a failure here has no better end.
        signal("TERM", self.child.id());
        let end = Instant::now() + GRACE;
        while Instant::now() < end {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(PAUSE);
        }
        eprintln!("xtask: {} did not end within {} s and is killed", self.name, GRACE.as_secs());
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// The last lines of a log, indented.
pub fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let last = &lines[lines.len().saturating_sub(15)..];
    if last.is_empty() {
        return "  (it said nothing)".to_owned();
    }
    last.iter().map(|line| format!("  {line}\n")).collect::<String>().trim_end().to_owned()
}

/// Ends a process that is not our child, first politely.
pub fn stop(pid: u32) -> Result<()> {
    for name in ["TERM", "KILL"] {
        signal(name, pid);
        let end = Instant::now() + GRACE;
        while Instant::now() < end {
            if !alive(pid) {
                return Ok(());
            }
            std::thread::sleep(PAUSE);
        }
    }
    bail!("process {pid} does not end")
}

/// Sends a signal. The shell's own `kill` is everywhere, also where the package of the program is not.
fn signal(name: &str, pid: u32) {
    Command::new("sh").args(["-c", &format!("kill -{name} {pid}")]).stderr(Stdio::null()).status().ok();
}

/// Whether a process runs. One that has ended but was not waited for by its parent (an init that does not do
/// that is common in containers) counts as gone.
pub fn alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The state follows the name, which is in brackets and may contain anything.
    let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    matches!(state, Some(state) if state != 'Z' && state != 'X')
}

/// Set by the first signal that asks us to end, so that what was started is ended too.
#[derive(Clone)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// From here on SIGINT, SIGTERM and SIGHUP are noted instead of ending us.
    pub fn listen() -> Result<Self> {
        let flag = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            signal_hook::flag::register(signal, Arc::clone(&flag)).context("cannot listen for signals")?;
        }
        Ok(Self(flag))
    }

    /// Whether we were asked to end.
    pub fn asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_seen_and_ended() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        assert!(alive(child.id()));
        // Not waited for yet, so the kernel keeps it as a zombie: that must count as gone.
        stop(child.id()).unwrap();
        assert!(!alive(child.id()));
        assert!(!child.wait().unwrap().success());
    }

    #[test]
    fn a_guard_ends_its_child_and_tells_why_one_ended() {
        let dir = std::env::temp_dir();
        let log = dir.join(format!("xtask-guard-{}.log", std::process::id()));
        let child = start(Command::new("sleep").arg("60"), &log).unwrap();
        let pid = child.id();
        let mut guard = Guard::new("sleep", child, log.clone());
        guard.check().unwrap();
        drop(guard);
        assert!(!alive(pid));

        let mut child = start(Command::new("sh").args(["-c", "echo no port is free; exit 3"]), &log).unwrap();
        child.wait().unwrap();
        let error = Guard::new("sh", child, log.clone()).check().unwrap_err().to_string();
        std::fs::remove_file(log).unwrap();
        assert!(error.contains("no port is free") && error.contains('3'), "{error}");
    }
}
