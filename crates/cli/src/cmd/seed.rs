//! `provisioning token seed` (cli.md 7.7).

use super::items;
use crate::args::{ListArgs, ShowArgs, YesArgs};
use crate::context::{Context, Loss, read_file};
use crate::edit::{Document, Keys, edit, open_whole};
use crate::error::{Error, Result};
use crate::image::Target;
use crate::names;
use crate::output::{List, Order, show, yaml_block};
use crate::remote::{ApiPath, Remote};
use crate::text::{field, time_field};
use clap::{Args, Subcommand, ValueHint};
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
    /// Load an installation image with a seed; what broke off goes on in the next run
    GetImage {
        /// UUID of the token
        #[arg(add = ArgValueCandidates::new(names::tokens))]
        uuid: String,
        /// Name of the seed
        #[arg(add = ArgValueCandidates::new(names::seeds))]
        name: String,
        /// File to write, unpacked unless it ends in .gz; - for standard output. Not given with --write-to
        #[arg(value_hint = ValueHint::FilePath)]
        target: Option<String>,
        /// Channel whose newest update the image is of [default: the token's]
        #[arg(long, add = ArgValueCandidates::new(names::channels))]
        channel: Option<String>,
        /// Which image, and whether to a disk.
        #[command(flatten)]
        image: ImageArgs,
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

/// There is one target.
pub(crate) const BOTH: &str = "Give a target or --write-to, not both";

/// Which image, and where to.
#[derive(Debug, Args)]
pub(crate) struct ImageArgs {
    /// Type of the image (iso|raw) [default: iso, raw with --write-to]
    #[arg(long = "type", value_name = "TYPE", value_parser = ["iso", "raw"])]
    kind: Option<String>,
    /// Architecture of the servers (x86_64|aarch64)
    #[arg(long, default_value = "x86_64", value_parser = ["x86_64", "aarch64"])]
    pub(crate) architecture: String,
    /// Write the image to a whole disk, such as /dev/sdb, and overwrite what is there
    #[arg(long, value_name = "DISK", value_hint = ValueHint::FilePath)]
    pub(crate) write_to: Option<String>,
    /// Consent.
    #[command(flatten)]
    yes: YesArgs,
}

impl ImageArgs {
    /// `iso` or `raw`.
    pub(crate) fn kind(&self) -> &str {
        let usual = if self.write_to.is_some() { "raw" } else { "iso" };
        self.kind.as_deref().unwrap_or(usual)
    }

    /// Where to, which is asked before anything is loaded.
    pub(crate) fn target(&self, ctx: &Context, file: Option<&str>) -> Result<Target> {
        match (&self.write_to, file) {
            (Some(disk), None) => Target::disk(ctx, disk, self.yes.yes),
            (None, Some(file)) => Target::file(file),
            (Some(_), Some(_)) => Err(Error::Usage(BOTH.into())),
            (None, None) => Err(Error::Usage("Give a file to write, or a disk by --write-to".into())),
        }
    }
}

/// What runs on a machine for itself; it runs one of these.
const PRIMARY: [&str; 2] = ["incus", "migration-manager"];

/// The document that names these applications; none for none.
pub(crate) fn applications(names: &[String]) -> Result<Option<Value>> {
    if names.is_empty() {
        return Ok(None);
    }
    if names.iter().any(|name| name == "operations-center") {
        return Err(Error::Usage("an operations center is not installed by another one".into()));
    }
    if names.iter().filter(|name| PRIMARY.contains(&name.as_str())).count() != 1 {
        let text = format!("--application has to name exactly one of {}", PRIMARY.join(", "));
        return Err(Error::Usage(text));
    }
    let list: Vec<Value> = names.iter().map(|name| json!({"name": name})).collect();
    Ok(Some(json!({"version": "1", "applications": list})))
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
        Seed::GetImage { uuid, name, target, channel, image } => {
            let to = image.target(ctx, target.as_deref())?;
            let path = path(&uuid, &name)
                .query("type", image.kind())
                .query("architecture", &image.architecture)
                .maybe("channel", channel.as_deref());
            crate::image::get(ctx, remote, path.as_str(), to).await?;
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
pub(crate) fn documents(text: &str) -> Result<Value, String> {
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
    fn one_application_is_the_main_one() {
        let named = |names: &[&str]| applications(&names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>());
        assert_eq!(named(&[]).unwrap(), None);
        let list = named(&["incus", "incus-ceph"]).unwrap().unwrap();
        assert_eq!(list, json!({"version": "1", "applications": [{"name": "incus"}, {"name": "incus-ceph"}]}));
        for wrong in [&["incus-ceph"][..], &["incus", "migration-manager"], &["incus", "operations-center"]] {
            assert!(matches!(named(wrong), Err(Error::Usage(_))), "{wrong:?}");
        }
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
