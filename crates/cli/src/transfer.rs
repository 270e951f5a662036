//! Files to and from a center: streamed, private, with a line of progress (cli.md 4).

use crate::context::Context;
use crate::error::{Error, Result};
use crate::remote::{ApiPath, Remote, Reply};
use futures_util::TryStreamExt;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use muster_clients::machine::{AnswerBody, RequestBody};
use serde_json::Value;
use std::io::IsTerminal;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
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
        return copy(remote, answer, &mut tokio::io::stdout(), target, &ProgressBar::hidden()).await.map(drop);
    }
    let failed = || format!("cannot write {target}");
    // Made before the call: a file that is there already costs the other side no work.
    let mut file = tokio::fs::OpenOptions::new();
    let mut file = file.write(true).create_new(true).mode(0o600).open(target).await.map_err(Error::io(failed()))?;
    let bar = progress(ctx, target);
    let done = match remote.bytes(path, body).await {
        Ok(answer) => copy(remote, answer, &mut file, target, &bar).await,
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

/// Sends a file, or standard input for `-`, as the body of a call, and shows how far it is.
pub(crate) async fn upload_shown(ctx: &Context, remote: &Remote, path: &ApiPath, source: &str) -> Result<Reply> {
    if source == "-" {
        return remote.send_bytes(path, stream(tokio::io::stdin())).await;
    }
    let failed = || Error::io(format!("cannot read {source}"));
    let file = tokio::fs::File::open(source).await.map_err(failed())?;
    let size = file.metadata().await.map_err(failed())?.len();
    let bar = progress(ctx, source);
    of_known_size(&bar, size);
    let counted = bar.clone();
    let frames = ReaderStream::with_capacity(file, CHUNK).map_ok(move |bytes| {
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

/// Copies a whole answer; how many bytes it had.
async fn copy(
    remote: &Remote,
    mut answer: AnswerBody,
    target: &mut (impl AsyncWrite + Unpin),
    name: &str,
    bar: &ProgressBar,
) -> Result<u64> {
    let failed = || format!("cannot write {name}");
    let mut bytes = 0;
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
        return remote.send_bytes(path, stream(tokio::io::stdin())).await.map(drop);
    }
    let file = tokio::fs::File::open(source).await.map_err(Error::io(format!("cannot read {source}")))?;
    remote.send_bytes(path, stream(file)).await.map(drop)
}

fn stream(source: impl AsyncRead + Send + 'static) -> RequestBody {
    let frames = ReaderStream::new(source).map_ok(Frame::data).map_err(Into::into);
    StreamBody::new(frames).boxed_unsync()
}
