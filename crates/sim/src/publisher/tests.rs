use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use muster_clients::tls::{Trust, client_config, pem_to_ders};
use muster_clients::updates::{self, verify};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::*;

#[expect(clippy::disallowed_methods, reason = "the openssl command has no other clock")]
fn now() -> SystemTime {
    SystemTime::now()
}

async fn publisher(directory: &Path, encoding: Encoding, plain: bool) -> Publisher {
    Publisher::start(Options { directory: directory.to_owned(), encoding, plain, now: now() }).await.unwrap()
}

async fn get(publisher: &Publisher, path: &str, headers: &[(&str, &str)]) -> http::Response<Incoming> {
    let tcp = TcpStream::connect(publisher.address).await.unwrap();
    let mut request = http::Request::get(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(http_body_util::Empty::<Bytes>::new()).unwrap();
    let mut sender = match publisher.certificate_pem() {
        None => {
            let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(tcp)).await.unwrap();
            tokio::spawn(connection);
            sender
        }
        Some(pem) => {
            let config = client_config(&Trust::pinned(pem).unwrap(), None).unwrap();
            let name = ServerName::try_from("localhost").unwrap();
            let tls = TlsConnector::from(config).connect(name, tcp).await.unwrap();
            let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(tls)).await.unwrap();
            tokio::spawn(connection);
            sender
        }
    };
    sender.send_request(request).await.unwrap()
}

async fn body(response: http::Response<Incoming>) -> Vec<u8> {
    response.into_body().collect().await.unwrap().to_bytes().to_vec()
}

fn openssl(directory: &Path, arguments: &[&str]) -> Vec<u8> {
    let output = Command::new("openssl").args(arguments).current_dir(directory).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

#[tokio::test]
async fn an_index_is_served_that_we_and_openssl_verify() {
    for (encoding, plain) in [(Encoding::Clear, false), (Encoding::Opaque, true)] {
        let directory = tempfile::tempdir().unwrap();
        let publisher = publisher(directory.path(), encoding, plain).await;
        for version in ["202511010000", "202511020000"] {
            publisher.add(&Release::new(version)).unwrap();
        }
        publisher.publish(&["202511020000", "202511010000"], now()).unwrap();
        let signed = body(get(&publisher, "/index.sjson", &[]).await).await;
        let root = publisher.authority().root_pem();
        let pin = publisher.authority().intermediate_fingerprint();
        let authority = updates::Authority::new(&root, Some(&pin)).unwrap();
        let verified = verify(&signed, &authority, now()).unwrap();
        std::fs::write(directory.path().join("root.pem"), &root).unwrap();
        let arguments = ["smime", "-verify", "-text", "-CAfile", "root.pem", "-in", "index.sjson"];
        assert_eq!(openssl(directory.path(), &arguments), verified.payload);
        let index: Value = serde_json::from_slice(&verified.payload).unwrap();
        let plain: Value = serde_json::from_slice(&body(get(&publisher, "/index.json", &[]).await).await).unwrap();
        assert_eq!(index, plain);
        assert_eq!(index["updates"][0]["url"], "/202511020000");
        let described = body(get(&publisher, "/202511010000/update.sjson", &[]).await).await;
        assert!(verify(&described, &authority, now()).is_ok());
    }
}

#[tokio::test]
async fn every_listed_file_is_there_compressed_and_as_described() {
    let directory = tempfile::tempdir().unwrap();
    let publisher = publisher(directory.path(), Encoding::Clear, true).await;
    let mut release = Release::new("202511010000");
    release.architectures.push("aarch64".to_owned());
    release.image_size = 300_000;
    let described = publisher.add(&release).unwrap();
    let files = described["files"].as_array().unwrap();
    // Per architecture eight files of the system and two of each application, and the keys.
    assert_eq!(files.len(), 2 * (8 + 2 * 8) + 1);
    for file in files {
        let path = format!("/202511010000/{}", file["filename"].as_str().unwrap());
        let bytes = body(get(&publisher, &path, &[]).await).await;
        assert_eq!(file["size"], bytes.len());
        assert_eq!(file["sha256"], hex::encode(<sha2::Sha256 as sha2::Digest>::digest(&bytes)), "{path}");
        let gzip = Command::new("gzip").arg("-t").arg(publisher.path(&path)).stdin(Stdio::null()).status().unwrap();
        assert!(gzip.success(), "{path}");
    }
    let image = files.iter().find(|f| f["type"] == "image-raw" && f["architecture"] == "x86_64").unwrap();
    let mut plain = Vec::new();
    let path = publisher.path(&format!("202511010000/{}", image["filename"].as_str().unwrap()));
    let mut reader = flate2::read::GzDecoder::new(std::fs::File::open(path).unwrap());
    std::io::Read::read_to_end(&mut reader, &mut plain).unwrap();
    assert_eq!(plain.len(), 300_000);
    // The same again is the same.
    assert_eq!(publisher.add(&release).unwrap(), described);
}

#[tokio::test]
async fn parts_of_a_file_are_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let publisher = publisher(directory.path(), Encoding::Clear, false).await;
    let whole: Vec<u8> = (0..200_000u32).map(|n| n.to_be_bytes()[3] ^ n.to_be_bytes()[2]).collect();
    publisher.put("v/x86_64/file.gz", &whole).unwrap();
    let first = get(&publisher, "/v/x86_64/file.gz", &[("range", "bytes=0-99999")]).await;
    assert_eq!(
        (first.status(), first.headers()["content-range"].to_str().unwrap()),
        (http::StatusCode::PARTIAL_CONTENT, "bytes 0-99999/200000")
    );
    let etag = first.headers()["etag"].to_str().unwrap().to_owned();
    let mut bytes = body(first).await;
    let rest = get(&publisher, "/v/x86_64/file.gz", &[("range", "bytes=100000-"), ("if-range", &etag)]).await;
    bytes.extend(body(rest).await);
    assert_eq!(bytes, whole);
    assert_eq!(get(&publisher, "/v/x86_64/file.gz", &[("range", "bytes=200000-")]).await.status(), 416);
    publisher.put("v/x86_64/file.gz", b"another").unwrap();
    let changed = get(&publisher, "/v/x86_64/file.gz", &[("range", "bytes=100000-"), ("if-range", &etag)]).await;
    assert_eq!((changed.status(), body(changed).await), (http::StatusCode::OK, b"another".to_vec()));
    let asked: Vec<_> = publisher.asked().into_iter().map(|a| (a.range.is_some(), a.status)).collect();
    assert_eq!(asked, [(true, 206), (true, 206), (true, 416), (true, 200)]);
    for path in ["/../etc/passwd", "/v/../../x", "/.hidden", "/v", "/nothing", "//v/x86_64/file.gz", "/"] {
        assert_eq!(get(&publisher, path, &[]).await.status(), 404, "{path}");
    }
}

