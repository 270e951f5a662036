//! Names for completion in a shell, asked from the center while the user types. It never hangs and never complains:
//! without an answer in time there is nothing to offer.

use crate::cmd::items;
use crate::config::ConfigDir;
use crate::context::{connect, local};
use crate::remote::{ApiPath, Remote};
use crate::text::field;
use clap_complete::engine::CompletionCandidate;
use percent_encoding::percent_decode_str;
use serde_json::Value;
use std::time::Duration;

/// A person waits for the key to do something.
const WITHIN: Duration = Duration::from_millis(1500);
/// More operations than anybody reads in a list of candidates.
const OPERATIONS: &str = "50";

type Names = Vec<CompletionCandidate>;

fn name(text: impl Into<String>, help: &str) -> CompletionCandidate {
    let help = Some(help).filter(|help| !help.is_empty()).map(|help| help.to_owned().into());
    CompletionCandidate::new(text.into()).help(help)
}

fn fixed(names: &[&str]) -> Names {
    names.iter().map(|text| name(*text, "")).collect()
}

/// The center in use. Unlike a command, completion makes no identity and says nothing about a broken configuration.
fn center() -> Option<Remote> {
    if std::env::args_os().any(|word| word == "--force-local") {
        return Some(local());
    }
    let dir = ConfigDir::from_env().ok()?;
    let config = dir.load().ok()?;
    match config.remotes.get(&config.default_remote) {
        Some(entry) => connect(entry, &dir.known_identity()?).ok(),
        None => Some(local()),
    }
}

/// The objects of a list; none without an answer in time.
fn list(path: ApiPath) -> Vec<Value> {
    let ask = || {
        let center = center()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
        let answer = runtime.block_on(async { tokio::time::timeout(WITHIN, center.get(&path)).await });
        // A lookup of a host's name may still hang in a thread of its own: it is not waited for.
        runtime.shutdown_background();
        Some(items(&answer.ok()?.ok()?).to_vec())
    };
    ask().unwrap_or_default()
}

/// The last segment of each URL of a collection: cheaper than the objects, which may be large.
fn segments(path: ApiPath) -> Vec<String> {
    let last = |url: &Value| Some(url.as_str()?.rsplit('/').next()?.to_owned());
    let decoded = |text: String| percent_decode_str(&text).decode_utf8_lossy().into_owned();
    list(path).iter().filter_map(last).map(decoded).collect()
}

/// Servers.
pub(crate) fn servers() -> Names {
    segments(ApiPath::of(&["provisioning", "servers"])).into_iter().map(|server| name(server, "")).collect()
}

/// Servers as the `os` commands take them: `m1:`.
pub(crate) fn server_remotes() -> Names {
    let servers = segments(ApiPath::of(&["provisioning", "servers"]));
    servers.into_iter().map(|server| name(format!("{server}:"), "")).collect()
}

/// Channels.
pub(crate) fn channels() -> Names {
    let channels = list(ApiPath::of(&["provisioning", "channels"]).recursive());
    channels.iter().map(|o| name(field(o, "name"), &field(o, "description"))).collect()
}

/// Tokens, with what they are for.
pub(crate) fn tokens() -> Names {
    let tokens = list(ApiPath::of(&["provisioning", "tokens"]).recursive());
    tokens.iter().map(|o| name(field(o, "uuid"), &field(o, "description"))).collect()
}

/// Seeds of the token that stands before on the command line.
pub(crate) fn seeds() -> Names {
    let words = std::env::args().skip_while(|word| word != "--");
    let Some(token) = words.filter(|word| uuid::Uuid::parse_str(word).is_ok()).last() else { return Names::new() };
    let seeds = list(ApiPath::of(&["provisioning", "tokens", &token, "seeds"]).recursive());
    seeds.iter().map(|o| name(field(o, "name"), &field(o, "description"))).collect()
}

/// Updates, with their versions.
pub(crate) fn updates() -> Names {
    let updates = list(ApiPath::of(&["provisioning", "updates"]).recursive());
    updates.iter().map(|o| name(field(o, "uuid"), &format!("{} {}", field(o, "origin"), field(o, "version")))).collect()
}

/// Updates that were withdrawn, with their versions.
pub(crate) fn withdrawn_updates() -> Names {
    let updates = list(ApiPath::of(&["provisioning", "updates", ":withdrawn"]));
    updates.iter().map(|o| name(field(o, "uuid"), &format!("{} {}", field(o, "origin"), field(o, "version")))).collect()
}

