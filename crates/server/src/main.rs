//! `musterd`.

use clap::Parser;
use muster_server::{config::Options, wiring};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    if options.version {
        println!("{}", env!("CARGO_PKG_VERSION"));
        return Ok(());
    }
    let shutdown = CancellationToken::new();
    for kind in
        [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::quit(), SignalKind::from_raw(30 /* PWR */)]
    {
        let (mut stop, shutdown) = (signal(kind)?, shutdown.clone());
        tokio::spawn(async move {
            stop.recv().await;
            shutdown.cancel();
        });
    }
    wiring::run(options, shutdown).await
}
