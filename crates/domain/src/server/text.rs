//! A server's state in a sentence: what it is, why, what it waits for.

use jiff::Timestamp;
use muster_api::provisioning::status::{ServerStatus, StatusDetail};

use super::enrolment::Enrolment;

/// What status and detail mean, without the server's own circumstances.
pub const fn meaning(status: ServerStatus, detail: StatusDetail) -> &'static str {
    match (status, detail) {
        (ServerStatus::Unknown, _) => "nothing is known about its state yet",
        (ServerStatus::Unregistered, _) => "known in advance; its operating system has not registered yet",
        (ServerStatus::Pending, StatusDetail::ReConfiguring) => {
            "a new configuration was sent; waiting for it to answer again"
        }
        (ServerStatus::Pending, _) => "registered; waiting for its first answer",
        (ServerStatus::Ready, StatusDetail::Updating) => "installing an update",
        (ServerStatus::Ready, StatusDetail::UpdatingApplication) => "installing an application's update",
        (ServerStatus::Ready, StatusDetail::Evacuating) => "its workloads are moving away",
        (ServerStatus::Ready, StatusDetail::Restoring) => "its workloads are coming back",
        (ServerStatus::Ready, _) => "answers",
        (ServerStatus::Offline, StatusDetail::Rebooting) => "rebooting; waiting for a new boot",
        (ServerStatus::Offline, StatusDetail::ShutDown) => "switched off on purpose",
        (ServerStatus::Offline, _) => "does not answer",
    }
}

/// The state in a sentence, with since when and the last failure.
pub fn state(enrolment: &Enrolment, now: Timestamp) -> String {
    let mut text = meaning(enrolment.status, enrolment.detail).to_owned();
    text.push_str(&format!(", for {}", span(enrolment.age(now).as_secs())));
    if let Some(failure) = &enrolment.last_failure {
        text.push_str(&format!("; {}: {}", failure.what.text(), failure.how));
        if enrolment.failures > 1 {
            text.push_str(&format!(" ({} times in a row)", enrolment.failures));
        }
    }
    text
}

/// What a person can do about it, if anything.
pub const fn next_step(status: ServerStatus, detail: StatusDetail) -> Option<&'static str> {
    match (status, detail) {
        (ServerStatus::Unregistered, _) => Some("boot it from an image made with a token"),
        (ServerStatus::Pending, StatusDetail::ReConfiguring) => {
            Some("check the configuration at its console or BMC if it stays away")
        }
        (ServerStatus::Pending, _) => Some("check that it can be reached at its connection URL"),
        (ServerStatus::Offline, StatusDetail::Unresponsive) => {
            Some("check power and network, through its BMC if it has one, then resync")
        }
        (ServerStatus::Offline, StatusDetail::ShutDown) => Some("switch it on"),
        _ => None,
    }
}

/// A span in its largest unit.
fn span(seconds: i64) -> String {
    match seconds {
        ..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..86_400 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::enrolment::{Failure, FailureKind};

    #[test]
    fn the_sentence_names_duration_and_cause() {
        let at = |s: i64| Timestamp::from_second(1_800_000_000 + s).unwrap();
        let mut e = Enrolment::new(ServerStatus::Offline, StatusDetail::Unresponsive, at(0));
        e.failures = 3;
        e.last_failure = Some(Failure { what: FailureKind::Timeout, how: "10.3.1.17:8443".into() });
        assert_eq!(
            state(&e, at(7300)),
            "does not answer, for 2 h; no answer in time: 10.3.1.17:8443 (3 times in a row)"
        );
        assert!(next_step(e.status, e.detail).is_some());
        let ready = Enrolment::new(ServerStatus::Ready, StatusDetail::None, at(0));
        assert_eq!(state(&ready, at(59)), "answers, for 59 s");
        assert_eq!(next_step(ready.status, ready.detail), None);
    }
}
