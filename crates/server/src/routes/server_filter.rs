//! Filter expressions on servers: compiled once a request, run on each row.

use super::server_schema;
use crate::error::ApiError;
use muster_api::provisioning::server::Server;
use muster_engine::{Error, services::server};
use muster_expr::Program;
use serde_json::{Value, json};

/// A compiled filter.
pub struct ServerFilter(Program);

/// Compiles a filter on objects, or on names only; none when empty.
///
/// # Errors
/// 400 that points at the place.
pub fn compile(source: &str, objects: bool) -> Result<Option<ServerFilter>, ApiError> {
    if source.is_empty() {
        return Ok(None);
    }
    let schema = if objects { server_schema::objects() } else { server_schema::names() };
    match muster_expr::compile(source, &schema) {
        Ok(program) => Ok(Some(ServerFilter(program))),
        Err(e) => Err(Error::Invalid(format!("Failed to compile filter expression: {e}")).into()),
    }
}

impl ServerFilter {
    /// Whether a server is kept.
    ///
    /// # Errors
    /// 400 when the expression fails on it.
    pub fn matches(&self, server: &Server, now: jiff::Timestamp) -> Result<bool, ApiError> {
        self.run(&server::identifiers(server, self.0.names()), now)
    }

    /// Whether a name is kept.
    ///
    /// # Errors
    /// 400 when the expression fails on it.
    pub fn matches_name(&self, name: &str, now: jiff::Timestamp) -> Result<bool, ApiError> {
        self.run(&json!({"name": name}), now)
    }

    fn run(&self, row: &Value, now: jiff::Timestamp) -> Result<bool, ApiError> {
        let failed = |e| Error::Invalid(format!("Failed to execute filter expression: {e}")).into();
        self.0.matches(row, now).map_err(failed)
    }
}
