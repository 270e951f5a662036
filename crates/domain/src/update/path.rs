//! Names of files that come from outside: in an index, in an uploaded archive, in a request.
//!
//! One rule for all of them, so that nothing can be listed that cannot be stored, exported and asked for again.

use std::fmt;

/// Longest name of a file, with its folders, in bytes.
pub const LENGTH_LIMIT: usize = 255;

/// Most parts that a name has: an architecture's folder and the file, with room for two more.
pub const DEPTH_LIMIT: usize = 4;

/// The documents that lie beside the files of an update; no file can have their names.
pub const RESERVED: [&str; 2] = ["update.json", "update.sjson"];

/// Why a name is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// Nothing there.
    #[error("is empty")]
    Empty,
    /// Longer than [`LENGTH_LIMIT`].
    #[error("is longer than {LENGTH_LIMIT} bytes")]
    TooLong,
    /// More folders than [`DEPTH_LIMIT`] allows.
    #[error("has more than {DEPTH_LIMIT} parts")]
    TooDeep,
    /// An empty part, `.`, `..`, or another part that begins with a dot.
    #[error("has a part that is empty or begins with a dot; folders above and hidden files are not possible")]
    Part,
    /// Other than ASCII letters, digits and `._-+~@=`.
    #[error("has the character {0:?}; letters, digits and ._-+~@= are possible, and / between parts")]
    Character(char),
    /// One of [`RESERVED`].
    #[error("is the name of the update's own description")]
    Reserved,
}

/// Checks a name relative to the folder of an update, such as `x86_64/incus.raw.gz`.
///
/// # Errors
/// The first rule that is broken.
pub fn check(name: &str) -> Result<(), PathError> {
    if name.is_empty() {
        return Err(PathError::Empty);
    }
    if name.len() > LENGTH_LIMIT {
        return Err(PathError::TooLong);
    }
    let possible = |c: char| c.is_ascii_alphanumeric() || "._-+~@=/".contains(c);
    if let Some(c) = name.chars().find(|c| !possible(*c)) {
        return Err(PathError::Character(c));
    }
    if name.split('/').count() > DEPTH_LIMIT {
        return Err(PathError::TooDeep);
    }
    if name.split('/').any(|part| part.is_empty() || part.starts_with('.')) {
        return Err(PathError::Part);
    }
    if RESERVED.contains(&name) {
        return Err(PathError::Reserved);
    }
    Ok(())
}

/// A text from outside, quoted and cut, so that an error stays readable whatever it holds.
pub(crate) struct Quoted<'a>(pub &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 80;
        match self.0.char_indices().nth(SHOWN) {
            None => write!(f, "{:?}", self.0),
            Some((end, _)) => write!(f, "{:?}…", &self.0[..end]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_publishers_use_pass() {
        for name in [
            "x86_64/incus.raw.gz",
            "x86_64/IncusOS_202511010000.usr-x86-64-verity-sig.1a2b.raw.gz",
            "SecureBootKeys_202511010000.tar.gz",
            "aarch64/incus-lts-7.0.manifest.json.gz",
            "x86_64/changelog-stable.yaml.gz",
            "a/b/c/d",
        ] {
            assert_eq!(check(name), Ok(()), "{name}");
        }
    }

    #[test]
    fn names_that_leave_their_folder_or_hide_do_not() {
        let long = "a".repeat(256);
        for (name, expected) in [
            ("", PathError::Empty),
            (long.as_str(), PathError::TooLong),
            ("a/b/c/d/e", PathError::TooDeep),
            ("../config.yml", PathError::Part),
            ("x86_64/../../config.yml", PathError::Part),
            ("/etc/passwd", PathError::Part),
            ("x86_64//incus", PathError::Part),
            ("x86_64/", PathError::Part),
            ("./incus", PathError::Part),
            ("x86_64/.incus.partial", PathError::Part),
            ("x86_64\\incus", PathError::Character('\\')),
            ("x86_64/in cus", PathError::Character(' ')),
            ("incus\0.gz", PathError::Character('\0')),
            ("incus\r\nX: y", PathError::Character('\r')),
            ("ıncus", PathError::Character('ı')),
            ("%2e%2e/config", PathError::Character('%')),
            ("update.sjson", PathError::Reserved),
        ] {
            assert_eq!(check(name), Err(expected), "{name}");
        }
    }

    #[test]
    fn hostile_texts_are_quoted_and_cut() {
        assert_eq!(Quoted("a\nb").to_string(), r#""a\nb""#);
        assert_eq!(Quoted(&"é".repeat(500)).to_string().chars().count(), 83);
    }
}
