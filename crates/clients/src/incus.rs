//! The calls of Incus over a [`Machine`]: member state, operations, events. Source: servers.md 7.0.1, clusters.md 14.

use std::time::Duration;

use futures_util::StreamExt;
use http::Method;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;
use tokio::time::Instant;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};

use crate::call::{CallError, Failure};
use crate::endpoint::Io;
use crate::incusos::{ANSWER_WITHIN, CHANGE_WITHIN, last_segment};
use crate::machine::{BODY_LIMIT, Machine};

/// Longest time one question for an operation waits on the machine.
const WAIT_ROUND: Duration = Duration::from_secs(30);

/// What a cluster member is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemberAction {
    /// Move its instances away.
    Evacuate,
    /// Take them back.
    Restore,
}

impl MemberAction {
    /// On the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Evacuate => "evacuate",
            Self::Restore => "restore",
        }
    }
}

/// A background operation of Incus.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Operation {
    /// Its UUID.
    pub id: String,
    /// For people.
    #[serde(default)]
    pub description: String,
    /// 103 running, 200 success, 400 failure, 401 cancelled.
    pub status_code: u16,
    /// Why it failed; empty otherwise.
    #[serde(default)]
    pub err: String,
}

impl Operation {
    /// Whether it has ended, well or not.
    pub fn is_done(&self) -> bool {
        self.status_code >= 200
    }

    /// Whether it ended well.
    pub fn is_success(&self) -> bool {
        self.status_code == 200
    }
}

impl Machine {
    /// Status of a cluster member, such as `Online` or `Evacuated`; asked of the member itself.
    pub async fn member_status(&self, name: &str) -> Result<String, CallError> {
        #[derive(Deserialize)]
        struct Member {
            status: String,
        }
        let path = format!("/1.0/cluster/members/{}", segment(name));
        let answer = self.request(Method::GET, &path, None, ANSWER_WITHIN).await?;
        let member: Member = answer.decode().map_err(|failure| self.error(&Method::GET, &path, failure))?;
        Ok(member.status)
    }

    /// Starts an evacuation or a restore and returns the id of its operation. `mode` is `auto` for an evacuation, empty
    /// or `skip` for a restore. The event stream is opened before, as Incus' own clients do.
    pub async fn set_member_state(&self, name: &str, action: MemberAction, mode: &str) -> Result<String, CallError> {
        let _events = self.events("/1.0/events").await?;
        let path = format!("/1.0/cluster/members/{}/state", segment(name));
        let body = json!({"action": action.as_str(), "mode": mode});
        let answer = self.request(Method::POST, &path, Some(&body), CHANGE_WITHIN).await?;
        let id = last_segment(&answer.operation);
        if id.is_empty() {
            let failure = Failure::NotJson("the answer names no operation".to_owned());
            return Err(self.error(&Method::POST, &path, failure));
        }
        Ok(id.to_owned())
    }

    /// Waits for an operation, at most `within`, in rounds of at most 30 s so that a dead connection is noticed.
    /// What comes back may still be running: see [`Operation::is_done`].
    pub async fn wait_operation(&self, id: &str, within: Duration) -> Result<Operation, CallError> {
        let until = Instant::now() + within;
        loop {
            let round = until.saturating_duration_since(Instant::now()).min(WAIT_ROUND);
            let path = format!("/1.0/operations/{}/wait?timeout={}", segment(id), round.as_secs());
            let answer = self.request(Method::GET, &path, None, round + ANSWER_WITHIN).await?;
            let operation: Operation = answer.decode().map_err(|failure| self.error(&Method::GET, &path, failure))?;
            if operation.is_done() || Instant::now() + Duration::from_secs(1) >= until {
                return Ok(operation);
            }
        }
    }

    /// Opens an event stream on a connection of its own; life-cycle events of a whole cluster are
    /// `/1.0/events?all-projects=true&type=lifecycle`.
    pub async fn events(&self, path: &str) -> Result<Events, CallError> {
        let open = async {
            let stream = self.open_stream().await?;
            let url = format!("ws://{}{path}", self.endpoint().authority());
            let request = url.into_client_request().map_err(websocket)?;
            let config = WebSocketConfig::default().max_message_size(Some(BODY_LIMIT));
            let (socket, _) =
                tokio_tungstenite::client_async_with_config(request, stream, Some(config)).await.map_err(websocket)?;
            Ok(Events(socket))
        };
        let opened = tokio::time::timeout(ANSWER_WITHIN, open).await.unwrap_or(Err(Failure::Timeout));
        opened.map_err(|failure| self.error(&Method::GET, path, failure))
    }
}

/// Events of a machine, as they come.
pub struct Events(WebSocketStream<Box<dyn Io>>);

impl Events {
    /// The next event; `None` when the machine ended the stream. Answers pings on the way.
    pub async fn next(&mut self) -> Option<Result<Box<RawValue>, Failure>> {
        loop {
            return match self.0.next().await? {
                Ok(Message::Text(text)) => Some(event(text.as_str().to_owned())),
                Ok(Message::Binary(bytes)) => match String::from_utf8(bytes.to_vec()) {
                    Ok(text) => Some(event(text)),
                    Err(cause) => Some(Err(Failure::NotJson(cause.to_string()))),
                },
                Ok(Message::Close(_)) => None,
                Ok(_) => continue,
                Err(WsError::ConnectionClosed | WsError::AlreadyClosed) => None,
                Err(cause) => Some(Err(websocket(cause))),
            };
        }
    }
}

/// One event from the text of its message.
pub fn event(text: String) -> Result<Box<RawValue>, Failure> {
    if crate::call::deeper_than(text.as_bytes(), crate::call::DEPTH_LIMIT) {
        return Err(Failure::Depth);
    }
    RawValue::from_string(text).map_err(|e| Failure::NotJson(e.to_string()))
}

fn websocket(error: WsError) -> Failure {
    match error {
        WsError::Http(response) => {
            let body = response.body().as_deref().unwrap_or_default();
            match crate::call::open_envelope(response.status(), body) {
                Err(failure @ Failure::Api { .. }) => failure,
                _ => Failure::Http(response.status()),
            }
        }
        WsError::Io(cause) => Failure::exchange(&cause),
        WsError::Capacity(_) => Failure::TooLarge { limit: BODY_LIMIT },
        WsError::Protocol(cause) => Failure::NotJson(format!("no websocket: {cause}")),
        other => Failure::Closed(other.to_string()),
    }
}

/// A name as one segment of a path.
pub(crate) fn segment(name: &str) -> String {
    // The URL writer knows which characters a segment cannot hold.
    match url::Url::parse("http://localhost/") {
        Ok(mut url) => {
            if let Ok(mut segments) = url.path_segments_mut() {
                segments.clear().push(name);
            }
            url.path().trim_start_matches('/').to_owned()
        }
        Err(_) => name.to_owned(),
    }
}
