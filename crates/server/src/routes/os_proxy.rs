//! `/1.0/provisioning/servers/{name}/os/…`: a machine's own API, passed through (`servers.md` 3.10).

use crate::{App, caller::Caller, error::ApiError, params::PathName};
use axum::{
    Extension,
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, Version, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use http_body_util::BodyExt;
use muster_clients::machine::{AnswerBody, RequestBody};
use muster_engine::services::{machine, server};
use percent_encoding::percent_decode_str;
use std::{io, time::Duration};
use tokio::sync::mpsc;

const SERVERS: &str = "/1.0/provisioning/servers/";
/// From which the machine learns how its URLs look from outside.
const PROXY: HeaderName = HeaderName::from_static("x-incusos-proxy");
/// How long an answer may take to begin. It begins after the last byte of an upload; who does not want to wait hangs up.
const PATIENCE: Duration = Duration::from_secs(3600);

/// Headers that are about one connection, not about the message (RFC 9110 7.6.1).
const HOP_BY_HOP: [&str; 9] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Forwards any method; a call that may change something is audited first.
pub async fn forward(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    PathName(name): PathName,
    request: Request,
) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    let (prefix, path) = split(parts.uri.path())?;
    let row = server::row(&app.engine, &name).await?;
    if parts.method != Method::GET && parts.method != Method::HEAD {
        machine::record_call(&app.engine, &caller.actor(), &name, parts.method.as_str(), path).await?;
    }
    let machine = match app.engine.machine(&row) {
        Ok(machine) => machine,
        Err(error) => return Ok(unreachable(&name, &error)),
    };
    let target = match parts.uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    let body: RequestBody = body.map_err(Into::into).boxed_unsync();
    let mut out = http::Request::new(body);
    *out.method_mut() = parts.method;
    *out.uri_mut() = target.parse::<Uri>().map_err(ApiError::bad_request)?;
    *out.version_mut() = Version::HTTP_11;
    *out.headers_mut() = request_headers(parts.headers.clone());
    out.headers_mut().append(PROXY, HeaderValue::from_str(prefix).map_err(ApiError::bad_request)?);
    match machine.stream(out, PATIENCE).await {
        Ok(answer) => Ok(pass(answer)),
        Err(error) => Ok(unreachable(&name, &error.failure)),
    }
}

/// No envelope: it is not the center that was asked. No type either, as the reference has none.
fn unreachable(name: &str, why: &dyn std::fmt::Display) -> Response {
    tracing::warn!(server = name, error = %why, "cannot pass a call on to a machine");
    let text = format!("server {name:?} cannot be reached: {why}\n");
    let mut response = (StatusCode::BAD_GATEWAY, text).into_response();
    response.headers_mut().remove(header::CONTENT_TYPE);
    response
}

/// Splits an undecoded path in what the center serves and what the machine is asked for, which begins with `/os`.
fn split(path: &str) -> Result<(&str, &str), ApiError> {
    let rest = path.strip_prefix(SERVERS).and_then(|rest| rest.find('/'));
    let at = rest.ok_or_else(|| ApiError::bad_request("the path names no server"))? + SERVERS.len();
    let (prefix, rest) = path.split_at(at);
    if climbs(rest) {
        return Err(ApiError::bad_request("the path must not contain \"..\""));
    }
    Ok((prefix, rest))
}

/// Whether any reading of a path has a `..` in it, with which it could leave `/os` again.
fn climbs(path: &str) -> bool {
    let mut text = path.to_owned();
    loop {
        if text.split(['/', '\\']).any(|segment| segment == "..") {
            return true;
        }
        let decoded = percent_decode_str(&text).decode_utf8_lossy().into_owned();
        // Each round is shorter than the one before, until there is nothing left to decode.
        if decoded == text || decoded.len() >= text.len() {
            return false;
        }
        text = decoded;
    }
}

/// What the machine gets to see: neither the connection's headers nor what the caller has proven itself with.
fn request_headers(mut headers: HeaderMap) -> HeaderMap {
    end_to_end(&mut headers);
    for name in [header::HOST, header::AUTHORIZATION, header::COOKIE, header::EXPECT] {
        headers.remove(name);
    }
    headers
}

/// Removes what belongs to one connection, and what `Connection` names as such.
fn end_to_end(headers: &mut HeaderMap) {
    let named: Vec<String> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(',').map(|name| name.trim().to_ascii_lowercase()))
        .collect();
    for name in HOP_BY_HOP.into_iter().chain(named.iter().map(String::as_str)) {
        headers.remove(name);
    }
}

/// The machine's answer as it is.
fn pass(answer: http::Response<AnswerBody>) -> Response {
    let (mut parts, body) = answer.into_parts();
    end_to_end(&mut parts.headers);
    parts.version = Version::HTTP_11;
    Response::from_parts(parts, Body::from_stream(read_on(body)))
}

/// Reads an answer to its very end, so that the connection to the machine is kept, at the pace of the caller. A caller that
/// hangs up ends it.
fn read_on(mut body: AnswerBody) -> impl futures_util::Stream<Item = io::Result<Bytes>> {
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        loop {
            let frame = tokio::select! {
                frame = body.frame() => frame,
                () = sender.closed() => None,
            };
            let Some(frame) = frame else { return };
            let failed = frame.is_err();
            let Some(data) = frame.map(|frame| frame.into_data().ok()).map_err(io::Error::other).transpose() else {
                continue;
            };
            if sender.send(data).await.is_err() || failed {
                return;
            }
        }
    });
    futures_util::stream::unfold(receiver, |mut receiver| async { Some((receiver.recv().await?, receiver)) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_undecoded_path_behind_the_name_reaches_the_machine() {
        for (path, prefix, rest) in [
            ("/1.0/provisioning/servers/m1/os", "/1.0/provisioning/servers/m1", "/os"),
            ("/1.0/provisioning/servers/m1/os/", "/1.0/provisioning/servers/m1", "/os/"),
            ("/1.0/provisioning/servers/m1/os/1.0/a%2Fb%20c", "/1.0/provisioning/servers/m1", "/os/1.0/a%2Fb%20c"),
            ("/1.0/provisioning/servers/a%2Fb/os/1.0", "/1.0/provisioning/servers/a%2Fb", "/os/1.0"),
            ("/1.0/provisioning/servers/m1/os/a..b/...", "/1.0/provisioning/servers/m1", "/os/a..b/..."),
        ] {
            assert_eq!(split(path).unwrap(), (prefix, rest), "{path}");
        }
    }

    #[test]
    fn no_spelling_of_two_dots_leaves_the_tree() {
        for rest in [
            "..",
            "%2e%2e/1.0",
            ".%2E",
            "..%2f1.0",
            "a%2f..%2F..",
            "%252e%252e",
            "a%5c..",
            "%25252e.",
            "%2e%2e%ff/%2e%2e",
        ] {
            assert!(split(&format!("/1.0/provisioning/servers/m1/os/{rest}")).is_err(), "{rest}");
        }
    }

    #[test]
    fn neither_the_connection_nor_the_caller_is_forwarded() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "close, X-Mine"),
            ("x-mine", "1"),
            ("te", "trailers"),
            ("transfer-encoding", "chunked"),
            ("host", "center"),
            ("authorization", "Bearer x"),
            ("cookie", "session=x"),
            ("content-type", "application/json"),
            ("x-incusos-proxy", "/outer"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        let left = request_headers(headers);
        let mut names: Vec<&str> = left.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["content-type", "x-incusos-proxy"]);
    }
}
