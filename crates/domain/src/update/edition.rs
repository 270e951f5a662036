//! An index older than one that was accepted is refused: signed once, it stays signed, and somebody between us and the
//! publisher could keep a fleet at a version whose holes are known (`updates-and-system.md` 9, last paragraph).
//!
//! What was accepted is remembered for each source and root certificate: another source begins anew.

use muster_api::time::Time;
use serde::{Deserialize, Serialize};

/// How far ahead of us a signer's clock may be, in seconds. An index from further ahead would make all honest ones
/// look old.
pub const AHEAD_LIMIT: i64 = 24 * 3600;

/// What one signed index is remembered by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edition {
    /// When it was signed, as its signer says.
    pub signed_at: Time,
    /// SHA-256 of what was signed, lower-case hex.
    pub digest: String,
}

/// Why an index is not refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepted {
    /// None was accepted before.
    First,
    /// It is the one that was accepted last.
    Same,
    /// It is newer, or of the same second: times of signing are no finer, and a publisher may correct itself at once.
    Newer,
    /// It is older, and somebody said that it shall be accepted.
    OnPurpose,
}

/// Why it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Signed before the one that was accepted last.
    #[error(
        "the index is older than one that was accepted before: it was signed at {offered}, that one at {accepted}. \
         Somebody may be replaying it. If the publisher went back on purpose, accept the older index explicitly"
    )]
    Older {
        /// Of this one.
        offered: Time,
        /// Of the accepted one.
        accepted: Time,
    },
    /// Signed in the future.
    #[error(
        "the index was signed at {offered}, more than a day from now ({now}): correct the clock of this system or of \
         the publisher"
    )]
    Future {
        /// When it says it was signed.
        offered: Time,
        /// Now.
        now: Time,
    },
}

/// Judges a verified index against the one that was accepted last. `on_purpose`: an operator permits an older one;
/// what is accepted then is the new mark, so the permission is for one index and is not to be kept.
///
/// # Errors
/// Why it is refused, with the remedy.
pub fn judge(accepted: Option<&Edition>, offered: &Edition, now: Time, on_purpose: bool) -> Result<Accepted, Refused> {
    if offered.signed_at.micros() > now.micros().saturating_add(AHEAD_LIMIT * 1_000_000) {
        return Err(Refused::Future { offered: offered.signed_at, now });
    }
    let Some(accepted) = accepted else { return Ok(Accepted::First) };
    if offered.digest == accepted.digest && offered.signed_at == accepted.signed_at {
        return Ok(Accepted::Same);
    }
    if offered.signed_at >= accepted.signed_at {
        return Ok(Accepted::Newer);
    }
    let refused = Refused::Older { offered: offered.signed_at, accepted: accepted.signed_at };
    if on_purpose { Ok(Accepted::OnPurpose) } else { Err(refused) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edition(signed: i64, digest: &str) -> Edition {
        Edition { signed_at: Time::from_micros(signed * 1_000_000), digest: digest.to_owned() }
    }

    #[test]
    fn only_an_older_index_is_refused() {
        let now = Time::from_micros(2_000_000_000);
        let accepted = edition(1000, "a");
        let judge = |offered: &Edition| judge(Some(&accepted), offered, now, false);
        assert_eq!(super::judge(None, &edition(5, "z"), now, false), Ok(Accepted::First));
        assert_eq!(judge(&accepted), Ok(Accepted::Same));
        // The same content signed again is newer; so is another one of the same second.
        assert_eq!(judge(&edition(1001, "a")), Ok(Accepted::Newer));
        assert_eq!(judge(&edition(1001, "b")), Ok(Accepted::Newer));
        assert_eq!(judge(&edition(1000, "b")), Ok(Accepted::Newer));
        assert!(matches!(judge(&edition(999, "b")), Err(Refused::Older { .. })));
        // An old one is old also when its content is that of the accepted one.
        assert!(matches!(judge(&edition(999, "a")), Err(Refused::Older { .. })));
    }

    #[test]
    fn an_older_one_is_accepted_on_purpose_and_is_the_mark_then() {
        let now = Time::from_micros(2_000_000_000);
        let (newer, older) = (edition(1000, "a"), edition(500, "b"));
        assert_eq!(judge(Some(&newer), &older, now, true), Ok(Accepted::OnPurpose));
        assert_eq!(judge(Some(&older), &newer, now, false), Ok(Accepted::Newer));
        let text = judge(Some(&newer), &older, now, false).unwrap_err().to_string();
        assert!(text.contains("1970-01-01T00:08:20Z") && text.contains("accept the older index explicitly"), "{text}");
    }

    #[test]
    fn an_index_from_the_future_would_shut_out_all_others() {
        let now = Time::from_micros(0);
        assert_eq!(judge(None, &edition(AHEAD_LIMIT, "a"), now, false), Ok(Accepted::First));
        let refused = judge(None, &edition(AHEAD_LIMIT + 1, "a"), now, true);
        assert!(matches!(refused, Err(Refused::Future { .. })));
    }
}
