//! The ten by ten matrix and every move, asked over HTTP in every state: what is allowed happens once with one entry, everything
//! else answers the contracted reason. What the answers add up to is the table of `docs/lifecycle.md`.

use crate::bench::{Bench, Who, on_both};
use axum::http::StatusCode;
use muster_domain::machine::{
    Command, Lifecycle, Machine, Move,
    axes::{AllocationKind, Claim, Method, Operation, OperationKind, Phase, Reservation},
    birth::{Birth, birth},
    lifecycle::{Kind, find, forbidden},
    moves::Terms,
    transition,
};
use muster_store::tables::{machines, servers};
use serde_json::{Value, json};
use uuid::Uuid;

const DOCUMENT: &str = include_str!("../../../../docs/lifecycle.md");

/// What is under way on the machine while it is asked.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Under {
    /// Nothing but what belongs to its state, and that has failed.
    Failed,
    /// What belongs to its state goes on.
    Running,
    /// Something else: a look for a fault, an update of the firmware.
    Work,
}

fn run(machine: &Machine, commands: &[Command]) -> Machine {
    commands.iter().fold(machine.clone(), |machine, command| transition(&machine, command).unwrap().machine)
}

/// A machine in a state; none where that cannot be.
fn machine(state: Lifecycle, under: Under) -> Option<Machine> {
    let registering = birth(&Birth::SelfRegistered { predecessor: None }).machine;
    let poll = |open| Command::FirstPoll { open, accepts_data: false };
    let unavailable = run(&registering, &[poll(false), Command::SetBmc(true)]);
    let available = run(&registering, &[poll(true), Command::SetBmc(true)]);
    let claim = Claim { owner: "anna".into(), kind: AllocationKind::Standalone, reference: "web".into() };
    let used = run(&available, &[Command::Lock(claim), Command::Commit]);
    let again = Command::Register { method: Method::InBand, force: false, same_identity: true };
    let reservation = Reservation { subscription: "s1".into(), holder: "anna".into() };
    let mut machine = match state {
        Lifecycle::Registering => run(&registering, &[Command::SetBmc(true)]),
        Lifecycle::Unavailable => unavailable,
        Lifecycle::Available => available,
        Lifecycle::AvailableReserved => run(&available, &[Command::Reserve(reservation)]),
        Lifecycle::Used => used,
        Lifecycle::UsedRegistering => run(&used, &[again]),
        Lifecycle::Cleaning => run(&used, &[Command::OsReset]),
        Lifecycle::Defective => run(&available, &[Command::SetStatus(Lifecycle::Defective)]),
        Lifecycle::Decommissioned => run(&unavailable, &[Command::Decommission]),
        Lifecycle::RemovedFromRack => run(&unavailable, &[Command::SetStatus(Lifecycle::RemovedFromRack)]),
    };
    match (under, &mut machine.operation) {
        (Under::Failed, Some(operation)) => operation.phase = Phase::Failed,
        (Under::Work, None) => {
            let kind = match state {
                Lifecycle::Available => OperationKind::Firmware,
                Lifecycle::Unavailable | Lifecycle::Defective | Lifecycle::Used => OperationKind::Diagnostics,
                _ => return None,
            };
            machine.operation = Some(Operation::running(kind, Method::Bmc));
        }
        (Under::Work, Some(_)) => return None,
        _ => {}
    }
    Some(machine)
}

