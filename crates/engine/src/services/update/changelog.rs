//! What changed between two updates (`updates-and-system.md` 15), from the manifests that were read when they arrived.

use super::{List, Listed};
use crate::{Engine, Error, services::server};
use muster_api::provisioning::update::Changelog;
use muster_domain::server::version::is_newer;
use muster_domain::update::changelog::{self, DEFAULT_ARCHITECTURE, Manifest, Manifests, Release};
use muster_store::tables::updates;
use serde_json::Value;
use uuid::Uuid;

/// The channel that is meant when none is named.
const DEFAULT_CHANNEL: &str = "stable";
/// Architectures that updates are published for.
const ARCHITECTURES: [&str; 2] = ["x86_64", "aarch64"];

/// Which changelog of an update is wanted.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Channel to compare in; if not given `stable`, or else the first one that offers the update.
    pub channel: Option<String>,
    /// The channels of the publisher are meant.
    pub upstream: bool,
    /// Architecture; another than the published ones is read as `x86_64`.
    pub architecture: String,
}

fn members<'a>(list: &'a List, channel: &'a str, upstream: bool) -> impl Iterator<Item = &'a Listed> {
    list.updates().iter().filter(move |listed| {
        let channels = if upstream { &listed.update.upstream_channels } else { &listed.update.channels };
        listed.update.update_status == "ready" && channels.iter().any(|name| name == channel)
    })
}

/// What an update changes against the one before it in a channel.
///
/// # Errors
/// [`Error::NotFound`] for an update that is not in the channel.
pub async fn of_update(engine: &Engine, uuid: Uuid, wanted: Wanted) -> Result<Changelog, Error> {
    let absent = || Error::NotFound("Current UUID not found".into());
    let list = engine.updates().await?;
    let current = list.get(uuid).ok_or_else(absent)?;
    let channels = if wanted.upstream { &current.update.upstream_channels } else { &current.update.channels };
    let channel = match &wanted.channel {
        Some(channel) => channel.as_str(),
        None if channels.iter().any(|name| name == DEFAULT_CHANNEL) => DEFAULT_CHANNEL,
        None => channels.first().ok_or_else(absent)?,
    };
    let mut older = members(&list, channel, wanted.upstream).skip_while(|listed| listed.update.uuid != uuid);
    older.next().ok_or_else(absent)?;
    // A version that was uploaded and fetched is there twice.
    let prior = older.find(|listed| listed.update.version != current.update.version);
    compare(engine, current, prior, channel, &wanted.architecture).await
}

/// What each update of a channel changed against the one before it, the newest first.
///
/// # Errors
/// [`Error::NotPermitted`] for a channel without updates, known or not.
pub async fn history(engine: &Engine, channel: &str, architecture: &str) -> Result<Vec<Changelog>, Error> {
    let list = engine.updates().await?;
    let mut versions: Vec<&Listed> = members(&list, channel, false).collect();
    versions.dedup_by(|next, kept| next.update.version == kept.update.version);
    match versions.as_slice() {
        [] => Err(Error::NotPermitted(format!("Channel {channel:?} does not contain any updates"))),
        [only] => Ok(vec![compare(engine, only, None, channel, architecture).await?]),
        versions => {
            let mut changelogs = Vec::new();
            for pair in versions.windows(2) {
                changelogs.push(compare(engine, pair[0], Some(pair[1]), channel, architecture).await?);
            }
            Ok(changelogs)
        }
    }
}

/// What a server gets with the newest system of its channel (`servers.md` 3.9). Without a newer one it is empty; where the
/// update that the server has is not here any more, nothing is compared.
///
/// # Errors
/// [`Error::NotFound`] for an unknown server.
pub async fn of_server(engine: &Engine, name: &str) -> Result<Changelog, Error> {
    let (server, _) = server::get(engine, name).await?;
    let (os, channel) = (&server.version_data.os, server.channel.as_str());
    let Some(available) = os.available_version.as_deref().filter(|available| is_newer(available, &os.version)) else {
        return Ok(Changelog::default());
    };
    let list = engine.updates().await?;
    let with = |version: &str| members(&list, channel, false).find(|listed| listed.update.version == version);
    let hardware: Value = serde_json::from_str(server.hardware_data.get()).unwrap_or_default();
    let architecture = hardware.pointer("/cpu/architecture").and_then(Value::as_str).unwrap_or_default();
    let unassigned = || list.updates().iter().find(|listed| listed.update.version == os.version);
    match (with(available), with(&os.version).or_else(unassigned)) {
        (Some(current), Some(prior)) => compare(engine, current, Some(prior), channel, architecture).await,
        _ => Ok(Changelog {
            current_version: available.to_owned(),
            prior_version: os.version.clone(),
            channel: channel.to_owned(),
            components: None,
        }),
    }
}

async fn compare(
    engine: &Engine,
    current: &Listed,
    prior: Option<&Listed>,
    channel: &str,
    architecture: &str,
) -> Result<Changelog, Error> {
    let architecture = known(current, architecture).to_owned();
    let ids = (current.update.uuid.to_string(), prior.map(|prior| prior.update.uuid.to_string()));
    let rows = engine.store().read(move |tx| {
        let of = |tx: &mut _, uuid: &str| updates::manifests(tx, uuid, &architecture);
        Ok((of(tx, &ids.0)?, ids.1.as_deref().map(|uuid| of(tx, uuid)).transpose()?.unwrap_or_default()))
    });
    let (now, before) = rows.await?;
    let (now, before) = (manifests(now)?, manifests(before)?);
    let before = prior.map(|prior| Release { version: &prior.update.version, manifests: &before });
    let now = Release { version: &current.update.version, manifests: &now };
    Ok(changelog::between(&now, before.as_ref(), channel))
}

/// The architecture to compare for.
fn known<'a>(update: &Listed, asked: &'a str) -> &'a str {
    let published =
        update.files.iter().any(|file| file.filename.split_once('/').is_some_and(|(folder, _)| folder == asked));
    if published || ARCHITECTURES.contains(&asked) { asked } else { DEFAULT_ARCHITECTURE }
}

fn manifests(rows: Vec<updates::Manifest>) -> Result<Manifests, Error> {
    let broken = |component: &str| Error::Internal(format!("a stored manifest of {component:?} cannot be read"));
    rows.into_iter()
        .map(|row| {
            let manifest: Manifest = serde_json::from_str(&row.items).map_err(|_| broken(&row.component))?;
            Ok((row.component, manifest))
        })
        .collect()
}
