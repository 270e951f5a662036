//! Files to and from a center: streamed, private, with a line of progress (cli.md 4).

use crate::context::Context;
use crate::error::{Error, Result};
use crate::remote::{ApiPath, Remote, Reply};
use crate::resume::Incoming;
use futures_util::{TryStreamExt, stream};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use muster_clients::machine::{AnswerBody, RequestBody};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::io::{IsTerminal, SeekFrom};
use std::ops::Range;
use std::path::Path;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncSeekExt, AsyncWrite, AsyncWriteExt};
use tokio_util::io::ReaderStream;

/// Bytes of an upload that are read at once.
const CHUNK: usize = 256 << 10;

/// Writes an answer to a new file, or to standard output for `-`. What fails half way is deleted again.
pub(crate) async fn download(
    ctx: &Context,
    remote: &Remote,
    path: &ApiPath,
    body: Option<&Value>,
    target: &str,
) -> Result {
    if target == "-" {
        let answer = remote.bytes(path, body).await?;
        return copy(remote, answer, &mut tokio::io::stdout(), target, &ProgressBar::hidden(), 0).await.map(drop);
    }
    let failed = || format!("cannot write {target}");
    // Made before the call: a file that is there already costs the other side no work.
    let mut file = tokio::fs::OpenOptions::new();
    let mut file = file.write(true).create_new(true).mode(0o600).open(target).await.map_err(Error::io(failed()))?;
    let bar = progress(ctx, target);
    let done = match remote.bytes(path, body).await {
        Ok(answer) => copy(remote, answer, &mut file, target, &bar, 0).await,
        Err(error) => Err(error),
    };
    bar.finish_and_clear();
    match done {
        Ok(bytes) => {
            let size = crate::text::decimal_size(&bytes.into());
            ctx.print(&format!("Wrote {size} to {target:?}\n"));
            Ok(())
        }
        Err(error) => {
            tokio::fs::remove_file(target).await.map_err(Error::io(format!("cannot remove {target}")))?;
            Err(error)
        }
    }
}

/// Copies a file of the center to a new one. A copy that broke off before goes on where it was, as long as the center still
/// has the same content.
pub(crate) async fn copy_file(ctx: &Context, remote: &Remote, path: &ApiPath, target: &Path) -> Result<u64> {
    let mut incoming = Incoming::begin(remote, path.as_str()).await?;
    let bar = progress(ctx, &target.display().to_string());
    incoming.tell_size(&bar);
    let written = incoming.write_part(target, &bar).await;
    bar.finish_and_clear();
    let (part, size) = written.map_err(|error| match error {
        Error::Unreachable { address, cause } => {
            let cause = format!("{cause}; the same command goes on where this one broke off");
            Error::Unreachable { address, cause }
        }
        error => error,
    })?;
    let renamed = tokio::fs::rename(&part, target).await;
    renamed.map_err(Error::io(format!("cannot write {}", target.display())))?;
    Ok(size)
}

/// Compares a file with its SHA-256; one that is another is removed.
pub(crate) async fn check_file(target: &Path, sha256: &str) -> Result {
    let failed = || Error::io(format!("cannot read {}", target.display()));
    let (mut file, mut hash) = (tokio::fs::File::open(target).await.map_err(failed())?, Sha256::new());
    let mut piece = vec![0; 1 << 20];
    loop {
        match file.read(&mut piece).await.map_err(failed())? {
            0 => break,
            read => hash.update(&piece[..read]),
        }
    }
    if hex::encode(hash.finalize()) == sha256 {
        return Ok(());
    }
    tokio::fs::remove_file(target).await.map_err(Error::io(format!("cannot remove {}", target.display())))?;
    Err(Error::Failed(format!("{} is not what the center says and is removed; load it again", target.display())))
}

/// Writes a file of the center to standard output.
pub(crate) async fn print_file(remote: &Remote, path: &ApiPath) -> Result {
    let content = remote.file(path).await?;
    copy(remote, content, &mut tokio::io::stdout(), "-", &ProgressBar::hidden(), 0).await.map(drop)
}

