//! Servers: the enrolments of machines, and the expected ones (`servers.md` 2-6).

pub mod actions;
mod edit;
mod identifiers;
mod list;
mod register;
mod self_update;
pub(crate) mod tracking;
mod view;

pub(crate) use muster_domain::server::check;

pub use edit::{delete, pre_register, rename, update};
pub use identifiers::{IDENTIFIERS, identifiers};
pub use list::{Filter, names, page};
pub use register::register;
pub use self_update::self_update;
pub use view::{document, view};

use crate::{Engine, Error};
use muster_api::provisioning::server::Server;
use muster_store::{
    StoreError,
    tables::servers::{self, Server as ServerRow},
};

/// The stored record.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn row(engine: &Engine, name: &str) -> Result<ServerRow, Error> {
    let wanted = name.to_owned();
    let row = engine.store().read(move |tx| servers::get_by_name(tx, &wanted)).await?;
    row.ok_or_else(|| not_found(name))
}

/// One server and its configuration's generation.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn get(engine: &Engine, name: &str) -> Result<(Server, i64), Error> {
    let row = row(engine, name).await?;
    let channels = engine.channel_index().await?;
    Ok((view(&row, channels.of(&row.channel))?, row.generation))
}

pub(crate) fn not_found(name: &str) -> Error {
    Error::NotFound(format!("Failed to get server {name:?} by name"))
}

pub(crate) fn named(e: StoreError, name: &str) -> Error {
    match e {
        StoreError::NotFound => not_found(name),
        e => e.into(),
    }
}
