//! Where the site key comes from: a file, the environment or a systemd credential.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::seal::{Key, KeyOrigin, KeyRing, SealError};

impl KeyRing {
    /// Loads the key file at `path`, making one with a fresh key (mode 0600) where there is none.
    ///
    /// A file `<path>.new` beside it holds the next key, or belongs to a change of the key that was cut short: both keys
    /// are taken, and [`Store::open`](crate::Store::open) finds out which one the database uses.
    pub fn load_or_create(path: &Path) -> Result<KeyRing, SealError> {
        // Daemons that share a key file by a link share what lies beside it too.
        let path = &fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let new = new_path(path);
        let next = read(&new)?;
        match (read(path)?, next) {
            (Some(current), next) => {
                Ok(KeyRing::from_origin(current, next.into_iter().collect(), KeyOrigin::File(path.into())))
            }
            (None, Some(_)) => Err(SealError::File {
                path: path.display().to_string(),
                reason: format!("missing, but {} exists: restore the former key file", new.display()),
            }),
            (None, None) => {
                let key = Key::generate()?;
                write(path, &key, Existing::Keep)?;
                // Another process may have been faster: what the file says counts.
                let key = read(path)?.unwrap_or(key);
                Ok(KeyRing::from_origin(key, Vec::new(), KeyOrigin::File(path.into())))
            }
        }
    }

    /// The ring that the environment names, if it names one: `MUSTER_KEY` (hex or base64), or else the systemd credential
    /// `muster.key`. A second key that opens as well is in `MUSTER_KEY_OLD` or the credential `muster.key.old`.
    pub fn from_env() -> Result<Option<KeyRing>, SealError> {
        KeyRing::from_vars(|name| std::env::var(name).ok())
    }

    /// [`KeyRing::from_env`] with a lookup of its own.
    fn from_vars(var: impl Fn(&str) -> Option<String>) -> Result<Option<KeyRing>, SealError> {
        let variable = |name: &str| var(name).map(|text| Key::parse(&text, name)).transpose();
        // systemd keeps its credentials from others by itself and gives the files modes of its own.
        let credential = |name: &str| match var("CREDENTIALS_DIRECTORY") {
            Some(directory) => {
                let path = Path::new(&directory).join(name);
                let text = text(&path)?;
                text.map(|text| Key::parse(&text, &path.display().to_string())).transpose()
            }
            None => Ok(None),
        };
        let (first, origin) = match variable("MUSTER_KEY")? {
            Some(key) => (key, KeyOrigin::Environment),
            None => match credential("muster.key")? {
                Some(key) => (key, KeyOrigin::Credential),
                None => return Ok(None),
            },
        };
        let others = [variable("MUSTER_KEY_OLD")?, credential("muster.key.old")?];
        Ok(Some(KeyRing::from_origin(first, others.into_iter().flatten().collect(), origin)))
    }

    /// Reads the key files again: another process may have changed the key. Keys that were given stay as they are.
    ///
    /// # Errors
    /// A key file that cannot be read, or that others can read.
    pub fn refresh(&self) -> Result<(), SealError> {
        let KeyOrigin::File(path) = self.origin() else { return Ok(()) };
        // The next key first: it may take the key file's place between the two.
        let next = read(&new_path(&path))?;
        let file = read(&path)?;
        self.change(|ring| ring.take(file, next));
        Ok(())
    }
}

/// Held while the key files are changed; goes with its process, however that ends.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock of a key file, without waiting.
    ///
    /// # Errors
    /// [`SealError::Locked`] when another process has it.
    pub(crate) fn take(key_file: &Path) -> Result<Lock, SealError> {
        let mut path = key_file.as_os_str().to_owned();
        path.push(".lock");
        let path = PathBuf::from(path);
        let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
        let file = file.map_err(|error| file_error(&path, &error))?;
        match file.try_lock() {
            Ok(()) => Ok(Lock { _file: file }),
            Err(TryLockError::WouldBlock) => Err(SealError::Locked { path: path.display().to_string() }),
            Err(TryLockError::Error(error)) => Err(file_error(&path, &error)),
        }
    }
}

/// The next key of a key file: the one in `<path>.new`, or a fresh one that is on disk there when this returns.
pub(crate) fn next(path: &Path, _lock: &Lock) -> Result<Key, SealError> {
    let new = new_path(path);
    if let Some(key) = read(&new)? {
        return Ok(key);
    }
    let key = Key::generate()?;
    write(&new, &key, Existing::Keep)?;
    Ok(read(&new)?.unwrap_or(key))
}

