//! Registration tokens (`servers.md` 4, 12.1, 12.7).

use crate::{Actor, Engine, Error, services::audit};
use muster_api::{
    provisioning::token::{ProviderConfig, Token, TokenPut},
    time::TimeText,
};
use muster_store::{
    StoreError,
    tables::{
        audit::Entry,
        tokens::{self, Token as TokenRow},
    },
};
use serde_json::json;
use std::collections::BTreeMap;
use uuid::Uuid;

/// A token and the generation its entity tag is made of.
pub type Versioned<T> = (T, i64);

fn token(row: TokenRow) -> Result<Versioned<Token>, Error> {
    let broken = |what: &str| Error::Internal(format!("the stored token {} has a broken {what}", row.uuid));
    Ok((
        Token {
            uses_remaining: row.uses_remaining,
            expire_at: row.expire_at.parse::<TimeText>().map_err(|_| broken("expiry"))?,
            description: row.description.clone(),
            channel: row.channel.clone(),
            accept_existing_data: row.accepts_data,
            uuid: row.uuid.parse().map_err(|_| broken("uuid"))?,
        },
        row.generation,
    ))
}

fn check(put: &TokenPut, now_us: i64) -> Result<(), Error> {
    if put.uses_remaining < 0 {
        return Err(Error::Invalid("Invalid token, uses_remaining must be 0 or more".into()));
    }
    if put.expire_at.at().micros() <= now_us {
        return Err(Error::Invalid(format!(
            "Invalid token, expire_at {} is in the past; give a time to come",
            put.expire_at.as_str()
        )));
    }
    if put.channel.is_empty() {
        return Err(Error::Invalid("Invalid token, channel must not be empty".into()));
    }
    Ok(())
}

fn row(uuid: Uuid, put: &TokenPut) -> TokenRow {
    TokenRow {
        uuid: uuid.to_string(),
        uses_remaining: put.uses_remaining,
        expire_at: put.expire_at.as_str().to_owned(),
        expire_at_us: put.expire_at.at().micros(),
        description: put.description.clone(),
        channel: put.channel.clone(),
        auto_remove: false,
        accepts_data: put.accept_existing_data,
        generation: 1,
    }
}

/// That somebody accepts what is on disks is on record.
fn told(put: &TokenPut, mut entry: Entry) -> Entry {
    if put.accept_existing_data {
        entry.detail = json!({"accept_existing_data": true}).to_string();
    }
    entry
}

/// Tokens behind the UUID `after`, by UUID, at most `limit`.
///
/// # Errors
/// The store's.
pub async fn list(engine: &Engine, after: Option<String>, limit: i64) -> Result<Vec<Token>, Error> {
    let rows = engine.store().read(move |tx| tokens::list(tx, after.as_deref(), limit)).await?;
    rows.into_iter().map(|r| token(r).map(|(t, _)| t)).collect()
}

/// One token.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn get(engine: &Engine, uuid: Uuid) -> Result<Versioned<Token>, Error> {
    let row = engine.store().read(move |tx| tokens::get(tx, &uuid.to_string())).await?;
    token(row.ok_or_else(|| Error::NotFound(format!("token {uuid}")))?)
}

/// Makes a token; an empty channel becomes the configured default.
///
/// # Errors
/// [`Error::Invalid`], or [`Error::Constraint`] for an unknown channel.
pub async fn create(engine: &Engine, actor: &Actor, mut put: TokenPut) -> Result<Uuid, Error> {
    if put.channel.is_empty() {
        put.channel.clone_from(&engine.settings().updates.server_default_channel);
    }
    let now = engine.clock().micros();
    check(&put, now)?;
    let uuid = Uuid::new_v4();
    let row = row(uuid, &put);
    let entry = told(&put, audit::entry(now, actor, "token.create", "token", &audit::token_name(uuid)));
    engine
        .store()
        .write(move |tx| {
            tokens::insert(tx, &row)?;
            audit::append(tx, &entry)
        })
        .await?;
    Ok(uuid)
}

/// Replaces a token. `expected` is the generation that the caller saw, if it said so. An automatically removed token stays one.
///
/// # Errors
/// [`Error::NotFound`], [`Error::Invalid`], [`Error::Constraint`], [`Error::Stale`].
pub async fn update(
    engine: &Engine,
    actor: &Actor,
    uuid: Uuid,
    put: TokenPut,
    expected: Option<i64>,
) -> Result<(), Error> {
    let now = engine.clock().micros();
    check(&put, now)?;
    let new = row(uuid, &put);
    let entry = told(&put, audit::entry(now, actor, "token.update", "token", &audit::token_name(uuid)));
    engine
        .store()
        .write(move |tx| {
            let old = tokens::get(tx, &new.uuid)?.ok_or(StoreError::NotFound)?;
            tokens::update(tx, &TokenRow { auto_remove: old.auto_remove, ..new.clone() }, expected)?;
            audit::append(tx, &entry)
        })
        .await
        .map_err(|e| named(e, uuid))
}

/// Removes a token and its seeds.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn delete(engine: &Engine, actor: &Actor, uuid: Uuid) -> Result<(), Error> {
    let entry = audit::entry(engine.clock().micros(), actor, "token.delete", "token", &audit::token_name(uuid));
    engine
        .store()
        .write(move |tx| {
            tokens::delete(tx, &uuid.to_string())?;
            audit::append(tx, &entry)
        })
        .await
        .map_err(|e| named(e, uuid))
}

fn named(e: StoreError, uuid: Uuid) -> Error {
    match e {
        StoreError::NotFound => Error::NotFound(format!("token {uuid}")),
        e => e.into(),
    }
}

/// What a machine is given to find the center. The token need not exist.
///
/// # Errors
/// [`Error::Internal`] while no public address is configured.
pub fn provider_config(engine: &Engine, uuid: Uuid) -> Result<ProviderConfig, Error> {
    let address = engine.settings().network.address.clone();
    if address.is_empty() {
        return Err(Error::Internal("no public address is configured; set network.address".into()));
    }
    let mut config = BTreeMap::from([("server_url".into(), address), ("server_token".into(), uuid.to_string())]);
    let identities = engine.identities();
    if !identities.server_is_publicly_trusted(engine.clock().micros()) {
        config.insert("server_certificate".into(), identities.server.certificate_pem.clone());
    }
    Ok(ProviderConfig { name: "operations-center".into(), config, version: "1".into() })
}
