//! Installation images with a seed in them (`servers.md` 4, 12.4, 12.6): prepared ones, and those of named seeds.
//!
//! A prepared image is a row: a restart does not lose it. It is good for one download, begun within five minutes. What it is
//! made of is settled by its first answer, and it is used up when its last bytes are handed out, so that a download that
//! broke off is taken up again for an hour; one that broke off at its very end is, too, by who names its entity tag.
//!
//! An image of a token that no machine could register with any more is refused: it would install a machine that stays
//! outside (the reference makes it). A named seed's image follows the token's channel unless another one is asked for, as
//! the machine will do once it is registered (defect 13). The center need not run on IncusOS for it (defect 21); off IncusOS
//! there are no authorities of its own to hand on.

use crate::images::{self, splice};
use crate::services::{audit, token, token_seed};
use crate::{Actor, Engine, Error};
use muster_api::provisioning::{
    seed::{TokenImagePost, TokenSeedConfigs},
    update::UpdateFile,
};
use muster_domain::image::{Given, archive};
use muster_store::{
    Secret, StoreError,
    tables::{
        images::{self as table, PreparedImage},
        tokens::{self, Token as TokenRow},
    },
};
use std::fs::File;
use uuid::Uuid;

/// Within what time the download of a prepared image has to begin, in microseconds.
const LIFETIME_US: i64 = 300_000_000;
/// For how long a download that began can be taken up again, in microseconds from its last answer.
const RESUMED_US: i64 = 3_600_000_000;
/// Prepared images kept at most; the oldest make room.
const AT_MOST: i64 = 1000;

/// Form of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// For a virtual drive or a disc.
    Iso,
    /// For a stick or a disk.
    Raw,
}

impl Kind {
    /// By its name; none for another word.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "iso" => Some(Self::Iso),
            "raw" => Some(Self::Raw),
            _ => None,
        }
    }

    /// Its name, and the ending of its files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Iso => "iso",
            Self::Raw => "raw",
        }
    }

    /// What an update calls such a file.
    fn file_type(self) -> &'static str {
        match self {
            Self::Iso => "image-iso",
            Self::Raw => "image-raw",
        }
    }
}

/// An image with a seed in it: a gzip file, in parts.
#[derive(Debug)]
pub struct Image {
    /// What the parts of a file are of.
    pub file: File,
    /// Its parts in order.
    pub spans: Vec<splice::Span>,
    /// Identifies its bytes; lower-case hex.
    pub tag: String,
    /// Its form.
    pub kind: Kind,
}

/// What is asked for.
struct Wanted<'a> {
    token: &'a TokenRow,
    kind: Kind,
    architecture: &'a str,
    channel: &'a str,
    /// SHA-256 of the stored image that earlier answers were made of.
    source: Option<&'a str>,
}

/// Refuses a token that no machine could register with.
fn usable(token: &TokenRow, now_us: i64) -> Result<(), Error> {
    let why = if token.uses_remaining < 1 {
        "the token has no uses left; give it more, or take another one"
    } else if token.expire_at_us < now_us {
        "the token has expired; give it more time, or take another one"
    } else {
        return Ok(());
    };
    Err(Error::NotPermitted(format!("no machine could register with this image: {why}")))
}

fn unknown_token(uuid: Uuid) -> Error {
    Error::NotFound(format!("token {uuid}"))
}

/// Keeps a request; answers the id to fetch it by.
///
/// # Errors
/// [`Error::NotFound`] for an unknown token, [`Error::NotPermitted`] for a used up one, [`Error::Invalid`] with a mistake in a
/// document.
pub async fn prepare(
    engine: &Engine,
    actor: &Actor,
    token: Uuid,
    kind: Kind,
    post: TokenImagePost,
) -> Result<Uuid, Error> {
    token_seed::checked(&post.seeds)?;
    let (id, now) = (Uuid::new_v4(), engine.clock().micros());
    let seeds = serde_json::to_string(&post.seeds).map_err(|error| Error::Internal(error.to_string()))?;
    let seeds = Secret::new(seeds);
    let image = PreparedImage {
        id: id.to_string(),
        token: token.to_string(),
        kind: kind.name().into(),
        architecture: post.architecture,
        source: None,
        until: now + LIFETIME_US,
        sent: false,
    };
    let mut entry = audit::entry(now, actor, "token.image", "token", &audit::token_name(token));
    entry.reason = Some(format!("an image is prepared: {} {}", image.kind, image.architecture));
    let done = engine.store().write(move |tx| {
        let Some(row) = tokens::get(tx, &image.token)? else { return Ok(Err(unknown_token(token))) };
        if let Err(refused) = usable(&row, now) {
            return Ok(Err(refused));
        }
        table::prune(tx, now, AT_MOST - 1)?;
        table::insert(tx, &image, &seeds)?;
        audit::append(tx, &entry)?;
        Ok(Ok(()))
    });
    done.await??;
    Ok(id)
}

