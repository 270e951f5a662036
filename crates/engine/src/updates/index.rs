//! The index of the update source: fetched, verified, not older than the last one, and filtered
//! (`updates-and-system.md` 8, 9, 12).

use super::{archive::DESCRIPTION, filter::Filters};
use crate::{Actor, Engine, Error, services::audit};
use bytes::Bytes;
use muster_api::{system::SystemUpdates, time::Time};
use muster_clients::{
    source::Source,
    tls::Trust,
    updates::{Authority, MESSAGE_LIMIT, Verified, verify},
};
use muster_domain::update::{
    edition::{self, Accepted, Edition},
    index::{self, File, Published},
    select::{self, Offered},
};
use muster_store::tables::update_sources;
use sha2::{Digest, Sha256};
use std::time::{Duration, SystemTime};

/// The signed index of a source.
const INDEX: &str = "index.sjson";
/// How long the check of a changed setting waits for the source.
const PROBE_WITHIN: Duration = Duration::from_secs(5);

/// The index in our hands.
#[derive(Debug)]
pub(crate) struct Index {
    /// The settings that it was read by; with others it has to be read again.
    pub(crate) settings: SystemUpdates,
    /// Where files come from; none when no source is set.
    pub(crate) source: Option<Source>,
    /// Its updates, judged by the filters.
    pub(crate) offered: Vec<Offered>,
}

impl Index {
    /// As the selection looks at it.
    pub(crate) fn as_source(&self) -> select::Source<'_> {
        match self.source {
            None => select::Source::None,
            Some(_) => select::Source::Index(&self.offered),
        }
    }
}

/// Why the index could not be had.
#[derive(Debug)]
pub(crate) struct Unread {
    /// For people.
    pub(crate) why: String,
    /// Whether another attempt may succeed without anybody changing anything.
    pub(crate) passing: bool,
}

impl Unread {
    fn for_good(why: impl ToString) -> Self {
        Self { why: why.to_string(), passing: false }
    }
}

/// Whose signature counts.
///
/// # Errors
/// [`Error::NotPermitted`] that names the setting.
pub(crate) fn authority(settings: &SystemUpdates) -> Result<Authority, Error> {
    const SETTING: &str = "\"updates.signature_verification_root_ca\"";
    let pem = &settings.signature_verification_root_ca;
    if pem.trim().is_empty() {
        let text =
            format!("no update can be verified: {SETTING} is not set; give the publisher's root certificate there");
        return Err(Error::NotPermitted(text));
    }
    let pin = settings.signature_verification_intermediate.as_deref().filter(|pin| !pin.is_empty());
    Authority::new(pem, pin)
        .map_err(|error| Error::NotPermitted(format!("no update can be verified: {SETTING}: {error}")))
}

/// Reads the index by the settings of now.
pub(crate) async fn read(engine: &Engine, actor: &Actor, accept_older: bool) -> Result<Index, Unread> {
    let settings = engine.settings().updates.clone();
    let filters =
        Filters::compile(&settings.filter_expression, &settings.file_filter_expression).map_err(Unread::for_good)?;
    if settings.source.is_empty() {
        return Ok(Index { settings, source: None, offered: Vec::new() });
    }
    let (source, verified) = signed(engine, &settings).await?;
    let updates = index::index(&verified.payload)
        .map_err(|error| Unread::for_good(format!("{INDEX} of {}: {error}", settings.source)))?;
    let signed_at = Time::from_micros(micros(verified.signed_at));
    let edition = Edition { signed_at, digest: hex::encode(Sha256::digest(&verified.payload)) };
    accept(engine, actor, &settings, edition, accept_older).await?;
    let offered = filters.judge(updates, engine.clock().now().0).map_err(Unread::for_good)?;
    Ok(Index { settings, source: Some(source), offered })
}

/// Looks whether a source that is about to be set has an index that can be verified.
///
/// # Errors
/// [`Error::Invalid`] with what is wrong with it.
pub(crate) async fn probe(engine: &Engine, settings: &SystemUpdates) -> Result<(), Error> {
    let unfit = |why: String| {
        Error::Invalid(format!("Invalid config, \"updates.source\" {:?} cannot be used: {why}", settings.source))
    };
    match tokio::time::timeout(PROBE_WITHIN, signed(engine, settings)).await {
        Err(_) => Err(unfit(format!("no answer within {} s", PROBE_WITHIN.as_secs()))),
        Ok(Err(unread)) => Err(unfit(unread.why)),
        Ok(Ok((_, verified))) => index::index(&verified.payload).map(drop).map_err(|error| unfit(error.to_string())),
    }
}

