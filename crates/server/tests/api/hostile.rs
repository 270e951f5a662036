//! What the outside may send: a clear error, flat memory, no panic.

use crate::bench::{Bench, Who, on_both};
use axum::{
    body::{Body, Bytes},
    http::StatusCode,
};

const TOKENS: &str = "/1.0/provisioning/tokens";

#[test]
fn a_gigabyte_is_refused_after_the_limit_not_after_the_gigabyte() {
    on_both(|bench: Bench| async move {
        let (sent, counter) = (std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0)), 1 << 20);
        let seen = sent.clone();
        let chunk = Bytes::from(vec![b' '; counter]);
        let endless = futures_util::stream::iter(0..1024).map_to(chunk, seen);
        let (status, body) = bench.ask(Who::Unix, "POST", TOKENS, Body::from_stream(endless)).await;
        assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE, "{body}");
        assert!(sent.load(std::sync::atomic::Ordering::Relaxed) < 16, "read on after the limit");
    });
}

/// A stream of the same chunk that counts how often it was asked.
trait MapTo: Sized {
    fn map_to(
        self,
        chunk: Bytes,
        asked: std::sync::Arc<std::sync::atomic::AtomicUsize>,
    ) -> impl futures_util::Stream<Item = Result<Bytes, std::io::Error>> + Send + 'static;
}

impl<S: futures_util::Stream + Send + 'static> MapTo for S {
    fn map_to(
        self,
        chunk: Bytes,
        asked: std::sync::Arc<std::sync::atomic::AtomicUsize>,
    ) -> impl futures_util::Stream<Item = Result<Bytes, std::io::Error>> + Send + 'static {
        use futures_util::StreamExt;
        self.map(move |_| {
            asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            Ok(chunk.clone())
        })
    }
}

#[test]
fn nesting_wrong_types_and_odd_texts_name_what_is_wrong() {
    on_both(|bench: Bench| async move {
        for (body, says) in [
            ("[".repeat(100_000), "Bad Request"),
            (r#"{"uses_remaining": "1"}"#.to_owned(), "uses_remaining"),
            (r#"{"uses_remaining": 1, "expire_at": []}"#.to_owned(), "expire_at"),
            (r#"{"uses_remaining": 99999999999999999999}"#.to_owned(), "uses_remaining"),
            ("\u{0}".to_owned(), "Bad Request"),
            (
                r#"{"uses_remaining": 1, "expire_at": "2099-01-01T00:00:00Z", "description": "a\u0000b"}"#.to_owned(),
                "NUL",
            ),
        ] {
            let (status, answer) = bench.ask(Who::Unix, "POST", TOKENS, body.clone()).await;
            assert_eq!(status, StatusCode::BAD_REQUEST, "{answer}");
            assert!(answer["error"].as_str().unwrap().contains(says), "{answer}");
        }
        let deep =
            format!("/1.0/provisioning/servers?recursion=1&filter={}1{}", "(".repeat(20_000), ")".repeat(20_000));
        let (status, _) = bench.ask(Who::Unix, "GET", &deep, "").await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        for path in ["/1.0/provisioning/channels/..%2f..%2fetc", "/1.0/provisioning/servers/%2e%2e"] {
            let (status, answer) = bench.ask(Who::Unix, "GET", path, "").await;
            assert_eq!(status, StatusCode::NOT_FOUND, "{path}: {answer}");
        }
        for path in
            ["/1.0/provisioning/tokens/%ff", "/1.0/provisioning/channels/%00", "/1.0/provisioning/servers/a%00b"]
        {
            let (status, answer) = bench.ask(Who::Unix, "GET", path, "").await;
            assert_eq!(status, StatusCode::BAD_REQUEST, "{path}: {answer}");
        }
    });
}

#[test]
fn secrets_in_settings_come_back_masked_and_survive_being_put_back() {
    on_both(|bench: Bench| async move {
        let path = "/1.0/system/security";
        let (_, before) = bench.ask(Who::Unix, "GET", path, "").await;
        let mut document = before["metadata"].clone();
        document["acme"]["provider_environment"] = serde_json::json!(["TOKEN=hunter2"]);
        document["acme"]["email"] = "a@example.test".into();
        let (status, answer) = bench.ask(Who::Unix, "PUT", path, document.to_string()).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        let (_, shown) = bench.ask(Who::Unix, "GET", path, "").await;
        assert!(!shown.to_string().contains("hunter2"));
        bench.ask(Who::Unix, "PUT", path, shown["metadata"].to_string()).await;
        assert_eq!(bench.engine.settings().security.acme.provider_environment, ["TOKEN=hunter2"]);
        let (_, audit) = bench.ask(Who::Unix, "GET", "/1.0/audit", "").await;
        assert!(!audit.to_string().contains("hunter2"));
    });
}