/// Puts a machine into the store as it is; its id.
async fn store(bench: &Bench, machine: &Machine) -> String {
    let id = Uuid::now_v7().to_string();
    let row = machines::Machine {
        id: id.clone(),
        lifecycle: machine.lifecycle.as_str().into(),
        operation: machine.operation.as_ref().map(text),
        media: text(&machine.media).trim_matches('"').to_owned(),
        allocation: machine.allocation.as_ref().map(text),
        reservation: machine.reservation.as_ref().map(text),
        flags: json!({"flags": machine.flags, "type_match": machine.type_match}).to_string(),
        alerts: text(&machine.alerts),
        inventory: "{}".into(),
        bmc: if machine.bmc { r#"{"endpoint":"https://198.51.100.9"}"# } else { "{}" }.into(),
        created_at: 1,
        since: 1,
        ..machines::Machine::default()
    };
    let server = machine.enrolment.is_some().then(|| servers::Server {
        id: Uuid::now_v7().to_string(),
        machine_id: id.clone(),
        name: id.clone(),
        server_type: "incus".into(),
        connection_url: "https://127.0.0.1:1".into(),
        channel: "stable".into(),
        bmc: "{}".into(),
        status: if machine.is_ready() { "ready" } else { "pending" }.into(),
        status_detail: if machine.is_ready() { "" } else { "registering" }.into(),
        hardware_data: "{}".into(),
        os_data: "{}".into(),
        version_data: "{}".into(),
        bmc_data: "{}".into(),
        ..servers::Server::default()
    });
    let write = bench.engine.store().write(move |tx| {
        machines::insert(tx, &row)?;
        server.iter().try_for_each(|server| servers::insert(tx, server))
    });
    write.await.unwrap();
    id
}

/// As it is stored.
fn text<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap()
}

async fn transitions(bench: &Bench, id: &str) -> Vec<(Value, Value)> {
    let (_, history) = bench.ask(Who::Unix, "GET", &format!("/1.0/machines/{id}/history"), "").await;
    let entries = history["metadata"].as_array().unwrap().clone();
    let changes = entries.into_iter().filter(|e| e["action"] == "machine.transition");
    changes.map(|e| (e["from"].clone(), e["to"].clone())).collect()
}

/// The cell that the answers about one pair add up to.
async fn cell(bench: &Bench, from: Lifecycle, to: Lifecycle) -> String {
    let mut happened = Vec::new();
    let mut reason = None;
    for under in [Under::Failed, Under::Running, Under::Work] {
        let Some(machine) = machine(from, under) else { continue };
        let id = store(bench, &machine).await;
        let body = json!({"state": to, "note": "because"}).to_string();
        let (status, answer) = bench.ask(Who::Unix, "PUT", &format!("/1.0/machines/{id}/state"), body).await;
        let changes = transitions(bench, &id).await;
        let (_, shown) = bench.ask(Who::Unix, "GET", &format!("/1.0/machines/{id}"), "").await;
        let now = shown["metadata"]["lifecycle"].clone();
        match transition(&machine, &Command::SetStatus(to)) {
            Ok(change) if from != to => {
                assert_eq!(status, StatusCode::OK, "{from} {to} {under:?}: {answer}");
                assert_eq!((changes.len(), &now), (change.records.len(), &json!(to)), "{from} {to}: {changes:?}");
                assert!(change.records.len() == 1 || from == Lifecycle::AvailableReserved, "one entry for one change");
                happened.push(under);
            }
            expected => {
                assert_eq!(status, StatusCode::CONFLICT, "{from} {to} {under:?}: {answer}");
                assert_eq!((changes.len(), &now), (0, &json!(from)), "{from} {to} {under:?}: {changes:?}");
                let detail = &answer["metadata"];
                if let Err(refusal) = expected {
                    assert_eq!(detail["reason"], json!(refusal.number()), "{from} {to} {under:?}");
                    assert!(answer["error"].as_str().unwrap().contains(refusal.text()), "{answer}");
                    if under == Under::Failed {
                        reason = refusal.number();
                    }
                }
            }
        }
    }
    match (find(from, to), happened.as_slice(), reason) {
        _ if from == to => "·".into(),
        // Both steps in one call.
        (None, [_, ..], _) if from == Lifecycle::AvailableReserved => "x10".into(),
        (Some(edge), [], _) => {
            let letter = if edge.kind == Kind::System { "A" } else { "T" };
            format!("{letter}{}", if edge.after_failure { "*" } else { "" })
        }
        (Some(edge), happened, _) => {
            let either = if edge.kind == Kind::ManualOrSystem { "/A" } else { "" };
            // One that happens only after a failure did not happen while it was running.
            let only = !happened.contains(&Under::Running);
            format!("M{either}{}", if only { "*" } else { "" })
        }
        (None, _, Some(number)) => format!("x{number}"),
        (None, ..) => "?".into(),
    }
}

