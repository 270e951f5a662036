//! The update source: signed documents and files behind one URL (`updates-and-system.md` 8).
//!
//! Proxies of the environment hold, but for a source on this very machine. Whoever answers is not believed: documents are
//! bounded and signed, files have a size and a digest.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::header::{ACCEPT_ENCODING, CONTENT_RANGE, RANGE};
use reqwest::{Client, Response, StatusCode, redirect};
use url::Url;

use crate::tls::{TlsError, Trust, client_config};

/// Time to reach the source.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// How long the source may be silent.
pub const SILENT_FOR: Duration = Duration::from_secs(30);
/// Redirects that are followed.
const REDIRECTS: usize = 5;
/// Connections that are kept for the next file.
const IDLE: usize = 4;

/// A source that cannot be asked at all.
#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    /// Not a URL.
    #[error("{0:?} is no URL of an update source: give https://host/path")]
    NotAUrl(String),
    /// No trust can be established.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The client cannot be made.
    #[error("cannot make a client for the update source: {0}")]
    Client(String),
}

/// Why something could not be had from the source.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// No connection, or none that is trusted.
    #[error("{url} cannot be reached: {why}")]
    Unreachable {
        /// What was asked for.
        url: String,
        /// What the system or the handshake said.
        why: String,
    },
    /// The connection broke off.
    #[error("{url} broke off after {bytes} bytes: {why}")]
    BrokenOff {
        /// What was asked for.
        url: String,
        /// Bytes that came in this answer.
        bytes: u64,
        /// What happened.
        why: String,
    },
    /// Nothing came for a while.
    #[error("{url} was silent for {} s after {bytes} bytes", SILENT_FOR.as_secs())]
    Silent {
        /// What was asked for.
        url: String,
        /// Bytes that came in this answer.
        bytes: u64,
    },
    /// It answers that it will not.
    #[error("{url} answers with status {status}")]
    Status {
        /// What was asked for.
        url: String,
        /// HTTP status.
        status: u16,
    },
    /// It sends us elsewhere too often, or to where nothing is encrypted.
    #[error("{url} redirects where we do not follow: {why}")]
    Redirect {
        /// What was asked for.
        url: String,
        /// Why not.
        why: String,
    },
    /// More than we take.
    #[error("{url} has more than {limit} bytes")]
    TooLarge {
        /// What was asked for.
        url: String,
        /// The limit in bytes.
        limit: usize,
    },
}

impl SourceError {
    /// Whether asking again may help without anybody changing anything.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::BrokenOff { .. } | Self::Silent { .. } => true,
            Self::Status { status, .. } => matches!(status, 408 | 429 | 500..=599),
            Self::Redirect { .. } | Self::TooLarge { .. } => false,
        }
    }
}

/// An update source.
#[derive(Debug, Clone)]
pub struct Source {
    base: Url,
    client: Client,
}

impl Source {
    /// Behind `base`; a slash at its end does not matter.
    ///
    /// # Errors
    /// [`AddressError`].
    pub fn new(base: &str, trust: &Trust) -> Result<Self, AddressError> {
        let not_a_url = || AddressError::NotAUrl(base.chars().take(200).collect());
        let base = Url::parse(base.trim_end_matches('/')).map_err(|_| not_a_url())?;
        if !matches!(base.scheme(), "http" | "https") || base.cannot_be_a_base() {
            return Err(not_a_url());
        }
        let here = match base.host() {
            Some(url::Host::Domain(name)) => name == "localhost",
            Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
            Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
            None => return Err(not_a_url()),
        };
        let config = client_config(trust, None)?;
        let mut client = Client::builder()
            .tls_backend_preconfigured((*config).clone())
            .connect_timeout(CONNECT_WITHIN)
            .pool_max_idle_per_host(IDLE)
            .redirect(redirect::Policy::custom(follow))
            .user_agent(concat!("muster/", env!("CARGO_PKG_VERSION")));
        if here {
            client = client.no_proxy();
        }
        let client = client.build().map_err(|error| AddressError::Client(reason(&error)))?;
        Ok(Self { base, client })
    }

