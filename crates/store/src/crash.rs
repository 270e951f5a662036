//! Places where a test may end the process (feature `crash-points`); without the feature nothing is left of them.
//!
//! - `commit:before` and `commit:after`: around each commit that changes something
//! - `file:…`: after a change of the files that rows name, which is theirs who make it

#[cfg(feature = "crash-points")]
static HOOK: std::sync::OnceLock<fn(&'static str)> = std::sync::OnceLock::new();

/// Has `hook` called with the name of each point that is passed, from now on; the first hook stays.
#[cfg(feature = "crash-points")]
pub fn at_points(hook: fn(&'static str)) {
    HOOK.get_or_init(|| hook);
}

/// A point.
#[inline]
pub fn point(name: &'static str) {
    #[cfg(feature = "crash-points")]
    if let Some(hook) = HOOK.get() {
        hook(name);
    }
    #[cfg(not(feature = "crash-points"))]
    let _ = name;
}
