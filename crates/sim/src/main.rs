//! `muster-sim`: a fleet in a box, from the command line.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use clap::Parser;
use muster_sim::fault::FaultCount;
use muster_sim::parts::AlterationCount;
use muster_sim::{Bind, CenterOptions, Fleet, FleetOptions};
use tokio::sync::broadcast::error::RecvError;

/// Simulated IncusOS servers that register with a center and behave until Ctrl-C.
///
/// Prints one line per event.
#[derive(Debug, Parser)]
#[command(name = "muster-sim", version)]
struct Arguments {
    /// The center, https://host:port
    #[arg(long)]
    center: String,

    /// Certificate of the center in PEM; without it the system's authorities decide
    #[arg(long, value_name = "FILE")]
    center_certificate: Option<PathBuf>,

    /// Token to register with
    #[arg(long)]
    token: uuid::Uuid,

    /// Number of machines
    #[arg(long, default_value_t = 10)]
    count: usize,

    /// Decides hardware, addresses, and who is hit by faults
    #[arg(long, default_value_t = 1)]
    seed: u64,

    /// A fault and how many machines have it: hang, refuse, slow, wrong-certificate, garbage, half-answer,
    /// reboot-never-returns, clock-skew
    #[arg(long = "fault", value_name = "FAULT=COUNT")]
    faults: Vec<FaultCount>,

    /// What is changed in how many machines when they are reset: other-disk, fewer-disks, more-memory, other-card,
    /// other-board, foreign-serial
    #[arg(long = "at-reset", value_name = "ALTERATION=COUNT")]
    at_reset: Vec<AlterationCount>,

    /// Put all machines on 127.0.0.1, each on a port of its own, instead of on addresses of their own in 127.64.0.0/10
    #[arg(long)]
    ports: bool,

    /// Put all machines behind one listener, so that thousands of them need few descriptors; one that is off then resets
    /// connections instead of refusing them
    #[arg(long, conflicts_with = "ports")]
    one_listener: bool,

    /// Port of machines with addresses of their own
    #[arg(long, default_value_t = 8443)]
    port: u16,

    /// Version the machines are installed with
    #[arg(long, default_value = "202511010000")]
    os_version: String,

    /// Version that the machines find when they are told to look for an update
    #[arg(long)]
    available: Option<String>,

    /// Switch the machines on evenly over this many seconds
    #[arg(long, default_value_t = 0)]
    spread: u64,
}

fn main() -> ExitCode {
    tracing_subscriber::fmt().with_env_filter(tracing_subscriber::EnvFilter::from_default_env()).init();
    if let Err(error) = muster_sim::raise_open_files() {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("Error: {error}");
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the edge: the fleet's clock begins here")]
fn run(arguments: Arguments) -> Result<(), Box<dyn std::error::Error>> {
    let certificate_pem = match &arguments.center_certificate {
        Some(path) => Some(std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?),
        None => None,
    };
    let mut options = FleetOptions::new(arguments.count, arguments.seed, SystemTime::now());
    options.bind = match (arguments.ports, arguments.one_listener) {
        (true, _) => Bind::Ports,
        (false, true) => Bind::Shared { port: arguments.port },
        (false, false) => Bind::Addresses { port: arguments.port },
    };
    options.faults = arguments.faults;
    options.at_reset = arguments.at_reset;
    options.version = arguments.os_version;
    options.boot_spread = Duration::from_secs(arguments.spread);
    options.center = Some(CenterOptions { url: arguments.center, certificate_pem, token: arguments.token.to_string() });
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(watch(options, arguments.available))
}

async fn watch(options: FleetOptions, available: Option<String>) -> Result<(), Box<dyn std::error::Error>> {
    let (count, bind) = (options.count, options.bind);
    let mut events = options.events.subscribe();
    let fleet = Fleet::start(options).await?;
    if let Some(version) = available {
        fleet.publish(&version);
    }
    let on = match bind {
        Bind::Ports => Ipv4Addr::LOCALHOST.to_string(),
        Bind::Addresses { .. } | Bind::Shared { .. } => "127.64.0.0/10".to_owned(),
    };
    println!("{count} machines on {on}; Ctrl-C ends them");
    for machine in fleet.machines() {
        if let Some(fault) = machine.fault() {
            println!("{:>9.3} {} has the fault {fault}", machine.clock().as_secs_f64(), machine.name());
        }
    }
    loop {
        tokio::select! {
            done = tokio::signal::ctrl_c() => return Ok(done?),
            event = events.recv() => match event {
                Ok(event) => println!("{:>9.3} {} {}", event.at.as_secs_f64(), event.machine, event.what),
                Err(RecvError::Lagged(missed)) => println!("({missed} events were not printed)"),
                Err(RecvError::Closed) => return Ok(()),
            },
        }
    }
}
