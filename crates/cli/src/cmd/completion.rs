//! `completion`: scripts for shells.

use crate::context::Context;
use crate::error::Result;
use clap::{Args, CommandFactory};

/// `completion`.
#[derive(Debug, Args)]
pub(crate) struct Completion {
    /// Shell to print the script for
    shell: clap_complete::Shell,
}

/// Runs it.
pub(crate) fn run(ctx: &Context, command: &Completion) -> Result {
    let mut script = Vec::new();
    let name = if ctx.official { crate::official::NAME } else { "muster" };
    clap_complete::generate(command.shell, &mut crate::args::Cli::command(), name, &mut script);
    ctx.print(&String::from_utf8_lossy(&script));
    Ok(())
}
