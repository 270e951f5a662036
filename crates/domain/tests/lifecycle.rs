//! The tables of `docs/lifecycle.md`, rendered from the code that decides. A table that differs fails; with `MUSTER_BLESS=1`
//! the file is written anew.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fmt::Write as _;

use muster_domain::machine::axes::{AllocationKind, Claim, Connectivity, Media, Method, Reservation};
use muster_domain::machine::birth::{Birth, birth};
use muster_domain::machine::lifecycle::{EDGES, Kind, REASONS, find, forbidden};
use muster_domain::machine::registration::{Known, Registration, register_with_token};
use muster_domain::machine::{Change, Command, Lifecycle, Machine, Refusal, transition};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/lifecycle.md");

/// The text between the markers of a block, which is to be `text`.
fn block(document: &mut String, name: &str, text: &str) {
    let (begin, end) = (format!("<!-- {name} -->\n"), format!("<!-- end of {name} -->"));
    let from = document.find(&begin).unwrap_or_else(|| panic!("docs/lifecycle.md has no {begin}")) + begin.len();
    let to = from + document[from..].find(&end).unwrap_or_else(|| panic!("docs/lifecycle.md has no {end}"));
    document.replace_range(from..to, &format!("\n{text}\n"));
}

#[test]
fn the_tables_of_the_document_are_those_of_the_code() {
    let before = std::fs::read_to_string(FILE).unwrap();
    let mut after = before.clone();
    block(&mut after, "matrix", &matrix());
    block(&mut after, "edges", &edges());
    block(&mut after, "reasons", &reasons());
    block(&mut after, "calls", &calls());
    if before == after {
        return;
    }
    if std::env::var_os("MUSTER_BLESS").is_some() {
        std::fs::write(FILE, after).unwrap();
        return;
    }
    let wrong = before.lines().zip(after.lines()).find(|(old, new)| old != new);
    panic!(
        "docs/lifecycle.md is not what the code says; run this test with MUSTER_BLESS=1. First difference: {wrong:?}"
    );
}

fn short(state: Lifecycle) -> &'static str {
    match state {
        Lifecycle::Registering => "REG",
        Lifecycle::Unavailable => "UNA",
        Lifecycle::Available => "AVA",
        Lifecycle::AvailableReserved => "RES",
        Lifecycle::Used => "USE",
        Lifecycle::UsedRegistering => "URG",
        Lifecycle::Cleaning => "CLN",
        Lifecycle::Defective => "DEF",
        Lifecycle::Decommissioned => "DEC",
        Lifecycle::RemovedFromRack => "RFR",
    }
}

const fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::System => "A",
        Kind::Started => "T",
        Kind::Manual => "M",
        Kind::ManualOrSystem => "M/A",
    }
}

fn cell(from: Option<Lifecycle>, to: Lifecycle) -> String {
    if from == Some(to) {
        return "·".into();
    }
    match (from.and_then(|from| find(from, to)), forbidden(from, to)) {
        (Some(edge), _) => format!("{}{}", kind(edge.kind), if edge.after_failure { "*" } else { "" }),
        (None, Some(reason)) => format!("x{}", reason.number),
        (None, None) => "A".into(),
    }
}

fn matrix() -> String {
    let mut text = String::from("| from \\ to |");
    Lifecycle::ALL.iter().for_each(|to| write!(text, " {} |", short(*to)).unwrap());
    text.push_str("\n|---|");
    text.push_str(&"---|".repeat(10));
    for from in std::iter::once(None).chain(Lifecycle::ALL.map(Some)) {
        write!(text, "\n| **{}** |", from.map_or("(new)", short)).unwrap();
        Lifecycle::ALL.iter().for_each(|to| write!(text, " {} |", cell(from, *to)).unwrap());
    }
    text.push('\n');
    text
}

fn edges() -> String {
    let mut text = String::from("| No. | From | To | Written by |\n|---|---|---|---|\n");
    for edge in EDGES {
        let by = match edge.kind {
            Kind::System => "the system",
            Kind::Started => "the system, at the end of what a person started",
            Kind::Manual => "a person",
            Kind::ManualOrSystem => "a person, or the system",
        };
        let failed = if edge.after_failure { "; by a person only once the operation has failed" } else { "" };
        writeln!(text, "| {} | {} | {} | {by}{failed} |", edge.number, edge.from, edge.to).unwrap();
    }
    text
}

