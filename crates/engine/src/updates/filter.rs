//! Which updates of a source are taken, and which of their files (`updates-and-system.md` 12). The names are those of the
//! reference, its spelling of records in a list included.

use crate::Error;
use muster_domain::update::{
    index::{File, Published},
    select::Offered,
};
use muster_expr::{Program, Schema, StructType, Type};
use serde_json::json;

/// The two filters of the settings; an empty text lets everything pass.
#[derive(Debug, Clone, Default)]
pub(crate) struct Filters {
    updates: Option<Program>,
    files: Option<Program>,
}

impl Filters {
    /// Compiles both.
    ///
    /// # Errors
    /// [`Error::Invalid`] that points at the place, in the words of the reference.
    pub(crate) fn compile(updates: &str, files: &str) -> Result<Self, Error> {
        let compile = |what: &str, text: &str, schema: fn() -> Schema| match text {
            "" => Ok(None),
            text => muster_expr::compile(text, &schema()).map(Some).map_err(|error| {
                Error::Invalid(format!("Invalid config, failed to compile {what} expression: {error}"))
            }),
        };
        Ok(Self {
            updates: compile("filter", updates, update_schema)?,
            files: compile("file filter", files, file_schema)?,
        })
    }

    /// Judges an index: updates that do not pass stay in it, files that do not pass go.
    ///
    /// # Errors
    /// [`Error::Invalid`] for an expression that fails on an update or file.
    pub(crate) fn judge(&self, index: Vec<Published>, now: jiff::Timestamp) -> Result<Vec<Offered>, Error> {
        index.into_iter().map(|update| self.offered(update, now)).collect()
    }

    fn offered(&self, mut update: Published, now: jiff::Timestamp) -> Result<Offered, Error> {
        let failed = |what: &str, version: &str, error: muster_expr::EvalError| {
            Error::Invalid(format!("Failed to execute {what} expression on update {version:?}: {error}"))
        };
        let passes = match &self.updates {
            None => true,
            Some(program) => {
                program.matches(&update_row(&update), now).map_err(|e| failed("filter", &update.version, e))?
            }
        };
        if let Some(program) = &self.files {
            let mut kept = Vec::new();
            for file in std::mem::take(&mut update.files) {
                let row = json!({
                    "file_name": file.filename, "size": file.size, "sha256": file.sha256, "component": file.component,
                    "type": file.kind, "architecture": file.architecture,
                });
                if program.matches(&row, now).map_err(|e| failed("file filter", &update.version, e))? {
                    kept.push(file);
                }
            }
            update.files = kept;
        }
        Ok(Offered { update, passes })
    }
}

fn update_row(update: &Published) -> serde_json::Value {
    let file = |file: &File| {
        json!({
            "Filename": file.filename, "Size": file.size, "Sha256": file.sha256, "Component": file.component,
            "Type": file.kind, "Architecture": file.architecture,
        })
    };
    json!({
        "uuid": update.source_id(), "format": muster_domain::update::index::FORMAT, "origin": update.origin,
        "version": update.version, "published_at": update.published_at.as_str(), "severity": update.severity.as_str(),
        "channels": [], "upstream_channels": update.channels, "files": update.files.iter().map(file).collect::<Vec<_>>(),
        "url": update.url, "status": "unknown", "last_updated": "0001-01-01T00:00:00Z",
    })
}

fn update_schema() -> Schema {
    let file = StructType::new("provisioning.UpdateFile")
        .field("Filename", Type::Str)
        .field("Size", Type::Int)
        .field("Sha256", Type::Str)
        .field("Component", Type::Str.named("images.UpdateFileComponent"))
        .field("Type", Type::Str.named("images.UpdateFileType"))
        .field("Architecture", Type::Str.named("images.UpdateFileArchitecture"));
    Schema::new()
        .field("uuid", Type::Uuid)
        .field("format", Type::Str)
        .field("origin", Type::Str)
        .field("version", Type::Str)
        .field("published_at", Type::Time)
        .field("severity", Type::Str.named("images.UpdateSeverity"))
        .field("channels", Type::Str.list())
        .field("upstream_channels", Type::Str.list())
        .field("files", file.into_type().list())
        .field("url", Type::Str)
        .field("status", Type::Str.named("api.UpdateStatus"))
        .field("last_updated", Type::Time)
}