/// A prepared image of this token. `resumed` is the entity tag that the caller has a part of.
///
/// # Errors
/// [`Error::NotFound`] when there is none, its time is over or it was fetched, [`Error::Invalid`] for another token's, and
/// those of [`named`].
pub async fn prepared(engine: &Engine, token: Uuid, id: Uuid, resumed: Option<&str>) -> Result<Image, Error> {
    let gone = || Error::NotFound(format!("prepared image {id}; prepare it again"));
    let now = engine.clock().micros();
    let found = engine.store().read(move |tx| {
        let Some((row, seeds)) = table::get(tx, &id.to_string())? else { return Ok(None) };
        let token = tokens::get(tx, &row.token)?.ok_or(StoreError::NotFound)?;
        Ok(Some((row, seeds, token)))
    });
    let (row, seeds, owner) = found.await?.filter(|(row, ..)| row.until >= now).ok_or_else(gone)?;
    if row.token != token.to_string() {
        return Err(Error::Invalid(format!("image {id} was prepared for another token: Constraint violation")));
    }
    if row.sent && resumed.is_none() {
        return Err(gone());
    }
    let broken = |what: &str| Error::Internal(format!("the prepared image {id} has a broken {what}"));
    let seeds: TokenSeedConfigs = serde_json::from_str(seeds.expose()).map_err(|_| broken("seed"))?;
    let wanted = Wanted {
        token: &owner,
        kind: Kind::parse(&row.kind).ok_or_else(|| broken("type"))?,
        architecture: &row.architecture,
        channel: &owner.channel,
        source: row.source.as_deref(),
    };
    let (image, source) = assemble(engine, &wanted, &seeds).await?;
    if row.sent && resumed != Some(image.tag.as_str()) {
        return Err(gone());
    }
    // The image may have been long in the making.
    let until = engine.clock().micros() + RESUMED_US;
    let noted = engine.store().write(move |tx| table::answered(tx, &id.to_string(), &source, until)).await;
    match noted {
        Err(StoreError::NotFound) => Err(gone()),
        noted => Ok(noted.map(|()| image)?),
    }
}

/// Notes that the last bytes of a prepared image are handed out.
pub async fn sent(engine: &Engine, id: Uuid) {
    let noted = engine.store().write(move |tx| table::sent(tx, &id.to_string())).await;
    if let Err(error) = noted {
        tracing::warn!(%error, "a prepared image that was fetched can be fetched once more");
    }
}

/// The image of a named seed; without a channel in the token's.
///
/// # Errors
/// [`Error::NotFound`] without a fitting file in the channel's newest update, [`Error::NotPermitted`] for a used up token,
/// [`Error::Invalid`] for a seed that is too large, [`Error::Retryable`] while the image is being made ready for seeds.
pub async fn named(
    engine: &Engine,
    token: Uuid,
    seeds: &TokenSeedConfigs,
    kind: Kind,
    architecture: &str,
    channel: Option<&str>,
) -> Result<Image, Error> {
    let row = engine.store().read(move |tx| tokens::get(tx, &token.to_string())).await?;
    let row = row.ok_or_else(|| unknown_token(token))?;
    let channel = channel.unwrap_or(&row.channel);
    let wanted = Wanted { token: &row, kind, architecture, channel, source: None };
    assemble(engine, &wanted, seeds).await.map(|(image, _)| image)
}

/// The image, and the SHA-256 of the stored one that it is made of.
async fn assemble(engine: &Engine, wanted: &Wanted<'_>, seeds: &TokenSeedConfigs) -> Result<(Image, String), Error> {
    usable(wanted.token, engine.clock().micros())?;
    let file = stored(engine, wanted).await?;
    let uuid = wanted.token.uuid.parse().map_err(|_| Error::Internal("the stored token has a broken uuid".into()))?;
    let provider = token::provider_config(engine, uuid)?;
    let given = Given { provider: &provider, channel: wanted.channel, custom_ca_certs: &[] };
    let seed = archive(seeds, given).map_err(|error| Error::Invalid(error.to_string()))?;
    let split = images::get(engine, &file).await?;
    let (kind, layout) = (wanted.kind, engine.image_layout());
    let image = images::blocking(move || {
        let spliced = splice::splice(&split.file, &split.index, layout, &seed).map_err(|error| match error {
            splice::SpliceError::NoRoom { .. } => Error::Invalid(error.to_string()),
            splice::SpliceError::Source(_) => Error::Internal(error.to_string()),
        })?;
        Ok(Image { file: split.file, spans: spliced.spans, tag: spliced.tag, kind })
    });
    Ok((image.await?, file.sha256))
}

/// The stored image that is wanted: of the newest update that is ready in the channel.
async fn stored(engine: &Engine, wanted: &Wanted<'_>) -> Result<UpdateFile, Error> {
    let Wanted { kind, architecture, channel, source, .. } = *wanted;
    let list = engine.updates().await?;
    let fits = |file: &&UpdateFile| file.kind == kind.file_type() && file.architecture == architecture;
    let mut offered = list.updates().iter().filter(|listed| {
        listed.update.update_status == "ready" && listed.update.channels.iter().any(|name| name == channel)
    });
    if let Some(source) = source {
        // Unless it was withdrawn meanwhile.
        let mut files = offered.clone().flat_map(|listed| &listed.files);
        if let Some(same) = files.find(|file| fits(file) && file.sha256 == source) {
            return Ok(same.clone());
        }
    }
    let Some(newest) = offered.next() else {
        let text = format!("no update is ready in channel {channel:?}, so there is no image to seed");
        return Err(Error::NotFound(text));
    };
    newest.files.iter().find(fits).cloned().ok_or_else(|| {
        let (kind, uuid) = (kind.name(), newest.update.uuid.to_string());
        Error::NotFound(format!(
            "image file of type {kind:?} for architecture {architecture:?} in the newest update {uuid:?} of channel {channel:?}"
        ))
    })
}