#[tokio::test]
async fn it_goes_wrong_as_it_is_told_and_heals() {
    let directory = tempfile::tempdir().unwrap();
    let publisher = publisher(directory.path(), Encoding::Clear, false).await;
    let whole = vec![7u8; 150_000];
    publisher.put("file", &whole).unwrap();
    publisher.trouble("file", Fault::Status(503), Some(1));
    publisher.trouble("file", Fault::Redirect("https://127.0.0.1:1/file".to_owned()), Some(1));
    publisher.trouble("file", Fault::Corrupt, Some(1));
    publisher.trouble("file", Fault::Short(1000), Some(1));
    publisher.trouble("file", Fault::Long(70_000), Some(1));
    publisher.trouble("file", Fault::Truncate(100_000), Some(1));
    assert_eq!(get(&publisher, "/file", &[]).await.status(), 503);
    let redirect = get(&publisher, "/file", &[]).await;
    assert_eq!(
        (redirect.status().as_u16(), redirect.headers()["location"].to_str().unwrap()),
        (302, "https://127.0.0.1:1/file")
    );
    let corrupt = body(get(&publisher, "/file", &[]).await).await;
    let different = corrupt.iter().zip(&whole).filter(|(a, b)| a != b).count();
    assert_eq!((corrupt.len(), different), (whole.len(), 1));
    assert_eq!(body(get(&publisher, "/file", &[]).await).await.len(), 1000);
    let long = body(get(&publisher, "/file", &[]).await).await;
    assert_eq!((long.len(), &long[..150_000] == whole.as_slice()), (220_000, true));
    let truncated = get(&publisher, "/file", &[]).await;
    assert_eq!(truncated.headers()["content-length"], "150000");
    assert!(truncated.into_body().collect().await.is_err());
    assert_eq!(body(get(&publisher, "/file", &[]).await).await, whole);
    publisher.trouble("file", Fault::Stall(5), None);
    let mut stalled = get(&publisher, "/file", &[]).await.into_body();
    let first = stalled.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(first.len(), 5);
    // Not before it is healed, and not after: what hangs, hangs.
    assert!(tokio::time::timeout(Duration::from_millis(50), stalled.frame()).await.is_err());
    publisher.heal();
    assert_eq!(body(get(&publisher, "/file", &[]).await).await, whole);
}

#[tokio::test]
async fn only_what_was_added_is_published_and_anything_may_be_described() {
    let directory = tempfile::tempdir().unwrap();
    let publisher = publisher(directory.path(), Encoding::Clear, true).await;
    assert!(matches!(publisher.publish(&["1"], now()), Err(PublisherError::Unknown(_))));
    publisher.describe("1", json!({"severity": "huge"}));
    publisher.publish(&["1"], now()).unwrap();
    let index: Value = serde_json::from_slice(&body(get(&publisher, "/index.json", &[]).await).await).unwrap();
    assert_eq!(index, json!({"format": "1.0", "updates": [{"severity": "huge", "url": "/1"}]}));
    assert_eq!(pem_to_ders(&publisher.authority().root_pem()).unwrap().len(), 1);
}
