//! The project's own commands: `cargo xtask test | golden | demo | bench | fuzz | check-deps`.
//!
//! Whatever a contributor or the checks of a change have to do more than once is a command here, so that
//! both do the same. It uses nothing of the workspace's crates: it starts their binaries.

mod bench;
mod checks;
mod daemon;
mod demo;
mod fuzz;
mod golden;
mod http;
mod life;
mod places;
mod postgres;
mod process;
mod source;
mod test;
mod testbed;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The project's own commands.
#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run every test, on SQLite and on PostgreSQL, and end with the counts
    Test {
        /// Passed on to `cargo test`, instead of `--workspace`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Ask a fresh daemon what the recorded exchanges ask, and compare the answers
    Golden {
        /// Names of scenarios; without any, those that the checks of each change run
        scenarios: Vec<String>,
    },
    /// Start a fresh daemon for one scenario and print how to reach it
    #[command(hide = true)]
    GoldenUp,
    /// End the daemon of one scenario
    #[command(hide = true)]
    GoldenDown,
    /// Start a daemon with a simulated fleet and say what to try
    Demo {
        /// Instead of staying: wait until every server is ready, reboot one, say so and end
        #[arg(long)]
        check: bool,
        /// How many servers to simulate
        #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        count: u32,
    },
    /// Measure an optimised daemon against the floor: three minutes at most, on the loopback
    Bench {
        /// Passed on to `muster-bench`, for example `--watch 1000`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Feed hostile input to what reads input, and check what must hold of the results
    Fuzz {
        /// How long each target runs, in seconds
        #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..))]
        seconds: u32,
        /// Names of targets; all without any
        targets: Vec<String>,
    },
    /// Check which crates may use which, what must not be in the tree, and licences
    CheckDeps,
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Test { args } => test::run(&args),
        Command::Golden { scenarios } => golden::run(&scenarios),
        Command::GoldenUp => golden::up(),
        Command::GoldenDown => golden::down(),
        Command::Demo { check, count } => demo::run(count, check),
        Command::Bench { args } => bench::run(&args),
        Command::Fuzz { seconds, targets } => fuzz::run(seconds, &targets),
        Command::CheckDeps => checks::run(),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
