//! One HTTP/1.1 request over a unix socket, enough to speak to the daemon's local API.
//!
//! The workspace's client crate is not used on purpose: this tool must build in seconds, and must be able to
//! ask a daemon whose client is broken.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// What came back.
#[derive(Debug)]
pub struct Answer {
    /// The `Location` header, for what was created.
    pub location: Option<String>,
    /// The `metadata` of the envelope.
    pub metadata: Value,
}

/// Sends a request and returns the envelope's metadata; an error answer of the daemon is an error here.
pub fn ask(socket: &Path, method: &str, path: &str, body: Option<&Value>) -> Result<Answer> {
    request(socket, method, path, body).with_context(|| format!("{method} {path} over {}", socket.display()))
}

fn request(socket: &Path, method: &str, path: &str, body: Option<&Value>) -> Result<Answer> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    let body = body.map(Value::to_string).unwrap_or_default();
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: unix\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    )?;
    let mut raw = Vec::new();
    match stream.read_to_end(&mut raw) {
        // A route that takes no body answers and closes with ours unread: the answer is whole all the same.
        Err(e) if e.kind() == std::io::ErrorKind::ConnectionReset && !raw.is_empty() => {}
        read => drop(read?),
    }
    parse(&raw)
}

fn parse(raw: &[u8]) -> Result<Answer> {
    let end = raw.windows(4).position(|w| w == b"\r\n\r\n").context("the answer has no end of headers")?;
    let head = std::str::from_utf8(&raw[..end]).context("the answer's headers are not text")?;
    let header = |name: &str| {
        head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
        })
    };
    let status = head.lines().next().unwrap_or_default();
    let rest = &raw[end + 4..];
    let body = match header("transfer-encoding") {
        Some(coding) if coding.eq_ignore_ascii_case("chunked") => unchunk(rest)?,
        _ => rest.to_vec(),
    };
    let Ok(envelope) = serde_json::from_slice::<Value>(&body) else {
        bail!("{status}: {}", String::from_utf8_lossy(&body).trim());
    };
    if envelope["type"] == "error" {
        bail!("{status}: {}", envelope["error"].as_str().unwrap_or("no reason given"));
    }
    Ok(Answer { location: header("location"), metadata: envelope["metadata"].clone() })
}

fn unchunk(mut rest: &[u8]) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    loop {
        let line = rest.windows(2).position(|w| w == b"\r\n").context("a chunk has no length")?;
        let text = std::str::from_utf8(&rest[..line])?;
        let size = usize::from_str_radix(text.split(';').next().unwrap_or_default().trim(), 16)
            .with_context(|| format!("{text:?} is no chunk length"))?;
        if size == 0 {
            return Ok(out);
        }
        let chunk = rest.get(line + 2..line + 2 + size).context("the answer was cut off")?;
        out.extend_from_slice(chunk);
        rest = rest.get(line + 4 + size..).context("the answer was cut off")?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_created_object_has_a_location() {
        let raw = b"HTTP/1.1 201 Created\r\nlocation: /1.0/provisioning/tokens/x\r\n\r\n{\"type\":\"sync\",\"metadata\":null}\n";
        let answer = parse(raw).unwrap();
        assert_eq!(answer.location.as_deref(), Some("/1.0/provisioning/tokens/x"));
        assert_eq!(answer.metadata, Value::Null);
    }

    #[test]
    fn a_streamed_answer_is_put_together() {
        let raw = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
                    13\r\n{\"type\":\"sync\",\"met\r\nB\r\nadata\":[7]}\r\n0\r\n\r\n";
        assert_eq!(parse(raw).unwrap().metadata, serde_json::json!([7]));
        let cut = &raw[..raw.len() - 12];
        assert!(parse(cut).unwrap_err().to_string().contains("cut off"));
    }

    #[test]
    fn an_error_answer_keeps_the_daemons_words() {
        let raw =
            b"HTTP/1.1 400 Bad Request\r\n\r\n{\"type\":\"error\",\"error\":\"no such channel\",\"metadata\":null}";
        assert_eq!(parse(raw).unwrap_err().to_string(), "HTTP/1.1 400 Bad Request: no such channel");
        let plain = b"HTTP/1.1 404 Not Found\r\n\r\n404 page not found\n";
        assert_eq!(parse(plain).unwrap_err().to_string(), "HTTP/1.1 404 Not Found: 404 page not found");
    }
}
