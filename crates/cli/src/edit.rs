//! `edit`: a document from standard input, or the object in an editor (cli.md 3).

use crate::context::{Context, read_line};
use crate::error::{Error, Result};
use crate::remote::{ApiPath, Remote};
use serde_json::Value;
use std::io::{IsTerminal, Read, Write};
use std::process::Command;

pub(crate) use crate::document::{Keys, read_as, read_free};

/// What can be edited of a kind of object.
pub(crate) struct Document {
    /// What it is, as in "server m1".
    pub(crate) title: String,
    /// The editable part of an object; its keys are the known ones.
    pub(crate) keys: &'static [&'static str],
    /// Reads a document into the body to send.
    pub(crate) read: fn(&str, Keys) -> Result<Value, String>,
    /// The editable part of the object as the server gives it.
    pub(crate) open: fn(&Value) -> Value,
}

/// As it is.
pub(crate) fn open_whole(object: &Value) -> Value {
    object.clone()
}

impl Document {
    /// The editable part of an object, in the order of the contract.
    fn editable(&self, object: &Value) -> Value {
        let inner = (self.open)(object);
        if self.keys.is_empty() {
            return inner;
        }
        let kept = self.keys.iter().filter_map(|key| inner.get(key).map(|value| ((*key).to_owned(), value.clone())));
        Value::Object(kept.collect())
    }

    /// The text that the editor shows.
    fn text(&self, editable: &Value) -> String {
        format!(
            "### This is the YAML form of {}.\n### Lines that begin with ### are ignored.\n### Leave it as it is to change nothing.\n{}",
            self.title,
            crate::output::document(editable)
        )
    }
}

/// Runs `edit` on the object at `path`; the id of the operation that this began, where it did.
pub(crate) async fn edit(
    ctx: &Context,
    remote: &Remote,
    path: &ApiPath,
    document: &Document,
) -> Result<Option<String>> {
    let keys = if ctx.official { Keys::Lenient } else { Keys::Strict };
    if !std::io::stdin().is_terminal() {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map_err(Error::io("cannot read standard input"))?;
        let body = (document.read)(&text, keys).map_err(|e| Error::Usage(format!("Config parsing error: {e}")))?;
        return Ok(remote.put(path, &body, None).await?.operation);
    }
    let object = remote.fetch(path).await?;
    let before = document.editable(&object.metadata);
    let unchanged = (document.read)(&crate::output::document(&before), Keys::Lenient).ok();
    let mut text = document.text(&before);
    loop {
        text = in_editor(&text)?;
        let failure = match (document.read)(&text, keys) {
            Ok(body) if Some(&body) == unchanged.as_ref() => {
                eprintln!("Nothing changed");
                return Ok(None);
            }
            Ok(body) => {
                match put_unless_changed(remote, path, document, &before, &body, object.etag.as_deref()).await {
                    Ok(operation) => return Ok(operation),
                    Err(error @ Error::Conflict(_)) => {
                        let kept = keep(&text)?;
                        eprintln!("Somebody changed {} meanwhile; your text is kept in {kept}", document.title);
                        return Err(error);
                    }
                    Err(error) => error.to_string(),
                }
            }
            Err(error) => error,
        };
        eprintln!("Config parsing error: {failure}");
        eprintln!("Press enter to open the editor again or ctrl+c to give up");
        if read_line()?.is_empty() {
            return Err(Error::Failed(failure));
        }
    }
}

/// Sends a body unless the editable part changed meanwhile. The entity tag covers more than that (a server's is
/// another one after every poll), so a refusal is looked into before it counts.
async fn put_unless_changed(
    remote: &Remote,
    path: &ApiPath,
    document: &Document,
    before: &Value,
    body: &Value,
    etag: Option<&str>,
) -> Result<Option<String>> {
    let refusal = match remote.put(path, body, etag).await {
        Err(error @ Error::Conflict(_)) if etag.is_some() => error,
        other => return other.map(|reply| reply.operation),
    };
    let now = remote.fetch(path).await?;
    if document.editable(&now.metadata) != *before {
        return Err(refusal);
    }
    remote.put(path, body, now.etag.as_deref()).await.map(|reply| reply.operation)
}

fn scratch() -> Result<tempfile::NamedTempFile> {
    tempfile::Builder::new()
        .prefix("muster-edit-")
        .suffix(".yaml")
        .tempfile()
        .map_err(Error::io("cannot make a temporary file"))
}

