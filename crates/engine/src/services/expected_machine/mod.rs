//! Machines that are expected (`lifecycle.md` 2, 3.3): written down one by one or by the file, and met when they show up, which is
//! the business of `hardware`.

mod read;

pub use read::Format;

use crate::{Actor, Engine, Error, services::audit};
use muster_api::{
    expected_machine::{ExpectedMachine, ExpectedMachinePost, ImportFault, ImportOutcome, ImportRow},
    machine::MachineBmc,
    provisioning::server::MASK,
    time::Time,
};
use muster_domain::{
    hardware::is_placeholder,
    machine::asset::{self, Fault, faults},
};
use muster_store::{
    Secret, StoreError, Tx,
    tables::{
        expected_machines::{self, Expected},
        machines::{self, Identity},
    },
};
use serde_json::json;
use std::collections::BTreeMap;
use uuid::Uuid;

/// Rows at fault that an error names.
const NAMED: usize = 20;

fn missing(id: &str) -> Error {
    Error::NotFound(format!("expected machine {id:?}"))
}

fn shown(row: Expected) -> Result<ExpectedMachine, Error> {
    let broken = |e: serde_json::Error| Error::Internal(format!("expected machine {}: {e}", row.id));
    let bmc: MachineBmc = serde_json::from_str(&row.bmc).map_err(broken)?;
    Ok(ExpectedMachine {
        asset: serde_json::from_str(&row.asset).map_err(broken)?,
        bmc: (!bmc.endpoint.is_empty()).then_some(bmc),
        system_uuid: row.system_uuid.unwrap_or_default(),
        serial: row.serial.unwrap_or_default(),
        mac: row.mac.unwrap_or_default(),
        server_type: row.server_type,
        author: row.author,
        created_at: Time::from_micros(row.created_at),
        machine: row.machine_id.unwrap_or_default(),
        seen_at: row.seen_at.map(Time::from_micros),
        id: row.id,
    })
}

/// Expected machines behind the id `after`, by id, at most `limit`: all, or those that have been seen, or those that have not.
///
/// # Errors
/// The store's.
pub async fn list(
    engine: &Engine,
    seen: Option<bool>,
    after: Option<String>,
    limit: i64,
) -> Result<Vec<ExpectedMachine>, Error> {
    let rows = engine.store().read(move |tx| expected_machines::list(tx, seen, after.as_deref(), limit)).await?;
    rows.into_iter().map(shown).collect()
}

/// One of them.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn get(engine: &Engine, id: &str) -> Result<ExpectedMachine, Error> {
    let wanted = id.to_owned();
    let found = engine.store().read(move |tx| expected_machines::get(tx, &wanted)).await?;
    shown(found.ok_or_else(|| missing(id))?)
}

/// Writes down a machine that is expected; answers its id.
///
/// # Errors
/// [`Error::Invalid`] with every field at fault, [`Error::Constraint`] when it is expected already, or there.
pub async fn create(engine: &Engine, actor: &Actor, post: ExpectedMachinePost) -> Result<String, Error> {
    let told = |found: &[Fault]| format!("Invalid expected machine, {}", faults(found));
    let checked = check(post).map_err(|found| Error::Invalid(told(&found)))?;
    let (id, now, actor) = (Uuid::now_v7().to_string(), engine.clock().micros(), actor.clone());
    let made = id.clone();
    let done = engine.store().write(move |tx| {
        let taken = taken(tx, &checked)?;
        if !taken.is_empty() {
            return Ok(Err(Error::Constraint(faults(&taken))));
        }
        insert(tx, &id, &checked, &actor, now)?;
        let mut entry = audit::entry(now, &actor, "expected-machine.create", "expected-machine", &id);
        entry.detail = json!({"identity": checked.name()}).to_string();
        audit::append(tx, &entry)?;
        Ok(Ok(()))
    });
    done.await??;
    Ok(made)
}

/// Forgets one; what it was put on stays as it is.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn delete(engine: &Engine, actor: &Actor, id: &str) -> Result<(), Error> {
    let wanted = id.to_owned();
    let entry = audit::entry(engine.clock().micros(), actor, "expected-machine.delete", "expected-machine", id);
    let done = engine.store().write(move |tx| {
        expected_machines::delete(tx, &wanted)?;
        audit::append(tx, &entry)
    });
    done.await.map_err(|e| match e {
        StoreError::NotFound => missing(id),
        e => e.into(),
    })
}

/// How an import is done.
#[derive(Debug, Clone, Copy)]
pub struct Import {
    /// How the file is written.
    pub format: Format,
    /// Only say what would happen.
    pub dry_run: bool,
    /// Leave out rows at fault instead of refusing the file.
    pub skip_faulty: bool,
}

