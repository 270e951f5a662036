//! `/1.0/machines`: the physical assets, all of them in all of their states (`lifecycle.md` 1, 5).

use super::{machine_filter, operations};
use crate::{
    App,
    answer::{Accepted, Created, Empty, Sync, Tagged, etag, if_match},
    body::Strict,
    caller::Caller,
    error::ApiError,
    params::{Key, Listing, Page, Params, WHOLE},
};
use axum::{
    Extension,
    extract::{Path, State},
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use muster_api::machine::{
    HistoryEntry, Machine, MachineDetail, MachinePost, MachinePut, MoveOutcome, MovePost, Note, NotePost,
};
use muster_engine::services::machine::{self, Move, Request, Wanted, What};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

const LIST: Listing = Listing { path: "/1.0/machines", key: Key::Uuid, limits: WHOLE };
const PARTS: (i64, i64) = (1000, 10_000);

fn url(id: &str) -> String {
    format!("/1.0/machines/{id}")
}

/// Machines by id. Decommissioned ones only with `lifecycle=decommissioned` or `all=true`; `filter` is an expression over the
/// machine's keys; `limit` and `cursor` (the last id seen) page the list.
#[utoipa::path(get, path = "/1.0/machines", tag = "machines",
    params(("lifecycle" = Option<String>, Query), ("all" = Option<bool>, Query), ("filter" = Option<String>, Query),
           ("limit" = Option<i64>, Query), ("cursor" = Option<String>, Query)),
    responses((status = 200, body = Vec<Machine>), (status = 400)))]
pub async fn list(State(app): State<App>, params: Params) -> Result<Sync<Vec<Machine>>, ApiError> {
    let lifecycle = match params.get("lifecycle") {
        "" => None,
        text => Some(text.parse().map_err(|e| ApiError::bad_request(format!("lifecycle: {e}")))?),
    };
    let Page { after, limit } = params.page(&LIST)?;
    let filter = machine_filter::compile(params.get("filter"))?;
    let now = app.engine.clock().now().0;
    let wanted = Wanted {
        lifecycle,
        all: params.flag("all")?,
        after: after.unwrap_or_default(),
        limit: usize::try_from(limit).unwrap_or(usize::MAX),
    };
    let keep = |machine: &Machine| match &filter {
        None => Ok(true),
        Some(filter) => filter.matches(machine, now),
    };
    Ok(Sync(machine::list(&app.engine, wanted, keep).await?))
}

/// Names a machine in advance, or takes one over that is in production (`adopt`).
#[utoipa::path(post, path = "/1.0/machines", tag = "machines", request_body = MachinePost,
    responses((status = 201), (status = 400)))]
pub async fn create(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Strict(post): Strict<MachinePost>,
) -> Result<Created<NewMachine>, ApiError> {
    let id = machine::create(&app.engine, &caller.actor(), post).await?;
    Ok(Created(url(&id), NewMachine { id }))
}

/// A machine that was named.
#[derive(Debug, Serialize, ToSchema)]
pub struct NewMachine {
    id: String,
}

/// One machine, decommissioned or not, with what can be done with it now, and why the rest cannot.
#[utoipa::path(get, path = "/1.0/machines/{id}", tag = "machines", params(("id" = String, Path)),
    responses((status = 200, body = MachineDetail), (status = 404)))]
pub async fn get(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Tagged<MachineDetail>, ApiError> {
    let (detail, generation) = machine::get(&app.engine, &caller.actor(), &id).await?;
    Ok(Tagged(etag("machine", &id, generation), detail))
}

/// Replaces what people wrote about a machine: rack, units, inventory number, tags, properties, BMC.
#[utoipa::path(put, path = "/1.0/machines/{id}", tag = "machines", params(("id" = String, Path)),
    request_body = MachinePut, responses((status = 200), (status = 400), (status = 404), (status = 409), (status = 412)))]
pub async fn update(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    headers: HeaderMap,
    Strict(put): Strict<MachinePut>,
) -> Result<Empty, ApiError> {
    let (_, generation) = machine::get(&app.engine, &caller.actor(), &id).await?;
    if_match(&headers, &etag("machine", &id, generation))?;
    machine::edit(&app.engine, &caller.actor(), &id, put, generation).await?;
    Ok(Empty)
}

