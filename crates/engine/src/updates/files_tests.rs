use super::*;
use std::convert::Infallible;
use std::io::Read;

#[derive(Debug)]
struct Refused;

impl From<FileError> for Refused {
    fn from(error: FileError) -> Self {
        panic!("{error}");
    }
}

impl From<Infallible> for Refused {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

fn put(files: &Files, bytes: &[u8]) -> String {
    let mut part = files.part().unwrap();
    part.write_all(bytes).unwrap();
    let (size, sha256) = part.finish().unwrap();
    assert_eq!(size, bytes.len() as u64);
    files.publishing().unwrap().publish([(&part, sha256.as_str())]).unwrap();
    sha256
}

fn names(files: &Files) -> Vec<String> {
    let mut names: Vec<String> = [&files.files, &files.parts]
        .into_iter()
        .flat_map(|directory| entries(directory).unwrap())
        .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn one_content_is_stored_once_and_read_back() {
    let directory = tempfile::tempdir().unwrap();
    let files = Files::open(directory.path()).unwrap();
    let (first, again) = (put(&files, b"content"), put(&files, b"content"));
    assert_eq!(first, again);
    assert_eq!(first, hex::encode(Sha256::digest(b"content")));
    assert_eq!(names(&files), std::slice::from_ref(&first));
    let mut text = String::new();
    files.get(&first).unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(text, "content");
    assert!(files.has(&first, 7) && !files.has(&first, 8));
}

#[test]
fn publishing_again_heals_a_damaged_file() {
    let directory = tempfile::tempdir().unwrap();
    let files = Files::open(directory.path()).unwrap();
    let sha256 = put(&files, b"content");
    fs::write(files.path(&sha256), "cont").unwrap();
    assert!(!files.has(&sha256, 7));
    put(&files, b"content");
    assert!(files.has(&sha256, 7));
}

#[test]
fn a_part_that_is_dropped_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let files = Files::open(directory.path()).unwrap();
    let mut part = files.part().unwrap();
    part.write_all(b"half").unwrap();
    assert_eq!(names(&files).len(), 1);
    drop(part);
    assert_eq!(names(&files), Vec::<String>::new());
}

#[test]
fn a_sweep_spares_what_is_named_and_what_is_being_written() {
    let directory = tempfile::tempdir().unwrap();
    let files = Files::open(directory.path()).unwrap();
    let (kept, orphan) = (put(&files, b"kept"), put(&files, b"orphan"));
    let mut writing = files.part().unwrap();
    writing.write_all(b"half").unwrap();
    // What a daemon that crashed left.
    fs::write(files.parts.join("left"), "half").unwrap();
    // Another daemon on the same directory.
    let other = Files::open(directory.path()).unwrap();
    let removed = other.sweep(|| Ok::<_, Refused>(HashSet::from([kept.clone()]))).unwrap();
    assert_eq!(removed, 2);
    assert!(!files.has(&orphan, 6) && files.has(&kept, 4));
    let (_, sha256) = writing.finish().unwrap();
    files.publishing().unwrap().publish([(&writing, sha256.as_str())]).unwrap();
    assert!(files.has(&sha256, 4));
}

#[test]
fn nothing_is_removed_between_a_rename_and_its_row() {
    let directory = tempfile::tempdir().unwrap();
    let files = Files::open(directory.path()).unwrap();
    let mut part = files.part().unwrap();
    part.write_all(b"content").unwrap();
    let (_, sha256) = part.finish().unwrap();
    let publishing = files.publishing().unwrap();
    publishing.publish([(&part, sha256.as_str())]).unwrap();
    let row = std::sync::Mutex::new(HashSet::new());
    std::thread::scope(|scope| {
        let sweeping = scope.spawn(|| files.sweep(|| Ok::<_, Refused>(row.lock().unwrap().clone())).unwrap());
        row.lock().unwrap().insert(sha256.clone());
        drop(publishing);
        assert_eq!(sweeping.join().unwrap(), 0);
    });
    assert!(files.has(&sha256, 7));
}
