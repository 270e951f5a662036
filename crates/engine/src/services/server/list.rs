//! Lists of servers (`servers.md` 3.2), a page at a time so that memory stays flat.

use super::view;
use crate::{ChannelIndexes, Engine, Error};
use muster_api::provisioning::{server::Server, status::ServerStatus};
use muster_store::tables::servers::{self, Server as ServerRow};

/// What to list.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Members of this cluster only.
    pub cluster: Option<String>,
    /// In this status only.
    pub status: Option<ServerStatus>,
}

/// A page of servers after `after`, by name.
///
/// # Errors
/// The store's.
pub async fn page(
    engine: &Engine,
    filter: &Filter,
    channels: &ChannelIndexes,
    after: &str,
    limit: i64,
) -> Result<Vec<Server>, Error> {
    rows(engine, filter, after, limit).await?.iter().map(|row| view(row, channels.of(&row.channel))).collect()
}

/// Names of all servers that match, sorted.
///
/// # Errors
/// The store's.
pub async fn names(engine: &Engine, filter: &Filter) -> Result<Vec<String>, Error> {
    let filter = stored(filter, "");
    let keys = engine.store().read(move |tx| servers::keys(tx, &filter, i64::MAX)).await?;
    Ok(keys.into_iter().map(|k| k.name).collect())
}

async fn rows(engine: &Engine, filter: &Filter, after: &str, limit: i64) -> Result<Vec<ServerRow>, Error> {
    let filter = stored(filter, after);
    Ok(engine.store().read(move |tx| servers::list(tx, &filter, limit)).await?)
}

fn stored(filter: &Filter, after: &str) -> servers::Filter {
    servers::Filter {
        status: filter.status.map(|s| s.as_str().to_owned()),
        cluster: filter.cluster.clone(),
        after: (!after.is_empty()).then(|| after.to_owned()),
    }
}
