//! Which points are tried, many at a time: most of a run is waiting.

use crate::{
    images,
    site::{DATABASES, Database},
    stories::{Story, Told, tell},
    updates,
};
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::sync::Semaphore;

/// Runs at once, those of all stories together.
const AT_ONCE: usize = 8;
static TURNS: Semaphore = Semaphore::const_new(AT_ONCE);
/// Of so many points one is tried in the spread.
const SPREAD: u64 = 5;

/// What is told.
#[derive(Debug, Clone, Copy)]
enum Tale {
    Machine(Story),
    Updates,
    Images,
}

impl Tale {
    fn number(self) -> u64 {
        match self {
            Self::Machine(story) => story as u64,
            Self::Updates => 5,
            Self::Images => 6,
        }
    }

    async fn tell(self, database: Database, at: u64) -> Result<Told, String> {
        match self {
            Self::Machine(story) => tell(story, database, at).await,
            Self::Updates => updates::tell(database, at).await,
            Self::Images => images::tell(database, at).await,
        }
    }
}

/// Which points.
#[derive(Clone, Copy)]
enum Which {
    All,
    Spread,
    One(u64),
}

impl Which {
    fn from_env() -> Self {
        match std::env::var("MUSTER_CRASH_TEST") {
            Err(_) => Self::Spread,
            Ok(text) if text == "all" => Self::All,
            Ok(text) => Self::One(text.parse().expect("MUSTER_CRASH_TEST is `all` or the number of a point")),
        }
    }

    /// The `n`-th try (from 0) of a story on a database.
    fn point(self, n: u64, tale: Tale, database: Database) -> Option<u64> {
        match self {
            Self::All => Some(n + 1),
            // Each story and database begins elsewhere, so that together they meet different ones.
            Self::Spread => Some(1 + n * SPREAD + (tale.number() * 2 + database as u64) % SPREAD),
            Self::One(point) => (n == 0).then_some(point),
        }
    }
}

/// Tries points in ascending order until the story gets through before its point is reached.
async fn survive(tale: Tale) {
    let which = Which::from_env();
    let mut workers = tokio::task::JoinSet::new();
    let found = Arc::new(Mutex::new((BTreeMap::new(), Vec::new())));
    for database in DATABASES {
        let (next, through) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(u64::MAX)));
        for _ in 0..AT_ONCE / 2 {
            let (next, through, found) = (next.clone(), through.clone(), found.clone());
            workers.spawn(async move {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    let Some(at) = which.point(n, tale, database) else { return };
                    if at >= through.load(Ordering::Relaxed) {
                        return;
                    }
                    let _turn = TURNS.acquire().await.unwrap();
                    let told = tale.tell(database, at).await;
                    let mut found = found.lock().unwrap();
                    match told {
                        Ok(Told::Died(point)) => drop(found.0.insert((format!("{database:?}"), at), point)),
                        Ok(Told::Through | Told::Skipped) => drop(through.fetch_min(at, Ordering::Relaxed)),
                        Err(wrong) => found.1.push(format!("{tale:?} on {database:?}, point {at}: {wrong}")),
                    }
                }
            });
        }
    }
    while let Some(worker) = workers.join_next().await {
        worker.unwrap();
    }
    let (died, wrong) = std::mem::take(&mut *found.lock().unwrap());
    for ((database, _), point) in &died {
        println!("{tale:?} on {database} survived {point}");
    }
    assert!(wrong.is_empty(), "{} runs went wrong:\n\n{}", wrong.len(), wrong.join("\n\n"));
    assert!(!died.is_empty() || matches!(which, Which::One(_)), "no daemon died: nothing was tried");
}

fn run(tale: Tale) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(survive(tale));
}

#[test]
fn a_registration_survives_a_kill_anywhere() {
    run(Tale::Machine(Story::Registration));
}

#[test]
fn a_reboot_survives_a_kill_anywhere() {
    run(Tale::Machine(Story::Reboot));
}

#[test]
fn an_allocation_and_its_release_survive_a_kill_anywhere() {
    run(Tale::Machine(Story::Tenancy));
}

#[test]
fn a_factory_reset_survives_a_kill_anywhere() {
    run(Tale::Machine(Story::FactoryReset));
}

#[test]
fn updates_survive_a_kill_anywhere() {
    run(Tale::Updates);
}

#[test]
fn images_survive_a_kill_anywhere() {
    run(Tale::Images);
}

#[test]
fn an_update_with_a_reboot_survives_a_kill_anywhere() {
    run(Tale::Machine(Story::Update));
}
