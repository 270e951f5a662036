//! `/1.0/internal/sql`: statements of an operator on the database (`updates-and-system.md` 5).

use crate::{App, answer::Sync, body::Lenient, caller::Caller, error::ApiError, params::Params};
use axum::{Extension, extract::State};
use muster_engine::services::sql::{self, Dump, Outcome};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A dump.
#[derive(Debug, Serialize, ToSchema)]
pub struct SqlDump {
    text: String,
}

/// The database as SQL text: schema and rows (`dump=0`), the schema (1), or the names of its tables (2).
#[utoipa::path(get, path = "/1.0/internal/sql", tag = "internal", params(("dump" = Option<i64>, Query)),
    responses((status = 200, body = SqlDump), (status = 400)))]
pub async fn dump(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    params: Params,
) -> Result<Sync<SqlDump>, ApiError> {
    // What is no number counts as 0, as in the reference.
    let what = match params.get("dump").parse::<i64>() {
        Err(_) | Ok(0) => Dump::All,
        Ok(1) => Dump::Schema,
        Ok(2) => Dump::Tables,
        Ok(n) => return Err(ApiError::bad_request(format!("dump={n} must be 0, 1 or 2"))),
    };
    Ok(Sync(SqlDump { text: sql::dump(&app.engine, &caller.actor(), what).await? }))
}

/// Statements, separated by semicolons.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
pub struct SqlQuery {
    query: String,
}

/// What the statements gave.
#[derive(Debug, Serialize, ToSchema)]
pub struct SqlResults {
    #[serde(rename = "Results")]
    results: Option<Vec<SqlResult>>,
}

/// What one statement gave.
#[derive(Debug, Serialize, ToSchema)]
pub struct SqlResult {
    /// `select` for a statement with a result, else `exec`.
    #[serde(rename = "type")]
    kind: &'static str,
    columns: Option<Vec<String>>,
    rows: Option<Vec<Vec<serde_json::Value>>>,
    rows_affected: u64,
}

impl From<Outcome> for SqlResult {
    fn from(outcome: Outcome) -> Self {
        Self {
            kind: if outcome.columns.is_empty() { "exec" } else { "select" },
            columns: (!outcome.columns.is_empty()).then_some(outcome.columns),
            rows: (!outcome.rows.is_empty()).then_some(outcome.rows),
            rows_affected: outcome.affected,
        }
    }
}

/// Runs the statements: all of them or none.
#[utoipa::path(post, path = "/1.0/internal/sql", tag = "internal", request_body = SqlQuery,
    responses((status = 200, body = SqlResults), (status = 400)))]
pub async fn query(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    Lenient(body): Lenient<SqlQuery>,
) -> Result<Sync<SqlResults>, ApiError> {
    if body.query.is_empty() {
        return Err(ApiError::bad_request("No query provided"));
    }
    let outcomes = sql::query(&app.engine, &caller.actor(), &body.query).await?;
    let results: Vec<SqlResult> = outcomes.into_iter().map(SqlResult::from).collect();
    Ok(Sync(SqlResults { results: (!results.is_empty()).then_some(results) }))
}
