//! The center's own certificates: the client pair that machines trust, and the server pair it listens with.
//!
//! The database holds them (keys sealed), so that several daemons of one site are the same peer to a machine. Files of the
//! same names lie in the data directory as well, since the host's operating system reads them there (`servers.md` 15.4).

use crate::Error;
use muster_clients::tls::{self, Curve, Identity, Kind};
use muster_store::{Secret, Store, StoreError, Tx, tables::identity as table};
use std::{io::Write, os::unix::fs::OpenOptionsExt, path::Path};

/// Both pairs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identities {
    /// Presented to machines.
    pub client: Identity,
    /// Listened with.
    pub server: Identity,
}

impl Identities {
    /// From the database; else from the files; else made anew. Afterwards both have them. Blocks.
    ///
    /// # Errors
    /// The store's, or the file system's.
    pub fn load_or_create(store: &Store, directory: &Path, now_us: i64) -> Result<Self, Error> {
        let identities =
            Self { client: one(store, directory, "client", now_us)?, server: one(store, directory, "server", now_us)? };
        identities.write_files(directory)?;
        Ok(identities)
    }

    /// From the database; none while it has not both.
    ///
    /// # Errors
    /// The store's.
    pub(crate) fn read(tx: &mut Tx<'_>) -> Result<Option<Self>, StoreError> {
        let pair = |stored: table::Identity| Identity {
            certificate_pem: stored.certificate,
            key_pem: stored.key.expose().to_owned(),
        };
        let (client, server) = (table::get(tx, "client")?.map(pair), table::get(tx, "server")?.map(pair));
        Ok(client.zip(server).map(|(client, server)| Self { client, server }))
    }

    /// Writes the pairs as files, keys with mode 0600, each replaced atomically.
    ///
    /// # Errors
    /// The file system's.
    pub fn write_files(&self, directory: &Path) -> Result<(), Error> {
        for (name, identity) in [("client", &self.client), ("server", &self.server)] {
            write(directory, &format!("{name}.key"), &identity.key_pem, 0o600)?;
            write(directory, &format!("{name}.crt"), &identity.certificate_pem, 0o644)?;
        }
        Ok(())
    }

    /// Whether machines trust the server certificate without being given it. A self-signed one they do not.
    pub fn server_is_publicly_trusted(&self, now_us: i64) -> bool {
        is_publicly_trusted(&self.server.certificate_pem, now_us)
    }
}

/// Whether machines trust a certificate (PEM) without being given it.
pub(crate) fn is_publicly_trusted(certificate_pem: &str, now_us: i64) -> bool {
    tls::publicly_trusted(certificate_pem, system_time(now_us))
}

/// The stored server certificate (PEM); none before the first start.
pub(crate) fn server_certificate(tx: &mut Tx<'_>) -> Result<Option<String>, StoreError> {
    Ok(table::get(tx, "server")?.map(|stored| stored.certificate))
}

/// A pair given by an operator.
///
/// # Errors
/// [`Error::Invalid`].
pub(crate) fn server_from(certificate: &str, key: &str) -> Result<Identity, Error> {
    let identity = Identity { certificate_pem: certificate.into(), key_pem: key.into() };
    match identity.credentials() {
        Ok(_) => Ok(identity),
        Err(e) => {
            Err(Error::Invalid(format!("Invalid certificate: {e}; give a PEM chain, leaf first, and its PEM key")))
        }
    }
}

pub(crate) fn put(tx: &mut Tx<'_>, name: &str, identity: &Identity) -> Result<(), StoreError> {
    table::put(
        tx,
        name,
        &table::Identity { certificate: identity.certificate_pem.clone(), key: Secret::new(identity.key_pem.clone()) },
    )
}

fn one(store: &Store, directory: &Path, name: &'static str, now_us: i64) -> Result<Identity, Error> {
    let broken = |e: tls::TlsError| Error::Internal(format!("the {name} certificate is broken: {e}"));
    let checked = |certificate_pem: String, key_pem: String| {
        let identity = Identity { certificate_pem, key_pem };
        identity.credentials().map(|_| identity).map_err(broken)
    };
    if let Some(stored) = store.read_blocking(move |tx| table::get(tx, name))? {
        return checked(stored.certificate, stored.key.expose().to_owned());
    }
    let read = |suffix: &str| std::fs::read_to_string(directory.join(format!("{name}.{suffix}"))).ok();
    let identity = match (read("crt"), read("key")) {
        (Some(certificate), Some(key)) => checked(certificate, key)?,
        _ => generate(name, now_us).map_err(broken)?,
    };
    // Daemons that start together on one database agree on the first one's pair.
    let row = table::Identity { certificate: identity.certificate_pem, key: Secret::new(identity.key_pem) };
    let stored = store.write_blocking(move |tx| table::get_or_put(tx, name, &row))?;
    checked(stored.certificate, stored.key.expose().to_owned())
}

fn generate(name: &str, now_us: i64) -> Result<Identity, tls::TlsError> {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = match host.trim() {
        "" => "localhost",
        host => host,
    };
    let kind = match name {
        "client" => Kind::Client,
        _ => Kind::Server { names: vec![host.into(), "127.0.0.1".into(), "::1".into()] },
    };
    let now = system_time(now_us);
    Identity::generate(&kind, Curve::P384, &format!("root@{host}"), now)
}

fn system_time(now_us: i64) -> std::time::SystemTime {
    std::time::UNIX_EPOCH + std::time::Duration::from_micros(now_us.unsigned_abs())
}

fn write(directory: &Path, name: &str, text: &str, mode: u32) -> Result<(), Error> {
    let path = directory.join(name);
    if std::fs::read_to_string(&path).is_ok_and(|present| present == text) {
        return Ok(());
    }
    let part = directory.join(format!("{name}.new"));
    let failed = |e: std::io::Error| Error::Internal(format!("cannot write {}: {e}", path.display()));
    std::fs::remove_file(&part)
        .or_else(|e| if e.kind() == std::io::ErrorKind::NotFound { Ok(()) } else { Err(e) })
        .map_err(failed)?;
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&part).map_err(failed)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
    std::fs::rename(&part, &path).map_err(failed)
}
