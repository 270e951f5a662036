//! `provisioning update add`: a tar file, without what the center has already.
//!
//! The center is shown the signed description first and names the files that it has: those of other updates, and those that
//! an upload which broke off had brought whole. The archive is sent without them, so that the same command goes on where it
//! was. Standard input, and a center that does not know the question, get the whole archive.

use super::items;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::remote::{ApiPath, Remote, Reply};
use crate::text::decimal_size;
use crate::transfer;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::ops::Range;

/// The signed description, at the root of the archive.
const DESCRIPTION: &str = "update.sjson";
/// The largest one that is shown beforehand, in bytes: the center takes no larger body.
const LARGEST: u64 = 4 << 20;
/// What a tar is made of, in bytes.
const BLOCK: u64 = 512;

/// Sends an archive.
pub(crate) async fn send(ctx: &Context, remote: &Remote, source: &str) -> Result<Reply> {
    let updates = ApiPath::of(&["provisioning", "updates"]);
    if ctx.official || source == "-" {
        return transfer::upload_shown(ctx, remote, &updates, source).await;
    }
    let name = source.to_owned();
    let laid_out = tokio::task::spawn_blocking(move || Layout::of(File::open(name)?)).await;
    let laid_out = laid_out.map_err(|error| Error::Failed(format!("cannot read {source}: {error}")))?;
    // What is wrong with an archive, the center says better.
    let Ok(Layout { description: Some(description), entries, size }) = laid_out else {
        return transfer::upload_shown(ctx, remote, &updates, source).await;
    };
    let held = match remote.send_whole(&updates.clone().below(":missing"), description).await {
        Ok(answer) => items(&answer["held"]).iter().filter_map(|name| name.as_str().map(str::to_owned)).collect(),
        Err(Error::NotFound(_) | Error::NoSuchPath(_)) => Vec::new(),
        Err(error) => return Err(error),
    };
    let ranges = without(&entries, size, &held);
    let sent: u64 = ranges.iter().map(|range| range.end - range.start).sum();
    if !ctx.quiet && sent < size {
        let (all, rest) = (decimal_size(&size.into()), decimal_size(&sent.into()));
        eprintln!("The center has a part of it already: sending {rest} of {all}");
    }
    let path = updates.flag("sparing", sent < size);
    transfer::upload_ranges(ctx, remote, &path, source, ranges).await.map_err(|error| match error {
        Error::Unreachable { address, cause } => {
            let cause = format!("{cause}; the same command sends only what did not arrive whole");
            Error::Unreachable { address, cause }
        }
        error => error,
    })
}

/// What lies where in an archive.
struct Layout {
    description: Option<Vec<u8>>,
    /// Each with its headers and what fills its last block.
    entries: Vec<(String, Range<u64>)>,
    size: u64,
}

impl Layout {
    fn of(mut file: File) -> io::Result<Self> {
        let size = file.seek(io::SeekFrom::End(0))?;
        file.rewind()?;
        let (mut entries, mut description, mut end) = (Vec::new(), None, 0);
        for entry in tar::Archive::new(&mut file).entries_with_seek()? {
            let mut entry = entry?;
            let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            let name = name.trim_start_matches("./").to_owned();
            let from = end;
            end = entry.raw_file_position() + entry.size().next_multiple_of(BLOCK);
            if name == DESCRIPTION && entry.size() <= LARGEST {
                let mut content = Vec::new();
                entry.read_to_end(&mut content)?;
                description = Some(content);
            }
            entries.push((name, from..end));
        }
        Ok(Self { description, entries, size })
    }
}

/// The parts of an archive that are left without these entries.
fn without(entries: &[(String, Range<u64>)], size: u64, held: &[String]) -> Vec<Range<u64>> {
    let (mut ranges, mut from) = (Vec::new(), 0);
    for (_, range) in entries.iter().filter(|(name, _)| held.contains(name)) {
        if from < range.start {
            ranges.push(from..range.start);
        }
        from = range.end;
    }
    if from < size {
        ranges.push(from..size);
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn an_archive_without_some_entries_is_an_archive() {
        let mut tar = tar::Builder::new(Vec::new());
        let long = format!("x86_64/{}.raw.gz", "long".repeat(40));
        let contents: [(&str, &[u8]); 4] =
            [("update.sjson", b"signed"), ("x86_64/a.gz", &[1; 600]), (&long, &[2; 1024]), ("x86_64/b.gz", b"b")];
        for (name, content) in contents {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            tar.append_data(&mut header, name, content).unwrap();
        }
        let whole = tar.into_inner().unwrap();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&whole).unwrap();
        let layout = Layout::of(file).unwrap();
        assert_eq!(layout.description.as_deref(), Some(&b"signed"[..]));
        assert_eq!(layout.size, whole.len() as u64);
        for held in [vec![], vec![1], vec![2], vec![1, 2], vec![1, 3], vec![1, 2, 3]] {
            let names: Vec<String> = held.iter().map(|at| contents[*at].0.to_owned()).collect();
            let ranges = without(&layout.entries, layout.size, &names);
            let sent: Vec<u8> =
                ranges.iter().flat_map(|range| whole[range.start as usize..range.end as usize].to_vec()).collect();
            let mut found = Vec::new();
            for entry in tar::Archive::new(&sent[..]).entries().unwrap() {
                let mut entry = entry.unwrap();
                let (name, mut content) = (entry.path().unwrap().to_str().unwrap().to_owned(), Vec::new());
                entry.read_to_end(&mut content).unwrap();
                found.push((name, content));
            }
            let expected = contents.iter().enumerate().filter(|(at, _)| !held.contains(at));
            let expected: Vec<_> =
                expected.map(|(_, (name, content))| ((*name).to_owned(), content.to_vec())).collect();
            assert_eq!(found, expected, "{held:?}");
        }
        assert_eq!(without(&layout.entries, layout.size, &[]), vec![0..layout.size]);
    }
}
