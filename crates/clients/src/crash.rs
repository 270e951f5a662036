//! Places where a test may end the process (feature `crash-points`); without the feature nothing is left of them.
//!
//! `read:…` for GET and HEAD, `write:…` for other methods: `before` a request is sent, `after` its answer was read.

#[cfg(feature = "crash-points")]
static HOOK: std::sync::OnceLock<fn(&'static str)> = std::sync::OnceLock::new();

/// Has `hook` called with the name of each point that is passed, from now on; the first hook stays.
#[cfg(feature = "crash-points")]
pub fn at_points(hook: fn(&'static str)) {
    HOOK.get_or_init(|| hook);
}

/// A point.
#[inline]
pub(crate) fn point(name: &'static str) {
    #[cfg(feature = "crash-points")]
    if let Some(hook) = HOOK.get() {
        hook(name);
    }
    #[cfg(not(feature = "crash-points"))]
    let _ = name;
}

/// Before a request of this method is sent.
#[inline]
pub(crate) fn before(method: &http::Method) {
    point(if method.is_safe() { "read:before" } else { "write:before" });
}

/// After the answer to a request of this method was read.
#[inline]
pub(crate) fn after(method: &http::Method) {
    point(if method.is_safe() { "read:after" } else { "write:after" });
}