/// Makes a move, by its name behind a colon: `set-available`, `set-unavailable`, `set-defective`, `remove-from-rack`,
/// `allocate`, `release`, `clean`, `re-register`, `cancel`, `decommission`, `waive`, `hold`, `unhold`, `protect`, `unprotect`, `retire`,
/// `unretire`. With `dry_run` it only says what would happen. Work that goes on is answered with 202 and its operation.
#[utoipa::path(post, path = "/1.0/machines/{id}/{move}", tag = "machines",
    params(("id" = String, Path), ("move" = String, Path), ("dry_run" = Option<bool>, Query)), request_body = MovePost,
    responses((status = 200, body = MoveOutcome), (status = 202, body = MoveOutcome), (status = 400), (status = 404), (status = 409)))]
pub async fn make(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path((id, name)): Path<(String, String)>,
    params: Params,
    Strict(post): Strict<MovePost>,
) -> Result<Response, ApiError> {
    let Some(wanted) = name.strip_prefix(':').and_then(|name| name.parse::<Move>().ok()) else {
        return Err(ApiError::not_found(format!("{name:?} is nothing that can be done with a machine")));
    };
    let request = Request { what: What::Move(wanted), post, dry_run: params.flag("dry_run")? };
    let outcome = machine::make(&app.engine, &caller.actor(), &id, request).await?;
    Ok(answer(outcome))
}

fn answer(outcome: MoveOutcome) -> Response {
    match outcome.operation.as_str() {
        "" => Sync(outcome).into_response(),
        id => Accepted(operations::url(id), outcome).into_response(),
    }
}

/// A state that somebody wants a machine to have.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct StatePut {
    /// One of the ten.
    state: String,
    /// Why.
    note: String,
}

/// Sets a state by hand. Only `available`, `unavailable`, `defective` and `removed_from_rack` can be; for the others the
/// answer says which rule keeps people from it, and what leads there.
#[utoipa::path(put, path = "/1.0/machines/{id}/state", tag = "machines",
    params(("id" = String, Path), ("dry_run" = Option<bool>, Query)), request_body = StatePut,
    responses((status = 200, body = MoveOutcome), (status = 400), (status = 404), (status = 409)))]
pub async fn set_state(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    params: Params,
    Strict(put): Strict<StatePut>,
) -> Result<Response, ApiError> {
    let state = put.state.parse().map_err(|e| ApiError::bad_request(format!("state: {e}")))?;
    let post = MovePost { note: put.note, ..MovePost::default() };
    let request = Request { what: What::State(state), post, dry_run: params.flag("dry_run")? };
    Ok(answer(machine::make(&app.engine, &caller.actor(), &id, request).await?))
}

/// The notes of a machine, the newest first; `cursor` is the number of the last one seen.
#[utoipa::path(get, path = "/1.0/machines/{id}/notes", tag = "machines",
    params(("id" = String, Path), ("limit" = Option<i64>, Query), ("cursor" = Option<i64>, Query)),
    responses((status = 200, body = Vec<Note>), (status = 404)))]
pub async fn notes(
    State(app): State<App>,
    Path(id): Path<String>,
    params: Params,
) -> Result<Sync<Vec<Note>>, ApiError> {
    let Page { after, limit } = params.page(&Listing { path: "", key: Key::Number, limits: PARTS })?;
    let before = after.and_then(|seq| seq.parse().ok()).unwrap_or(i64::MAX);
    Ok(Sync(machine::notes(&app.engine, &id, before, limit).await?))
}

/// Adds a note. Nothing takes one back.
#[utoipa::path(post, path = "/1.0/machines/{id}/notes", tag = "machines", params(("id" = String, Path)),
    request_body = NotePost, responses((status = 201), (status = 400), (status = 404)))]
pub async fn add_note(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    Strict(post): Strict<NotePost>,
) -> Result<Created<()>, ApiError> {
    let seq = machine::add_note(&app.engine, &caller.actor(), &id, post).await?;
    Ok(Created(format!("{}/notes/{seq}", url(&id)), ()))
}

/// What happened to a machine, oldest first: changes of state, notes, edits. `cursor` is the number of the last entry seen.
#[utoipa::path(get, path = "/1.0/machines/{id}/history", tag = "machines",
    params(("id" = String, Path), ("limit" = Option<i64>, Query), ("cursor" = Option<i64>, Query)),
    responses((status = 200, body = Vec<HistoryEntry>), (status = 404)))]
pub async fn history(
    State(app): State<App>,
    Path(id): Path<String>,
    params: Params,
) -> Result<Sync<Vec<HistoryEntry>>, ApiError> {
    let Page { after, limit } = params.page(&Listing { path: "", key: Key::Number, limits: PARTS })?;
    let after = after.and_then(|seq| seq.parse().ok()).unwrap_or(0);
    Ok(Sync(machine::history(&app.engine, &id, after, limit).await?))
}
