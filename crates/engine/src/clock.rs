//! Time as a parameter.

use muster_api::time::Time;
use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

/// Where "now" comes from: the system, or a test.
#[derive(Debug, Clone, Default)]
pub struct Clock(Option<Arc<AtomicI64>>);

impl Clock {
    /// The system's clock.
    pub fn system() -> Self {
        Self(None)
    }

    /// A clock that stands still until it is set, in microseconds since the epoch.
    pub fn at(micros: i64) -> Self {
        Self(Some(Arc::new(AtomicI64::new(micros))))
    }

    /// Moves a test clock; the system's clock cannot be moved.
    pub fn advance(&self, micros: i64) {
        if let Some(at) = &self.0 {
            at.fetch_add(micros, Ordering::Relaxed);
        }
    }

    /// Now, in microseconds since the epoch.
    pub fn micros(&self) -> i64 {
        match &self.0 {
            Some(at) => at.load(Ordering::Relaxed),
            None => {
                #[expect(clippy::disallowed_methods, reason = "the one place that asks the system")]
                let now = jiff::Timestamp::now();
                now.as_microsecond()
            }
        }
    }

    /// Now.
    pub fn now(&self) -> Time {
        Time::from_micros(self.micros())
    }
}
