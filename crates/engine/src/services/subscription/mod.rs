//! Subscriptions (`lifecycle.md` 1.8): who asks for which machines, and what came of it.

mod change;

pub use change::{create, delete, edit, stop};

use crate::{Engine, Error, reservation};
use muster_api::{
    subscription::{SubscribedMachine, Subscription, SubscriptionDetail},
    time::Time,
};
use muster_domain::subscription::{HOLDER_LIMIT, Status};
use muster_store::{
    StoreError,
    tables::subscriptions::{self, Filter, Subscription as Row},
};
use std::collections::HashMap;

/// Most machines that are shown with a subscription.
const MACHINES: i64 = 1000;

/// Which subscriptions to list: of a status and a holder, where they are not empty, and behind the id `after`.
///
/// # Errors
/// [`Error::Invalid`] for what no subscription can have.
pub fn wanted(status: &str, holder: &str, after: Option<String>) -> Result<Filter, Error> {
    let given = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    if !status.is_empty() {
        status.parse::<Status>().map_err(|e| Error::Invalid(format!("status: {e}")))?;
    }
    if holder.len() > HOLDER_LIMIT || holder.contains('\0') {
        return Err(Error::Invalid("holder: is no name that a holder can have".into()));
    }
    Ok(Filter { status: given(status), holder: given(holder), after })
}

fn missing(id: &str) -> Error {
    Error::NotFound(format!("subscription {id:?}"))
}

/// As it is on the wire, but for what it has.
fn view(row: Row, now: Time, label: String, (bound, in_use): (i64, i64)) -> Result<Subscription, StoreError> {
    let running = reservation::subscription(&row)?.keeps(now);
    Ok(Subscription {
        id: row.id,
        holder: row.holder,
        server_type: row.type_id.unwrap_or_default(),
        server_type_label: label,
        machine: row.machine_id.unwrap_or_default(),
        quantity: row.quantity,
        site: row.site,
        starts: Time::from_micros(row.starts_at),
        ends: row.ends_at.map(Time::from_micros),
        cycle_months: row.cycle_months,
        renew: row.renew,
        status: row.status,
        running,
        bound,
        in_use,
        missing: row.missing,
        unfulfilled: row.unfulfilled,
        description: row.description,
        created_at: Time::from_micros(row.created_at),
    })
}

/// Subscriptions by id, which is by age, at most `limit`.
///
/// # Errors
/// The store's.
pub async fn list(engine: &Engine, filter: Filter, limit: i64) -> Result<Vec<Subscription>, Error> {
    let now = engine.clock().now();
    let found = engine.store().read(move |tx| {
        let rows = subscriptions::list(tx, &filter, limit)?;
        let (Some(first), Some(last)) = (rows.first(), rows.last()) else { return Ok(Vec::new()) };
        let counted = subscriptions::counts(tx, &first.id, &last.id)?;
        let mut counts: HashMap<String, (i64, i64)> = counted.into_iter().map(|(id, a, b)| (id, (a, b))).collect();
        let labels: HashMap<String, String> = subscriptions::labels(tx)?.into_iter().collect();
        let shown = rows.into_iter().map(|row| {
            let label = row.type_id.as_ref().and_then(|id| labels.get(id)).cloned().unwrap_or_default();
            let counts = counts.remove(&row.id).unwrap_or_default();
            view(row, now, label, counts)
        });
        shown.collect()
    });
    Ok(found.await?)
}

/// One subscription with its machines, and its generation.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn get(engine: &Engine, id: &str) -> Result<(SubscriptionDetail, i64), Error> {
    let (wanted, now) = (id.to_owned(), engine.clock().now());
    let found = engine.store().read(move |tx| {
        let Some(row) = subscriptions::get(tx, &wanted)? else { return Ok(None) };
        let counts = subscriptions::counts(tx, &wanted, &wanted)?.pop().map(|(_, bound, used)| (bound, used));
        let label = match &row.type_id {
            Some(id) => subscriptions::server_type(tx, id)?.map(|(_, label)| label),
            None => None,
        };
        let machines = subscriptions::machines(tx, &wanted, MACHINES)?.into_iter();
        let machines = machines.map(|(id, lifecycle, server)| {
            let server = server.unwrap_or_default();
            SubscribedMachine { id, lifecycle, server }
        });
        let generation = row.generation;
        let subscription = view(row, now, label.unwrap_or_default(), counts.unwrap_or_default())?;
        Ok(Some((SubscriptionDetail { subscription, machines: machines.collect() }, generation)))
    });
    found.await?.ok_or_else(|| missing(id))
}
