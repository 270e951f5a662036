//! Prepared images (`servers.md` 4): what was asked for, kept for five minutes and for one download.

use crate::{Engine, Error};
use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};
use uuid::Uuid;

/// How long a prepared image can be fetched, in microseconds.
const LIFETIME_US: i64 = 300_000_000;
/// More would be somebody filling our memory; the oldest make room.
const AT_MOST: usize = 1000;

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prepared {
    /// The token that the image is for.
    pub token: Uuid,
    /// `iso` or `raw`.
    pub kind: String,
    /// Processor architecture.
    pub architecture: String,
    until: i64,
}

/// All prepared images of this process.
#[derive(Default)]
pub(crate) struct PreparedImages(Mutex<HashMap<Uuid, Prepared>>);

/// Keeps a request; answers the id to fetch it by.
pub fn prepare(engine: &Engine, token: Uuid, kind: &str, architecture: &str) -> Uuid {
    let now = engine.clock().micros();
    let mut images = engine.prepared_images().0.lock().unwrap_or_else(PoisonError::into_inner);
    images.retain(|_, image| image.until > now);
    if images.len() >= AT_MOST
        && let Some(oldest) = images.iter().min_by_key(|(_, image)| image.until).map(|(id, _)| *id)
    {
        images.remove(&oldest);
    }
    let id = Uuid::new_v4();
    let image = Prepared { token, kind: kind.into(), architecture: architecture.into(), until: now + LIFETIME_US };
    images.insert(id, image);
    id
}

/// What was prepared under this id for this token.
///
/// # Errors
/// [`Error::NotFound`] when there is none or its time is over, [`Error::Invalid`] for another token's.
pub fn prepared(engine: &Engine, token: Uuid, id: Uuid) -> Result<Prepared, Error> {
    let images = engine.prepared_images().0.lock().unwrap_or_else(PoisonError::into_inner);
    match images.get(&id).filter(|image| image.until > engine.clock().micros()) {
        None => Err(Error::NotFound(format!("prepared image {id}; prepare it again"))),
        Some(image) if image.token != token => {
            Err(Error::Invalid(format!("image {id} was prepared for another token")))
        }
        Some(image) => Ok(image.clone()),
    }
}
