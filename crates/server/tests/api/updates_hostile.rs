//! Archives as nobody should send them: a clear refusal that names the entry, and nothing stays.

use crate::bench::{Bench, Who, on_both};
use crate::updates::{Package, Signer, URL, add, get, gzip, package, stored, upload};
use axum::{
    body::{Body, Bytes},
    http::StatusCode,
};
use serde_json::json;
use tar::{Builder, EntryType, Header};

/// An entry whatever its name and kind.
fn raw(tar: &mut Builder<Vec<u8>>, name: &[u8], kind: EntryType, content: &[u8]) {
    raw_sized(tar, name, kind, content.len() as u64, content);
}

fn raw_sized(tar: &mut Builder<Vec<u8>>, name: &[u8], kind: EntryType, size: u64, content: &[u8]) {
    let mut header = Header::new_gnu();
    header.as_old_mut().name[..name.len()].copy_from_slice(name);
    header.set_size(size);
    header.set_entry_type(kind);
    header.set_cksum();
    tar.append(&header, content).unwrap();
}

fn pax(tar: &mut Builder<Vec<u8>>, key: &str, value: &str) {
    // The length counts itself.
    let rest = format!(" {key}={value}\n");
    let mut length = rest.len() + 1;
    while format!("{length}{rest}").len() != length {
        length += 1;
    }
    raw(tar, b"./PaxHeaders/x", EntryType::XHeader, format!("{length}{rest}").as_bytes());
}

/// The description of a package alone, further entries to follow.
fn described(signer: &Signer, package: &Package) -> Builder<Vec<u8>> {
    let mut tar = Builder::new(Vec::new());
    add(&mut tar, "update.sjson", &signer.sign(&package.description.to_string()));
    tar
}

async fn refused(bench: &Bench, body: impl Into<Body>, says: &[&str]) {
    let (status, answer) = bench.ask(Who::Unix, "POST", URL, body).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{says:?}: {answer}");
    let text = answer["error"].as_str().unwrap();
    for says in says {
        assert!(text.contains(says), "{says:?} is not in {text:?}");
    }
    assert!(text.len() < 1000 && !text.contains(char::is_control), "{text:?}");
    assert_eq!(stored(bench), [""; 0], "{says:?}");
    assert_eq!(get(bench, URL).await, json!([]), "{says:?}");
}

#[test]
fn names_and_kinds_that_no_update_has() {
    on_both(|bench: Bench| async move {
        let signer = Signer::trusted_by(&bench).await;
        let package = package("1", &[]);
        for (name, kind, says) in [
            (&b"../../cron.d/x"[..], EntryType::Regular, "begins with a dot"),
            (b"/etc/passwd", EntryType::Regular, "part that is empty"),
            (b"x86_64/../../x", EntryType::Regular, "begins with a dot"),
            (b"x86_64/.hidden", EntryType::Regular, "begins with a dot"),
            (b"x86_64//x", EntryType::Regular, "part that is empty"),
            (b"x86_64/a\nb", EntryType::Regular, "the character '\\n'"),
            (b"x86_64/\xff\xfe", EntryType::Regular, "no UTF-8"),
            (b"", EntryType::Regular, "is empty"),
            (b"a/b/c/d/e", EntryType::Regular, "parts"),
            (b"../up", EntryType::Directory, "begins with a dot"),
            (b"x86_64/incus.raw.gz", EntryType::Symlink, "is a link"),
            (b"x86_64/incus.raw.gz", EntryType::Link, "is a link"),
            (b"x86_64/incus.raw.gz", EntryType::Fifo, "neither a file nor a folder"),
            (b"x86_64/incus.raw.gz", EntryType::Block, "neither a file nor a folder"),
            (b"x86_64/incus.raw.gz", EntryType::Char, "neither a file nor a folder"),
            (b"x86_64/incus.raw.gz", EntryType::GNUSparse, "sparse"),
            (b"x86_64/incus.raw.gz", EntryType::new(b'Z'), "neither a file nor a folder"),
        ] {
            let mut tar = described(&signer, &package);
            raw(&mut tar, name, kind, b"");
            refused(&bench, tar.into_inner().unwrap(), &["Invalid archive", says]).await;
            // The same before anybody could say what belongs into the update.
            let mut tar = Builder::new(Vec::new());
            raw(&mut tar, name, kind, b"");
            refused(&bench, tar.into_inner().unwrap(), &["Invalid archive", says]).await;
        }
        let mut tar = described(&signer, &package);
        raw(&mut tar, b"././@LongLink", EntryType::GNULongName, format!("x86_64/{}\0", "a".repeat(300)).as_bytes());
        raw(&mut tar, b"x", EntryType::Regular, b"");
        refused(&bench, tar.into_inner().unwrap(), &["x86_64/aaa", "longer than 255 bytes"]).await;
        let mut tar = described(&signer, &package);
        pax(&mut tar, "path", "../../x");
        raw(&mut tar, b"x86_64/incus.raw.gz", EntryType::Regular, b"");
        refused(&bench, tar.into_inner().unwrap(), &["../../x", "begins with a dot"]).await;
        let mut tar = described(&signer, &package);
        pax(&mut tar, "size", "7");
        raw(&mut tar, b"x86_64/incus.raw.gz", EntryType::Regular, b"");
        refused(&bench, tar.into_inner().unwrap(), &["has two sizes"]).await;
        let mut tar = described(&signer, &package);
        pax(&mut tar, "GNU.sparse.major", "1");
        refused(&bench, tar.into_inner().unwrap(), &["sparse"]).await;
        let mut tar = described(&signer, &package);
        raw(&mut tar, b"././@LongLink", EntryType::GNULongName, &vec![b'a'; 1 << 20]);
        refused(&bench, tar.into_inner().unwrap(), &["header of more than"]).await;
    });
}

