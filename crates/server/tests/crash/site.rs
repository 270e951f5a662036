//! Where a test's daemons live: files, a database, an address of the loopback, and machines.

use crate::daemon::{Crash, Daemon};
use http::Method;
use muster_sim::fleet::{Bind, CenterOptions, Fleet, FleetEvent, FleetOptions};
use muster_store::{
    db::Location,
    testing::{self, TestStore},
};
use serde_json::json;
use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, SystemTime},
};
use tempfile::TempDir;
use tokio::sync::broadcast;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Database {
    Sqlite,
    Postgres,
}

pub const DATABASES: [Database; 2] = [Database::Sqlite, Database::Postgres];

pub struct Site {
    pub dir: TempDir,
    postgres: Option<TestStore>,
    number: u32,
}

impl Site {
    /// A fresh one; none where the database is not there.
    pub fn new(database: Database) -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let postgres = match database {
            Database::Sqlite => None,
            Database::Postgres => Some(testing::postgres()?),
        };
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let mut dir = tempfile::Builder::new().prefix("muster-crash-").tempdir().unwrap();
        dir.disable_cleanup(std::env::var_os("MUSTER_CRASH_KEEP").is_some());
        Some(Self { dir, postgres, number })
    }

    /// An address that no other test of this machine has.
    fn address(&self) -> String {
        let own = std::process::id().wrapping_mul(4096).wrapping_add(self.number);
        let [_, a, b, c] = own.to_be_bytes();
        // 127.128.0.0/9; the machines have 127.64.0.0/10.
        format!("127.{}.{b}.{}:7443", 128 | a, 1 + c % 254)
    }

    /// A daemon with files of its own.
    pub async fn start(&self, name: &str, crash: Option<&Crash>) -> Daemon {
        let database = self.postgres.as_ref().map(|p| match &p.location {
            Location::Postgres(text) => text.clone(),
            Location::Sqlite(_) => unreachable!("a PostgreSQL store"),
        });
        Daemon::start(&self.dir.path().join(name), database.as_deref(), crash).await
    }

    /// Has a daemon listen for machines, or not.
    pub async fn listen(&self, daemon: &Daemon, on: bool) {
        let address = self.address();
        let network = match on {
            true => json!({"address": format!("https://{address}"), "rest_server_address": address}),
            false => json!({"address": "", "rest_server_address": ""}),
        };
        daemon.call(Method::PUT, "/1.0/system/network", Some(&network)).await.unwrap();
    }

    /// A token; its UUID.
    pub async fn token(&self, daemon: &Daemon, uses: u32, auto_remove: bool) -> String {
        let token = json!({"uses_remaining": uses, "expire_at": "2099-01-01T00:00:00Z", "auto_remove": auto_remove});
        let made = daemon.call(Method::POST, "/1.0/provisioning/tokens", Some(&token)).await.unwrap();
        made.location().unwrap().rsplit('/').next().unwrap().to_owned()
    }

    /// Machines, switched on; `down`: how long they are away in a reboot. They are quick, and as stubborn as real ones.
    pub async fn fleet(
        &self,
        count: usize,
        name: &str,
        token: &str,
        down: Duration,
    ) -> (Fleet, broadcast::Receiver<FleetEvent>) {
        let seed = u64::from(std::process::id()) << 32 | u64::from(self.number);
        let mut options = FleetOptions::new(count, seed, SystemTime::now());
        options.bind = Bind::Addresses { port: 8443 };
        options.timing.stopping = Duration::from_millis(200);
        options.timing.down = down;
        options.timing.updating = Duration::from_millis(300);
        options.timing.starting = Duration::from_millis(100);
        options.timing.telling_again = Duration::from_millis(1500);
        options.timing.registering_again = Duration::from_millis(300);
        let certificate = std::fs::read_to_string(self.dir.path().join(name).join("server.crt")).unwrap();
        options.center = Some(CenterOptions {
            url: format!("https://{}", self.address()),
            certificate_pem: Some(certificate),
            token: token.to_owned(),
        });
        let events = options.events.subscribe();
        (Fleet::start(options).await.unwrap(), events)
    }
}