/// Saves a text that could not be sent, and says where.
fn keep(text: &str) -> Result<String> {
    let failed = "cannot keep the text";
    let mut file = scratch()?;
    file.write_all(text.as_bytes()).map_err(Error::io(failed))?;
    let (_, path) = file.keep().map_err(|e| Error::io(failed)(e.error))?;
    Ok(path.display().to_string())
}

/// Lets the user change a text in a private temporary file.
fn in_editor(text: &str) -> Result<String> {
    let mut file = scratch()?;
    file.write_all(text.as_bytes()).and_then(|()| file.flush()).map_err(Error::io("cannot write a temporary file"))?;
    let words = editor()?;
    let status = Command::new(&words[0])
        .args(&words[1..])
        .arg(file.path())
        .status()
        .map_err(Error::io(format!("cannot start the editor {}", words[0])))?;
    if !status.success() {
        return Err(Error::Failed(format!("the editor {} ended with {status}", words[0])));
    }
    std::fs::read_to_string(file.path()).map_err(Error::io("cannot read the edited text"))
}

/// `$VISUAL`, `$EDITOR`, else the first installed of the usual ones.
fn editor() -> Result<Vec<String>> {
    for name in ["VISUAL", "EDITOR"] {
        let words = std::env::var(name).map(|text| split_words(&text)).unwrap_or_default();
        if !words.is_empty() {
            return Ok(words);
        }
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    ["editor", "vi", "emacs", "nano"]
        .into_iter()
        .find(|name| std::env::split_paths(&path).any(|dir| dir.join(name).is_file()))
        .map(|name| vec![name.to_owned()])
        .ok_or_else(|| Error::Failed("no editor found: set EDITOR".into()))
}

/// Splits as a shell does: blanks separate, quotes and backslashes protect.
fn split_words(text: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None::<char>);
    let mut letters = text.chars();
    while let Some(c) = letters.next() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None | Some('"'), '\\') => word.get_or_insert_default().extend(letters.next()),
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use muster_api::provisioning::server::ServerPut;
    use muster_api::system::SystemSecurity;
    use serde_json::json;

    #[test]
    fn typed_documents_take_what_the_server_takes() {
        let body = read_as::<ServerPut>(
            "channel: stable\ndescription: 12\nproperties:\n  rack: 7\nbmc_config: null\n",
            Keys::Strict,
        )
        .unwrap();
        assert_eq!(body["description"], "12");
        assert_eq!(body["properties"], json!({"rack": "7"}));
        assert_eq!(body["bmc_config"]["endpoint"], "");
    }

    #[test]
    fn unknown_keys_are_refused_with_the_known_ones_at_any_depth() {
        let error = read_as::<ServerPut>("chanel: stable\n", Keys::Strict).unwrap_err();
        assert!(error.contains("\"chanel\"") && error.contains("channel"), "{error}");
        let error = read_as::<SystemSecurity>("oidc:\n  isuer: x\n", Keys::Strict).unwrap_err();
        assert!(error.contains("\"oidc.isuer\"") && error.contains("issuer"), "{error}");
        assert!(read_as::<ServerPut>("chanel: stable\n", Keys::Lenient).is_ok());
    }

    #[test]
    fn what_is_no_map_is_refused() {
        for bad in ["", "- a\n", "text\n", "a: [\n"] {
            assert!(read_as::<ServerPut>(bad, Keys::Lenient).is_err(), "{bad:?}");
            assert!(read_free(bad, Keys::Lenient).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_shown_text_reads_back_to_what_it_was() {
        let document = Document {
            title: "server m1".into(),
            keys: &["channel", "properties", "bmc_config"],
            read: read_as::<ServerPut>,
            open: open_whole,
        };
        let object = json!({"name": "m1", "properties": {"rack": "7"}, "channel": "stable", "bmc_config": {"certificate": "a\nb\n"}});
        let editable = document.editable(&object);
        assert_eq!(editable.as_object().unwrap().keys().collect::<Vec<_>>(), ["channel", "properties", "bmc_config"]);
        let body = (document.read)(&document.text(&editable), Keys::Strict).unwrap();
        assert_eq!(body["properties"], json!({"rack": "7"}));
        assert_eq!(body["bmc_config"]["certificate"], "a\nb\n");
    }

    #[test]
    fn editor_words() {
        assert_eq!(split_words("code --wait"), ["code", "--wait"]);
        assert_eq!(split_words(r#" "/opt/my editor" -a\ b '' "#), ["/opt/my editor", "-a b", ""]);
        assert!(split_words("  ").is_empty());
    }
}
