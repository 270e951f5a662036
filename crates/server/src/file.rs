//! Answers that are a stored file, or made of parts of one: whole or a range of it, with an entity tag.

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::Response,
};
use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream};
use muster_engine::services::update::Download;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    sync::{Arc, Mutex, PoisonError},
};

/// Bytes that are read at once.
const CHUNK: u64 = 256 << 10;
/// Chunks of one answer in memory; the next one is read while one is being sent.
const AHEAD: usize = 2;

/// What part of a file is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Whole,
    /// From and to, both included.
    Range(u64, u64),
    Unsatisfiable,
}

/// `Range` of one range; several, and what cannot be read, count as none.
fn part(range: Option<&str>, size: u64) -> Part {
    let Some((from, to)) = range.and_then(|text| text.strip_prefix("bytes=")).and_then(|text| text.split_once('-'))
    else {
        return Part::Whole;
    };
    let number =
        |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<u64>().ok()).flatten();
    match (from.trim(), to.trim()) {
        ("", last) => match number(last) {
            None => Part::Whole,
            Some(0) => Part::Unsatisfiable,
            Some(_) if size == 0 => Part::Unsatisfiable,
            Some(last) => Part::Range(size.saturating_sub(last), size - 1),
        },
        (from, to) => match (number(from), if to.is_empty() { Some(u64::MAX) } else { number(to) }) {
            (Some(from), Some(to)) if from <= to && from < size => Part::Range(from, to.min(size - 1)),
            (Some(from), Some(to)) if from <= to => Part::Unsatisfiable,
            _ => Part::Whole,
        },
    }
}

/// Fills all of a buffer with what is from a place on; blocks.
type Read = Box<dyn Fn(u64, &mut [u8]) -> io::Result<()> + Send + Sync>;

/// What is answered.
pub struct Content {
    /// Reads it.
    pub read: Read,
    /// Its bytes.
    pub size: u64,
    /// Equal for equal bytes, without quotes.
    pub tag: String,
    /// Name of the file that it becomes.
    pub name: String,
    /// Its type.
    pub content_type: &'static str,
    /// Whether receivers unpack it.
    pub packed: bool,
    /// Waited for before the last bytes are handed out.
    pub at_end: Option<BoxFuture<'static, ()>>,
    /// Whose turns are waited for; without one it is sent as fast as it is taken.
    pub download: Option<Download>,
}

impl Content {
    /// One that is saved as it is.
    pub fn new(
        read: impl Fn(u64, &mut [u8]) -> io::Result<()> + Send + Sync + 'static,
        size: u64,
        tag: &str,
        name: &str,
    ) -> Self {
        Self {
            read: Box::new(read),
            size,
            tag: tag.to_owned(),
            name: name.to_owned(),
            content_type: "application/octet-stream",
            packed: false,
            at_end: None,
            download: None,
        }
    }

    /// A stored file.
    pub fn stored(file: File, size: u64, sha256: &str, name: &str) -> Self {
        Self::new(move |at, chunk| file.read_exact_at(chunk, at), size, sha256, name)
    }
}

/// `attachment`, with a name that every receiver reads, and the right one where that is another.
fn disposition(name: &str) -> String {
    let plain: String =
        name.chars().map(|c| if matches!(c, ' '..='~') && !"\"\\".contains(c) { c } else { '_' }).collect();
    let exact = match name.is_ascii() {
        true => String::new(),
        false => format!("; filename*=UTF-8''{}", utf8_percent_encode(name, NON_ALPHANUMERIC)),
    };
    format!("attachment; filename=\"{plain}\"{exact}")
}

