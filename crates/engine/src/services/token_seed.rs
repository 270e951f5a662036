//! Named seeds of a token (`servers.md` 4, 12.2). The documents may hold keys, so they are sealed.

use crate::{
    Actor, Engine, Error,
    services::{audit, token::Versioned},
};
use muster_api::{
    provisioning::seed::{TokenSeed, TokenSeedConfigs, TokenSeedPost, TokenSeedPut},
    time::Time,
};
use muster_domain::image::check::check;
use muster_store::{
    Secret, StoreError,
    tables::tokens::{self, TokenSeed as SeedRow},
};
use uuid::Uuid;

fn seed(token: Uuid, row: SeedRow, document: &Secret) -> Result<Versioned<TokenSeed>, Error> {
    let seeds = serde_json::from_str(document.expose())
        .map_err(|_| Error::Internal(format!("the stored seed {:?} cannot be read", row.name)))?;
    let seed = TokenSeed {
        description: row.description,
        public: row.public,
        seeds,
        name: row.name,
        token_uuid: token,
        last_updated: Time::from_micros(row.last_updated),
    };
    Ok((seed, row.generation))
}

fn missing(e: StoreError, name: &str) -> Error {
    match e {
        StoreError::NotFound => Error::NotFound(format!("token seed {name:?}")),
        e => e.into(),
    }
}

/// Names of a token's seeds; none for an unknown token.
///
/// # Errors
/// The store's.
pub async fn names(engine: &Engine, token: Uuid) -> Result<Vec<String>, Error> {
    let rows = engine.store().read(move |tx| tokens::list_seeds(tx, &token.to_string())).await?;
    Ok(rows.into_iter().map(|r| r.name).collect())
}

/// One seed.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn get(engine: &Engine, token: Uuid, name: String) -> Result<Versioned<TokenSeed>, Error> {
    let wanted = name.clone();
    let found = engine.store().read(move |tx| tokens::get_seed(tx, &token.to_string(), &wanted)).await?;
    let (row, document) = found.ok_or_else(|| missing(StoreError::NotFound, &name))?;
    seed(token, row, &document)
}

fn row(token: Uuid, name: &str, description: String, public: bool, now: i64) -> SeedRow {
    SeedRow { token: token.to_string(), name: name.to_owned(), description, public, last_updated: now, generation: 1 }
}

fn sealed(seeds: &TokenSeedConfigs) -> Result<Secret, Error> {
    serde_json::to_string(seeds).map(Secret::new).map_err(|e| Error::Internal(e.to_string()))
}

/// Refuses what a machine would (`servers.md` 12.3), every mistake at once.
pub(super) fn checked(seeds: &TokenSeedConfigs) -> Result<(), Error> {
    check(seeds).map_err(|mistakes| Error::Invalid(mistakes.to_string()))
}

/// Makes a seed.
///
/// # Errors
/// [`Error::Invalid`] without a name or with a mistake in a document, [`Error::Constraint`] for a taken name or an unknown token.
pub async fn create(engine: &Engine, actor: &Actor, token: Uuid, post: TokenSeedPost) -> Result<(), Error> {
    if post.name.is_empty() {
        return Err(Error::Invalid("Invalid token seed, name can not be empty".into()));
    }
    checked(&post.seeds)?;
    let now = engine.clock().micros();
    let entry = audit::entry(now, actor, "token-seed.create", "token-seed", &post.name);
    let document = sealed(&post.seeds)?;
    let row = row(token, &post.name, post.description, post.public, now);
    engine
        .store()
        .write(move |tx| {
            tokens::insert_seed(tx, &row, &document)?;
            audit::append(tx, &entry)
        })
        .await?;
    Ok(())
}

/// Replaces a seed.
///
/// # Errors
/// [`Error::NotFound`], [`Error::Invalid`] with a mistake in a document, [`Error::Stale`].
pub async fn update(
    engine: &Engine,
    actor: &Actor,
    token: Uuid,
    name: String,
    put: TokenSeedPut,
    expected: Option<i64>,
) -> Result<(), Error> {
    checked(&put.seeds)?;
    let now = engine.clock().micros();
    let entry = audit::entry(now, actor, "token-seed.update", "token-seed", &name);
    let document = sealed(&put.seeds)?;
    let row = row(token, &name, put.description, put.public, now);
    let done = engine.store().write(move |tx| {
        tokens::update_seed(tx, &row, &document, expected)?;
        audit::append(tx, &entry)
    });
    done.await.map_err(|e| missing(e, &name))
}

/// Removes a seed.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn delete(engine: &Engine, actor: &Actor, token: Uuid, name: String) -> Result<(), Error> {
    let entry = audit::entry(engine.clock().micros(), actor, "token-seed.delete", "token-seed", &name);
    let wanted = name.clone();
    let done = engine.store().write(move |tx| {
        tokens::delete_seed(tx, &token.to_string(), &wanted)?;
        audit::append(tx, &entry)
    });
    done.await.map_err(|e| missing(e, &name))
}
