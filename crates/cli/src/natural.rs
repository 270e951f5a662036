//! Natural order: digits compare as numbers, empty cells come last (cli.md 2.4).

use std::cmp::Ordering;

/// Compares two cells.
pub(crate) fn compare(a: &str, b: &str) -> Ordering {
    match (a.is_empty(), b.is_empty()) {
        (true, true) => return Ordering::Equal,
        (true, false) => return Ordering::Greater,
        (false, true) => return Ordering::Less,
        (false, false) => {}
    }
    let (mut left, mut right) = (a.as_bytes(), b.as_bytes());
    while let (Some(&x), Some(&y)) = (left.first(), right.first()) {
        let order = if x.is_ascii_digit() && y.is_ascii_digit() {
            let (m, rest_left) = number(left);
            let (n, rest_right) = number(right);
            (left, right) = (rest_left, rest_right);
            m.len().cmp(&n.len()).then_with(|| m.cmp(n))
        } else {
            (left, right) = (&left[1..], &right[1..]);
            x.cmp(&y)
        };
        if order != Ordering::Equal {
            return order;
        }
    }
    left.len().cmp(&right.len()).then_with(|| a.cmp(b))
}

/// The number a text begins with, without leading zeros, and what follows it.
fn number(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text.iter().position(|c| !c.is_ascii_digit()).unwrap_or(text.len());
    let start = text[..end].iter().position(|&c| c != b'0').unwrap_or(end);
    (&text[start..end], &text[end..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(mut cells: Vec<&str>) -> Vec<&str> {
        cells.sort_by(|a, b| compare(a, b));
        cells
    }

    #[test]
    fn digits_compare_as_numbers() {
        assert_eq!(sorted(vec!["m10", "m9", "m1", "m2"]), ["m1", "m2", "m9", "m10"]);
        assert_eq!(sorted(vec!["r2-m10", "r10-m1", "r2-m9"]), ["r2-m9", "r2-m10", "r10-m1"]);
        let huge = "9".repeat(40);
        assert_eq!(compare(&huge, &format!("1{huge}")), Ordering::Less);
    }

    #[test]
    fn empty_cells_come_last() {
        assert_eq!(sorted(vec!["", "b", "a", ""]), ["a", "b", "", ""]);
    }

    #[test]
    fn leading_zeros_break_ties_only() {
        assert_eq!(sorted(vec!["m10", "m010", "m9", "m009"]), ["m009", "m9", "m010", "m10"]);
        assert_eq!(compare("m1", "m1"), Ordering::Equal);
        assert_eq!(compare("m1", "m1a"), Ordering::Less);
    }
}
