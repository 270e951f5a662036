//! The start of a refresh of the updates: there is one at a time, and who asks for another one joins it.

use super::{
    begin::{Begun, fill},
    entry,
};
use crate::{
    Actor, Engine, Error,
    operation::{Params, Plan, Wish},
    services::audit,
};
use muster_api::time::Time;
use muster_domain::operation::refresh::Refresh;
use muster_store::{
    StoreError, Tx,
    tables::{
        leases,
        operations::{self, Filter, Operation},
    },
};
use uuid::Uuid;

/// Kind of the object that a refresh is about.
pub(crate) const SOURCE: &str = "update-source";

/// Starts a refresh, or joins the one that is under way; answers its id. `accept_older`: once, an index that is older
/// than the last one is taken.
///
/// # Errors
/// [`Error::NotPermitted`] for `accept_older` while another refresh is under way.
pub async fn refresh_updates(engine: &Engine, actor: &Actor, accept_older: bool) -> Result<String, Error> {
    let (actor, now) = (actor.clone(), engine.clock().now());
    let source = engine.settings().updates.source.clone();
    engine.store().write(move |tx| start(tx, &actor, &source, accept_older, now)).await?
}

/// As [`refresh_updates`], in a transaction.
pub(crate) fn start(
    tx: &mut Tx<'_>,
    actor: &Actor,
    source: &str,
    accept_older: bool,
    now: Time,
) -> Result<Result<String, Error>, StoreError> {
    let wish = Wish::RefreshUpdates { accept_older };
    if let Some(running) = unfinished(tx, &wish)? {
        if accept_older {
            let text = format!("refresh {} is under way; wait for its end, or cancel it", running.id);
            return Ok(Err(Error::NotPermitted(text)));
        }
        return Ok(Ok(running.id));
    }
    let params = Params { wish, server: String::new(), force: false };
    let mut operation = Operation {
        id: Uuid::now_v7().to_string(),
        kind: params.wish.kind().into(),
        target_kind: SOURCE.into(),
        target: source.to_owned(),
        params: serde_json::to_string(&params).map_err(|e| StoreError::Database(e.to_string()))?,
        actor: actor.0.clone(),
        attempt: 1,
        created_at: now.micros(),
        ..Operation::default()
    };
    fill(&mut operation, &begun(accept_older, now), now)?;
    operations::insert(tx, &operation)?;
    audit::append(tx, &entry(&operation, "start", actor, now))?;
    Ok(Ok(operation.id))
}

/// Begins one anew that failed or was cancelled.
pub(super) fn again(
    tx: &mut Tx<'_>,
    found: &Operation,
    wish: &Wish,
    now: Time,
) -> Result<Result<Begun, Error>, StoreError> {
    if let Some(running) = unfinished(tx, wish)? {
        return Ok(Err(Error::NotPermitted(format!(
            "refresh {} is under way, and does what {} did",
            running.id, found.id
        ))));
    }
    Ok(Ok(begun(matches!(wish, Wish::RefreshUpdates { accept_older: true }), now)))
}

fn begun(accept_older: bool, now: Time) -> Begun {
    Begun::unmarked(Plan::Refresh(Refresh::new(accept_older, now.0)))
}

/// The refresh that is under way. From here to the commit no other transaction starts one.
fn unfinished(tx: &mut Tx<'_>, wish: &Wish) -> Result<Option<Operation>, StoreError> {
    const START: &str = "refresh-updates";
    leases::acquire(tx, START, START, 0, 0)?;
    let filter = Filter { kind: Some(wish.kind().to_owned()), unfinished: true, ..Filter::default() };
    Ok(operations::list(tx, &filter, 1)?.into_iter().next())
}
