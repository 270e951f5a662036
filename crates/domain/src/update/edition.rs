//! An index older than one that was accepted is refused: signed once, it stays signed, and somebody between us and the
//! publisher could keep a fleet at a version whose holes are known (`updates-and-system.md` 9, last paragraph).
//!
//! What was accepted is remembered for each source and root certificate: another source begins anew.

use muster_api::time::Time;
use serde::{Deserialize, Serialize};

use super::index::Published;

/// How far ahead of us a signer's clock may be, in seconds. An index from further ahead would make all honest ones
/// look old.
pub const AHEAD_LIMIT: i64 = 24 * 3600;

/// What one signed index is remembered by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edition {
    /// When it was signed, as its signer says.
    pub signed_at: Time,
    /// When the newest update in it was published; `None` when it is empty.
    pub newest: Option<Time>,
    /// SHA-256 of what was signed, lower-case hex.
    pub digest: String,
}

impl Edition {
    /// Of a verified index.
    pub fn new(signed_at: Time, digest: String, updates: &[Published]) -> Self {
        Self { signed_at, newest: updates.iter().map(|u| u.published_at.at()).max(), digest }
    }
}

/// Why an index is not refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepted {
    /// None was accepted before.
    First,
    /// It is the one that was accepted last.
    Same,
    /// It is newer.
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
    /// Signed in the same second as the accepted one, and without its newest update.
    #[error(
        "the index was signed in the same second as the one that was accepted before ({accepted}), and lacks its newest \
         update. If the publisher took that back, accept this index explicitly"
    )]
    Lacking {
        /// When both were signed.
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
    let refused = match offered.signed_at.cmp(&accepted.signed_at) {
        std::cmp::Ordering::Greater => return Ok(Accepted::Newer),
        std::cmp::Ordering::Equal if offered.newest >= accepted.newest => return Ok(Accepted::Newer),
        std::cmp::Ordering::Equal => Refused::Lacking { accepted: accepted.signed_at },
        std::cmp::Ordering::Less => Refused::Older { offered: offered.signed_at, accepted: accepted.signed_at },
    };
    if on_purpose { Ok(Accepted::OnPurpose) } else { Err(refused) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edition(signed: i64, newest: i64, digest: &str) -> Edition {
        let at = |seconds| Time::from_micros(seconds * 1_000_000);
        Edition { signed_at: at(signed), newest: Some(at(newest)), digest: digest.to_owned() }
    }

    #[test]
    fn only_an_older_index_is_refused() {
        let now = Time::from_micros(2_000_000_000);
        let accepted = edition(1000, 900, "a");
        let judge = |offered: &Edition| judge(Some(&accepted), offered, now, false);
        assert_eq!(super::judge(None, &edition(5, 5, "z"), now, false), Ok(Accepted::First));
        assert_eq!(judge(&accepted), Ok(Accepted::Same));
        // The same content signed again is newer; so is one that took an update back.
        assert_eq!(judge(&edition(1001, 900, "a")), Ok(Accepted::Newer));
        assert_eq!(judge(&edition(1001, 800, "b")), Ok(Accepted::Newer));
        assert_eq!(judge(&edition(1000, 950, "b")), Ok(Accepted::Newer));
        assert!(matches!(judge(&edition(1000, 800, "b")), Err(Refused::Lacking { .. })));
        assert!(matches!(judge(&edition(999, 950, "b")), Err(Refused::Older { .. })));
        // An old one is old also when its content is that of the accepted one.
        assert!(matches!(judge(&edition(999, 900, "a")), Err(Refused::Older { .. })));
    }

    #[test]
    fn an_older_one_is_accepted_on_purpose_and_is_the_mark_then() {
        let now = Time::from_micros(2_000_000_000);
        let (newer, older) = (edition(1000, 900, "a"), edition(500, 400, "b"));
        assert_eq!(judge(Some(&newer), &older, now, true), Ok(Accepted::OnPurpose));
        assert_eq!(judge(Some(&older), &newer, now, false), Ok(Accepted::Newer));
        let text = judge(Some(&newer), &older, now, false).unwrap_err().to_string();
        assert!(text.contains("1970-01-01T00:08:20Z") && text.contains("accept the older index explicitly"), "{text}");
    }

    #[test]
    fn an_index_from_the_future_would_shut_out_all_others() {
        let now = Time::from_micros(0);
        assert_eq!(judge(None, &edition(AHEAD_LIMIT, 0, "a"), now, false), Ok(Accepted::First));
        let refused = judge(None, &edition(AHEAD_LIMIT + 1, 0, "a"), now, true);
        assert!(matches!(refused, Err(Refused::Future { .. })));
    }
}
