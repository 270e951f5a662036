//! What can go wrong, and the exit code each kind has (cli.md 4, 11.6).

use muster_clients::center::CenterError;

/// Result of everything here.
pub(crate) type Result<T = (), E = Error> = std::result::Result<T, E>;

/// Why a command failed. Its text is the one line on standard error.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The command line cannot mean anything.
    #[error("{0}")]
    Usage(String),
    /// 404 for an object.
    #[error("Not found ({0})")]
    NotFound(String),
    /// 404 or 405 for a path: nothing of ours answered.
    #[error("Received an error from the server: {0}")]
    NoSuchPath(String),
    /// 401.
    #[error("Not authenticated ({0})")]
    NotAuthenticated(String),
    /// 403.
    #[error("Not authorized ({0})")]
    NotAuthorized(String),
    /// 409, 412: changed meanwhile, or taken.
    #[error("Received an error from the server: {0}")]
    Conflict(String),
    /// Any other refusal or failure of the server.
    #[error("Received an error from the server: {0}")]
    Server(String),
    /// Waited long enough.
    #[error("{0}")]
    TimedOut(String),
    /// The user stopped watching; what is watched goes on.
    #[error("{0}")]
    Detached(String),
    /// No connection, or it broke.
    #[error("Cannot reach {address}: {cause}")]
    Unreachable {
        /// Whom.
        address: String,
        /// Why.
        cause: String,
    },
    /// A server certificate that is not trusted.
    #[error("Untrusted certificate of {address}: {cause}")]
    Untrusted {
        /// Whose.
        address: String,
        /// Why, or its fingerprint.
        cause: String,
    },
    /// A file or stream of this machine.
    #[error("{what}: {cause}")]
    Io {
        /// What was being done.
        what: String,
        /// What the system said.
        cause: std::io::Error,
    },
    /// Anything else that ends the command.
    #[error("{0}")]
    Failed(String),
}

impl Error {
    /// For `map_err` on file operations.
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |cause| Self::Io { what, cause }
    }

    /// The stable exit code of this kind.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::NotFound(_) | Self::NoSuchPath(_) => 3,
            Self::NotAuthenticated(_) | Self::NotAuthorized(_) => 4,
            Self::Conflict(_) => 5,
            Self::TimedOut(_) => 6,
            // As of a program that Ctrl-C ended.
            Self::Detached(_) => 130,
            Self::Unreachable { .. } | Self::Untrusted { .. } => 8,
            Self::Server(_) | Self::Io { .. } | Self::Failed(_) => 1,
        }
    }
}

impl From<CenterError> for Error {
    fn from(error: CenterError) -> Self {
        match error {
            // The kind of error stands behind the text (servers.md 1.3); here it stands before it.
            CenterError::NotFound(text) => Self::NotFound(text.replace(": Not found", "")),
            CenterError::Unauthenticated(text) => Self::NotAuthenticated(text),
            CenterError::Forbidden(text) => Self::NotAuthorized(text),
            CenterError::Conflict(text) => Self::Conflict(text),
            CenterError::Api { message, .. } => Self::Server(message),
            CenterError::Unreachable(call) => {
                let cause = call.failure.to_string();
                Self::Unreachable { address: call.address, cause }
            }
            CenterError::NotAnEnvelope { status, cause } => match status.get(..3) {
                Some("404" | "405") => Self::NoSuchPath(status),
                Some("401") => Self::NotAuthenticated(status),
                Some("403") => Self::NotAuthorized(status),
                // Passed on to a machine that does not answer: the text says why.
                Some("502") => Self::Server(format!("{status}: {cause}")),
                Some(code) if code.starts_with(['4', '5']) => Self::Server(status),
                _ => Self::Server(format!("{status}: {cause}")),
            },
            CenterError::Endpoint(cause) => Self::Failed(cause.to_string()),
            CenterError::Request(cause) => Self::Usage(format!("not a valid request: {cause}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(error: CenterError) -> (u8, String) {
        let error = Error::from(error);
        (error.exit_code(), error.to_string())
    }

    fn bare(status: &str) -> CenterError {
        CenterError::NotAnEnvelope { status: status.into(), cause: "no JSON".into() }
    }

    #[test]
    fn answers_have_the_texts_of_the_reference_and_stable_codes() {
        assert_eq!(
            of(CenterError::NotFound("Failed to get server \"none\" by name".into())),
            (3, "Not found (Failed to get server \"none\" by name)".into())
        );
        assert_eq!(of(CenterError::NotFound("token 7: Not found".into())).1, "Not found (token 7)");
        assert_eq!(
            of(CenterError::Api { code: 400, message: "Bad Request: invalid UUID length: 1".into() }),
            (1, "Received an error from the server: Bad Request: invalid UUID length: 1".into())
        );
        assert_eq!(of(bare("404 Not Found")), (3, "Received an error from the server: 404 Not Found".into()));
        assert_eq!(of(bare("405 Method Not Allowed")).1, "Received an error from the server: 405 Method Not Allowed");
        assert_eq!(of(bare("503 Busy")), (1, "Received an error from the server: 503 Busy".into()));
        assert_eq!(of(bare("502 Bad Gateway")).1, "Received an error from the server: 502 Bad Gateway: no JSON");
        assert_eq!(of(bare("200 OK")).1, "Received an error from the server: 200 OK: no JSON");
        assert_eq!(of(CenterError::Unauthenticated("x".into())).0, 4);
        assert_eq!(of(CenterError::Forbidden("x".into())).0, 4);
        assert_eq!(of(CenterError::Conflict("x".into())).0, 5);
    }

    #[test]
    fn what_never_reached_the_server_has_codes_of_its_own() {
        assert_eq!(Error::Usage(String::new()).exit_code(), 2);
        assert_eq!(Error::TimedOut(String::new()).exit_code(), 6);
        assert_eq!(Error::Detached(String::new()).exit_code(), 130);
        assert_eq!(Error::Unreachable { address: String::new(), cause: String::new() }.exit_code(), 8);
    }
}
