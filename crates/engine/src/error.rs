use muster_store::StoreError;

/// Why a service refused or failed: the variant says whose fault it is, the text what to do.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The request's content.
    #[error("{0}")]
    Invalid(String),
    /// It collides with, or lacks, another object.
    #[error("Constraint violation: {0}")]
    Constraint(String),
    /// Not in this state.
    #[error("Operation not permitted: {0}")]
    NotPermitted(String),
    /// No such object.
    #[error("Not found: {0}")]
    NotFound(String),
    /// Unknown token or certificate.
    #[error("Not authorized: {0}")]
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
