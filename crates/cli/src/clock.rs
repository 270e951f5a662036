//! The clock: this program is the edge where time comes in.

/// Now.
#[expect(clippy::disallowed_methods, reason = "the command line is the edge where time comes in")]
pub(crate) fn now() -> jiff::Timestamp {
    jiff::Timestamp::now()
}

/// Now, as the certificate generator takes it.
#[expect(clippy::disallowed_methods, reason = "the command line is the edge where time comes in")]
pub(crate) fn system() -> std::time::SystemTime {
    std::time::SystemTime::now()
}
