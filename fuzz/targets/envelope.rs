//! The envelope, read of any peer: first line the HTTP status, then the body.
#![no_main]

use http::StatusCode;
use libfuzzer_sys::fuzz_target;
use muster_api::envelope::Envelope;
use muster_clients::call::{Answer, DEPTH_LIMIT, Failure, deeper_than, open_envelope};
use muster_fuzz::{line, speaks};
use serde_json::Value;

fn value(answer: &Answer) -> Option<Value> {
    match answer.decode::<Value>() {
        Ok(value) => Some(value),
        // Texts that are no Unicode and numbers that nothing can hold are found where a payload is read.
        Err(failure) => {
            speaks(&failure);
            None
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let (status, body) = line(data);
    let status = std::str::from_utf8(status).ok().and_then(|text| text.parse::<u16>().ok());
    let status = status.and_then(|code| StatusCode::from_u16(code).ok()).unwrap_or(StatusCode::OK);

    let opened = open_envelope(status, body);
    match &opened {
        Ok(answer) => {
            assert!(!deeper_than(answer.metadata.get().as_bytes(), DEPTH_LIMIT - 1));
            value(answer);
        }
        Err(failure) => {
            speaks(failure);
            assert!(matches!(failure, Failure::Api { .. } | Failure::Http(_) | Failure::NotJson(_) | Failure::Depth));
            assert!(status.as_u16() >= 400 || !matches!(failure, Failure::Http(_)), "an HTTP error of a success");
        }
    }

    // What the strict type takes, the lenient reader takes too, and both see the same.
    if let Ok(envelope) = serde_json::from_slice::<Envelope<Value>>(body) {
        let text = serde_json::to_string(&envelope).expect("it was JSON before");
        assert_eq!(serde_json::from_str::<Envelope<Value>>(&text).expect("what was written can be read"), envelope);
        match opened {
            Ok(answer) => assert_eq!(value(&answer), Some(envelope.metadata)),
            Err(failure) => assert!(matches!(failure, Failure::Api { .. } | Failure::Depth), "{failure}"),
        }
    }

    // What we answer, our own client understands.
    if let Ok(payload) = serde_json::from_slice::<Value>(body) {
        let text = serde_json::to_vec(&Envelope::success(&payload)).expect("it was JSON before");
        match open_envelope(StatusCode::OK, &text) {
            Ok(answer) => assert_eq!(value(&answer), Some(payload)),
            Err(failure) => assert!(matches!(failure, Failure::Depth), "{failure}"),
        }
    }
    if let Ok(text) = std::str::from_utf8(body) {
        let envelope = serde_json::to_vec(&Envelope::error(status.as_u16(), text.to_owned())).expect("a text");
        match open_envelope(status, &envelope) {
            Err(failure @ Failure::Api { code, .. }) => {
                assert_eq!(code, status.as_u16());
                speaks(&failure);
            }
            other => panic!("{other:?}"),
        }
    }
});
