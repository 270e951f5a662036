//! Loading images: over connections that break, in runs that break, from a center without parts, and what is left behind.

#![expect(clippy::unwrap_used, reason = "the helpers of a test file are test code, too")]

use flate2::{Compression, write::GzEncoder};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

const TAG: &str = "\"0123456789abcdef0123456789abcdef\"";

/// A center that has one image.
struct Bed {
    scratch: tempfile::TempDir,
    image: Vec<u8>,
    packed: Vec<u8>,
    /// What was asked: line, `Range`, `If-Range`, body.
    seen: Arc<Mutex<Vec<[String; 4]>>>,
}

/// How it answers.
#[derive(Clone, Copy)]
struct Manners {
    /// Knows ranges.
    parts: bool,
    /// Bytes after which a connection breaks.
    breaks_after: usize,
}

impl Bed {
    fn new(manners: Manners) -> Self {
        // Does not compress, so that it comes over several connections.
        let mut state = 1u64;
        let mut image: Vec<u8> = Vec::new();
        for _ in 0..400_000 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            image.push(state as u8);
        }
        image.extend_from_slice(&[0; 300_000]);
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(&image).unwrap();
        let packed = gzip.finish().unwrap();
        let bed = Self { scratch: tempfile::tempdir().unwrap(), image, packed, seen: Arc::default() };
        let listener = UnixListener::bind(bed.scratch.path().join("unix.socket")).unwrap();
        let (packed, seen) = (bed.packed.clone(), bed.seen.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                answer(stream.unwrap(), &packed, manners, &seen);
            }
        });
        bed
    }

    fn run(&self, line: &str, stdin: &str) -> (i32, Vec<u8>, String) {
        let mut child = Command::new(env!("CARGO_BIN_EXE_muster"))
            .args(line.split_whitespace())
            .current_dir(self.scratch.path())
            .env_clear()
            .env("OPERATIONS_CENTER_DIR", self.scratch.path())
            .env("OPERATIONS_CENTER_CONF", self.scratch.path().join("conf"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(stdin.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        (output.status.code().unwrap(), output.stdout, String::from_utf8(output.stderr).unwrap())
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.scratch.path().join(name)).unwrap()
    }

    /// Files that are there, but for the socket and the configuration.
    fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.scratch.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = entries.filter(|name| name != "unix.socket" && name != "conf").collect();
        names.sort();
        names
    }

    /// Lines and ranges of what was asked.
    fn asked(&self) -> Vec<String> {
        self.seen.lock().unwrap().iter().map(|[line, range, ..]| format!("{line} {range}").trim().to_owned()).collect()
    }
}

fn answer(mut stream: UnixStream, packed: &[u8], manners: Manners, seen: &Mutex<Vec<[String; 4]>>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let (mut line, mut header) = (String::new(), String::new());
    if reader.read_line(&mut line).unwrap_or(0) == 0 {
        return;
    }
    let (mut range, mut if_range, mut length) = (String::new(), String::new(), 0);
    while reader.read_line(&mut header).unwrap() > 2 {
        let (name, value) = header.trim_end().split_once(": ").unwrap();
        match name.to_lowercase().as_str() {
            "range" => range = value.to_owned(),
            "if-range" => if_range = value.to_owned(),
            "content-length" => length = value.parse().unwrap(),
            _ => {}
        }
        header.clear();
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let line = line.trim_end().trim_end_matches(" HTTP/1.1").to_owned();
    let posted = line.starts_with("POST");
    let body = String::from_utf8(body).unwrap();
    seen.lock().unwrap().push([line, range.clone(), if_range.clone(), body]);
    let mut send = |head: String, bytes: &[u8]| {
        // A reader who leaves early is none of our trouble.
        drop(stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(bytes)));
    };
    if posted {
        let body = r#"{"type":"sync","status":"Success","status_code":200,"operation":"","error_code":0,"error":"","metadata":{"image":"/1.0/prepared"}}"#;
        let size = body.len();
        return send(format!("HTTP/1.1 201 X\r\nConnection: close\r\nContent-Length: {size}\r\n\r\n"), body.as_bytes());
    }
    let size = packed.len();
    let asked = range.strip_prefix("bytes=").and_then(|range| range.split_once('-')).filter(|_| manners.parts);
    let Some((from, to)) = asked.filter(|_| if_range.is_empty() || if_range == TAG) else {
        return send("HTTP/1.1 200 X\r\nConnection: close\r\n\r\n".into(), packed);
    };
    let from: usize = from.parse().unwrap();
    let to: usize = to.parse().unwrap_or(size - 1);
    let head = format!(
        "HTTP/1.1 206 X\r\nConnection: close\r\nETag: {TAG}\r\nContent-Range: bytes {from}-{to}/{size}\r\nContent-Length: {}\r\n\r\n",
        to - from + 1
    );
    send(head, &packed[from..(to + 1).min(from.saturating_add(manners.breaks_after))]);
}

