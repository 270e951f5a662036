//! What an update consists of: the files of a real one, with contents that its version decides.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::spec::draw;

/// Applications that are published beside the system.
pub const APPLICATIONS: [&str; 8] = [
    "debug",
    "gpu-support",
    "incus",
    "incus-ceph",
    "incus-linstor",
    "migration-manager",
    "openfga",
    "operations-center",
];

/// One update.
#[derive(Debug, Clone)]
pub struct Release {
    /// 12 digits.
    pub version: String,
    /// `none` to `critical`.
    pub severity: String,
    /// The publisher's channels.
    pub channels: Vec<String>,
    /// Publisher.
    pub origin: String,
    /// RFC 3339.
    pub published_at: String,
    /// `x86_64`, `aarch64`.
    pub architectures: Vec<String>,
    /// Some of [`APPLICATIONS`].
    pub applications: Vec<String>,
    /// Whether it carries the system.
    pub os: bool,
    /// Size of the installation images before compression, in bytes.
    pub image_size: u64,
    /// Packages in its manifests, besides the one named after the component: name and version.
    pub packages: Vec<(String, String)>,
}

impl Release {
    /// A small one with everything, published at the time that its version names.
    pub fn new(version: &str) -> Self {
        let part = |from: usize, to: usize| version.get(from..to).unwrap_or("01");
        let text = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect();
        Self {
            version: version.to_owned(),
            severity: "none".to_owned(),
            channels: text(&["stable"]),
            origin: "sim.muster".to_owned(),
            published_at: format!(
                "{}-{}-{}T{}:{}:02.515408725Z",
                version.get(..4).unwrap_or("2025"),
                part(4, 6),
                part(6, 8),
                part(8, 10),
                part(10, 12)
            ),
            architectures: text(&["x86_64"]),
            applications: text(&APPLICATIONS),
            os: true,
            image_size: 64 << 10,
            packages: vec![("base".to_owned(), "1".to_owned())],
        }
    }

    /// Writes its files below this folder, and answers with its description, as it is in `update.json`.
    pub(super) fn write(&self, folder: &Path) -> io::Result<Value> {
        let mut files = Vec::new();
        let version = &self.version;
        for architecture in &self.architectures {
            std::fs::create_dir_all(folder.join(architecture))?;
            let mut add = |name: String, component: &str, kind: &str, content: Content<'_>| -> io::Result<()> {
                let name = format!("{architecture}/{name}");
                let (size, digest) = content.write(&folder.join(&name))?;
                files.push(json!({"architecture": architecture, "component": component, "filename": name,
                                  "sha256": digest, "size": size, "type": kind}));
                Ok(())
            };
            if self.os {
                let short = if architecture == "aarch64" { "arm64" } else { "x86-64" };
                let os = format!("IncusOS_{version}");
                let id = |what: &str| draw(1, 1, &format!("{version} {architecture} {what}")).simple();
                let small = |what: &str| Content::Filler { seed: format!("{version} {what}"), size: 4096 };
                let image = |what: &str| Content::Filler { seed: format!("{version} {what}"), size: self.image_size };
                add(format!("{os}.efi.gz"), "os", "update-efi", small("efi"))?;
                add(format!("{os}.usr-{short}.{}.raw.gz", id("usr")), "os", "update-usr", small("usr"))?;
                let name = format!("{os}.usr-{short}-verity.{}.raw.gz", id("verity"));
                add(name, "os", "update-usr-verity", small("verity"))?;
                let name = format!("{os}.usr-{short}-verity-sig.{}.raw.gz", id("signature"));
                add(name, "os", "update-usr-verity-signature", small("signature"))?;
                add(format!("{os}.img.gz"), "os", "image-raw", image("raw"))?;
                add(format!("{os}.iso.gz"), "os", "image-iso", image("iso"))?;
                let manifest = self.manifest("linux");
                add(format!("{os}.manifest.json.gz"), "os", "image-manifest", Content::Text(&manifest))?;
                for channel in &self.channels {
                    let text = format!("channel: {channel}\nversion: \"{version}\"\n");
                    add(format!("changelog-{channel}.yaml.gz"), "os", "changelog", Content::Text(&text))?;
                }
            }
            for name in &self.applications {
                let content = Content::Filler { seed: format!("{version} {name}"), size: 8192 };
                add(format!("{name}.raw.gz"), name, "application", content)?;
                let manifest = self.manifest(name);
                add(format!("{name}.manifest.json.gz"), name, "image-manifest", Content::Text(&manifest))?;
            }
        }
        if self.os {
            let name = format!("SecureBootKeys_{version}.tar.gz");
            std::fs::create_dir_all(folder)?;
            // An archive without entries.
            let (size, digest) = Content::Text(&"\0".repeat(1024)).write(&folder.join(&name))?;
            files.push(json!({"architecture": "", "component": "os", "filename": name, "sha256": digest, "size": size,
                              "type": "update-secureboot"}));
        }
        Ok(json!({"format": "1.0", "channels": self.channels, "files": files, "origin": self.origin,
                  "published_at": self.published_at, "severity": self.severity, "version": version}))
    }

    fn manifest(&self, name: &str) -> String {
        let package = |name: &str, version: &str| json!({"name": name, "version": version});
        let mut packages = vec![package(name, &self.version)];
        packages.extend(self.packages.iter().map(|(name, version)| package(name, version)));
        json!({"packages": packages, "artifacts": [package(&format!("{name}-image"), &self.version)]}).to_string()
    }
}

/// What a file holds before it is compressed.
enum Content<'a> {
    Text(&'a str),
    /// Bytes that are always the same for one seed; most of them zero, so that large ones are made fast.
    Filler {
        seed: String,
        size: u64,
    },
}

impl Content<'_> {
    /// Writes it compressed; answers with size and SHA-256 of the file.
    fn write(&self, path: &Path) -> io::Result<(u64, String)> {
        let hashing = Hashing { file: File::create(path)?, hash: Sha256::new(), size: 0 };
        let mut gzip = GzEncoder::new(io::BufWriter::with_capacity(1 << 20, hashing), Compression::fast());
        match self {
            Self::Text(text) => gzip.write_all(text.as_bytes())?,
            Self::Filler { seed, size } => {
                let mut left = *size;
                let mut block = vec![0; 64 << 10];
                let mut number = 0u64;
                while left > 0 {
                    for (place, chunk) in block[..8192].chunks_mut(32).enumerate() {
                        chunk.copy_from_slice(&Sha256::digest(format!("{seed} {number} {place}")));
                    }
                    let length = usize::try_from(left).map_or(block.len(), |left| left.min(block.len()));
                    gzip.write_all(&block[..length])?;
                    left -= length as u64;
                    number += 1;
                }
            }
        }
        let hashing = gzip.finish()?.into_inner().map_err(io::IntoInnerError::into_error)?;
        hashing.file.sync_data()?;
        Ok((hashing.size, hex::encode(hashing.hash.finalize())))
    }
}

struct Hashing {
    file: File,
    hash: Sha256,
    size: u64,
}

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hash.update(&bytes[..written]);
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