    /// The URL of something in it. `path`: segments with slashes between them, as they are named, not as they are written
    /// in a URL.
    fn url(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path.split('/').filter(|segment| !segment.is_empty()));
        }
        url
    }

    async fn ask(&self, path: &str, from: u64) -> Result<(String, Response), SourceError> {
        let target = self.url(path);
        let url = target.to_string();
        let mut request = self.client.get(target).header(ACCEPT_ENCODING, "identity");
        if from > 0 {
            request = request.header(RANGE, format!("bytes={from}-"));
        }
        match tokio::time::timeout(SILENT_FOR, request.send()).await {
            Err(_) => Err(SourceError::Silent { url, bytes: 0 }),
            Ok(Ok(response)) => Ok((url, response)),
            Ok(Err(error)) if error.is_redirect() => Err(SourceError::Redirect { url, why: reason(&error) }),
            Ok(Err(error)) => Err(SourceError::Unreachable { url, why: reason(&error) }),
        }
    }

    /// A whole document, at most `limit` bytes of it.
    ///
    /// # Errors
    /// [`SourceError`].
    pub async fn document(&self, path: &str, limit: usize) -> Result<Bytes, SourceError> {
        let (url, response) = self.ask(path, 0).await?;
        if response.status() != StatusCode::OK {
            return Err(SourceError::Status { url, status: response.status().as_u16() });
        }
        let mut download = Download { from: 0, url, response, bytes: 0 };
        let mut all = BytesMut::new();
        while let Some(chunk) = download.chunk().await? {
            if all.len() + chunk.len() > limit {
                return Err(SourceError::TooLarge { url: download.url, limit });
            }
            all.extend_from_slice(&chunk);
        }
        Ok(all.freeze())
    }

    /// A file, from this byte on if the source can do that, else from its beginning: [`Download::from`] says which.
    ///
    /// # Errors
    /// [`SourceError`].
    pub async fn file(&self, path: &str, from: u64) -> Result<Download, SourceError> {
        let (url, response) = self.ask(path, from).await?;
        let from = match response.status() {
            StatusCode::OK => 0,
            StatusCode::PARTIAL_CONTENT if begins_at(&response) == Some(from) => from,
            // What we have is longer than what it has, or it does not know ranges: from the beginning.
            StatusCode::RANGE_NOT_SATISFIABLE | StatusCode::PARTIAL_CONTENT if from > 0 => {
                return Box::pin(self.file(path, 0)).await;
            }
            status => return Err(SourceError::Status { url, status: status.as_u16() }),
        };
        Ok(Download { from, url, response, bytes: 0 })
    }
}

/// A file on its way.
#[derive(Debug)]
pub struct Download {
    /// Its first byte that comes.
    pub from: u64,
    url: String,
    response: Response,
    bytes: u64,
}

impl Download {
    /// Bytes of the answer, if the source says so.
    pub fn length(&self) -> Option<u64> {
        self.response.content_length()
    }

    /// The next bytes; none at the end.
    ///
    /// # Errors
    /// [`SourceError::BrokenOff`] and [`SourceError::Silent`].
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, SourceError> {
        match tokio::time::timeout(SILENT_FOR, self.response.chunk()).await {
            Err(_) => Err(SourceError::Silent { url: self.url.clone(), bytes: self.bytes }),
            Ok(Ok(chunk)) => {
                self.bytes += chunk.as_ref().map_or(0, |chunk| chunk.len() as u64);
                Ok(chunk)
            }
            Ok(Err(error)) => {
                Err(SourceError::BrokenOff { url: self.url.clone(), bytes: self.bytes, why: reason(&error) })
            }
        }
    }
}

/// Where a partial answer begins: `bytes 5-9/10`.
fn begins_at(response: &Response) -> Option<u64> {
    let range = response.headers().get(CONTENT_RANGE)?.to_str().ok()?;
    range.strip_prefix("bytes ")?.split_once('-')?.0.parse().ok()
}

fn follow(attempt: redirect::Attempt<'_>) -> redirect::Action {
    let encrypted = attempt.previous().first().is_some_and(|first| first.scheme() == "https");
    if attempt.previous().len() > REDIRECTS {
        return attempt.error(format!("more than {REDIRECTS} redirects"));
    }
    if encrypted && attempt.url().scheme() != "https" {
        return attempt.error("from an encrypted connection to one that is not");
    }
    attempt.follow()
}

/// The innermost reason, which the outer ones only wrap; URLs are told by who reports it.
fn reason(error: &reqwest::Error) -> String {
    let mut at: &dyn std::error::Error = error;
    while let Some(source) = at.source() {
        at = source;
    }
    at.to_string().chars().filter(|c| !c.is_control()).take(300).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files_stay_names_in_urls() {
        let source = Source::new("http://127.0.0.1:1/os/", &Trust::SystemRoots).unwrap();
        assert_eq!(
            source.url("/2025/x86_64/a b?#%.gz").as_str(),
            "http://127.0.0.1:1/os/2025/x86_64/a%20b%3F%23%25.gz"
        );
        assert_eq!(source.url("index.sjson").as_str(), "http://127.0.0.1:1/os/index.sjson");
        for bad in ["", "ftp://127.0.0.1/", "mailto:x", "x"] {
            assert!(Source::new(bad, &Trust::SystemRoots).is_err(), "{bad}");
        }
    }
}