fn file_schema() -> Schema {
    ["file_name", "sha256", "component", "type", "architecture"]
        .into_iter()
        .fold(Schema::new(), |schema, name| schema.field(name, Type::Str))
        .field("size", Type::Int)
        .function("applies_to_architecture", applies_to_architecture)
}

/// Whether a file is for one of these architectures, or for all.
fn applies_to_architecture(arguments: &[&str]) -> Result<bool, String> {
    match arguments {
        [architecture, wanted @ ..] if !wanted.is_empty() => {
            Ok(architecture.is_empty() || wanted.contains(architecture))
        }
        _ => Err("applies_to_architecture needs an architecture and at least one that is wanted".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use muster_domain::update::index;

    fn published() -> Vec<Published> {
        let digest = "ab".repeat(32);
        let file = |name: &str, component: &str, kind: &str, architecture: &str| json!({"filename": name, "size": 20, "sha256": digest, "component": component, "type": kind, "architecture": architecture});
        let update = json!({
            "version": "202511010000", "origin": "here.test", "published_at": "2025-11-01T10:00:00Z", "severity": "low",
            "channels": ["stable"], "url": "/202511010000",
            "files": [file("x86_64/a.gz", "os", "update-efi", "x86_64"), file("aarch64/a.gz", "os", "update-efi", "aarch64"), file("b.gz", "incus", "application", "")],
        });
        let text = json!({"format": "1.0", "updates": [update]}).to_string();
        index::index(text.as_bytes()).unwrap()
    }

    fn run(updates: &str, files: &str) -> Result<Vec<Offered>, Error> {
        Filters::compile(updates, files)?.judge(published(), jiff::Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn updates_and_files_are_chosen_by_the_names_of_the_reference() {
        for (text, passes) in [
            ("", true),
            (r#""stable" in upstream_channels"#, true),
            (r#""daily" in upstream_channels"#, false),
            (r#"severity == "low""#, true),
            (r#"version > "202511030000""#, false),
            (r#"origin == "here.test" and len(files) > 2"#, true),
            (r#"any(files, .Component == "os")"#, true),
            (r#"published_at > date("2025-01-01")"#, true),
            ("toFloat64(1) > 0", true),
            (r#"status == "unknown" and len(channels) == 0"#, true),
        ] {
            assert_eq!(run(text, "").unwrap()[0].passes, passes, "{text}");
        }
        for (text, left) in [
            ("", 3),
            (r#"applies_to_architecture(architecture, "x86_64")"#, 2),
            (r#"applies_to_architecture(architecture, "x86_64", "aarch64")"#, 3),
            (r#"component == "os""#, 2),
            ("size > 20", 0),
            (r#"type in ["application"]"#, 1),
            (r#"file_name endsWith ".gz" and sha256 != """#, 3),
        ] {
            assert_eq!(run("", text).unwrap()[0].update.files.len(), left, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_a_filter_is_refused_when_it_is_set() {
        for bad in [r#"severity in ["low"]"#, "colour", "version", "(", r#"uuid == "x""#] {
            let text = Filters::compile(bad, "").unwrap_err().to_string();
            assert!(text.contains("failed to compile filter expression"), "{bad}: {text}");
        }
        for bad in [r#"filename == "x""#, "component", "1"] {
            let text = Filters::compile("", bad).unwrap_err().to_string();
            assert!(text.contains("failed to compile file filter expression"), "{bad}: {text}");
        }
        // One that compiles may fail on a file.
        assert!(run("", "applies_to_architecture(architecture)").is_err());
    }
}
