//! `provisioning token seed` (cli.md 7.7).

use super::items;
use crate::args::{ListArgs, ShowArgs, YesArgs};
use crate::context::{Context, Loss, read_file};
use crate::edit::{Document, Keys, edit, open_whole};
use crate::error::{Error, Result};
use crate::names;
use crate::output::{List, Order, show, yaml_block};
use crate::remote::{ApiPath, Remote};
use crate::text::{field, time_field};
use clap::{Subcommand, ValueHint};
use clap_complete::engine::ArgValueCandidates;
use serde_json::{Value, json};

/// The documents of a seed; others belong to the server.
const DOCUMENTS: [&str; 5] = ["applications", "install", "migration_manager", "network", "operations_center"];

/// `provisioning token seed`.
#[derive(Debug, Subcommand)]
pub(crate) enum Seed {
    /// List the seeds of a token
    #[command(visible_alias = "ls")]
    List {
        /// UUID of the token
        #[arg(add = ArgValueCandidates::new(names::tokens))]
        uuid: String,
        /// Format.
        #[command(flatten)]
        list: ListArgs,
    },
    /// Show a seed
    Show {
        /// UUID of the token
        #[arg(add = ArgValueCandidates::new(names::tokens))]
        uuid: String,
        /// Name of the seed
        #[arg(add = ArgValueCandidates::new(names::seeds))]
        name: String,
        /// Format.
        #[command(flatten)]
        show: ShowArgs,
    },
    /// Add a seed
    Add {
        /// UUID of the token
        #[arg(add = ArgValueCandidates::new(names::tokens))]
        uuid: String,
        /// Name of the seed
        name: String,
        /// YAML file with the seeds, - for standard input
        #[arg(value_hint = ValueHint::FilePath)]
        file: String,
        /// Whether images may be fetched with it without logging in
        #[arg(long)]
        public: bool,
        /// What it is for
        #[arg(long, default_value = "", hide_default_value = true)]
        description: String,
        /// Format.
        #[command(flatten)]
        show: ShowArgs,
    },
    /// Edit a seed as YAML
    Edit {
        /// UUID of the token
        #[arg(add = ArgValueCandidates::new(names::tokens))]
        uuid: String,
        /// Name of the seed
        #[arg(add = ArgValueCandidates::new(names::seeds))]
        name: String,
    },
    /// Remove a seed
    #[command(visible_alias = "rm")]
    Remove {
        /// UUID of the token
        #[arg(add = ArgValueCandidates::new(names::tokens))]
        uuid: String,
        /// Name of the seed
        #[arg(add = ArgValueCandidates::new(names::seeds))]
        name: String,
        /// Consent.
        #[command(flatten)]
        yes: YesArgs,
    },
}

/// The seeds of a token.
pub(crate) fn collection(uuid: &str) -> ApiPath {
    ApiPath::of(&["provisioning", "tokens", uuid, "seeds"])
}

fn path(uuid: &str, name: &str) -> ApiPath {
    ApiPath::of(&["provisioning", "tokens", uuid, "seeds", name])
}

/// Runs it.
pub(crate) async fn run(ctx: &Context, remote: &Remote, command: Seed) -> Result {
    match command {
        Seed::List { uuid, list } => {
            let raw = remote.get(&collection(&uuid).recursive()).await?;
            ctx.print(&rows(&raw).render(list.format));
        }
        Seed::Show { uuid, name, show: args } => {
            let raw = remote.get(&path(&uuid, &name)).await?;
            ctx.print(&show(args.format, &raw, || human(&raw)));
        }
        Seed::Add { uuid, name, file, public, description, show } => {
            let seeds = documents(&read_file(&file)?).map_err(|e| Error::Usage(format!("{file}: {e}")))?;
            let body = json!({"name": name, "description": description, "public": public, "seeds": seeds});
            remote.post(&collection(&uuid), Some(&body)).await?;
            ctx.created(show.format, "name", &name);
        }
        Seed::Edit { uuid, name } => {
            let document = Document {
                title: format!("seed {name} of token {uuid}"),
                keys: &["description", "public", "seeds"],
                read: read_seed,
                open: open_whole,
            };
            edit(ctx, remote, &path(&uuid, &name), &document).await?;
        }
        Seed::Remove { uuid, name, yes } => {
            if ctx.must_confirm(yes.yes) {
                let seed = remote.get(&path(&uuid, &name)).await?;
                let lost = format!("its documents and its description {:?}", field(&seed, "description"));
                let action = format!("remove seed {name} of token {uuid}");
                ctx.confirm(&Loss { action, lost: vec![lost] })?;
            }
            remote.delete(&path(&uuid, &name)).await?;
        }
    }
    Ok(())
}

