use http::{HeaderValue, Method, header};
use serde_json::json;

use super::peer::{Act, Peer, identity, start_unix, sync};
use crate::center::{Center, CenterError, Event};

fn error(status: u16) -> Act {
    let body = format!(r#"{{"type":"error","status_code":0,"error_code":{status},"error":"text {status}"}}"#);
    Act::Bytes(format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes())
}

#[tokio::test]
async fn speaks_over_the_unix_socket() {
    let folder = std::env::temp_dir().join(format!("muster-clients-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("unix.socket");
    let asked = start_unix(&path, |_, _| {
        let body = sync("[\"a\"]");
        let head = "HTTP/1.1 201 Created\r\nETag: \"e1\"\r\nLocation: /1.0/x/ä";
        Act::Bytes(format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes())
    });
    let center = Center::unix(&path);
    let headers = [(header::IF_MATCH, HeaderValue::from_static("\"e0\""))];
    let reply = center.call_with(Method::PUT, "/1.0/x?a=b", Some(&json!({"k": 1})), &headers).await.unwrap();
    assert_eq!((reply.status.as_u16(), reply.etag()), (201, Some("\"e1\"")));
    assert_eq!(reply.location().as_deref(), Some("/1.0/x/ä"));
    assert_eq!(reply.decode::<Vec<String>>().unwrap(), ["a"]);
    assert_eq!(*asked.lock().unwrap(), [r#"PUT /1.0/x?a=b {"k":1}"#]);
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(matches!(center.call(Method::GET, "/", None).await, Err(CenterError::Unreachable(_))));
}

#[tokio::test]
async fn errors_are_told_apart() {
    let peer = Peer::start(|_, line| match line {
        "GET /plain" => Act::Bytes(b"HTTP/1.1 404 Not Found\r\nContent-Length: 18\r\n\r\n404 page not found".to_vec()),
        line => error(line.trim_start_matches("GET /").parse().unwrap()),
    })
    .await;
    let center = Center::https(&peer.address, &peer.trust(), Some(&identity("operator"))).unwrap();
    let call = async |path: &str| center.call(Method::GET, path, None).await.unwrap_err();
    assert!(matches!(call("/401").await, CenterError::Unauthenticated(text) if text == "text 401"));
    assert!(matches!(call("/403").await, CenterError::Forbidden(_)));
    assert!(matches!(call("/404").await, CenterError::NotFound(_)));
    assert!(matches!(call("/412").await, CenterError::Conflict(_)));
    assert!(matches!(call("/500").await, CenterError::Api { code: 500, .. }));
    let plain = call("/plain").await;
    assert!(matches!(&plain, CenterError::NotAnEnvelope { status, .. } if status == "404 Not Found"), "{plain}");
}

#[tokio::test]
async fn reads_server_sent_events() {
    let text = ": hello\n\nid: 7\nevent: server\ndata: {\"a\":\ndata: 1}\n\ndata:x\r\n\r\nid: unfinished\n";
    let peer = Peer::start(move |_, _| {
        let mut bytes = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        for piece in text.as_bytes().chunks(5) {
            bytes.extend(format!("{:x}\r\n", piece.len()).as_bytes());
            bytes.extend(piece);
            bytes.extend(b"\r\n");
        }
        bytes.extend(b"0\r\n\r\n");
        Act::Bytes(bytes)
    })
    .await;
    let center = Center::https(&peer.address, &peer.trust(), None).unwrap();
    let mut events = center.events("/1.0/events").await.unwrap();
    let event = |id: &str, event: &str, data: &str| Event { id: id.into(), event: event.into(), data: data.into() };
    assert_eq!(events.next().await.unwrap().unwrap(), event("7", "server", "{\"a\":\n1}"));
    assert_eq!(events.next().await.unwrap().unwrap(), event("", "", "x"));
    assert!(events.next().await.is_none());
}
