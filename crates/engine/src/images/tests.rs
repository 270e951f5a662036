use super::super::split::{SplitError, split};
use super::*;
use flate2::{Compression, write::GzEncoder};
use std::io::{Read, Write};

const LAYOUT: Layout = Layout { offset: 5000, piece: 256, pieces: 8 };

/// Bytes that compress, but not to nothing.
fn image(size: usize) -> Vec<u8> {
    (0..size as u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 28) as u8).collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(bytes).unwrap();
    gzip.finish().unwrap()
}

/// A split image in a file, with its index.
fn prepared(source: &[u8]) -> (std::fs::File, Index) {
    let mut file = tempfile::tempfile().unwrap();
    let made = split(source, &mut file, LAYOUT, &mut |_| Ok(())).unwrap();
    let index = Index::read(&file, file.metadata().unwrap().len()).unwrap();
    assert_eq!(index, made);
    (file, index)
}

fn bytes(file: &std::fs::File, spliced: &Spliced) -> Vec<u8> {
    let mut out = Vec::new();
    for span in &spliced.spans {
        match span {
            Span::Bytes(bytes) => out.extend_from_slice(bytes),
            Span::File { at, length } => {
                let mut chunk = vec![0; *length as usize];
                file.read_exact_at(&mut chunk, *at).unwrap();
                out.extend_from_slice(&chunk);
            }
        }
    }
    out
}

/// One member, as a browser reads it.
fn gunzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut member = flate2::bufread::GzDecoder::new(bytes);
    member.read_to_end(&mut out).unwrap();
    assert!(member.into_inner().is_empty(), "nothing behind the only member");
    out
}

#[test]
fn a_seed_replaces_its_own_bytes_and_no_others() {
    // Ends behind the place of the seed, at its end, inside a piece of it, at the end of a piece.
    for size in [20_000, 5000 + 8 * 256, 5000 + 700, 5000 + 512] {
        let image = image(size);
        let (file, index) = prepared(&gzip(&image));
        let room = (size - 5000).min(8 * 256);
        for seed in [0, 1, 255, 256, 257, 511, 512, 700, 2047, 2048].into_iter().filter(|seed| *seed <= room) {
            let seed = vec![b'S'; seed];
            let spliced = splice(&file, &index, LAYOUT, &seed).unwrap();
            let mut expected = image.clone();
            expected[5000..5000 + seed.len()].copy_from_slice(&seed);
            let answer = bytes(&file, &spliced);
            assert!(gunzip(&answer) == expected, "image of {size}, seed of {}", seed.len());
            assert_eq!(spliced.image, size as u64);
            assert_eq!(spliced.spans.iter().map(Span::length).sum::<u64>(), answer.len() as u64);
        }
        let error = splice(&file, &index, LAYOUT, &vec![0; room + 1]).unwrap_err();
        assert!(matches!(error, SpliceError::NoRoom { room: said, .. } if said == room as u64), "{error}");
    }
}

#[test]
fn equal_seeds_are_equal_bytes_and_others_have_another_tag() {
    let source = gzip(&image(9000));
    let ((file, index), (other, again)) = (prepared(&source), prepared(&source));
    assert_eq!(index, again);
    let spliced = splice(&file, &index, LAYOUT, b"seed").unwrap();
    assert_eq!(spliced, splice(&other, &again, LAYOUT, b"seed").unwrap());
    let tags = [&b"seed"[..], b"sees", b"see", b""].map(|seed| splice(&file, &index, LAYOUT, seed).unwrap().tag);
    assert_eq!(std::collections::BTreeSet::from(tags).len(), 4);
}

#[test]
fn an_image_in_several_members_is_one() {
    let image = image(9000);
    let mut source = gzip(&image[..5100]);
    source.extend_from_slice(&gzip(&image[5100..]));
    let (file, index) = prepared(&source);
    let spliced = splice(&file, &index, LAYOUT, &[]).unwrap();
    assert!(gunzip(&bytes(&file, &spliced)) == image);
}

#[test]
fn what_is_no_image_is_refused() {
    let source = gzip(&image(9000));
    let refused = |source: &[u8]| split(source, &mut Vec::new(), LAYOUT, &mut |_| Ok(())).unwrap_err();
    assert!(matches!(refused(&source[..source.len() - 9]), SplitError::Source(_)), "cut off");
    assert!(matches!(refused(b"no gzip"), SplitError::Source(_)));
    let mut damaged = source.clone();
    let crc = damaged.len() - 5;
    damaged[crc] ^= 1;
    assert!(matches!(refused(&damaged), SplitError::Source(_)), "its checksum is another one");
    for size in [0, 4999, 5000] {
        let error = refused(&gzip(&image(size)));
        assert!(matches!(error, SplitError::TooShort { size: said, offset: 5000 } if said == size as u64), "{error}");
    }
    let stopped = split(&source[..], &mut Vec::new(), LAYOUT, &mut |_| Err(io::Error::other("the daemon stops")));
    assert!(matches!(stopped, Err(SplitError::Target(_))));
}

#[test]
fn a_file_that_is_no_split_image_is_told_apart() {
    let mut whole = Vec::new();
    split(&gzip(&image(9000))[..], &mut whole, LAYOUT, &mut |_| Ok(())).unwrap();
    let read = |bytes: &[u8]| {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        Index::read(&file, bytes.len() as u64)
    };
    assert!(read(&whole).is_ok());
    for cut in [0, 10, 16, whole.len() / 2, whole.len() - 1] {
        assert!(read(&whole[..cut]).is_err(), "{cut}");
    }
    let mut longer = vec![0];
    longer.extend_from_slice(&whole);
    assert!(read(&longer).is_err(), "a byte too many");
    let length = whole.len() - 16;
    whole[length..length + 8].copy_from_slice(&u64::MAX.to_le_bytes());
    assert!(read(&whole).is_err(), "an index that is longer than the file");
}

#[test]
fn every_range_of_parts_is_what_the_whole_has_there() {
    let mut file = tempfile::tempfile().unwrap();
    io::Write::write_all(&mut file, b"0123456789").unwrap();
    let spans = [
        Span::Bytes(Bytes::from_static(b"ab")),
        Span::File { at: 3, length: 4 },
        Span::File { at: 0, length: 0 },
        Span::Bytes(Bytes::from_static(b"c")),
        Span::File { at: 8, length: 2 },
    ];
    let whole = b"ab3456c89";
    for from in 0..=whole.len() {
        for to in from..=whole.len() {
            let mut chunk = vec![0; to - from];
            read_at(&file, &spans, from as u64, &mut chunk).unwrap();
            assert_eq!(chunk, whole[from..to], "{from}..{to}");
        }
    }
    assert!(read_at(&file, &spans, 8, &mut [0; 2]).is_err(), "behind the end");
}
