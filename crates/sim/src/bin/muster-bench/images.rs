//! Installation images with a seed in them, against a plain file server that has them as files.

use std::io::Write as _;
use std::time::Instant;

use flate2::Compression;
use flate2::write::GzEncoder;
use http::{Method, Request};
use http_body_util::BodyExt;
use muster_clients::machine::empty;
use serde_json::json;
use tokio::io::AsyncWriteExt;

use crate::Result;
use crate::daemon::{Daemon, Folder};
use crate::plain::Plain;
use crate::updates::{File, HEAD, LOADS, MIB, Publisher, Stored, load, noise};

/// The seed's place in an image, in bytes of it.
const SEED_AT: usize = 2_148_532_224;
/// Size of the place.
const ROOM: usize = 100 * MIB;

/// Measures and prints.
pub async fn run(daemon: &Daemon, plain: &Plain, folder: &Folder, publisher: &Publisher) -> Result<()> {
    let token = daemon.token(1).await?;
    let seeds = format!("/1.0/provisioning/tokens/{token}/seeds");
    let seed = json!({"name": "bench", "public": true});
    daemon.local().call(Method::POST, &seeds, Some(&seed)).await?;
    let path = format!("{seeds}/bench?type=raw&architecture=x86_64");
    println!("\n## Images with seeds\n\n{HEAD}");
    let (mut made, mut ready): (Option<(usize, Stored)>, Vec<String>) = (None, Vec::new());
    for (number, (clients, size)) in LOADS.into_iter().enumerate() {
        let stored = match made.take().filter(|(of, _)| *of == size) {
            Some((_, stored)) => stored,
            None => {
                // The newest update is the one that images are of.
                let content = image(size)?;
                let file = File { name: "x86_64/IncusOS.img.gz", kind: "image-raw", component: "os", content };
                publisher.upload(daemon, folder, &format!("20261101000{number}"), file).await?;
                let began = Instant::now();
                let name = format!("image-{size}");
                let length = save(daemon, &path, &folder.file("updates/files").join(&name)).await?;
                ready.push(format!("{} MiB in {:.1} s", length / MIB, began.elapsed().as_secs_f64()));
                Stored { size: length, path: path.clone(), sha256: name }
            }
        };
        load(daemon, plain, &stored, clients).await?;
        made = Some((size, stored));
    }
    println!("\nMade ready for seeds and loaded for the first time: {}", ready.join(", "));
    Ok(())
}

/// An image of which so many bytes cannot be compressed, behind the seed's place; all else is empty.
fn image(size: usize) -> Result<Vec<u8>> {
    let mut empty = GzEncoder::new(Vec::new(), Compression::fast());
    let (zeros, mut left) = (vec![0; MIB], SEED_AT + ROOM);
    while left > 0 {
        let length = left.min(MIB);
        empty.write_all(&zeros[..length])?;
        left -= length;
    }
    let mut behind = GzEncoder::new(empty.finish()?, Compression::none());
    behind.write_all(&noise("image", size))?;
    Ok(behind.finish()?)
}

/// Loads an image into a file; answers its size.
async fn save(daemon: &Daemon, path: &str, target: &std::path::Path) -> Result<usize> {
    let mut body = daemon.local().download(Request::get(path).body(empty())?).await?.into_body();
    let mut file = tokio::fs::File::create(target).await?;
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        length += data.len();
        file.write_all(&data).await?;
    }
    file.flush().await?;
    Ok(length)
}
