//! How long a machine is expected to be in what passes by itself. Whatever takes longer is told to an operator.

use jiff::SignedDuration;

use super::axes::{Machine, Phase};
use super::lifecycle::Lifecycle;

/// What is expected of a machine in this state, and what it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expected {
    /// The longest usual time.
    pub within: SignedDuration,
    /// What is going on.
    pub what: &'static str,
}

/// The expectation; none where a machine may stay for as long as it pleases.
pub fn expected(machine: &Machine) -> Option<Expected> {
    let failed = machine.has_failed();
    let waiting = machine.operation.as_ref().is_some_and(|o| matches!(o.phase, Phase::Waiting | Phase::Queued));
    let expect = |within, what| Some(Expected { within, what });
    match machine.lifecycle {
        // A person has to decide, and should know of it.
        Lifecycle::Registering | Lifecycle::UsedRegistering | Lifecycle::Cleaning if failed => {
            expect(SignedDuration::from_hours(24), "its operation has failed; a person has to decide")
        }
        Lifecycle::Registering if waiting => {
            expect(SignedDuration::from_hours(7 * 24), "its operating system is to register")
        }
        Lifecycle::Registering => expect(SignedDuration::from_mins(15), "it is being registered"),
        Lifecycle::UsedRegistering => expect(SignedDuration::from_hours(1), "it is being registered again"),
        Lifecycle::Cleaning => expect(SignedDuration::from_mins(30), "it is being cleaned"),
        // What is done in the other states has a deadline of its own.
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::birth::{Birth, birth};
    use super::super::{Command, transition};
    use super::*;

    #[test]
    fn what_passes_by_itself_is_expected_to_and_what_rests_is_not() {
        let waiting = birth(&Birth::PreRegistered { bmc: false, predecessor: None }).machine;
        assert_eq!(expected(&waiting).unwrap().within, SignedDuration::from_hours(168));
        let registering = birth(&Birth::SelfRegistered { predecessor: None }).machine;
        assert_eq!(expected(&registering).unwrap().within, SignedDuration::from_mins(15));
        let failed = transition(&registering, &Command::Fail).unwrap().machine;
        assert!(expected(&failed).unwrap().what.contains("a person"));
        let poll = Command::FirstPoll { open: true, accepts_data: false };
        assert_eq!(expected(&transition(&registering, &poll).unwrap().machine), None);
    }
}
