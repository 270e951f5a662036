//! `/1.0/events`: what happens, as it happens, as server-sent events.

use crate::{App, answer::Sync, caller::Caller, error::ApiError, params::Params};
use axum::{
    Extension,
    extract::State,
    http::HeaderMap,
    response::{
        IntoResponse, Response,
        sse::{self, KeepAlive, Sse},
    },
};
use futures_util::{StreamExt, stream};
use muster_engine::services::event::{self, Event};
use serde_json::{Value, json};
use std::{collections::VecDeque, convert::Infallible, time::Duration};
use tokio::sync::watch;

/// Events read at once.
const PAGE: i64 = 200;
/// How many past events come first when the caller does not say where to begin.
const PAST: i64 = 100;
/// Silence is broken this often, so that both sides notice a dead connection.
const HEARTBEAT: Duration = Duration::from_secs(15);

struct Watch {
    app: App,
    caller: Caller,
    changed: watch::Receiver<u64>,
    after: i64,
    ready: VecDeque<Event>,
}

/// Events after `Last-Event-ID` or `after`; without either the newest 100 and what follows. A stream that ends when the
/// daemon stops, for callers that accept `text/event-stream`; for others a list of what there is (at most 200). Old events
/// are dropped: who begins before the oldest one is told so by a first event of kind `events.dropped`.
#[utoipa::path(get, path = "/1.0/events", tag = "events",
    params(("after" = Option<i64>, Query), ("Last-Event-ID" = Option<i64>, Header)),
    responses((status = 200, content_type = "text/event-stream", body = String), (status = 400)))]
pub async fn stream(
    State(app): State<App>,
    Extension(caller): Extension<Caller>,
    params: Params,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    // Subscribed before anything is read: nothing is missed in between.
    let changed = app.engine.store().changed();
    let seen = headers.get("last-event-id").and_then(|v| v.to_str().ok()).and_then(|v| v.trim().parse::<i64>().ok());
    let after = match seen {
        // A browser that connects again repeats the query: what it has seen by then counts more.
        Some(seen) => seen,
        None if params.get("after").is_empty() => event::before_last(&app.engine, PAST).await?,
        None => params.number("after", 0, i64::MAX)?,
    };
    let wants = |v: &axum::http::HeaderValue| v.to_str().is_ok_and(|v| v.contains("text/event-stream"));
    if !headers.get_all("accept").iter().any(wants) {
        // Who did not ask for a stream would wait for its end in vain.
        let events = event::after(&app.engine, after, PAGE).await?;
        return Ok(Sync(events.into_iter().map(|e| told(&e)).collect::<Vec<_>>()).into_response());
    }
    let stopping = app.engine.stopping().clone().cancelled_owned();
    let watch = Watch { app, caller, changed, after, ready: VecDeque::new() };
    let events = stream::unfold(watch, |mut watch| async {
        let event = watch.next().await?;
        Some((Ok::<_, Infallible>(sent(event)), watch))
    });
    let alive = KeepAlive::new().interval(HEARTBEAT).text("heartbeat");
    Ok(Sse::new(events.take_until(stopping)).keep_alive(alive).into_response())
}

impl Watch {
    /// The next event; none when the caller is no longer trusted or the store does not answer.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if !self.allowed() {
                return None;
            }
            if let Some(event) = self.ready.pop_front() {
                self.after = event.seq;
                return Some(event);
            }
            self.changed.borrow_and_update();
            match event::after(&self.app.engine, self.after, PAGE).await {
                Ok(events) if events.is_empty() => self.changed.changed().await.ok()?,
                Ok(events) => self.ready = events.into(),
                Err(error) => {
                    tracing::error!(%error, "an event stream broke off");
                    return None;
                }
            }
        }
    }

    /// Trust may be withdrawn while the stream is open.
    fn allowed(&self) -> bool {
        match &self.caller {
            Caller::Tls { fingerprint } => self.app.engine.trusts(fingerprint),
            caller => caller.trusted(),
        }
    }
}

/// An event as JSON.
fn told(event: &Event) -> Value {
    let mut data = json!({ "seq": event.seq, "at": muster_api::time::Time::from_micros(event.at), "kind": &event.kind, "object": &event.object });
    if let (Value::Object(data), Ok(Value::Object(payload))) = (&mut data, serde_json::from_str(&event.payload)) {
        data.extend(payload);
    }
    data
}

fn sent(event: Event) -> sse::Event {
    let data = told(&event);
    // Line breaks would end the field; JSON has none.
    let kind = event.kind.replace(['\r', '\n'], " ");
    sse::Event::default().id(event.seq.to_string()).event(kind).data(data.to_string())
}
