//! Two people want the same machine at once, at two daemons where the database is shared: one has it, and the other is told why not.
//!
//! As a check of each change there are a few races. `MUSTER_RACES=100x50` has a hundred for each of fifty machines.

use crate::{
    daemon::{Daemon, PAUSE},
    site::{DATABASES, Database, Site},
};
use http::Method;
use muster_clients::center::CenterError;
use serde_json::{Value, json};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// Longest time for one change of one machine.
const STEP: Duration = Duration::from_secs(120);

/// Waits until a machine is as wanted.
async fn until(daemon: &Daemon, id: &str, wanted: impl Fn(&Value) -> bool) -> Result<Value, String> {
    let end = Instant::now() + STEP;
    let mut pause = PAUSE;
    loop {
        let machine = daemon.get(&format!("/1.0/machines/{id}")).await.ok_or("the daemon is gone")?;
        let idle = machine["work"].as_array().is_some_and(Vec::is_empty);
        if idle && wanted(&machine) {
            return Ok(machine);
        }
        if Instant::now() > end {
            return Err(format!("it stays {machine}\n{}", daemon.tail()));
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(400));
    }
}

/// One machine, wanted by two again and again; answers how often the first of them won.
async fn contest(daemons: &[Daemon], id: &str, races: usize) -> Result<usize, String> {
    let owners = ["anna", "ben"];
    let [first, last] = [&daemons[0], &daemons[daemons.len() - 1]];
    let mut won = 0;
    for race in 0..races {
        let path = format!("/1.0/machines/{id}/:allocate");
        let [anna, ben] = owners.map(|owner| json!({"owner": owner}));
        let (anna, ben) =
            tokio::join!(first.call(Method::POST, &path, Some(&anna)), last.call(Method::POST, &path, Some(&ben)));
        let (winner, lost) = match (anna, ben) {
            (Ok(_), Err(lost)) => (owners[0], lost),
            (Err(lost), Ok(_)) => (owners[1], lost),
            other => return Err(format!("race {race}: not one of them won: {other:?}")),
        };
        if !matches!(lost, CenterError::Conflict(_)) {
            return Err(format!("race {race}: who came second is told {lost:?}"));
        }
        let machine = until(first, id, |machine| machine["lifecycle"] == "used").await?;
        if machine["allocation"]["owner"] != winner {
            return Err(format!("race {race}: {winner} won, and it is {machine}"));
        }
        won += usize::from(winner == owners[0]);
        let path = format!("/1.0/machines/{id}/:release");
        last.call(Method::POST, &path, Some(&json!({}))).await.map_err(|e| format!("race {race}: {e:?}"))?;
        until(first, id, |machine| machine["lifecycle"] == "available").await?;
    }
    let path = format!("/1.0/machines/{id}/history?limit=10000");
    let history = first.list(&path).await.ok_or("the daemon is gone")?;
    let taken = history.iter().filter(|entry| entry["action"] == "machine.transition" && entry["to"] == "used").count();
    if taken == races { Ok(won) } else { Err(format!("{races} races, and it was taken {taken} times")) }
}

async fn races(database: Database, races: usize, machines: usize) {
    let Some(site) = tokio::task::spawn_blocking(move || Site::new(database)).await.unwrap() else { return };
    let mut daemons = vec![site.start("a", None).await];
    if database == Database::Postgres {
        daemons.push(site.start("b", None).await);
    }
    // They share their settings, and only one of them can have the address.
    site.listen(&daemons[0], true).await;
    let token = site.token(&daemons[0], 1_000, false).await;
    let (_fleet, _events) = site.fleet(machines, "a", &token, Duration::from_millis(100)).await;
    let end = Instant::now() + STEP;
    let found = loop {
        let found = daemons[0].list("/1.0/machines?lifecycle=available").await.unwrap();
        if found.len() == machines {
            break found;
        }
        assert!(Instant::now() < end, "the machines are not ready:\n{}", daemons[0].tail());
        tokio::time::sleep(PAUSE).await;
    };
    let daemons = Arc::new(daemons);
    let mut contests = tokio::task::JoinSet::new();
    for machine in found {
        let daemons = daemons.clone();
        contests.spawn(async move { contest(&daemons, machine["id"].as_str().unwrap(), races).await });
    }
    let mut won = 0;
    while let Some(contest) = contests.join_next().await {
        won += contest.unwrap().unwrap_or_else(|wrong| panic!("{database:?}: {wrong}"));
    }
    println!("{database:?}: of {} races {won} were won by who asked the first daemon", races * machines);
    let verdict = daemons[0].call(Method::POST, "/1.0/audit/:verify", None).await.unwrap();
    assert!(verdict.metadata.get().contains("\"intact\":true"), "{}", verdict.metadata);
}

#[test]
fn of_two_who_want_a_machine_at_once_one_has_it() {
    let text = std::env::var("MUSTER_RACES").unwrap_or_else(|_| "3x3".into());
    let (each, machines) = text.split_once('x').expect("MUSTER_RACES is <races>x<machines>");
    let (each, machines): (usize, usize) = (each.parse().unwrap(), machines.parse().unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        for database in DATABASES {
            races(database, each, machines).await;
        }
    });
}