/// Warnings, with what they are about.
pub(crate) fn warnings() -> Names {
    let warnings = list(ApiPath::of(&["warnings"]));
    let about = |o: &Value| format!("{} {}", field(o, "type"), field(o, "scope.entity"));
    warnings.iter().map(|o| name(field(o, "uuid"), &about(o))).collect()
}

/// Machines: by the server on them, else by their id, with their state.
pub(crate) fn machines() -> Names {
    let known = |o: &Value| match field(o, "server") {
        server if server.is_empty() => field(o, "id"),
        server => server,
    };
    list(ApiPath::of(&["machines"])).iter().map(|o| name(known(o), &field(o, "lifecycle"))).collect()
}

fn operations_that(keep: impl Fn(&str) -> bool) -> Names {
    let all = list(ApiPath::of(&["operations"]).query("limit", OPERATIONS));
    let kept = all.iter().filter(|o| keep(&field(o, "status")));
    let about = |o: &Value| format!("{}, {}", crate::progress::name(o), field(o, "status"));
    kept.map(|o| name(field(o, "id"), &about(o))).collect()
}

/// The latest operations.
pub(crate) fn operations() -> Names {
    operations_that(|_| true)
}

/// Operations that are not over.
pub(crate) fn unfinished_operations() -> Names {
    operations_that(|status| matches!(status, "pending" | "running" | "waiting"))
}

/// Operations that can be tried again.
pub(crate) fn failed_operations() -> Names {
    operations_that(|status| matches!(status, "failed" | "cancelled"))
}

/// States of an operation.
pub(crate) fn operation_states() -> Names {
    fixed(&["pending", "running", "waiting", "succeeded", "failed", "cancelled"])
}

/// States of a machine's life.
pub(crate) fn lifecycles() -> Names {
    fixed(&muster_api::machine::LIFECYCLES)
}

fn subscriptions_that(keep: impl Fn(&str) -> bool) -> Names {
    let all = list(ApiPath::of(&["subscriptions"]));
    let kept = all.iter().filter(|o| keep(&field(o, "status")));
    let about =
        |o: &Value| format!("{}, {} {}", field(o, "holder"), field(o, "quantity"), field(o, "server_type_label"));
    kept.map(|o| name(field(o, "id"), about(o).trim())).collect()
}

/// Subscriptions, with whose they are.
pub(crate) fn subscriptions() -> Names {
    subscriptions_that(|_| true)
}

/// Subscriptions that can be changed and stopped.
pub(crate) fn active_subscriptions() -> Names {
    subscriptions_that(|status| status == "active")
}

/// Subscriptions that can be removed.
pub(crate) fn finished_subscriptions() -> Names {
    subscriptions_that(|status| status != "active")
}

/// States of a subscription.
pub(crate) fn subscription_states() -> Names {
    fixed(&["active", "stopped", "ended"])
}

/// Server types, by label.
pub(crate) fn server_types() -> Names {
    let types = list(ApiPath::of(&["server-types"]));
    types.iter().map(|o| name(field(o, "label"), &field(o, "description"))).collect()
}

/// What an alert may do.
pub(crate) fn alert_classes() -> Names {
    fixed(&[
        "prevent_allocations",
        "prevent_state_changes",
        "suppress_alerting",
        "exclude_from_sla",
        "stop_automatic_recovery",
        "blocking",
    ])
}

/// States of a server.
pub(crate) fn server_states() -> Names {
    fixed(&["unknown", "unregistered", "pending", "ready", "offline"])
}

/// States of an update.
pub(crate) fn update_states() -> Names {
    fixed(&["pending", "ready"])
}

/// How urgent an update may be.
pub(crate) fn severities() -> Names {
    fixed(&["none", "low", "medium", "high", "critical"])
}

/// Formats of a list.
pub(crate) fn list_formats() -> Names {
    fixed(&["table", "compact", "csv", "json", "yaml"])
}

/// Formats of one object.
pub(crate) fn show_formats() -> Names {
    fixed(&["json", "yaml"])
}

/// Known centers; no center is asked for that.
pub(crate) fn remotes() -> Names {
    let config = ConfigDir::from_env().and_then(|dir| dir.load()).unwrap_or_default();
    config.remotes.iter().map(|(remote, entry)| name(remote, &entry.addr)).collect()
}

/// Known centers, and the one on this machine.
pub(crate) fn remotes_and_local() -> Names {
    let mut names = remotes();
    names.push(name(crate::config::LOCAL, "unix://"));
    names
}