/// The signed description of an update, so that it can be exported; none where its source has none that fits its index.
pub(crate) async fn description(engine: &Engine, index: &Index, update: &Published) -> Option<Bytes> {
    let source = index.source.as_ref()?;
    let path = format!("{}/{DESCRIPTION}", update.url);
    let described = async {
        let message = source.document(&path, MESSAGE_LIMIT).await.map_err(|error| error.to_string())?;
        let authority = authority(&index.settings).map_err(|error| error.to_string())?;
        let (now, signed) = (system_time(engine), message.clone());
        let verified = tokio::task::spawn_blocking(move || verify(&signed, &authority, now)).await;
        let verified = verified.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
        let described = index::update(&verified.payload).map_err(|error| error.to_string())?;
        let same = described.version == update.version && described.origin == update.origin;
        let lists =
            |file: &File| described.files.iter().any(|d| d.filename == file.filename && d.sha256 == file.sha256);
        match same && update.files.iter().all(lists) {
            true => Ok(message),
            false => Err("it is of another update than the index says".to_owned()),
        }
    };
    match described.await {
        Ok(message) => Some(message),
        Err(error) => {
            let version = &update.version;
            tracing::warn!(version, error, "an update cannot be exported: its signed description is not to be had");
            None
        }
    }
}

/// The engine's time, as those who look at certificates want it.
fn system_time(engine: &Engine) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_micros(u64::try_from(engine.clock().micros()).unwrap_or(0))
}

/// The signed index, verified.
async fn signed(engine: &Engine, settings: &SystemUpdates) -> Result<(Source, Verified), Unread> {
    let authority = authority(settings).map_err(Unread::for_good)?;
    let source = Source::new(&settings.source, &Trust::SystemRoots).map_err(Unread::for_good)?;
    let message = source
        .document(INDEX, MESSAGE_LIMIT)
        .await
        .map_err(|error| Unread { why: error.to_string(), passing: error.is_passing() })?;
    let now = system_time(engine);
    let verified = tokio::task::spawn_blocking(move || verify(&message, &authority, now)).await;
    let verified =
        verified.map_err(|error| Unread { why: format!("the check ended early: {error}"), passing: true })?;
    match verified {
        Ok(verified) => Ok((source, verified)),
        Err(error) => Err(Unread::for_good(format!("{INDEX} of {} is refused: {error}", settings.source))),
    }
}

/// Judges the index against the one that was accepted last, and remembers it.
async fn accept(
    engine: &Engine,
    actor: &Actor,
    settings: &SystemUpdates,
    offered: Edition,
    on_purpose: bool,
) -> Result<(), Unread> {
    let url = settings.source.trim_end_matches('/').to_owned();
    let root = hex::encode(Sha256::digest(settings.signature_verification_root_ca.trim()));
    let (now, actor) = (engine.clock().now(), actor.clone());
    let judged = engine.store().write(move |tx| {
        let known = update_sources::edition(tx, &url, &root)?;
        // One that a later version wrote counts as none: it is written anew.
        let known: Option<Edition> = known.and_then(|text| serde_json::from_str(&text).ok());
        let accepted = match edition::judge(known.as_ref(), &offered, now, on_purpose) {
            Ok(accepted) => accepted,
            Err(refused) => return Ok(Err(refused)),
        };
        if accepted == Accepted::OnPurpose {
            let mut entry = audit::entry(now.micros(), &actor, "update.accept-older", "update-source", &url);
            entry.from_state = known.map(|known| known.signed_at.to_string());
            entry.to_state = Some(offered.signed_at.to_string());
            audit::append(tx, &entry)?;
        }
        let edition =
            serde_json::to_string(&offered).map_err(|error| muster_store::StoreError::Database(error.to_string()))?;
        update_sources::accept(tx, &url, &root, &edition, now.micros())?;
        Ok(Ok(()))
    });
    match judged.await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(refused)) => Err(Unread::for_good(refused)),
        Err(error) => Err(Unread { why: error.to_string(), passing: true }),
    }
}

fn micros(at: SystemTime) -> i64 {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}
