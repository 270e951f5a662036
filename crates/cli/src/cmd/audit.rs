//! `audit`: who did what.

use super::items;
use crate::args::{ListArgs, ShowArgs};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::output::{List, Order, document, show};
use crate::remote::ApiPath;
use crate::text::{field, time_field};
use clap::Subcommand;
use serde_json::Value;

/// `audit`.
#[derive(Debug, Subcommand)]
pub(crate) enum Audit {
    /// List the audit trail
    #[command(visible_alias = "ls")]
    List {
        /// At most so many entries
        #[arg(long)]
        limit: Option<u32>,
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
        Audit::List { limit, list } => {
            let limit = limit.map(|n| n.to_string());
            let path = ApiPath::of(&["audit"]).recursive().maybe("limit", limit.as_deref());
            let raw = remote.get(&path).await?;
            ctx.print(&rows(&raw).render(list.format));
            Ok(())
        }
        Audit::Verify { show: args } => {
            let raw = remote.get(&ApiPath::of(&["audit", ":verify"])).await?;
            ctx.print(&show(args.format, &raw, || document(&raw)));
            verdict(&raw)
        }
    }
}

/// The trail is sound unless the center says otherwise.
fn verdict(raw: &Value) -> Result {
    match raw.get("valid") {
        Some(Value::Bool(true)) => Ok(()),
        Some(Value::Bool(false)) => Err(Error::Failed("The audit trail was tampered with".into())),
        _ => Err(Error::Server("the answer does not say whether the audit trail is valid".into())),
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
        assert!(verdict(&json!({"valid": true, "entries": 3})).is_ok());
        assert!(verdict(&json!({"valid": false})).is_err());
        assert!(verdict(&json!({})).is_err());
    }
}
