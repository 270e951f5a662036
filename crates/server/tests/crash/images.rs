//! Images are prepared for seeds and downloaded although the daemon dies in the middle of it: what is served is always the
//! right bytes, a download goes on where it broke off, and no file is left over.

use crate::{
    daemon::{Crash, Daemon, PAUSE, SEED_AT},
    site::{Database, Site},
    stories::Told,
};
use flate2::{Compression, bufread::GzDecoder, write::GzEncoder};
use http::Method;
use muster_clients::center::CenterError;
use muster_engine::images::split::Index;
use muster_sim::publisher::{Authority, Encoding};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::{
    collections::BTreeSet,
    fs::File,
    io::{Read, Write},
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime},
};

const UPDATES: &str = "/1.0/provisioning/updates";
/// A story that takes longer is stuck.
const STUCK: Duration = Duration::from_secs(120);

/// An update of one image.
struct Release {
    version: &'static str,
    image: Vec<u8>,
    stored: Vec<u8>,
    sha256: String,
}

impl Release {
    fn new(version: &'static str, mark: u8) -> Self {
        let image: Vec<u8> = (0..200_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 27) as u8 | mark).collect();
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(&image).unwrap();
        let stored = gzip.finish().unwrap();
        Self { version, image, sha256: hex::encode(Sha256::digest(&stored)), stored }
    }

    fn tar(&self, authority: &Authority) -> Vec<u8> {
        tar(authority, self.version, &[("x86_64/IncusOS.iso.gz", "image-iso", &self.stored)])
    }
}

/// An update of these files, each with its type, signed.
pub fn tar(authority: &Authority, version: &str, files: &[(&str, &str, &[u8])]) -> Vec<u8> {
    let listed = files.iter().map(|(name, kind, bytes)| {
        json!({"filename": name, "size": bytes.len(), "sha256": hex::encode(Sha256::digest(bytes)), "component": "os",
            "type": kind, "architecture": "x86_64"})
    });
    let description = json!({"format": "1.0", "version": version, "origin": "test", "severity": "none",
        "published_at": "2025-11-01T10:00:00Z", "channels": ["stable"], "files": listed.collect::<Vec<_>>()});
    let signed = authority.sign(&description.to_string(), Encoding::Clear, SystemTime::now()).unwrap();
    let mut tar = tar::Builder::new(Vec::new());
    let files = files.iter().map(|(name, _, bytes)| (*name, *bytes));
    for (name, bytes) in std::iter::once(("update.sjson", signed.as_slice())).chain(files) {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        tar.append_data(&mut header, name, bytes).unwrap();
    }
    tar.into_inner().unwrap()
}

