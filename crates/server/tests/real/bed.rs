//! A bed of `testbed/incus/bed`: real Incus servers in network namespaces of this machine.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use nix::sched::{CloneFlags, setns};
use serde::Deserialize;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testbed/incus/bed");
/// The script's exit code for a machine on which no bed can stand.
const CANNOT: i32 = 3;

/// One real Incus server.
#[derive(Debug, Clone, Deserialize)]
pub struct Member {
    pub name: String,
    /// `ip:port` of its API.
    pub address: String,
    /// What it presents on the network; its key lies beside it.
    pub certificate: PathBuf,
    /// Its API for a trusted local user.
    pub socket: PathBuf,
    /// Where it expects the daemon of IncusOS.
    pub incusos_socket: PathBuf,
}

/// A bed, gone with this value.
pub struct Bed {
    name: String,
    netns: PathBuf,
    pub members: Vec<Member>,
}

impl Bed {
    /// A bed of its own for a test; none, told to `cargo xtask test`, where this machine cannot have one.
    pub fn up(test: &str, count: usize, incusos: bool) -> Option<Self> {
        let name = format!("{}-{}", test.replace('_', "-"), std::process::id());
        let check = run(&name, &["check"]);
        if check.status.code() == Some(CANNOT) {
            skip(said(&check).trim_start_matches("bed: ").trim());
            return None;
        }
        let (count, owner) = (count.to_string(), std::process::id().to_string());
        let mut up = vec!["up", &count, "--owner", &owner];
        if incusos {
            up.push("--incusos");
        }
        // From here on it is taken down again, whatever happens.
        let mut bed = Self { name, netns: PathBuf::new(), members: vec![] };
        bed.run(&up);
        #[derive(Deserialize)]
        struct Status {
            netns: PathBuf,
            members: Vec<Member>,
        }
        let status: Status = serde_json::from_str(&bed.run(&["status", "--json"])).unwrap();
        (bed.netns, bed.members) = (status.netns, status.members);
        Some(bed)
    }

    fn run(&self, command: &[&str]) -> String {
        let output = run(&self.name, command);
        assert!(output.status.success(), "bed {command:?}: {}", said(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// A command of the script; waits for its end without keeping others from running.
    pub async fn command(&self, command: &[&str]) {
        let name = self.name.clone();
        let given: Vec<String> = command.iter().map(|&word| word.to_owned()).collect();
        let run = move || run(&name, &given.iter().map(String::as_str).collect::<Vec<_>>());
        let output = tokio::task::spawn_blocking(run).await.unwrap();
        assert!(output.status.success(), "bed {command:?}: {}", said(&output));
    }

    /// The network in which the members are reached.
    pub fn netns(&self) -> &Path {
        &self.netns
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        let down = run(&self.name, &["down"]);
        if !down.status.success() {
            eprintln!("the bed {} is left: {}", self.name, said(&down));
        }
    }
}

/// Moves the calling thread, and the processes it starts, into a network namespace.
pub fn enter(netns: &Path) {
    setns(File::open(netns).unwrap(), CloneFlags::CLONE_NEWNET).unwrap();
}

fn run(bed: &str, command: &[&str]) -> Output {
    Command::new(SCRIPT).args(command).env("MUSTER_BED", bed).stdin(Stdio::null()).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Counts the test that runs as one that could not.
fn skip(reason: &str) {
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test");
    let ci = std::env::var("CI").is_ok_and(|v| matches!(v.as_str(), "true" | "1"));
    assert!(!ci, "{test} has to run here (CI is set): {reason}");
    eprintln!("SKIPPED {test}: {reason}");
    if let Some(file) = std::env::var_os("MUSTER_TEST_SKIPS") {
        let mut file = OpenOptions::new().append(true).open(file).unwrap();
        // In one piece: other tests write to it, too.
        file.write_all(format!("{test}: {reason}\n").as_bytes()).unwrap();
    }
}