fn reasons() -> String {
    let mut text = String::from("| Reason | Why not | What to do |\n|---|---|---|\n");
    for reason in REASONS {
        writeln!(text, "| {} | {} | {} |", reason.number, reason.text, reason.way_out).unwrap();
    }
    text
}

fn claim(kind: AllocationKind) -> Claim {
    Claim { owner: "anna".into(), kind, reference: "web".into() }
}

fn run(machine: &Machine, commands: &[Command]) -> Machine {
    commands.iter().fold(machine.clone(), |machine, command| transition(&machine, command).unwrap().machine)
}

/// A machine in each state, with an operating system where there can be one.
fn machines() -> Vec<Machine> {
    let registering = birth(&Birth::SelfRegistered { predecessor: None }).machine;
    let poll = |open| Command::FirstPoll { open, accepts_data: false };
    let unavailable = run(&registering, &[poll(false)]);
    let available = run(&registering, &[poll(true)]);
    let reservation = Reservation { subscription: "s1".into(), holder: "anna".into() };
    let used = run(&available, &[Command::Lock(claim(AllocationKind::Standalone)), Command::Commit]);
    let again = Command::Register { method: Method::InBand, force: false, same_identity: true };
    vec![
        registering,
        unavailable.clone(),
        available.clone(),
        run(&available, &[Command::Reserve(reservation)]),
        used.clone(),
        run(&used, &[again]),
        run(&used, &[Command::OsReset]),
        run(&available, &[Command::SetStatus(Lifecycle::Defective)]),
        run(&unavailable, &[Command::Decommission]),
        run(&unavailable, &[Command::SetStatus(Lifecycle::RemovedFromRack)]),
    ]
}

/// The way that a machine goes.
fn way(result: Result<Change, Refusal>) -> String {
    match result {
        Err(refusal) => format!("refused: {}", refusal.text()),
        Ok(change) => {
            let mut states: Vec<&str> = Vec::new();
            for record in &change.records {
                if let (Some(from), true) = (record.from, states.is_empty()) {
                    states.push(from.as_str());
                }
                states.push(record.to.as_str());
            }
            let mut text = if states.is_empty() { "unchanged".to_owned() } else { states.join(" → ") };
            if change.machine.media == Media::Dirty && change.machine.lifecycle == Lifecycle::Decommissioned {
                text.push_str(" (media dirty)");
            }
            text
        }
    }
}

fn registered(machine: &Machine) -> String {
    match register_with_token(Known::Machine { machine, same_certificate: false }) {
        Ok(Registration::Successor(_)) => "a new record, linked to this one".into(),
        Ok(Registration::Known(change) | Registration::New(change)) => way(Ok(change)),
        Ok(Registration::Repeated) => "unchanged".into(),
        Err(refusal) if refusal.is_alert() => format!("refused, with an alert: {}", refusal.text()),
        Err(refusal) => format!("refused: {}", refusal.text()),
    }
}

type Call = (&'static str, fn(&Machine) -> String);

const CALLS: [Call; 8] = [
    ("registers with a token, another certificate", registered),
    ("first poll after a registration", |machine| {
        way(transition(machine, &Command::FirstPoll { open: true, accepts_data: false }))
    }),
    ("stops answering", |machine| way(transition(machine, &Command::Connectivity(Connectivity::Unresponsive)))),
    ("factory reset (taken by the machine)", |machine| way(transition(machine, &Command::OsReset))),
    ("delete server", |machine| way(transition(machine, &Command::DeleteServer))),
    ("resync", |machine| way(transition(machine, &Command::Resync))),
    ("member of a cluster, cluster deleted by force", |machine| way(transition(machine, &Command::Forget))),
    ("taken for a cluster", |machine| {
        let lock = transition(machine, &Command::Lock(claim(AllocationKind::Cluster)));
        way(lock.and_then(|locked| transition(&locked.machine, &Command::Commit)))
    }),
];

/// What each call of the Operations Center API does, state by state.
fn calls() -> String {
    let machines = machines();
    assert!(machines.iter().map(|m| m.lifecycle).eq(Lifecycle::ALL), "one machine of each state");
    let mut text = String::new();
    for (name, call) in CALLS {
        writeln!(text, "**{name}**\n\n| State | What becomes of it |\n|---|---|").unwrap();
        for machine in &machines {
            writeln!(text, "| {} | {} |", machine.lifecycle, call(machine)).unwrap();
        }
        text.push('\n');
    }
    text
}
