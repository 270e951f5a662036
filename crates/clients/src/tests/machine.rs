use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request};
use http_body_util::BodyExt;

use super::peer::{Act, Peer, identity, sync};
use crate::call::{Answer, CallError, Failure};
use crate::machine::{Counters, Machine, full};
use crate::tls::Trust;

const SOON: Duration = Duration::from_secs(10);

async fn get(machine: &Machine, path: &str) -> Result<Answer, CallError> {
    machine.request(Method::GET, path, None, SOON).await
}

#[tokio::test]
async fn one_handshake_serves_many_calls() {
    let peer = Peer::start(|n, _| Act::Body(sync(&n.to_string()))).await;
    let machine = peer.machine();
    for n in 0..11 {
        assert_eq!(get(&machine, "/os/1.0").await.unwrap().metadata.get(), n.to_string());
    }
    assert_eq!((machine.counters().handshakes(), machine.counters().requests()), (1, 11));
}

#[tokio::test]
async fn another_certificate_is_refused() {
    let peer = Peer::start(|_, _| Act::Body(sync("1"))).await;
    let other = Trust::pinned(&identity("sim").certificate_pem).unwrap();
    let machine = Machine::new(&peer.address, &other, None, Arc::new(Counters::default())).unwrap();
    let error = get(&machine, "/").await.unwrap_err();
    assert!(matches!(&error.failure, Failure::Certificate(text) if text.contains("expected is")), "{error}");
    assert!(!error.retryable());
    assert!(peer.asked().is_empty());

    let machine = Machine::new(&peer.address, &Trust::SystemRoots, None, Arc::new(Counters::default())).unwrap();
    assert!(matches!(get(&machine, "/").await.unwrap_err().failure, Failure::Certificate(_)));
}

#[tokio::test]
async fn a_closed_connection_is_replaced() {
    let peer = Peer::start(|n, _| Act::BodyThenClose(sync(&n.to_string()))).await;
    let machine = peer.machine();
    for n in 0..3 {
        assert_eq!(get(&machine, "/").await.unwrap().metadata.get(), n.to_string());
    }
    assert_eq!(machine.counters().handshakes(), 3);
}

#[tokio::test]
async fn a_call_lost_on_a_kept_connection_is_repeated_only_if_that_is_harmless() {
    // The second and the fourth request are read, and then the connection is closed without an answer.
    let peer = Peer::start(|n, _| if n % 2 == 1 { Act::Bytes(vec![]) } else { Act::Body(sync("1")) }).await;
    let machine = peer.machine();
    get(&machine, "/a").await.unwrap();
    get(&machine, "/b").await.unwrap();
    let error = machine.request(Method::POST, "/c", None, SOON).await.unwrap_err();
    assert!(matches!(error.failure, Failure::Closed(_)), "{error}");
    assert!(error.retryable());
    assert_eq!(peer.asked(), ["GET /a", "GET /b", "GET /b", "POST /c"]);
    assert_eq!(machine.counters().handshakes(), 2);
}

#[tokio::test]
async fn a_call_on_a_new_connection_is_never_repeated() {
    let peer = Peer::start(|_, _| Act::Bytes(vec![])).await;
    let error = get(&peer.machine(), "/").await.unwrap_err();
    assert!(matches!(error.failure, Failure::Closed(_)), "{error}");
    assert_eq!(peer.asked().len(), 1);
}

#[tokio::test]
async fn silence_ends_with_the_deadline() {
    let peer = Peer::start(|_, _| Act::Hang).await;
    let machine = peer.machine();
    let error = machine.request(Method::GET, "/a?token=secret", None, Duration::from_millis(200)).await.unwrap_err();
    assert!(matches!(error.failure, Failure::Timeout), "{error}");
    assert_eq!(error.to_string(), format!("GET {}/a: no answer in time", peer.address));
}

#[tokio::test]
async fn nobody_listening_is_a_failure_to_connect() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("https://{}", listener.local_addr().unwrap());
    drop(listener);
    let trust = Trust::pinned(&identity("sim").certificate_pem).unwrap();
    let machine = Machine::new(&address, &trust, None, Arc::new(Counters::default())).unwrap();
    let error = get(&machine, "/").await.unwrap_err();
    assert!(matches!(error.failure, Failure::Connect(_)) && error.retryable(), "{error}");
}

