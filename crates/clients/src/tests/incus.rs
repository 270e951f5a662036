use std::time::Duration;

use super::peer::{Act, Peer, sync};
use crate::call::Failure;
use crate::incus::MemberAction;

const ID: &str = "6f2b9c1e-0000-4000-8000-000000000001";

#[tokio::test]
async fn evacuation_opens_the_event_stream_first_and_is_waited_for() {
    let peer = Peer::start(|n, line| {
        if line.starts_with("GET /1.0/events") {
            Act::Websocket(vec![])
        } else if line.starts_with("POST ") {
            let operation = format!("/1.0/operations/{ID}");
            Act::Body(sync("{}").replace("\"operation\":\"\"", &format!("\"operation\":{operation:?}")))
        } else {
            Act::Body(sync(&format!("{{\"id\":\"{ID}\",\"status_code\":{}}}", if n < 3 { 103 } else { 200 })))
        }
    })
    .await;
    let machine = peer.machine();
    let id = machine.set_member_state("node 1/a", MemberAction::Evacuate, "auto").await.unwrap();
    assert_eq!(id, ID);
    let operation = machine.wait_operation(&id, Duration::from_secs(20)).await.unwrap();
    assert!(operation.is_done() && operation.is_success());
    let asked = peer.asked();
    assert_eq!(
        asked[..2],
        ["GET /1.0/events", r#"POST /1.0/cluster/members/node%201%2Fa/state {"action":"evacuate","mode":"auto"}"#]
    );
    assert!(asked[2].starts_with(&format!("GET /1.0/operations/{ID}/wait?timeout=")), "{asked:?}");
    assert_eq!(asked.len(), 4);
}

#[tokio::test]
async fn events_are_read_as_they_come() {
    let peer =
        Peer::start(|_, _| Act::Websocket(vec![r#"{"type":"lifecycle"}"#.to_owned(), "nonsense".to_owned()])).await;
    let mut events = peer.machine().events("/1.0/events?all-projects=true&type=lifecycle").await.unwrap();
    assert_eq!(events.next().await.unwrap().unwrap().get(), r#"{"type":"lifecycle"}"#);
    assert!(matches!(events.next().await.unwrap(), Err(Failure::NotJson(_))));
}

#[tokio::test]
async fn a_refused_event_stream_tells_the_machine_s_own_error() {
    let body = r#"{"type":"error","error_code":403,"error":"not authorized"}"#;
    let head = format!("HTTP/1.1 403 Forbidden\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let peer = Peer::start(move |_, _| Act::Bytes(head.clone().into_bytes())).await;
    let error = peer.machine().events("/1.0/events").await.err().unwrap();
    assert!(matches!(&error.failure, Failure::Api { code: 403, message } if message == "not authorized"), "{error}");
}
