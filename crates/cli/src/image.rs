//! Images of installation media from a center: loaded in one go or several, checked, unpacked, written to a file or a disk.
//!
//! A center answers a gzip file whose entity tag is its content's, so an image that was prepared anew goes on where the last
//! one broke off (see `resume`). The checksum of the gzip file covers all of the image, and tells whether what arrived is
//! what was sent.

use crate::context::{Context, Loss};
use crate::disk::Disk;
use crate::error::{Error, Result};
use crate::remote::Remote;
use crate::resume::Incoming;
use crate::text::decimal_size;
use bytes::Bytes;
use flate2::bufread::MultiGzDecoder;
use indicatif::ProgressBar;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use tokio::sync::mpsc;

/// Bytes that are written at once.
const BLOCK: usize = 1 << 20;
/// Blocks of an answer that wait to be written.
const AHEAD: usize = 16;

/// Where an image goes.
#[derive(Debug)]
pub(crate) enum Target {
    /// A new file: unpacked, unless its name ends in `.gz`.
    File(PathBuf),
    /// A whole disk.
    Disk(Disk),
    /// Standard output, unpacked.
    Out,
}

impl Target {
    /// A file that is not there yet, or `-`.
    ///
    /// # Errors
    /// [`Error::Usage`] for a file that is there.
    pub(crate) fn file(name: &str) -> Result<Self> {
        if name == "-" {
            return Ok(Self::Out);
        }
        match fs::symlink_metadata(name) {
            Ok(_) => Err(Error::Usage(format!("{name} exists; give another name, or remove it"))),
            Err(_) => Ok(Self::File(name.into())),
        }
    }

    /// A disk, once somebody said that it may be overwritten.
    ///
    /// # Errors
    /// What `inspect` refuses, or who was asked.
    pub(crate) fn disk(ctx: &Context, path: &str, yes: bool) -> Result<Self> {
        let disk = crate::disk::inspect(Path::new(path))?;
        if !yes {
            let lost = format!("everything on {path}: {}, {}", disk.description, decimal_size(&disk.size.into()));
            ctx.confirm(&Loss { action: format!("overwrite {path}"), lost: vec![lost] })?;
        }
        Ok(Self::Disk(disk))
    }
}

/// Loads the image at `path`.
///
/// # Errors
/// The center's, broken connections, damaged images, disks that do not take it.
pub(crate) async fn get(ctx: &Context, remote: &Remote, path: &str, target: Target) -> Result {
    let name = match &target {
        Target::File(path) => path.display().to_string(),
        Target::Disk(disk) => disk.path.display().to_string(),
        Target::Out => "standard output".to_owned(),
    };
    // On standard output the image itself may go.
    let bar = match target {
        Target::Out => ProgressBar::hidden(),
        _ => crate::transfer::progress(ctx, &name),
    };
    let mut image = Incoming::begin(remote, path).await?;
    image.tell_size(&bar);
    let written = match target {
        Target::File(path) => write_file(&mut image, &path, &bar).await,
        Target::Disk(disk) => {
            let opened = disk.open()?;
            through(&mut image, &bar, move |packed| to_disk(packed, opened, &disk)).await
        }
        Target::Out => {
            through(&mut image, &bar, |packed| unpack(packed, &mut io::stdout().lock(), "standard output")).await
        }
    };
    bar.finish_and_clear();
    let size = decimal_size(&written?.into());
    if name != "standard output" {
        ctx.print(&format!("Wrote {size} to {name:?}\n"));
    }
    Ok(())
}

/// To a new file, by way of one that the next run finds if this one does not come to its end.
async fn write_file(incoming: &mut Incoming<'_>, target: &Path, bar: &ProgressBar) -> Result<u64> {
    let (part, _) = incoming.write_part(target, bar).await?;
    let (packed, target) = (part.clone(), target.to_owned());
    let done = tokio::task::spawn_blocking(move || finish(&packed, &target)).await;
    let done = done.map_err(|error| Error::Failed(error.to_string()))?;
    if done.is_ok() || matches!(done, Err(Error::Failed(_))) {
        fs::remove_file(&part).map_err(Error::io(format!("cannot remove {}", part.display())))?;
    }
    done
}

/// To what takes it as it comes.
async fn through(
    incoming: &mut Incoming<'_>,
    bar: &ProgressBar,
    taker: impl FnOnce(Arriving) -> Result<u64> + Send + 'static,
) -> Result<u64> {
    let (sender, receiver) = mpsc::channel(AHEAD);
    let taking = tokio::task::spawn_blocking(move || taker(Arriving { receiver, now: Bytes::new() }));
    let fetched = incoming
        .fetch(0, bar, async |data: Bytes| {
            sender.send(data).await.map_err(|_| Error::Failed("the image is not taken any more".into()))
        })
        .await;
    drop(sender);
    let taken = taking.await.map_err(|error| Error::Failed(error.to_string()))?;
    // What came to its end was cut short if its sender was.
    match (fetched, taken) {
        (Err(error @ Error::Unreachable { .. }), _) => Err(error),
        (_, Err(error)) | (Err(error), _) => Err(error),
        (Ok(()), Ok(size)) => Ok(size),
    }
}

