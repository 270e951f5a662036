//! The configuration directory: remotes and the user's TLS identity (cli.md 5).

use crate::error::{Error, Result};
use muster_clients::tls::{Curve, Identity, Kind};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The name of the center on this machine, reached by its socket.
pub(crate) const LOCAL: &str = "local";

/// `config.yml`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Config {
    /// Name of the remote in use; empty for the local socket.
    pub(crate) default_remote: String,
    /// Known remotes.
    pub(crate) remotes: BTreeMap<String, RemoteEntry>,
}

/// One remote.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct RemoteEntry {
    /// `https://host:port`.
    pub(crate) addr: String,
    /// `tls`, `oidc`, or `untrusted` (also when empty).
    pub(crate) auth_type: String,
    /// PEM of the certificate that the user accepted; pins the remote.
    pub(crate) server_cert: String,
}

/// The directory of the configuration.
#[derive(Debug, Clone)]
pub(crate) struct ConfigDir(PathBuf);

impl ConfigDir {
    /// By the environment: `$OPERATIONS_CENTER_CONF`, else the user's configuration directory.
    pub(crate) fn from_env() -> Result<Self> {
        let get = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        Self::find(get)
    }

    fn find(get: impl Fn(&str) -> Option<String>) -> Result<Self> {
        if let Some(dir) = get("OPERATIONS_CENTER_CONF") {
            return Ok(Self(expand(&dir, &get).into()));
        }
        let base = get("XDG_CONFIG_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
        let base = base.or_else(|| get("HOME").map(|home| Path::new(&home).join(".config")));
        let base = base.or_else(|| std::env::home_dir().map(|home| home.join(".config")));
        match base {
            Some(base) => Ok(Self(base.join("operations-center"))),
            None => Err(Error::Failed("no home directory: set OPERATIONS_CENTER_CONF".into())),
        }
    }

    #[cfg(test)]
    pub(crate) fn at(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// The remotes; an absent file means none.
    pub(crate) fn load(&self) -> Result<Config> {
        let path = self.0.join("config.yml");
        match std::fs::read_to_string(&path) {
            Ok(text) if text.trim().is_empty() => Ok(Config::default()),
            Ok(text) => crate::yaml::parse(&text).map_err(|e| Error::Failed(format!("{}: {e}", path.display()))),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Config::default()),
            Err(e) => Err(Error::io(format!("cannot read {}", path.display()))(e)),
        }
    }

    /// Writes the remotes.
    pub(crate) fn save(&self, config: &Config) -> Result {
        let value = serde_json::to_value(config).map_err(|e| Error::Failed(e.to_string()))?;
        self.write("config.yml", &crate::yaml::write(&value, 2))
    }

    /// The user's identity, made on first use.
    pub(crate) fn identity(&self) -> Result<Identity> {
        let (certificate, key) = (self.0.join("client.crt"), self.0.join("client.key"));
        if certificate.exists() && key.exists() {
            let read = |path: &Path| {
                std::fs::read_to_string(path).map_err(Error::io(format!("cannot read {}", path.display())))
            };
            return Ok(Identity { certificate_pem: read(&certificate)?, key_pem: read(&key)? });
        }
        if certificate.exists() || key.exists() {
            return Err(Error::Failed(format!(
                "{} holds only one half of the client key pair: put the other half back, or move it away to get a new pair",
                self.0.display()
            )));
        }
        let made = Identity::generate(&Kind::Client, Curve::P384, "operations-center", crate::clock::system())
            .map_err(|e| Error::Failed(e.to_string()))?;
        self.write("client.key", &made.key_pem)?;
        self.write("client.crt", &made.certificate_pem)?;
        Ok(made)
    }

    /// The user's identity, if there is one already.
    pub(crate) fn known_identity(&self) -> Option<Identity> {
        let read = |name: &str| std::fs::read_to_string(self.0.join(name)).ok();
        Some(Identity { certificate_pem: read("client.crt")?, key_pem: read("client.key")? })
    }

    /// Removes the OIDC tokens of a remote.
    pub(crate) fn forget_tokens(&self, remote: &str) -> Result {
        let path = self.0.join("oidc-tokens").join(format!("{remote}.json"));
        match std::fs::remove_file(&path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::io(format!("cannot remove {}", path.display()))(e))
            }
            _ => Ok(()),
        }
    }

    /// Replaces a file as a whole, readable by the user alone.
    fn write(&self, name: &str, content: &str) -> Result {
        let path = self.0.join(name);
        let failed = || format!("cannot write {}", path.display());
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.0).map_err(Error::io(failed()))?;
        let part = self.0.join(format!(".{name}.{}", std::process::id()));
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&part)
            .map_err(Error::io(failed()))?;
        file.write_all(content.as_bytes()).and_then(|()| file.sync_all()).map_err(Error::io(failed()))?;
        std::fs::rename(&part, &path).map_err(Error::io(failed()))
    }
}

/// `$NAME` and `${NAME}` replaced; unknown names become empty.
fn expand(text: &str, get: impl Fn(&str) -> Option<String>) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        let (name, tail) = match after.strip_prefix('{').and_then(|braced| braced.split_once('}')) {
            Some(pair) => pair,
            None => {
                let end = after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(after.len());
                after.split_at(end)
            }
        };
        out += &get(name).unwrap_or_default();
        rest = tail;
    }
    out + rest
}

/// The local daemon's socket: `$OPERATIONS_CENTER_SOCKET`, else in `$OPERATIONS_CENTER_DIR`, else in `/run`.
pub(crate) fn socket() -> PathBuf {
    let get = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    get("OPERATIONS_CENTER_SOCKET")
        .or_else(|| get("OPERATIONS_CENTER_DIR").map(|dir| dir.join("unix.socket")))
        .unwrap_or_else(|| PathBuf::from("/run/operations-center/unix.socket"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn directories_by_environment() {
        let env = |pairs: &[(&str, &str)]| {
            let map: BTreeMap<String, String> = pairs.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
            ConfigDir::find(move |name| map.get(name).cloned()).unwrap().0
        };
        assert_eq!(env(&[("OPERATIONS_CENTER_CONF", "$A/${B}x"), ("A", "/a"), ("B", "b")]), Path::new("/a/bx"));
        assert_eq!(env(&[("XDG_CONFIG_HOME", "/x"), ("HOME", "/h")]), Path::new("/x/operations-center"));
        assert_eq!(env(&[("HOME", "/h")]), Path::new("/h/.config/operations-center"));
    }

    #[test]
    fn remotes_survive_and_are_private() {
        let scratch = tempfile::tempdir().unwrap();
        let dir = ConfigDir::at(&scratch.path().join("conf"));
        assert_eq!(dir.load().unwrap(), Config::default());
        let entry =
            RemoteEntry { addr: "https://oc:8443".into(), auth_type: "tls".into(), server_cert: "a\nb\n".into() };
        let config = Config { default_remote: "oc".into(), remotes: [("oc".into(), entry)].into() };
        dir.save(&config).unwrap();
        assert_eq!(dir.load().unwrap(), config);
        let mode = std::fs::metadata(scratch.path().join("conf/config.yml")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn the_identity_is_made_once_and_half_a_pair_is_refused() {
        let scratch = tempfile::tempdir().unwrap();
        let dir = ConfigDir::at(scratch.path());
        let first = dir.identity().unwrap().fingerprint().unwrap();
        assert_eq!(dir.identity().unwrap().fingerprint().unwrap(), first);
        let mode = std::fs::metadata(scratch.path().join("client.key")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        std::fs::remove_file(scratch.path().join("client.crt")).unwrap();
        assert!(dir.identity().is_err());
    }
}
