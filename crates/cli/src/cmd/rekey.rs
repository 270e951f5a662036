//! `admin key` and `admin rekey`: the key that the center's secrets are sealed with.

use super::{items, labelled};
use crate::context::{Context, Loss};
use crate::error::Result;
use crate::output::{ShowFormat, show};
use crate::remote::{ApiPath, Remote};
use crate::text::field;
use serde_json::Value;
use std::io::IsTerminal;
use std::time::Duration;

/// Time between two looks at how far the change is.
const LOOK: Duration = Duration::from_secs(1);

fn path() -> ApiPath {
    ApiPath::of(&["system", "key"])
}

/// Shows it.
pub(crate) async fn show_key(ctx: &Context, format: ShowFormat) -> Result {
    let raw = ctx.remote()?.get(&path()).await?;
    ctx.print(&show(format, &raw, || human(&raw)));
    Ok(())
}

/// Changes it.
pub(crate) async fn change(ctx: &Context, yes: bool, format: ShowFormat) -> Result {
    let remote = ctx.remote()?;
    if ctx.must_confirm(yes) {
        ctx.confirm(&loss(&remote.get(&path()).await?))?;
    }
    let asked = ApiPath::of(&["system", "key", ":rekey"]);
    let mut call = std::pin::pin!(remote.post(&asked, None));
    let mut said = String::new();
    let raw = loop {
        tokio::select! {
            reply = &mut call => break reply?.metadata,
            () = tokio::time::sleep(LOOK), if std::io::stderr().is_terminal() => tell(&remote, &mut said).await,
        }
    };
    ctx.print(&show(format, &raw, || {
        let key = |name| field(&raw, name);
        format!(
            "The key is {} now, {} secrets are sealed with it (before: {})\n",
            key("id"),
            key("sealed"),
            key("former")
        )
    }));
    Ok(())
}

/// Says how far it is, if that has changed. The change does not depend on it.
async fn tell(remote: &Remote, said: &mut String) {
    let Ok(raw) = remote.get(&path()).await else { return };
    if let Some(now) = progress(&raw["change"])
        && now != *said
    {
        eprintln!("{now}");
        *said = now;
    }
}

fn progress(change: &Value) -> Option<String> {
    let waits_for: Vec<&str> = items(&change["waits_for"]).iter().filter_map(Value::as_str).collect();
    match change {
        Value::Null => None,
        _ if !waits_for.is_empty() => Some(format!("Waiting for the daemon on {}", waits_for.join(", "))),
        _ => Some(format!("{} of {} secrets sealed anew", field(change, "sealed"), field(change, "total"))),
    }
}

fn loss(raw: &Value) -> Loss {
    let (id, path) = (field(raw, "id"), field(raw, "path"));
    let keep = match path.as_str() {
        "" => "keep it with them".to_owned(),
        path => format!("copy {path} first, and keep it with them"),
    };
    Loss {
        action: "change the key that the center's secrets are sealed with".to_owned(),
        lost: vec![format!("the former key {id}: backups of the database made until now need it; {keep}")],
    }
}

fn human(raw: &Value) -> String {
    let keys = |list: &Value| items(list).iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", ");
    let lines = [
        ("Key", field(raw, "id")),
        ("Origin", field(raw, "origin")),
        ("File", field(raw, "path")),
        ("Keys At Hand", keys(&raw["keys"])),
        ("Change", progress(&raw["change"]).unwrap_or_default()),
    ];
    let daemons = items(&raw["daemons"]).iter().map(|daemon| {
        let this = if daemon["this"] == true { " (this one)" } else { "" };
        format!("- {} {}: {}{this}\n", field(daemon, "host"), field(daemon, "id"), keys(&daemon["keys"]))
    });
    let daemons: String = daemons.collect();
    let title = if daemons.is_empty() { "" } else { "Daemons:\n" };
    format!("{}{title}{daemons}", labelled(&lines))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_lost_names_the_key_and_its_file() {
        let loss = super::loss(&json!({"id": "ab12", "origin": "file", "path": "/var/lib/x/muster.key"}));
        assert!(loss.lost[0].contains("ab12") && loss.lost[0].contains("copy /var/lib/x/muster.key"), "{loss:?}");
        let given = super::loss(&json!({"id": "ab12", "origin": "environment", "path": ""}));
        assert!(given.lost[0].ends_with("keep it with them"), "{given:?}");
    }

    #[test]
    fn progress_and_daemons_as_text() {
        assert_eq!(progress(&Value::Null), None);
        let waiting = json!({"next": "n", "waits_for": ["h1", "h2"], "sealed": 0, "total": 0});
        assert_eq!(progress(&waiting).unwrap(), "Waiting for the daemon on h1, h2");
        let sealing = json!({"next": "n", "waits_for": [], "sealed": 3, "total": 9});
        assert_eq!(progress(&sealing).unwrap(), "3 of 9 secrets sealed anew");
        let raw = json!({"id": "a", "origin": "file", "path": "/k", "keys": ["a", "b"], "change": null,
            "daemons": [{"id": "1", "host": "h1", "keys": ["a"], "this": true}]});
        assert_eq!(
            human(&raw),
            "Key: a\nOrigin: file\nFile: /k\nKeys At Hand: a, b\nChange: \nDaemons:\n- h1 1: a (this one)\n"
        );
    }
}
