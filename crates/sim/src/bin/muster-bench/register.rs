//! Registrations at once, of machines that cannot be reached, against bare handshakes.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use muster_clients::machine::{Counters, Machine};
use muster_clients::tls::{Credentials, Kind};
use serde_json::json;
use uuid::Uuid;

use crate::burst::{Burst, burst};
use crate::daemon::{Daemon, Folder, identity};
use crate::floor::Floor;
use crate::{Result, millis};

/// How many machines, and how many of them at a time.
const BURSTS: [(usize, usize); 3] = [(200, 200), (2000, 64), (2000, 2000)];

/// How long one registration may take.
const WITHIN: Duration = Duration::from_secs(60);

/// Measures and prints.
pub async fn run(program: &Path) -> Result<()> {
    println!("\n## Registration, machines that cannot be reached\n");
    println!("| machines / at once | bare handshakes | p99 | registrations | p99 | daemon's CPU each | ratio |");
    println!("|---|---|---|---|---|---|---|");
    let mut pairs: Vec<Arc<Credentials>> = Vec::new();
    for (count, at_once) in BURSTS {
        while pairs.len() < count {
            let names = vec![format!("bench-{}", pairs.len()), "127.0.0.1".to_owned()];
            pairs.push(identity(&names[0].clone(), &Kind::Machine { names })?.credentials()?);
        }
        let folder = Folder::new()?;
        let daemon = Daemon::start(program, &folder, true).await?.0;
        let bare = Floor::start(&daemon.identity, 1)?.handshakes(&pairs[..count], at_once).await;
        let before = daemon.cpu()?;
        let registered = register(&daemon, &pairs[..count], at_once).await?;
        let cpu = (daemon.cpu()? - before) / count as f64;
        println!(
            "| {count} / {at_once} | {:.0}/s{} | {:.0} ms | {:.0}/s{} | {:.0} ms | {:.2} ms | {:.0} % |",
            bare.rate(),
            bare.remark(),
            millis(bare.quantile(0.99)),
            registered.rate(),
            registered.remark(),
            millis(registered.quantile(0.99)),
            cpu * 1000.0,
            100.0 * registered.rate() / bare.rate(),
        );
        daemon.stop().await?;
    }
    Ok(())
}

async fn register(daemon: &Daemon, pairs: &[Arc<Credentials>], at_once: usize) -> Result<Burst> {
    let path = format!("/1.0/provisioning/servers?token={}", daemon.token(pairs.len()).await?);
    let numbered = pairs.iter().cloned().enumerate().collect();
    Ok(burst(numbered, at_once, |(number, credentials): (usize, _)| {
        let center = Machine::new(&daemon.url, &daemon.trust, Some(credentials), Arc::new(Counters::default()));
        let path = path.clone();
        // Port 1 refuses at once: the daemon's first polls are as cheap as failing can be.
        let body = json!({
            "name": format!("bench-{number}"), "connection_url": "https://127.0.0.1:1", "public_connection_url": "",
            "channel": "", "description": "", "properties": null, "system_uuid": Uuid::new_v4(),
            "machine_id": Uuid::new_v4().simple().to_string(),
        });
        async move {
            center?.request(Method::POST, &path, Some(&body), WITHIN).await?;
            Ok(())
        }
    })
    .await)
}
