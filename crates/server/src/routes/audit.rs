//! `/1.0/audit`: who did what, chained by hash.

use crate::{
    App,
    answer::Sync,
    error::ApiError,
    params::{Key, Listing, Page, Params},
};
use axum::extract::State;
use muster_engine::services::audit::{self as service, Verdict};
use serde::Serialize;
use utoipa::ToSchema;

/// One entry of the audit.
#[derive(Debug, Serialize, ToSchema)]
pub struct AuditEntry {
    seq: i64,
    #[schema(value_type = String, format = DateTime)]
    at: muster_api::time::Time,
    actor: String,
    action: String,
    object_kind: String,
    object: String,
    from: Option<String>,
    to: Option<String>,
    reason: Option<String>,
    operation: Option<String>,
    hash: String,
}

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
        hash: row.hash,
    });
    Ok(Sync(entries.collect()))
}

/// The outcome of recomputing the chain.
#[derive(Debug, Serialize, ToSchema)]
pub struct AuditVerdict {
    /// Whether every entry fits the one before.
    intact: bool,
    /// How many there are, when intact.
    entries: Option<i64>,
    /// The first that does not.
    broken_at: Option<i64>,
}

/// Recomputes the whole chain.
#[utoipa::path(post, path = "/1.0/audit/:verify", tag = "audit", responses((status = 200, body = AuditVerdict)))]
pub async fn verify(State(app): State<App>) -> Result<Sync<AuditVerdict>, ApiError> {
    Ok(Sync(match service::verify(&app.engine).await? {
        Verdict::Intact(entries) => AuditVerdict { intact: true, entries: Some(entries), broken_at: None },
        Verdict::Broken(seq) => AuditVerdict { intact: false, entries: None, broken_at: Some(seq) },
    }))
}