#[test]
fn the_matrix_over_http_is_the_documents() {
    on_both(|bench: Bench| async move {
        let table = DOCUMENT.split("<!-- matrix -->").nth(1).unwrap().split("<!-- end of matrix -->").next().unwrap();
        let rows: Vec<Vec<&str>> = table
            .lines()
            .filter(|line| line.starts_with("| **") && !line.contains("(new)"))
            .map(|line| line.trim_matches('|').split('|').skip(1).map(str::trim).collect())
            .collect();
        assert_eq!(rows.len(), 10);
        for (row, from) in rows.iter().zip(Lifecycle::ALL) {
            for (documented, to) in row.iter().zip(Lifecycle::ALL) {
                let answered = cell(&bench, from, to).await;
                assert_eq!(answered, *documented, "{from} to {to}");
                if let Some(number) = documented.strip_prefix('x') {
                    assert_eq!(forbidden(Some(from), to).map(|r| r.number.to_string()).as_deref(), Some(number));
                }
            }
        }
        bench.engine.stop().await;
    });
}

#[test]
fn every_move_in_every_state_does_what_the_rules_say() {
    on_both(|bench: Bench| async move {
        let (mut open, mut closed) = (0, 0);
        for from in Lifecycle::ALL {
            for under in [Under::Failed, Under::Running, Under::Work] {
                let Some(machine) = machine(from, under) else { continue };
                for wanted in Move::ALL {
                    let id = store(&bench, &machine).await;
                    let (_, shown) = bench.ask(Who::Unix, "GET", &format!("/1.0/machines/{id}"), "").await;
                    let listed = shown["metadata"]["moves"].as_array().unwrap();
                    let listed = listed.iter().find(|m| m["name"] == wanted.as_str()).unwrap();
                    let claim =
                        Claim { owner: "anna".into(), kind: AllocationKind::Standalone, reference: "anna".into() };
                    let terms = Terms { claim, force: false, unreachable: false };
                    let mut body = json!({"note": "because"});
                    if wanted == Move::Allocate {
                        body["owner"] = json!("anna");
                    }
                    let path = format!("/1.0/machines/{id}/:{wanted}");
                    let dry = format!("{path}?dry_run=true");
                    let (dry, _) = bench.ask(Who::Unix, "POST", &dry, body.to_string()).await;
                    let (status, answer) = bench.ask(Who::Unix, "POST", &path, body.to_string()).await;
                    let context = format!("{wanted} in {from} {under:?}: {answer}");
                    match wanted.plan(&machine, &terms) {
                        Ok(_) => {
                            assert!(status.is_success() && dry == StatusCode::OK, "{context}");
                            assert_eq!(status == StatusCode::ACCEPTED, wanted.is_work(&terms), "{context}");
                            assert_eq!(listed["open"], true, "{context}");
                            open += 1;
                        }
                        Err(refusal) => {
                            assert_eq!((status, dry), (StatusCode::CONFLICT, StatusCode::CONFLICT), "{context}");
                            assert_eq!(answer["metadata"]["reason"], json!(refusal.number()), "{context}");
                            assert_eq!((&listed["open"], &listed["why"]), (&json!(false), &json!(refusal.text())));
                            closed += 1;
                        }
                    }
                }
            }
        }
        assert!(open > 80 && closed > 150, "{open} open, {closed} closed");
        bench.engine.stop().await;
    });
}