#[test]
fn files_that_are_not_the_ones_that_were_signed() {
    on_both(|bench: Bench| async move {
        let signer = Signer::trusted_by(&bench).await;
        let good = package("1", &[]);
        let mut damaged = good.clone();
        let last = damaged.files[0].1.len() - 1;
        damaged.files[0].1[last] ^= 1;
        refused(&bench, signer.tar(&damaged), &["x86_64/incus.raw.gz", "SHA-256"]).await;
        let mut longer = good.clone();
        longer.files[1].1.push(0);
        refused(&bench, signer.tar(&longer), &["x86_64/incus.manifest.json.gz", "bytes", "update.sjson says"]).await;
        let mut twice = good.clone();
        twice.files.push(twice.files[0].clone());
        refused(&bench, signer.tar(&twice), &["x86_64/incus.raw.gz", "is there twice"]).await;
        let mut none = good.clone();
        none.files = vec![("x86_64/stray.raw.gz".into(), gzip("stray"))];
        refused(&bench, signer.tar(&none), &["none of the files"]).await;
        // What comes before the description is judged by it, too.
        let mut tar = Builder::new(Vec::new());
        for (name, bytes) in &damaged.files {
            add(&mut tar, name, bytes);
        }
        add(&mut tar, "update.sjson", &signer.sign(&good.description.to_string()));
        refused(&bench, tar.into_inner().unwrap(), &["x86_64/incus.raw.gz", "SHA-256"]).await;
        // A size that would fill any disk.
        let mut huge = good.clone();
        huge.description["files"][0]["size"] = json!(1u64 << 40);
        let mut tar = described(&signer, &huge);
        raw_sized(&mut tar, b"x86_64/incus.raw.gz", EntryType::Regular, 1 << 40, b"");
        let (status, answer) = bench.ask(Who::Unix, "POST", URL, tar.into_inner().unwrap()).await;
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR, "{answer}");
        assert!(answer["error"].as_str().unwrap().contains("no room for \"x86_64/incus.raw.gz\""), "{answer}");
        assert_eq!(stored(&bench), [""; 0]);
    });
}

#[test]
fn descriptions_that_nobody_may_believe() {
    on_both(|bench: Bench| async move {
        let good = package("1", &[]);
        let signer = Signer::unknown();
        // Before a publisher of one's own is trusted, the one of IncusOS is.
        refused(&bench, signer.tar(&good), &["update.sjson", "signer is not trusted"]).await;
        let signer = Signer::trusted_by(&bench).await;
        refused(&bench, Signer::unknown().tar(&good), &["update.sjson", "signer is not trusted"]).await;
        let with = |document: &[u8]| {
            let mut tar = Builder::new(Vec::new());
            add(&mut tar, "update.sjson", document);
            for (name, bytes) in &good.files {
                add(&mut tar, name, bytes);
            }
            tar.into_inner().unwrap()
        };
        refused(&bench, with(good.description.to_string().as_bytes()), &["update.sjson", "not a signed one"]).await;
        refused(&bench, with(b""), &["update.sjson"]).await;
        refused(&bench, with(&signer.sign("hello")), &["update.sjson", "does not begin with a brace"]).await;
        let text = String::from_utf8(signer.sign(&good.description.to_string())).unwrap();
        refused(
            &bench,
            with(text.replace("\"severity\":\"none\"", "\"severity\":\"high\"").as_bytes()),
            &["signature"],
        )
        .await;
        let mut other = good.description.clone();
        other["severity"] = json!("huge");
        refused(&bench, with(&signer.sign(&other.to_string())), &["severity", "huge", "critical"]).await;
        let mut other = good.description.clone();
        other["files"][0]["filename"] = json!("../../etc/passwd");
        refused(&bench, with(&signer.sign(&other.to_string())), &["files[0].filename", "../../etc/passwd"]).await;
        let mut other = good.description.clone();
        other["files"] = json!([]);
        refused(&bench, with(&signer.sign(&other.to_string())), &["lists no file"]).await;
        let mut tar = Builder::new(Vec::new());
        for (name, bytes) in &good.files {
            add(&mut tar, name, bytes);
        }
        add(&mut tar, "update.json", good.description.to_string().as_bytes());
        refused(&bench, tar.into_inner().unwrap(), &["has no update.sjson"]).await;
        let mut tar = Builder::new(Vec::new());
        raw_sized(&mut tar, b"update.sjson", EntryType::Regular, 1 << 40, b"");
        refused(&bench, tar.into_inner().unwrap(), &["update.sjson", "at most"]).await;
        // After all that, the good one is taken.
        upload(&bench, signer.tar(&good)).await;
    });
}

