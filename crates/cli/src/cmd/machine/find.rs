//! Machines by what people call them: id, server, serial number, inventory number, or an expression for many.

use super::super::items;
use crate::error::{Error, Result};
use crate::remote::{ApiPath, Remote};
use crate::text::field;
use serde_json::Value;

/// The id of the one machine that is meant.
pub(crate) async fn one(remote: &Remote, text: &str) -> Result<String> {
    if is_id(text) {
        return Ok(text.to_ascii_lowercase());
    }
    let quoted = quote(text);
    let expression = format!("server == {quoted} or serial == {quoted} or asset.inventory_number == {quoted}");
    let found = matching(remote, &expression).await?;
    match found.as_slice() {
        [machine] => Ok(field(machine, "id")),
        [] => Err(Error::NotFound(format!("no machine has the id, server, serial or inventory number {text:?}"))),
        several => {
            let ids: Vec<String> = several.iter().map(|m| field(m, "id")).collect();
            Err(Error::Usage(format!("{text:?} could be any of {}; give the id", ids.join(", "))))
        }
    }
}

/// All machines for which an expression holds.
pub(super) async fn matching(remote: &Remote, expression: &str) -> Result<Vec<Value>> {
    let raw = remote.get(&ApiPath::of(&["machines"]).query("filter", expression)).await?;
    Ok(items(&raw).to_vec())
}

fn is_id(text: &str) -> bool {
    text.len() == 36 && text.chars().all(|c| c.is_ascii_hexdigit() || c == '-')
}

/// A text as the filter language reads it.
fn quote(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => {}
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_told_from_ids_and_quoted() {
        assert!(is_id("01890a5d-ac96-774b-bcce-b302099a8057"));
        assert!(!is_id("web1") && !is_id("0123456789abcdef0123456789abcdef012g"));
        assert_eq!(quote(r#"a"b\c"#), r#""a\"b\\c""#);
    }
}
