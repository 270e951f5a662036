//! What the images of an update are made of, read from its manifests once, when it arrives (`updates-and-system.md` 15).

use flate2::read::MultiGzDecoder;
use muster_domain::update::{
    changelog::{self, MANIFEST_LIMIT, Manifest},
    index::{File, Published},
};
use muster_store::tables::updates::Manifest as ManifestRow;
use std::io::Read;

/// The manifests of an update; `open` gives a file of it. One that cannot be read costs its changelog, not the update.
/// Blocks.
pub(crate) fn of<R: Read>(published: &Published, open: impl Fn(&File) -> Result<R, String>) -> Vec<ManifestRow> {
    let mut rows = Vec::new();
    for file in &published.files {
        let Some((architecture, _)) = file.filename.split_once('/') else { continue };
        let Some(component) = changelog::component(file, &published.version, architecture) else { continue };
        match open(file).and_then(items) {
            Ok(items) => rows.push(ManifestRow { architecture: architecture.to_owned(), component, items }),
            Err(error) => {
                tracing::warn!(file = file.filename, error, "a manifest cannot be read; its changelog stays empty")
            }
        }
    }
    rows
}

fn items(packed: impl Read) -> Result<String, String> {
    let mut json = Vec::new();
    let unpacked = MultiGzDecoder::new(packed);
    unpacked.take(MANIFEST_LIMIT as u64 + 1).read_to_end(&mut json).map_err(|e| e.to_string())?;
    let manifest = Manifest::parse(&json).map_err(|e| e.to_string())?;
    serde_json::to_string(&manifest).map_err(|e| e.to_string())
}
