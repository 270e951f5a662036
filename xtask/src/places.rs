//! Where things are: the workspace, the binaries that cargo built, and cargo itself.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// The folder of the workspace.
pub fn workspace() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own).to_path_buf()
}

/// The folder that cargo put this very program in, usually `target/debug`. The daemon and the simulator are
/// built with the same profile, so they stand beside it, wherever `CARGO_TARGET_DIR` points.
pub fn binaries() -> Result<PathBuf> {
    let own = std::env::current_exe().context("cannot find out where this program is")?;
    Ok(own.parent().context("this program has no folder")?.to_path_buf())
}

/// The folder for what may be thrown away, usually `target`.
pub fn target() -> Result<PathBuf> {
    let binaries = binaries()?;
    Ok(binaries.parent().unwrap_or(&binaries).to_path_buf())
}

/// The cargo that runs us, in the workspace's folder.
pub fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(workspace());
    cargo
}

/// Builds the workspace's binaries. This program is left out: replacing it while it runs would change the
/// path that `binaries` starts from.
pub fn build() -> Result<()> {
    let built = cargo().args(["build", "--quiet", "--workspace", "--exclude", "xtask", "--bins"]).status()?;
    if !built.success() {
        bail!("the binaries do not build");
    }
    Ok(())
}

/// Whether the checks of a change run this, and not a person.
pub fn in_ci() -> bool {
    std::env::var("CI").is_ok_and(|v| matches!(v.as_str(), "true" | "1"))
}