/// Checks a gzip file, and makes the target of it; the size of the target.
fn finish(part: &Path, target: &Path) -> Result<u64> {
    let cannot_write = || format!("cannot write {}", target.display());
    let packed = File::open(part).map_err(Error::io(format!("cannot read {}", part.display())))?;
    if target.extension().is_some_and(|ending| ending == "gz") {
        let size = packed.metadata().map_err(Error::io(cannot_write()))?.len();
        unpack(packed, &mut io::sink(), "nothing")?;
        // A link, because it does not replace what is there.
        return fs::hard_link(part, target).map(|()| size).map_err(Error::io(cannot_write()));
    }
    let directory = target.parent().filter(|path| !path.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(directory).map_err(Error::io(cannot_write()))?;
    let mut sparse = Sparse { file: file.as_file_mut(), at: 0 };
    let size = unpack(packed, &mut sparse, &target.display().to_string())?;
    let ended = file.as_file().set_len(size).and_then(|()| file.as_file().sync_all());
    ended.map_err(Error::io(cannot_write()))?;
    file.persist_noclobber(target).map_err(|failed| Error::io(cannot_write())(failed.error))?;
    Ok(size)
}

fn to_disk(packed: Arriving, mut opened: File, disk: &Disk) -> Result<u64> {
    let name = disk.path.display().to_string();
    let size = unpack(packed, &mut opened, &name)?;
    opened.sync_all().map_err(Error::io(format!("cannot write to {name}")))?;
    Ok(size)
}

/// Unpacks an image and checks it; how many bytes it has. An [`Error::Failed`] means that it is damaged.
fn unpack(packed: impl Read, target: &mut impl Write, name: &str) -> Result<u64> {
    let mut image = BufReader::with_capacity(BLOCK, MultiGzDecoder::new(BufReader::with_capacity(BLOCK, packed)));
    let mut size = 0;
    loop {
        let block = image.fill_buf();
        let block =
            block.map_err(|error| Error::Failed(format!("the image arrived damaged: {error}; load it again")))?;
        if block.is_empty() {
            target.flush().map_err(Error::io(format!("cannot write {name}")))?;
            return Ok(size);
        }
        target.write_all(block).map_err(Error::io(format!("cannot write {name}")))?;
        let length = block.len();
        size += length as u64;
        image.consume(length);
    }
}

/// A new file in which zeros take no space.
struct Sparse<'a> {
    file: &'a mut File,
    at: u64,
}

impl Write for Sparse<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.iter().any(|byte| *byte != 0) {
            self.file.seek(SeekFrom::Start(self.at))?;
            self.file.write_all(bytes)?;
        }
        self.at += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// An answer, as something that is read.
struct Arriving {
    receiver: mpsc::Receiver<Bytes>,
    now: Bytes,
}

impl Read for Arriving {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.now.is_empty() {
            match self.receiver.blocking_recv() {
                Some(next) => self.now = next,
                None => return Ok(0),
            }
        }
        let taken = self.now.split_to(out.len().min(self.now.len()));
        out[..taken.len()].copy_from_slice(&taken);
        Ok(taken.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(bytes).unwrap();
        gzip.finish().unwrap()
    }

    #[test]
    fn an_image_is_unpacked_with_holes_or_kept_packed_and_replaces_nothing() {
        let bed = tempfile::tempdir().unwrap();
        let at = |name: &str| bed.path().join(name);
        let mut image = vec![0; 3 * BLOCK];
        image[BLOCK + 5] = 1;
        image.extend_from_slice(&[0; 100]);
        fs::write(at("part"), gzip(&image)).unwrap();
        assert_eq!(finish(&at("part"), &at("image.iso")).unwrap(), image.len() as u64);
        assert!(fs::read(at("image.iso")).unwrap() == image, "with zeros at its end");
        finish(&at("part"), &at("image.iso.gz")).unwrap();
        assert_eq!(fs::read(at("image.iso.gz")).unwrap(), fs::read(at("part")).unwrap());
        for name in ["image.iso", "image.iso.gz"] {
            assert!(matches!(finish(&at("part"), &at(name)), Err(Error::Io { .. })), "{name} is there");
        }
    }

    #[test]
    fn a_damaged_image_is_told_and_leaves_nothing() {
        let bed = tempfile::tempdir().unwrap();
        let at = |name: &str| bed.path().join(name);
        let good = gzip(&[7; 1000]);
        let mut other = good.clone();
        let crc = other.len() - 6;
        other[crc] ^= 1;
        for bad in [&good[..good.len() - 1], &other, b"no gzip", b""] {
            fs::write(at("part"), bad).unwrap();
            for name in ["image.iso", "image.iso.gz"] {
                assert!(matches!(finish(&at("part"), &at(name)), Err(Error::Failed(_))), "{name}: {bad:?}");
            }
        }
        assert_eq!(fs::read_dir(bed.path()).unwrap().count(), 1);
    }
}
