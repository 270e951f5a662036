//! `completion`: the scripts that have a shell ask this program what could come next, and the answers.

use crate::args::Cli;
use crate::context::Context;
use crate::error::{Error, Result};
use clap::{Args, CommandFactory};
use clap_complete::env::{CompleteEnv, Shells};
use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

/// Set by the scripts to the name of the shell that asks.
const ASKED_BY: &str = "MUSTER_COMPLETE";

/// `completion`.
#[derive(Debug, Args)]
pub(crate) struct Completion {
    /// Shell to print the script for (bash|zsh|fish|elvish|powershell)
    #[arg(value_parser = ["bash", "zsh", "fish", "elvish", "powershell"])]
    shell: String,
}

/// Runs it.
pub(crate) fn run(ctx: &Context, command: &Completion) -> Result {
    let shells = Shells::builtins();
    let unknown = || Error::Usage(format!("no completion for {:?}", command.shell));
    let shell = shells.completer(&command.shell).ok_or_else(unknown)?;
    let name = ctx.program();
    let mut script = Vec::new();
    shell
        .write_registration(ASKED_BY, name, name, &program(name), &mut script)
        .map_err(Error::io("cannot write the script"))?;
    ctx.print(&String::from_utf8_lossy(&script));
    Ok(())
}

/// How the script finds this program again: as the user did. A path is made one that holds in any directory; a link is kept,
/// its name decides how the program behaves.
fn program(name: &str) -> String {
    let called = std::env::args_os().next().unwrap_or_default();
    if !called.as_encoded_bytes().contains(&b'/') {
        return name.to_owned();
    }
    std::path::absolute(Path::new(&called)).map_or_else(|_| name.to_owned(), |path| path.to_string_lossy().into_owned())
}

/// Answers a shell that asks what could come next; none when the program was called to run a command.
pub(crate) fn answer(args: &[OsString], name: &'static str) -> Option<ExitCode> {
    std::env::var_os(ASKED_BY)?;
    let here = std::env::current_dir().ok();
    let asked = CompleteEnv::with_factory(|| Cli::command().bin_name(name)).var(ASKED_BY).bin(name);
    match asked.try_complete(args, here.as_deref()) {
        Ok(true) => Some(ExitCode::SUCCESS),
        Ok(false) => None,
        // The user is typing: a complaint would land in the middle of the line.
        Err(_) => Some(ExitCode::FAILURE),
    }
}
