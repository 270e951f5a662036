//! `/1.0/audit`: who did what, chained by hash.

use crate::{
    App,
    answer::Sync,
    error::ApiError,
    params::{Key, Listing, Page, Params},
};
use axum::extract::{Request, State};
use muster_api::audit::{AuditEntry, AuditHead, AuditVerdict, AuditVerifyPost};
use muster_engine::services::audit as service;

const LIST: Listing = Listing { path: "/1.0/audit", key: Key::Number, limits: (1000, 10_000) };

/// Entries after `cursor` (the last number seen), oldest first.
#[utoipa::path(get, path = "/1.0/audit", tag = "audit",
    params(("cursor" = Option<i64>, Query), ("limit" = Option<i64>, Query)), responses((status = 200, body = Vec<AuditEntry>)))]
pub async fn list(State(app): State<App>, params: Params) -> Result<Sync<Vec<AuditEntry>>, ApiError> {
    let Page { after, limit } = params.page(&LIST)?;
    let after = after.and_then(|seq| seq.parse().ok()).unwrap_or(0);
    let rows = service::list(&app.engine, after, limit).await?;
    let entries = rows.into_iter().map(|row| AuditEntry {
        seq: row.seq,
        at: muster_api::time::Time::from_micros(row.entry.at),
        actor: row.entry.actor,
        action: row.entry.action,
        object_kind: row.entry.object_kind,
        object: row.entry.object,
        from: row.entry.from_state,
        to: row.entry.to_state,
        reason: row.entry.reason,
        operation: row.entry.operation_id,
        detail: row.entry.detail,
        prev_hash: row.prev_hash,
        hash: row.hash,
    });
    Ok(Sync(entries.collect()))
}

/// The end of the log, signed with the site's key: to be kept elsewhere, and given to `:verify` later.
#[utoipa::path(get, path = "/1.0/audit/head", tag = "audit", responses((status = 200, body = AuditHead)))]
pub async fn head(State(app): State<App>) -> Result<Sync<AuditHead>, ApiError> {
    Ok(Sync(service::head(&app.engine).await?))
}

/// Recomputes the whole chain, and compares every machine with what its transitions come to; the body may be empty.
#[utoipa::path(post, path = "/1.0/audit/:verify", tag = "audit", request_body = Option<AuditVerifyPost>,
    responses((status = 200, body = AuditVerdict), (status = 400)))]
pub async fn verify(State(app): State<App>, request: Request) -> Result<Sync<AuditVerdict>, ApiError> {
    let body = crate::body::read(request).await?;
    let post: AuditVerifyPost = if body.is_empty() { AuditVerifyPost::default() } else { crate::body::lenient(&body)? };
    Ok(Sync(service::verify(&app.engine, post.head).await?))
}
