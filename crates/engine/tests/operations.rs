//! Operations over a real store, against a machine that nobody can reach.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::time::Duration;

use muster_engine::{
    Actor, Engine, Error,
    clock::Clock,
    operation,
    services::{
        operation::{self as service, Filter},
        server::actions,
    },
};
use muster_store::{
    Secret,
    tables::{machines, operations, servers},
    testing,
};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

const NOW: i64 = 1_800_000_000_000_000;
const MASK: &str = muster_api::provisioning::server::MASK;

struct Bed {
    engine: Engine,
    clock: Clock,
    actor: Actor,
    _store: testing::TestStore,
    _files: tempfile::TempDir,
}

/// An engine with the ready server `m1`, whose address refuses connections.
fn bed() -> Bed {
    let (store, files, clock) = (testing::sqlite(), tempfile::tempdir().unwrap(), Clock::at(NOW));
    let engine = Engine::start(store.store.clone(), clock.clone(), files.path().to_owned()).unwrap();
    let made = store.store.write_blocking(|tx| {
        let machine = machines::Machine {
            id: "machine".into(),
            lifecycle: "available".into(),
            media: "unknown".into(),
            flags: "[]".into(),
            alerts: "[]".into(),
            inventory: "{}".into(),
            ..machines::Machine::default()
        };
        machines::insert(tx, &machine)?;
        let row = servers::Server {
            id: "server".into(),
            machine_id: "machine".into(),
            name: "m1".into(),
            server_type: "incus".into(),
            connection_url: "https://127.0.0.1:1".into(),
            channel: "stable".into(),
            bmc: "{}".into(),
            status: "ready".into(),
            last_status_updated: NOW - 1,
            hardware_data: "{}".into(),
            os_data: json!({"network": {"config": {"wireguard": [{"name": "wg0", "private_key": MASK}]}}}).to_string(),
            version_data: json!({"applications": [{"name": "incus", "version": "1"}]}).to_string(),
            bmc_data: "{}".into(),
            ..servers::Server::default()
        };
        servers::insert(tx, &row)?;
        let secrets =
            json!({"network": {"config": {"wireguard": [{"name": "wg0", "private_key": "s3cret"}]}}}).to_string();
        let observation = servers::Observation {
            status: "ready".into(),
            os_secrets: Some(Secret::new(secrets)),
            ..servers::Observation::default()
        };
        servers::update_observation(tx, "server", 0, &observation).map(drop)
    });
    made.unwrap();
    Bed { engine, clock, actor: Actor("unix".into()), _store: store, _files: files }
}

impl Bed {
    async fn server(&self) -> servers::Server {
        self.engine.store().read(|tx| servers::get_by_name(tx, "m1")).await.unwrap().unwrap()
    }

    fn drive(&self) -> (CancellationToken, tokio::task::JoinHandle<()>) {
        let stop = CancellationToken::new();
        (stop.clone(), tokio::spawn(operation::run(self.engine.clone(), stop)))
    }
}

