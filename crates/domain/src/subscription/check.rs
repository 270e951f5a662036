//! What every subscription must satisfy.

use super::{Subscription, TermError, Wanted};

/// Most machines that one subscription keeps.
pub const QUANTITY_LIMIT: u32 = 10_000;
/// Longest name of a holder, in bytes.
pub const HOLDER_LIMIT: usize = 128;
/// Longest name of a site, in bytes.
pub const SITE_LIMIT: usize = 128;
/// Longest name of a type or a machine, in bytes.
const NAME_LIMIT: usize = 255;
/// Longest description, in bytes.
pub const DESCRIPTION_LIMIT: usize = 4096;

/// What is wrong with a subscription that somebody wants.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// A text that cannot be.
    #[error("{field} {why}")]
    Text {
        /// Which.
        field: &'static str,
        /// What is wrong.
        why: String,
    },
    /// None, or too many.
    #[error("quantity {0} must be from 1 to {QUANTITY_LIMIT}")]
    Quantity(i64),
    /// More than one of one machine.
    #[error("quantity {0} must be 1: the subscription is for one machine by its id")]
    OneMachine(u32),
    /// Its term.
    #[error(transparent)]
    Term(#[from] TermError),
}

fn text(field: &'static str, text: &str, limit: usize, lines: bool) -> Result<(), Invalid> {
    let why = if text.len() > limit {
        format!("is longer than {limit} bytes")
    } else if text.chars().any(|c| c.is_control() && !(lines && matches!(c, '\n' | '\t'))) {
        "has a control character".to_owned()
    } else {
        return Ok(());
    };
    Err(Invalid::Text { field, why })
}

impl Subscription {
    /// A number of machines as it was asked for.
    ///
    /// # Errors
    /// [`Invalid::Quantity`].
    pub fn quantity_of(asked: i64) -> Result<u32, Invalid> {
        let quantity = u32::try_from(asked).ok().filter(|n| (1..=QUANTITY_LIMIT).contains(n));
        quantity.ok_or(Invalid::Quantity(asked))
    }

    /// Checks it and its description.
    ///
    /// # Errors
    /// What is wrong with it, and with which field.
    pub fn check(&self, description: &str) -> Result<(), Invalid> {
        if self.holder.trim().is_empty() {
            return Err(Invalid::Text { field: "holder", why: "can not be empty".to_owned() });
        }
        text("holder", &self.holder, HOLDER_LIMIT, false)?;
        text("site", &self.site, SITE_LIMIT, false)?;
        text("description", description, DESCRIPTION_LIMIT, true)?;
        Self::quantity_of(self.quantity.into())?;
        match &self.wanted {
            Wanted::Type(name) => text("server_type", name, NAME_LIMIT, false),
            Wanted::Machine(_) if self.quantity != 1 => Err(Invalid::OneMachine(self.quantity)),
            Wanted::Machine(id) => text("machine", id, NAME_LIMIT, false),
        }
    }
}
