//! `audit`: who did what.

use super::items;
use crate::args::{ListArgs, ShowArgs};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::output::{List, Order, ShowFormat, show};
use crate::remote::{ApiPath, Remote};
use crate::text::{field, time_field};
use clap::Subcommand;
use serde_json::Value;

/// Entries asked for at once.
const PAGE: u32 = 1000;

/// `audit`.
#[derive(Debug, Subcommand)]
pub(crate) enum Audit {
    /// List the audit trail, oldest first
    #[command(visible_alias = "ls")]
    List {
        /// At most so many entries; all by default
        #[arg(long, default_value_t = u32::MAX, hide_default_value = true)]
        limit: u32,
        /// Only entries after this number
        #[arg(long, default_value_t = 0)]
        after: i64,
        /// Format.
        #[command(flatten)]
        list: ListArgs,
    },
    /// Check that nothing was taken out of the audit trail or changed in it
    Verify {
        /// Format.
        #[command(flatten)]
        show: ShowArgs,
    },
}

/// Runs it.
pub(crate) async fn run(ctx: &Context, command: Audit) -> Result {
    let remote = ctx.remote()?;
    match command {
        Audit::List { limit, after, list } => {
            let raw = Value::Array(entries(&remote, limit, after).await?);
            ctx.print(&rows(&raw).render(list.format));
            Ok(())
        }
        Audit::Verify { show: args } => {
            let raw = remote.post(&ApiPath::of(&["audit", ":verify"]), None).await?.metadata;
            let verdict = verdict(&raw);
            if verdict.is_ok() || args.format != ShowFormat::Human {
                ctx.print(&show(args.format, &raw, || format!("Intact: {} entries\n", field(&raw, "entries"))));
            }
            verdict
        }
    }
}

/// Up to `limit` entries, page by page.
async fn entries(remote: &Remote, limit: u32, after: i64) -> Result<Vec<Value>> {
    let (mut all, mut left, mut cursor) = (Vec::new(), limit, after);
    while left > 0 {
        let wanted = left.min(PAGE);
        let path = ApiPath::of(&["audit"]).query("cursor", &cursor.to_string()).query("limit", &wanted.to_string());
        let page = remote.get(&path).await?;
        let page = items(&page);
        let last = page.last().and_then(|entry| entry["seq"].as_i64()).filter(|seq| *seq > cursor);
        let got = u32::try_from(page.len()).unwrap_or(u32::MAX);
        all.extend_from_slice(page);
        match last {
            Some(seq) if got >= wanted => cursor = seq,
            _ => break,
        }
        left = left.saturating_sub(got);
    }
    Ok(all)
}

/// Sound only if the center says so.
fn verdict(raw: &Value) -> Result {
    match raw.get("intact") {
        Some(Value::Bool(true)) => Ok(()),
        Some(Value::Bool(false)) => Err(Error::Failed(format!(
            "The audit trail is broken at entry {}: it was changed, taken out or put in",
            field(raw, "broken_at")
        ))),
        _ => Err(Error::Server("the answer does not say whether the audit trail is intact".into())),
    }
}

fn rows(raw: &Value) -> List<'_> {
    let cells = |o: &Value| {
        vec![
            field(o, "seq"),
            time_field(o, "at"),
            field(o, "actor"),
            field(o, "action"),
            field(o, "object_kind"),
            field(o, "object"),
            field(o, "from"),
            field(o, "to"),
            field(o, "reason"),
        ]
    };
    List {
        titles: &["Seq", "At", "Actor", "Action", "Object Kind", "Object", "From", "To", "Reason"],
        rows: items(raw).iter().map(cells).collect(),
        raw,
        order: Order::By(&[0]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_trail_in_its_order() {
        let entry = |seq: u32| json!({"seq": seq, "at": "2026-08-20T19:58:04Z", "actor": "unix", "action": "rename", "object_kind": "server", "object": "m1", "from": null, "to": "m2", "reason": ""});
        let raw = json!([entry(10), entry(9)]);
        assert_eq!(
            rows(&raw).render("csv".parse().unwrap()),
            "9,2026-08-20 19:58:04 +0000 UTC,unix,rename,server,m1,,m2,\n10,2026-08-20 19:58:04 +0000 UTC,unix,rename,server,m1,,m2,\n"
        );
    }

    #[test]
    fn a_verdict_is_needed() {
        assert!(verdict(&json!({"intact": true, "entries": 3, "broken_at": null})).is_ok());
        let broken = verdict(&json!({"intact": false, "entries": null, "broken_at": 7})).unwrap_err();
        assert!(broken.to_string().contains("entry 7"), "{broken}");
        assert!(verdict(&json!({})).is_err());
    }
}
