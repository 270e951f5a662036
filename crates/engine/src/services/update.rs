//! Update records (`updates-and-system.md` 10). How they arrive is the update source's matter.

use crate::{Engine, Error};
use muster_api::provisioning::update::{Update, UpdateFile};
use muster_store::tables::updates::{self, Update as UpdateRow};
use uuid::Uuid;

fn update(row: &UpdateRow) -> Result<Update, Error> {
    let broken = |what: &str| Error::Internal(format!("the stored update {} has a broken {what}", row.uuid));
    Ok(Update {
        channels: row.channels.clone(),
        uuid: row.uuid.parse().map_err(|_| broken("uuid"))?,
        version: row.version.clone(),
        published_at: row.published_at.clone(),
        severity: row.severity.clone(),
        origin: row.origin.clone(),
        url: row.url.clone(),
        upstream_channels: serde_json::from_str(&row.upstream_channels).map_err(|_| broken("list of channels"))?,
        update_status: row.status.clone(),
    })
}

/// All updates, the newest version first.
///
/// # Errors
/// The store's.
pub async fn list(engine: &Engine) -> Result<Vec<Update>, Error> {
    engine.store().read(|tx| updates::list(tx, &updates::Filter::default())).await?.iter().map(update).collect()
}

/// Updates assigned to a channel, the newest version first.
///
/// # Errors
/// The store's.
pub async fn in_channel(engine: &Engine, channel: String) -> Result<Vec<Update>, Error> {
    Ok(list(engine).await?.into_iter().filter(|u| u.channels.contains(&channel)).collect())
}

/// One update, with the text of its files' list.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn get(engine: &Engine, uuid: Uuid) -> Result<(Update, Vec<UpdateFile>), Error> {
    let row = engine.store().read(move |tx| updates::get(tx, &uuid.to_string())).await?;
    let row = row.ok_or_else(|| Error::NotFound(format!("update {uuid}")))?;
    let files = serde_json::from_str(&row.files)
        .map_err(|_| Error::Internal(format!("the stored update {uuid} has a broken list of files")))?;
    Ok((update(&row)?, files))
}
