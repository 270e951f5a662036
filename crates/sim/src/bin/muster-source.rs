//! `muster-source`: an update source in a box, from the command line.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::SystemTime;

use clap::Parser;
use muster_sim::publisher::{Encoding, Options, Publisher, Release};

/// A signed update source on loopback, until Ctrl-C.
///
/// Writes its root certificate to `root.pem` in its directory and then prints its URL.
#[derive(Debug, Parser)]
#[command(name = "muster-source", version)]
struct Arguments {
    /// Where its files are kept; made where it is missing
    #[arg(long, value_name = "DIR")]
    directory: PathBuf,

    /// Versions to publish, the newest first, each with its severity if it has one: 202512010000=critical
    #[arg(required = true, value_name = "VERSION[=SEVERITY]")]
    versions: Vec<String>,
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("Error: {error}");
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the edge: signatures are made now")]
fn run(Arguments { directory, versions }: Arguments) -> Result<(), Box<dyn std::error::Error>> {
    std::fs::create_dir_all(&directory)?;
    let now = SystemTime::now();
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        let options = Options { directory, encoding: Encoding::Opaque, plain: true, now };
        let publisher = Publisher::start(options).await?;
        let mut published = Vec::new();
        for text in &versions {
            let (version, severity) = text.split_once('=').unwrap_or((text, "none"));
            let release = Release { severity: severity.to_owned(), ..Release::new(version) };
            publisher.add(&release)?;
            published.push(version);
        }
        publisher.publish(&published, now)?;
        publisher.put("root.pem", publisher.authority().root_pem().as_bytes())?;
        println!("{}", publisher.url());
        Ok(tokio::signal::ctrl_c().await?)
    })
}
