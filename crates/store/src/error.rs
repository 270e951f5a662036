//! Why a store call did not succeed. One enum for both databases, cheap to copy: a failed group commit answers many callers.

use crate::seal::SealError;

/// Result of every store function.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;

/// Why a store call did not succeed. Whatever the variant, nothing of the call's changes was kept,
/// except for [`StoreError::Interrupted`], where that is not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The rows would break a rule of the schema. The text begins with the kind, see [`StoreError::violation`].
    #[error("{message}")]
    Constraint {
        /// `"<kind>: <what the database says>"`, the kind being one of [`Violation`]'s names.
        message: String,
    },
    /// The row asked for does not exist.
    #[error("not found")]
    NotFound,
    /// The row has changed since the caller read it (its generation is another one): read again, decide again.
    #[error("changed by somebody else in the meantime")]
    Stale,
    /// A secret could not be opened or the key ring does not belong to this database.
    #[error(transparent)]
    Sealed(#[from] SealError),
    /// Others held the needed rows for too long; trying again later is sensible.
    #[error("the database is busy")]
    Busy,
    /// The store was shut down, or the connection was lost while committing: the outcome is unknown.
    #[error("interrupted: {0}")]
    Interrupted(String),
    /// The closure panicked; its changes were rolled back.
    #[error("panic inside a store call: {0}")]
    Panicked(String),
    /// A stored value is not what the code expects there.
    #[error("unexpected value in the database: {0}")]
    Corrupt(String),
    /// The database could not be brought to this program's schema.
    #[error("cannot prepare the database: {0}")]
    Migration(String),
    /// Anything else that the database reports.
    #[error("database: {0}")]
    Database(String),
}

/// Which kind of schema rule was broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Violation {
    /// Another row already has this value.
    Unique,
    /// A referenced row does not exist, or the row is still referenced.
    ForeignKey,
    /// A value is missing.
    NotNull,
    /// A value is outside of what is allowed.
    Check,
}

impl Violation {
    const ALL: [Violation; 4] = [Violation::Unique, Violation::ForeignKey, Violation::NotNull, Violation::Check];

    /// The word that a constraint message begins with.
    pub fn as_str(self) -> &'static str {
        match self {
            Violation::Unique => "unique",
            Violation::ForeignKey => "foreign key",
            Violation::NotNull => "not null",
            Violation::Check => "check",
        }
    }

    /// The error for a broken rule, with what the database says about it.
    pub(crate) fn error(self, detail: &str) -> StoreError {
        StoreError::Constraint { message: format!("{}: {detail}", self.as_str()) }
    }
}

impl StoreError {
    /// Which rule a [`StoreError::Constraint`] is about; `None` for every other error.
    pub fn violation(&self) -> Option<Violation> {
        let StoreError::Constraint { message } = self else { return None };
        let (kind, _) = message.split_once(": ")?;
        Violation::ALL.into_iter().find(|violation| violation.as_str() == kind)
    }
}