#[test]
fn half_a_system_is_no_update() {
    on_both(|bench: Bench| async move {
        let signer = Signer::trusted_by(&bench).await;
        let mut whole = package("1", &[("x86_64/os.efi.gz", gzip("efi")), ("x86_64/os.usr.raw.gz", gzip("usr"))]);
        for (place, kind) in [(3, "update-efi"), (4, "update-usr")] {
            whole.description["files"][place]["component"] = json!("os");
            whole.description["files"][place]["type"] = json!(kind);
        }
        let mut half = whole.clone();
        half.files.remove(4);
        refused(&bench, signer.tar(&half), &["lacks \"x86_64/os.usr.raw.gz\"", "os.efi.gz"]).await;
        half.files.remove(3);
        refused(&bench, signer.tar(&half), &["no file of the system"]).await;
        upload(&bench, signer.tar(&whole)).await;
    });
}

#[test]
fn an_archive_that_is_cut_off_anywhere_is_refused() {
    on_both(|bench: Bench| async move {
        let signer = Signer::trusted_by(&bench).await;
        let tar = signer.tar(&package("1", &[]));
        // The mark of the end is two blocks of zeros; with one of them, the archive is whole.
        let end = tar.len() - 1024;
        for cut in (0..=end).step_by(512).chain([1, 511, 700, end - 1, end + 1]) {
            refused(&bench, tar[..cut].to_vec(), &["Invalid archive"]).await;
        }
        // The sender goes away in the middle of it.
        let half = Bytes::from(tar[..end / 2].to_vec());
        let pieces = [Ok(half), Err(std::io::Error::other("the cable was pulled"))];
        let (status, answer) =
            bench.ask(Who::Unix, "POST", URL, Body::from_stream(futures_util::stream::iter(pieces))).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{answer}");
        assert!(answer["error"].as_str().unwrap().contains("broke off"), "{answer}");
        assert_eq!(stored(&bench), [""; 0]);
        refused(&bench, "hello ".repeat(2000), &["Invalid archive"]).await;
        refused(&bench, vec![0xa5; 4096], &["Invalid archive", "at its beginning"]).await;
        refused(&bench, vec![0; 1 << 20], &["has no update.sjson"]).await;
        upload(&bench, tar).await;
    });
}

#[test]
fn ways_to_write_a_tar_that_are_all_right() {
    on_both(|bench: Bench| async move {
        let signer = Signer::trusted_by(&bench).await;
        let long = format!("x86_64/{}.raw.gz", "a".repeat(150));
        let package = package("1", &[(long.as_str(), gzip("long")), ("x86_64/pax.raw.gz", gzip("pax"))]);
        let mut tar = Builder::new(Vec::new());
        raw(&mut tar, b"pax_global_header", EntryType::XGlobalHeader, b"");
        raw(&mut tar, b"./", EntryType::Directory, b"");
        raw(&mut tar, b"./x86_64/", EntryType::Directory, b"");
        // GNU's long name, then names with a dot in front, one that pax gives, and strays; the description is last.
        add(&mut tar, &long, &package.files[3].1);
        for (name, bytes) in &package.files[..3] {
            raw(&mut tar, format!("./{name}").as_bytes(), EntryType::Regular, bytes);
        }
        pax(&mut tar, "path", "x86_64/pax.raw.gz");
        raw(&mut tar, b"short", EntryType::Regular, &package.files[4].1);
        add(&mut tar, "x86_64/stray", b"nobody lists it");
        add(&mut tar, "update.json", package.description.to_string().as_bytes());
        add(&mut tar, "./update.sjson", &signer.sign(&package.description.to_string()));
        let mut bytes = tar.into_inner().unwrap();
        // A last record that is filled up.
        bytes.extend(vec![0; 64 << 10]);
        let path = upload(&bench, bytes).await;
        assert_eq!(get(&bench, &format!("{path}/files")).await, package.description["files"]);
        assert_eq!(stored(&bench).len(), 5, "neither parts nor the stray stay");
    });
}
