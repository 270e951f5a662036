//! A source of updates (`updates-and-system.md` 8): signs an index with an authority made on the spot, serves it and its
//! files on loopback, and goes wrong as it is told.
//!
//! - [`authority`] root, intermediate and signer, and S/MIME messages in both encodings
//! - [`release`] what an update consists of
//! - [`serve`] HTTP in front of a directory, with ranges and faults

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use muster_clients::tls::{Curve, Identity, Kind, TlsError};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub mod authority;
pub mod release;
pub mod serve;

pub use authority::{Authority, Encoding};
pub use release::Release;
pub use serve::{Asked, Fault};

/// How a publisher is set up.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where its files are kept; it has to be there.
    pub directory: PathBuf,
    /// How its documents are signed.
    pub encoding: Encoding,
    /// Without TLS.
    pub plain: bool,
    /// When its certificates begin to be valid.
    pub now: SystemTime,
}

/// Why a publisher cannot do what it should.
#[derive(Debug, thiserror::Error)]
pub enum PublisherError {
    /// A file or socket.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// A certificate.
    #[error("{0}")]
    Tls(#[from] TlsError),
    /// TLS refused the configuration.
    #[error("{0}")]
    Config(#[from] rustls::Error),
    /// A signature.
    #[error("{0}")]
    Sign(#[from] authority::SignError),
    /// An update that was not added before.
    #[error("there is no update {0:?}: add it first")]
    Unknown(String),
}

/// What the requests see.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    pub(crate) directory: PathBuf,
    pub(crate) troubles: Mutex<Vec<serve::Trouble>>,
    pub(crate) asked: Mutex<Vec<Asked>>,
}

/// A source of updates that runs until it is dropped.
#[derive(Debug)]
pub struct Publisher {
    shared: Arc<Shared>,
    authority: Authority,
    encoding: Encoding,
    updates: Mutex<BTreeMap<String, Value>>,
    address: SocketAddr,
    certificate_pem: Option<String>,
    end: CancellationToken,
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.end.cancel();
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Publisher {
    /// Makes its certificates and begins to listen on a free port of loopback. Nothing is published yet.
    ///
    /// # Errors
    /// Sockets and certificates.
    pub async fn start(options: Options) -> Result<Self, PublisherError> {
        let authority = Authority::new(options.now)?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (acceptor, certificate_pem) = if options.plain {
            (None, None)
        } else {
            let names = vec!["localhost".to_owned(), Ipv4Addr::LOCALHOST.to_string()];
            let identity = Identity::generate(&Kind::Server { names }, Curve::P256, "publisher", options.now)?;
            (Some(crate::wire::acceptor(&*identity.credentials()?)?), Some(identity.certificate_pem))
        };
        let shared = Arc::new(Shared { directory: options.directory, ..Shared::default() });
        let end = CancellationToken::new();
        tokio::spawn(serve::listen(listener, acceptor, shared.clone(), end.clone()));
        let updates = Mutex::default();
        Ok(Self { shared, authority, encoding: options.encoding, updates, address, certificate_pem, end })
    }

    /// Address of the source, without a slash at its end.
    pub fn url(&self) -> String {
        let scheme = if self.certificate_pem.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// Certificate that the listener presents; `None` without TLS.
    pub fn certificate_pem(&self) -> Option<&str> {
        self.certificate_pem.as_deref()
    }

    /// Whose signatures its documents carry.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// Writes the files of an update, and describes it. It is not in the index before [`Self::publish`].
    ///
    /// # Errors
    /// Files that cannot be written.
    pub fn add(&self, release: &Release) -> Result<Value, PublisherError> {
        let description = release.write(&self.shared.directory.join(&release.version))?;
        self.describe(&release.version, description.clone());
        Ok(description)
    }

    /// Describes an update by this document from now on, whatever its files are.
    pub fn describe(&self, version: &str, description: Value) {
        lock(&self.updates).insert(version.to_owned(), description);
    }

    /// Signs and publishes an index of these updates, in this order, and the description of each.
    ///
    /// # Errors
    /// Updates that were not added; files and signatures.
    pub fn publish(&self, versions: &[&str], now: SystemTime) -> Result<(), PublisherError> {
        let mut entries = Vec::new();
        for version in versions {
            let known = lock(&self.updates).get(*version).cloned();
            let mut description = known.ok_or_else(|| PublisherError::Unknown((*version).to_owned()))?;
            self.document(&format!("{version}/update"), &description, now)?;
            description["url"] = json!(format!("/{version}"));
            entries.push(description);
        }
        self.document("index", &json!({"format": "1.0", "updates": entries}), now)
    }

    /// Publishes a document, plain and signed: `<name>.json` and `<name>.sjson`.
    ///
    /// # Errors
    /// Files and signatures.
    pub fn document(&self, name: &str, document: &Value, now: SystemTime) -> Result<(), PublisherError> {
        let text = format!("{document:#}\n");
        let signed = self.authority.sign(&text, self.encoding, now)?;
        self.put(&format!("{name}.json"), text.as_bytes())?;
        self.put(&format!("{name}.sjson"), &signed)
    }

    /// Puts any bytes at a path: forged indexes, old ones, other files. Whoever reads meanwhile gets the old or the new
    /// ones, never a mixture.
    ///
    /// # Errors
    /// Files that cannot be written.
    pub fn put(&self, path: &str, bytes: &[u8]) -> Result<(), PublisherError> {
        let target = self.path(path);
        if let Some(folder) = target.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let fresh = target.with_extension("new");
        std::fs::write(&fresh, bytes)?;
        Ok(std::fs::rename(fresh, target)?)
    }

    /// Where the file of a path lies.
    pub fn path(&self, path: &str) -> PathBuf {
        self.shared.directory.join(Path::new(path.trim_start_matches('/')))
    }

    /// Lets requests for this path go wrong: the next `times`, or all.
    pub fn trouble(&self, path: &str, fault: Fault, times: Option<u32>) {
        let path = format!("/{}", path.trim_start_matches('/'));
        lock(&self.shared.troubles).push(serve::Trouble { path, fault, left: times });
    }

    /// All is well again.
    pub fn heal(&self) {
        lock(&self.shared.troubles).clear();
    }

    /// Requests since the last call.
    pub fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut lock(&self.shared.asked))
    }
}

#[cfg(test)]
mod tests;
