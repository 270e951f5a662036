//! The S/MIME envelope: which bytes were signed, and where the signature is.

use base64::Engine as _;

/// Most lines and longest line of a block of headers, in bytes.
const HEADERS_LIMIT: usize = 64;
const HEADER_LIMIT: usize = 4096;

/// Why a message is no S/MIME message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MimeError {
    /// No block of headers ended by an empty line, or too large a one.
    #[error("{0} has no headers that end with an empty line")]
    NoHeaders(&'static str),
    /// Missing, or there twice.
    #[error("{0} has no Content-Type, or several")]
    NoContentType(&'static str),
    /// Another type.
    #[error("{part} is of type {found:?}; expected is {expected}")]
    ContentType {
        /// Which part.
        part: &'static str,
        /// Its type.
        found: String,
        /// What it has to be.
        expected: &'static str,
    },
    /// No boundary, or one that cannot be.
    #[error("the message has no usable boundary between its parts")]
    NoBoundary,
    /// The last part is not closed.
    #[error("the message breaks off: its last part is not closed by its boundary")]
    BrokenOff,
    /// A line that begins like the boundary and goes on otherwise.
    #[error("the message has a line that begins with its boundary and goes on otherwise")]
    Boundary,
    /// Not the content and the signature.
    #[error("the message has {0} parts; expected are the content and the signature")]
    Parts(usize),
    /// Not Base64.
    #[error("the signature is not in Base64")]
    Base64,
}

/// A message taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Parts {
    /// The signed bytes, when they are beside the signature: line ends are CRLF.
    pub content: Option<Vec<u8>>,
    /// The signature, as its encoding is.
    pub signature: Vec<u8>,
}

const SIGNED: &str = "multipart/signed";
const OPAQUE: [&str; 2] = ["application/x-pkcs7-mime", "application/pkcs7-mime"];
const SIGNATURE: [&str; 2] = ["application/x-pkcs7-signature", "application/pkcs7-signature"];

/// Takes a message apart.
pub(super) fn read(message: &[u8]) -> Result<Parts, MimeError> {
    let (kind, body) = headers(message, "the message")?;
    if kind.name == SIGNED {
        let boundary = kind.boundary.filter(|b| !b.is_empty() && b.len() <= 200).ok_or(MimeError::NoBoundary)?;
        return clear_signed(body, boundary.as_bytes());
    }
    if OPAQUE.contains(&kind.name.as_str()) {
        return Ok(Parts { content: None, signature: decode(body)? });
    }
    let expected = "multipart/signed or application/x-pkcs7-mime";
    Err(MimeError::ContentType { part: "the message", found: kind.name, expected })
}

/// What was signed, without the header that makes it a text.
pub(super) fn text(content: &[u8]) -> Result<&[u8], MimeError> {
    let (kind, body) = headers(content, "the signed content")?;
    if kind.name == "text/plain" {
        return Ok(body);
    }
    Err(MimeError::ContentType { part: "the signed content", found: kind.name, expected: "text/plain" })
}

/// Lines without their ends: LF, with all CR before it.
fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split_inclusive(|b| *b == b'\n').map(|line| match line.strip_suffix(b"\n") {
        Some(line) => without_cr(line),
        None => line,
    })
}

fn without_cr(mut line: &[u8]) -> &[u8] {
    while let Some(shorter) = line.strip_suffix(b"\r") {
        line = shorter;
    }
    line
}

struct ContentType {
    name: String,
    boundary: Option<String>,
}

/// Reads a block of headers, and answers with its content type and what comes after the block.
fn headers<'a>(bytes: &'a [u8], part: &'static str) -> Result<(ContentType, &'a [u8]), MimeError> {
    let mut rest = bytes;
    let mut fields: Vec<String> = Vec::new();
    for _ in 0..HEADERS_LIMIT {
        let end = rest.iter().take(HEADER_LIMIT).position(|b| *b == b'\n').ok_or(MimeError::NoHeaders(part))?;
        let line = without_cr(&rest[..end]);
        rest = &rest[end + 1..];
        if line.is_empty() {
            return Ok((content_type(&fields, part)?, rest));
        }
        let line = std::str::from_utf8(line).map_err(|_| MimeError::NoHeaders(part))?;
        match (line.starts_with([' ', '\t']), fields.last_mut()) {
            (true, Some(field)) => field.push_str(line),
            (true, None) => return Err(MimeError::NoHeaders(part)),
            (false, _) => fields.push(line.to_owned()),
        }
    }
    Err(MimeError::NoHeaders(part))
}

fn content_type(fields: &[String], part: &'static str) -> Result<ContentType, MimeError> {
    let named = fields.iter().filter_map(|field| field.split_once(':'));
    let mut values = named.filter(|(name, _)| name.trim().eq_ignore_ascii_case("content-type")).map(|(_, value)| value);
    let (Some(value), None) = (values.next(), values.next()) else { return Err(MimeError::NoContentType(part)) };
    let mut parts = split_quoted(value).into_iter();
    let name = parts.next().unwrap_or_default().trim().to_ascii_lowercase();
    let boundary = parts.find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        let is = name.trim().eq_ignore_ascii_case("boundary");
        is.then(|| value.trim().trim_matches('"').to_owned())
    });
    Ok(ContentType { name: name.chars().take(100).collect(), boundary })
}

