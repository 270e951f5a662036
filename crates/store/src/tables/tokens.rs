//! Registration tokens and their seeds (servers.md 4, 12).

use crate::db::{Row, Tx};
use crate::error::{Result, StoreError};
use crate::params;
use crate::places::Place;
use crate::seal::Secret;
use crate::tables::{Conditions, found, stale_or_missing};

/// A registration token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// The token itself, the primary key.
    pub uuid: String,
    /// How many machines may still register with it.
    pub uses_remaining: i64,
    /// The end of its life as the operator wrote it.
    pub expire_at: String,
    /// The same in microseconds since 1970.
    pub expire_at_us: i64,
    /// Free text.
    pub description: String,
    /// Update channel of the machines that register with it.
    pub channel: String,
    /// Whether the last use deletes it (made for a factory reset).
    pub auto_remove: bool,
    /// Whether what is on the disks of a machine that registers with it is accepted, so that it may enter the pool.
    pub accepts_data: bool,
    /// Counts its changes; not read by [`insert`].
    pub generation: i64,
}

const COLUMNS: &str = "uuid, uses_remaining, expire_at, expire_at_us, description, channel, auto_remove, accepts_data, \
                       generation";

fn from_row(row: &Row) -> Result<Token> {
    Ok(Token {
        uuid: row.text(0)?,
        uses_remaining: row.int(1)?,
        expire_at: row.text(2)?,
        expire_at_us: row.int(3)?,
        description: row.text(4)?,
        channel: row.text(5)?,
        auto_remove: row.bool(6)?,
        accepts_data: row.bool(7)?,
        generation: row.int(8)?,
    })
}

/// Tokens behind `after`, by UUID, at most `limit`.
pub fn list(tx: &mut Tx, after: Option<&str>, limit: i64) -> Result<Vec<Token>> {
    let mut wanted = Conditions::new();
    wanted.and("uuid >", after);
    let limit = wanted.value(limit);
    let sql = format!("SELECT {COLUMNS} FROM tokens WHERE {} ORDER BY uuid LIMIT ${limit}", wanted.sql);
    tx.query(&sql, &wanted.values, from_row)
}

/// One token.
pub fn get(tx: &mut Tx, uuid: &str) -> Result<Option<Token>> {
    tx.query_opt(&format!("SELECT {COLUMNS} FROM tokens WHERE uuid = $1"), params![uuid], from_row)
}

/// Adds a token, in generation 1.
pub fn insert(tx: &mut Tx, token: &Token) -> Result<()> {
    tx.execute(
        &format!("INSERT INTO tokens ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 1)"),
        params![
            &token.uuid,
            token.uses_remaining,
            &token.expire_at,
            token.expire_at_us,
            &token.description,
            &token.channel,
            token.auto_remove,
            token.accepts_data,
        ],
    )?;
    Ok(())
}

/// Replaces what an operator sets (all but `uuid` and `auto_remove`); with `expected` only if that is its generation.
/// Answers the new generation.
pub fn update(tx: &mut Tx, token: &Token, expected: Option<i64>) -> Result<i64> {
    let sql = "UPDATE tokens SET uses_remaining = $2, expire_at = $3, expire_at_us = $4, description = $5, channel = $6, \
               accepts_data = $7, generation = generation + 1 \
               WHERE uuid = $1 AND generation = COALESCE($8, generation) \
               RETURNING generation";
    let values = params![
        &token.uuid,
        token.uses_remaining,
        &token.expire_at,
        token.expire_at_us,
        &token.description,
        &token.channel,
        token.accepts_data,
        expected,
    ];
    match tx.query_opt(sql, values, |row| row.int(0))? {
        Some(generation) => Ok(generation),
        None => Err(stale_or_missing(get(tx, &token.uuid)?.is_some())),
    }
}

/// Deletes a token with its seeds.
pub fn delete(tx: &mut Tx, uuid: &str) -> Result<()> {
    found(tx.execute("DELETE FROM tokens WHERE uuid = $1", params![uuid])?)
}

/// What a use of a token yields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consumed {
    /// The channel that the machine joins.
    pub channel: String,
    /// Whether what is on its disks is accepted.
    pub accepts_data: bool,
    /// Whether this was the last use of a token that removes itself.
    pub removed: bool,
}

/// Why a token cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConsumeError {
    /// There is no such token.
    #[error("unknown token")]
    Unknown,
    /// No uses remain.
    #[error("the token has no uses left")]
    Spent,
    /// Its end has passed.
    #[error("the token has expired")]
    Expired,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Uses a token once (servers.md 5.3 a): one statement takes the use, so that N uses serve exactly N machines.
