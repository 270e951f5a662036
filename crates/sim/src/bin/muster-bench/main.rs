//! `muster-bench`: what the daemon costs, measured against the floor in the same run. `cargo xtask bench` builds and starts it.
//!
//! Everything is on the loopback and ends by itself. Clients and simulated machines share the processor with the daemon, so
//! times are those of a machine that does both sides' work; the daemon's own share is read from `/proc`.

mod burst;
mod daemon;
mod floor;
mod images;
mod list;
mod machines;
mod plain;
mod refresh;
mod register;
mod updates;
mod watch;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};
use daemon::{Daemon, Folder};
use tokio::signal::unix::{SignalKind, signal};

/// Whatever goes wrong ends the run.
type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Starts of the daemon of which the median counts.
const STARTS: usize = 9;

/// Measures registration, listing, watching and starting of a daemon, and prints tables.
#[derive(Debug, Parser)]
#[command(name = "muster-bench", version)]
struct Arguments {
    /// The daemon's program; without it the one beside this program
    #[arg(long, value_name = "FILE")]
    musterd: Option<PathBuf>,

    /// Sizes of the simulated fleets that are watched
    #[arg(long, value_delimiter = ',', default_values_t = [1000, 3000])]
    watch: Vec<usize>,

    /// How long a plain round takes, in seconds
    #[arg(long, default_value_t = 15)]
    window: u64,

    /// The whole run takes no longer, in seconds
    #[arg(long, default_value_t = 175)]
    within: u64,

    /// What to measure; without it everything. Lists are of the first fleet that is watched
    #[arg(long, value_delimiter = ',', value_name = "PART")]
    only: Vec<Part>,

    /// Be the plain file server of these files, with the keys of a daemon in `--plain-keys`
    #[arg(long, hide = true, requires = "plain_keys")]
    plain_files: Option<PathBuf>,

    #[arg(long, hide = true)]
    plain_keys: Option<PathBuf>,
}

/// One part of the measuring. A new one gets a module, a line here and one in [`run`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    Start,
    Register,
    Updates,
    Refresh,
    Machines,
    Watch,
    Lists,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // Best effort: a small fleet needs few.
    let _ = muster_sim::raise_open_files();
    let within = Duration::from_secs(arguments.within);
    let done = tokio::runtime::Runtime::new().map_err(Into::into).and_then(|runtime| {
        let done = runtime.block_on(async {
            tokio::select! {
                done = tokio::time::timeout(within, run(arguments)) => done,
                asked = asked() => Ok(asked.and(Err("interrupted".into()))),
            }
        });
        // Whatever still hangs on purpose is not waited for.
        runtime.shutdown_background();
        done.unwrap_or_else(|_| Err(format!("not done within {} s", within.as_secs()).into()))
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("Error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Until somebody wants us to end: then the daemon and its folder go with us.
async fn asked() -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        done = tokio::signal::ctrl_c() => Ok(done?),
        _ = terminate.recv() => Ok(()),
    }
}

async fn run(arguments: Arguments) -> Result<()> {
    if let (Some(files), Some(keys)) = (arguments.plain_files, &arguments.plain_keys) {
        return plain::serve(keys, files).await;
    }
    let program = match arguments.musterd {
        Some(program) => program,
        None => std::env::current_exe()?.with_file_name("musterd"),
    };
    let began = Instant::now();
    // Others on the machine make every figure worse: whoever reads them must know.
    let busy = || std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    println!("{cores} cores, load before: {}", busy());
    let wanted = |part| arguments.only.is_empty() || arguments.only.contains(&part);
    if wanted(Part::Start) {
        start(&program).await?;
    }
    if wanted(Part::Register) {
        register::run(&program).await?;
    }
    if wanted(Part::Updates) {
        updates::run(&program).await?;
    }
    if wanted(Part::Refresh) {
        refresh::run(&program).await?;
    }
    if wanted(Part::Machines) {
        machines::run(&program).await?;
    }
    let (watch, mut lists) = (wanted(Part::Watch), wanted(Part::Lists));
    for count in arguments.watch.into_iter().filter(|_| watch) {
        let folder = Folder::new()?;
        let daemon = watch::run(&program, &folder, count, Duration::from_secs(arguments.window)).await?;
        if std::mem::take(&mut lists) {
            list::run(&program, daemon, &folder, count).await?;
        } else {
            daemon.stop().await?;
        }
    }
    println!("\nthe whole run: {:.0} s; load after: {}", began.elapsed().as_secs_f64(), busy());
    Ok(())
}

/// How long a start takes, the first one (which makes keys and tables) apart, and what the daemon then occupies.
async fn start(program: &std::path::Path) -> Result<()> {
    let folder = Folder::new()?;
    let (daemon, first) = Daemon::start(program, &folder, true).await?;
    daemon.stop().await?;
    let mut times = Vec::new();
    for _ in 0..STARTS {
        let (daemon, time) = Daemon::start(program, &folder, true).await?;
        times.push(time);
        daemon.stop().await?;
    }
    times.sort();
    let (daemon, _) = Daemon::start(program, &folder, true).await?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let memory = daemon.memory()?;
    println!(
        "## Start\n\n| first start | later starts, median of {STARTS} | slowest | idle memory |\n|---|---|---|---|"
    );
    println!(
        "| {:.1} ms | {:.1} ms | {:.1} ms | {:.1} MiB |",
        millis(first),
        millis(times[STARTS / 2]),
        millis(times[STARTS - 1]),
        memory.resident_mib
    );
    daemon.stop().await
}

/// A duration in milliseconds.
fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
