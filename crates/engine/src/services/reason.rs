//! Why an operator does something: asked where others will have to know.

use crate::Error;

/// Longest reason, in characters.
const LIMIT: usize = 500;

/// Checks a reason; `what` is done for it.
///
/// # Errors
/// [`Error::Invalid`] without one, and for one that is too long or has control characters.
pub(crate) fn checked(text: &str, what: &str) -> Result<String, Error> {
    let text = text.trim();
    if text.is_empty() {
        return Err(Error::Invalid(format!("reason: say why to {what}; others will want to know")));
    }
    if text.chars().count() > LIMIT || text.contains(char::is_control) {
        return Err(Error::Invalid(format!("reason: one line of at most {LIMIT} characters is expected")));
    }
    Ok(text.to_owned())
}