/// Makes `key` the key file's key; nothing happens when it is that already.
pub(crate) fn promote(path: &Path, key: &Key, _lock: &Lock) -> Result<(), SealError> {
    let new = new_path(path);
    let is = |found: Option<Key>| found.is_some_and(|found| found.id() == key.id());
    let next = is(read(&new)?);
    let moved = match (is(read(path)?), next) {
        (true, false) => return Ok(()),
        (true, true) => fs::remove_file(&new),
        (false, true) => fs::rename(&new, path),
        (false, false) => return write(path, key, Existing::Replace),
    };
    moved.and_then(|()| sync_directory(path)).map_err(|error| file_error(path, &error))
}

/// Whether the key file's key is another one.
pub(crate) fn differs(path: &Path, key: &Key) -> Result<bool, SealError> {
    Ok(read(path)?.is_none_or(|found| found.id() != key.id()))
}

/// The file that holds the next key.
pub(crate) fn new_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    name.into()
}

/// What to do with a file that is there already.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Existing {
    Keep,
    Replace,
}

fn text(path: &Path) -> Result<Option<String>, SealError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(file_error(path, &error)),
    }
}

fn read(path: &Path) -> Result<Option<Key>, SealError> {
    let Some(text) = text(path)? else { return Ok(None) };
    let mode = match fs::metadata(path) {
        Ok(data) => data.permissions().mode() & 0o7777,
        // The next key has just taken the key file's place.
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(file_error(path, &error)),
    };
    if mode & 0o077 != 0 {
        return Err(SealError::Mode { path: path.display().to_string(), mode });
    }
    Key::parse(&text, &path.display().to_string()).map(Some)
}

/// Writes a key file that is on disk when this returns. It appears under its name only when it is complete.
fn write(path: &Path, key: &Key, existing: Existing) -> Result<(), SealError> {
    let mut draft = path.as_os_str().to_owned();
    draft.push(format!(".{}", uuid::Uuid::new_v4().simple()));
    let draft = PathBuf::from(draft);
    let outcome = (|| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
        writeln!(file, "{}", key.to_hex())?;
        file.sync_all()?;
        match existing {
            Existing::Replace => fs::rename(&draft, path),
            Existing::Keep => match fs::hard_link(&draft, path) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
                outcome => outcome,
            },
        }
    })();
    // After a rename there is nothing left to remove.
    if let Err(error) = fs::remove_file(&draft)
        && error.kind() != ErrorKind::NotFound
    {
        tracing::warn!(path = %draft.display(), %error, "cannot remove the draft of a key file");
    }
    outcome.and_then(|()| sync_directory(path)).map_err(|error| file_error(path, &error))
}

fn sync_directory(path: &Path) -> std::io::Result<()> {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => File::open(parent)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}

fn file_error(path: &Path, error: &std::io::Error) -> SealError {
    SealError::File { path: path.display().to_string(), reason: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_made_key_file_is_private_and_stays() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("muster.key");
        let first = KeyRing::load_or_create(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(KeyRing::load_or_create(&path).unwrap().current_id(), first.current_id());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "no draft is left behind");
    }

    #[test]
    fn a_key_file_that_others_can_read_is_refused_with_the_remedy() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("muster.key");
        KeyRing::load_or_create(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let error = KeyRing::load_or_create(&path).unwrap_err();
        assert!(matches!(error, SealError::Mode { mode: 0o640, .. }));
        assert!(error.to_string().contains("chmod 600"));
    }

    #[test]
    fn the_environment_names_keys() {
        let hex = |byte: &str| byte.repeat(32);
        let vars = |pairs: Vec<(&'static str, String)>| {
            KeyRing::from_vars(move |name| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| value.clone()))
        };
        assert!(vars(vec![]).unwrap().is_none());
        let keys = vars(vec![("MUSTER_KEY", hex("02")), ("MUSTER_KEY_OLD", hex("01"))]).unwrap().unwrap();
        let sealed = Key::new([1; 32]).seal("x", b"old").unwrap();
        assert_eq!(keys.open("x", &sealed).unwrap(), b"old");
        assert_eq!(keys.current_id(), Key::new([2; 32]).id());
        assert!(vars(vec![("MUSTER_KEY", "short".into())]).is_err());

        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().display().to_string();
        assert!(vars(vec![("CREDENTIALS_DIRECTORY", place.clone())]).unwrap().is_none());
        fs::write(directory.path().join("muster.key"), hex("03")).unwrap();
        let keys = vars(vec![("CREDENTIALS_DIRECTORY", place)]).unwrap().unwrap();
        assert_eq!(keys.current_id(), Key::new([3; 32]).id());
    }
}
