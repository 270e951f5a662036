//! `query`: any request to the API (cli.md 7.7).

use crate::context::Context;
use crate::error::{Error, Result};
use clap::Args;
use serde_json::Value;

/// `query`.
#[derive(Debug, Args)]
pub(crate) struct Query {
    /// Path of the API, with or without /1.0
    path: String,
    /// Method
    #[arg(short = 'X', long, default_value = "GET")]
    request: String,
    /// Body
    #[arg(short = 'd', long)]
    data: Option<String>,
}

/// Runs it.
pub(crate) async fn run(ctx: &Context, query: Query) -> Result {
    let method = http::Method::from_bytes(query.request.to_uppercase().as_bytes())
        .map_err(|_| Error::Usage(format!("invalid method {:?}", query.request)))?;
    let text = ctx.remote()?.raw(method, &path(&query.path), query.data).await?;
    match serde_json::from_str::<Value>(&text) {
        Ok(value) => ctx.print(&crate::output::json(&value)),
        Err(_) => ctx.print(&text),
    }
    Ok(())
}

fn path(given: &str) -> String {
    let rest = given.trim_start_matches('/');
    match rest.strip_prefix("1.0") {
        Some(below) if below.is_empty() || below.starts_with(['/', '?']) => format!("/1.0{below}"),
        _ if rest.is_empty() => "/1.0".to_owned(),
        _ => format!("/1.0/{rest}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_may_be_left_out() {
        for same in [
            "/1.0/provisioning/channels",
            "provisioning/channels",
            "/provisioning/channels",
            "1.0/provisioning/channels",
        ] {
            assert_eq!(path(same), "/1.0/provisioning/channels");
        }
        assert_eq!(path("/1.0"), "/1.0");
        assert_eq!(path("/"), "/1.0");
        assert_eq!(path("/1.0?x"), "/1.0?x");
        assert_eq!(path("/1.05"), "/1.0/1.05");
    }
}
