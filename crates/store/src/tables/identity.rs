//! The site's own certificates: `server` (what clients see) and `client` (what machines trust).

use crate::db::Tx;
use crate::error::Result;
use crate::params;
use crate::places::Place;
use crate::seal::Secret;

/// A certificate with its private key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The certificate, with its chain, as PEM.
    pub certificate: String,
    /// The private key as PEM.
    pub key: Secret,
}

/// One identity; `None` before it was made.
pub fn get(tx: &mut Tx, name: &str) -> Result<Option<Identity>> {
    let sql = "SELECT certificate, sealed_key FROM identity WHERE name = $1";
    let stored = tx.query_opt(sql, params![name], |row| Ok((row.text(0)?, row.text(1)?)))?;
    let Some((certificate, sealed)) = stored else { return Ok(None) };
    Ok(Some(Identity { certificate, key: tx.unseal(Place::IdentityKey, &[name], &sealed)? }))
}

/// The certificate of each identity, by name, without its key.
pub fn certificates(tx: &mut Tx) -> Result<Vec<(String, String)>> {
    let sql = "SELECT name, certificate FROM identity ORDER BY name";
    tx.query(sql, &[], |row| Ok((row.text(0)?, row.text(1)?)))
}

/// Stores or replaces an identity.
pub fn put(tx: &mut Tx, name: &str, identity: &Identity) -> Result<()> {
    let sealed = tx.seal(Place::IdentityKey, &[name], &identity.key)?;
    let sql = "INSERT INTO identity (name, certificate, sealed_key) VALUES ($1, $2, $3) \
               ON CONFLICT (name) DO UPDATE SET certificate = excluded.certificate, sealed_key = excluded.sealed_key";
    tx.execute(sql, params![name, &identity.certificate, sealed])?;
    Ok(())
}

/// Stores an identity unless there is one, and answers the stored one: processes that start together agree.
pub fn get_or_put(tx: &mut Tx, name: &str, identity: &Identity) -> Result<Identity> {
    if let Some(stored) = get(tx, name)? {
        return Ok(stored);
    }
    put(tx, name, identity)?;
    Ok(identity.clone())
}
