//! What the tests need beside cargo: the PostgreSQL server's programs, `openssl` and `python3`.
//!
//! Tests start a throw-away PostgreSQL of their own on a unix socket; here we only see to it that the programs
//! are there. Where that is allowed (root, and apt-get exists) the distribution's packages are installed.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Result, bail};

/// Where Debian and its children tell the package not to make a cluster of its own when it is installed.
const NO_CLUSTER: &str = "/etc/postgresql-common/createcluster.conf";

/// A program that tests run, and the package that brings it.
const TOOLS: [(&str, &str); 2] = [("openssl", "openssl"), ("python3", "python3")];

/// Packages that are missing, after trying to install them: empty when every test can run.
pub fn ensure() -> Result<Vec<&'static str>> {
    let missing = missing();
    if missing.is_empty() || !may_install() {
        return Ok(missing);
    }
    println!("installing {}", missing.join(", "));
    if missing.contains(&"postgresql") && !PathBuf::from(NO_CLUSTER).exists() {
        std::fs::create_dir_all("/etc/postgresql-common")?;
        std::fs::write(NO_CLUSTER, "# Tests start a PostgreSQL of their own.\ncreate_main_cluster = false\n")?;
    }
    apt(&["update", "-q"])?;
    apt(&[&["install", "-qy", "--no-install-recommends"], missing.as_slice()].concat())?;
    Ok(self::missing())
}

/// The folder of the newest PostgreSQL server's programs (`initdb`, `postgres`). Distributions keep them out of
/// the `PATH`, beside those of other versions.
pub fn programs() -> Option<PathBuf> {
    if let Some(given) = std::env::var_os("MUSTER_POSTGRES_BIN").map(PathBuf::from) {
        return given.join("initdb").exists().then_some(given);
    }
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let packaged = versions.filter_map(|entry| {
        let version: u32 = entry.file_name().to_str()?.parse().ok()?;
        let bin = entry.path().join("bin");
        bin.join("initdb").exists().then_some((version, bin))
    });
    packaged.max().map(|(_, bin)| bin).or_else(|| {
        let path = std::env::var_os("PATH")?;
        std::env::split_paths(&path).find(|dir| dir.join("initdb").exists())
    })
}

fn missing() -> Vec<&'static str> {
    let mut missing: Vec<_> = TOOLS.iter().filter(|(program, _)| !runs(program)).map(|(_, package)| *package).collect();
    if programs().is_none() {
        missing.push("postgresql");
    }
    missing
}

fn runs(program: &str) -> bool {
    let found = Command::new("sh").args(["-c", &format!("command -v {program}")]).stdout(Stdio::null()).status();
    found.is_ok_and(|status| status.success())
}

fn may_install() -> bool {
    let id = Command::new("id").arg("-u").output();
    id.is_ok_and(|out| out.stdout.trim_ascii() == b"0") && runs("apt-get")
}

fn apt(args: &[&str]) -> Result<()> {
    let done =
        Command::new("apt-get").args(args).env("DEBIAN_FRONTEND", "noninteractive").stdout(Stdio::null()).status()?;
    if !done.success() {
        bail!("apt-get {} failed", args.join(" "));
    }
    Ok(())
}