/// Takes in a file of expected machines, whole: a row at fault keeps the others out as well, unless such rows are to be skipped.
///
/// # Errors
/// [`Error::Invalid`] for what is no such file, or has rows at fault; the text names row and field.
pub async fn import(engine: &Engine, actor: &Actor, bytes: &[u8], how: Import) -> Result<ImportOutcome, Error> {
    let read = read::rows(how.format, bytes).map_err(|e| Error::Invalid(format!("Invalid import, {e}")))?;
    let rows: Vec<Result<Checked, Vec<Fault>>> = read.into_iter().map(|row| row.and_then(check)).collect();
    let (now, actor) = (engine.clock().micros(), actor.clone());
    let planned = move |tx: &mut Tx<'_>| plan(tx, &rows).map(|plan| (rows.clone(), plan));
    if how.dry_run {
        let (rows, plan) = engine.store().read(planned).await?;
        return Ok(outcome(&rows, plan, how, &[]));
    }
    let done = engine.store().write(move |tx| {
        let (rows, plan) = planned(tx)?;
        let refused = plan.iter().filter(|faults| !faults.is_empty()).count();
        if refused > 0 && !how.skip_faulty {
            return Ok(Err(Error::Invalid(format!("Invalid import, nothing was imported: {}", named(&plan)))));
        }
        let mut ids = Vec::new();
        for (row, faults) in rows.iter().zip(&plan) {
            let id = match row {
                Ok(checked) if faults.is_empty() => {
                    let id = Uuid::now_v7().to_string();
                    insert(tx, &id, checked, &actor, now)?;
                    id
                }
                _ => String::new(),
            };
            ids.push(id);
        }
        let outcome = outcome(&rows, plan, how, &ids);
        let mut entry = audit::entry(now, &actor, "expected-machine.import", "expected-machine", "");
        entry.detail = json!({"imported": outcome.imported, "refused": outcome.refused}).to_string();
        audit::append(tx, &entry)?;
        Ok(Ok(outcome))
    });
    done.await?
}

/// What a row says, checked.
#[derive(Debug, Clone)]
struct Checked {
    system_uuid: Option<String>,
    serial: Option<String>,
    mac: Option<String>,
    server_type: String,
    asset: String,
    bmc: String,
    password: Option<Secret>,
}

impl Checked {
    /// By what it is told from the others.
    fn name(&self) -> &str {
        [&self.system_uuid, &self.serial, &self.mac].into_iter().flatten().next().map_or("", String::as_str)
    }

    /// Its identities, each with its field.
    fn identities(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let all = [("system_uuid", &self.system_uuid), ("serial", &self.serial), ("mac", &self.mac)];
        all.into_iter().filter_map(|(field, value)| value.as_deref().map(|value| (field, value)))
    }
}

/// Every fault at once.
fn check(post: ExpectedMachinePost) -> Result<Checked, Vec<Fault>> {
    let mut found = Vec::new();
    let mut take = |result: Result<Option<String>, Vec<Fault>>| {
        result.unwrap_or_else(|faults| {
            found.extend(faults);
            None
        })
    };
    let uuid = take(asset::identity("system_uuid", &post.system_uuid));
    let serial = take(asset::identity("serial", &post.serial)).map(|serial| serial.to_uppercase());
    let server_type = take(asset::identity("server_type", &post.server_type)).unwrap_or_default();
    let kept = asset::asset(post.asset, "asset").unwrap_or_else(|faults| {
        found.extend(faults);
        Default::default()
    });
    let bmc = post.bmc.and_then(|bmc| asset::bmc(bmc, "bmc").map_err(|faults| found.extend(faults)).ok());
    let mut fault = |field: &str, why: String| found.push(Fault { field: field.into(), why });
    let system_uuid = uuid.and_then(|uuid| match Uuid::try_parse(&uuid) {
        Ok(parsed) if is_placeholder(&parsed.hyphenated().to_string()) => {
            fault("system_uuid", format!("{uuid:?} is what vendors leave where there is none; leave it out"));
            None
        }
        Ok(parsed) => Some(parsed.hyphenated().to_string()),
        Err(_) => {
            fault("system_uuid", format!("{uuid:?} is no UUID such as 4c4c4544-0051-3610-8052-b7c04f4e3732"));
            None
        }
    });
    if serial.as_deref().is_some_and(is_placeholder) {
        fault("serial", format!("{:?} is what vendors leave where there is none; leave it out", post.serial));
    }
    let mac = asset::mac(&post.mac).unwrap_or_else(|| {
        fault("mac", format!("{:?} is no MAC address such as 52:54:00:12:34:56", post.mac));
        String::new()
    });
    if post.system_uuid.trim().is_empty() && serial.is_none() && post.mac.trim().is_empty() {
        let why = "is missing; give system_uuid, serial or mac, by which it is recognised when it shows up";
        fault("serial", why.into());
    }
    if bmc.as_ref().is_some_and(|bmc| bmc.password == MASK) {
        fault("bmc.password", "is masked; give the password itself".into());
    }
    if !found.is_empty() {
        return Err(found);
    }
    let (bmc, password) = super::machine::split(bmc);
    Ok(Checked {
        system_uuid,
        serial,
        mac: (!mac.is_empty()).then_some(mac),
        server_type,
        asset: serde_json::to_string(&kept).unwrap_or_default(),
        bmc: bmc.map_or_else(|| "{}".into(), |bmc| serde_json::to_string(&bmc).unwrap_or_default()),
        password,
    })
}

