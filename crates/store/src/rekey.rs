//! The site key in use, and its change.
//!
//! The database names the key that it uses: the key check is sealed with it. Whoever seals asks there first, so that a
//! process which missed a change never seals with a former key. A change has three steps: the next key is on disk as
//! `<key file>.new` before the database uses it, one transaction seals everything anew, and then the next key takes the
//! key file's place. A crash between the steps leaves both files, and whoever opens the database next finishes or
//! forgets the change. Where the keys are given to the daemon, the next one is the first of them.

use crate::db::{Store, Tx};
use crate::error::{Result, StoreError};
use crate::keyfile::{self, Lock};
use crate::params;
use crate::places::Place;
use crate::seal::{Key, KeyOrigin, KeyRing, SealError, Secret, key_id};

const CHECK: &str = "site";
/// Rows sealed anew at once: documents are large, and memory is to stay flat.
const PAGE: i64 = 100;

/// Id of the key that the database uses; `None` for a fresh one.
pub(crate) fn in_use(tx: &mut Tx) -> Result<Option<String>> {
    let sql = "SELECT sealed FROM key_check WHERE name = $1";
    let sealed = tx.query_opt(sql, params![CHECK], |row| row.text(0))?;
    Ok(sealed.and_then(|sealed| key_id(&sealed).map(str::to_owned)))
}

/// Makes sure that the ring opens this database, or claims a fresh database for it. Finishes a change of the key that was
/// cut short.
pub(crate) fn check_keys(store: &Store) -> Result<()> {
    store.write_blocking(|tx| {
        let sql = "SELECT sealed FROM key_check WHERE name = $1";
        match tx.query_opt(sql, params![CHECK], |row| row.text(0))? {
            Some(sealed) => tx.unseal(Place::KeyCheck, &[CHECK], &sealed).map(drop),
            None => {
                let sealed = tx.seal(Place::KeyCheck, &[CHECK], &Secret::from(CHECK))?;
                tx.execute("INSERT INTO key_check (name, sealed) VALUES ($1, $2)", params![CHECK, sealed])?;
                Ok(())
            }
        }
    })?;
    match settle(store) {
        // Every key is at hand: that the next one cannot take its place now keeps nobody from working.
        Err(StoreError::Sealed(error @ SealError::File { .. })) => {
            tracing::error!(%error, "the change of the site key cannot be finished yet; leave both key files where they are");
            Ok(())
        }
        settled => settled,
    }
}

