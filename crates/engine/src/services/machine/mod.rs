//! Machines, the physical assets (`lifecycle.md` 1, 5): what people see of them and ask of them.

mod create;
mod edit;
mod moves;
mod notes;
mod view;

pub use create::create;
pub(crate) use create::split;
pub use edit::edit;
pub(crate) use moves::prepare;
pub use moves::{Request, What, make};
pub use muster_domain::machine::Move;
pub use notes::{add_note, history, notes};

use crate::{
    Actor, Engine, Error,
    machine::read,
    services::{audit, operation},
};
use muster_api::machine::{Machine, MachineDetail};
use muster_domain::machine::lifecycle::Lifecycle;
use muster_store::tables::{
    machine_notes,
    machines::{self, Filter},
    server_types,
};
use serde_json::json;
use std::collections::HashMap;

/// Rows read at once.
const PAGE: usize = 500;

/// Which machines to list.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Only those in this state. Decommissioned ones only when asked for here or by `all`.
    pub lifecycle: Option<Lifecycle>,
    /// Decommissioned ones, too.
    pub all: bool,
    /// Only those behind this id.
    pub after: String,
    /// At most so many.
    pub limit: usize,
}

/// Machines by id, those that `keep` wants.
///
/// # Errors
/// The store's, or that of `keep`.
pub async fn list<E: From<Error>>(
    engine: &Engine,
    wanted: Wanted,
    mut keep: impl FnMut(&Machine) -> Result<bool, E>,
) -> Result<Vec<Machine>, E> {
    let hidden = (wanted.lifecycle.is_none() && !wanted.all).then(|| Lifecycle::Decommissioned.as_str().to_owned());
    let lifecycle = wanted.lifecycle.map(|l| l.as_str().to_owned());
    let mut filter = Filter { lifecycle, hidden, after: Some(wanted.after), ..Filter::default() };
    let mut found = Vec::new();
    loop {
        let (asked, size) = (filter.clone(), i64::try_from(PAGE).unwrap_or(i64::MAX));
        let page = engine.store().read(move |tx| {
            let rows = machines::list(tx, &asked, size)?;
            let last = rows.last().map(|row| row.id.clone()).unwrap_or_default();
            let names = machines::server_names(tx, asked.after.as_deref().unwrap_or_default(), &last)?;
            Ok((rows, names))
        });
        let (rows, names) = page.await.map_err(Error::from)?;
        let mut names: HashMap<String, String> = names.into_iter().collect();
        let whole = rows.len() < PAGE;
        filter.after = rows.last().map(|row| row.id.clone());
        for row in rows {
            if found.len() >= wanted.limit {
                return Ok(found);
            }
            let server = names.remove(&row.id).unwrap_or_default();
            let machine = view::machine(row, server)?;
            if keep(&machine)? {
                found.push(machine);
            }
        }
        if whole {
            return Ok(found);
        }
    }
}

/// One machine with what can be done with it, decommissioned or not, and its generation.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn get(engine: &Engine, actor: &Actor, id: &str) -> Result<(MachineDetail, i64), Error> {
    let wanted = id.to_owned();
    let found = engine.store().read(move |tx| {
        let Some(found) = read(tx, &wanted)? else { return Ok(None) };
        let newest = machine_notes::list(tx, &wanted, i64::MAX, 1)?.pop();
        let work = operation::on_machine(tx, &wanted)?;
        let server_type = server_types::get(tx, &found.0.server_type)?;
        let type_label = server_type.map(|kind| kind.label).unwrap_or_default();
        Ok(Some((found, view::Beside { newest, work, type_label })))
    });
    let ((row, server, mut machine), beside) = found.await?.ok_or_else(|| missing(id))?;
    if let (Some(enrolment), Some(server)) = (&mut machine.enrolment, &server) {
        enrolment.update_due = moves::update_due(engine, server).await?;
    }
    let generation = row.generation;
    let detail = view::detail(row, server.as_ref(), &machine, &actor.0, beside)?;
    Ok((detail, generation))
}

fn missing(id: &str) -> Error {
    Error::NotFound(format!("machine {id:?}"))
}

/// Records that an operator calls the own API of a server's machine, before it is called. `path` is without its query.
///
/// # Errors
/// The store's.
pub async fn record_call(engine: &Engine, actor: &Actor, server: &str, method: &str, path: &str) -> Result<(), Error> {
    let mut entry = audit::entry(engine.clock().micros(), actor, "server.os", "server", server);
    entry.detail = json!({ "method": method, "path": path }).to_string();
    Ok(engine.store().write(move |tx| audit::append(tx, &entry)).await?)
}
