//! A POSIX ustar archive of small regular files (`servers.md` 12.5).
//!
//! Written here because the bytes are the contract: the machine finds the archive by its magic at byte 257 of a partition,
//! and images of one seed have to be the same bytes each time. So there is no time, no owner and no padding in it that a
//! library might choose otherwise.

/// Size of a block, in bytes.
const BLOCK: usize = 512;
/// A size has eleven octal digits.
const LARGEST: u64 = 0o777_7777_7777;

/// Writes an archive of these files. Names are ASCII and at most 100 bytes long, and contents are smaller than 8 GiB: they
/// are ours, so anything else is a mistake of the program, which leaves the file out.
pub fn write<'a>(files: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, content) in files {
        let Some(header) = header(name, content.len() as u64) else {
            debug_assert!(false, "{name} does not fit into a header");
            continue;
        };
        out.extend_from_slice(&header);
        out.extend_from_slice(content);
        out.resize(out.len().next_multiple_of(BLOCK), 0);
    }
    out.resize(out.len() + 2 * BLOCK, 0);
    out
}

fn header(name: &str, size: u64) -> Option<[u8; BLOCK]> {
    if name.len() > 100 || size > LARGEST {
        return None;
    }
    let mut header = [0; BLOCK];
    let mut put = |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, name);
    put(100, "0000600"); // mode
    put(108, "0000000"); // user
    put(116, "0000000"); // group
    put(124, &format!("{size:011o}"));
    put(136, "00000000000"); // time
    put(148, "        "); // the checksum counts as blanks
    put(156, "0"); // a regular file
    put(257, "ustar\x0000");
    put(329, "0000000"); // device, major
    put(337, "0000000"); // device, minor
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    Some(header)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One header as `tar` and Python write it, taken apart by offset.
    #[test]
    fn bytes_as_contracted() {
        let tar = write([("a.yaml", &b"x: 1\n"[..]), ("empty", &[][..])]);
        assert_eq!(tar.len(), 512 + 512 + 512 + 1024);
        let field = |at: usize, length: usize| &tar[at..at + length];
        assert_eq!(field(0, 8), b"a.yaml\0\0");
        assert_eq!(field(100, 8), b"0000600\0");
        assert_eq!(field(108, 16), b"0000000\x000000000\0");
        assert_eq!(field(124, 12), b"00000000005\0");
        assert_eq!(field(136, 12), b"00000000000\0");
        // As Python has it, and 14 times 48 for the device numbers that it leaves out.
        assert_eq!(field(148, 8), b"010274\0 ");
        assert_eq!(field(156, 2), b"0\0");
        assert_eq!(field(257, 8), b"ustar\x0000");
        assert!(field(265, 64).iter().all(|byte| *byte == 0), "no names of owners");
        assert_eq!(field(329, 16), b"0000000\x000000000\0");
        assert!(field(345, 167).iter().all(|byte| *byte == 0));
        assert_eq!(field(512, 6), b"x: 1\n\0");
        assert_eq!(field(1024, 6), b"empty\0");
        assert!(tar[1536..].iter().all(|byte| *byte == 0), "two empty blocks at the end, nothing else");
    }

    #[test]
    fn contents_are_padded_to_blocks() {
        for (size, expected) in [(0, 0), (1, 512), (511, 512), (512, 512), (513, 1024)] {
            let content = vec![1; size];
            assert_eq!(write([("x", &content[..])]).len(), 512 + expected + 1024, "{size}");
        }
    }
}
