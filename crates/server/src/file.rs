//! Answers that are a stored file: whole or a part of it, with an entity tag.

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::Response,
};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use muster_engine::services::update::Download;
use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    sync::{Arc, Mutex, PoisonError},
};

/// Bytes that are read at once.
const CHUNK: u64 = 512 << 10;
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

/// The answer to a request for a file of `size` bytes whose content has this SHA-256. One that belongs to a download is sent
/// as that has its turns.
pub fn answer(
    file: File,
    size: u64,
    sha256: &str,
    name: &str,
    asked: &HeaderMap,
    download: Option<Download>,
) -> Response {
    let text = |key| asked.get(key).and_then(|value: &HeaderValue| value.to_str().ok());
    let tag = format!("\"{sha256}\"");
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
    set(header::CONTENT_TYPE, "application/octet-stream");
    set(header::CONTENT_DISPOSITION, &format!("attachment; filename=\"{}\"", name.replace(['"', '\\'], "_")));
    set(header::CONTENT_LENGTH, &length.to_string());
    *response.status_mut() = status;
    *response.body_mut() = body(file, from, length, download);
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

fn body(file: File, from: u64, length: u64, download: Option<Download>) -> Body {
    let (file, spare) = (Arc::new(file), Spare::default());
    let chunks = stream::unfold((download, 0), move |(mut download, at)| async move {
        let left = (length - at).min(CHUNK);
        let bytes = match &mut download {
            Some(download) if left > 0 => download.turn(left).await,
            _ => left,
        };
        (bytes > 0).then_some(((from + at, bytes), (download, at + bytes)))
    });
    let read = move |(at, length)| {
        let (file, spare) = (file.clone(), spare.clone());
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
                file.read_exact_at(&mut chunk.bytes, at)?;
                Ok(Bytes::from_owner(chunk))
            };
            tokio::task::spawn_blocking(read).await.map_err(io::Error::other)?
        }
    };
    Body::from_stream(chunks.map(read).buffered(AHEAD))
}

#[cfg(test)]
mod tests {
    use super::*;

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
