//! `muster`, the command line of the operations center. Called through a link named `operations-center` it behaves as
//! the official one where the two differ (cli.md 11.14).

mod args;
mod clock;
mod cmd;
mod config;
mod context;
mod disk;
mod document;
mod edit;
mod error;
mod follow;
mod image;
mod names;
mod natural;
mod official;
mod output;
mod probe;
mod progress;
mod remote;
mod resume;
mod table;
mod text;
mod transfer;
mod yaml;

use args::{Cli, Global};
use clap::{CommandFactory, FromArgMatches};
use std::ffi::OsString;
use std::process::ExitCode;

/// Runs the program on its arguments, the first of which is its own name.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    let official = official::is_official(args.first());
    let name = if official { official::NAME } else { "muster" };
    if let Some(code) = cmd::completion::answer(&args, name) {
        return code;
    }
    let parsed = Cli::command().bin_name(name).try_get_matches_from(&args).and_then(|m| Cli::from_arg_matches(&m));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => return ExitCode::from(official::refuse(&error, &args, official)),
    };
    log(cli.global);
    let context = context::Context { official, force_local: cli.global.force_local, quiet: cli.global.quiet };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(cmd::run(&context, cli.command)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(if official { 1 } else { error.exit_code() })
        }
    }
}

/// The log goes to standard error; warnings only unless asked for more.
fn log(global: Global) {
    use tracing_subscriber::filter::LevelFilter;
    let level = match (global.debug, global.verbose) {
        (true, true) => LevelFilter::TRACE,
        (true, false) => LevelFilter::DEBUG,
        (false, true) if !global.quiet => LevelFilter::INFO,
        _ => LevelFilter::WARN,
    };
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_max_level(level).init();
}