#[tokio::test]
async fn a_driver_takes_up_what_a_crashed_one_left_and_not_before_its_lease_ends() {
    let bed = bed();
    let id = actions::reboot(&bed.engine, &bed.actor, "m1", false).await.unwrap();
    let marked = bed.server().await;
    assert_eq!((marked.status.as_str(), marked.status_detail.as_str()), ("offline", "rebooting"));
    let again = actions::reboot(&bed.engine, &bed.actor, "m1", true).await;
    assert!(matches!(again, Err(Error::Retryable(_))), "{again:?}");

    // A process claims it and dies.
    let claimed =
        bed.engine.store().write(|tx| operations::claim_due(tx, "dead", NOW, NOW + 30_000_000, 9, &[])).await.unwrap();
    assert_eq!(claimed.len(), 1);
    let (stop, driver) = bed.drive();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(service::get(&bed.engine, &id).await.unwrap().status, "pending");
    stop.cancel();
    driver.await.unwrap();

    bed.clock.advance(30_000_001);
    let (stop, driver) = bed.drive();
    let answer = tokio::time::timeout(Duration::from_secs(20), service::answered(&bed.engine, &id)).await.unwrap();
    assert!(
        matches!(&answer, Err(Error::Retryable(text)) if text.contains("Failed to trigger reboot on \"m1\"")),
        "{answer:?}"
    );
    let back = bed.server().await;
    assert_eq!((back.status.as_str(), back.status_detail.as_str()), ("ready", ""), "the mark is taken back");
    let view = service::get(&bed.engine, &id).await.unwrap();
    let steps: Vec<_> = view.steps.iter().map(|s| (s.name.as_str(), s.status.as_str())).collect();
    assert_eq!(steps, [("mark", "done"), ("call", "failed"), ("confirm", "skipped")]);

    // The dead one comes back to life: what it knows counts no more.
    let mut stale = claimed[0].clone();
    stale.status = "succeeded".into();
    let saved = bed.engine.store().write(move |tx| operations::save(tx, &stale)).await;
    assert!(matches!(saved, Err(muster_store::StoreError::Stale)), "{saved:?}");

    let over = service::cancel(&bed.engine, &bed.actor, &id).await;
    assert!(matches!(over, Err(Error::NotPermitted(_))), "{over:?}");
    assert_eq!(service::retry(&bed.engine, &bed.actor, &id).await.unwrap().attempt, 2);
    tokio::time::timeout(Duration::from_secs(20), service::answered(&bed.engine, &id)).await.unwrap().unwrap_err();
    stop.cancel();
    driver.await.unwrap();
}

#[tokio::test]
async fn a_refused_network_is_put_back_and_its_secret_is_never_readable() {
    let bed = bed();
    let config = json!({"wireguard": [{"name": "wg0", "private_key": MASK}, {"name": "wg1", "private_key": "n3w"}]});
    let Value::Object(config) = config else { unreachable!() };
    let before = bed.server().await.os_data;
    let id = actions::put_network(&bed.engine, &bed.actor, "m1", config, None).await.unwrap();
    let pending = bed.server().await;
    assert_eq!((pending.status.as_str(), pending.status_detail.as_str()), ("pending", "re-configuring"));
    let secrets = bed.engine.store().read(|tx| servers::secrets(tx, "server")).await.unwrap();
    let secrets = secrets.os_secrets.unwrap();
    assert!(secrets.expose().contains("s3cret") && secrets.expose().contains("n3w"), "the mask became the secret");
    let wanted = id.clone();
    let row = bed.engine.store().read(move |tx| operations::get(tx, &wanted)).await.unwrap().unwrap();
    let readable = format!("{row:?}{pending:?}");
    assert!(!readable.contains("s3cret") && !readable.contains("n3w"));

    let (stop, driver) = bed.drive();
    tokio::time::timeout(Duration::from_secs(20), service::answered(&bed.engine, &id)).await.unwrap().unwrap_err();
    let back = bed.server().await;
    assert_eq!(back.status, "ready");
    assert_eq!(back.os_data.parse::<Value>().unwrap(), before.parse::<Value>().unwrap());
    stop.cancel();
    driver.await.unwrap();
}

#[tokio::test]
async fn cancelled_before_the_call_the_server_is_as_it_was() {
    let bed = bed();
    let id = actions::evacuate(&bed.engine, &bed.actor, "m1", false).await.unwrap();
    assert_eq!(bed.server().await.status_detail, "evacuating");
    service::cancel(&bed.engine, &bed.actor, &id).await.unwrap();
    let (stop, driver) = bed.drive();
    let answer = tokio::time::timeout(Duration::from_secs(20), service::answered(&bed.engine, &id)).await.unwrap();
    assert!(matches!(answer, Err(Error::NotPermitted(_))), "{answer:?}");
    let back = bed.server().await;
    assert_eq!(back.status_detail, "");
    assert!(!back.version_data.contains("\"in_maintenance\":1"), "{}", back.version_data);
    let all =
        service::list(&bed.engine, Filter { status: Some("cancelled".into()), ..Filter::default() }, 9).await.unwrap();
    assert_eq!(all.len(), 1);
    stop.cancel();
    driver.await.unwrap();
}
