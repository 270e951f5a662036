use serde_json::{Value, json};

use super::*;

fn file(name: &str) -> Value {
    json!({"filename": name, "size": 7, "sha256": "ab".repeat(32), "component": "incus", "type": "application",
           "architecture": "x86_64"})
}

fn entry(version: &str) -> Value {
    json!({"format": "1.0", "version": version, "origin": "linuxcontainers.org", "severity": "none",
           "published_at": "2025-11-21T22:30:02.515408725+01:00", "channels": ["stable", "testing"],
           "url": format!("/{version}"), "files": [file("x86_64/incus.raw.gz")]})
}

fn document(updates: &[Value]) -> Vec<u8> {
    json!({"format": "1.0", "updates": updates}).to_string().into_bytes()
}

fn changed(at: &str, to: Value) -> Vec<u8> {
    let mut value = entry("202511010000");
    *value.pointer_mut(at).unwrap() = to;
    document(&[value])
}

#[test]
fn an_index_is_read_as_published() {
    let updates = index(&document(&[entry("202511020000"), entry("202511010000")])).unwrap();
    assert_eq!(updates.len(), 2);
    let newest = &updates[0];
    assert_eq!((newest.version.as_str(), newest.url.as_str()), ("202511020000", "/202511020000"));
    assert_eq!(newest.published_at.as_str(), "2025-11-21T22:30:02.515408725+01:00");
    assert_eq!(newest.channels, ["stable", "testing"]);
    assert_eq!((newest.files[0].size, newest.files[0].kind.as_str()), (7, "application"));
}

#[test]
fn line_ends_of_the_signed_form_and_empty_lists_are_fine() {
    assert_eq!(index(b"{\r\n \"format\": \"1.0\",\r\n \"updates\": null\r\n}\r\n\r\n").unwrap(), []);
    let old = br#"{"format":"1.0","updates":[{"version":"1","url":"/1","channel":"daily","severity":"low",
        "published_at":"2025-07-01T01:14:00Z","files":null,"later":{"key":[1]}}]}"#;
    let updates = index(old).unwrap();
    assert_eq!((updates[0].channels.len(), updates[0].files.len(), updates[0].severity), (0, 0, Severity::Low));
}

#[test]
fn files_of_unknown_components_are_dropped_whatever_else_they_are() {
    let mut value = entry("1");
    let mut later = file("../later");
    later["component"] = json!("teleporter");
    value["files"].as_array_mut().unwrap().push(later);
    let updates = index(&document(&[value])).unwrap();
    assert_eq!((updates[0].files.len(), updates[0].dropped), (1, 1));
}

#[test]
fn identities_are_those_of_the_wire() {
    let with = |origin: &str, version: &str| {
        let mut value = entry(version);
        value["origin"] = json!(origin);
        index(&document(&[value])).unwrap().remove(0)
    };
    for (origin, version, id) in [
        ("", "1", "84f9f9b4-8bff-50ca-9c9f-020bb266e5cf"),
        ("", "2", "69869f43-e46c-5094-8e04-c94c88b65d0d"),
        ("linuxcontainers.org", "202507010114", "43689e53-ea7c-597a-ac75-efc12613e8ea"),
    ] {
        assert_eq!(with(origin, version).source_id().to_string(), id);
    }
    let uploaded = with("linuxcontainers.org", "202507010114").upload_id();
    assert_eq!(uploaded.to_string(), "bb6087c3-eea0-5606-baf8-9b5e4ab03b97");
}