/// What is done, one after the other, each until it has happened.
enum Deed<'a> {
    Upload(Vec<u8>),
    /// Asked for, and loaded; the image that it is made of.
    Prepared(&'a Release),
    /// The image of a named seed.
    Named(&'a Release),
    /// All of this is prepared, nothing else is.
    Ahead(Vec<&'a Release>),
    DeleteAll,
}

/// A download that may go on after the daemon's death.
#[derive(Default)]
struct Loading {
    path: Option<String>,
    tag: Option<String>,
    bytes: Vec<u8>,
    size: usize,
}

struct Teller {
    token: String,
    loading: Loading,
    parts: PathBuf,
}

/// Tells the story to a daemon that dies at point `at`.
pub async fn tell(database: Database, at: u64) -> Result<Told, String> {
    let Some(site) = tokio::task::spawn_blocking(move || Site::new(database)).await.unwrap() else {
        return Ok(Told::Skipped);
    };
    let when = site.dir.path().join("count");
    let mut daemon = site.start("a", Some(&Crash { at, when: when.clone() })).await;
    site.listen(&daemon, true).await;
    let token = site.token(&daemon, 2, false).await;
    let seed = json!({"name": "s"});
    daemon.call(Method::POST, &format!("/1.0/provisioning/tokens/{token}/seeds"), Some(&seed)).await.unwrap();
    let authority = Authority::new(SystemTime::now() - Duration::from_secs(3600)).unwrap();
    let settings = json!({"source": "", "signature_verification_root_ca": authority.root_pem()});
    daemon.call(Method::PUT, "/1.0/system/updates", Some(&settings)).await.unwrap();
    std::fs::write(&when, "").unwrap();

    let (old, new) = (Release::new("202511010000", 0), Release::new("202511020000", 64));
    let deeds = [
        Deed::Upload(old.tar(&authority)),
        Deed::Named(&old),
        Deed::Upload(new.tar(&authority)),
        Deed::Ahead(vec![&new]),
        Deed::Prepared(&new),
        Deed::DeleteAll,
        Deed::Ahead(vec![]),
    ];
    let mut teller = Teller { token, loading: Loading::default(), parts: site.dir.path().join("a/updates") };
    let (mut died, end) = (None, Instant::now() + STUCK);
    for (n, deed) in deeds.iter().enumerate() {
        loop {
            let attempt = teller.attempt(&daemon, deed, died.is_some()).await;
            let alive = daemon.lives();
            match attempt {
                Ok(true) => break,
                Ok(false) => {}
                Err(_) if !alive => {}
                Err(wrong) => return Err(format!("deed {n}, killed at {died:?}: {wrong}\n{}", daemon.tail())),
            }
            if Instant::now() > end {
                return Err(format!("stuck at deed {n}, killed at {died:?}\n{}", daemon.tail()));
            }
            tokio::time::sleep(PAUSE).await;
            if !daemon.lives() {
                if died.is_some() {
                    return Err(format!("died twice:\n{}", daemon.tail()));
                }
                died = Some(daemon.died_at());
                daemon = site.start("a", None).await;
                teller.whole().map_err(|wrong| format!("killed at {died:?}: {wrong}\n{}", daemon.tail()))?;
            }
        }
    }
    // What is done after the good end is part of it.
    tokio::time::sleep(Duration::from_millis(500)).await;
    std::fs::remove_file(&when).unwrap();
    tokio::time::sleep(PAUSE).await;
    if !daemon.lives() {
        died = Some(daemon.died_at());
        daemon = site.start("a", None).await;
    }
    let left = teller.left();
    let verdict = daemon.call(Method::POST, "/1.0/audit/:verify", None).await;
    let intact = verdict.is_ok_and(|verdict| verdict.metadata.get().contains("\"intact\":true"));
    if !left.is_empty() || !intact {
        return Err(format!("killed at {died:?}: files left {left:?}, audit intact: {intact}\n{}", daemon.tail()));
    }
    Ok(died.map_or(Told::Through, Told::Died))
}

impl Teller {
    /// Whether it has happened; what is wrong, unless the daemon is dead.
    async fn attempt(&mut self, daemon: &Daemon, deed: &Deed<'_>, died: bool) -> Result<bool, String> {
        match deed {
            Deed::Upload(bytes) => match daemon.send(UPDATES, bytes.clone()).await {
                Ok(_) => Ok(true),
                Err(CenterError::Unreachable(_)) => Ok(false),
                Err(error) if error.to_string().contains("already existing") => Ok(true),
                Err(error) => Err(error.to_string()),
            },
            Deed::Prepared(release) => self.prepared(daemon, release, died).await,
            Deed::Named(release) => {
                let path = format!("/1.0/provisioning/tokens/{}/seeds/s?type=iso&architecture=x86_64", self.token);
                match daemon.part(&path, None).await {
                    Ok(Some(part)) if part.whole => self.seeded(&part.bytes, release).map(|()| true),
                    Ok(_) => Ok(false),
                    Err(error) => Err(error.to_string()),
                }
            }
            Deed::Ahead(releases) => {
                let expected: BTreeSet<String> = releases.iter().map(|release| release.sha256.clone()).collect();
                Ok(names(&self.parts.join("images")) == expected && daemon.get(UPDATES).await.is_some())
            }
            Deed::DeleteAll => match daemon.call(Method::DELETE, UPDATES, None).await {
                Ok(_) => Ok(true),
                Err(CenterError::Unreachable(_)) => Ok(false),
                Err(error) => Err(error.to_string()),
            },
        }
    }

    /// A download as a careful client does it: asked for once, and taken up again where it broke off.
    async fn prepared(&mut self, daemon: &Daemon, release: &Release, died: bool) -> Result<bool, String> {
        let Some(path) = self.loading.path.clone() else {
            let body = json!({"type": "iso", "architecture": "x86_64", "seeds": {}});
            let url = format!("/1.0/provisioning/tokens/{}/image", self.token);
            return match daemon.call(Method::POST, &url, Some(&body)).await {
                Ok(made) => {
                    let answer: Value = serde_json::from_str(made.metadata.get()).unwrap();
                    self.loading.path = Some(answer["image"].as_str().unwrap().to_owned());
                    Ok(false)
                }
                Err(CenterError::Unreachable(_)) => Ok(false),
                Err(error) => Err(error.to_string()),
            };
        };
        let loading = &mut self.loading;
        let resumed = loading.tag.as_ref().map(|tag| (loading.bytes.len(), tag.as_str()));
        let part = match daemon.part(&path, resumed).await {
            Ok(None) => return Ok(false),
            Ok(Some(part)) => part,
            // It died once it had noted the end, and before a word of its answer was here.
            Err(CenterError::NotFound(_)) if died && resumed.is_none() => {
                loading.path = None;
                return Ok(false);
            }
            Err(error) => return Err(format!("to {resumed:?}: {error}")),
        };
        match (part.status, &loading.tag) {
            (200, None) => (loading.tag, loading.size) = (Some(part.tag), part.size),
            (206, Some(tag)) if part.tag == *tag => {}
            (status, _) => return Err(format!("answered {status} to {resumed:?}, of {}", part.tag)),
        }
        self.loading.bytes.extend_from_slice(&part.bytes);
        if self.loading.bytes.len() < self.loading.size {
            return Ok(false);
        }
        self.seeded(&self.loading.bytes, release).map(|()| true)
    }

    /// The image with a seed at its place, and else as it was published.
    fn seeded(&self, answer: &[u8], release: &Release) -> Result<(), String> {
        let (mut found, stored) = (Vec::new(), &release.image);
        GzDecoder::new(answer).read_to_end(&mut found).map_err(|error| format!("what came is no image: {error}"))?;
        let mut archive = tar::Archive::new(found.get(SEED_AT..).ok_or("the image is short")?);
        let (mut length, mut told) = (1024, false);
        for entry in archive.entries().unwrap() {
            let (mut entry, mut text) = (entry.map_err(|error| format!("a broken seed: {error}"))?, String::new());
            entry.read_to_string(&mut text).map_err(|error| format!("a broken seed: {error}"))?;
            length += 512 + text.len().next_multiple_of(512);
            told |= text.contains(&self.token);
        }
        let same = found.len() == stored.len()
            && found[..SEED_AT] == stored[..SEED_AT]
            && found[SEED_AT + length..] == stored[SEED_AT + length..];
        if same && told { Ok(()) } else { Err(format!("the image is another one; its seed has the token: {told}")) }
    }

    /// After a start: what lies there is whole, and nothing that nobody writes is left.
    fn whole(&self) -> Result<(), String> {
        let folder = self.parts.join("images");
        let stored = names(&self.parts.join("files"));
        for name in names(&folder) {
            // The daemon is up: it may have removed it by now.
            let Ok(file) = File::open(folder.join(&name)) else { continue };
            let length = file.metadata().unwrap().len();
            let index = Index::read(&file, length).map_err(|error| format!("{name}: {error}"))?;
            let size: u64 = index.segments().map(|segment| segment.length).sum();
            let mut bytes = Vec::new();
            file.take(size).read_to_end(&mut bytes).unwrap();
            if hex::encode(Sha256::digest(&bytes)) != index.sha256 {
                return Err(format!("the prepared image {name} is not whole"));
            }
            if !stored.contains(&name) {
                return Err(format!("the prepared image {name} is left over"));
            }
        }
        Ok(())
    }

    fn left(&self) -> Vec<String> {
        let folders = ["files", "images", "parts", "downloads", "kept"];
        let named = |folder: &str| {
            let names = names(&self.parts.join(folder)).into_iter();
            names.map(|name| format!("{folder}/{name}")).collect::<Vec<_>>()
        };
        folders.into_iter().flat_map(named).collect()
    }
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}
