//! What this daemon has fetched from the update source since it started.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

/// Counts refreshes. Those that another daemon of the site carried out count there.
#[derive(Debug, Default)]
pub struct Counters {
    bytes: AtomicU64,
    failed: AtomicU64,
    succeeded: AtomicU64,
    succeeded_at: AtomicI64,
}

impl Counters {
    pub(crate) fn fetched(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Relaxed);
    }

    pub(crate) fn ended(&self, well: bool, micros: i64) {
        match well {
            true => {
                self.succeeded.fetch_add(1, Relaxed);
                self.succeeded_at.store(micros / 1_000_000, Relaxed);
            }
            false => drop(self.failed.fetch_add(1, Relaxed)),
        }
    }

    /// Bytes that came from the source.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    /// Refreshes that failed.
    pub fn failed(&self) -> u64 {
        self.failed.load(Relaxed)
    }

    /// Refreshes that went well.
    pub fn succeeded(&self) -> u64 {
        self.succeeded.load(Relaxed)
    }

    /// When the last one did, in seconds since 1970; 0 for never.
    pub fn succeeded_at(&self) -> i64 {
        self.succeeded_at.load(Relaxed)
    }
}
