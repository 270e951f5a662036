//! Operations as text: the lines that a terminal redraws, the changes that a log gets, the table below a server.

use crate::cmd::items;
use crate::text::{field, took};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use jiff::Timestamp;
use serde_json::Value;

/// How an operation ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Well.
    Succeeded,
    /// Not well, or by a wish to cancel it; the cause, for people.
    Failed(String),
}

/// How it ended, if it has.
pub(crate) fn ending(operation: &Value) -> Option<Ending> {
    let status = field(operation, "status");
    match status.as_str() {
        "succeeded" => Some(Ending::Succeeded),
        "failed" | "cancelled" => {
            let cause = Some(field(operation, "error")).filter(|text| !text.is_empty());
            let cause = cause.unwrap_or_else(|| field(operation, "reason"));
            Some(Ending::Failed(behind(&status, &cause)))
        }
        _ => None,
    }
}

/// What it does to whom.
pub(crate) fn name(operation: &Value) -> String {
    format!("{} {}", field(operation, "kind"), field(operation, "target"))
}

/// The time that an operation or a step has taken so far.
fn duration(object: &Value, from: &str, now: Timestamp) -> Option<String> {
    let at = |key: &str| field(object, key).parse::<Timestamp>().ok();
    let begun = at(from)?;
    let end = at("finished_at").unwrap_or(now);
    Some(took(end.duration_since(begun)))
}

fn behind(text: &str, more: &str) -> String {
    if more.is_empty() { text.to_owned() } else { format!("{text}: {more}") }
}

/// The operation and its steps as they stand, a line each.
pub(crate) fn lines(operation: &Value, now: Timestamp) -> Vec<String> {
    let mut head = format!("{}: {}", name(operation), field(operation, "status"));
    if let Some(took) = duration(operation, "created_at", now) {
        head += &format!(", {took}");
    }
    let steps = items(&operation["steps"]);
    if steps.is_empty() {
        head = behind(&head, &field(operation, "reason"));
    }
    let wide = |key: &str| steps.iter().map(|step| field(step, key).chars().count()).max().unwrap_or_default();
    let (status, name) = (wide("status"), wide("name"));
    let line = |step: &Value| {
        let took = duration(step, "started_at", now).unwrap_or_default();
        let text = format!(
            "  {:status$}  {:name$}  {took:>8}  {}",
            field(step, "status"),
            field(step, "name"),
            field(step, "detail")
        );
        text.trim_end().to_owned()
    };
    std::iter::once(head).chain(steps.iter().map(line)).collect()
}

/// What changed since the last look, a line each with the center's time.
pub(crate) fn changes(before: &Value, now: &Value) -> String {
    let name = name(now);
    let line = |at: &str, text: &str| format!("{} {name}: {text}\n", crate::text::time(at));
    let mut out = String::new();
    if before.is_null() {
        out += &line(&field(now, "created_at"), &behind("begun", &field(now, "actor")));
    }
    let steps = items(&now["steps"]);
    for step in steps {
        let known = items(&before["steps"]).iter().find(|old| old["name"] == step["name"]);
        let same = known.is_some_and(|old| old["status"] == step["status"] && old["detail"] == step["detail"]);
        let status = field(step, "status");
        if same || status == "pending" {
            continue;
        }
        let (at, mut text) = match (field(step, "finished_at"), field(step, "started_at")) {
            (ended, _) if !ended.is_empty() => (ended, format!("{} {status}", field(step, "name"))),
            (_, begun) if known.is_none_or(|old| old["status"] != step["status"]) => {
                (begun, format!("{} {status}", field(step, "name")))
            }
            _ => (field(now, "updated_at"), format!("{} {status}", field(step, "name"))),
        };
        let at = if at.is_empty() { field(now, "updated_at") } else { at };
        if !field(step, "finished_at").is_empty()
            && let Some(took) = duration(step, "started_at", Timestamp::UNIX_EPOCH)
        {
            text += &format!(" after {took}");
        }
        out += &line(&at, &behind(&text, &field(step, "detail")));
    }
    let state = |o: &Value| (field(o, "status"), field(o, "reason"));
    let ended = ending(now).is_some();
    if (steps.is_empty() || ended) && state(before) != state(now) {
        let at = if ended { field(now, "finished_at") } else { field(now, "updated_at") };
        let text = match ending(now) {
            Some(Ending::Failed(cause)) => cause,
            Some(Ending::Succeeded) => match duration(now, "created_at", Timestamp::UNIX_EPOCH) {
                Some(took) => format!("succeeded after {took}"),
                None => "succeeded".to_owned(),
            },
            None => behind(&field(now, "status"), &field(now, "reason")),
        };
        out += &line(&at, &text);
    }
    out
}

/// Columns of [`rows`].
pub(crate) const TITLES: [&str; 6] = ["Operation", "Step", "Status", "Began", "Took", "Detail"];

/// Operations with their steps below them, as rows of a table.
pub(crate) fn rows(operations: &Value, now: Timestamp) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    for operation in items(operations) {
        let detail = match ending(operation) {
            Some(Ending::Succeeded) => String::new(),
            Some(Ending::Failed(_)) if !field(operation, "error").is_empty() => field(operation, "error"),
            _ => field(operation, "reason"),
        };
        rows.push(vec![
            field(operation, "kind"),
            String::new(),
            field(operation, "status"),
            crate::text::time_field(operation, "created_at"),
            duration(operation, "created_at", now).unwrap_or_default(),
            detail,
        ]);
        for step in items(&operation["steps"]) {
            rows.push(vec![
                String::new(),
                field(step, "name"),
                field(step, "status"),
                crate::text::time_field(step, "started_at"),
                duration(step, "started_at", now).unwrap_or_default(),
                // The operation's line says it already.
                Some(field(step, "detail")).filter(|text| *text != field(operation, "reason")).unwrap_or_default(),
            ]);
        }
    }
    rows
}