/// The answer to a request for a content.
pub fn answer(content: Content, asked: &HeaderMap) -> Response {
    let text = |key| asked.get(key).and_then(|value: &HeaderValue| value.to_str().ok());
    let tag = format!("\"{}\"", content.tag);
    let size = content.size;
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    let mut set = |key, value: &str| HeaderValue::from_str(value).map(|value| headers.insert(key, value)).is_ok();
    set(header::ETAG, &tag);
    set(header::ACCEPT_RANGES, "bytes");
    let known = text(header::IF_NONE_MATCH).is_some_and(|tags| {
        tags.split(',').map(str::trim).any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag)
    });
    if known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return response;
    }
    let range = text(header::RANGE).filter(|_| text(header::IF_RANGE).is_none_or(|wanted| wanted.trim() == tag));
    let (status, from, length) = match part(range, size) {
        Part::Whole => (StatusCode::OK, 0, size),
        Part::Range(from, to) => {
            set(header::CONTENT_RANGE, &format!("bytes {from}-{to}/{size}"));
            (StatusCode::PARTIAL_CONTENT, from, to - from + 1)
        }
        Part::Unsatisfiable => {
            set(header::CONTENT_RANGE, &format!("bytes */{size}"));
            set(header::CONTENT_LENGTH, "0");
            *response.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
            return response;
        }
    };
    set(header::CONTENT_TYPE, content.content_type);
    set(header::CONTENT_DISPOSITION, &disposition(&content.name));
    set(header::CONTENT_LENGTH, &length.to_string());
    if content.packed {
        set(header::CONTENT_ENCODING, "gzip");
    }
    *response.status_mut() = status;
    *response.body_mut() = body(content, from, length);
    response
}

/// A chunk whose memory is used again by the same answer once it is sent: fresh memory would be cleared, page by page, for
/// every one of them.
struct Chunk {
    bytes: Vec<u8>,
    spare: Spare,
}

type Spare = Arc<Mutex<Vec<Vec<u8>>>>;

impl AsRef<[u8]> for Chunk {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner).push(std::mem::take(&mut self.bytes));
    }
}

fn body(content: Content, from: u64, length: u64) -> Body {
    let Content { read, size, mut at_end, download, .. } = content;
    let (content, spare) = (Arc::new(read), Spare::default());
    let chunks = stream::unfold((download, 0), move |(mut download, at)| async move {
        let left = (length - at).min(CHUNK);
        let bytes = match &mut download {
            Some(download) if left > 0 => download.turn(left).await,
            _ => left,
        };
        (bytes > 0).then_some(((from + at, bytes), (download, at + bytes)))
    });
    let read = move |(at, length)| {
        let (content, spare) = (content.clone(), spare.clone());
        let last = if at + length == size { at_end.take() } else { None };
        async move {
            let read = move || -> io::Result<Bytes> {
                let bytes = spare.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
                let mut chunk = Chunk { bytes, spare };
                let length = usize::try_from(length).map_err(io::Error::other)?;
                if chunk.bytes.capacity() > 2 * length {
                    // Turns have become smaller because there are more downloads.
                    chunk.bytes = Vec::new();
                }
                chunk.bytes.resize(length, 0);
                content(at, &mut chunk.bytes)?;
                Ok(Bytes::from_owner(chunk))
            };
            let chunk = tokio::task::spawn_blocking(read).await.map_err(io::Error::other)??;
            last.unwrap_or_else(|| std::future::ready(()).boxed()).await;
            Ok::<_, io::Error>(chunk)
        }
    };
    Body::from_stream(chunks.map(read).buffered(AHEAD))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_for_every_receiver() {
        assert_eq!(disposition("a/b.gz"), "attachment; filename=\"a/b.gz\"");
        assert_eq!(disposition("a\"\\\nb"), "attachment; filename=\"a___b\"");
        assert_eq!(disposition("ü.iso"), "attachment; filename=\"_.iso\"; filename*=UTF-8''%C3%BC%2Eiso");
    }

    #[test]
    fn ranges_as_http_has_them() {
        for (text, expected) in [
            ("bytes=0-3", Part::Range(0, 3)),
            ("bytes=5-", Part::Range(5, 9)),
            ("bytes=-4", Part::Range(6, 9)),
            ("bytes=-99", Part::Range(0, 9)),
            ("bytes=9-99", Part::Range(9, 9)),
            ("bytes=10-", Part::Unsatisfiable),
            ("bytes=10-11", Part::Unsatisfiable),
            ("bytes=-0", Part::Unsatisfiable),
            ("bytes=3-2", Part::Whole),
            ("bytes=0-1,3-4", Part::Whole),
            ("bytes=-", Part::Whole),
            ("bytes=+1-2", Part::Whole),
            ("bytes=99999999999999999999-", Part::Whole),
            ("lines=0-3", Part::Whole),
            ("bytes=x", Part::Whole),
        ] {
            assert_eq!(part(Some(text), 10), expected, "{text}");
        }
        assert_eq!(part(None, 10), Part::Whole);
        assert_eq!(part(Some("bytes=0-"), 0), Part::Unsatisfiable);
        assert_eq!(part(Some("bytes=-1"), 0), Part::Unsatisfiable);
    }
}
