//! Two daemons on one PostgreSQL: what one was at when it was killed, the other ends.

use crate::{
    daemon::{Daemon, PAUSE},
    site::{Database, Site},
    stories::{SERVERS, trail},
};
use http::Method;
use muster_sim::{
    Fault,
    fleet::{FleetEvent, Simulated, What},
};
use serde_json::Value;
use std::time::{Duration, Instant};
use tokio::sync::broadcast::Receiver;

const PATIENCE: Duration = Duration::from_secs(90);

async fn until(what: &str, daemon: &Daemon, mut wanted: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !wanted().await {
        if Instant::now() > end {
            let operations = daemon.list("/1.0/operations").await.unwrap_or_default();
            panic!("never: {what}\n{operations:#?}\n{}\n{}", trail(daemon).await, daemon.tail());
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Waits for something to happen to a machine.
async fn heard(events: &mut Receiver<FleetEvent>, machine: &Simulated, wanted: impl Fn(&What) -> bool) {
    let heard = async {
        loop {
            let event = events.recv().await.unwrap();
            if event.machine == machine.name() && wanted(&event.what) {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, heard).await.unwrap();
}

async fn status(daemon: &Daemon, machine: &Simulated) -> Value {
    let server = daemon.get(&format!("{SERVERS}/{}", machine.name())).await.unwrap_or_default();
    server["server_status"].clone()
}

async fn reboots(daemon: &Daemon, status: &str) -> usize {
    daemon.list(&format!("/1.0/operations?kind=reboot&status={status}")).await.unwrap_or_default().len()
}

async fn reboot(daemon: &Daemon, machine: &Simulated) {
    let path = format!("{SERVERS}/{}/system/:reboot?wait=false", machine.name());
    daemon.call(Method::POST, &path, None).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_daemons_one_is_killed_and_the_other_takes_over() {
    let Some(site) = tokio::task::spawn_blocking(|| Site::new(Database::Postgres)).await.unwrap() else { return };
    let mut a = site.start("a", None).await;
    site.listen(&a, true).await;
    let token = site.token(&a, 3, false).await;
    let (fleet, mut events) = site.fleet(3, "a", &token, Duration::from_secs(2)).await;
    let [hanging, waiting, silent] = [1, 2, 3].map(|n| fleet.machine(n).unwrap().clone());
    // The third one registers and is not reached any more: it stays pending.
    heard(&mut events, &silent, |what| *what == What::Registered).await;
    silent.set_fault(Some(Fault::Refuse));
    for machine in [&hanging, &waiting] {
        until("ready at first", &a, async || status(&a, machine).await == "ready").await;
    }
    // One hangs in the call, one is on its way down and up, both at A: B would take its share, so it is started later.
    while events.try_recv().is_ok() {}
    hanging.set_fault(Some(Fault::Hang));
    // It cuts what is open and listens anew before it hangs for whoever comes.
    heard(&mut events, &hanging, |what| matches!(what, What::Listening(_))).await;
    hanging.asked();
    reboot(&a, &hanging).await;
    let mut asked = Vec::new();
    until("the call to the machine that hangs", &a, async || {
        asked.extend(hanging.asked());
        asked.iter().any(|line| line.contains("POST") && line.contains(":reboot"))
    })
    .await;
    reboot(&a, &waiting).await;
    until("a reboot that is waited for", &a, async || reboots(&a, "waiting").await >= 1).await;
    // Both share their settings, and on this one machine only one of them can have the address.
    site.listen(&a, false).await;
    let b = site.start("b", None).await;
    let pending = status(&b, &silent).await;
    assert_eq!(pending, "pending", "the third one must not be reached before");

    a.kill();
    hanging.set_fault(None);
    silent.set_fault(None);
    site.listen(&b, true).await;
    until("the polls taken over", &b, async || status(&b, &silent).await == "ready").await;
    until("both reboots ended", &b, async || reboots(&b, "succeeded").await == 2).await;
    for machine in [&hanging, &waiting] {
        until("ready after all", &b, async || status(&b, machine).await == "ready").await;
    }
    let mut boots = Vec::new();
    while let Ok(event) = events.try_recv() {
        if event.what == What::Silent {
            boots.push(event.machine);
        }
    }
    boots.sort();
    assert_eq!(boots, [hanging.name(), waiting.name()], "each went down once");
    let verdict = b.call(Method::POST, "/1.0/audit/:verify", None).await.unwrap();
    assert!(verdict.metadata.get().contains("\"intact\":true"), "{}", verdict.metadata);
}
