//! `cargo xtask fuzz`: hostile input for everything that reads input.
//!
//! The targets are a workspace of their own (`fuzz/`), because coverage instrumentation is a flag of the compiler for all
//! that is built. libFuzzer needs nothing but these flags, and they are stable ones: neither a nightly compiler nor
//! `cargo-fuzz` is called for. No sanitizer is used: our crates forbid unsafe code.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

use crate::places;

/// What libFuzzer is guided by: which edges were taken, and what was compared with what.
const INSTRUMENTED: [&str; 5] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
];

/// Longest input in bytes; what is larger is a matter of the limits on size, which come before.
const LONGEST: usize = 8192;
/// A single input that takes longer, in seconds, is a finding.
const SLOW: u32 = 5;
/// So is one that needs more memory, in MiB.
const MEMORY: u32 = 1024;

/// Builds the targets and runs each for so many seconds; those of `names` only, if there are any. Inputs that found new
/// ways are kept under `target/`, beside what breaks a property.
pub fn run(seconds: u32, names: &[String]) -> Result<ExitCode> {
    let home = places::workspace().join("fuzz");
    let known = targets(&home)?;
    if let Some(unknown) = names.iter().find(|name| !known.contains(name)) {
        bail!("there is no target {unknown:?}; there are: {}", known.join(", "));
    }
    let work = places::target()?.join("fuzz");
    let programs = build(&home, &work)?;
    let mut broken = Vec::new();
    for name in if names.is_empty() { &known } else { names } {
        if !target(&home, &work, &programs, name, seconds)? {
            broken.push(name.as_str());
        }
    }
    if broken.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    println!("broken: {}", broken.join(", "));
    Ok(ExitCode::FAILURE)
}

/// Names of the targets: their files.
fn targets(home: &Path) -> Result<Vec<String>> {
    let folder = home.join("targets");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "rs") {
            names.extend(path.file_stem().map(|name| name.to_string_lossy().into_owned()));
        }
    }
    names.sort();
    Ok(names)
}

/// Builds all targets and gives the folder that they are in.
fn build(home: &Path, work: &Path) -> Result<PathBuf> {
    // Naming the host keeps the flags away from build scripts and macros, which run without libFuzzer.
    let host = host()?;
    let built = places::cargo()
        .current_dir(home)
        .args(["build", "--quiet", "--bins", "--target", &host])
        .env("CARGO_TARGET_DIR", work)
        .env("CARGO_ENCODED_RUSTFLAGS", INSTRUMENTED.join("\x1f"))
        .status()
        .context("cannot start cargo")?;
    if !built.success() {
        bail!("the fuzz targets do not build");
    }
    Ok(work.join(host).join("debug"))
}

fn host() -> Result<String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let out = Command::new(rustc).arg("-vV").output().context("cannot start rustc")?;
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    text.lines().find_map(|line| line.strip_prefix("host: ")).map(str::to_owned).context("rustc does not say its host")
}

/// Runs one target and says whether all of its properties held.
fn target(home: &Path, work: &Path, programs: &Path, name: &str, seconds: u32) -> Result<bool> {
    let (found, findings) = (work.join("corpus").join(name), work.join("findings").join(name));
    for folder in [&found, &findings] {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    let log = work.join(format!("{name}.log"));
    let file = std::fs::File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
    let mut program = Command::new(programs.join(name));
    program
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-max_len={LONGEST}"))
        .arg(format!("-timeout={SLOW}"))
        .arg(format!("-rss_limit_mb={MEMORY}"))
        .arg(format!("-artifact_prefix={}/", findings.display()))
        .arg("-print_final_stats=1");
    let words = home.join("dictionaries").join(format!("{name}.dict"));
    if words.is_file() {
        program.arg(format!("-dict={}", words.display()));
    }
    // New inputs go to the first folder; the committed ones are only read.
    program.arg(&found).arg(home.join("corpus").join(name)).stderr(file);
    let ended = program.status().with_context(|| format!("cannot start the target {name}"))?;
    let text = std::fs::read(&log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    match executions(&text) {
        Some(executions) if ended.success() => {
            println!("{name}: {executions} executions in {seconds} s, nothing found");
            Ok(true)
        }
        _ => {
            println!("{name}: {ended}; all of it is in {}", log.display());
            match finding(&text) {
                (Some(why), Some(input)) => println!("{why}\nagain: {} {input}", programs.join(name).display()),
                _ => println!("{}", crate::process::tail(&log)),
            }
            Ok(false)
        }
    }
}

/// How often a target ran, from the last lines of libFuzzer.
fn executions(log: &str) -> Option<u64> {
    log.lines().rev().find_map(|line| line.strip_prefix("stat::number_of_executed_units:")?.trim().parse().ok())
}

/// What broke, and the file of the input that broke it.
fn finding(log: &str) -> (Option<String>, Option<&str>) {
    let start = ["panicked at ", "ERROR: libFuzzer: "].iter().find_map(|mark| log.find(mark));
    let why = start.map(|start| {
        let lines =
            log[start..].lines().take_while(|line| !line.starts_with("stack backtrace") && !line.starts_with("note: "));
        lines.take(20).map(|line| format!("  {}\n", line.chars().take(400).collect::<String>())).collect::<String>()
    });
    let input = log.rsplit_once("Test unit written to ").and_then(|(_, rest)| rest.lines().next());
    (why.map(|why| why.trim_end().to_owned()), input)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_target_has_a_corpus_and_a_program() {
        let home = places::workspace().join("fuzz");
        let manifest = std::fs::read_to_string(home.join("Cargo.toml")).unwrap();
        let names = targets(&home).unwrap();
        assert!(!names.is_empty());
        for name in names {
            assert!(manifest.contains(&format!("path = \"targets/{name}.rs\"")), "{name}");
            let inputs = std::fs::read_dir(home.join("corpus").join(&name)).unwrap();
            assert!(inputs.count() > 0, "{name}");
        }
    }

    #[test]
    fn the_executions_are_read_from_the_end() {
        let log = "INFO: Seed: 1\n#2\tINITED\nDone 70 runs in 1 second(s)\nstat::number_of_executed_units: 70\nstat::peak_rss_mb:  41\n";
        assert_eq!(executions(log), Some(70));
        assert_eq!(executions("==7== ERROR: libFuzzer: deadly signal\n"), None);
    }

    #[test]
    fn a_finding_is_told_by_its_cause_and_its_input() {
        let log = "#7 NEW\nthread 'x' panicked at targets/expr.rs:63:23:\nfalse(name): unexpected token\n | false(name)\nstack backtrace:\n 0: x\n\
            ==1== ERROR: libFuzzer: deadly signal\nartifact_prefix='f/'; Test unit written to f/crash-07\nBase64: eA==\n";
        let (why, input) = finding(log);
        assert_eq!(
            why.as_deref(),
            Some("  panicked at targets/expr.rs:63:23:\n  false(name): unexpected token\n   | false(name)")
        );
        assert_eq!(input, Some("f/crash-07"));
        let slow = "==2== ERROR: libFuzzer: timeout after 5 seconds\nTest unit written to f/timeout-9\n";
        assert_eq!(finding(slow).1, Some("f/timeout-9"));
        assert!(finding(slow).0.is_some_and(|why| why.contains("timeout after 5 seconds")));
        assert_eq!(finding("killed"), (None, None));
    }
}