/// Splits at semicolons outside of quotes.
fn split_quoted(value: &str) -> Vec<&str> {
    let (mut parts, mut start, mut quoted) = (Vec::new(), 0, false);
    for (at, c) in value.char_indices() {
        match c {
            '"' => quoted = !quoted,
            ';' if !quoted => {
                parts.push(&value[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&value[start..]);
    parts
}

/// What precedes the first boundary and follows the last one is ignored. The line break before a boundary belongs to it.
fn clear_signed(body: &[u8], boundary: &[u8]) -> Result<Parts, MimeError> {
    let mut parts: Vec<Vec<u8>> = Vec::new();
    let mut first_line = true;
    let mut closed = false;
    for line in lines(body) {
        if let Some(after) = line.strip_prefix(b"--").and_then(|l| l.strip_prefix(boundary)) {
            let (end, after) = match after.strip_prefix(b"--") {
                Some(after) => (true, after),
                None => (false, after),
            };
            if !after.iter().all(u8::is_ascii_whitespace) {
                return Err(MimeError::Boundary);
            }
            if end {
                closed = true;
                break;
            }
            if parts.len() == 2 {
                return Err(MimeError::Parts(3));
            }
            parts.push(Vec::new());
            first_line = true;
        } else if let Some(part) = parts.last_mut() {
            if !first_line {
                part.extend_from_slice(b"\r\n");
            }
            part.extend_from_slice(line);
            first_line = false;
        }
    }
    if !closed {
        return Err(MimeError::BrokenOff);
    }
    let count = parts.len();
    let Ok([content, signature]) = <[Vec<u8>; 2]>::try_from(parts) else { return Err(MimeError::Parts(count)) };
    let (kind, encoded) = headers(&signature, "the signature")?;
    if !SIGNATURE.contains(&kind.name.as_str()) {
        let expected = "application/x-pkcs7-signature";
        return Err(MimeError::ContentType { part: "the signature", found: kind.name, expected });
    }
    Ok(Parts { content: Some(content), signature: decode(encoded)? })
}

fn decode(text: &[u8]) -> Result<Vec<u8>, MimeError> {
    let digits: Vec<u8> = text.iter().copied().filter(|b| !b.is_ascii_whitespace()).collect();
    base64::engine::general_purpose::STANDARD.decode(digits).map_err(|_| MimeError::Base64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clear(body: &str) -> Vec<u8> {
        format!("MIME-Version: 1.0\nContent-Type: multipart/signed; micalg=\"a;b\";\n boundary=\"--B\"\n\n{body}")
            .into_bytes()
    }

    const SIGNATURE_PART: &str =
        "----B\nContent-Type: application/pkcs7-signature; name=\"smime.p7s\"\n\nAQID\nBA==\n\n----B--\n";

    #[test]
    fn the_signed_bytes_are_part_one_with_crlf() {
        for end in ["\n", "\r\n", "\r\r\n"] {
            let body = format!("preamble{end}----B{end}Content-Type: text/plain{end}{end}{{{end}}}{end}{end}");
            let parts = read(&clear(&(body + SIGNATURE_PART))).unwrap();
            assert_eq!(parts.content.as_deref(), Some(b"Content-Type: text/plain\r\n\r\n{\r\n}\r\n".as_slice()));
            assert_eq!(parts.signature, [1, 2, 3, 4]);
        }
        let opaque = b"Content-Type: Application/PKCS7-mime; smime-type=signed-data\r\n\r\nAQ\r\nID\r\n";
        assert_eq!(read(opaque).unwrap(), Parts { content: None, signature: vec![1, 2, 3] });
    }

    #[test]
    fn what_is_no_message_is_refused() {
        let content = "----B\nContent-Type: text/plain\n\n{}\n";
        for (message, expected) in [
            (Vec::new(), MimeError::NoHeaders("the message")),
            (b"hello".to_vec(), MimeError::NoHeaders("the message")),
            (b"X: y\n".repeat(100), MimeError::NoHeaders("the message")),
            (vec![b'x'; 10_000], MimeError::NoHeaders("the message")),
            (b" folded: first\n\n".to_vec(), MimeError::NoHeaders("the message")),
            (b"A: b\n\nx".to_vec(), MimeError::NoContentType("the message")),
            (b"Content-Type: a/b\nContent-type: c/d\n\nx".to_vec(), MimeError::NoContentType("the message")),
            (b"Content-Type: multipart/signed\n\nx".to_vec(), MimeError::NoBoundary),
            (b"Content-Type: multipart/signed; boundary=\"\"\n\nx".to_vec(), MimeError::NoBoundary),
            (clear(""), MimeError::BrokenOff),
            (clear(content), MimeError::BrokenOff),
            (clear(&format!("{content}----B--\n")), MimeError::Parts(1)),
            (clear(&format!("{content}{content}{SIGNATURE_PART}")), MimeError::Parts(3)),
            (clear(&format!("{content}----Bx\n{SIGNATURE_PART}")), MimeError::Boundary),
            (clear(&format!("{content}{SIGNATURE_PART}").replace("AQID", "AQ?D")), MimeError::Base64),
        ] {
            assert_eq!(read(&message), Err(expected), "{}", String::from_utf8_lossy(&message));
        }
        let wrong = read(&clear(&format!("{content}{}", SIGNATURE_PART.replace("pkcs7-signature", "zip"))));
        assert!(matches!(wrong, Err(MimeError::ContentType { part: "the signature", .. })));
    }

    #[test]
    fn content_is_a_text_with_its_header() {
        assert_eq!(text(b"Content-Type: Text/Plain; charset=utf-8\r\n\r\n{}\r\n"), Ok(b"{}\r\n".as_slice()));
        assert!(matches!(text(b"Content-Type: text/html\r\n\r\n{}"), Err(MimeError::ContentType { .. })));
        assert_eq!(text(b"{}"), Err(MimeError::NoHeaders("the signed content")));
        assert_eq!(text(b"X: y\r\n\r\n{}"), Err(MimeError::NoContentType("the signed content")));
    }
}
