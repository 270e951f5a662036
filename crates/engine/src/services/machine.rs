//! Machines, the physical assets (`lifecycle.md` 5.1), and calls that pass through to their own API.

use crate::{Actor, Engine, Error, services::audit};
use muster_domain::machine::lifecycle::Lifecycle;
use muster_store::tables::machines::{self, Filter, Machine as MachineRow};
use serde_json::json;

/// Rows read at once.
const PAGE: i64 = 500;

/// A machine and the name of the server that it is enrolled as, empty when it is not.
pub type Named = (MachineRow, String);

/// Machines behind the id `after`, by id, at most `limit`. Decommissioned ones only when asked for.
///
/// # Errors
/// The store's.
pub async fn list(
    engine: &Engine,
    lifecycle: Option<Lifecycle>,
    after: &str,
    limit: usize,
) -> Result<Vec<Named>, Error> {
    let after = after.to_owned();
    let found = engine.store().read(move |tx| {
        let mut filter = Filter {
            lifecycle: lifecycle.map(|l| l.as_str().to_owned()),
            after: Some(after.clone()),
            ..Filter::default()
        };
        let mut found = Vec::new();
        while found.len() < limit {
            let page = machines::list(tx, &filter, PAGE)?;
            let Some(last) = page.last() else { break };
            filter.after = Some(last.id.clone());
            for row in page {
                let shown = lifecycle.is_some() || row.lifecycle != Lifecycle::Decommissioned.as_str();
                if shown && found.len() < limit {
                    let server = machines::server_name(tx, &row.id)?.unwrap_or_default();
                    found.push((row, server));
                }
            }
        }
        Ok(found)
    });
    Ok(found.await?)
}

/// One machine, decommissioned or not.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn get(engine: &Engine, id: &str) -> Result<Named, Error> {
    let wanted = id.to_owned();
    let found = engine.store().read(move |tx| {
        let Some(row) = machines::get(tx, &wanted)? else { return Ok(None) };
        let server = machines::server_name(tx, &row.id)?.unwrap_or_default();
        Ok(Some((row, server)))
    });
    found.await?.ok_or_else(|| Error::NotFound(format!("Failed to get machine {id:?}")))
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
