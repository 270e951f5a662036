//! `audit`: who did what.

use super::{audit_check, items};
use crate::args::{ListArgs, ShowArgs};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::output::{List, Order, ShowFormat, json, show};
use crate::remote::{ApiPath, Remote};
use crate::text::{field, time_field};
use clap::Subcommand;
use muster_api::audit::AuditHead;
use serde_json::{Value, json};
use std::io::{BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Entries asked for at once: for a list, and for an export.
const PAGE: u32 = 1000;
const EXPORTED: u32 = 10_000;

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
    /// Check that nothing was taken out of the audit trail or changed in it, and that machines are where it leads
    Verify {
        /// A head that was stored earlier: the trail has to lead through it
        #[arg(long, value_name = "FILE")]
        head: Option<PathBuf>,
        /// Fingerprint of the certificate that has to have signed the head: your site's
        #[arg(long, value_name = "FINGERPRINT", requires = "head")]
        signer: Option<String>,
        /// Check an export instead of a center's trail; no center is asked
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
        /// Format.
        #[command(flatten)]
        show: ShowArgs,
    },
    /// Print the end of the trail, signed by the site, as JSON: keep it elsewhere, and give it to verify later
    Head,
    /// Write the trail to a new file, an entry on each line as JSON: verify --file checks it without a center
    Export {
        /// The file
        file: PathBuf,
    },
}

/// Runs it.
pub(crate) async fn run(ctx: &Context, command: Audit) -> Result {
    match command {
        Audit::List { limit, after, list } => {
            let raw = Value::Array(entries(&ctx.remote()?, limit, after).await?);
            ctx.print(&rows(&raw).render(list.format));
        }
        Audit::Verify { head, signer, file: Some(file), .. } => {
            let head = head.map(|path| audit_check::read_head(&path, signer.as_deref())).transpose()?;
            let count = audit_check::check_file(&file, head.as_ref())?;
            ctx.print(&format!("Intact: {count} entries\n"));
            said(ctx, head.as_ref());
        }
        Audit::Verify { head, signer, file: None, show: args } => {
            let head = head.map(|path| audit_check::read_head(&path, signer.as_deref())).transpose()?;
            let body = head.as_ref().map(|head| json!({"head": head}));
            let raw = ctx.remote()?.post(&ApiPath::of(&["audit", ":verify"]), body.as_ref()).await?.metadata;
            let verdict = audit_check::verdict(&raw);
            if verdict.is_ok() || args.format != ShowFormat::Human {
                ctx.print(&show(args.format, &raw, || {
                    // A center of before does not compare machines.
                    let machines = match field(&raw, "machines") {
                        machines if machines.is_empty() => machines,
                        machines => format!("; {machines} machines are where they lead"),
                    };
                    format!("Intact: {} entries{machines}\n", field(&raw, "entries"))
                }));
            }
            verdict?;
            said(ctx, head.as_ref());
        }
        Audit::Head => ctx.print(&json(&ctx.remote()?.get(&ApiPath::of(&["audit", "head"])).await?)),
        Audit::Export { file } => {
            let count = export(&ctx.remote()?, &file).await?;
            ctx.print(&format!("Wrote {count} entries to {}\n", file.display()));
        }
    }
    Ok(())
}

/// Who signed the head: that it is the site is for the reader to know.
fn said(ctx: &Context, head: Option<&AuditHead>) {
    if let Some(head) = head {
        let signer = audit_check::signer(head);
        ctx.print(&format!("Leads through entry {}, signed at {} by certificate {signer}\n", head.seq, head.at));
    }
}

/// Writes all entries, page by page.
async fn export(remote: &Remote, path: &Path) -> Result<u64> {
    let failed = || Error::io(format!("cannot write {}", path.display()));
    let mut file = std::fs::OpenOptions::new();
    let file = file.write(true).create_new(true).mode(0o600).open(path).map_err(failed())?;
    let (mut file, mut cursor, mut count) = (BufWriter::new(file), 0, 0);
    loop {
        let page = page(remote, cursor, EXPORTED).await?;
        for entry in items(&page) {
            serde_json::to_writer(&mut file, entry).map_err(|error| failed()(error.into()))?;
            file.write_all(b"\n").map_err(failed())?;
            count += 1;
        }
        match items(&page).last().and_then(|entry| entry["seq"].as_i64()).filter(|seq| *seq > cursor) {
            Some(seq) => cursor = seq,
            None => break,
        }
    }
    let file = file.into_inner().map_err(|error| failed()(error.into_error()))?;
    file.sync_all().map_err(failed())?;
    Ok(count)
}

async fn page(remote: &Remote, cursor: i64, limit: u32) -> Result<Value> {
    let path = ApiPath::of(&["audit"]).query("cursor", &cursor.to_string()).query("limit", &limit.to_string());
    remote.get(&path).await
}

/// Up to `limit` entries, page by page.
async fn entries(remote: &Remote, limit: u32, after: i64) -> Result<Vec<Value>> {
    let (mut all, mut left, mut cursor) = (Vec::new(), limit, after);
    while left > 0 {
        let wanted = left.min(PAGE);
        let page = page(remote, cursor, wanted).await?;
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
}