pub fn consume(tx: &mut Tx, uuid: &str, now_us: i64) -> Result<Consumed, ConsumeError> {
    let sql = "UPDATE tokens SET uses_remaining = uses_remaining - 1, generation = generation + 1 \
               WHERE uuid = $1 AND uses_remaining > 0 AND expire_at_us >= $2 \
               RETURNING channel, auto_remove, uses_remaining, accepts_data";
    let read = |row: &Row| Ok((row.text(0)?, row.bool(1)?, row.int(2)?, row.bool(3)?));
    let Some((channel, auto_remove, remaining, accepts_data)) = tx.query_opt(sql, params![uuid, now_us], read)? else {
        return Err(match get(tx, uuid)? {
            None => ConsumeError::Unknown,
            Some(token) if token.uses_remaining < 1 => ConsumeError::Spent,
            Some(_) => ConsumeError::Expired,
        });
    };
    let removed = auto_remove && remaining == 0;
    if removed {
        delete(tx, uuid)?;
    }
    Ok(Consumed { channel, accepts_data, removed })
}

/// A named seed configuration of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenSeed {
    /// The token that it belongs to.
    pub token: String,
    /// Its name, unique within the token.
    pub name: String,
    /// Free text.
    pub description: String,
    /// Whether an image with it may be fetched without logging in.
    pub public: bool,
    /// Microseconds since 1970.
    pub last_updated: i64,
    /// Counts its changes; not read by [`insert_seed`].
    pub generation: i64,
}

const SEED_COLUMNS: &str = "token, name, description, public, last_updated, generation";

fn seed_from_row(row: &Row) -> Result<TokenSeed> {
    Ok(TokenSeed {
        token: row.text(0)?,
        name: row.text(1)?,
        description: row.text(2)?,
        public: row.bool(3)?,
        last_updated: row.int(4)?,
        generation: row.int(5)?,
    })
}

/// The seeds of a token by name, without their documents.
pub fn list_seeds(tx: &mut Tx, token: &str) -> Result<Vec<TokenSeed>> {
    let sql = format!("SELECT {SEED_COLUMNS} FROM token_seeds WHERE token = $1 ORDER BY name");
    tx.query(&sql, params![token], seed_from_row)
}

/// One seed with its document (JSON), which may hold passwords and keys.
pub fn get_seed(tx: &mut Tx, token: &str, name: &str) -> Result<Option<(TokenSeed, Secret)>> {
    let sql = format!("SELECT {SEED_COLUMNS}, seeds FROM token_seeds WHERE token = $1 AND name = $2");
    let found = tx.query_opt(&sql, params![token, name], |row| Ok((seed_from_row(row)?, row.text(6)?)))?;
    let Some((seed, sealed)) = found else { return Ok(None) };
    let document = tx.unseal(Place::TokenSeeds, &[token, name], &sealed)?;
    Ok(Some((seed, document)))
}

/// Adds a seed, in generation 1.
pub fn insert_seed(tx: &mut Tx, seed: &TokenSeed, document: &Secret) -> Result<()> {
    let sealed = tx.seal(Place::TokenSeeds, &[&seed.token, &seed.name], document)?;
    tx.execute(
        &format!("INSERT INTO token_seeds ({SEED_COLUMNS}, seeds) VALUES ($1, $2, $3, $4, $5, 1, $6)"),
        params![&seed.token, &seed.name, &seed.description, seed.public, seed.last_updated, sealed],
    )?;
    Ok(())
}

/// Replaces description, visibility and document; with `expected` only if that is its generation. Answers the new one.
pub fn update_seed(tx: &mut Tx, seed: &TokenSeed, document: &Secret, expected: Option<i64>) -> Result<i64> {
    let sealed = tx.seal(Place::TokenSeeds, &[&seed.token, &seed.name], document)?;
    let sql = "UPDATE token_seeds SET description = $3, public = $4, last_updated = $5, seeds = $6, \
               generation = generation + 1 WHERE token = $1 AND name = $2 AND generation = COALESCE($7, generation) \
               RETURNING generation";
    let values = params![&seed.token, &seed.name, &seed.description, seed.public, seed.last_updated, sealed, expected,];
    match tx.query_opt(sql, values, |row| row.int(0))? {
        Some(generation) => Ok(generation),
        None => Err(stale_or_missing(get_seed(tx, &seed.token, &seed.name)?.is_some())),
    }
}

/// Deletes a seed.
pub fn delete_seed(tx: &mut Tx, token: &str, name: &str) -> Result<()> {
    found(tx.execute("DELETE FROM token_seeds WHERE token = $1 AND name = $2", params![token, name])?)
}