/// Follows the database: the key that it uses counts as the one in use, and becomes the key file's. Blocks.
///
/// # Errors
/// A key that is not at hand, with the remedy; a key file that cannot be read or written.
pub fn settle(store: &Store) -> Result<()> {
    store.keys().refresh()?;
    let Some(id) = store.read_blocking(in_use)? else { return Ok(()) };
    let used = adopt(store.keys(), &id)?;
    let KeyOrigin::File(path) = store.keys().origin() else { return Ok(()) };
    if !keyfile::differs(&path, &used)? {
        return Ok(());
    }
    match Lock::take(&path) {
        Ok(lock) => settle_file(store, &lock),
        // Whoever holds it does this.
        Err(SealError::Locked { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn adopt(keys: &KeyRing, id: &str) -> Result<Key> {
    let used = keys.key(id)?;
    keys.change(|ring| id.clone_into(&mut ring.used));
    Ok(used)
}

/// What the key file has to hold is asked for under its lock: another process may have changed the key again.
fn settle_file(store: &Store, lock: &Lock) -> Result<()> {
    let KeyOrigin::File(path) = store.keys().origin() else { return Ok(()) };
    if let Some(id) = store.read_blocking(in_use)? {
        let used = adopt(store.keys(), &id)?;
        keyfile::promote(&path, &used, lock)?;
        store.keys().refresh()?;
    }
    Ok(())
}

/// A change of the site key under way. Dropped before [`reseal`] was committed, it leaves everything as it was, but for the
/// next key on disk, which the next change takes.
#[derive(Debug)]
pub struct KeyChange {
    keys: KeyRing,
    next: Key,
    lock: Option<Lock>,
}

impl KeyChange {
    /// Step 1: the next key is at hand, and on disk, when this returns. Blocks.
    ///
    /// # Errors
    /// [`SealError::Given`] when the key is given to the daemon and no other one is, [`SealError::Locked`], and what keeps
    /// the key files from being read or written.
    pub fn begin(store: &Store) -> Result<KeyChange> {
        let keys = store.keys().clone();
        let (given, remedy) = match keys.origin() {
            KeyOrigin::File(path) => {
                let lock = Lock::take(&path)?;
                settle_file(store, &lock)?;
                let next = keyfile::next(&path, &lock)?;
                keys.refresh()?;
                return Ok(KeyChange { keys, next, lock: Some(lock) });
            }
            KeyOrigin::Environment => {
                ("MUSTER_KEY", "put a new key there (`openssl rand -hex 32`) and the present one into MUSTER_KEY_OLD")
            }
            KeyOrigin::Credential => (
                "the credential muster.key",
                "put a new key there (`openssl rand -hex 32`) and the present one into the credential muster.key.old",
            ),
        };
        settle(store)?;
        let (next, used) = keys.with(|ring| (ring.first.clone(), ring.used.clone()));
        if next.id() == used {
            return Err(SealError::Given { given, remedy }.into());
        }
        Ok(KeyChange { keys, next, lock: None })
    }

    /// Id of the next key.
    pub fn next_id(&self) -> &str {
        self.next.id()
    }

    /// The next key, for step 2, which may outlive the wait for it.
    pub fn next(&self) -> Key {
        self.next.clone()
    }

    /// Step 3, when the transaction is committed: the next key is the one in use, and the key file's. Blocks.
    ///
    /// # Errors
    /// A key file that cannot be written: the next key is in `<key file>.new` then, and the next start finishes this.
    pub fn finish(self, store: &Store) -> Result<()> {
        match &self.lock {
            Some(lock) => settle_file(store, lock),
            None => adopt(&self.keys, self.next.id()).map(drop),
        }
    }
}

/// How many texts a change of the key has to seal anew.
pub fn count_sealed(tx: &mut Tx) -> Result<u64> {
    let mut all = 0;
    for place in Place::ALL {
        let column = place.column();
        let sql = format!("SELECT COUNT(*) FROM {0} WHERE {1} IS NOT NULL", column.table, column.column);
        all += tx.query_one(&sql, &[], |row| row.int(0))?;
    }
    Ok(all.unsigned_abs())
}

/// Step 2 of a change: seals every secret with `next`, which is in use when the transaction is committed. Tells `each` how
/// many are done, and answers how many there were. What is sealed with `next` already is left alone.
///
/// # Errors
/// A sealed text that does not open: nothing is changed then.
pub fn reseal(tx: &mut Tx, next: &Key, each: &dyn Fn(u64)) -> Result<u64> {
    let mut count = 0;
    for place in Place::ALL {
        let mut after: Vec<String> = Vec::new();
        loop {
            let rows = page(tx, *place, &after)?;
            let Some((_, last)) = rows.last() else { break };
            after.clone_from(last);
            for (sealed, key) in rows {
                if key_id(&sealed) != Some(next.id()) {
                    count += reseal_row(tx, *place, &sealed, &key, next)?;
                    each(count);
                }
            }
        }
    }
    Ok(count)
}

/// The sealed texts behind `after`, each with the key of its row.
fn page(tx: &mut Tx, place: Place, after: &[String]) -> Result<Vec<(String, Vec<String>)>> {
    let column = place.column();
    let (name, table, keys) = (column.column, column.table, column.key.join(", "));
    let behind =
        if after.is_empty() { String::new() } else { format!(" AND ({keys}) > ({})", numbers(after.len(), 1)) };
    let sql =
        format!("SELECT {name}, {keys} FROM {table} WHERE {name} IS NOT NULL{behind} ORDER BY {keys} LIMIT {PAGE}");
    let values: Vec<_> = after.iter().map(Into::into).collect();
    tx.query(&sql, &values, |row| {
        let key = (0..column.key.len()).map(|index| row.text(index + 1)).collect::<Result<Vec<_>>>()?;
        Ok((row.text(0)?, key))
    })
}

fn reseal_row(tx: &mut Tx, place: Place, sealed: &str, key: &[String], next: &Key) -> Result<u64> {
    let (column, context) = (place.column(), place.context(key));
    let plain = tx.keys().open(&context, sealed)?;
    let keys = column.key.join(", ");
    let sql =
        format!("UPDATE {} SET {} = $1 WHERE ({keys}) = ({})", column.table, column.column, numbers(key.len(), 2));
    let mut values = params![next.seal(&context, &plain)?].to_vec();
    values.extend(key.iter().map(Into::into));
    tx.execute(&sql, &values)
}

/// `$first, …`, so many.
fn numbers(count: usize, first: usize) -> String {
    (first..first + count).map(|number| format!("${number}")).collect::<Vec<_>>().join(", ")
}