const WHOLE: Manners = Manners { parts: true, breaks_after: usize::MAX };

#[test]
fn an_image_of_a_token_is_prepared_loaded_and_unpacked() {
    let bed = Bed::new(WHOLE);
    let line = "provisioning token get-image t host.iso - --application incus,incus-ceph";
    let (code, out, error) = bed.run(line, "install:\n  force_reboot: true\n");
    assert_eq!((code, error.as_str()), (0, ""));
    assert_eq!(String::from_utf8(out).unwrap(), "Wrote 700 kB to \"host.iso\"\n");
    assert!(bed.read("host.iso") == bed.image);
    assert_eq!(bed.files(), ["host.iso"]);
    let seen = bed.seen.lock().unwrap().clone();
    assert_eq!(seen[0][0], "POST /1.0/provisioning/tokens/t/image");
    let body: serde_json::Value = serde_json::from_str(&seen[0][3]).unwrap();
    let applications = serde_json::json!({"version": "1", "applications": [{"name": "incus"}, {"name": "incus-ceph"}]});
    let seeds = serde_json::json!({"install": {"force_reboot": true}, "applications": applications});
    assert_eq!(body, serde_json::json!({"type": "iso", "architecture": "x86_64", "seeds": seeds}));
    assert_eq!(bed.asked()[1..], ["GET /1.0/prepared bytes=0-0", "GET /1.0/prepared bytes=0-"]);
}

#[test]
fn a_connection_that_breaks_is_taken_up_where_it_broke() {
    let bed = Bed::new(Manners { parts: true, breaks_after: 150_000 });
    let line = "provisioning token seed get-image t s host.raw.gz --type raw --channel testing";
    let (code, _, error) = bed.run(line, "");
    assert_eq!((code, error.as_str()), (0, ""));
    assert!(bed.read("host.raw.gz") == bed.packed, "packed as it came");
    let path = "GET /1.0/provisioning/tokens/t/seeds/s?type=raw&architecture=x86_64&channel=testing";
    let ranges = ["0-0", "0-", "150000-", "300000-"].map(|range| format!("{path} bytes={range}"));
    assert_eq!(bed.asked(), ranges);
    assert!(bed.seen.lock().unwrap()[1..].iter().all(|[_, _, tag, _]| tag == TAG));
}

#[test]
fn a_run_goes_on_where_the_last_one_ended_or_begins_anew() {
    let bed = Bed::new(WHOLE);
    let part = bed.scratch.path().join("host.iso.0123456789abcdef.part");
    fs::write(&part, &bed.packed[..200_000]).unwrap();
    let other = bed.scratch.path().join("host.iso.fedcba9876543210.part");
    fs::write(&other, "of another image").unwrap();
    let get = "provisioning token seed get-image t s host.iso";
    assert_eq!(bed.run(get, "").0, 0);
    assert!(bed.read("host.iso") == bed.image);
    assert_eq!(bed.files(), ["host.iso"], "nothing else is left");
    assert!(bed.asked()[1].ends_with("bytes=200000-"), "{:?}", bed.asked());

    // What is there is not replaced, and is found before anything is loaded.
    let (code, _, error) = bed.run(get, "");
    assert!(code != 0 && error.contains("host.iso exists"), "{error}");
    assert_eq!(bed.asked().len(), 2);

    // All of it, but not what was sent.
    let mut bad = bed.packed.clone();
    bad[100_000] ^= 1;
    fs::remove_file(bed.scratch.path().join("host.iso")).unwrap();
    fs::write(&part, bad).unwrap();
    let (code, _, error) = bed.run(get, "");
    assert!(code != 0 && error.contains("arrived damaged"), "{error}");
    assert_eq!(bed.files(), [""; 0]);
    assert_eq!(bed.run(get, "").0, 0);
}

#[test]
fn a_center_without_parts_sends_all_of_it_once() {
    let bed = Bed::new(Manners { parts: false, breaks_after: usize::MAX });
    assert_eq!(bed.run("provisioning token get-image t host.iso", "").0, 0);
    assert!(bed.read("host.iso") == bed.image);
    assert_eq!(bed.asked().len(), 2, "a prepared image is good for one download");
    let (code, out, error) = bed.run("provisioning token get-image t -", "");
    assert_eq!((code, error.as_str(), out == bed.image), (0, "", true));
}

#[test]
fn a_target_is_a_file_or_a_whole_disk() {
    let bed = Bed::new(WHOLE);
    for (line, why) in [
        ("t", "Give a file to write"),
        ("t --write-to /dev/null --yes", "is no disk"),
        ("t host.iso seeds.yaml --write-to /dev/null --yes", "not both"),
        ("t host.iso --application incus-ceph", "exactly one of incus, migration-manager"),
    ] {
        let (code, _, error) = bed.run(&format!("provisioning token get-image {line}"), "");
        assert!(code != 0 && error.contains(why), "{line}: {error}");
    }
    assert_eq!(bed.asked(), [""; 0], "nothing was loaded");
}
