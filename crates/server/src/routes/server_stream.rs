//! The list of servers as objects, a page of rows at a time: memory stays flat however many there are.

use super::server_filter::ServerFilter;
use crate::{App, error::ApiError};
use axum::{
    body::Body,
    http::header,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use muster_api::provisioning::server::Server;
use muster_engine::{
    ChannelIndexes, Error,
    services::server::{self, Filter},
};
use std::io;
use tokio::sync::mpsc;

/// Rows read at once.
const PAGE: i64 = 200;
/// The envelope around the list, as `serde` writes it.
const HEAD: &str =
    r#"{"type":"sync","status":"Success","status_code":200,"operation":"","error_code":0,"error":"","metadata":["#;
const TAIL: &str = "]}\n";

struct Pages {
    app: App,
    filter: Filter,
    program: Option<ServerFilter>,
    channels: ChannelIndexes,
    after: String,
    left: i64,
}

/// The answer. The first page is read before it begins, so that an error can still be one.
///
/// # Errors
/// The store's, or a filter that fails on a row of the first page.
pub async fn objects(
    app: App,
    filter: Filter,
    program: Option<ServerFilter>,
    after: String,
    limit: i64,
) -> Result<Response, ApiError> {
    let channels = app.engine.channel_index().await?;
    let mut pages = Pages { app, filter, program, channels, after, left: limit };
    let mut chunk = HEAD.as_bytes().to_vec();
    let mut first = true;
    let more = pages.next(&mut chunk, &mut first).await?;
    if !more {
        chunk.extend_from_slice(TAIL.as_bytes());
        return Ok(respond(Body::from(chunk)));
    }
    let (sender, receiver) = mpsc::channel::<Result<Bytes, io::Error>>(2);
    tokio::spawn(async move {
        let mut chunk = chunk;
        loop {
            if sender.send(Ok(Bytes::from(std::mem::take(&mut chunk)))).await.is_err() {
                return; // nobody reads any more
            }
            match pages.next(&mut chunk, &mut first).await {
                Ok(true) => {}
                Ok(false) => {
                    chunk.extend_from_slice(TAIL.as_bytes());
                    sender.send(Ok(Bytes::from(chunk))).await.ok();
                    return;
                }
                // Too late for an error answer: the connection breaks off, so that half a list is not taken for a whole.
                Err(e) => {
                    tracing::error!(error = ?e, "a list broke off");
                    sender.send(Err(io::Error::other("the list broke off"))).await.ok();
                    return;
                }
            }
        }
    });
    let stream =
        futures_util::stream::unfold(receiver, |mut receiver| async { Some((receiver.recv().await?, receiver)) });
    Ok(respond(Body::from_stream(stream)))
}

fn respond(body: Body) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

impl Pages {
    /// Appends the next page; false when it was the last.
    async fn next(&mut self, chunk: &mut Vec<u8>, first: &mut bool) -> Result<bool, ApiError> {
        let servers = server::page(&self.app.engine, &self.filter, &self.channels, &self.after, PAGE).await?;
        let full = i64::try_from(servers.len()).unwrap_or(0) == PAGE;
        if let Some(last) = servers.last() {
            self.after.clone_from(&last.name);
        }
        for server in &servers {
            if self.left == 0 {
                return Ok(false);
            }
            if self.keeps(server)? {
                if !std::mem::take(first) {
                    chunk.push(b',');
                }
                serde_json::to_writer(&mut *chunk, server).map_err(|e| Error::Internal(e.to_string()))?;
                self.left -= 1;
            }
        }
        Ok(full && self.left > 0)
    }

    fn keeps(&self, server: &Server) -> Result<bool, ApiError> {
        match &self.program {
            None => Ok(true),
            Some(program) => program.matches(server, self.app.engine.clock().now().0),
        }
    }
}