/// The documents of a seed file. The center checks their content; the names are checked here.
fn documents(text: &str) -> Result<Value, String> {
    checked(crate::yaml::parse(text)?, &DOCUMENTS)
}

/// The body of an edited seed; unknown keys are always refused (cli.md 3).
fn read_seed(text: &str, _keys: Keys) -> Result<Value, String> {
    let mut body = checked(crate::yaml::parse(text)?, &["description", "public", "seeds"])?;
    if let Some(seeds) = body.get_mut("seeds") {
        *seeds = checked(seeds.take(), &DOCUMENTS)?;
    }
    Ok(body)
}

fn checked(mut document: Value, known: &[&str]) -> Result<Value, String> {
    let Some(map) = document.as_object_mut() else { return Err("the document must be a map of keys".into()) };
    if let Some(key) = map.keys().find(|key| !known.contains(&key.as_str())) {
        return Err(format!("unknown key {key:?}; known are: {}", known.join(", ")));
    }
    for member in map.values_mut().filter_map(Value::as_object_mut) {
        // A version without quotes reads as a number; on the wire it is text.
        if let Some(version @ Value::Number(_)) = member.get_mut("version") {
            *version = Value::String(version.to_string());
        }
    }
    Ok(document)
}

fn rows(raw: &Value) -> List<'_> {
    let cells = |o: &Value| {
        let mut cells: Vec<String> =
            ["token_uuid", "name", "public", "description"].iter().map(|key| field(o, key)).collect();
        cells.push(time_field(o, "last_updated"));
        cells
    };
    List {
        titles: &["Token", "Name", "Public", "Description", "Last Updated"],
        rows: items(raw).iter().map(cells).collect(),
        raw,
        order: Order::By(&[0, 1]),
    }
}

fn human(raw: &Value) -> String {
    format!(
        "Token : {}\nName: {}\nPublic: {}\nDescription: {}\nLast updated: {}\n{}",
        field(raw, "token_uuid"),
        field(raw, "name"),
        field(raw, "public"),
        field(raw, "description"),
        time_field(raw, "last_updated"),
        yaml_block("Seeds", &raw["seeds"])
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn list_and_show_as_recorded() {
        let seed = json!({"description": "d", "public": true, "seeds": {
            "applications": {"version": "1", "applications": [{"name": "incus"}]},
            "install": {"version": "", "force_install": true, "force_reboot": false, "target": null},
            "migration_manager": {"version": "", "apply_defaults": false, "preseed": null}, "network": {"version": ""},
            "operations_center": {"version": "", "apply_defaults": false, "preseed": null}},
            "name": "base", "token_uuid": "u", "last_updated": "2026-08-20T19:58:04Z"});
        assert_eq!(
            human(&seed),
            "Token : u\nName: base\nPublic: true\nDescription: d\nLast updated: 2026-08-20 19:58:04 +0000 UTC\nSeeds:\n    applications:\n        version: \"1\"\n        applications:\n            - name: incus\n    install:\n        version: \"\"\n        force_install: true\n        force_reboot: false\n        target: null\n    migration_manager:\n        version: \"\"\n        apply_defaults: false\n        preseed: null\n    network:\n        version: \"\"\n    operations_center:\n        version: \"\"\n        apply_defaults: false\n        preseed: null\n    \n"
        );
        assert_eq!(
            rows(&json!([seed])).render("csv".parse().unwrap()),
            "u,base,true,d,2026-08-20 19:58:04 +0000 UTC\n"
        );
    }

    #[test]
    fn seed_files() {
        let seeds = documents("applications:\n  version: 1\n  applications:\n  - name: incus\n").unwrap();
        assert_eq!(seeds["applications"]["version"], "1");
        assert!(documents("incus: {}\n").unwrap_err().contains("\"incus\""));
        assert!(documents("").is_err());
        assert!(read_seed("name: x\n", Keys::Lenient).is_err());
        assert!(read_seed("public: true\nseeds:\n  update: {}\n", Keys::Lenient).is_err());
        assert_eq!(read_seed("public: true\n", Keys::Strict).unwrap(), json!({"public": true}));
    }
}
