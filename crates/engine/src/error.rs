use muster_domain::machine::Refusal;
use muster_store::StoreError;

/// Why a service refused or failed: the variant says whose fault it is, the text what to do. Its kind stands behind the text,
/// as in the reference: its command line takes ": Not found" off again (servers.md 1.3).
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The request's content.
    #[error("{0}")]
    Invalid(String),
    /// It collides with, or lacks, another object.
    #[error("Constraint violation: {0}")]
    Constraint(String),
    /// Not in this state.
    #[error("{0}: Operation not permitted")]
    NotPermitted(String),
    /// A machine's lifecycle does not allow it: the rule, and what else is in the way.
    #[error("{}", refused(.0, .1))]
    Refused(Refusal, String),
    /// No such object.
    #[error("{0}: Not found")]
    NotFound(String),
    /// Unknown token or certificate.
    #[error("{0}: Not authorized")]
    NotAuthorized(String),
    /// Somebody else changed it meanwhile.
    #[error("Precondition Failed: {0}")]
    Stale(String),
    /// A machine refused or failed.
    #[error("{0}")]
    Machine(String),
    /// It may work a little later.
    #[error("Retryable: {0}")]
    Retryable(String),
    /// Ours.
    #[error("{0}")]
    Internal(String),
}

impl From<muster_domain::server::check::Invalid> for Error {
    fn from(e: muster_domain::server::check::Invalid) -> Self {
        Self::Invalid(e.to_string())
    }
}

fn refused(refusal: &Refusal, detail: &str) -> String {
    if detail.is_empty() { refusal.to_string() } else { format!("{refusal}: {detail}") }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal, String::new())
    }
}

impl From<StoreError> for Error {
    fn from(e: StoreError) -> Self {
        match e {
            StoreError::Constraint { message } => Self::Constraint(message),
            StoreError::NotFound => Self::NotFound("no such record".into()),
            StoreError::Stale => Self::Stale("changed meanwhile; read it again".into()),
            e => Self::Internal(format!("the database failed: {e}")),
        }
    }
}

impl From<crate::updates::files::FileError> for Error {
    fn from(e: crate::updates::files::FileError) -> Self {
        Self::Internal(e.to_string())
    }
}
