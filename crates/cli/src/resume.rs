//! Files from a center that are loaded in one go or several.
//!
//! The entity tag of a file is its content's. What has come is kept beside the target under that tag, so that a broken
//! connection is taken up again, and the next run goes on where the last one broke off.

use crate::error::{Error, Result};
use crate::remote::Remote;
use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use http_body_util::BodyExt;
use indicatif::ProgressBar;
use muster_clients::machine::AnswerBody;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How often in a row a connection may break without that anything came, before we give up.
const TRIES: u32 = 8;

/// A file on its way.
pub(crate) struct Incoming<'a> {
    remote: &'a Remote,
    path: &'a str,
    /// Its size, if it is known.
    total: Option<u64>,
    /// Its entity tag, if parts of it can be asked for.
    tag: Option<String>,
    /// An answer with all of it, from a center that has no parts.
    whole: Option<AnswerBody>,
}

impl<'a> Incoming<'a> {
    /// Asks for the first byte only: the headers tell the rest, and an error its cause.
    pub(crate) async fn begin(remote: &'a Remote, path: &'a str) -> Result<Self> {
        let answer = match remote.part(path, "bytes=0-0", None).await {
            // An empty file has no first byte.
            Err(Error::Server(why)) if why.starts_with("416") => {
                return Ok(Self { remote, path, total: Some(0), tag: None, whole: None });
            }
            answer => answer?,
        };
        let text = |key| answer.headers().get(key).and_then(|value: &HeaderValue| value.to_str().ok());
        let tag = text(header::ETAG).map(str::to_owned);
        if answer.status() != StatusCode::PARTIAL_CONTENT {
            return Ok(Self { remote, path, total: None, tag: None, whole: Some(answer.into_body()) });
        }
        let total = text(header::CONTENT_RANGE).and_then(|range| range.rsplit('/').next()?.parse().ok());
        Ok(Self { remote, path, total, tag, whole: None })
    }

    /// Hands over what comes, from byte `at` on, over as many connections as it takes.
    pub(crate) async fn fetch(
        &mut self,
        mut at: u64,
        bar: &ProgressBar,
        mut sink: impl AsyncFnMut(Bytes) -> Result,
    ) -> Result {
        let mut tries = 0;
        bar.set_position(at);
        while self.total != Some(at) {
            let before = at;
            let broken = match self.answer(at).await {
                Ok(mut body) => loop {
                    match body.frame().await {
                        None if self.total.is_none() => return Ok(()),
                        None => break "the answer ended early".to_owned(),
                        Some(Err(error)) => break error.to_string(),
                        Some(Ok(frame)) => {
                            let Ok(data) = frame.into_data() else { continue };
                            at += data.len() as u64;
                            bar.set_position(at);
                            sink(data).await?;
                        }
                    }
                },
                Err(Error::Unreachable { cause, .. }) => cause,
                Err(error) => return Err(error),
            };
            tries = if at > before { 1 } else { tries + 1 };
            if self.tag.is_none() || tries > TRIES {
                return Err(Error::Unreachable { address: self.remote.address().to_owned(), cause: broken });
            }
            tokio::time::sleep(Duration::from_millis(250 << tries)).await;
        }
        Ok(())
    }

    async fn answer(&mut self, at: u64) -> Result<AnswerBody> {
        if let Some(whole) = self.whole.take() {
            return Ok(whole);
        }
        let answer = self.remote.part(self.path, &format!("bytes={at}-"), self.tag.as_deref()).await?;
        match answer.status() {
            StatusCode::PARTIAL_CONTENT => Ok(answer.into_body()),
            _ => Err(Error::Failed("the file became another one meanwhile; run the command again".into())),
        }
    }

    /// Lets a line of progress say how much there is, where that is known.
    pub(crate) fn tell_size(&self, bar: &ProgressBar) {
        if let Some(total) = self.total {
            crate::transfer::of_known_size(bar, total);
        }
    }

    /// To a file beside the target, which the next run finds if this one does not come to its end; its path and size.
    pub(crate) async fn write_part(&mut self, target: &Path, bar: &ProgressBar) -> Result<(PathBuf, u64)> {
        let part = part_name(target, self.tag.as_deref());
        remove_other_parts(target, &part);
        let cannot_write = || format!("cannot write {}", part.display());
        let mut options = OpenOptions::new();
        options.append(true).create(true).mode(0o600);
        let mut file = options.open(&part).map_err(Error::io(cannot_write()))?;
        let mut here = file.metadata().map_err(Error::io(cannot_write()))?.len();
        if self.tag.is_none() || self.total.is_none_or(|total| here > total) {
            file.set_len(0).map_err(Error::io(cannot_write()))?;
            here = 0;
        }
        self.fetch(here, bar, async |data: Bytes| file.write_all(&data).map_err(Error::io(cannot_write()))).await?;
        file.sync_all().map_err(Error::io(cannot_write()))?;
        let size = file.metadata().map_err(Error::io(cannot_write()))?.len();
        Ok((part, size))
    }
}

/// Where what has come is kept.
fn part_name(target: &Path, tag: Option<&str>) -> PathBuf {
    let tag: String = tag.unwrap_or_default().chars().filter(char::is_ascii_alphanumeric).take(16).collect();
    let mut name = target.as_os_str().to_owned();
    name.push(if tag.is_empty() { ".part".to_owned() } else { format!(".{tag}.part") });
    name.into()
}

/// Removes what came of other contents for the same target: nobody goes on with it.
fn remove_other_parts(target: &Path, part: &Path) {
    let (Some(stem), Some(kept)) = (target.file_name().and_then(|n| n.to_str()), part.file_name()) else { return };
    let directory = target.parent().filter(|path| !path.as_os_str().is_empty()).unwrap_or(Path::new("."));
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let tag = name.to_str().and_then(|name| name.strip_prefix(stem)?.strip_prefix('.')?.strip_suffix(".part"));
        let ours = tag.is_some_and(|tag| tag.len() == 16 && tag.bytes().all(|b| b.is_ascii_hexdigit()));
        if ours && name != kept {
            // One that cannot be removed does no harm.
            drop(fs::remove_file(entry.path()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_told_apart_by_content() {
        let bed = tempfile::tempdir().unwrap();
        let target = bed.path().join("image.iso");
        let part = part_name(&target, Some("\"0123456789abcdef0123\""));
        assert_eq!(part.file_name().unwrap(), "image.iso.0123456789abcdef.part");
        assert_eq!(part_name(&target, None).file_name().unwrap(), "image.iso.part");
        for name in ["image.iso.fedcba9876543210.part", "image.iso.old.part", "other.iso.fedcba9876543210.part"] {
            fs::write(bed.path().join(name), "").unwrap();
        }
        fs::write(&part, "").unwrap();
        remove_other_parts(&target, &part);
        let mut left: Vec<_> = fs::read_dir(bed.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["image.iso.0123456789abcdef.part", "image.iso.old.part", "other.iso.fedcba9876543210.part"]);
    }
}