#[tokio::test]
async fn wrong_answers_are_told_apart() {
    let half = || b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"type\":\"sync\",".to_vec();
    let peer = Peer::start(move |_, line| match line {
        "GET /garbage" => Act::Body("<html>".to_owned()),
        "GET /nohttp" => Act::Bytes(b"SSH-2.0-OpenSSH_9.7\r\n\r\n".to_vec()),
        "GET /half" => Act::Bytes(half()),
        "GET /large" => Act::Bytes(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n".to_vec()),
        "GET /endless" => {
            let mut bytes = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
            for _ in 0..64 {
                bytes.extend(b"400\r\n");
                bytes.extend([b' '; 1024]);
                bytes.extend(b"\r\n");
            }
            Act::Bytes(bytes)
        }
        "GET /deep" => Act::Body(sync(&format!("{}{}", "[".repeat(500), "]".repeat(500)))),
        "GET /502" => Act::Bytes(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 3\r\n\r\nbad".to_vec()),
        _ => Act::Body(
            r#"{"type":"error","status":"","status_code":0,"error_code":400,"error":"no","metadata":null}"#.to_owned(),
        ),
    })
    .await;
    let machine = peer.machine().with_body_limit(32 << 10);
    let failure = async |path: &str| get(&machine, path).await.unwrap_err().failure;
    assert!(matches!(failure("/garbage").await, Failure::NotJson(_)));
    let no_http = failure("/nohttp").await;
    assert!(matches!(&no_http, Failure::NotJson(text) if text.starts_with("no HTTP")), "{no_http}");
    let half = failure("/half").await;
    assert!(matches!(half, Failure::Closed(_)), "{half}");
    assert!(matches!(failure("/large").await, Failure::TooLarge { limit: 32768 }));
    assert!(matches!(failure("/endless").await, Failure::TooLarge { .. }));
    assert!(matches!(failure("/deep").await, Failure::Depth));
    assert!(matches!(failure("/502").await, Failure::Http(status) if status.as_u16() == 502));
    assert!(matches!(failure("/other").await, Failure::Api { code: 400, message } if message == "no"));
}

#[tokio::test]
async fn a_streamed_answer_gives_its_connection_back() {
    let peer = Peer::start(|_, _| Act::Body("plain bytes".to_owned())).await;
    let machine = peer.machine();
    for _ in 0..3 {
        let request = Request::builder().method("PATCH").uri("/os/1.0/x?y=z").header("x-a", "b");
        let response = machine.stream(request.body(full("body")).unwrap(), SOON).await.unwrap();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(&body[..], b"plain bytes");
    }
    assert_eq!(peer.asked(), ["PATCH /os/1.0/x?y=z body"; 3]);
    assert_eq!(machine.counters().handshakes(), 1);
}

#[tokio::test]
async fn typed_calls_read_what_incusos_answers() {
    let peer = Peer::start(|_, line| {
        Act::Body(sync(match line {
            "GET /os/1.0" => {
                r#"{"environment":{"hostname":"m1","os_version":"1","os_version_next":"2","uptime":7,"extra":[]}}"#
            }
            "GET /os/1.0/applications" => r#"["/os/1.0/applications/incus"]"#,
            "GET /os/1.0/applications/incus" => {
                r#"{"state":{"is_primary":true,"version":"9","available_versions":null},"config":{}}"#
            }
            "GET /os/1.0/system/provider" => {
                r#"{"config":{"name":"operations-center","config":null},"state":{"registered":true}}"#
            }
            _ => "{}",
        }))
    })
    .await;
    let machine = peer.machine();
    let environment = machine.environment().await.unwrap();
    assert_eq!(
        (environment.hostname.as_str(), environment.is_ready(), environment.needs_reboot()),
        ("m1", false, true)
    );
    assert_eq!(machine.applications().await.unwrap(), ["incus"]);
    let application = machine.application("incus").await.unwrap();
    assert!(application.is_primary && application.version == "9");
    assert!(machine.provider().await.unwrap().state.registered);
    machine.put_update("stable").await.unwrap();
    machine.reboot().await.unwrap();
    let asked = peer.asked();
    assert!(asked[4].starts_with(r#"PUT /os/1.0/system/update {"config":{"auto_reboot":false,"channel":"stable""#));
    assert_eq!(asked[5], "POST /os/1.0/system/:reboot");
}
