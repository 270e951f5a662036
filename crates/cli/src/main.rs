//! The command line of the operations center.

fn main() -> std::process::ExitCode {
    muster_cli::run(std::env::args_os())
}
