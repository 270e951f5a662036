//! An update as an archive for another center: the same there as here.

use crate::bench::{Bench, Who, on_both};
use crate::updates::{Signer, URL, digests, get, package, stored, upload};
use axum::http::StatusCode;
use serde_json::json;
use std::io::Read;
use tar::EntryType;

#[test]
fn what_one_center_exports_another_takes_in_and_it_is_the_same() {
    on_both(|bench: Bench| async move {
        let signer = Signer::trusted_by(&bench).await;
        let long = format!("x86_64/{}.raw.gz", "long-".repeat(25));
        let large: Vec<u8> = (0..1_500_000u32).map(|n| (n % 249) as u8).collect();
        let package = package("202511010000", &[(&long, b"a long name".to_vec()), ("aarch64/large.raw.gz", large)]);
        let path = upload(&bench, signer.tar(&package)).await;
        let export = format!("{path}/:export");
        let (status, headers, tar) = bench.ask_bytes(Who::Unix, "GET", &export, &[], "").await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(headers["content-length"], tar.len().to_string());
        assert_eq!(headers["content-disposition"], "attachment; filename=\"202511010000.tar\"");

        // Any reader of archives: folders before what is in them, nothing but what was published.
        let mut archive = tar::Archive::new(&tar[..]);
        let mut names = Vec::new();
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let (name, kind) = (entry.path().unwrap().to_str().unwrap().to_owned(), entry.header().entry_type());
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            if let Some((_, bytes)) = package.files.iter().find(|(file, _)| *file == name) {
                assert!(content == *bytes, "{name}");
            }
            assert_eq!(kind == EntryType::Directory, name.ends_with('/'), "{name}");
            names.push(name);
        }
        let first = ["update.sjson", "x86_64/", "x86_64/incus.raw.gz"];
        assert_eq!(names[..3], first);
        assert_eq!(names.iter().filter(|name| name.ends_with('/')).count(), 2);
        assert_eq!(names.len(), 1 + 2 + package.files.len());

        // It goes on where it broke off.
        let tag = headers["etag"].to_str().unwrap().to_owned();
        let (status, _, rest) =
            bench.ask_bytes(Who::Unix, "GET", &export, &[("range", "bytes=700000-"), ("if-range", &tag)], "").await;
        assert_eq!((status, rest == tar[700_000..]), (StatusCode::PARTIAL_CONTENT, true));

        let other_store = muster_store::testing::sqlite();
        let other = Bench::new(other_store.store.clone()).await;
        signer.trust(&other).await;
        assert_eq!(upload(&other, tar.to_vec()).await, path);
        assert_eq!(get(&other, &path).await, get(&bench, &path).await);
        assert_eq!(get(&other, &format!("{path}/files")).await, package.description["files"]);
        assert_eq!(stored(&other), digests(&[&package]));
        let (_, _, again) = other.ask_bytes(Who::Unix, "GET", &export, &[], "").await;
        assert!(again == tar, "byte by byte");
    });
}

#[test]
fn what_cannot_be_exported_says_why_and_a_lost_description_can_be_brought_again() {
    on_both(|bench: Bench| async move {
        let signer = Signer::trusted_by(&bench).await;
        let package = package("1", &[]);
        let path = upload(&bench, signer.tar(&package)).await;
        let export = format!("{path}/:export");
        let refused = async |code: StatusCode, says: &str| {
            let (status, answer) = bench.ask(Who::Unix, "GET", &export, "").await;
            assert!(status == code && answer["error"].as_str().unwrap().contains(says), "{says}: {answer}");
        };
        bench.engine.store().write(|tx| tx.execute("DELETE FROM update_documents", &[])).await.unwrap();
        refused(StatusCode::BAD_REQUEST, "upload it again").await;
        upload(&bench, signer.tar(&package)).await;
        let (status, _, _) = bench.ask_bytes(Who::Unix, "GET", &export, &[], "").await;
        assert_eq!(status, StatusCode::OK);
        let (status, answer) = bench.ask(Who::Unix, "POST", URL, signer.tar(&package)).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "nothing new: {answer}");

        bench.ask(Who::Unix, "POST", &format!("{path}/:withdraw"), json!({"reason": "bad"}).to_string()).await;
        refused(StatusCode::BAD_REQUEST, "bad").await;
        bench.ask(Who::Unix, "POST", &format!("{path}/:restore"), "{}").await;
        std::fs::remove_file(bench.directory.path().join("updates/files").join(&digests(&[&package])[0])).unwrap();
        refused(StatusCode::NOT_FOUND, "not stored here").await;
        let (status, _) = bench.ask(Who::Stranger, "GET", &export, "").await;
        assert_eq!(status, StatusCode::UNAUTHORIZED);
    });
}
