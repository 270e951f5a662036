//! What the targets share: properties of texts that people are shown.

use std::fmt::Display;

/// Longest error text in characters, whatever the input was.
const LONGEST: usize = 4096;

/// An error says something, stays short, and has nothing in it that moves a terminal's cursor.
pub fn speaks(error: &impl Display) {
    let text = error.to_string();
    assert!(!text.trim().is_empty(), "an error without a text");
    assert!(text.chars().count() <= LONGEST, "an error of {} characters", text.chars().count());
    let odd = text.chars().find(|c| c.is_control() && *c != '\n');
    assert!(odd.is_none(), "{odd:?} in an error: {text:?}");
}

/// The first line and what follows it.
pub fn line(data: &[u8]) -> (&[u8], &[u8]) {
    match data.iter().position(|byte| *byte == b'\n') {
        Some(end) => (&data[..end], &data[end + 1..]),
        None => (data, &[]),
    }
}
