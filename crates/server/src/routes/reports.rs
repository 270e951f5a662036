//! `/1.0/reports`: what there is, added up (`lifecycle.md` 1.7).

use crate::{App, answer::Sync, error::ApiError, params::Params};
use axum::{
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use muster_api::report::UtilisationReport;
use muster_engine::services::report::{self as service, Grouping, Wanted};

/// How many machines of each group are in each of the ten states; the sum of all cells is the number of records. `by` names the
/// groups, `ids=true` adds the machines of each cell, `usage=true` server-hours by month, owner and type; `format=csv` answers
/// the rows alone, as a file.
#[utoipa::path(get, path = "/1.0/reports/utilisation", tag = "reports",
    params(("by" = Option<String>, Query), ("ids" = Option<bool>, Query), ("usage" = Option<bool>, Query),
           ("format" = Option<String>, Query)),
    responses((status = 200, body = UtilisationReport), (status = 400)))]
pub async fn utilisation(State(app): State<App>, params: Params) -> Result<Response, ApiError> {
    let by = match params.get("by") {
        "" => Grouping::Type,
        text => Grouping::parse(text).ok_or_else(|| {
            let names = Grouping::ALL.map(|(_, name)| name).join(", ");
            ApiError::bad_request(format!("by: {text:?} is no grouping; it has to be one of {names}"))
        })?,
    };
    let csv = match params.get("format") {
        "" | "json" => false,
        "csv" => true,
        other => return Err(ApiError::bad_request(format!("format: {other:?} must be json or csv"))),
    };
    let wanted = Wanted { by, ids: params.flag("ids")? && !csv, usage: params.flag("usage")? && !csv };
    let report = service::utilisation(&app.engine, wanted).await?;
    if !csv {
        return Ok(Sync(report).into_response());
    }
    let name = format!("attachment; filename=\"utilisation-{}.csv\"", report.by);
    let headers = [(header::CONTENT_TYPE, "text/csv; charset=utf-8"), (header::CONTENT_DISPOSITION, name.as_str())];
    Ok((headers, report.to_csv()).into_response())
}
