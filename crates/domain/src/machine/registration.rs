//! Who registers with a token, and what becomes of it (`lifecycle.md` 5.4).

use super::birth::{Birth, birth};
use super::transition::{Change, transition};
use super::{Command, Lifecycle, Machine, Refusal};

/// The record that matches what registers, by system UUID, machine id or serial number.
#[derive(Debug, Clone, Copy)]
pub enum Known<'a> {
    /// No record.
    Unknown,
    /// A record.
    Machine {
        /// The newest record of this hardware.
        machine: &'a Machine,
        /// The certificate presented is the stored one.
        same_certificate: bool,
    },
}

/// What a registration with a valid token leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Registration {
    /// A new record, for hardware that had none.
    New(Change),
    /// A new record, linked to the decommissioned one.
    Successor(Change),
    /// The known record goes on; its enrolment is created or replaced.
    Known(Change),
    /// A machine in use sends its registration again: answered as before; its certificate stays.
    Repeated,
}

/// Decides about a registration with a valid token. A refusal leaves every record untouched; whether it is worth an
/// alert it says itself.
pub fn register_with_token(known: Known<'_>) -> Result<Registration, Refusal> {
    let (machine, same_certificate) = match known {
        Known::Unknown => return Ok(Registration::New(birth(&Birth::SelfRegistered { predecessor: None }))),
        Known::Machine { machine, same_certificate } => (machine, same_certificate),
    };
    if machine.lifecycle == Lifecycle::Decommissioned {
        let predecessor = Some(machine.media);
        return Ok(Registration::Successor(birth(&Birth::SelfRegistered { predecessor })));
    }
    let change = transition(machine, &Command::SelfRegister { same_certificate })?;
    let repeated = same_certificate && machine.lifecycle.is_allocated() && change.machine == *machine;
    Ok(if repeated { Registration::Repeated } else { Registration::Known(change) })
}
