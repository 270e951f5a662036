//! `events`: what happens, as it happens.

use crate::context::Context;
use crate::error::{Error, Result};
use crate::remote::ApiPath;
use crate::text::field;
use clap::{Args, ValueEnum};
use muster_clients::center::Event;
use serde_json::Value;
use std::time::Duration;

/// Without `--follow`, silence of this length ends the list.
const QUIET: Duration = Duration::from_millis(500);

/// `events`.
#[derive(Debug, Args)]
pub(crate) struct Events {
    /// Go on until interrupted
    #[arg(long)]
    follow: bool,
    /// Format
    #[arg(short = 'f', long, value_enum, default_value = "text")]
    format: EventFormat,
}

/// How an event is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum EventFormat {
    /// Time, kind, object, rest
    Text,
    /// The payload, one a line
    Json,
}

/// Runs it.
pub(crate) async fn run(ctx: &Context, args: Events) -> Result {
    let remote = ctx.remote()?;
    let mut stream = remote.events(&ApiPath::of(&["events"])).await?;
    loop {
        let next = if args.follow {
            stream.next().await
        } else {
            match tokio::time::timeout(QUIET, stream.next()).await {
                Ok(next) => next,
                Err(_) => return Ok(()),
            }
        };
        match next {
            None => return Ok(()),
            Some(Ok(event)) => ctx.print(&line(&event, args.format)),
            Some(Err(error)) => {
                return Err(Error::Unreachable { address: remote.address().to_owned(), cause: error.to_string() });
            }
        }
    }
}

fn line(event: &Event, format: EventFormat) -> String {
    let payload: Value = match serde_json::from_str(&event.data) {
        Ok(value @ Value::Object(_)) if format == EventFormat::Text => value,
        _ => return format!("{}\n", event.data),
    };
    let first = |keys: &[&str]| keys.iter().map(|key| field(&payload, key)).find(|text| !text.is_empty());
    let mut words = vec![crate::text::time(&first(&["at", "timestamp", "created_at"]).unwrap_or_default())];
    words.push(if event.event.is_empty() { first(&["kind", "type"]).unwrap_or_default() } else { event.event.clone() });
    words.push(first(&["object", "target", "name"]).unwrap_or_default());
    const SAID: [&str; 8] = ["at", "timestamp", "created_at", "kind", "type", "object", "target", "name"];
    if let Value::Object(map) = &payload {
        let rest = map.iter().filter(|(key, value)| !SAID.contains(&key.as_str()) && !value.is_null());
        words.extend(rest.map(|(key, value)| format!("{key}={value}")));
    }
    words.retain(|word| !word.is_empty());
    format!("{}\n", words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_as_lines() {
        let data = r#"{"at":"2026-08-20T19:58:04Z","kind":"server","object":"m1","status":"ready","seq":7}"#;
        let event = Event { data: data.into(), ..Event::default() };
        assert_eq!(line(&event, EventFormat::Text), "2026-08-20 19:58:04 +0000 UTC server m1 status=\"ready\" seq=7\n");
        assert_eq!(line(&event, EventFormat::Json), format!("{data}\n"));
        let plain = Event { data: "hello".into(), ..Event::default() };
        assert_eq!(line(&plain, EventFormat::Text), "hello\n");
    }
}