/// Sends a file, or standard input for `-`, as the body of a call, and shows how far it is.
pub(crate) async fn upload_shown(ctx: &Context, remote: &Remote, path: &ApiPath, source: &str) -> Result<Reply> {
    if source == "-" {
        return remote.send_bytes(path, read_by(tokio::io::stdin())).await;
    }
    let failed = || Error::io(format!("cannot read {source}"));
    let size = tokio::fs::metadata(source).await.map_err(failed())?.len();
    // What tells no size, such as a pipe, is read to its end.
    let whole = if size > 0 { 0..size } else { 0..u64::MAX };
    upload_ranges(ctx, remote, path, source, vec![whole]).await
}

/// Sends these parts of a file, one behind the other, as the body of a call, and shows how far it is.
pub(crate) async fn upload_ranges(
    ctx: &Context,
    remote: &Remote,
    path: &ApiPath,
    source: &str,
    ranges: Vec<Range<u64>>,
) -> Result<Reply> {
    let file = tokio::fs::File::open(source).await.map_err(Error::io(format!("cannot read {source}")))?;
    let size = ranges.iter().fold(0u64, |size, range| size.saturating_add(range.end - range.start));
    let bar = progress(ctx, source);
    of_known_size(&bar, size);
    let counted = bar.clone();
    let parts = stream::try_unfold((file, ranges.into_iter()), |(mut file, mut ranges)| async move {
        let Some(range) = ranges.next() else { return Ok::<_, std::io::Error>(None) };
        // A pipe can be read only where it stands.
        if range.start > 0 {
            file.seek(SeekFrom::Start(range.start)).await?;
        }
        let part = file.try_clone().await?.take(range.end - range.start);
        Ok(Some((ReaderStream::with_capacity(part, CHUNK), (file, ranges))))
    });
    let frames = parts.try_flatten().map_ok(move |bytes| {
        counted.inc(bytes.len() as u64);
        Frame::data(bytes)
    });
    let sent = remote.send_bytes(path, StreamBody::new(frames.map_err(Into::into)).boxed_unsync()).await;
    bar.finish_and_clear();
    sent
}

/// A line of progress, if there is a terminal to show it on.
pub(crate) fn progress(ctx: &Context, target: &str) -> ProgressBar {
    if ctx.quiet || !std::io::stdout().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{msg}: {decimal_bytes} ({decimal_bytes_per_sec})");
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stdout());
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar())).with_message(target.to_owned())
}

/// Lets a line of progress say how much there is.
pub(crate) fn of_known_size(bar: &ProgressBar, size: u64) {
    if size > 0 && !bar.is_hidden() {
        let style =
            ProgressStyle::with_template("{msg}: {decimal_bytes} of {decimal_total_bytes} ({decimal_bytes_per_sec})");
        bar.set_length(size);
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    }
}

/// Copies a whole answer behind so many bytes; how many there are then.
async fn copy(
    remote: &Remote,
    mut answer: AnswerBody,
    target: &mut (impl AsyncWrite + Unpin),
    name: &str,
    bar: &ProgressBar,
    mut bytes: u64,
) -> Result<u64> {
    let failed = || format!("cannot write {name}");
    while let Some(frame) = answer.frame().await {
        let frame =
            frame.map_err(|e| Error::Unreachable { address: remote.address().to_owned(), cause: e.to_string() })?;
        if let Ok(data) = frame.into_data() {
            target.write_all(&data).await.map_err(Error::io(failed()))?;
            bytes += data.len() as u64;
            bar.set_position(bytes);
        }
    }
    target.flush().await.map_err(Error::io(failed()))?;
    Ok(bytes)
}

/// Sends a file, or standard input for `-`, as the body of a call.
pub(crate) async fn upload(remote: &Remote, path: &ApiPath, source: &str) -> Result {
    if source == "-" {
        return remote.send_bytes(path, read_by(tokio::io::stdin())).await.map(drop);
    }
    let file = tokio::fs::File::open(source).await.map_err(Error::io(format!("cannot read {source}")))?;
    remote.send_bytes(path, read_by(file)).await.map(drop)
}

fn read_by(source: impl AsyncRead + Send + 'static) -> RequestBody {
    let frames = ReaderStream::new(source).map_ok(Frame::data).map_err(Into::into);
    StreamBody::new(frames).boxed_unsync()
}
