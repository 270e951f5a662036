//! The key check and the change of the site key.
//!
//! The new key is on disk as `<key file>.new` before the database uses it, and takes the key file's place afterwards. A
//! crash in between leaves both files; the key check in the database tells which one counts.

use crate::db::{Store, Tx};
use crate::error::{Result, StoreError};
use crate::keyfile::{self, Existing};
use crate::params;
use crate::seal::{Key, KeyRing, key_id};
use crate::tables::{identity, servers, settings, tokens};

/// A column that holds sealed text.
struct SealedColumn {
    table: &'static str,
    /// The primary key, in the order that `context` takes it.
    key: &'static [&'static str],
    column: &'static str,
    context: fn(&[String]) -> String,
}

/// Every sealed column of the schema. A new one must be added here, or its secrets are lost with the next change of the key.
const SEALED: [SealedColumn; 6] = [
    SealedColumn { table: "key_check", key: &["name"], column: "sealed", context: |key| check_context(&key[0]) },
    SealedColumn {
        table: "settings",
        key: &["section"],
        column: "document",
        context: |key| settings::context(&key[0]),
    },
    SealedColumn { table: "identity", key: &["name"], column: "sealed_key", context: |key| identity::context(&key[0]) },
    SealedColumn {
        table: "token_seeds",
        key: &["token", "name"],
        column: "seeds",
        context: |key| tokens::seeds_context(&key[0], &key[1]),
    },
    SealedColumn {
        table: "servers",
        key: &["id"],
        column: "bmc_password",
        context: |key| servers::bmc_password_context(&key[0]),
    },
    SealedColumn {
        table: "servers",
        key: &["id"],
        column: "os_secrets",
        context: |key| servers::os_secrets_context(&key[0]),
    },
];

const CHECK: &str = "site";

fn check_context(name: &str) -> String {
    format!("key_check/{name}")
}

/// Makes sure that the ring opens this database, or claims a fresh database for it. Finishes a change of the key that was
/// cut short.
pub(crate) fn check_keys(store: &Store) -> Result<()> {
    let sealed = store.write_blocking(|tx| {
        let stored = tx.query_opt("SELECT sealed FROM key_check WHERE name = $1", params![CHECK], |row| row.text(0))?;
        if let Some(sealed) = stored {
            return Ok(sealed);
        }
        let sealed = tx.seal(&check_context(CHECK), CHECK)?;
        tx.execute("INSERT INTO key_check (name, sealed) VALUES ($1, $2)", params![CHECK, &sealed])?;
        Ok(sealed)
    })?;
    store.keys().open(&check_context(CHECK), &sealed)?;
    settle(store.keys(), &sealed)
}

/// Takes the key that the database uses as the current one, if the ring has it from `<key file>.new`.
fn settle(keys: &KeyRing, sealed: &str) -> Result<()> {
    let interrupted = keys.with(|ring| {
        let path = ring.path.clone()?;
        let used = ring.older.iter().find(|key| Some(key.id()) == key_id(sealed))?;
        Some((path, used.clone()))
    });
    let Some((path, used)) = interrupted else { return Ok(()) };
    keyfile::promote(&path)?;
    adopt(keys, used);
    Ok(())
}

fn adopt(keys: &KeyRing, new: Key) {
    keys.change(|ring| {
        ring.older.retain(|key| key.id() != new.id());
        let former = std::mem::replace(&mut ring.current, new);
        ring.older.push(former);
    });
}

/// Seals every secret with `new`, in one transaction, and makes it the current key; answers how many were sealed anew.
///
/// Other processes on the same database do not have the new key: stop them first. Where the ring came from the
/// environment, put the new key there afterwards.
pub fn rekey(store: &Store, new: &Key) -> Result<u64> {
    let keys = store.keys().clone();
    let path = keys.with(|ring| ring.path.clone());
    if let Some(path) = &path {
        keyfile::write(&keyfile::new_path(path), new, Existing::Replace)?;
    }
    // Known from now on, so that readers can open what the transaction below commits.
    keys.change(|ring| ring.older.push(new.clone()));
    let sealing = new.clone();
    let count = store.write_blocking(move |tx| reseal(tx, &sealing));
    let count = count.inspect_err(|error| {
        // When the outcome is not known the key must stay at hand.
        if !matches!(error, StoreError::Interrupted(_)) {
            keys.change(|ring| ring.older.retain(|key| key.id() != new.id()));
        }
    })?;
    adopt(&keys, new.clone());
    if let Some(path) = &path {
        keyfile::promote(path)?;
    }
    Ok(count)
}

fn reseal(tx: &mut Tx, new: &Key) -> Result<u64> {
    let mut count = 0;
    for SealedColumn { table, key, column, context } in SEALED {
        let list = key.join(", ");
        let rows =
            tx.query(&format!("SELECT {column}, {list} FROM {table} WHERE {column} IS NOT NULL"), &[], |row| {
                let key = (0..key.len()).map(|index| row.text(index + 1)).collect::<Result<Vec<_>>>()?;
                Ok((row.text(0)?, key))
            })?;
        let matching: Vec<String> =
            key.iter().enumerate().map(|(index, name)| format!("{name} = ${}", index + 2)).collect();
        let update = format!("UPDATE {table} SET {column} = $1 WHERE {}", matching.join(" AND "));
        for (sealed, key) in rows {
            let context = context(&key);
            let plain = tx.keys().open(&context, &sealed)?;
            let mut values = params![new.seal(&context, &plain)?].to_vec();
            values.extend(key.iter().map(Into::into));
            count += tx.execute(&update, &values)?;
        }
    }
    Ok(count)
}