/// Which of its identities are expected already, or there.
fn taken(tx: &mut Tx<'_>, checked: &Checked) -> Result<Vec<Fault>, StoreError> {
    let mut found = Vec::new();
    let macs: Vec<&str> = checked.mac.as_deref().into_iter().collect();
    for known in expected_machines::find(tx, checked.system_uuid.as_deref(), checked.serial.as_deref(), &macs)? {
        for (field, value) in checked.identities() {
            let other = [("system_uuid", &known.system_uuid), ("serial", &known.serial), ("mac", &known.mac)];
            if other.contains(&(field, &Some(value.to_owned()))) {
                let why = format!("is expected already, as {}; delete that one first", known.id);
                found.push(Fault { field: field.into(), why });
            }
        }
    }
    let there = |id: &str| format!("machine {id} has it already; edit that one");
    if checked.system_uuid.is_some() {
        let identity = Identity { system_uuid: checked.system_uuid.clone(), ..Identity::default() };
        let machine = machines::find_by_identity(tx, &identity)?.into_iter().next();
        found.extend(machine.map(|m| Fault { field: "system_uuid".into(), why: there(&m.id) }));
    }
    if let Some(serial) = &checked.serial {
        let machine = machines::with_serial(tx, serial)?;
        found.extend(machine.map(|id| Fault { field: "serial".into(), why: there(&id) }));
    }
    Ok(found)
}

/// What is wrong with each row, the others of the file considered.
fn plan(tx: &mut Tx<'_>, rows: &[Result<Checked, Vec<Fault>>]) -> Result<Vec<Vec<Fault>>, StoreError> {
    let mut seen: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    let mut plan = Vec::new();
    for (n, row) in rows.iter().enumerate() {
        let checked = match row {
            Ok(checked) => checked,
            Err(faults) => {
                plan.push(faults.clone());
                continue;
            }
        };
        let mut faults = taken(tx, checked)?;
        for (field, value) in checked.identities() {
            match seen.get(&(field, value)) {
                Some(first) => {
                    let why = format!("{value:?} is in row {first} already; leave one of them out");
                    faults.push(Fault { field: field.into(), why });
                }
                None => drop(seen.insert((field, value), n + 1)),
            }
        }
        plan.push(faults);
    }
    Ok(plan)
}

fn insert(tx: &mut Tx<'_>, id: &str, checked: &Checked, actor: &Actor, now: i64) -> Result<(), StoreError> {
    let row = Expected {
        id: id.to_owned(),
        system_uuid: checked.system_uuid.clone(),
        serial: checked.serial.clone(),
        mac: checked.mac.clone(),
        server_type: checked.server_type.clone(),
        asset: checked.asset.clone(),
        bmc: checked.bmc.clone(),
        author: actor.0.clone(),
        created_at: now,
        ..Expected::default()
    };
    expected_machines::insert(tx, &row, checked.password.as_ref())
}

fn outcome(rows: &[Result<Checked, Vec<Fault>>], plan: Vec<Vec<Fault>>, how: Import, ids: &[String]) -> ImportOutcome {
    let refused = plan.iter().filter(|faults| !faults.is_empty()).count();
    let fits = if how.dry_run { "importable" } else { "imported" };
    let imported = if how.dry_run && refused > 0 && !how.skip_faulty { 0 } else { rows.len() - refused };
    let rows = rows.iter().zip(plan).enumerate().map(|(n, (row, faults))| ImportRow {
        row: n + 1,
        identity: row.as_ref().map(|checked| checked.name().to_owned()).unwrap_or_default(),
        result: if faults.is_empty() { fits } else { "refused" }.into(),
        id: ids.get(n).cloned().unwrap_or_default(),
        faults: faults.into_iter().map(|fault| ImportFault { field: fault.field, why: fault.why }).collect(),
    });
    ImportOutcome { dry_run: how.dry_run, imported, refused, rows: rows.collect() }
}

/// The rows at fault in words, the first of them.
fn named(plan: &[Vec<Fault>]) -> String {
    let bad: Vec<(usize, &Vec<Fault>)> = plan.iter().enumerate().filter(|(_, faults)| !faults.is_empty()).collect();
    let mut texts: Vec<String> =
        bad.iter().take(NAMED).map(|(n, found)| format!("row {}: {}", n + 1, faults(found))).collect();
    if bad.len() > NAMED {
        texts.push(format!("and {} rows more", bad.len() - NAMED));
    }
    texts.join("; ")
}
