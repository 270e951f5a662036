//! `cargo xtask test`: every test of the workspace, and one closing line that can be counted on.
//!
//! A test that cannot run here (no namespaces for real Incus servers) must not pass in silence: it appends a line `test: reason`
//! to the file that `MUSTER_TEST_SKIPS` names, and is counted as skipped instead of passed.

use std::fmt;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{ExitCode, Stdio};

use anyhow::{Context, Result};

use crate::{places, postgres, testbed};

/// How many tests ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    passed: usize,
    failed: usize,
    skipped: usize,
}

impl Counts {
    /// Adds what one test binary said at its end: `test result: ok. 3 passed; 0 failed; 1 ignored; …`.
    fn add(&mut self, line: &str) {
        let Some((_, counts)) = line.trim().strip_prefix("test result: ").and_then(|rest| rest.split_once(". ")) else {
            return;
        };
        for part in counts.split(';') {
            match part.trim().split_once(' ') {
                Some((n, "passed")) => self.passed += n.parse().unwrap_or(0),
                Some((n, "failed")) => self.failed += n.parse().unwrap_or(0),
                Some((n, "ignored")) => self.skipped += n.parse().unwrap_or(0),
                _ => {}
            }
        }
    }

    /// Tests that ended well for cargo, but said that they could not really run.
    fn skip(&mut self, n: usize) {
        let n = n.min(self.passed);
        self.passed -= n;
        self.skipped += n;
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

/// Runs the tests; `args` go to `cargo test` in place of `--workspace`.
pub fn run(args: &[String]) -> Result<ExitCode> {
    let missing = postgres::ensure()?;
    if !missing.is_empty() {
        eprintln!("xtask: not installed, so some tests will be skipped: {}", missing.join(", "));
    }
    if wants_bed(args)
        && let Some(reason) = testbed::install()?
    {
        eprintln!("xtask: no real Incus servers here, so some tests will be skipped: {reason}");
    }
    let skips = places::target()?.join("test-skips");
    std::fs::write(&skips, "").with_context(|| format!("cannot write {}", skips.display()))?;

    let mut cargo = places::cargo();
    cargo.args(["test", "--no-fail-fast"]);
    if args.is_empty() {
        cargo.arg("--workspace");
    }
    cargo.args(args).env("MUSTER_TEST_SKIPS", &skips).stdout(Stdio::piped());
    if let Some(bin) = postgres::programs() {
        cargo.env("MUSTER_POSTGRES_BIN", bin);
    }
    let mut child = cargo.spawn().context("cannot start cargo")?;
    let mut counts = Counts::default();
    for line in BufReader::new(child.stdout.take().context("cargo has no output")?).split(b'\n') {
        // A test may print anything; only lines of cargo's own matter to us.
        let line = String::from_utf8_lossy(&line?).into_owned();
        println!("{line}");
        counts.add(&line);
    }
    let status = child.wait()?;

    let told = skipped(&skips);
    counts.skip(told.len());
    for line in &told {
        println!("skipped: {line}");
    }
    let skips_count = counts.skipped > 0 && places::in_ci();
    if skips_count {
        println!("every test must run here (CI is set): a skipped one counts as a failure");
    }
    if !status.success() && counts.failed == 0 {
        println!("cargo test failed without a failed test: something does not build, or a test binary died");
    }
    println!("{counts}");
    Ok(if status.success() && counts.failed == 0 && !skips_count { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Whether tests that need real Incus servers may be among those asked for: they are the daemon's.
fn wants_bed(args: &[String]) -> bool {
    args.is_empty() || args.iter().any(|arg| arg == "--workspace" || arg.ends_with("muster-server"))
}

/// What tests said about themselves, each once.
fn skipped(file: &Path) -> Vec<String> {
    let mut lines: Vec<_> = std::fs::read_to_string(file).unwrap_or_default().lines().map(str::to_owned).collect();
    lines.sort();
    lines.dedup();
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_results_of_all_binaries_add_up() {
        let mut counts = Counts::default();
        for line in [
            "running 4 tests",
            "test a ... ok",
            "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 9 filtered out; finished in 0.00s",
            "test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.02s",
            "test result: nonsense",
        ] {
            counts.add(line);
        }
        assert_eq!(counts, Counts { passed: 4, failed: 2, skipped: 1 });
        assert_eq!(counts.to_string(), "4 passed, 2 failed, 1 skipped");
    }

    #[test]
    fn a_test_that_says_it_could_not_run_is_not_a_passed_one() {
        let mut counts = Counts { passed: 5, failed: 0, skipped: 1 };
        counts.skip(2);
        assert_eq!(counts, Counts { passed: 3, failed: 0, skipped: 3 });
    }
}
