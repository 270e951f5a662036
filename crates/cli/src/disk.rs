//! Disks that an image may be written to: whole, and used by nobody.

use crate::error::{Error, Result};
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// A disk that may be overwritten, once somebody said so.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Disk {
    /// As it was named.
    pub(crate) path: PathBuf,
    /// What it is, for a person to recognise: maker, model, serial number.
    pub(crate) description: String,
    /// Bytes.
    pub(crate) size: u64,
}

/// Looks at a disk.
///
/// # Errors
/// [`Error::Usage`] for anything but a whole disk that nobody uses.
pub(crate) fn inspect(path: &Path) -> Result<Disk> {
    let found = fs::metadata(path).map_err(Error::io(format!("cannot look at {}", path.display())))?;
    if !found.file_type().is_block_device() {
        return Err(Error::Usage(format!("{} is no disk; name one such as /dev/sdb", path.display())));
    }
    let number = format!("{}:{}", rustix::fs::major(found.rdev()), rustix::fs::minor(found.rdev()));
    let about = fs::canonicalize(Path::new("/sys/dev/block").join(number));
    look(
        path,
        &about.map_err(Error::io(format!("nothing is known of {}", path.display())))?,
        Path::new("/proc/self/mountinfo"),
        Path::new("/proc/swaps"),
    )
}

fn text(path: PathBuf) -> String {
    fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

fn names(directory: PathBuf) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().filter_map(std::result::Result::ok);
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

/// `about` is what the kernel tells of the disk, below `/sys`.
fn look(path: &Path, about: &Path, mounts: &Path, swaps: &Path) -> Result<Disk> {
    let refused = |why: String| Err(Error::Usage(format!("{} {why}", path.display())));
    if about.join("partition").exists() {
        let whole = about.parent().and_then(Path::file_name).unwrap_or_default();
        return refused(format!("is a partition; name the whole disk, /dev/{}", whole.display()));
    }
    if text(about.join("ro")) == "1" {
        return refused("is read-only".into());
    }
    let sectors: u64 = text(about.join("size")).parse().unwrap_or_default();
    if sectors == 0 {
        return refused("has no medium in it".into());
    }
    let partitions = names(about.to_owned()).into_iter().map(|name| about.join(name));
    let devices = std::iter::once(about.to_owned()).chain(partitions.filter(|path| path.join("partition").exists()));
    let (mounts, swaps) = (text(mounts.to_owned()), text(swaps.to_owned()));
    for device in devices {
        let (name, number) = (device.file_name().unwrap_or_default(), text(device.join("dev")));
        let node = Path::new("/dev").join(name);
        if let Some(at) = mounted(&mounts, &number, &node) {
            return refused(format!("is in use: {} is mounted at {at}; unmount it first", node.display()));
        }
        if let Some(holder) = names(device.join("holders")).first() {
            return refused(format!("is in use: {} belongs to {holder}", node.display()));
        }
        if swaps.lines().any(|line| line.split_whitespace().next().map(Path::new) == Some(&node)) {
            return refused(format!("is in use: the system swaps to {}", node.display()));
        }
    }
    let about = about.join("device");
    let parts = ["vendor", "model", "serial"].map(|key| text(about.join(key)));
    let known: Vec<&str> = parts.iter().map(String::as_str).filter(|part| !part.is_empty()).collect();
    let description = if known.is_empty() { "of an unknown model".to_owned() } else { known.join(" ") };
    Ok(Disk { path: path.to_owned(), description, size: sectors * 512 })
}

/// Where a device is mounted: by number, or by name where a file system has a number of its own.
fn mounted<'a>(mounts: &'a str, number: &str, node: &Path) -> Option<&'a str> {
    mounts.lines().find_map(|line| {
        let (mount, kind) = line.split_once(" - ")?;
        let mut fields = mount.split(' ').skip(2);
        let (found, at) = (fields.next()?, fields.nth(1)?);
        let source = kind.split(' ').nth(1)?;
        (found == number || Path::new(source) == node).then_some(at)
    })
}

impl Disk {
    /// Opens it for writing, alone: the kernel refuses while somebody else uses it.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn open(&self) -> Result<File> {
        let alone = rustix::fs::OFlags::EXCL.bits().cast_signed();
        let opened = OpenOptions::new().write(true).custom_flags(alone).open(&self.path);
        opened.map_err(Error::io(format!("cannot write to {}", self.path.display())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disk with a partition, as the kernel shows it.
    fn bed() -> tempfile::TempDir {
        let bed = tempfile::tempdir().unwrap();
        for (name, content) in [
            ("sdb/size", "2048\n"),
            ("sdb/ro", "0\n"),
            ("sdb/dev", "8:16\n"),
            ("sdb/device/vendor", "SanDisk \n"),
            ("sdb/device/model", "Ultra\n"),
            ("sdb/holders/.keep", ""),
            ("sdb/sdb1/partition", "1\n"),
            ("sdb/sdb1/dev", "8:17\n"),
            ("mounts", "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n23 22 0:40 / /pool rw shared:1 - btrfs /dev/sdc1 rw\n"),
            ("swaps", "Filename Type Size Used Priority\n/dev/sda2 partition 1 0 -2\n"),
        ] {
            fs::create_dir_all(bed.path().join(name).parent().unwrap()).unwrap();
            fs::write(bed.path().join(name), content).unwrap();
        }
        fs::remove_file(bed.path().join("sdb/holders/.keep")).unwrap();
        bed
    }

    fn seen(bed: &tempfile::TempDir, about: &str) -> Result<Disk> {
        let at = |name: &str| bed.path().join(name);
        look(Path::new("/dev/sdb"), &at(about), &at("mounts"), &at("swaps"))
    }

    #[test]
    fn a_free_disk_is_described() {
        let disk = seen(&bed(), "sdb").unwrap();
        assert_eq!((disk.description.as_str(), disk.size), ("SanDisk Ultra", 1 << 20));
    }

    #[test]
    fn a_disk_in_use_is_refused_by_what_uses_it() {
        let refused = |name: &str, content: &str, why: &str| {
            let bed = bed();
            let path = bed.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let before = fs::read_to_string(&path).unwrap_or_default();
            fs::write(&path, if name.contains('/') { content.to_owned() } else { before + content }).unwrap();
            let error = seen(&bed, "sdb").unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        };
        refused("mounts", "24 22 8:17 / /mnt/stick rw - vfat /dev/sdb1 rw\n", "/dev/sdb1 is mounted at /mnt/stick");
        refused("mounts", "24 22 0:41 / /mnt rw - btrfs /dev/sdb rw\n", "/dev/sdb is mounted at /mnt");
        refused("swaps", "/dev/sdb1 partition 1 0 -2\n", "swaps to /dev/sdb1");
        refused("sdb/sdb1/holders/dm-0", "", "belongs to dm-0");
        refused("sdb/ro", "1", "read-only");
        refused("sdb/size", "0", "no medium");
        let error = seen(&bed(), "sdb/sdb1").unwrap_err().to_string();
        assert!(error.contains("is a partition; name the whole disk, /dev/sdb"), "{error}");
    }

    #[test]
    fn what_is_no_disk_is_refused() {
        for path in ["/dev/null", "/etc/passwd", "/"] {
            assert!(matches!(inspect(Path::new(path)), Err(Error::Usage(_))), "{path}");
        }
    }
}