/// Lines at the end of a terminal that are drawn anew in place. They stay when it goes out of scope.
pub(crate) struct Screen(ProgressBar);

impl Screen {
    /// On standard output.
    pub(crate) fn new() -> Self {
        let style = ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_bar());
        Self(ProgressBar::with_draw_target(None, ProgressDrawTarget::stdout()).with_style(style))
    }

    /// Draws these lines in place of those before.
    pub(crate) fn draw(&self, lines: &[String]) {
        self.0.set_message(lines.join("\n"));
    }

    /// Prints a line above them.
    pub(crate) fn say(&self, line: &str) {
        self.0.println(line);
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.0.abandon();
        if !self.0.is_hidden() {
            // The cursor stands at the end of the last line.
            println!();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn step(name: &str, status: &str, from: &str, to: Option<&str>, detail: &str) -> Value {
        let at = |clock: &str| format!("2026-08-20T19:58:{clock}Z");
        json!({"name": name, "status": status, "detail": detail,
            "started_at": Some(from).filter(|f| !f.is_empty()).map(at), "finished_at": to.map(at)})
    }

    fn operation(status: &str, steps: &[Value]) -> Value {
        json!({"id": "o", "kind": "reboot", "target": "m1", "status": status, "reason": "the machine is away", "error": "",
            "actor": "unix", "steps": steps, "created_at": "2026-08-20T19:58:00Z", "updated_at": "2026-08-20T19:58:02Z", "finished_at": null})
    }

    fn now() -> Timestamp {
        "2026-08-20T19:59:05Z".parse().unwrap()
    }

    #[test]
    fn only_changes_are_told_each_with_its_time() {
        let first =
            operation("pending", &[step("call", "pending", "", None, ""), step("confirm", "pending", "", None, "")]);
        assert_eq!(changes(&Value::Null, &first), "2026-08-20 19:58:00 +0000 UTC reboot m1: begun: unix\n");
        assert_eq!(changes(&first, &first), "");
        let second = operation(
            "waiting",
            &[
                step("call", "done", "00", Some("01.5"), ""),
                step("confirm", "running", "01.5", None, "the machine is away"),
            ],
        );
        assert_eq!(
            changes(&first, &second),
            "2026-08-20 19:58:01 +0000 UTC reboot m1: call done after 1.5 s\n2026-08-20 19:58:01 +0000 UTC reboot m1: confirm running: the machine is away\n"
        );
        let mut third = second.clone();
        third["steps"][1]["detail"] = "the machine is starting".into();
        assert_eq!(
            changes(&second, &third),
            "2026-08-20 19:58:02 +0000 UTC reboot m1: confirm running: the machine is starting\n"
        );
        let mut last = operation(
            "succeeded",
            &[step("call", "done", "00", Some("01.5"), ""), step("confirm", "done", "01.5", Some("40"), "")],
        );
        last["finished_at"] = "2026-08-20T19:58:40Z".into();
        last["reason"] = "".into();
        assert_eq!(
            changes(&third, &last),
            "2026-08-20 19:58:40 +0000 UTC reboot m1: confirm done after 38.5 s\n2026-08-20 19:58:40 +0000 UTC reboot m1: succeeded after 40.0 s\n"
        );
    }

    #[test]
    fn a_screen_shows_how_long_each_step_takes_and_why() {
        let shown = operation(
            "waiting",
            &[
                step("call", "done", "00", Some("01.5"), ""),
                step("confirm", "running", "01.5", None, "the machine is away"),
            ],
        );
        assert_eq!(
            lines(&shown, now()),
            [
                "reboot m1: waiting, 1 m 5 s",
                "  done     call        1.5 s",
                "  running  confirm   1 m 3 s  the machine is away"
            ]
        );
        let bare = operation("running", &[]);
        assert_eq!(lines(&bare, now()), ["reboot m1: running, 1 m 5 s: the machine is away"]);
    }

    #[test]
    fn a_table_has_the_steps_below_their_operation() {
        let mut shown = operation("failed", &[step("call", "failed", "00", Some("01.5"), "the machine is away")]);
        shown["error"] = "no answer".into();
        let rows = rows(&json!([shown]), now());
        assert_eq!(rows[0], ["reboot", "", "failed", "2026-08-20 19:58:00 +0000 UTC", "1 m 5 s", "no answer"]);
        assert_eq!(rows[1], ["", "call", "failed", "2026-08-20 19:58:00 +0000 UTC", "1.5 s", ""]);
    }

    #[test]
    fn endings() {
        assert_eq!(ending(&json!({"status": "running"})), None);
        assert_eq!(ending(&json!({"status": "succeeded"})), Some(Ending::Succeeded));
        let failed = json!({"status": "failed", "error": "no answer"});
        assert_eq!(ending(&failed), Some(Ending::Failed("failed: no answer".into())));
        assert_eq!(ending(&json!({"status": "cancelled"})), Some(Ending::Failed("cancelled".into())));
    }
}