#[test]
fn every_error_names_its_field() {
    let long = "1".repeat(200);
    for (document, message) in [
        (b"hello".to_vec(), "the document cannot be read: it does not begin with a brace"),
        (b"[]".to_vec(), "the document cannot be read: it does not begin"),
        (br#"{"format":"2.0","updates":[]}"#.to_vec(), r#"format is "2.0", and only "1.0" can be read"#),
        (b"{}".to_vec(), r#"format is "", and only"#),
        (br#"{"format":"1.0","updates":[]} x"#.to_vec(), "the document cannot be read: trailing characters"),
        (br#"{"format":"1.0","format":"1.0"}"#.to_vec(), "cannot be read: duplicate field `format`"),
        (
            br#"{"format":"1.0","updates":[{"files":[{"size":"7"}]}]}"#.to_vec(),
            "updates[0].files[0].size cannot be read",
        ),
        (changed("/version", json!("")), "updates[0].version is missing"),
        (changed("/version", json!(long)), "updates[0].version is longer than 128 bytes"),
        (changed("/version", json!("1/2")), "updates[0].version has the character '/'"),
        (changed("/origin", json!("a\nb")), "updates[0].origin has the character '\\n'"),
        (changed("/severity", json!("huge")), r#"updates[0].severity is "huge"; possible are none"#),
        (changed("/published_at", json!("yesterday")), r#"updates[0].published_at is "yesterday""#),
        (changed("/published_at", json!("2025-11-21 22:30")), "updates[0].published_at is"),
        (changed("/channels", json!(vec!["x"; 65])), "updates[0].channels has 65 entries"),
        (changed("/channels/1", json!("\u{7}")), "updates[0].channels[1] has the character"),
        (changed("/url", json!("202511010000")), "updates[0].url is \"202511010000\", and has to begin with a slash"),
        (changed("/url", json!("/../x")), "updates[0].url \"/../x\" has a part that is empty or begins with a dot"),
        (changed("/url", json!("//host/x")), "updates[0].url \"//host/x\" has a part"),
        (changed("/files/0/filename", json!("../../x")), "updates[0].files[0].filename \"../../x\" has a part"),
        (
            changed("/files/0/filename", json!("update.sjson")),
            "updates[0].files[0].filename \"update.sjson\" is the name",
        ),
        (changed("/files/0/sha256", json!("")), "updates[0].files[0].sha256 is \"\""),
        (changed("/files/0/sha256", json!("AB".repeat(32))), "updates[0].files[0].sha256 is \"ABAB"),
        (changed("/files/0/size", json!(-1)), "updates[0].files[0].size is -1, and has to be between"),
        (changed("/files/0/size", json!(u64::MAX)), "updates[0].files[0].size is 18446744073709551615"),
        (changed("/files/0/size", json!(1.5)), "updates[0].files[0].size is 1.5, and has"),
        (changed("/files", json!([file("a/b"), file("a/b")])), "updates[0].files[1].filename \"a/b\" is there twice"),
        (
            changed("/files", json!([file("a"), file("a/b")])),
            "updates[0].files[1].filename \"a\" is a file and a folder",
        ),
        (changed("/files", json!([file("a/b/c"), file("a/b")])), "updates[0].files[1].filename \"a/b\" is a file and"),
        (changed("/files", json!(vec![file("a"); 1001])), "updates[0].files has 1001 entries"),
        (document(&[entry("1"), entry("1")]), "updates[1].version \"1\" is there twice"),
        (document(&vec![entry("1"); 1001]), "updates has 1001 entries, and at most 1000"),
        (vec![b' '; DOCUMENT_LIMIT + 1], "the document has 8388609 bytes"),
        (b"[".repeat(100_000), "the document cannot be read"),
    ] {
        let error = index(&document).unwrap_err().to_string();
        assert!(error.contains(message), "{error}\nexpected {message}");
        assert!(error.len() < 400, "{error}");
    }
}

#[test]
fn an_uploaded_description_may_leave_out_what_the_reference_does_not_look_at() {
    let mut value = entry("");
    value["origin"] = json!("");
    value["format"] = json!("2.0");
    value["url"] = json!("../elsewhere");
    let update = update(value.to_string().as_bytes()).unwrap();
    assert_eq!((update.version.as_str(), update.url.as_str()), ("", ""));
    assert_eq!(super::update(b"hello").unwrap_err().field, "the document");
    let error = super::update(br#"{"severity":"huge","published_at":"2025-01-01T00:00:00Z"}"#).unwrap_err();
    assert_eq!(error.field, "severity");
}
